#include "common/loop.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"

struct loop {
    struct event_base *base;
    struct loop_handlers handlers;
    void *arg;
    struct event *signals[3];
    struct event *drain_timer;
    bool draining, drain_is_over;
};

static const int SIGNALS[] = { SIGTERM, SIGINT, SIGHUP };

#define SIGNAL_COUNT (sizeof SIGNALS / sizeof SIGNALS[0])

static void
loop_on_signal(evutil_socket_t number, short what, void *arg)
{
    struct loop *loop = arg;
    (void)what;
    if (number == SIGHUP) {
        log_reopen();
        log_info("SIGHUP: log reopened, reloading");
        loop->handlers.reload(loop->arg);
        return;
    }
    if (loop->draining) {
        log_warn("second signal: exiting at once");
        _exit(1);
    }
    loop_drain(loop);
}

static void
loop_on_drain_over(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    (void)fd, (void)what;
    if (loop->drain_is_over) {
        loop_stop(loop);
        return;
    }
    const struct timeval rest = { .tv_usec = LOOP_LEAVE_MS * 1000 };
    loop->drain_is_over = true;
    log_warn("not drained in time");
    (void)event_add(loop->drain_timer, &rest);
    loop->handlers.drain_over(loop->arg);
}

/* libevent's own words go into our log, in our form. */
static void
loop_on_library_log(int severity, const char *message)
{
    if (severity >= EVENT_LOG_WARN) {
        log_warn("libevent", log_s("message", message));
    } else {
        log_debug("libevent", log_s("message", message));
    }
}

struct event_base *
loop_make_base(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL) {
        return NULL;
    }
    (void)event_config_set_flag(config,
                                EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (base != NULL && event_base_priority_init(base, 1) != 0) {
        event_base_free(base);
        return NULL;
    }
    return base;
}

struct loop *
loop_new(const struct loop_handlers *handlers, void *arg)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return NULL;
    }
    loop->handlers = *handlers;
    loop->arg = arg;
    (void)signal(SIGPIPE, SIG_IGN);
    event_set_log_callback(loop_on_library_log);
    loop->base = loop_make_base();
    if (loop->base == NULL) {
        goto fail;
    }
    loop->drain_timer = evtimer_new(loop->base, loop_on_drain_over, loop);
    if (loop->drain_timer == NULL) {
        goto fail;
    }
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        loop->signals[i] = evsignal_new(loop->base, SIGNALS[i], loop_on_signal, loop);
        if (loop->signals[i] == NULL || event_add(loop->signals[i], NULL) != 0) {
            goto fail;
        }
    }
    return loop;

fail:
    loop_free(loop);
    return NULL;
}

void
loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (loop->signals[i] != NULL) {
            event_free(loop->signals[i]);
        }
    }
    if (loop->drain_timer != NULL) {
        event_free(loop->drain_timer);
    }
    if (loop->base != NULL) {
        event_base_free(loop->base);
    }
    free(loop);
}

struct event_base *
loop_base(struct loop *loop)
{
    return loop->base;
}

void
loop_run(struct loop *loop)
{
    (void)event_base_dispatch(loop->base);
}

void
loop_stop(struct loop *loop)
{
    (void)event_base_loopbreak(loop->base);
}

void
loop_drain(struct loop *loop)
{
    if (loop->draining) {
        return;
    }
    loop->draining = true;
    log_info("draining");
    struct timeval limit = { .tv_sec = LOOP_DRAIN_MS / 1000 };
    (void)event_add(loop->drain_timer, &limit);
    loop->handlers.drain(loop->arg);
}

bool
loop_is_draining(const struct loop *loop)
{
    return loop->draining;
}
