/*
 * A webhook's body as an event. Pure but for the parser's memory.
 *
 * Bodies are read as JSON whatever their Content-Type says: Cal.com labels templated ones
 * application/x-www-form-urlencoded. The envelope is {triggerEvent, createdAt, payload}; a custom
 * template may have flattened the payload into it. A template that broke is the body `false`.
 */
#ifndef TOLLGATE_WEBHOOK_H
#define TOLLGATE_WEBHOOK_H

#include <stddef.h>

#include "common/booking.h"

#define WEBHOOK_DEPTH 32 /* nesting of arrays and objects; Cal.com's deepest is 6 */

struct webhook_parser;

enum webhook_result {
    WEBHOOK_EVENT,     /* *event is filled */
    WEBHOOK_PING,      /* the "Ping test" button */
    WEBHOOK_IGNORED,   /* a trigger that tells nothing about a booking's approval */
    WEBHOOK_MALFORMED, /* not JSON, or without what the event needs */
};

struct webhook {
    struct booking_event event;
    char trigger[48];   /* as sent, cut; "" when there was none */
    const char *reason; /* MALFORMED: what is missing or wrong, a constant without anything of the
                           body */
};

/* One per thread: its tokener is reused. NULL when memory is out. */
__attribute__((warn_unused_result)) struct webhook_parser *webhook_parser_new(void);
void webhook_parser_free(struct webhook_parser *parser);

enum webhook_result webhook_parse(struct webhook_parser *parser, const char *body, size_t size,
                                  struct webhook *webhook);

#endif
