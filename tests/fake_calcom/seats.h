/*
 * Seats: the people in one slot of an event type with seats. They share the booking's id and uid,
 * each has a uid of its own. Like bookings.h, nothing here has consequences.
 *
 * Who approves a seat depends on the generation of Cal.com:
 * - legacy: a seat goes with its booking. Confirm and decline act on all of them, and who joins a
 *   booking that is accepted is in, whatever the event type says.
 * - cloud: every seat waits by itself, also in a booking that is accepted.
 */
#ifndef FAKE_CALCOM_SEATS_H
#define FAKE_CALCOM_SEATS_H

#include "bookings.h"

enum seat_approval { SEATS_LEGACY, SEATS_CLOUD };

/* Reads "legacy" or "cloud". */
bool seat_approval_parse(const char *name, enum seat_approval *approval)
    __attribute__((warn_unused_result));

struct seat {
    char uid[UID_SIZE];
    enum booking_status status; /* PENDING, ACCEPTED, REJECTED or CANCELLED */
    bool waited;                /* it was asked for; false: it was in at once */
    bool left;                  /* declined or freed by itself: its place is another's now */

    /* owned; as in struct booking */
    char *name;
    char *email;
    char *notes;
    json_object *metadata;
    json_object *responses;
    json_object *history; /* what changed its status, oldest first: ["confirm","cancel"] */

    /* API calls that named it, whatever became of them */
    unsigned confirms;
    unsigned declines;
    unsigned cancels;

    struct seat *next; /* in the order of booking */
};

/* A new seat, the last of `booking`; it is empty but for its uid and its JSON members. */
struct seat *seat_add(struct booking *booking);
void seats_free(struct seat *seats);

/* NULL: nobody in the slot has that uid, or he has left it. */
struct seat *seat_find(const struct booking *booking, const char *uid);

/* Those who have not left. */
int64_t seats_taken(const struct booking *booking);

/* Somebody who has not left has this address. */
bool seats_have(const struct booking *booking, const char *email);

void seat_set_status(struct seat *seat, enum booking_status status, const char *act);

/* What `act` made of the whole booking happens to everybody who has not left. */
void seats_follow(struct booking *booking, const char *act);

/*
 * The slot of this event type and start in which somebody sits already: a pending or accepted
 * booking, full or not. NULL: there is none.
 */
struct booking *seats_slot(const struct store *store, int64_t event_type, int64_t start_ms);

/* Who is speaking in the booking form: `seat`, or the booking's own booker if that is NULL. */
struct booker {
    const char *name;
    const char *email;
    const char *notes; /* NULL: none */
    json_object *metadata;
    json_object *responses;
    json_object *guests;
};

struct booker booker_of(const struct booking *booking, const struct seat *seat);

#endif
