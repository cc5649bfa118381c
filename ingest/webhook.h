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

#define WEBHOOK_DEPTH          32 /* nesting of arrays and objects; Cal.com's deepest is 6 */
#define WEBHOOK_JSON_SIZE      (8 * 1024 + 1) /* answers and metadata, each, and NUL */
#define WEBHOOK_ATTENDEES      100
#define WEBHOOK_ATTENDEES_SIZE (WEBHOOK_ATTENDEES * BOOKING_ACCOUNT_SIZE)

struct webhook_parser;

enum webhook_result {
    WEBHOOK_EVENT,     /* `event` is filled */
    WEBHOOK_PING,      /* the "Ping test" button */
    WEBHOOK_IGNORED,   /* a trigger that tells nothing about a booking's approval */
    WEBHOOK_MALFORMED, /* not JSON, or without what the event needs */
};

/* What the event's pointers lead to is the parser's, until it parses again. */
struct webhook {
    struct booking_event event; /* IGNORED and MALFORMED: its id, where there is one */
    bool answers_too_large, metadata_too_large; /* left out of the event */
    bool too_many_attendees;                    /* the event has the first of them */
    char trigger[48];                           /* as sent, cut; "" when there was none */
    const char *reason; /* MALFORMED: what is missing or wrong, a constant without anything of the
                           body */
};

/*
 * One per thread: its memory is reused. account_field: the path of TOLLGATE_ACCOUNT_FIELD, checked
 * by config_load; "" makes the booker's e-mail the account. NULL when memory is out.
 */
__attribute__((warn_unused_result)) struct webhook_parser *
webhook_parser_new(const char *account_field);
void webhook_parser_free(struct webhook_parser *parser);

enum webhook_result webhook_parse(struct webhook_parser *parser, const char *body, size_t size,
                                  struct webhook *webhook);

#endif
