#include "worker/worker_metrics.h"

#include <string.h>

#include "common/build_info.h"

#define DECISIONS "tollgate_decisions_total"
#define TRACES    "tollgate_worker_traces_total"
#define BOOKINGS  "tollgate_worker_bookings_total"
#define CALLS     "tollgate_worker_calcom_calls_total"
#define ANSWERS   "tollgate_worker_calcom_answers_total"
#define BREAKER   "tollgate_calcom_breaker_open"
#define HELD      "tollgate_worker_held_total"
#define FOUND     "tollgate_worker_sweep_found_total"
#define BACK      "tollgate_worker_bookings_taken_back_total"

const struct metric WORKER_METRICS[WORKER_METRIC_COUNT] = {
    [WORKER_SETTLED_ACCEPTED] = { BOOKINGS, "result=\"accepted\"",
                                  "Bookings put down by this worker, by what became of them.",
                                  METRIC_COUNTER },
    [WORKER_SETTLED_REJECTED] = { BOOKINGS, "result=\"rejected\"", NULL, METRIC_COUNTER },
    [WORKER_SETTLED_CANCELLED] = { BOOKINGS, "result=\"cancelled\"", NULL, METRIC_COUNTER },
    [WORKER_SETTLED_FAILED] = { BOOKINGS, "result=\"failed\"", NULL, METRIC_COUNTER },
    [WORKER_RETRIED] = { BOOKINGS, "result=\"retry\"", NULL, METRIC_COUNTER },
    [WORKER_DEAD] = { BOOKINGS, "result=\"dead\"", NULL, METRIC_COUNTER },
    [WORKER_STALE] = { BOOKINGS, "result=\"stale\"", NULL, METRIC_COUNTER },
    [WORKER_CALL_LOOK] = { CALLS, "call=\"look\"", "Calls to Cal.com's API.", METRIC_COUNTER },
    [WORKER_CALL_CONFIRM] = { CALLS, "call=\"confirm\"", NULL, METRIC_COUNTER },
    [WORKER_CALL_DECLINE] = { CALLS, "call=\"decline\"", NULL, METRIC_COUNTER },
    [WORKER_CALL_CANCEL] = { CALLS, "call=\"cancel\"", NULL, METRIC_COUNTER },
    [WORKER_CALL_ME] = { CALLS, "call=\"me\"", NULL, METRIC_COUNTER },
    [WORKER_CALL_LIST] = { CALLS, "call=\"list\"", NULL, METRIC_COUNTER },
    [WORKER_CALLS_WITHHELD] = { "tollgate_worker_calcom_calls_withheld_total", NULL,
                                "Calls that did not go out: the lease, or what was known of the "
                                "booking, had grown too old.",
                                METRIC_COUNTER },
    [WORKER_ANSWER_DONE] = { ANSWERS, "class=\"done\"", "Answers of Cal.com's API, by class.",
                             METRIC_COUNTER },
    [WORKER_ANSWER_GONE] = { ANSWERS, "class=\"gone\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_UNCLEAR] = { ANSWERS, "class=\"unclear\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_UNKNOWN] = { ANSWERS, "class=\"unknown\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_TRANSIENT] = { ANSWERS, "class=\"transient\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_THROTTLED] = { ANSWERS, "class=\"throttled\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_REFUSED] = { ANSWERS, "class=\"refused\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_CREDENTIALS] = { ANSWERS, "class=\"credentials\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_NO_ROUTE] = { ANSWERS, "class=\"no_route\"", NULL, METRIC_COUNTER },
    [WORKER_IN_HAND] = { "tollgate_worker_bookings_in_hand", NULL,
                         "Bookings in this worker's hands.", METRIC_GAUGE },
    [WORKER_LEASED] = { "tollgate_worker_leased", NULL,
                        "1 while this worker's lease holds, else 0.", METRIC_GAUGE },
    [WORKER_LEASES_LOST] = { "tollgate_worker_leases_lost_total", NULL,
                             "How often others took what this worker had in hand.",
                             METRIC_COUNTER },
    [WORKER_REAPED] = { "tollgate_worker_reaped_workers_total", NULL,
                        "Dead workers whose bookings this worker gave back.", METRIC_COUNTER },
    [WORKER_TAKEN_BACK_DEAD] = { BACK, "why=\"dead\"",
                                 "Bookings that this worker gave back for others: for one that "
                                 "died, or "
                                 "had them in hand for too long.",
                                 METRIC_COUNTER },
    [WORKER_TAKEN_BACK_OVERDUE] = { BACK, "why=\"overdue\"", NULL, METRIC_COUNTER },
    [WORKER_BUDGET_LIMIT] = { "tollgate_calcom_budget_limit", NULL,
                              "Calls to Cal.com that all workers together may make per minute; 0: "
                              "as many as they like.",
                              METRIC_GAUGE },
    [WORKER_BUDGET_USED] = { "tollgate_calcom_budget_used", NULL,
                             "Of these, how many were used when this worker last asked.",
                             METRIC_GAUGE },
    [WORKER_BUDGET_LEFT] = { "tollgate_calcom_budget_left", NULL,
                             "And how many were left; -1: there is no limit.", METRIC_GAUGE },
    [WORKER_BREAKER_FAILURES] = { BREAKER, "cause=\"failures\"",
                                  "1: nobody calls Cal.com, for this cause, as this worker last "
                                  "heard.",
                                  METRIC_GAUGE },
    [WORKER_BREAKER_CREDENTIALS] = { BREAKER, "cause=\"credentials\"", NULL, METRIC_GAUGE },
    [WORKER_BREAKER_URL] = { BREAKER, "cause=\"url\"", NULL, METRIC_GAUGE },
    [WORKER_BREAKER_RIGHTS] = { BREAKER, "cause=\"rights\"", NULL, METRIC_GAUGE },
    [WORKER_THROTTLED] = { "tollgate_calcom_throttled_total", NULL,
                           "How often Cal.com answered 429 to any worker with this key.",
                           METRIC_LATE_COUNTER },
    [WORKER_HELD_FAILURES] = { HELD, "reason=\"failures\"",
                               "How often this worker might not call Cal.com, by why.",
                               METRIC_COUNTER },
    [WORKER_HELD_CREDENTIALS] = { HELD, "reason=\"credentials\"", NULL, METRIC_COUNTER },
    [WORKER_HELD_URL] = { HELD, "reason=\"url\"", NULL, METRIC_COUNTER },
    [WORKER_HELD_RIGHTS] = { HELD, "reason=\"rights\"", NULL, METRIC_COUNTER },
    [WORKER_HELD_BUDGET] = { HELD, "reason=\"budget\"", NULL, METRIC_COUNTER },
    [WORKER_HELD_THROTTLED] = { HELD, "reason=\"throttled\"", NULL, METRIC_COUNTER },
    [WORKER_HELD_IN_FLIGHT] = { HELD, "reason=\"in_flight\"", NULL, METRIC_COUNTER },
    [WORKER_HELD_LOCK] = { HELD, "reason=\"lock\"", NULL, METRIC_COUNTER },
    [WORKER_HELD_OTHER] = { HELD, "reason=\"other\"", NULL, METRIC_COUNTER },
    [WORKER_QUEUE_LENGTH] = { "tollgate_queue_length", NULL,
                              "Names in the queue. This and what follows, up to the audit, each "
                              "worker asks of Redis every 5 s: do not add it up over workers.",
                              METRIC_GAUGE },
    [WORKER_QUEUE_AGE] = { "tollgate_queue_oldest_seconds", NULL,
                           "For how long the next booking of the queue has waited in it; 0: none "
                           "waits.",
                           METRIC_GAUGE },
    [WORKER_PAUSED] = { "tollgate_queue_paused", NULL,
                        "1 while a person has paused the queue, else 0.", METRIC_GAUGE },
    [WORKER_RETRIES] = { "tollgate_retry_bookings", NULL, "Bookings that are tried again later.",
                         METRIC_GAUGE },
    [WORKER_RETRY_AGE] = { "tollgate_retry_overdue_seconds", NULL,
                           "For how long the first of these has been due; 0: none is.",
                           METRIC_GAUGE },
    [WORKER_DEAD_BOOKINGS] = { "tollgate_dead_bookings", NULL,
                               "Bookings that were given up; a person decides.", METRIC_GAUGE },
    [WORKER_WORKERS] = { "tollgate_workers", NULL, "Workers whose lease holds.", METRIC_GAUGE },
    [WORKER_DRIFT] = { "tollgate_drift", NULL,
                       "Bookings about which Cal.com, record and ledger disagree.", METRIC_GAUGE },
    [WORKER_UNBALANCED] = { "tollgate_unbalanced_accounts", NULL,
                            "Accounts whose ledger is not in order.", METRIC_GAUGE },
    [WORKER_AUDIT_AGE] = { "tollgate_audit_age_seconds", NULL,
                           "Since the newest entries of all ledgers had been looked at; -1: that "
                           "was never yet.",
                           METRIC_GAUGE },
    [WORKER_SWEEPS] = { "tollgate_worker_sweeps_total", NULL,
                        "How often this worker swept to the end.", METRIC_COUNTER },
    [WORKER_FOUND_QUEUED] = { FOUND, "result=\"queued\"",
                              "Bookings that no webhook told of and the sweep found.",
                              METRIC_COUNTER },
    [WORKER_FOUND_LISTED] = { FOUND, "result=\"listed\"", NULL, METRIC_COUNTER },
    [WORKER_LOOKS_ORDERED] = { "tollgate_worker_sweep_looks_total", NULL,
                               "Known bookings that the sweep had looked at again.",
                               METRIC_COUNTER },
    [WORKER_ACCEPT_POLICY] = { DECISIONS, "outcome=\"accept\",class=\"policy\"",
                               "Decisions by outcome and class, ever, of all workers together: do "
                               "not add it up over "
                               "workers. hand: the host had accepted the booking before; observe: "
                               "nothing came of it.",
                               METRIC_LATE_COUNTER },
    [WORKER_ACCEPT_HAND] = { DECISIONS, "outcome=\"accept\",class=\"hand\"", NULL,
                             METRIC_LATE_COUNTER },
    [WORKER_ACCEPT_SERIES] = { DECISIONS, "outcome=\"accept\",class=\"series\"", NULL,
                               METRIC_LATE_COUNTER },
    [WORKER_ACCEPT_OBSERVE] = { DECISIONS, "outcome=\"accept\",class=\"observe\"", NULL,
                                METRIC_LATE_COUNTER },
    [WORKER_REJECT_CREDIT] = { DECISIONS, "outcome=\"reject\",class=\"credit\"", NULL,
                               METRIC_LATE_COUNTER },
    [WORKER_REJECT_ACCOUNT] = { DECISIONS, "outcome=\"reject\",class=\"account\"", NULL,
                                METRIC_LATE_COUNTER },
    [WORKER_REJECT_BLOCKED] = { DECISIONS, "outcome=\"reject\",class=\"blocked\"", NULL,
                                METRIC_LATE_COUNTER },
    [WORKER_REJECT_EXPIRED] = { DECISIONS, "outcome=\"reject\",class=\"expired\"", NULL,
                                METRIC_LATE_COUNTER },
    [WORKER_REJECT_POLICY] = { DECISIONS, "outcome=\"reject\",class=\"policy\"", NULL,
                               METRIC_LATE_COUNTER },
    [WORKER_REJECT_TWIN] = { DECISIONS, "outcome=\"reject\",class=\"twin\"", NULL,
                             METRIC_LATE_COUNTER },
    [WORKER_REJECT_HAND] = { DECISIONS, "outcome=\"reject\",class=\"hand\"", NULL,
                             METRIC_LATE_COUNTER },
    [WORKER_REJECT_SERIES] = { DECISIONS, "outcome=\"reject\",class=\"series\"", NULL,
                               METRIC_LATE_COUNTER },
    [WORKER_REJECT_OBSERVE] = { DECISIONS, "outcome=\"reject\",class=\"observe\"", NULL,
                                METRIC_LATE_COUNTER },
    [WORKER_DEFER_POLICY] = { DECISIONS, "outcome=\"defer\",class=\"policy\"", NULL,
                              METRIC_LATE_COUNTER },
    [WORKER_TRACES_EXPORTED] = { TRACES, "result=\"exported\"",
                                 "Traces of bookings, by what became of them. dropped: there was "
                                 "no room for it; failed: the collector did not take it.",
                                 METRIC_COUNTER },
    [WORKER_TRACES_DROPPED] = { TRACES, "result=\"dropped\"", NULL, METRIC_COUNTER },
    [WORKER_TRACES_FAILED] = { TRACES, "result=\"failed\"", NULL, METRIC_COUNTER },
    [WORKER_TRACES_WAITING] = { "tollgate_worker_traces_waiting", NULL,
                                "Traces that the collector does not have yet.", METRIC_GAUGE },
    [WORKER_CALL_SECONDS] = { "tollgate_worker_calcom_call_seconds", NULL,
                              "How long calls to Cal.com's API took.", METRIC_HISTOGRAM },
    [WORKER_SETTLE_SECONDS] = { "tollgate_worker_settle_seconds", NULL,
                                "From the webhook to the outcome, of bookings that this worker "
                                "settled; not of those that the policy put off or a person had "
                                "tried again.",
                                METRIC_HISTOGRAM },
    [WORKER_CONCURRENCY] = { "tollgate_worker_concurrency", NULL,
                             "Calls to Cal.com that this worker makes at a time, at most.",
                             METRIC_GAUGE },
    [WORKER_BUILD_INFO] = { "tollgate_build_info", BUILD_INFO_LABELS, BUILD_INFO_HELP,
                            METRIC_GAUGE },
};

void
worker_metrics_count_settled(struct metrics_shard *metrics, const char *state)
{
    static const struct {
        const char *state;
        enum worker_metric metric;
    } STATES[] = {
        { "accepted", WORKER_SETTLED_ACCEPTED },
        { "rejected", WORKER_SETTLED_REJECTED },
        { "cancelled", WORKER_SETTLED_CANCELLED },
        { "failed", WORKER_SETTLED_FAILED },
    };
    for (size_t i = 0; i < sizeof STATES / sizeof STATES[0]; i++) {
        if (strcmp(state, STATES[i].state) == 0) {
            metrics_add(metrics, STATES[i].metric, 1);
        }
    }
}
