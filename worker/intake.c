#include "worker/intake.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "common/store.h"
#include "worker/governor.h"
#include "worker/settle.h"
#include "worker/waiter.h"
#include "worker/worker_metrics.h"

#define WORKER_NAME_SIZE 24
#define AGAIN_MS         500 /* after a take that failed */
#define NOT_DUE          INT64_MAX
#define BREAKER_POLL_MS  2000 /* another worker's probe may close the breaker at any time */

struct intake {
    struct intake_parts parts;
    void (*drained)(void *arg);
    void *arg;
    char worker[WORKER_NAME_SIZE];
    struct waiter *waiter;
    struct event *due_timer;
    int64_t due_mono_ms;        /* when the timer is set for */
    int64_t take_number;        /* of the take in flight, or of the next one */
    int64_t asked_mono_ms;      /* when it was first asked for; 0: not yet */
    int64_t held_until_mono_ms; /* Redis said that nothing can be taken before */
    bool taking;
    bool empty; /* the last take found less than it wanted */
    bool draining, leaving;
};

static void
set_due(struct intake *intake, int64_t delay_ms)
{
    int64_t due_mono_ms = clock_mono_ms() + delay_ms;
    if (due_mono_ms >= intake->due_mono_ms) {
        return;
    }
    intake->due_mono_ms = due_mono_ms;
    const struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
    (void)event_add(intake->due_timer, &delay);
}

static void
intake_on_given_back(enum store_result result, enum store_step step, const char *detail, void *arg)
{
    (void)result, (void)step, (void)detail, (void)arg; /* what stays is handed back by leaving */
}

static void
accept_batch(struct intake *intake, const struct store_batch *batch)
{
    const struct intake_parts *parts = &intake->parts;
    int64_t asked_mono_ms = intake->asked_mono_ms;
    intake->asked_mono_ms = 0;
    metrics_set(parts->metrics, WORKER_WAITING, batch->left);
    intake->empty = batch->left == 0;
    if (batch->next_due_ms >= 0) {
        set_due(intake, batch->next_due_ms);
    }
    int64_t hold_ms = batch->hold_ms;
    if (*batch->gate.cause != '\0' && hold_ms > BREAKER_POLL_MS) {
        hold_ms = BREAKER_POLL_MS;
    }
    intake->held_until_mono_ms = clock_mono_ms() + hold_ms;
    for (size_t i = 0; i < batch->count; i++) {
        const struct store_job *job = &batch->jobs[i];
        if (intake->draining) {
            store_give_back(parts->store, job->id, job->token, intake_on_given_back, NULL);
        } else {
            settler_take(parts->settler, job, asked_mono_ms);
        }
    }
    governor_see(parts->governor, &batch->gate, batch->hold);
    if (strcmp(batch->hold, "probe") == 0) {
        governor_probe(parts->governor);
    }
}

static void
intake_on_taken(enum store_result result, const struct store_batch *batch, void *arg)
{
    struct intake *intake = arg;
    intake->taking = false;
    if (result == STORE_DONE) {
        intake->take_number++;
        accept_batch(intake, batch);
    } else {
        /* The same number again: it gives the same batch if Redis ran this one. */
        set_due(intake, AGAIN_MS);
        return;
    }
    intake_kick(intake);
}

static size_t
count_room(const struct intake *intake)
{
    const struct intake_parts *parts = &intake->parts;
    size_t busy = settler_count(parts->settler);
    size_t most = (size_t)parts->config->concurrency;
    return busy < most ? most - busy : 0;
}

static void
finish_drain(struct intake *intake)
{
    if (intake->leaving || intake->taking || waiter_is_waiting(intake->waiter) ||
        settler_count(intake->parts.settler) > 0) {
        return;
    }
    intake_leave(intake);
}

void
intake_kick(struct intake *intake)
{
    const struct intake_parts *parts = &intake->parts;
    if (intake->draining) {
        finish_drain(intake);
        return;
    }
    if (intake->taking || !store_is_ready(parts->store)) {
        return;
    }
    size_t room = count_room(intake);
    int64_t held_ms = intake->held_until_mono_ms - clock_mono_ms();
    if (held_ms > 0) {
        set_due(intake, held_ms);
        return;
    }
    if (room == 0) {
        return;
    }
    if (intake->empty) {
        if (!waiter_is_waiting(intake->waiter)) {
            waiter_wait(intake->waiter);
        }
        return;
    }
    intake->taking = true;
    if (intake->asked_mono_ms == 0) {
        intake->asked_mono_ms = clock_mono_ms();
    }
    store_take(parts->store, intake->worker, intake->take_number, room, intake_on_taken, intake);
}

static void
intake_on_woken(void *arg)
{
    struct intake *intake = arg;
    intake->empty = false;
    intake_kick(intake);
}

static void
intake_on_due(evutil_socket_t fd, short what, void *arg)
{
    struct intake *intake = arg;
    (void)fd, (void)what;
    intake->due_mono_ms = NOT_DUE;
    intake->empty = false;
    intake_kick(intake);
}

struct intake *
intake_new(const struct intake_parts *parts, void (*drained)(void *arg), void *arg)
{
    struct intake *intake = calloc(1, sizeof *intake);
    if (intake == NULL) {
        return NULL;
    }
    intake->parts = *parts;
    intake->drained = drained;
    intake->arg = arg;
    intake->take_number = 1;
    intake->due_mono_ms = NOT_DUE;
    (void)snprintf(intake->worker, sizeof intake->worker, "w%08" PRIx32 "%08" PRIx32, arc4random(),
                   arc4random());
    intake->due_timer = evtimer_new(parts->base, intake_on_due, intake);
    intake->waiter =
        waiter_new(parts->base, parts->config, intake->worker, intake_on_woken, intake);
    if (intake->due_timer == NULL || intake->waiter == NULL) {
        intake_free(intake);
        return NULL;
    }
    return intake;
}

void
intake_free(struct intake *intake)
{
    if (intake == NULL) {
        return;
    }
    waiter_free(intake->waiter);
    if (intake->due_timer != NULL) {
        event_free(intake->due_timer);
    }
    free(intake);
}

const char *
intake_worker(const struct intake *intake)
{
    return intake->worker;
}

void
intake_due_in(struct intake *intake, long delay_ms)
{
    set_due(intake, delay_ms);
}

void
intake_recheck(struct intake *intake)
{
    intake->held_until_mono_ms = 0;
    intake->empty = false;
    intake_kick(intake);
}

void
intake_drain(struct intake *intake)
{
    intake->draining = true;
    waiter_cancel(intake->waiter, intake->parts.store);
    finish_drain(intake);
}

static void
intake_on_left(enum store_result result, enum store_step step, const char *detail, void *arg)
{
    struct intake *intake = arg;
    (void)step, (void)detail;
    if (result != STORE_DONE) {
        log_warn(
            "redis did not hear that this worker leaves; what it had in hand stays listed under "
            "its name",
            log_s("worker", intake->worker));
    }
    intake->drained(intake->arg);
}

void
intake_leave(struct intake *intake)
{
    if (!intake->leaving) {
        intake->leaving = true;
        store_leave(intake->parts.store, intake->worker, intake_on_left, intake);
    }
}
