#include "worker/governor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "common/sha256.h"
#include "common/store.h"
#include "worker/calcom.h"
#include "worker/worker_metrics.h"

/* See the head of common/redis/gate.lua: what is handed over within the first is written within the
 * second, or not at all. */
#define RESERVED_MS 1000
#define WRITTEN_MS  2000

#define CALL_MARGIN_MS 3000 /* a call is over so long after its time limit */
#define UNSURE_MS      2000 /* neither Redis nor /me could say what is the matter */

#define WORKER_SIZE 64

/* Somebody who waits for a verdict. */
struct ask {
    SIMPLEQ_ENTRY(ask) next;
    struct governor *governor;
    char *token, *id, *note;
    int64_t wait_ms; /* if Redis cannot say how long */
    governor_verdict_cb *done;
    void *arg;
};

SIMPLEQ_HEAD(ask_list, ask);

struct governor {
    struct governor_parts parts;
    void (*changed)(void *arg);
    void *arg;
    char worker[WORKER_SIZE];
    struct store_gate_of of;
    size_t cause; /* of CAUSES */
    bool troubled;
    int64_t left;
    bool asking;           /* /me is asked */
    struct ask_list doubt; /* they wait for /me */
    struct ask_list asked; /* they wait for Redis */
    bool limit_was_told;
};

/* Why the breaker is open, in the order of the metrics. */
static const struct cause {
    const char *name;
    enum log_level level;
    const char *message;
    const char *problem; /* NULL: it passes by itself */
} CAUSES[] = {
    { "failures", LOG_LEVEL_WARN, "Cal.com fails; no booking is taken until a probe succeeds",
      NULL },
    { "credentials", LOG_LEVEL_ERROR,
      "Cal.com refuses the key: no booking can be settled; check CALCOM_API_KEY",
      "Cal.com refuses the key: check CALCOM_API_KEY\n" },
    { "url", LOG_LEVEL_ERROR,
      "Cal.com has no such route: no booking can be settled; check CALCOM_API_URL and "
      "CALCOM_API_VERSION",
      "Cal.com has no such route: check CALCOM_API_URL and CALCOM_API_VERSION\n" },
    { "rights", LOG_LEVEL_ERROR,
      "Cal.com refuses one booking after the other though it knows the key; check whose key "
      "CALCOM_API_KEY is and what it may do",
      "Cal.com refuses every booking: check whose key CALCOM_API_KEY is and what it may do\n" },
};

#define CAUSE_COUNT (sizeof CAUSES / sizeof CAUSES[0])
#define CLOSED      CAUSE_COUNT

/* Other reasons for a hold, behind the causes in the order of the metrics. */
static const char *const HOLDS[] = { "budget", "throttled", "in_flight", "lock" };

static size_t
find_cause(const char *name)
{
    for (size_t i = 0; i < CAUSE_COUNT; i++) {
        if (strcmp(name, CAUSES[i].name) == 0) {
            return i;
        }
    }
    return CLOSED;
}

/* ---- What Redis tells ---- */

static void
log_change(const struct governor *governor, const struct store_gate *gate)
{
    if (governor->cause == CLOSED) {
        log_info("Cal.com answers again", log_s("gate", governor->of.name));
        return;
    }
    const struct cause *cause = &CAUSES[governor->cause];
    LOG_EVENT(cause->level, cause->message, log_s("cause", cause->name),
              log_s("answer", gate->note), log_s("gate", governor->of.name));
}

static void
set_view(struct governor *governor, const struct store_gate *gate)
{
    struct metrics_shard *metrics = governor->parts.metrics;
    size_t before = governor->cause;
    governor->cause = find_cause(gate->cause);
    governor->troubled = gate->troubled;
    governor->left = gate->left;
    metrics_set(metrics, WORKER_BUDGET_LIMIT, governor->of.limit);
    metrics_set(metrics, WORKER_BUDGET_USED, gate->used);
    metrics_set(metrics, WORKER_BUDGET_LEFT, gate->left);
    metrics_set(metrics, WORKER_THROTTLED, gate->throttled);
    metrics_show(metrics, WORKER_THROTTLED, true);
    for (size_t i = 0; i < CAUSE_COUNT; i++) {
        metrics_set(metrics, WORKER_BREAKER_FAILURES + i, i == governor->cause);
    }
    if (governor->cause != before) {
        log_change(governor, gate);
        governor->changed(governor->arg);
    }
}

void
governor_count_hold(struct governor *governor, const char *why)
{
    size_t series = WORKER_HELD_OTHER;
    size_t cause = find_cause(why);
    for (size_t i = 0; i < sizeof HOLDS / sizeof HOLDS[0]; i++) {
        if (strcmp(why, HOLDS[i]) == 0) {
            series = WORKER_HELD_BUDGET + i;
        }
    }
    if (cause != CLOSED) {
        series = WORKER_HELD_FAILURES + cause;
    }
    metrics_add(governor->parts.metrics, series, 1);
}

void
governor_see(struct governor *governor, const struct store_gate *gate, const char *hold)
{
    if (*hold != '\0' && strcmp(hold, "probe") != 0) {
        governor_count_hold(governor, hold);
    }
    set_view(governor, gate);
}

const char *
governor_problem(const struct governor *governor)
{
    return governor->cause == CLOSED ? NULL : CAUSES[governor->cause].problem;
}

bool
governor_is_reserved(const struct governor *governor, int64_t reserved_boot_ms)
{
    return governor->of.limit == 0 || clock_boot_ms() - reserved_boot_ms <= RESERVED_MS;
}

int64_t
governor_send_by(const struct governor *governor, int64_t reserved_boot_ms)
{
    return governor->of.limit == 0 ? 0 : reserved_boot_ms + WRITTEN_MS;
}

/* ---- Telling Redis ---- */

static bool
has_failed(const struct calcom_answer *answer)
{
    return answer->http_status == 0 || answer->http_status >= 500 || answer->http_status == 408;
}

static const char *
heard_of(const struct governor_call *call)
{
    const struct calcom_answer *answer = call->answer;
    bool refused = answer->kind == CALCOM_CREDENTIALS || answer->kind == CALCOM_NO_ROUTE;
    if (answer->again || (call->call == CALCOM_LIST && refused)) {
        return "answered"; /* that route is missing where others are */
    }
    switch (answer->kind) {
    case CALCOM_THROTTLED:
        return "throttled";
    case CALCOM_CREDENTIALS:
        return "credentials";
    case CALCOM_NO_ROUTE:
        return "url";
    case CALCOM_DONE:
        return call->call == CALCOM_ME ? "me" : "success";
    case CALCOM_GONE:
    case CALCOM_UNCLEAR:
    case CALCOM_UNKNOWN:
    case CALCOM_TRANSIENT:
    case CALCOM_REFUSED:
        break;
    }
    return has_failed(answer) ? "failure" : "success";
}

static struct store_report
report_of(const struct governor_call *call)
{
    const struct calcom_answer *answer = call->answer;
    return (struct store_report){
        .heard = heard_of(call),
        .token = call->token,
        .id = call->id,
        .note = answer->detail,
        .act = call->call == CALCOM_CONFIRM || call->call == CALCOM_DECLINE ||
               call->call == CALCOM_CANCEL,
        .wait_ms = answer->retry_after_ms,
        .remaining = answer->remaining,
        .reset_ms = answer->reset_ms,
    };
}

static void
governor_on_told(enum store_result result, const struct store_gate *gate, int64_t wait_ms,
                 void *arg)
{
    (void)wait_ms;
    if (result == STORE_DONE) {
        set_view(arg, gate);
    }
}

static void
check_limit(struct governor *governor, const struct calcom_answer *answer)
{
    if (answer->limit < 0 || answer->limit >= governor->of.limit || governor->limit_was_told) {
        return;
    }
    governor->limit_was_told = true;
    log_warn("Cal.com allows fewer calls than CALCOM_RATE_LIMIT says",
             log_i("allowed", answer->limit), log_i("CALCOM_RATE_LIMIT", governor->of.limit));
}

/* Whether the booking can go on before it is known what the answer means to all. */
static bool
goes_on(enum calcom_call call, const struct calcom_answer *answer)
{
    if (call == CALCOM_LIST) {
        return true; /* no booking waits for it */
    }
    switch (answer->kind) {
    case CALCOM_DONE:
    case CALCOM_GONE:
    case CALCOM_UNCLEAR:
    case CALCOM_REFUSED:
        return true;
    case CALCOM_UNKNOWN:
        return call != CALCOM_LOOK;
    case CALCOM_TRANSIENT:
    case CALCOM_THROTTLED:
    case CALCOM_CREDENTIALS:
        return false;
    case CALCOM_NO_ROUTE:
        return answer->again;
    }
    return false;
}

bool
governor_hear(struct governor *governor, const struct governor_call *call)
{
    const struct calcom_answer *answer = call->answer;
    if (!goes_on(call->call, answer)) {
        return false;
    }
    const struct store_report report = report_of(call);
    bool fine = strcmp(report.heard, "success") == 0 || strcmp(report.heard, "answered") == 0;
    bool scarce =
        governor->of.limit > 0 && answer->remaining >= 0 && answer->remaining < governor->left;
    check_limit(governor, answer);
    if (!fine || governor->troubled || scarce || governor->of.guard) {
        store_report(governor->parts.store, &report, governor_on_told, governor);
    }
    return true;
}

/* ---- Finding out what an answer means ---- */

static struct ask *
ask_new(struct governor *governor, const struct governor_call *call, governor_verdict_cb *done,
        void *arg)
{
    struct ask *ask = calloc(1, sizeof *ask);
    if (ask == NULL) {
        abort(); /* the booking would stay in hand for ever */
    }
    ask->governor = governor;
    ask->token = strdup(call->token);
    ask->id = strdup(call->id);
    ask->note = strdup(call->answer->detail);
    ask->done = done;
    ask->arg = arg;
    if (ask->token == NULL || ask->id == NULL || ask->note == NULL) {
        abort();
    }
    return ask;
}

static void
ask_free(struct ask *ask)
{
    free(ask->token);
    free(ask->id);
    free(ask->note);
    free(ask);
}

static void
ask_end(struct ask *ask, int64_t wait_ms, bool refused)
{
    const struct governor_verdict verdict = { wait_ms, refused };
    SIMPLEQ_REMOVE(&ask->governor->asked, ask, ask, next);
    ask->done(&verdict, ask->arg);
    ask_free(ask);
}

static void
governor_on_judged(enum store_result result, const struct store_gate *gate, int64_t wait_ms,
                   void *arg)
{
    struct ask *ask = arg;
    if (result == STORE_DONE) {
        set_view(ask->governor, gate);
    } else {
        wait_ms = ask->wait_ms;
    }
    ask_end(ask, wait_ms, false);
}

/* It is refused for good, unless one booking after the other is. */
static void
governor_on_refused(enum store_result result, const struct store_gate *gate, int64_t wait_ms,
                    void *arg)
{
    struct ask *ask = arg;
    if (result == STORE_DONE) {
        set_view(ask->governor, gate);
        ask_end(ask, wait_ms, wait_ms == 0);
    } else {
        ask_end(ask, UNSURE_MS, false);
    }
}

static void
tell(struct ask *ask, const struct store_report *report, store_report_cb *done)
{
    SIMPLEQ_INSERT_TAIL(&ask->governor->asked, ask, next);
    store_report(ask->governor->parts.store, report, done, ask);
}

/* /me was answered, or cannot be asked: everybody in doubt goes on. */
static void
end_doubt(struct governor *governor, const struct calcom_answer *answer, int64_t wait_ms)
{
    governor->asking = false;
    bool key_is_fine = answer != NULL && answer->kind == CALCOM_DONE;
    while (!SIMPLEQ_EMPTY(&governor->doubt)) {
        struct ask *ask = SIMPLEQ_FIRST(&governor->doubt);
        SIMPLEQ_REMOVE_HEAD(&governor->doubt, next);
        if (key_is_fine) {
            const struct store_report report = {
                .heard = "refused",
                .token = ask->token,
                .id = ask->id,
                .note = ask->note,
                .wait_ms = -1,
                .remaining = -1,
                .reset_ms = -1,
            };
            tell(ask, &report, governor_on_refused);
        } else {
            SIMPLEQ_INSERT_TAIL(&governor->asked, ask, next);
            ask_end(ask, wait_ms, false);
        }
    }
}

/* The answer is gone by now; what it said to those in doubt is how long to wait. */
static void
governor_on_me_told(enum store_result result, const struct store_gate *gate, int64_t wait_ms,
                    void *arg)
{
    struct governor *governor = arg;
    if (result == STORE_DONE) {
        set_view(governor, gate);
    }
    end_doubt(governor, NULL, wait_ms > 0 ? wait_ms : UNSURE_MS);
}

static void
governor_on_me(const struct calcom_answer *answer, void *arg)
{
    struct governor *governor = arg;
    const struct governor_call call = { governor->worker, "me", CALCOM_ME, answer };
    const struct store_report report = report_of(&call);
    metrics_add(governor->parts.metrics, WORKER_ANSWER_DONE + (size_t)answer->kind, 1);
    if (answer->too_late) {
        end_doubt(governor, NULL, UNSURE_MS);
    } else if (answer->kind == CALCOM_DONE) {
        store_report(governor->parts.store, &report, governor_on_told, governor);
        end_doubt(governor, answer, 0);
    } else {
        store_report(governor->parts.store, &report, governor_on_me_told, governor);
    }
}

static void
ask_me(struct governor *governor, int64_t send_by_boot_ms)
{
    const struct calcom_subject subject = { .id = "",
                                            .uid = "",
                                            .seat = "",
                                            .reason = "",
                                            .send_by_boot_ms = send_by_boot_ms,
                                            .traceparent = "" };
    metrics_add(governor->parts.metrics, WORKER_CALL_ME, 1);
    if (!calcom_send(governor->parts.calcom, CALCOM_ME, &subject, governor_on_me, governor)) {
        end_doubt(governor, NULL, UNSURE_MS);
    }
}

static void
governor_on_reserved(enum store_result result, enum store_step step, const char *detail, void *arg)
{
    struct governor *governor = arg;
    if (result == STORE_DONE && step == STORE_STEP_GO) {
        ask_me(governor, governor_send_by(governor, clock_boot_ms()));
    } else {
        int64_t wait_ms = step == STORE_STEP_HOLD ? strtoll(detail, NULL, 10) : 0;
        end_doubt(governor, NULL, wait_ms > 0 ? wait_ms : UNSURE_MS);
    }
}

void
governor_probe(struct governor *governor)
{
    if (!governor->asking) {
        governor->asking = true;
        ask_me(governor, 0); /* a worker that was told to is the only one */
    }
}

void
governor_judge(struct governor *governor, const struct governor_call *call,
               governor_verdict_cb *done, void *arg)
{
    struct ask *ask = ask_new(governor, call, done, arg);
    check_limit(governor, call->answer);
    struct store_report report = report_of(call);
    if (call->answer->kind == CALCOM_CREDENTIALS) {
        if (governor->of.guard) {
            report.heard = "answered"; /* that call is no more on its way */
            store_report(governor->parts.store, &report, governor_on_told, governor);
        }
        SIMPLEQ_INSERT_TAIL(&governor->doubt, ask, next);
        if (!governor->asking) {
            governor->asking = true;
            store_reserve(governor->parts.store, governor->worker, governor_on_reserved, governor);
        }
        return;
    }
    ask->wait_ms = call->answer->kind == CALCOM_THROTTLED || call->answer->kind == CALCOM_NO_ROUTE
                       ? UNSURE_MS
                       : 0;
    if (ask->wait_ms > 0 && call->answer->retry_after_ms > ask->wait_ms) {
        ask->wait_ms = call->answer->retry_after_ms;
    }
    tell(ask, &report, governor_on_judged);
}

/* ---- Life ---- */

void
governor_set_key(struct governor *governor, const char *key)
{
    const struct config *config = governor->parts.config;
    const struct calcom *calcom = governor->parts.calcom;
    char hex[SHA256_HEX_SIZE];
    sha256_hex(key, strlen(key), hex);
    bool same = strncmp(governor->of.name, hex, sizeof governor->of.name - 1) == 0;
    (void)snprintf(governor->of.name, sizeof governor->of.name, "%.16s", hex);
    governor->of.call_ms = config->calcom_timeout_ms + CALL_MARGIN_MS;
    governor->of.limit = config->rate_limit_given ? config->rate_limit : calcom_usual_limit(calcom);
    governor->of.guard = calcom_locks_account(calcom) && governor->of.limit > 0;
    store_set_gate(governor->parts.store, &governor->of);
    governor->troubled = false;
    governor->left = governor->of.limit;
    if (!same && governor->cause != CLOSED) {
        governor->cause = CLOSED;
        governor->changed(governor->arg);
    }
}

void
governor_set_worker(struct governor *governor, const char *worker)
{
    (void)snprintf(governor->worker, sizeof governor->worker, "%s", worker);
}

struct governor *
governor_new(const struct governor_parts *parts, void (*changed)(void *arg), void *arg)
{
    struct governor *governor = calloc(1, sizeof *governor);
    if (governor == NULL) {
        return NULL;
    }
    governor->parts = *parts;
    governor->changed = changed;
    governor->arg = arg;
    governor->cause = CLOSED;
    SIMPLEQ_INIT(&governor->doubt);
    SIMPLEQ_INIT(&governor->asked);
    governor_set_key(governor, parts->config->calcom_api_key);
    return governor;
}

static void
drop(struct ask_list *list)
{
    while (!SIMPLEQ_EMPTY(list)) {
        struct ask *ask = SIMPLEQ_FIRST(list);
        SIMPLEQ_REMOVE_HEAD(list, next);
        ask_free(ask);
    }
}

void
governor_free(struct governor *governor)
{
    if (governor == NULL) {
        return;
    }
    drop(&governor->doubt);
    drop(&governor->asked);
    free(governor);
}
