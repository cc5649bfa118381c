/*
 * Cal.com's API: one interface, two dialects. The last path segment of CALCOM_API_URL chooses: …/v1
 * speaks the guide literally, …/v2 today's Cal.com.
 */
#ifndef TOLLGATE_CALCOM_H
#define TOLLGATE_CALCOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/booking.h"
#include "worker/plan.h"

struct calcom;
struct config;
struct http_client;

/* What an answer means; each dialect has one table from status and message to this. */
enum calcom_class {
    CALCOM_DONE,        /* it did what was asked, or told how the booking stands */
    CALCOM_GONE,        /* there is no such booking (any more) */
    CALCOM_UNCLEAR,     /* a "no" that may mean "already": look, and believe what is seen */
    CALCOM_UNKNOWN,     /* it went out and no answer came: look before anything else */
    CALCOM_TRANSIENT,   /* try again later */
    CALCOM_THROTTLED,   /* too many calls: everybody waits, no attempt is burned */
    CALCOM_REFUSED,     /* this booking will never work */
    CALCOM_CREDENTIALS, /* the key or its rights are refused, or only this booking: /me tells which
                         */
    CALCOM_NO_ROUTE,    /* no booking works: the URL or the version is wrong */
};

const char *calcom_class_name(enum calcom_class kind);

#define CALCOM_DETAIL_SIZE 200

struct calcom_answer {
    enum calcom_class kind;
    enum booking_status status; /* DONE: how the booking stands now */
    int http_status;            /* 0: none */
    int64_t retry_after_ms;     /* -1: not told */
    int64_t remaining, limit;   /* calls left and allowed; -1: not told */
    int64_t reset_ms;           /* for how long that counts; -1: not told */
    bool timed_out;             /* UNKNOWN: Cal.com may still be at it */
    bool too_late;              /* TRANSIENT: it did not go out before send_by_boot_ms */
    bool by_seat_route;         /* only the one seat was asked for */
    bool again;                 /* the API lacks that route: the same call once more takes another;
                                   the rest says nothing */
    /* DONE: who cancelled it (normalised), what replaced it, and when it was changed last, as far
     * as it is told; "", "" and 0: not. */
    char cancelled_by[BOOKING_ACCOUNT_SIZE];
    char rescheduled_to[BOOKING_UID_SIZE];
    int64_t changed_wall_ms;
    size_t rows;                  /* CALCOM_LIST: how many the page had */
    bool more;                    /* and whether there is another page */
    char series[BOOKING_ID_SIZE]; /* DONE: the series that the booking is in; "": none */
    const char *members;          /* DONE: how each booking of the series stands, where the answer
                                     says it: `uid status uid status …`; "": it does not. Valid
                                     during the call */
    char detail[CALCOM_DETAIL_SIZE]; /* for logs and people; holds no key */
};

typedef void calcom_done_cb(const struct calcom_answer *answer, void *arg);

/* NULL when CALCOM_API_URL is fine, else what is wrong (a constant). */
const char *calcom_url_problem(const char *url);

/* config and http must outlive it. NULL when memory is out. */
__attribute__((warn_unused_result)) struct calcom *calcom_new(const struct config *config,
                                                              struct http_client *http);
void calcom_free(struct calcom *calcom);

/* Uses another API key from now on. The old one stays when memory is out. */
void calcom_set_key(struct calcom *calcom, const char *key);

/* See plan_first. */
bool calcom_confirm_is_harmless(const struct calcom *calcom);

/* Whether confirm and decline act on every pending booking of a series (v2). */
bool calcom_acts_on_series(const struct calcom *calcom);

/* Whether the API locks the account after some calls over its limit (v1). */
bool calcom_locks_account(const struct calcom *calcom);

/* How many calls per minute to make when nobody said: less than the API allows. */
int64_t calcom_usual_limit(const struct calcom *calcom);

/* Whom a call is about. */
struct calcom_subject {
    const char *id;          /* the name in the queue */
    const char *uid;         /* Cal.com's */
    const char *seat;        /* Cal.com's ID of the one seat meant; "": the booking */
    const char *reason;      /* told to the booker by decline and cancel */
    int64_t send_by_boot_ms; /* later than this the call does not go out any more; 0: at any time */
    const char *traceparent; /* sent along; "": none */
};

/*
 * Sends one call about one booking, or CALCOM_ME: of its answer only the kind counts, DONE when the
 * key is known and CREDENTIALS when it is not. `done` runs exactly once, never from inside the
 * call. False, and `done` never runs, when the call cannot be written: the booking has no uid (v2),
 * the name no number (v1), or the API has no way to free one seat (v1).
 */
__attribute__((warn_unused_result)) bool calcom_send(struct calcom *calcom, enum calcom_call call,
                                                     const struct calcom_subject *subject,
                                                     calcom_done_cb *done, void *arg);

#define CALCOM_PAGE 100 /* rows of a page */

/* Which page of which list. */
struct calcom_list {
    size_t skip;                    /* rows before it; a multiple of CALCOM_PAGE with v1 */
    int64_t accepted_since_wall_ms; /* 0: the pending ones; else the accepted ones made since */
};

/* Whether one list has both, whichever is asked for (v1). */
bool calcom_lists_all(const struct calcom *calcom);

/* A booking of a list. Strings behind pointers are valid during the call only. */
struct calcom_row {
    struct booking_event event; /* as a webhook of its kind `requested` would have told it; its
                                   created_wall_ms is 0 when the list does not tell it */
    enum booking_status status;
    bool unpaid;     /* a payment is still missing */
    bool no_account; /* the list does not tell what TOLLGATE_ACCOUNT_FIELD names */
};

typedef void calcom_row_cb(const struct calcom_row *row, void *arg);

/* Asks for a page. `row` runs for each booking (each seat) of it, then `done` once; see
 * calcom_send. */
__attribute__((warn_unused_result)) bool
calcom_ask_list(struct calcom *calcom, const struct calcom_list *list, int64_t send_by_boot_ms,
                calcom_row_cb *row, calcom_done_cb *done, void *arg);

#endif
