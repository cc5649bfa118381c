/*
 * OTEL_EXPORTER_OTLP_HEADERS: `name=value,name=value`, values percent-encoded, as the lines of an
 * HTTP request. Pure.
 */
#ifndef TOLLGATE_OTLP_HEADERS_H
#define TOLLGATE_OTLP_HEADERS_H

#include <stdbool.h>

struct otlp_headers;

#define OTLP_HEADERS_MOST 16

bool otlp_headers_are_valid(const char *text);

/* Of a valid text; "" is none. NULL when memory is out. */
__attribute__((warn_unused_result)) struct otlp_headers *otlp_headers_new(const char *text);

/* Overwrites them first: they are secret. Accepts NULL. */
void otlp_headers_free(struct otlp_headers *headers);

/* "Name: value", ended by NULL; the first says that the body is JSON. */
const char *const *otlp_headers_lines(const struct otlp_headers *headers);

#endif
