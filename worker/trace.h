/*
 * The trace of one booking (OpenTelemetry): which one it is, what is sent on with each call to
 * Cal.com, and its spans when it is settled. Pure.
 *
 *   booking                      from the webhook to the outcome
 *     received                   until it was in the queue: short, unless it waited in a spool
 *     queued                     until it was decided
 *     decided                    (a moment: deciding is one step inside Redis)
 *     look, confirm, …           each call to Cal.com
 *     settled                    from the last call's end until the outcome was written
 *
 * All IDs follow from what every worker knows of the booking, so a booking that passes through the
 * hands of several has one trace, and nothing about traces has to be kept.
 */
#ifndef TOLLGATE_TRACE_H
#define TOLLGATE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/traceparent.h"
#include "worker/plan.h"

struct store_settled;

struct trace {
    char id[TRACE_ID_SIZE];         /* "": it is in no trace */
    char parent_span[SPAN_ID_SIZE]; /* whose request the webhook was; "": the trace begins here */
    bool sampled;                   /* as it is sent on */
    bool recorded;                  /* its spans are exported */
};

/* Who a trace of our own belongs to; and by the uid, which nobody can guess, what it is called. */
struct trace_booking {
    const char *ns, *id, *uid;
};

/*
 * traceparent: of the booking's webhook; "" or not valid: none. Without one a trace of our own is
 * begun when `exporting`. One that whoever began it does not record is not recorded here either.
 */
void trace_begin(struct trace *trace, const char *traceparent, const struct trace_booking *booking,
                 bool exporting);

/* What to send with a call that begins now: the same trace, the call's own span. "" in no trace. */
void trace_call_header(const struct trace *trace, enum calcom_call call, int64_t began_wall_ms,
                       char header[TRACEPARENT_SIZE]);

/*
 * The booking's spans as OTLP's JSON has them, with a comma between; the caller frees the text.
 * state: the final one. settled: with its times. Not for a trace that is not recorded. NULL when
 * memory is out.
 */
__attribute__((warn_unused_result)) char *trace_write(const struct trace *trace,
                                                      const struct trace_booking *booking,
                                                      const char *state,
                                                      const struct store_settled *settled);

#endif
