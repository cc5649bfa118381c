/*
 * Keeps the worker's hands full: takes batches while there is work and room, sleeps in a blocking
 * pop when there is none, wakes when a retry is due. Does not poll. A booking that may kill its
 * worker is taken alone.
 */
#ifndef TOLLGATE_INTAKE_H
#define TOLLGATE_INTAKE_H

#include <stddef.h>

struct config;
struct event_base;
struct governor;
struct intake;
struct janitor;
struct lease;
struct metrics_shard;
struct settler;
struct store;

struct intake_parts {
    struct event_base *base;
    const struct config *config;
    struct store *store;
    struct settler *settler;
    struct governor *governor;
    struct lease *lease;
    struct janitor *janitor;
    struct metrics_shard *metrics;
};

/* `drained` runs once, after intake_drain, when nothing is in hand and Redis knows that we left.
 * The parts must outlive it. NULL when memory is out. */
__attribute__((warn_unused_result)) struct intake *
intake_new(const struct intake_parts *parts, void (*drained)(void *arg), void *arg);

/* Before the settler and the store. Accepts NULL. */
void intake_free(struct intake *intake);

/* The lease was extended, a booking was put down, or something else made room: go on. Without a
 * live lease nothing is taken or waited for. */
void intake_kick(struct intake *intake);

/* Whether calls to Cal.com may go out has changed: asks again. */
void intake_recheck(struct intake *intake);
/* Names lie in this worker's list that it did not take: the next take adopts them. */
void intake_adopt(struct intake *intake);

/* A booking is due in delay_ms. */
void intake_due_in(struct intake *intake, long delay_ms);

/* Takes no more; calls `drained` when the rest is done. */
void intake_drain(struct intake *intake);

/* Hands back what is still in hand, without waiting for it; `drained` runs when Redis has it. */
void intake_leave(struct intake *intake);

#endif
