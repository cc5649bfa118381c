/*
 * The header `traceparent` of W3C Trace Context, version 00: in which trace a request is sent, and
 * by which step (span) of it. Pure.
 *
 *   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *      trace                            span             1: is recorded
 */
#ifndef TOLLGATE_TRACEPARENT_H
#define TOLLGATE_TRACEPARENT_H

#include <stdbool.h>

#define TRACEPARENT_SIZE 56 /* all three with NUL */
#define TRACE_ID_SIZE    33
#define SPAN_ID_SIZE     17

struct traceparent {
    char trace_id[TRACE_ID_SIZE]; /* lower-case hex, not all zeros; so is the span */
    char span_id[SPAN_ID_SIZE];
    bool sampled; /* whoever began it records it */
};

/* False for anything that is not exactly of this form; *parent is then unchanged. NULL is false. */
__attribute__((warn_unused_result)) bool traceparent_parse(const char *text,
                                                           struct traceparent *parent);

void traceparent_write(const struct traceparent *parent, char text[TRACEPARENT_SIZE]);

#endif
