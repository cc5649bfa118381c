/*
 * What both programs know of a booking: kinds of events, and the words that the Redis library and
 * Cal.com use. Pure.
 */
#ifndef TOLLGATE_BOOKING_H
#define TOLLGATE_BOOKING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/traceparent.h"

#define BOOKING_ID_SIZE      81  /* 80 characters of [A-Za-z0-9_.:-], and NUL */
#define BOOKING_UID_SIZE     65  /* Cal.com: 22 characters as a rule; opaque up to 64 */
#define BOOKING_ACCOUNT_SIZE 321 /* the longest e-mail address is 320 bytes */

/* Facts about a booking that an event can tell, see common/redis/booking.lua. */
enum booking_event_kind {
    BOOKING_REQUESTED,
    BOOKING_CREATED,
    BOOKING_REJECTED,
    BOOKING_CANCELLED,
    BOOKING_RESCHEDULED,
    BOOKING_PAYMENT_INITIATED,
};

/* The library's word for a kind, a constant. */
const char *booking_event_kind_name(enum booking_event_kind kind);

/* One event as a webhook told it. Strings are "" when the webhook had no such thing; those behind
 * pointers belong to who made the event. */
struct booking_event {
    enum booking_event_kind kind;
    char id[BOOKING_ID_SIZE];
    char uid[BOOKING_UID_SIZE];
    char seat[BOOKING_ID_SIZE];         /* one of a booking's seats; the ID has it as well */
    char account[BOOKING_ACCOUNT_SIZE]; /* normalised by booking_normalise_account */
    char email[BOOKING_ACCOUNT_SIZE];   /* of the booker, likewise */
    char cancelled_by[BOOKING_ACCOUNT_SIZE];
    char reschedule_uid[BOOKING_UID_SIZE];
    char event_type[24];     /* decimal */
    int64_t created_wall_ms; /* the envelope's createdAt */
    int64_t start_s, end_s;  /* epoch seconds; 0: not told */
    bool requires_confirmation;
    bool seats;                         /* several people can book the same slot */
    bool paid;                          /* it costs money */
    int64_t occurrences;                /* of the series that it is one of; 0: of none */
    char traceparent[TRACEPARENT_SIZE]; /* of the webhook, see traceparent.h */
    const char *attendees;              /* normalised, with spaces between: whose seats ended */
    const char *answers;                /* of the booker, a JSON object */
    const char *metadata;               /* of the booking page, a JSON object */
};

/* What a worker has to bring about at Cal.com, see booking.goal in common/redis/booking.lua. */
enum booking_goal { GOAL_ACCEPT, GOAL_REJECT, GOAL_WITHDRAW, GOAL_LOOK, GOAL_IDENTIFY };

/* False for a word that the library does not use. */
__attribute__((warn_unused_result)) bool booking_goal_parse(const char *word,
                                                            enum booking_goal *goal);

const char *booking_goal_name(enum booking_goal goal);

/* How a booking stands at Cal.com. GONE: there is no such booking (any more). */
enum booking_status {
    STATUS_PENDING,
    STATUS_ACCEPTED,
    STATUS_REJECTED,
    STATUS_CANCELLED,
    STATUS_GONE
};

/*
 * Reads Cal.com's word in either case: v1 and webhooks write ACCEPTED, v2 accepted. v1's
 * AWAITING_HOST counts as pending. False for any other word.
 */
__attribute__((warn_unused_result)) bool booking_status_parse(const char *word,
                                                              enum booking_status *status);

/* pending, accepted, rejected, cancelled, gone: also the library's words for outcomes. */
const char *booking_status_name(enum booking_status status);

/* Whether text can name a booking in the queue. */
bool booking_id_is_valid(const char *text);

/*
 * Writes the account that an e-mail address or a member's number stands for: ASCII white space
 * around it dropped, ASCII letters lower-cased; other letters stay, since their case depends on a
 * language. False when it is empty, too long, or holds white space or control characters; account
 * is then "".
 */
__attribute__((warn_unused_result)) bool
booking_normalise_account(const char *text, char account[BOOKING_ACCOUNT_SIZE]);

#endif
