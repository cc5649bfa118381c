/*
 * A webhook's body as an event. Pure but for the parser's memory.
 *
 * Bodies are read as JSON whatever their Content-Type says: Cal.com labels templated ones
 * application/x-www-form-urlencoded. The envelope is {triggerEvent, createdAt, payload}; a custom
 * template may have flattened the payload into it. A template that broke is the body `false`.
 */
#ifndef TOLLGATE_WEBHOOK_H
#define TOLLGATE_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/booking.h"

#define WEBHOOK_DEPTH 32 /* nesting of arrays and objects; Cal.com's deepest is 6 */

#define WEBHOOK_ANSWERS_MAX 8192 /* bytes of answers, and of metadata, as JSON */
#define WEBHOOK_SEATS_MAX   100  /* members whose seats one event can be about */

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
    bool cut;           /* answers or metadata were larger than WEBHOOK_ANSWERS_MAX and left out */
};

/*
 * One per thread: its tokener is reused. account_field: where in the payload the account stands,
 * members joined by dots; "": the booker's e-mail. A member that has a `value` stands for that.
 * NULL when memory is out.
 */
__attribute__((warn_unused_result)) struct webhook_parser *
webhook_parser_new(const char *account_field);
void webhook_parser_free(struct webhook_parser *parser);

/* Whether text can be an account_field. */
bool webhook_account_field_is_valid(const char *text);

/* What the event points to is valid until the next call. */
enum webhook_result webhook_parse(struct webhook_parser *parser, const char *body, size_t size,
                                  struct webhook *webhook);

#endif
