/*
 * Asks Redis every few seconds how everything stands, and shows it as metrics: every worker the
 * same, so that it is seen as long as one lives. While Redis is away the metrics stay as they were.
 */
#ifndef TOLLGATE_WATCH_H
#define TOLLGATE_WATCH_H

struct event_base;
struct governor;
struct metrics_shard;
struct store;
struct watch;

struct watch_parts {
    struct event_base *base;
    struct store *store;
    struct governor *governor;
    struct metrics_shard *metrics;
};

/* The parts must outlive it, but for the store: free that before it. NULL when memory is out. */
__attribute__((warn_unused_result)) struct watch *watch_new(const struct watch_parts *parts);

/* Accepts NULL. */
void watch_free(struct watch *watch);

/* The store is ready: asks at once, and not only in some seconds. */
void watch_now(struct watch *watch);

#endif
