/*
 * What happens to one booking in hand, as a state machine: look, act, settle, each of which can be
 * repeated. What has to be done comes from plan.h, what an answer means from calcom.h; here they
 * are put in order.
 *
 *   taken --> CALLING --answer--> (CALLING: look, then act) --> ENDING --recorded--> gone
 *
 * Never two calls for one booking at a time. No call goes out after the lease, and none that
 * changes a booking on old knowledge of it: at the last moment it is held back, and the booking
 * looked at. A step whose answer from Redis did not come is sent again until it does: with the same
 * token it is safe to repeat, and where others took the booking it is a no-op.
 */
#ifndef TOLLGATE_SETTLE_H
#define TOLLGATE_SETTLE_H

#include <stddef.h>
#include <stdint.h>

struct calcom;
struct event_base;
struct governor;
struct lease;
struct metrics_shard;
struct otlp;
struct settler;
struct store;
struct store_job;

struct settler_parts {
    struct event_base *base;
    struct store *store;
    struct calcom *calcom;
    struct governor *governor;
    const struct lease *lease;
    struct metrics_shard *metrics;
    struct otlp *otlp; /* NULL: traces are exported nowhere */
    const char *ns;    /* TOLLGATE_NAMESPACE */
    int64_t fresh_ms;  /* TOLLGATE_FRESH_MS */
    size_t calls_most; /* TOLLGATE_CONCURRENCY: calls to Cal.com at a time; other bookings wait in
                          hand */
};

struct settler_handlers {
    /* A booking was put down, one call for each settler_take; never from inside it. */
    void (*put_down)(void *arg);
    /* A booking became due again in delay_ms. */
    void (*due)(long delay_ms, void *arg);
};

/* The parts must outlive it. NULL when memory is out. */
__attribute__((warn_unused_result)) struct settler *
settler_new(const struct settler_parts *parts, const struct settler_handlers *handlers, void *arg);

/* From now on answers change nothing: the store and the HTTP client can be freed. */
void settler_close(struct settler *settler);

/* Drops what is in hand (it stays in this worker's list in Redis). After settler_close, and after
 * the store and the HTTP client were freed. Accepts NULL. */
void settler_free(struct settler *settler);

/* Takes care of one booking from now on. Nothing of `taken` is needed after the call.
 * asked_boot_ms: when Redis was first asked for it, and with it for its first call. */
void settler_take(struct settler *settler, const struct store_job *taken, int64_t asked_boot_ms);

/* Those that wait for their turn to call are handed back. */
void settler_hand_back_waiting(struct settler *settler);

/* Bookings in hand. */
size_t settler_count(const struct settler *settler);

#endif
