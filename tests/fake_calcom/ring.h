/*
 * The newest N records of a log. Records are numbered from 1 and the numbers are never used twice,
 * not even after ring_clear: a number that is still held somewhere finds its own record or nothing.
 */
#ifndef FAKE_CALCOM_RING_H
#define FAKE_CALCOM_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring;

/* `release` frees a record that falls out; the ring owns what is pushed. */
struct ring *ring_new(size_t capacity, void (*release)(void *record));
void ring_free(struct ring *ring);

uint64_t ring_push(struct ring *ring, void *record);      /* the record's number */
void *ring_get(const struct ring *ring, uint64_t number); /* NULL: gone, or never there */
uint64_t ring_first(const struct ring *ring);             /* oldest number that is kept */
uint64_t ring_end(const struct ring *ring);               /* one past the newest */
void ring_clear(struct ring *ring);

#endif
