#include "worker/intake.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "common/store.h"
#include "worker/governor.h"
#include "worker/janitor.h"
#include "worker/lease.h"
#include "worker/settle.h"
#include "worker/waiter.h"
#include "worker/worker_metrics.h"

#define AGAIN_MS        500 /* after a take that failed */
#define NOT_DUE         INT64_MAX
#define AHEAD_SHARE     4 /* a quarter of the calls: so many more are in hand, to be next at once */
#define BREAKER_POLL_MS 2000 /* another worker's probe may close the breaker at any time */

struct intake {
    struct intake_parts parts;
    void (*drained)(void *arg);
    void *arg;
    struct waiter *waiter;
    struct event *due_timer;
    int64_t due_mono_ms;                 /* when the timer is set for */
    int64_t take_number;                 /* of the take in flight, or of the next one */
    int64_t asked_boot_ms, sent_boot_ms; /* when it was first asked for (0: not yet), and last */
    int64_t held_until_mono_ms;          /* Redis said that nothing can be taken before */
    bool taking;
    bool empty; /* the last take found less than it wanted */
    bool solo;  /* something is, or is to be, taken alone: nothing more until the hands are empty */
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
    int64_t asked_boot_ms = intake->asked_boot_ms;
    intake->asked_boot_ms = 0;
    intake->empty = batch->left == 0;
    if (batch->next_due_ms >= 0) {
        set_due(intake, batch->next_due_ms);
    }
    int64_t hold_ms = batch->hold_ms;
    if (*batch->gate.cause != '\0' && hold_ms > BREAKER_POLL_MS) {
        hold_ms = BREAKER_POLL_MS;
    }
    intake->held_until_mono_ms = clock_mono_ms() + hold_ms;
    intake->solo = strcmp(batch->hold, "solo") == 0;
    if (intake->solo) {
        waiter_cancel(intake->waiter, parts->store);
    }
    for (size_t i = 0; i < batch->count; i++) {
        const struct store_job *job = &batch->jobs[i];
        if (job->solo) {
            log_warn("workers died with this booking in hand; it is taken alone",
                     log_s("booking", job->id));
        }
        if (intake->draining) {
            store_give_back(parts->store, job->id, job->token, intake_on_given_back, NULL);
        } else {
            settler_take(parts->settler, job, asked_boot_ms);
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
        lease_extend(intake->parts.lease, intake->sent_boot_ms);
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
    size_t calls = (size_t)parts->config->concurrency, most = calls + calls / AHEAD_SHARE;
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

/* Whether all must end before anything else may begin. */
static bool
is_busy_alone(struct intake *intake)
{
    if (intake->solo && settler_count(intake->parts.settler) == 0) {
        intake->solo = false;
        intake->empty = false; /* the batch ended early */
    }
    return intake->solo;
}

void
intake_kick(struct intake *intake)
{
    const struct intake_parts *parts = &intake->parts;
    if (intake->draining) {
        waiter_cancel(intake->waiter,
                      parts->store); /* again, where Redis was away the first time */
        finish_drain(intake);
        return;
    }
    if (intake->taking || !store_is_ready(parts->store) ||
        !lease_is_live(parts->lease, clock_boot_ms()) || is_busy_alone(intake)) {
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
    intake->sent_boot_ms = clock_boot_ms();
    if (intake->asked_boot_ms == 0) {
        intake->asked_boot_ms = intake->sent_boot_ms;
    }
    store_take(parts->store, parts->lease->worker, intake->take_number, room,
               settler_count(parts->settler), intake_on_taken, intake);
}

void
intake_adopt(struct intake *intake)
{
    intake->empty = false;
    intake_kick(intake);
}

static void
intake_on_woken(void *arg)
{
    intake_adopt(arg);
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
    intake->due_timer = evtimer_new(parts->base, intake_on_due, intake);
    intake->waiter =
        waiter_new(parts->base, parts->config, parts->lease->worker, intake_on_woken, intake);
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
    settler_hand_back_waiting(intake->parts.settler);
    intake_kick(intake);
}

static void
intake_on_left(enum store_result result, enum store_step step, const char *detail, void *arg)
{
    struct intake *intake = arg;
    (void)step, (void)detail;
    if (result != STORE_DONE) {
        log_warn(
            "redis did not hear that this worker leaves; what it had in hand stays listed under "
            "its name until others find it",
            log_s("worker", intake->parts.lease->worker));
    }
    intake->drained(intake->arg);
}

void
intake_leave(struct intake *intake)
{
    if (!intake->leaving) {
        intake->leaving = true;
        janitor_stop(intake->parts.janitor);
        store_leave(intake->parts.store, intake->parts.lease->worker, intake_on_left, intake);
    }
}
