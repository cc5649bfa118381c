/*
 * Sends traces to an OpenTelemetry collector (OTLP over HTTP, as JSON), some of them at a time.
 * Bookings never wait for it: what the collector does not take in time is dropped and counted
 * (tollgate_worker_traces_total).
 *
 *   otlp_send --> queue (bounded) --some, or after a second--> one request at a time --> exported
 *                   | full                                       |  ^ 429, 502 to 504, no answer:
 *                   v                                            |  '-- again, OTLP_TRIES in all
 *                dropped                                         '--anything else--> failed
 */
#ifndef TOLLGATE_OTLP_H
#define TOLLGATE_OTLP_H

#include <stdbool.h>

struct config;
struct event_base;
struct metrics_shard;
struct otlp;

#define OTLP_TRIES    4
#define OTLP_FLUSH_MS 3000 /* what is left at the end has so long */

struct otlp_parts {
    struct event_base *base;
    const struct config *config; /* with an endpoint */
    struct metrics_shard *metrics;
    const char *instance; /* service.instance.id: this worker's name; copied */
};

/* NULL when OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS can be used, or are not given; else what is
 * wrong (a constant). */
const char *otlp_problem(const struct config *config);

/* The parts must outlive it. NULL when memory is out. */
__attribute__((warn_unused_result)) struct otlp *otlp_new(const struct otlp_parts *parts);

/* What is not sent yet is lost. Not from inside a callback. Accepts NULL. */
void otlp_free(struct otlp *otlp);

/* Uses other headers from now on, which otlp_problem has passed. The old ones stay when memory is
 * out. */
void otlp_set_headers(struct otlp *otlp, const char *headers);

/* The spans of one booking (see trace_write), which become its own to free; NULL counts as
 * dropped. */
void otlp_send(struct otlp *otlp, char *spans);

/* Nothing comes any more: sends what is left, without trying again. `flushed` runs once, after
 * OTLP_FLUSH_MS at most, possibly before the call returns; never when it is freed before. */
void otlp_flush(struct otlp *otlp, void (*flushed)(void *arg), void *arg);

#endif
