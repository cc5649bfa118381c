/*
 * Finds what no webhook told. One elected worker, every TOLLGATE_SWEEP_INTERVAL:
 *
 *   IDLE --due, elected--> LISTING the pending ones, then the accepted ones of the last day, page
 * by page --> LOOKING again at those that are known --> IDLE
 *
 * Each call is reserved within the sweep's share of the budget, and waits while bookings wait. What
 * becomes of a row is decided in Redis (common/redis/sweep.lua). A sweep that fails begins anew.
 */
#ifndef TOLLGATE_SWEEP_H
#define TOLLGATE_SWEEP_H

struct calcom;
struct config;
struct event_base;
struct governor;
struct metrics_shard;
struct store;
struct sweep;

struct sweep_parts {
    struct event_base *base;
    const struct config *config;
    struct store *store;
    struct calcom *calcom;
    struct governor *governor;
    struct metrics_shard *metrics;
    const char *worker; /* this worker's name */
};

/* The parts must outlive it. NULL when memory is out. */
__attribute__((warn_unused_result)) struct sweep *sweep_new(const struct sweep_parts *parts);

/* The store is ready: from now on it goes on by itself. The first call counts. */
void sweep_start(struct sweep *sweep);

/* Begins nothing more. Another worker goes on when the lease is over. */
void sweep_stop(struct sweep *sweep);

/* After the store and the HTTP client were freed. Accepts NULL. */
void sweep_free(struct sweep *sweep);

#endif
