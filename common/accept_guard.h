/*
 * What a listener does when a connection cannot be accepted. For want of descriptors or memory the
 * connection stays in the kernel's queue, and trying again at once would only spin: accepting
 * pauses for ACCEPT_PAUSE_MS. libevent 2.1 hands an error callback the data of whoever reads from
 * the listener (evhttp), so listeners are found in a list of the process; it is looked at only when
 * accepting fails.
 */
#ifndef TOLLGATE_ACCEPT_GUARD_H
#define TOLLGATE_ACCEPT_GUARD_H

struct accept_guard;
struct evconnlistener;
struct event_base;

#define ACCEPT_PAUSE_MS 1000

/* `paused` (may be NULL) runs on the listener's thread for each pause. NULL when memory is out. */
__attribute__((warn_unused_result)) struct accept_guard *
accept_guard_new(struct event_base *base, struct evconnlistener *listener,
                 void (*paused)(void *arg), void *arg);

/* Before the listener is freed. Accepts NULL. */
void accept_guard_free(struct accept_guard *guard);

#endif
