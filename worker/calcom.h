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
    CALCOM_CREDENTIALS, /* no booking works: the key, its rights or the URL are wrong */
};

const char *calcom_class_name(enum calcom_class kind);

#define CALCOM_DETAIL_SIZE 200

struct calcom_answer {
    enum calcom_class kind;
    enum booking_status status; /* DONE: how the booking stands now */
    int http_status;            /* 0: none */
    int64_t retry_after_ms;     /* -1: not told */
    bool timed_out;             /* UNKNOWN: Cal.com may still be at it */
    bool too_late;              /* TRANSIENT: it did not go out before send_by_boot_ms */
    bool again;                 /* the API lacks that route: the same call once more takes another;
                                   the rest says nothing */
    char series[BOOKING_ID_SIZE];    /* DONE: the series that the booking is in; "": none */
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

/* Whom a call is about. */
struct calcom_subject {
    const char *id;          /* the name in the queue */
    const char *uid;         /* Cal.com's */
    const char *seat;        /* Cal.com's ID of the one seat meant; "": the booking */
    const char *reason;      /* told to the booker by decline and cancel */
    int64_t send_by_boot_ms; /* later than this the call does not go out any more */
};

/*
 * Sends one call about one booking. `done` runs exactly once, never from inside the call. False,
 * and `done` never runs, when the call cannot be written: the booking has no uid (v2), the name no
 * number (v1), or the API has no way to free one seat (v1).
 */
__attribute__((warn_unused_result)) bool calcom_send(struct calcom *calcom, enum calcom_call call,
                                                     const struct calcom_subject *subject,
                                                     calcom_done_cb *done, void *arg);

#endif
