#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/store.h"
#include "worker/governor.h"
#include "worker/otlp.h"
#include "worker/settle_internal.h"
#include "worker/trace.h"
#include "worker/worker_metrics.h"

/* A call that may go out within this is waited for in hand, so often. */
#define SHORT_HOLD_MS 500
#define SHORT_HOLDS   10

static void job_end(struct job *job);

void
job_leave_turn(struct job *job)
{
    if (job->waits) {
        TAILQ_REMOVE(&job->settler->turn, job, in_turn);
        job->waits = false;
    }
}

void
job_free(struct job *job)
{
    job->settler->count--;
    LIST_REMOVE(job, next);
    job_leave_turn(job);
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

void
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

void
job_join(struct job *job, const char *series)
{
    job->ending = END_JOIN;
    (void)snprintf(job->joined, sizeof job->joined, "%s", series);
    job_end(job);
}

void
job_refuse(struct job *job)
{
    job->ending = END_REFUSE;
    job_end(job);
}

void
job_give_back(struct job *job)
{
    job->ending = END_GIVE_BACK;
    job_end(job);
}

void
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

void
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

/* What the outcome tells beside itself. */
static void
job_note_settled(const struct job *job, const char *state, const struct store_settled *settled)
{
    const struct settler_parts *parts = &job->settler->parts;
    if (settled->latency_ms >= 0) {
        metrics_observe_us(parts->metrics, WORKER_SETTLE_SECONDS, settled->latency_ms * 1000);
    }
    if (settled->traced && job->trace.recorded) {
        const struct trace_booking booking = { parts->ns, job->id, job->uid };
        otlp_send(parts->otlp, trace_write(&job->trace, &booking, state, settled));
    }
}

static void
settler_on_settled(enum store_result result, enum store_step step, const char *detail,
                   const struct store_settled *settled, void *arg)
{
    struct job *job = arg;
    if (settled != NULL && !job->settler->closing) {
        job_note_settled(job, detail, settled);
    }
    settler_on_step(result, step, detail, arg);
}

void
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

void
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
        store_settle(store, &step, job->outcome, job->members, settler_on_settled, job);
        break;
    case END_REFUSE:
        store_refuse(store, &step, settler_on_settled, job);
        break;
    case END_RETRY:
        store_retry(store, &step, job->delay_ms, job->burn, settler_on_step, job);
        break;
    case END_JOIN:
        store_join(store, &step, job->joined, settler_on_step, job);
        break;
    case END_GIVE_BACK:
        store_give_back(store, job->id, job->token, settler_on_step, job);
        break;
    }
}
