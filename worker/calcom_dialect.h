/*
 * What differs between v1 and v2: how a call is written, how an answer is read. Pure.
 */
#ifndef TOLLGATE_CALCOM_DIALECT_H
#define TOLLGATE_CALCOM_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/calcom.h"
#include "worker/http_client.h"

#define CALCOM_URL_SIZE  4096
#define CALCOM_BODY_SIZE 4096

#define CALCOM_PAGE_TEXT "100" /* CALCOM_PAGE */

struct json_object;

/* The parts of one call. */
struct calcom_parts {
    enum calcom_call call;
    const char *base_url; /* without a slash at the end */
    const char *key;
    const char *id, *uid, *reason;
    const char *seat;               /* "": none */
    bool by_seat_route;             /* the route that acts on this seat alone */
    const struct calcom_list *list; /* CALCOM_LIST */
};

struct calcom_written {
    enum http_method method;
    char url[CALCOM_URL_SIZE];
    char body[CALCOM_BODY_SIZE]; /* "": none */
};

#define CALCOM_ANY   0x3fU
#define CALCOM_ACTS  (1U << CALCOM_CONFIRM | 1U << CALCOM_DECLINE | 1U << CALCOM_CANCEL)
#define CALCOM_LOOKS (1U << CALCOM_LOOK)
/* Declining or cancelling one seat, beside the call itself. */
#define CALCOM_FREES_SEAT (1U << (CALCOM_LIST + 1))
#define CALCOM_ASKS       (1U << CALCOM_ME | 1U << CALCOM_LIST) /* about no booking */

/* A row of a dialect's table: the first that fits counts. */
struct calcom_rule {
    int from, to;   /* HTTP status */
    unsigned calls; /* a set of 1 << enum calcom_call and CALCOM_FREES_SEAT */
    enum calcom_class kind;
    const char *message; /* a part of the error's message; NULL: any. "": any, in an answer of
                            Cal.com's own form (something before it may answer 404 as well) */
};

/* How the members of a listed booking are named. */
struct calcom_row_names {
    const char *start, *end, *event_type, *created, *answers, *reschedule_uid;
};

struct calcom_dialect {
    const char *name; /* the last segment of the URL's path */
    bool confirm_is_harmless;
    bool acts_on_series;
    bool locks_account;
    int64_t usual_limit; /* calls per minute */
    bool lists_all;      /* a list has the pending and the accepted ones together (v1) */
    bool seat_routes;    /* confirm and decline may have routes that act on single seats */
    bool bearer;         /* the key goes into a header, with the API version beside it */
    const struct calcom_rule *rules;
    size_t rule_count;
    /* What a successful call leaves behind when the answer does not say it itself. */
    enum booking_status outcome[CALCOM_LIST + 1];
    /* False when the parts do not fit or the booking has no name in this dialect. */
    bool (*write)(const struct calcom_parts *parts, struct calcom_written *written);
    /* The booking of a successful answer, or NULL; of several, the one with this uid. */
    struct json_object *(*find_booking)(struct json_object *root, const char *uid);
    /* The bookings of a successful answer about several, or NULL; an array. */
    struct json_object *(*find_members)(struct json_object *root);
    /* Where a booking names the series that it is in, and what else may have become of it. */
    const char *series_member, *cancelled_by, *rescheduled_to, *changed;
    /* The rows of a list, an array; or NULL. */
    struct json_object *(*find_rows)(struct json_object *root);
    struct calcom_row_names row;
    /* The error text of another answer, or NULL. */
    const char *(*find_message)(struct json_object *root);
};

extern const struct calcom_dialect CALCOM_V1;
extern const struct calcom_dialect CALCOM_V2;

/* The member of an object, or NULL; NULL for anything but an object. */
struct json_object *calcom_member(struct json_object *object, const char *name);

/* A member that is a text, or NULL. */
const char *calcom_text(struct json_object *object, const char *name);

struct calcom_json_member {
    const char *name, *text;
    bool is_list; /* ["text"] */
};

/* Writes {"name":"text", …}. False when it does not fit. */
__attribute__((warn_unused_result)) bool calcom_write_json(const struct calcom_json_member *members,
                                                           size_t count, char *out, size_t size);

#endif
