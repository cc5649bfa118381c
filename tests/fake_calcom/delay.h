/*
 * "Go on in so many milliseconds." Everything in this program that waits on purpose waits here, so
 * that exit and reset can let it all through at once instead of tearing half-done work apart.
 */
#ifndef FAKE_CALCOM_DELAY_H
#define FAKE_CALCOM_DELAY_H

struct delays;
struct event_base;

struct delays *delays_new(struct event_base *base);
void delays_free(struct delays *delays); /* nothing may be waiting: delays_flush first */

/* Runs `next` exactly once; with `ms` <= 0 before this returns. */
void delay_run(struct delays *delays, int ms, void (*next)(void *arg), void *arg);

/* Runs everything that waits, and what that makes wait, now. */
void delays_flush(struct delays *delays);

#endif
