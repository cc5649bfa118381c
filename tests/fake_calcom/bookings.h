/*
 * The booking rows and where they are kept. Nothing here has consequences (mails, webhooks): see
 * lifecycle.h. Rows live until store_clear; a pointer to one may be held across the event loop.
 */
#ifndef FAKE_CALCOM_BOOKINGS_H
#define FAKE_CALCOM_BOOKINGS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event_type.h"
#include "ident.h"

#define HOST_ID        17
#define HOST_EMAIL     "nora@example.com"
#define HOST_NAME      "Nora Lindqvist"
#define HOST_USERNAME  "nora"
#define HOST_TIME_ZONE "Europe/Berlin"

enum booking_status {
    BOOKING_PENDING,
    BOOKING_ACCEPTED,
    BOOKING_REJECTED,
    BOOKING_CANCELLED,
    BOOKING_AWAITING_HOST, /* only API v1's PATCH can set it */
};

const char *booking_status_name(enum booking_status status); /* "PENDING" */
bool booking_status_parse(const char *name, enum booking_status *status)
    __attribute__((warn_unused_result));

/*
 * What happened to one booking; tests read it to see what a person would have seen in mailbox and
 * calendar.
 */
struct booking_counters {
    unsigned mails_requested;
    unsigned mails_confirmed;
    unsigned mails_declined;
    unsigned mails_cancelled;
    unsigned
        calendar_events; /* created; 2 is the double booking that two concurrent confirms make */
    unsigned refunds;
    /* API calls that reached the booking, whatever it answered; what a person does by hand is not
     * in here */
    unsigned confirms;
    unsigned declines;
    unsigned cancels;
    unsigned patches;
};

/* The old booking, as it was when it was moved; id 0 if this booking is not a reschedule. */
struct booking_origin {
    int64_t id;
    char uid[UID_SIZE];
    int64_t start_ms;
    int64_t end_ms;
    char *by; /* e-mail; owned */
};

/*
 * A recurring booking has one row per occurrence. The series has a name, which no webhook tells.
 */
struct series {
    char uid[UID_SIZE];  /* "" if the booking is in none */
    int64_t occurrences; /* how many were booked at once; 0: moved into the series later */
    int64_t interval_days;
    struct booking *first; /* of all rows of the series, in the order of their creation */
    struct booking *next;
};

struct seat; /* seats.h */

struct booking {
    int64_t id;
    char uid[UID_SIZE];
    enum booking_status status;
    struct event_type type; /* as it was when booked; the price is this booking's own */
    bool waits;             /* this booking waits (or waited) for the host's yes */
    bool paid;
    int64_t start_ms, end_ms; /* wall clock */
    int64_t created_ms, updated_ms;

    /* owned; NULL where unknown */
    char *title;
    char *name;
    char *email;
    char *notes;
    char *cancellation_reason;
    char *cancelled_by; /* e-mail */
    char *rejection_reason;
    json_object *metadata;  /* object, never NULL */
    json_object *responses; /* further answers of the booker, slug -> value; object, never NULL */
    json_object *guests;    /* array of e-mails, never NULL */
    json_object *history;   /* array of its changes, {"ms","status"}, oldest first; never NULL */

    struct series series;
    struct seat *seats; /* owned; NULL if the event type has no seats */
    struct booking_origin origin;
    char rescheduled_to[UID_SIZE]; /* "" if it was not */
    struct booking_counters seen;
    unsigned acts_in_flight; /* API calls that change this booking and are not answered yet */

    /* the store's own */
    struct booking *next_by_id;
    struct booking *next_by_uid;
};

/* True while it takes its place in the calendar: PENDING or ACCEPTED. */
bool booking_is_open(const struct booking *booking);

/* True once nobody waits for money any more. */
bool booking_is_paid_up(const struct booking *booking);

/* Notes the change in updatedAt and the history. */
void booking_set_status(struct booking *booking, enum booking_status status);

/* Puts a copy of `text` (may be NULL) into one of the owned strings above. */
void booking_set_text(char **field, const char *text);

struct store;

struct store *store_new(void);
void store_free(struct store *store);
void store_clear(struct store *store,
                 int64_t next_id); /* every row is gone, numbering goes on at next_id */

#define FIRST_BOOKING_ID 1001

/*
 * A new row that is PENDING and empty but for id, uid, both dates and its JSON members; the caller
 * fills the rest. `id` 0 takes the next free number; an `id` that exists already gives NULL.
 */
struct booking *store_add(struct store *store, int64_t id);

struct booking *store_find(const struct store *store, int64_t id); /* NULL if there is none */
struct booking *store_find_uid(const struct store *store,
                               const char *uid); /* NULL if there is none */

/* The first row of a series; NULL if there is none. A walk through all rows: for rare questions. */
struct booking *store_find_series(const struct store *store, const char *uid);

/* Makes `booking` the last row of the series that `first` begins, or begins one if that is NULL. */
void series_join(struct booking *booking, struct booking *first);

/* All rows in the order of their creation. */
size_t store_size(const struct store *store);
struct booking *store_at(const struct store *store, size_t index);

#endif
