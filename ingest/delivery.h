/*
 * Brings one event to where it is safe: to Redis, or to the spool when Redis does not take it in
 * time. One delivery belongs to one thread.
 *
 *            the spool is empty                      recorded
 *   arrives ---------------------> DIRECT --------------------------------> done
 *      |                             | an error, away, too few replicas,       ^
 *      | it is about to be           v or no answer within TOLLGATE_SPOOL_AFTER_MS
 *      |------------> PARKED ----> SPOOLED --on disk---------------------------'
 *      '------------------------------^
 *
 * What was sent to Redis and spooled as well is recorded twice, which is once. PARKED is a few
 * milliseconds: under a steady stream the spool would never be empty if everybody went through it
 * while it is not.
 */
#ifndef TOLLGATE_DELIVERY_H
#define TOLLGATE_DELIVERY_H

struct booking_event;
struct config;
struct delivery;
struct event_base;
struct spool;
struct spool_client;
struct store;

/* How long Redis may take before the connection counts as dead. */
#define DELIVERY_TIMEOUT_MS 1000

enum delivered {
    DELIVERED_QUEUED,  /* Redis has it, and a worker will look at the booking */
    DELIVERED_NO_WORK, /* Redis has it, and there is nothing to do */
    DELIVERED_SPOOLED, /* it is on disk */
    DELIVERED_NOT,     /* neither took it (Redis perhaps did, without saying so) */
};

struct delivery_parts {
    struct event_base *base;
    const struct config *config;
    struct store *store;
    struct spool *spool;
    struct spool_client *client;
};

/* The parts must outlive the delivery. NULL when memory is out. */
__attribute__((warn_unused_result)) struct delivery *
delivery_new(const struct delivery_parts *parts);

/* The thread ends: what is still under way ends with its parts, which are freed next. */
void delivery_close(struct delivery *delivery);

/* After its parts. Accepts NULL. */
void delivery_free(struct delivery *delivery);

typedef void delivery_done_cb(enum delivered result, void *arg);

/* The event is not needed after the call. `done` runs once, possibly before the call returns. */
void delivery_send(struct delivery *delivery, const struct booking_event *event,
                   delivery_done_cb *done, void *arg);

#endif
