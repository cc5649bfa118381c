/*
 * How an idle worker sleeps: a blocking pop on a connection of its own, which moves the next name
 * straight from the queue into this worker's list, so that none is lost in between. The next take
 * adopts what lies there.
 */
#ifndef TOLLGATE_WAITER_H
#define TOLLGATE_WAITER_H

#include <stdbool.h>

struct config;
struct event_base;
struct store;
struct waiter;

/*
 * `woken` runs once for each waiter_wait, never from inside it: a name may lie in the list (or the
 * wait ended without one, or the connection was lost, which also may have left one there).
 * config must outlive it. NULL when memory is out.
 */
__attribute__((warn_unused_result)) struct waiter *waiter_new(struct event_base *base,
                                                              const struct config *config,
                                                              const char *worker,
                                                              void (*woken)(void *arg), void *arg);

/* Accepts NULL. `woken` does not run any more. */
void waiter_free(struct waiter *waiter);

/* Starts to wait. Only while not waiting. */
void waiter_wait(struct waiter *waiter);

bool waiter_is_waiting(const struct waiter *waiter);

/* Asks Redis to end the wait now; `woken` tells when it has. */
void waiter_cancel(struct waiter *waiter, struct store *store);

#endif
