/*
 * Has a function run on a loop's thread when another thread asks for it.
 */
#ifndef TOLLGATE_WAKEUP_H
#define TOLLGATE_WAKEUP_H

struct event_base;
struct wakeup;

/* `rung` runs on the loop's thread; several rings before the loop comes round make one run.
 * NULL when it cannot be made. */
__attribute__((warn_unused_result)) struct wakeup *wakeup_new(struct event_base *base,
                                                              void (*rung)(void *arg), void *arg);

/* On the loop's thread, when nobody rings any more. Accepts NULL. */
void wakeup_free(struct wakeup *wakeup);

/* From any thread. */
void wakeup_ring(struct wakeup *wakeup);

#endif
