#include "delay.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "alloc.h"

struct delay {
    LIST_ENTRY(delay) entry;
    struct event *timer;
    void (*next)(void *arg);
    void *arg;
};

struct delays {
    struct event_base *base;
    LIST_HEAD(, delay) waiting;
};

struct delays *
delays_new(struct event_base *base)
{
    struct delays *delays = xcalloc(1, sizeof(*delays));

    delays->base = base;
    LIST_INIT(&delays->waiting);
    return delays;
}

void
delays_free(struct delays *delays)
{
    if (delays == NULL)
        return;
    assert(LIST_EMPTY(&delays->waiting));
    free(delays);
}

static void
delay_finish(struct delay *delay)
{
    void (*next)(void *arg) = delay->next;
    void *arg = delay->arg;

    LIST_REMOVE(delay, entry);
    event_free(delay->timer);
    free(delay);
    next(arg);
}

static void
delay_on_time(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    delay_finish(arg);
}

void
delay_run(struct delays *delays, int ms, void (*next)(void *arg), void *arg)
{
    if (ms <= 0) {
        next(arg);
        return;
    }

    struct delay *delay = xcalloc(1, sizeof(*delay));
    struct timeval span = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

    delay->next = next;
    delay->arg = arg;
    delay->timer = xneed(evtimer_new(delays->base, delay_on_time, delay));
    LIST_INSERT_HEAD(&delays->waiting, delay, entry);
    evtimer_add(delay->timer, &span);
}

void
delays_flush(struct delays *delays)
{
    while (!LIST_EMPTY(&delays->waiting)) {
        struct delay *delay = LIST_FIRST(&delays->waiting);

        delay_finish(delay);
        assert(LIST_FIRST(&delays->waiting) != delay); /* what clang's analyzer does not see */
    }
}
