#include "ingest/ingest_metrics.h"

#define WEBHOOKS "tollgate_ingest_webhooks_total"
#define EVENTS   "tollgate_ingest_events_total"

const struct metric INGEST_METRICS[INGEST_METRIC_COUNT] = {
    [INGEST_QUEUED] = { WEBHOOKS, "result=\"queued\"", "Webhooks by what became of them.",
                        METRIC_COUNTER },
    [INGEST_NO_WORK] = { WEBHOOKS, "result=\"no_work\"", NULL, METRIC_COUNTER },
    [INGEST_PING] = { WEBHOOKS, "result=\"ping\"", NULL, METRIC_COUNTER },
    [INGEST_IGNORED] = { WEBHOOKS, "result=\"ignored_trigger\"", NULL, METRIC_COUNTER },
    [INGEST_OTHER_EVENT_TYPE] = { WEBHOOKS, "result=\"other_event_type\"", NULL, METRIC_COUNTER },
    [INGEST_MALFORMED] = { WEBHOOKS, "result=\"malformed\"", NULL, METRIC_COUNTER },
    [INGEST_UNSIGNED] = { WEBHOOKS, "result=\"unsigned\"", NULL, METRIC_COUNTER },
    [INGEST_WRONG_SIGNATURE] = { WEBHOOKS, "result=\"wrong_signature\"", NULL, METRIC_COUNTER },
    [INGEST_UNAVAILABLE] = { WEBHOOKS, "result=\"unavailable\"", NULL, METRIC_COUNTER },
    [INGEST_BAD_REQUEST] = { WEBHOOKS, "result=\"bad_request\"", NULL, METRIC_COUNTER },
    [INGEST_EVENT_REQUESTED] = { EVENTS, "trigger=\"requested\"",
                                 "Booking events that were understood, by trigger.",
                                 METRIC_COUNTER },
    [INGEST_EVENT_CREATED] = { EVENTS, "trigger=\"created\"", NULL, METRIC_COUNTER },
    [INGEST_EVENT_REJECTED] = { EVENTS, "trigger=\"rejected\"", NULL, METRIC_COUNTER },
    [INGEST_EVENT_CANCELLED] = { EVENTS, "trigger=\"cancelled\"", NULL, METRIC_COUNTER },
    [INGEST_EVENT_RESCHEDULED] = { EVENTS, "trigger=\"rescheduled\"", NULL, METRIC_COUNTER },
    [INGEST_EVENT_PAYMENT] = { EVENTS, "trigger=\"payment\"", NULL, METRIC_COUNTER },
    [INGEST_CONNECTIONS] = { "tollgate_ingest_connections", NULL, "Open connections.",
                             METRIC_GAUGE },
    [INGEST_REFUSED_CONNECTIONS] = { "tollgate_ingest_connections_refused_total", NULL,
                                     "Connections closed because too many were open.",
                                     METRIC_COUNTER },
    [INGEST_TIMED_OUT_REQUESTS] = { "tollgate_ingest_requests_timed_out_total", NULL,
                                    "Connections closed because a request did not come in time.",
                                    METRIC_COUNTER },
    [INGEST_ACCEPT_PAUSES] = { "tollgate_ingest_accept_pauses_total", NULL,
                               "Times that accepting paused for want of file descriptors.",
                               METRIC_COUNTER },
    [INGEST_ACK_SECONDS] = { "tollgate_ingest_ack_seconds", NULL,
                             "From a whole request to its answer.", METRIC_HISTOGRAM },
};
