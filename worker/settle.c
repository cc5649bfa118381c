#include "worker/settle.h"

#include <assert.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/store.h"
#include "worker/calcom.h"
#include "worker/call_log.h"
#include "worker/governor.h"
#include "worker/lease.h"
#include "worker/plan.h"
#include "worker/settle_internal.h"
#include "worker/worker_metrics.h"

#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS  300000

/* How old a look may be when an act relies on it, at least. */
#define SEEN_MS 1000

/* How often a call is reserved anew because the connection took too long. */
#define LATE_CALLS 3

/* Later, with backoff and full jitter, and not before Cal.com said. */
static void
job_back_off(struct job *job, int64_t retry_after_ms)
{
    int64_t delay_ms = backoff_delay_ms(job->attempts, RETRY_BASE_MS, RETRY_CAP_MS, arc4random());
    job_retry(job, delay_ms > retry_after_ms ? delay_ms : retry_after_ms, true);
}

/* Cal.com told how the booking stands. */
static void
job_on_seen(struct job *job, enum booking_status status)
{
    /* What was refused for a seat says that it stands as before; but to confirm a whole booking is
     * also refused when it was confirmed already. */
    bool told = job->acted && !job->unanswered && job->goal != GOAL_REJECT && !job->by_seat_route;
    bool open_seat = job->seat[0] != '\0' && !told;
    struct plan plan = plan_next(job->goal, status, job->guide, open_seat, job->alone);
    if (plan.settle) {
        job_settle(job, plan.outcome, NULL);
    } else if (job->busy_until_mono_ms > clock_mono_ms() && !job->acted) {
        (void)snprintf(job->detail, sizeof job->detail, "an earlier call for it may still run");
        job_retry(job, 0, false);
    } else if (!job->acted) {
        job_call(job, plan.call);
    } else if (job->unanswered) {
        job_back_off(job, -1);
    } else {
        /* It was asked, said no, and the booking stands as before. */
        job_refuse(job);
    }
}

/* Whether the answered call tells of the other bookings of the series as well: it names them, or it
 * left this one as it must have left all. */
static bool
covers_series(const struct job *job, const struct calcom_answer *answer)
{
    enum booking_status aim = job->call == CALCOM_CONFIRM ? STATUS_ACCEPTED : STATUS_REJECTED;
    return job->series && job->call != CALCOM_CANCEL &&
           calcom_acts_on_series(job->settler->parts.calcom) &&
           (answer->members[0] != '\0' || answer->status == aim);
}

/* Cal.com did what it was asked, and told how the booking stands now. */
static void
job_on_acted(struct job *job, const struct calcom_answer *answer)
{
    if (answer->status == STATUS_PENDING) {
        job_call(job, CALCOM_LOOK);
    } else {
        job_settle(job, answer->status, covers_series(job, answer) ? answer->members : NULL);
    }
}

/* What the answer means to all is known; the booking waits, or is refused. */
static void
settler_on_verdict(const struct governor_verdict *verdict, void *arg)
{
    struct job *job = arg;
    if (job->settler->closing) {
        return;
    }
    if (verdict->refused) {
        job_refuse(job);
    } else if (verdict->wait_ms > 0) {
        job_retry(job, verdict->wait_ms, false);
    } else {
        job_back_off(job, job->retry_after_ms);
    }
}

/* It took so long that the call did not go out: what is known of the booking may have grown old. */
static void
job_on_late(struct job *job)
{
    if (job->call != CALCOM_LOOK) {
        job->acted = false;
    }
    if (job->late++ < LATE_CALLS) {
        job_call(job, CALCOM_LOOK);
    } else {
        job_back_off(job, -1);
    }
}

static void
job_on_done(struct job *job, const struct calcom_answer *answer)
{
    if (job->goal == GOAL_IDENTIFY &&
        (answer->status == STATUS_PENDING || answer->status == STATUS_ACCEPTED)) {
        job_join(job, answer->series);
    } else if (job->call == CALCOM_LOOK) {
        memcpy(job->cancelled_by, answer->cancelled_by, sizeof job->cancelled_by);
        memcpy(job->rescheduled_to, answer->rescheduled_to, sizeof job->rescheduled_to);
        job->changed_wall_ms = answer->changed_wall_ms;
        job_on_seen(job, answer->status);
    } else {
        job_on_acted(job, answer);
    }
}

static void
job_on_unknown(struct job *job, const struct calcom_answer *answer)
{
    job->unanswered = true;
    job->unfinished = answer->timed_out;
    job_call(job, CALCOM_LOOK);
}

static void
job_on_answer(struct job *job, const struct calcom_answer *answer)
{
    struct governor *governor = job->settler->parts.governor;
    const struct governor_call call = { job->token, job->id, job->call, answer };
    if (answer->too_late) {
        job_on_late(job);
        return;
    }
    if (!governor_hear(governor, &call)) {
        job->retry_after_ms = answer->retry_after_ms;
        governor_judge(governor, &call, settler_on_verdict, job);
        return;
    }
    if (answer->again) {
        job->acted = false; /* that call did nothing */
        job_call(job, job->call);
        return;
    }
    if (job->call != CALCOM_LOOK) {
        job->by_seat_route = answer->by_seat_route;
    }
    if (answer->kind == CALCOM_DONE) {
        job_on_done(job, answer);
    } else if (answer->kind == CALCOM_GONE) {
        job_on_seen(job, STATUS_GONE);
    } else if (answer->kind == CALCOM_UNKNOWN) {
        job_on_unknown(job, answer);
    } else if (answer->kind == CALCOM_UNCLEAR) {
        job_call(job, CALCOM_LOOK);
    } else {
        job_refuse(job);
    }
}

/* An act may follow a look for SEEN_MS from when the look went out; where Cal.com is slower than
 * that, for as long again as the look took: any less, and none would ever follow. */
static void
note_seen(struct job *job)
{
    int64_t fresh_ms =
        job->settler->parts.fresh_ms > SEEN_MS ? job->settler->parts.fresh_ms : SEEN_MS;
    int64_t took_ms = clock_boot_ms() - job->call_since_boot_ms;
    job->act_by_boot_ms =
        job->call_since_boot_ms + (fresh_ms > 2 * took_ms ? fresh_ms : 2 * took_ms);
}

/* There may be room for those who wait. Not all of them call: some have waited for too long. */
static void
settler_next_turn(struct settler *settler)
{
    while (settler->calls < settler->parts.calls_most && !TAILQ_EMPTY(&settler->turn)) {
        struct job *job = TAILQ_FIRST(&settler->turn);
        job_leave_turn(job);
        job_go(job);
    }
}

static void
settler_on_answer(const struct calcom_answer *answer, void *arg)
{
    struct job *job = arg;
    if (job->settler->closing) {
        return;
    }
    struct settler *settler = job->settler;
    struct metrics_shard *metrics = settler->parts.metrics;
    settler->calls--;
    int64_t took_us = clock_mono_us() - job->call_since_us;
    metrics_observe_us(metrics, WORKER_CALL_SECONDS, took_us);
    metrics_add(
        metrics,
        answer->too_late ? WORKER_CALLS_WITHHELD : WORKER_ANSWER_DONE + (size_t)answer->kind, 1);
    log_debug("Cal.com answered", log_s("booking", job->id),
              log_s("call", calcom_call_name(job->call)), log_i("status", answer->http_status),
              log_s("class", calcom_class_name(answer->kind)), log_i("us", took_us));
    call_log_add(job->calls, sizeof job->calls, job->call, job->call_since_wall_ms, took_us / 1000,
                 answer);
    /* A look after an act that was refused must not hide why it was. */
    if (answer->kind != CALCOM_DONE || job->call != CALCOM_LOOK || !job->acted) {
        (void)snprintf(job->detail, sizeof job->detail, "%s", answer->detail);
    }
    if (job->call == CALCOM_LOOK && answer->kind == CALCOM_DONE) {
        note_seen(job);
    }
    job_on_answer(job, answer);
    settler_next_turn(settler);
}

/* The last moment at which the call in `call` may go out: under the lease, while its reservation
 * counts, and, if it changes the booking, while what is known of that is fresh. */
static int64_t
send_by_boot_ms(const struct job *job)
{
    const struct settler_parts *parts = &job->settler->parts;
    int64_t by = lease_send_by_boot_ms(parts->lease, job->taken_boot_ms);
    int64_t reserved = governor_send_by(parts->governor, job->reserved_boot_ms);
    if (reserved != 0 && reserved < by) {
        by = reserved;
    }
    return job->call != CALCOM_LOOK && job->act_by_boot_ms < by ? job->act_by_boot_ms : by;
}

static void
job_send(struct job *job)
{
    const struct settler_parts *parts = &job->settler->parts;
    job->call_since_us = clock_mono_us();
    job->call_since_wall_ms = clock_wall_ms();
    job->call_since_boot_ms = clock_boot_ms();
    job->acted = job->acted || job->call != CALCOM_LOOK;
    metrics_add(parts->metrics, WORKER_CALL_LOOK + (size_t)job->call, 1);
    const char *reason = job->goal == GOAL_WITHDRAW ? "The booking was cancelled." : job->reason;
    char traceparent[TRACEPARENT_SIZE];
    trace_call_header(&job->trace, job->call, job->call_since_wall_ms, traceparent);
    const struct calcom_subject subject = { .id = job->id,
                                            .uid = job->uid,
                                            .seat = job->seat,
                                            .reason = reason,
                                            .send_by_boot_ms = send_by_boot_ms(job),
                                            .traceparent = traceparent };
    if (!calcom_send(parts->calcom, job->call, &subject, settler_on_answer, job)) {
        (void)snprintf(
            job->detail, sizeof job->detail, "%s",
            job->seat[0] != '\0' && job->uid[0] != '\0'
                ? "this API cannot free one seat: decline or cancel it by hand in Cal.com"
                : "no uid or number: Cal.com's API cannot be asked about it");
        job_refuse(job);
        return;
    }
    job->settler->calls++;
}

/* Redis agreed, but took its time: what was seen before may be true no more, the booking has been
 * in hand for so long, and the call may have to be reserved anew. Without a lease the call waits
 * for the next one; then Redis is asked again whether the booking is still ours. */
void
job_go(struct job *job)
{
    const struct settler_parts *parts = &job->settler->parts;
    if (job->settler->calls >= parts->calls_most) {
        job->waits = true;
        TAILQ_INSERT_TAIL(&job->settler->turn, job, in_turn);
        return;
    }
    int64_t now_boot_ms = clock_boot_ms();
    if (!lease_is_live(parts->lease, now_boot_ms)) {
        job->asking = ASK_BEGIN;
        job_resend_in(job, RESEND_MS);
    } else if (now_boot_ms >= lease_send_by_boot_ms(parts->lease, job->taken_boot_ms)) {
        (void)snprintf(job->detail, sizeof job->detail, "it was in hand for too long");
        job_retry(job, 0, false);
    } else if (!governor_is_reserved(parts->governor, job->reserved_boot_ms)) {
        job_begin(job);
    } else if (job->call != CALCOM_LOOK && now_boot_ms >= job->act_by_boot_ms) {
        job_call(job, CALCOM_LOOK);
    } else {
        job_send(job);
    }
}

void
job_call(struct job *job, enum calcom_call call)
{
    job->call = call;
    job_begin(job);
}

/* ---- Life ---- */

struct settler *
settler_new(const struct settler_parts *parts, const struct settler_handlers *handlers, void *arg)
{
    struct settler *settler = calloc(1, sizeof *settler);
    if (settler == NULL) {
        return NULL;
    }
    settler->parts = *parts;
    settler->handlers = *handlers;
    settler->arg = arg;
    LIST_INIT(&settler->jobs);
    TAILQ_INIT(&settler->turn);
    return settler;
}

void
settler_close(struct settler *settler)
{
    settler->closing = true;
}

void
settler_free(struct settler *settler)
{
    if (settler == NULL) {
        return;
    }
    while (!LIST_EMPTY(&settler->jobs)) {
        struct job *job = LIST_FIRST(&settler->jobs);
        job_free(job);
        assert(LIST_FIRST(&settler->jobs) != job);
    }
    free(settler);
}

void
settler_take(struct settler *settler, const struct store_job *taken, int64_t asked_boot_ms)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        abort(); /* the booking would stay in hand for ever */
    }
    job->settler = settler;
    job->resend_timer = evtimer_new(settler->parts.base, settler_on_resend, job);
    if (job->resend_timer == NULL) {
        abort();
    }
    (void)snprintf(job->id, sizeof job->id, "%s", taken->id);
    (void)snprintf(job->uid, sizeof job->uid, "%s", taken->uid);
    (void)snprintf(job->token, sizeof job->token, "%s", taken->token);
    (void)snprintf(job->account, sizeof job->account, "%s", taken->account);
    (void)snprintf(job->reason, sizeof job->reason, "%s", taken->reason);
    const struct trace_booking traced = { settler->parts.ns, taken->id, taken->uid };
    trace_begin(&job->trace, taken->traceparent, &traced, settler->parts.otlp != NULL);
    job->goal = taken->goal;
    job->cost = taken->cost;
    job->attempts = taken->attempts;
    job->guide = taken->guide;
    (void)snprintf(job->seat, sizeof job->seat, "%s", taken->seat);
    job->series = taken->series;
    job->alone = taken->alone;
    job->paid = taken->paid;
    job->taken_boot_ms = job->reserved_boot_ms = asked_boot_ms;
    job->act_by_boot_ms = asked_boot_ms + taken->fresh_ms;
    job->busy_until_mono_ms = taken->busy_ms > 0 ? clock_mono_ms() + taken->busy_ms : 0;
    LIST_INSERT_HEAD(&settler->jobs, job, next);
    settler->count++;
    metrics_set(settler->parts.metrics, WORKER_IN_HAND, (int64_t)settler->count);
    /* The take itself was the beginning of the first call. */
    job->call = plan_first(taken->goal, taken->fresh_ms > 0, taken->guide, taken->alone,
                           calcom_confirm_is_harmless(settler->parts.calcom));
    job_go(job);
}

void
settler_hand_back_waiting(struct settler *settler)
{
    struct job *job;
    while ((job = TAILQ_FIRST(&settler->turn)) != NULL) {
        job_leave_turn(job);
        job_give_back(job);
    }
}

size_t
settler_count(const struct settler *settler)
{
    return settler->count;
}
