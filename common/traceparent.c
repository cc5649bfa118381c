#include "common/traceparent.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define HEX "0123456789abcdef"

/* Where the parts are; between them stands a dash. */
#define TRACE_AT 3
#define SPAN_AT  (TRACE_AT + TRACE_ID_SIZE)
#define FLAGS_AT (SPAN_AT + SPAN_ID_SIZE)

_Static_assert(FLAGS_AT + 2 + 1 == TRACEPARENT_SIZE, "the parts make the whole");

static bool
is_id(const char *text, size_t digits)
{
    return strspn(text, HEX) == digits && strspn(text, "0") < digits;
}

bool
traceparent_parse(const char *text, struct traceparent *parent)
{
    if (text == NULL || strlen(text) != TRACEPARENT_SIZE - 1 || strncmp(text, "00-", 3) != 0 ||
        !is_id(text + TRACE_AT, TRACE_ID_SIZE - 1) || text[SPAN_AT - 1] != '-' ||
        !is_id(text + SPAN_AT, SPAN_ID_SIZE - 1) || text[FLAGS_AT - 1] != '-' ||
        strspn(text + FLAGS_AT, HEX) != 2) {
        return false;
    }
    (void)snprintf(parent->trace_id, TRACE_ID_SIZE, "%s", text + TRACE_AT);
    (void)snprintf(parent->span_id, SPAN_ID_SIZE, "%s", text + SPAN_AT);
    parent->sampled = strchr("13579bdf", text[FLAGS_AT + 1]) != NULL;
    return true;
}

void
traceparent_write(const struct traceparent *parent, char text[TRACEPARENT_SIZE])
{
    (void)snprintf(text, TRACEPARENT_SIZE, "00-%s-%s-%s", parent->trace_id, parent->span_id,
                   parent->sampled ? "01" : "00");
}
