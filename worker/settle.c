#include "worker/settle.h"

#include <assert.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/store.h"
#include "worker/calcom.h"
#include "worker/call_log.h"
#include "worker/governor.h"
#include "worker/lease.h"
#include "worker/plan.h"
#include "worker/worker_metrics.h"

#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS  300000
#define RESEND_MS     500 /* a step that Redis did not answer */

/* How old a look may be when an act relies on it, at least. */
#define SEEN_MS 1000

/* A call that may go out within this is waited for in hand, so often. */
#define SHORT_HOLD_MS 500
#define SHORT_HOLDS   10

/* How often a call is reserved anew because the connection took too long. */
#define LATE_CALLS 3

#define TOKEN_SIZE  80
#define REASON_SIZE 512

#define CALLS_SIZE 4096 /* of a take; a longer log keeps its beginning */

/* How a booking is put down. */
enum ending { END_SETTLE, END_REFUSE, END_RETRY, END_JOIN };

/* What Redis is told, and told again until it answers. */
enum asking { ASK_BEGIN, ASK_END };

struct job {
    LIST_ENTRY(job) next;
    struct settler *settler;
    char id[BOOKING_ID_SIZE];
    char uid[BOOKING_UID_SIZE];
    char token[TOKEN_SIZE];
    char account[BOOKING_ACCOUNT_SIZE];
    char reason[REASON_SIZE];
    char seat[BOOKING_UID_SIZE];
    enum booking_goal goal;
    int64_t cost;
    unsigned attempts;
    bool guide, series, alone, paid;
    enum calcom_call call; /* the one in flight */
    enum asking asking;
    unsigned held, late; /* how often a call was held for a moment, or was not sent in time */
    int64_t call_since_us, call_since_wall_ms, call_since_boot_ms;
    int64_t reserved_boot_ms; /* when Redis was asked for the call in `call` */
    int64_t retry_after_ms;   /* of the answer that is being judged */
    int64_t taken_boot_ms;
    int64_t act_by_boot_ms; /* what is known of the booking is good enough for an act until then */
    bool acted;             /* asked Cal.com for something in this take: no second time */
    bool by_seat_route;     /* of its seat alone */
    bool unanswered;        /* and do not know whether it was done */
    bool unfinished;        /* and it may still be at it; a connection that broke ended its call */
    int64_t busy_until_mono_ms; /* a call of an earlier take may still run until then */
    enum ending ending;
    enum booking_status outcome; /* END_SETTLE */
    char *members;               /* END_SETTLE, see store_settle */
    bool burn;                   /* END_RETRY: counts as an attempt */
    int64_t delay_ms;            /* END_RETRY */
    int64_t changed_wall_ms;     /* and these three: what Cal.com told with how it stands */
    char cancelled_by[BOOKING_ACCOUNT_SIZE], rescheduled_to[BOOKING_UID_SIZE];
    char joined[BOOKING_ID_SIZE]; /* END_JOIN */
    char detail[CALCOM_DETAIL_SIZE];
    char calls[CALLS_SIZE]; /* the log of this take's calls, see booking.lua */
    struct event *resend_timer;
};

LIST_HEAD(job_list, job);

struct settler {
    struct settler_parts parts;
    struct settler_handlers handlers;
    void *arg;
    struct job_list jobs;
    size_t count;
    bool closing; /* answers that still come find nobody */
};

static void job_begin(struct job *job);
static void job_end(struct job *job);
static void job_call(struct job *job, enum calcom_call call);
static void job_go(struct job *job);

static void
job_free(struct job *job)
{
    job->settler->count--;
    LIST_REMOVE(job, next);
    event_free(job->resend_timer);
    free(job->members);
    free(job);
}

static void
job_put_down(struct job *job)
{
    struct settler *settler = job->settler;
    job_free(job);
    metrics_set(settler->parts.metrics, WORKER_IN_HAND, (int64_t)settler->count);
    settler->handlers.put_down(settler->arg);
}

/* ---- Ending: the booking's fate is recorded in Redis ---- */

static void
job_settle(struct job *job, enum booking_status outcome, const char *members)
{
    free(job->members);
    job->members = members != NULL ? strdup(members) : NULL;
    if (members != NULL && job->members == NULL) {
        abort(); /* the series would be taken for one booking */
    }
    job->ending = END_SETTLE;
    job->outcome = outcome;
    job_end(job);
}

/* It waits for the others of its series; none: it is decided at once. */
static void
job_join(struct job *job, const char *series)
{
    job->ending = END_JOIN;
    (void)snprintf(job->joined, sizeof job->joined, "%s", series);
    job_end(job);
}

/* For the reason in `detail`. */
static void
job_refuse(struct job *job)
{
    job->ending = END_REFUSE;
    job_end(job);
}

/* Redis makes it later where a call may still run. */
static void
job_retry(struct job *job, int64_t delay_ms, bool burn)
{
    job->ending = END_RETRY;
    job->delay_ms = delay_ms;
    job->burn = burn;
    job_end(job);
}

static void
log_settled(const struct job *job, const char *state)
{
    log_info("settled", log_s("booking", job->id), log_s("state", state),
             log_s("goal", booking_goal_name(job->goal)), log_s("account", job->account),
             log_i("cost", job->cost), log_s("reason", job->reason));
    if (job->paid && job->goal == GOAL_REJECT && strcmp(state, "rejected") == 0) {
        log_info("rejected a paid booking: Cal.com refunds the payment", log_s("booking", job->id),
                 log_s("account", job->account));
    }
}

static void
job_on_retried(struct job *job, const char *detail)
{
    int64_t delay_ms = strtoll(detail, NULL, 10);
    if (job->ending != END_JOIN) {
        metrics_add(job->settler->parts.metrics, WORKER_RETRIED, 1);
        log_info("will try again", log_s("booking", job->id), log_i("delay_ms", delay_ms),
                 log_i("attempts", job->attempts + (job->burn ? 1 : 0)),
                 log_s("reason", job->detail));
    }
    job->settler->handlers.due((long)delay_ms, job->settler->arg);
}

static void
job_resend_in(struct job *job, int64_t delay_ms)
{
    const struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
    (void)event_add(job->resend_timer, &delay);
}

/* No call may go out now. hold: for how long (ms), and why. */
static void
job_on_hold(struct job *job, const char *hold)
{
    char *why;
    int64_t wait_ms = strtoll(hold, &why, 10);
    why += *why == ' ';
    governor_count_hold(job->settler->parts.governor, why);
    if (wait_ms < SHORT_HOLD_MS && job->held < SHORT_HOLDS) {
        job->held++;
        job_resend_in(job, wait_ms);
        return;
    }
    (void)snprintf(job->detail, sizeof job->detail, "calls to Cal.com are held: %s", why);
    job_retry(job, wait_ms, false);
}

static void
job_on_step(struct job *job, enum store_step step, const char *detail)
{
    struct metrics_shard *metrics = job->settler->parts.metrics;
    switch (step) {
    case STORE_STEP_SETTLED:
        worker_metrics_count_settled(metrics, detail);
        log_settled(job, detail);
        if (job->ending == END_REFUSE) {
            log_warn("Cal.com refuses this booking; it is listed under dead",
                     log_s("booking", job->id), log_s("reason", job->detail));
        }
        break;
    case STORE_STEP_GO:
        job_go(job);
        return;
    case STORE_STEP_HOLD:
        job_on_hold(job, detail);
        return;
    case STORE_STEP_LOOK:
        job->goal = GOAL_WITHDRAW;
        job->acted = false;
        job_call(job, CALCOM_LOOK);
        return;
    case STORE_STEP_RETRY:
        job_on_retried(job, detail);
        break;
    case STORE_STEP_DEAD:
        metrics_add(metrics, WORKER_DEAD, 1);
        log_warn("listed under dead; a person decides", log_s("booking", job->id),
                 log_s("reason", *detail != '\0' ? detail : job->detail));
        break;
    case STORE_STEP_STALE:
        metrics_add(metrics, WORKER_STALE, 1);
        log_warn("somebody else has this booking", log_s("booking", job->id));
        break;
    case STORE_STEP_QUEUED:
    case STORE_STEP_CHECKED:
        break;
    }
    job_put_down(job);
}

static void
settler_on_step(enum store_result result, enum store_step step, const char *detail, void *arg)
{
    struct job *job = arg;
    if (job->settler->closing) {
        return;
    }
    if (result == STORE_DONE) {
        job_on_step(job, step, detail);
        return;
    }
    job_resend_in(job, RESEND_MS);
}

static void
settler_on_resend(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct job *job = arg;
    if (job->asking == ASK_BEGIN) {
        job_begin(job);
    } else {
        job_end(job);
    }
}

/* The call in `call` goes out when Redis agrees. */
static void
job_begin(struct job *job)
{
    job->asking = ASK_BEGIN;
    job->reserved_boot_ms = clock_boot_ms();
    store_begin(job->settler->parts.store, job->id, job->token, calcom_call_name(job->call),
                settler_on_step, job);
}

static void
job_end(struct job *job)
{
    struct store *store = job->settler->parts.store;
    job->asking = ASK_END;
    const struct store_told told = { job->cancelled_by, job->rescheduled_to, job->changed_wall_ms };
    const struct store_step_of step = { job->id,         job->token,
                                        job->detail,     job->calls,
                                        job->unfinished, job->goal == GOAL_LOOK ? &told : NULL };
    switch (job->ending) {
    case END_SETTLE:
        store_settle(store, &step, job->outcome, job->members, settler_on_step, job);
        break;
    case END_REFUSE:
        store_refuse(store, &step, settler_on_step, job);
        break;
    case END_RETRY:
        store_retry(store, &step, job->delay_ms, job->burn, settler_on_step, job);
        break;
    case END_JOIN:
        store_join(store, &step, job->joined, settler_on_step, job);
        break;
    }
}

/* ---- Calling Cal.com ---- */

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

static void
settler_on_answer(const struct calcom_answer *answer, void *arg)
{
    struct job *job = arg;
    if (job->settler->closing) {
        return;
    }
    struct metrics_shard *metrics = job->settler->parts.metrics;
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
    const struct calcom_subject subject = { job->id, job->uid, job->seat, reason,
                                            send_by_boot_ms(job) };
    if (!calcom_send(parts->calcom, job->call, &subject, settler_on_answer, job)) {
        (void)snprintf(
            job->detail, sizeof job->detail, "%s",
            job->seat[0] != '\0' && job->uid[0] != '\0'
                ? "this API cannot free one seat: decline or cancel it by hand in Cal.com"
                : "no uid or number: Cal.com's API cannot be asked about it");
        job_refuse(job);
    }
}

/* Redis agreed, but took its time: what was seen before may be true no more, the booking has been
 * in hand for so long, and the call may have to be reserved anew. Without a lease the call waits
 * for the next one; then Redis is asked again whether the booking is still ours. */
static void
job_go(struct job *job)
{
    const struct settler_parts *parts = &job->settler->parts;
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

static void
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

size_t
settler_count(const struct settler *settler)
{
    return settler->count;
}
