#include "worker/janitor.h"

#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/store.h"
#include "worker/lease.h"
#include "worker/worker_metrics.h"

#define SWEEP_MS 3000
/* A lease is renewed at a third of it, but at least once between two sweeps (APART_MS in
 * common/redis/leases.lua), so that a clock that jumps makes nobody look dead for long enough. */
#define RENEW_MS 2000

#define EPOCH_SIZE (LEASE_WORKER_SIZE + 12)

struct janitor {
    struct janitor_parts parts;
    struct janitor_handlers handlers;
    void *arg;
    struct event *renew_timer, *sweep_timer;
    unsigned connections; /* so far */
    int64_t connected_boot_ms;
    int64_t renewal_sent_boot_ms;
    bool registered; /* once */
    bool renewing, sweeping;
    bool stopped;
    char cursor[STORE_CURSOR_SIZE]; /* where the next sweep looks on for lists of nobody */
};

static void
janitor_on_leased(enum store_result result, bool held, int64_t unadopted, void *arg)
{
    struct janitor *janitor = arg;
    const struct janitor_parts *parts = &janitor->parts;
    janitor->renewing = false;
    if (result != STORE_DONE || janitor->stopped) {
        return;
    }
    if (!held && janitor->registered) {
        metrics_add(parts->metrics, WORKER_LEASES_LOST, 1);
        log_warn(
            "this worker's lease was over, and others took what it had in hand; it goes on as a "
            "new one",
            log_s("worker", parts->lease->worker));
    }
    janitor->registered = true;
    lease_extend(parts->lease, janitor->renewal_sent_boot_ms);
    metrics_set(parts->metrics, WORKER_LEASED, 1);
    janitor->handlers.renewed(unadopted > 0, janitor->arg);
}

static void
janitor_renew(struct janitor *janitor)
{
    const struct janitor_parts *parts = &janitor->parts;
    int64_t now_boot_ms = clock_boot_ms();
    if (!lease_is_live(parts->lease, now_boot_ms)) {
        metrics_set(parts->metrics, WORKER_LEASED, 0);
    }
    if (janitor->renewing || janitor->stopped || !store_is_ready(parts->store)) {
        return;
    }
    janitor->renewing = true;
    janitor->renewal_sent_boot_ms = now_boot_ms;
    store_lease(parts->store, parts->lease->worker, janitor_on_leased, janitor);
}

static void
janitor_on_renew_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    janitor_renew(arg);
}

static void janitor_sweep(struct janitor *janitor);

static void
janitor_on_swept(enum store_result result, const struct store_reaped *reaped, void *arg)
{
    struct janitor *janitor = arg;
    struct metrics_shard *metrics = janitor->parts.metrics;
    janitor->sweeping = false;
    if (result != STORE_DONE || !reaped->swept) {
        return;
    }
    (void)snprintf(janitor->cursor, sizeof janitor->cursor, "%s", reaped->cursor);
    for (size_t i = 0; i < reaped->dead_count; i++) {
        metrics_add(metrics, WORKER_REAPED, 1);
        metrics_add(metrics, WORKER_TAKEN_BACK_DEAD, reaped->names[i]);
        log_warn("a worker died; what it had in hand goes back into the queue",
                 log_s("worker", reaped->dead[i]), log_i("bookings", reaped->names[i]));
    }
    for (size_t i = 0; i < reaped->overdue_count; i++) {
        metrics_add(metrics, WORKER_TAKEN_BACK_OVERDUE, 1);
        log_warn("in a worker's hands for too long; it goes back into the queue",
                 log_s("booking", reaped->overdue[i]));
    }
    if (reaped->more) {
        janitor_sweep(janitor);
    }
}

static void
janitor_sweep(struct janitor *janitor)
{
    const struct janitor_parts *parts = &janitor->parts;
    int64_t now_boot_ms = clock_boot_ms();
    char epoch[EPOCH_SIZE];
    /* Who is not sure to live does not judge others. */
    if (janitor->sweeping || janitor->stopped || !store_is_ready(parts->store) ||
        !lease_is_live(parts->lease, now_boot_ms)) {
        return;
    }
    (void)snprintf(epoch, sizeof epoch, "%s/%u", parts->lease->worker, janitor->connections);
    const struct store_reap_of of = {
        .worker = parts->lease->worker,
        .epoch = epoch,
        .connected_ms = now_boot_ms - janitor->connected_boot_ms,
        .hold_ms = parts->lease->hold_ms,
        .cursor = janitor->cursor,
    };
    janitor->sweeping = true;
    store_reap(parts->store, &of, janitor_on_swept, janitor);
}

static void
janitor_on_sweep_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    janitor_sweep(arg);
}

static struct event *
make_timer(struct event_base *base, event_callback_fn run, void *arg, int64_t every_ms)
{
    struct event *timer = event_new(base, -1, EV_PERSIST, run, arg);
    const struct timeval every = { .tv_sec = every_ms / 1000, .tv_usec = every_ms % 1000 * 1000 };
    if (timer != NULL && event_add(timer, &every) != 0) {
        event_free(timer);
        return NULL;
    }
    return timer;
}

struct janitor *
janitor_new(const struct janitor_parts *parts, const struct janitor_handlers *handlers, void *arg)
{
    struct janitor *janitor = calloc(1, sizeof *janitor);
    if (janitor == NULL) {
        return NULL;
    }
    janitor->parts = *parts;
    janitor->handlers = *handlers;
    janitor->arg = arg;
    (void)snprintf(janitor->cursor, sizeof janitor->cursor, "0");
    int64_t third_ms = parts->lease->lease_ms / 3;
    janitor->renew_timer = make_timer(parts->base, janitor_on_renew_timer, janitor,
                                      third_ms < RENEW_MS ? third_ms : RENEW_MS);
    janitor->sweep_timer = make_timer(parts->base, janitor_on_sweep_timer, janitor, SWEEP_MS);
    if (janitor->renew_timer == NULL || janitor->sweep_timer == NULL) {
        janitor_free(janitor);
        return NULL;
    }
    return janitor;
}

void
janitor_free(struct janitor *janitor)
{
    if (janitor == NULL) {
        return;
    }
    if (janitor->renew_timer != NULL) {
        event_free(janitor->renew_timer);
    }
    if (janitor->sweep_timer != NULL) {
        event_free(janitor->sweep_timer);
    }
    free(janitor);
}

void
janitor_store_ready(struct janitor *janitor)
{
    janitor->connections++;
    janitor->connected_boot_ms = clock_boot_ms();
    janitor_renew(janitor);
}

void
janitor_stop(struct janitor *janitor)
{
    janitor->stopped = true;
}
