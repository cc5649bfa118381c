#include "common/wakeup.h"

#include <event2/event.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct wakeup {
    void (*rung)(void *arg);
    void *arg;
    struct event *event;
    int fd;
};

static void
wakeup_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct wakeup *wakeup = arg;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof count) == (ssize_t)sizeof count) {
        wakeup->rung(wakeup->arg);
    }
}

struct wakeup *
wakeup_new(struct event_base *base, void (*rung)(void *arg), void *arg)
{
    struct wakeup *wakeup = calloc(1, sizeof *wakeup);
    if (wakeup == NULL) {
        return NULL;
    }
    wakeup->rung = rung;
    wakeup->arg = arg;
    wakeup->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wakeup->fd >= 0) {
        wakeup->event = event_new(base, wakeup->fd, EV_READ | EV_PERSIST, wakeup_on_event, wakeup);
    }
    if (wakeup->event == NULL || event_add(wakeup->event, NULL) != 0) {
        wakeup_free(wakeup);
        return NULL;
    }
    return wakeup;
}

void
wakeup_free(struct wakeup *wakeup)
{
    if (wakeup == NULL) {
        return;
    }
    if (wakeup->event != NULL) {
        event_free(wakeup->event);
    }
    if (wakeup->fd >= 0) {
        (void)close(wakeup->fd);
    }
    free(wakeup);
}

void
wakeup_ring(struct wakeup *wakeup)
{
    const uint64_t one = 1;
    /* Fails only when the counter is full, and then the loop is about to come round anyway. */
    ssize_t written = write(wakeup->fd, &one, sizeof one);
    (void)written;
}
