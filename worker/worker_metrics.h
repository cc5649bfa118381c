/* The series that the worker counts; the table itself is in worker_metrics.c in the same order. */
#ifndef TOLLGATE_WORKER_METRICS_H
#define TOLLGATE_WORKER_METRICS_H

#include "common/metrics.h"

enum worker_metric {
    WORKER_SETTLED_ACCEPTED,
    WORKER_SETTLED_REJECTED,
    WORKER_SETTLED_CANCELLED,
    WORKER_SETTLED_FAILED,
    WORKER_RETRIED,
    WORKER_DEAD,
    WORKER_STALE,
    WORKER_CALL_LOOK, /* + enum calcom_call */
    WORKER_CALL_CONFIRM,
    WORKER_CALL_DECLINE,
    WORKER_CALL_CANCEL,
    WORKER_CALLS_WITHHELD,
    WORKER_ANSWER_DONE, /* + enum calcom_class */
    WORKER_ANSWER_GONE,
    WORKER_ANSWER_UNCLEAR,
    WORKER_ANSWER_UNKNOWN,
    WORKER_ANSWER_TRANSIENT,
    WORKER_ANSWER_THROTTLED,
    WORKER_ANSWER_REFUSED,
    WORKER_ANSWER_CREDENTIALS,
    WORKER_IN_HAND,
    WORKER_WAITING,
    WORKER_LEASED,
    WORKER_LEASES_LOST,
    WORKER_REAPED,
    WORKER_TAKEN_BACK_DEAD,
    WORKER_TAKEN_BACK_OVERDUE,
    WORKER_CALL_SECONDS,
    WORKER_METRIC_COUNT,
};

extern const struct metric WORKER_METRICS[WORKER_METRIC_COUNT];

/* Counts a booking that reached this state. */
void worker_metrics_count_settled(struct metrics_shard *metrics, const char *state);

#endif
