/*
 * The main thread's event loop with the signals of a daemon, delivered inside the loop (so handlers
 * may log and free): the first SIGTERM or SIGINT asks to drain, a second one exits at once,
 * SIGHUP reopens the log and asks to reload, SIGPIPE is ignored.
 */
#ifndef TOLLGATE_LOOP_H
#define TOLLGATE_LOOP_H

#include <stdbool.h>

struct event_base;
struct loop;

#define LOOP_DRAIN_MS 10000
#define LOOP_LEAVE_MS 500

struct loop_handlers {
    /* Stop taking work; call loop_stop when the last of it is done. Once. */
    void (*drain)(void *arg);
    /* LOOP_DRAIN_MS after `drain`: give up what is left. The loop stops by itself LOOP_LEAVE_MS
     * later. Once, or never. */
    void (*drain_over)(void *arg);
    /* SIGHUP, after the log was reopened. Any number of times. */
    void (*reload)(void *arg);
};

/* An event base for one thread: without locks, and with epoll's changes gathered per wake-up. NULL
 * when it cannot be made. The caller frees it with event_base_free. */
__attribute__((warn_unused_result)) struct event_base *loop_make_base(void);

/* NULL when memory is out. */
__attribute__((warn_unused_result)) struct loop *loop_new(const struct loop_handlers *handlers,
                                                          void *arg);
void loop_free(struct loop *loop);

struct event_base *loop_base(struct loop *loop);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Asks to drain as SIGTERM does. */
void loop_drain(struct loop *loop);

bool loop_is_draining(const struct loop *loop);

#endif
