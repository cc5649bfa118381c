/*
 * Brings what is in the spool to Redis, in order, on a loop and a connection of its own.
 *
 *   READING --a batch--> SENDING --recorded--> CONFIRMING --enough replicas--> READING, or SENDING
 *      ^                  |  ^ ^                   |                           while there is more
 *      |     Redis is away|  | '--PAUSED<--error---'
 *      |                  v  |
 *      '                 AWAY
 *
 * Events are not given up while Redis as a whole does not take them. One that Redis refuses while
 * it takes others is put aside after DRAINER_TRIES, so that it does not block the rest.
 */
#ifndef TOLLGATE_DRAINER_H
#define TOLLGATE_DRAINER_H

#include <stdbool.h>

struct config;
struct drainer;
struct event_base;
struct spool;
struct store;

#define DRAINER_TRIES 5

/*
 * config and spool must outlive the drainer. checked: see store_handlers. NULL when it cannot be
 * made.
 */
__attribute__((warn_unused_result)) struct drainer *
drainer_new(struct event_base *base, const struct config *config, struct spool *spool,
            void (*checked)(bool safe, void *arg), void *arg);

/* What Redis did not confirm stays in the spool. Accepts NULL. */
void drainer_free(struct drainer *drainer);

/* Its connection, for what else the same loop has to tell Redis. What is under way ends in
 * drainer_free. */
struct store *drainer_store(struct drainer *drainer);

/* Whether its connection to Redis is ready. */
bool drainer_is_ready(const struct drainer *drainer);

#endif
