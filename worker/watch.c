#include "worker/watch.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/store.h"
#include "worker/governor.h"
#include "worker/worker_metrics.h"

#define EVERY_S 5 /* EVERY_MS in common/redis/audit.lua */

_Static_assert(WORKER_QUEUE_LENGTH + STORE_AUDIT_AGE == WORKER_AUDIT_AGE &&
                   STORE_AUDIT_AGE + 1 == STORE_OVERVIEW_COUNT,
               "the metrics stand in the order of enum store_overview");

_Static_assert(WORKER_ACCEPT_POLICY + STORE_DEFER_POLICY == WORKER_DEFER_POLICY &&
                   STORE_DEFER_POLICY + 1 == STORE_DECISION_COUNT,
               "the metrics stand in the order of enum store_decision");

struct watch {
    struct watch_parts parts;
    struct event *timer;
    bool asking;
};

static void
watch_on_seen(enum store_result result, const struct store_watched *watched, void *arg)
{
    struct watch *watch = arg;
    watch->asking = false;
    if (result != STORE_DONE) {
        return;
    }
    for (size_t i = 0; i < STORE_OVERVIEW_COUNT; i++) {
        metrics_set(watch->parts.metrics, WORKER_QUEUE_LENGTH + i, watched->numbers[i]);
    }
    for (size_t i = 0; i < STORE_DECISION_COUNT; i++) {
        metrics_set(watch->parts.metrics, WORKER_ACCEPT_POLICY + i, watched->decisions[i]);
        metrics_show(watch->parts.metrics, WORKER_ACCEPT_POLICY + i, true);
    }
    for (size_t i = 0; i < watched->news_count; i += 2) {
        log_warn("a ledger is not in order; it is listed under unbalanced",
                 log_s("account", watched->news[i]), log_s("what", watched->news[i + 1]));
    }
    governor_see(watch->parts.governor, &watched->gate, "");
}

void
watch_now(struct watch *watch)
{
    if (!watch->asking && store_is_ready(watch->parts.store)) {
        watch->asking = true;
        store_watch(watch->parts.store, watch_on_seen, watch);
    }
}

static void
watch_on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    watch_now(arg);
}

struct watch *
watch_new(const struct watch_parts *parts)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        return NULL;
    }
    watch->parts = *parts;
    watch->timer = event_new(parts->base, -1, EV_PERSIST, watch_on_timer, watch);
    const struct timeval every = { .tv_sec = EVERY_S };
    if (watch->timer == NULL || event_add(watch->timer, &every) != 0) {
        watch_free(watch);
        return NULL;
    }
    return watch;
}

void
watch_free(struct watch *watch)
{
    if (watch == NULL) {
        return;
    }
    if (watch->timer != NULL) {
        event_free(watch->timer);
    }
    free(watch);
}
