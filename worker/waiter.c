#include "worker/waiter.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/config.h"
#include "common/redis_link.h"
#include "common/store.h"

/* The pop ends by itself after this long, so that a connection that died silently is noticed. */
#define WAIT_S    "10"
#define ANSWER_MS 15000
#define AWAY_MS   250 /* while Redis is away: how soon to try again */

struct waiter {
    struct redis_link *link;
    void (*woken)(void *arg);
    void *arg;
    char *queue_key;
    char *active_key;
    int64_t client_id; /* of the connection; 0: not known yet */
    struct event *away_timer;
    bool waiting;
    bool freeing;
};

static void
waiter_on_client_id(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct waiter *waiter = arg;
    if (result == REDIS_DONE) {
        waiter->client_id = redis_reply_integer(reply);
    }
}

static void
waiter_on_ready(void *arg)
{
    struct waiter *waiter = arg;
    const char *argv[] = { "CLIENT", "ID" };
    waiter->client_id = 0;
    redis_link_command(waiter->link, ANSWER_MS, 2, argv, NULL, waiter_on_client_id, waiter);
}

static void
waiter_wake(struct waiter *waiter)
{
    waiter->waiting = false;
    waiter->woken(waiter->arg);
}

static void
waiter_on_moved(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct waiter *waiter = arg;
    if (waiter->freeing) {
        return;
    }
    if (result == REDIS_UNSENT ||
        (result == REDIS_DONE && redis_reply_type(reply) == REPLY_ERROR)) {
        const struct timeval delay = { .tv_usec = AWAY_MS * 1000 };
        (void)event_add(waiter->away_timer, &delay);
        return;
    }
    waiter_wake(waiter);
}

static void
waiter_on_away_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    waiter_wake(arg);
}

struct waiter *
waiter_new(struct event_base *base, const struct config *config, const char *worker,
           void (*woken)(void *arg), void *arg)
{
    static const struct redis_link_handlers HANDLERS = { .ready = waiter_on_ready };
    struct waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter == NULL) {
        return NULL;
    }
    waiter->woken = woken;
    waiter->arg = arg;
    if (asprintf(&waiter->queue_key, "{%s}:queue", config->ns) < 0) {
        waiter->queue_key = NULL;
    }
    if (asprintf(&waiter->active_key, "{%s}:active:%s", config->ns, worker) < 0) {
        waiter->active_key = NULL;
    }
    waiter->away_timer = evtimer_new(base, waiter_on_away_timer, waiter);
    if (waiter->queue_key != NULL && waiter->active_key != NULL && waiter->away_timer != NULL) {
        waiter->link = redis_link_new(base, config->redis_url, "wait", &HANDLERS, waiter);
    }
    if (waiter->link == NULL) {
        waiter_free(waiter);
        return NULL;
    }
    return waiter;
}

void
waiter_free(struct waiter *waiter)
{
    if (waiter == NULL) {
        return;
    }
    waiter->freeing = true;
    redis_link_free(waiter->link);
    if (waiter->away_timer != NULL) {
        event_free(waiter->away_timer);
    }
    free(waiter->queue_key);
    free(waiter->active_key);
    free(waiter);
}

void
waiter_wait(struct waiter *waiter)
{
    const char *argv[] = {
        "BLMOVE", waiter->queue_key, waiter->active_key, "RIGHT", "LEFT", WAIT_S
    };
    waiter->waiting = true;
    redis_link_command(waiter->link, ANSWER_MS, 6, argv, NULL, waiter_on_moved, waiter);
}

bool
waiter_is_waiting(const struct waiter *waiter)
{
    return waiter->waiting;
}

void
waiter_cancel(struct waiter *waiter, struct store *store)
{
    if (waiter->waiting && waiter->client_id != 0) {
        store_unblock(store, waiter->client_id);
    }
}
