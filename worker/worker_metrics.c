#include "worker/worker_metrics.h"

#define BOOKINGS "tollgate_worker_bookings_total"
#define CALLS    "tollgate_worker_calcom_calls_total"
#define ANSWERS  "tollgate_worker_calcom_answers_total"

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
    [WORKER_ANSWER_DONE] = { ANSWERS, "class=\"done\"", "Answers of Cal.com's API, by class.",
                             METRIC_COUNTER },
    [WORKER_ANSWER_GONE] = { ANSWERS, "class=\"gone\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_UNCLEAR] = { ANSWERS, "class=\"unclear\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_UNKNOWN] = { ANSWERS, "class=\"unknown\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_TRANSIENT] = { ANSWERS, "class=\"transient\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_THROTTLED] = { ANSWERS, "class=\"throttled\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_REFUSED] = { ANSWERS, "class=\"refused\"", NULL, METRIC_COUNTER },
    [WORKER_ANSWER_CREDENTIALS] = { ANSWERS, "class=\"credentials\"", NULL, METRIC_COUNTER },
    [WORKER_IN_HAND] = { "tollgate_worker_bookings_in_hand", NULL,
                         "Bookings in this worker's hands.", METRIC_GAUGE },
    [WORKER_WAITING] = { "tollgate_queue_length", NULL,
                         "Names in the queue when this worker last took.", METRIC_GAUGE },
    [WORKER_CALL_SECONDS] = { "tollgate_worker_calcom_call_seconds", NULL,
                              "How long calls to Cal.com's API took.", METRIC_HISTOGRAM },
};
