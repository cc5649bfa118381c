#include "common/accept_guard.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"

struct accept_guard {
    LIST_ENTRY(accept_guard) next;
    struct evconnlistener *listener;
    struct event *timer;
    void (*paused)(void *arg);
    void *arg;
};

static LIST_HEAD(, accept_guard) guards = LIST_HEAD_INITIALIZER(guards);
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;

static struct accept_guard *
find_guard(const struct evconnlistener *listener)
{
    struct accept_guard *guard;
    (void)pthread_mutex_lock(&guards_lock);
    LIST_FOREACH(guard, &guards, next) {
        if (guard->listener == listener) {
            break;
        }
    }
    (void)pthread_mutex_unlock(&guards_lock);
    return guard;
}

static void
guard_on_error(struct evconnlistener *listener, void *listeners_own)
{
    int error = errno;
    struct accept_guard *guard = find_guard(listener);
    (void)listeners_own;
    if (guard == NULL ||
        (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)) {
        log_warn("a connection could not be accepted", log_s("error", strerror(error)));
        return;
    }
    const struct timeval pause = { .tv_sec = ACCEPT_PAUSE_MS / 1000 };
    log_error("accepting pauses", log_s("error", strerror(error)), log_i("ms", ACCEPT_PAUSE_MS));
    (void)evconnlistener_disable(listener);
    (void)event_add(guard->timer, &pause);
    if (guard->paused != NULL) {
        guard->paused(guard->arg);
    }
}

static void
guard_on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct accept_guard *guard = arg;
    (void)fd, (void)what;
    (void)evconnlistener_enable(guard->listener);
}

struct accept_guard *
accept_guard_new(struct event_base *base, struct evconnlistener *listener,
                 void (*paused)(void *arg), void *arg)
{
    struct accept_guard *guard = calloc(1, sizeof *guard);
    if (guard == NULL) {
        return NULL;
    }
    guard->listener = listener;
    guard->paused = paused;
    guard->arg = arg;
    guard->timer = evtimer_new(base, guard_on_pause_over, guard);
    if (guard->timer == NULL) {
        free(guard);
        return NULL;
    }
    (void)pthread_mutex_lock(&guards_lock);
    LIST_INSERT_HEAD(&guards, guard, next);
    (void)pthread_mutex_unlock(&guards_lock);
    evconnlistener_set_error_cb(listener, guard_on_error);
    return guard;
}

void
accept_guard_free(struct accept_guard *guard)
{
    if (guard == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&guards_lock);
    LIST_REMOVE(guard, next);
    (void)pthread_mutex_unlock(&guards_lock);
    event_free(guard->timer);
    free(guard);
}
