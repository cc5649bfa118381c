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
#include "worker/governor.h"
#include "worker/lease.h"
#include "worker/plan.h"
#include "worker/worker_metrics.h"

#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS  300000
#define RESEND_MS     500 /* a step that Redis did not answer */

/* How old a look may be when an act relies on it, at least. */
#define SEEN_MS 1000

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
    bool guide, series, paid;
    enum calcom_call call; /* the one in flight */
    int64_t call_since_us, call_since_wall_ms, call_since_boot_ms;
    enum asking asking;
    int64_t taken_boot_ms;
    int64_t act_by_boot_ms; /* what is known of the booking is good enough for an act until then */
    bool acted;             /* asked Cal.com for something in this take: no second time */
    bool unanswered;        /* and do not know whether it was done */
    bool unfinished;        /* and it may still be at it; a connection that broke ended its call */
    int64_t busy_until_mono_ms; /* a call of an earlier take may still run until then */
    enum ending ending;
    enum booking_status outcome;  /* END_SETTLE */
    bool whole_series;            /* END_SETTLE */
    char joined[BOOKING_ID_SIZE]; /* END_JOIN */
    int64_t delay_ms;             /* END_RETRY */
    bool burn;                    /* END_RETRY: counts as an attempt */
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
job_settle(struct job *job, enum booking_status outcome, bool whole_series)
{
    job->whole_series = whole_series;
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
        break;
    }
    job_put_down(job);
}

static void
job_ask_again(struct job *job)
{
    const struct timeval delay = { .tv_usec = RESEND_MS * 1000 };
    (void)event_add(job->resend_timer, &delay);
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
    job_ask_again(job);
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
    store_begin(job->settler->parts.store, job->id, job->token, calcom_call_name(job->call),
                settler_on_step, job);
}

static void
job_end(struct job *job)
{
    struct store *store = job->settler->parts.store;
    job->asking = ASK_END;
    const struct store_step_of step = { job->id, job->token, job->detail, job->calls,
                                        job->unfinished };
    switch (job->ending) {
    case END_SETTLE:
        store_settle(store, &step, job->outcome, job->whole_series, settler_on_step, job);
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
    bool open_seat = job->seat[0] != '\0' && (!job->acted || job->unanswered);
    struct plan plan = plan_next(job->goal, status, job->guide, open_seat);
    if (plan.settle) {
        job_settle(job, plan.outcome, false);
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

/* Cal.com did what it was asked, and told how the booking stands now. */
static void
job_on_acted(struct job *job, enum booking_status status)
{
    if (status == STATUS_PENDING) {
        job_call(job, CALCOM_LOOK);
    } else {
        job_settle(job, status,
                   job->series && job->call != CALCOM_CANCEL &&
                       calcom_acts_on_series(job->settler->parts.calcom));
    }
}

static void
job_on_credentials(struct job *job)
{
    struct governor *governor = job->settler->parts.governor;
    int64_t wait_ms = governor_credentials_refused(governor, clock_mono_ms());
    log_error("Cal.com refuses the key, its rights or the URL: no booking can be settled; check "
              "CALCOM_API_KEY, CALCOM_API_URL and CALCOM_API_VERSION",
              log_s("booking", job->id), log_s("answer", job->detail),
              log_i("next_probe_ms", wait_ms));
    job_retry(job, wait_ms, false);
}

static void
job_on_answer(struct job *job, const struct calcom_answer *answer)
{
    struct governor *governor = job->settler->parts.governor;
    if (answer->again || answer->too_late) {
        job->acted = false; /* that call did nothing */
        job_call(job, answer->again ? job->call : CALCOM_LOOK);
        return;
    }
    switch (answer->kind) {
    case CALCOM_DONE:
        governor_succeeded(governor);
        if (job->goal == GOAL_IDENTIFY &&
            (answer->status == STATUS_PENDING || answer->status == STATUS_ACCEPTED)) {
            job_join(job, answer->series);
        } else if (job->call == CALCOM_LOOK) {
            job_on_seen(job, answer->status);
        } else {
            job_on_acted(job, answer->status);
        }
        return;
    case CALCOM_GONE:
        governor_succeeded(governor);
        job_on_seen(job, STATUS_GONE);
        return;
    case CALCOM_UNKNOWN:
        if (job->call == CALCOM_LOOK) {
            job_back_off(job, answer->retry_after_ms);
            return;
        }
        job->unanswered = true;
        job->unfinished = answer->timed_out;
        job_call(job, CALCOM_LOOK);
        return;
    case CALCOM_UNCLEAR:
        job_call(job, CALCOM_LOOK);
        return;
    case CALCOM_TRANSIENT:
        job_back_off(job, answer->retry_after_ms);
        return;
    case CALCOM_THROTTLED:
        job_retry(job, governor_throttled(governor, answer->retry_after_ms, clock_mono_ms()),
                  false);
        return;
    case CALCOM_REFUSED:
        job_refuse(job);
        return;
    case CALCOM_CREDENTIALS:
        job_on_credentials(job);
        return;
    }
}

/* Adds the call that was answered to the log that the booking keeps. */
static void
note_call(struct job *job, const struct calcom_answer *answer, int64_t took_ms)
{
    char line[CALCOM_DETAIL_SIZE + 120];
    size_t used = strlen(job->calls);
    int length =
        snprintf(line, sizeof line, "%s%" PRId64 " %" PRId64 " %s %d %s %s", used > 0 ? "\n" : "",
                 job->call_since_wall_ms, took_ms, calcom_call_name(job->call), answer->http_status,
                 calcom_class_name(answer->kind), answer->detail);
    if (length <= 0 || used + (size_t)length >= sizeof job->calls) {
        return;
    }
    for (char *c = line + (used > 0); *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\r' ? ' ' : *c;
    }
    memcpy(job->calls + used, line, (size_t)length + 1);
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
    note_call(job, answer, took_us / 1000);
    /* A look after an act that was refused must not hide why it was. */
    if (answer->kind != CALCOM_DONE || job->call != CALCOM_LOOK || !job->acted) {
        (void)snprintf(job->detail, sizeof job->detail, "%s", answer->detail);
    }
    if (job->call == CALCOM_LOOK && answer->kind == CALCOM_DONE) {
        note_seen(job);
    }
    job_on_answer(job, answer);
}

static void
job_send(struct job *job)
{
    const struct settler_parts *parts = &job->settler->parts;
    job->call_since_us = clock_mono_us();
    job->call_since_wall_ms = clock_wall_ms();
    job->call_since_boot_ms = clock_boot_ms();
    int64_t send_by_boot_ms = lease_send_by_boot_ms(parts->lease, job->taken_boot_ms);
    if (job->call != CALCOM_LOOK) {
        job->acted = true;
        if (job->act_by_boot_ms < send_by_boot_ms) {
            send_by_boot_ms = job->act_by_boot_ms;
        }
    }
    metrics_add(parts->metrics, WORKER_CALL_LOOK + (size_t)job->call, 1);
    const char *reason = job->goal == GOAL_WITHDRAW ? "The booking was cancelled." : job->reason;
    const struct calcom_subject subject = { job->id, job->uid, job->seat, reason, send_by_boot_ms };
    if (!calcom_send(parts->calcom, job->call, &subject, settler_on_answer, job)) {
        (void)snprintf(
            job->detail, sizeof job->detail, "%s",
            job->seat[0] != '\0'
                ? "this API cannot free one seat: decline or cancel it by hand in Cal.com"
                : "this booking has no uid or number that the API could be asked for");
        job_refuse(job);
    }
}

/* Redis agreed, but took its time: what was seen before may be true no more, and the booking has
 * been in hand for so long. Without a lease the call waits for the next one; then Redis is asked
 * again whether the booking is still ours. */
static void
job_go(struct job *job)
{
    int64_t now_boot_ms = clock_boot_ms();
    if (!lease_is_live(job->settler->parts.lease, now_boot_ms)) {
        job_ask_again(job);
    } else if (now_boot_ms >=
               lease_send_by_boot_ms(job->settler->parts.lease, job->taken_boot_ms)) {
        (void)snprintf(job->detail, sizeof job->detail, "it was in hand for too long");
        job_retry(job, 0, false);
    } else if (job->call != CALCOM_LOOK && now_boot_ms >= job->act_by_boot_ms) {
        job_call(job, CALCOM_LOOK);
    } else {
        job_send(job);
    }
}

static void
job_call(struct job *job, enum calcom_call call)
{
    int64_t wait_ms = governor_wait_ms(job->settler->parts.governor, clock_mono_ms());
    if (wait_ms > 0) {
        (void)snprintf(job->detail, sizeof job->detail, "calls to Cal.com are held");
        job_retry(job, wait_ms, false);
        return;
    }
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
settler_take(struct settler *settler, const struct store_job *taken, int64_t sent_boot_ms)
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
    job->paid = taken->paid;
    job->taken_boot_ms = sent_boot_ms;
    job->act_by_boot_ms = sent_boot_ms + taken->fresh_ms;
    job->busy_until_mono_ms = taken->busy_ms > 0 ? clock_mono_ms() + taken->busy_ms : 0;
    LIST_INSERT_HEAD(&settler->jobs, job, next);
    settler->count++;
    metrics_set(settler->parts.metrics, WORKER_IN_HAND, (int64_t)settler->count);
    /* The take itself was the beginning of the first call. */
    job->call = plan_first(taken->goal, taken->fresh_ms > 0, taken->guide,
                           calcom_confirm_is_harmless(settler->parts.calcom));
    job_send(job);
}

size_t
settler_count(const struct settler *settler)
{
    return settler->count;
}
