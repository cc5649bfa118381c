/*
 * Keeps this worker alive in the eyes of the others, and looks after them: renews its lease, and
 * every few seconds asks Redis to give back what dead workers had in hand (one worker at a time
 * does so; Redis decides which). The rules are in common/redis/leases.lua.
 *
 *   NEW --first answer--> LEASED --no answer for a whole lease--> OVER --answer--> LEASED
 *
 * Whether what was in hand before is lost by then is for Redis to say: every step presents its
 * booking's token, and a stale one ends it.
 */
#ifndef TOLLGATE_JANITOR_H
#define TOLLGATE_JANITOR_H

#include <stdbool.h>

struct event_base;
struct janitor;
struct lease;
struct metrics_shard;
struct store;

struct janitor_parts {
    struct event_base *base;
    struct store *store;
    struct lease *lease;
    struct metrics_shard *metrics;
};

struct janitor_handlers {
    /* The lease was extended: work may go on. unadopted: names lie in this worker's list that it
     * did not take, because the answer of a blocking pop is on its way or was lost. Any number of
     * times; never from inside a call of the janitor. */
    void (*renewed)(bool unadopted, void *arg);
};

/* The parts must outlive it, but for the store: free that before it. NULL when memory is out. */
__attribute__((warn_unused_result)) struct janitor *
janitor_new(const struct janitor_parts *parts, const struct janitor_handlers *handlers, void *arg);

/* Accepts NULL. */
void janitor_free(struct janitor *janitor);

/* The store is ready, on a connection that may be a new one. */
void janitor_store_ready(struct janitor *janitor);

/* This worker leaves: a renewal after that would register it again. */
void janitor_stop(struct janitor *janitor);

#endif
