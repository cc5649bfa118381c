/*
 * What happens to a booking: booked, confirmed, declined, cancelled, paid for, in the order in
 * which Cal.com does these things, with their mails, calendar events and webhooks. Shared by both
 * API dialects and by the control endpoints, which play the person at the screen.
 *
 * Cal.com checks first and acts later, without a lock, and so does this: two concurrent confirms
 * both pass the check and both create a calendar event. What it does not check, this does not check
 * either: confirm on a rejected or cancelled booking brings it back to life.
 */
#ifndef FAKE_CALCOM_LIFECYCLE_H
#define FAKE_CALCOM_LIFECYCLE_H

#include <json-c/json.h>

#include "bookings.h"
#include "seats.h"
#include "webhooks.h"

struct delays;

struct lifecycle {
    struct delays *delays;
    struct webhooks *webhooks;
    enum seat_approval seat_approval;
};

enum verdict {
    VERDICT_DONE,
    VERDICT_ALREADY_CONFIRMED, /* confirm and decline of an ACCEPTED booking */
    VERDICT_ALREADY_CANCELLED, /* cancel of a CANCELLED booking */
    VERDICT_HAS_SEATS,         /* confirm and decline of a booking whose seats wait one by one */
};

/*
 * `deliveries`: what webhooks_send reports, for all webhooks of the step; valid during the call.
 * Runs exactly once, perhaps before the function that was given it returns.
 */
typedef void lifecycle_done(enum verdict verdict, json_object *deliveries, void *arg);

struct step {
    struct booking *booking;
    struct seat *seat; /* only for the functions of lifecycle_seats.h */
    bool series; /* confirm, decline: every PENDING row of the series instead of the booking */
    const char *reason; /* may be NULL; copied */
    const char *by;     /* cancel: e-mail of who does it; may be NULL; copied */
    int between_ms;     /* how long to wait between the check and the change of the row */
    struct webhook_plan plan;
    lifecycle_done *done;
    void *arg;
};

/*
 * The booking page was submitted for a row that the caller has filled in (`waits` included).
 *   costs money, unpaid:  stays PENDING, BOOKING_PAYMENT_INITIATED, no mail
 *   waits for the host:   stays PENDING, mail, BOOKING_REQUESTED (also for a reschedule)
 *   else:                 ACCEPTED, mail, calendar, BOOKING_CREATED or BOOKING_RESCHEDULED
 * `moved_from` (may be NULL) is the booking that this one replaces: it becomes CANCELLED, and no
 * webhook says so. The new row is in the same series, if the old one is in one.
 */
void lifecycle_book(const struct lifecycle *lifecycle, const struct step *step,
                    struct booking *moved_from);

/*
 * Calendar and mail, then the row, then BOOKING_CREATED. An unpaid booking: only the row, no more.
 * A series: all its PENDING rows, and one webhook.
 */
void lifecycle_confirm(const struct lifecycle *lifecycle, const struct step *step);

/*
 * The row, then the mail, then BOOKING_REJECTED; a second time as well. A series: all its PENDING
 * rows, and one webhook.
 */
void lifecycle_decline(const struct lifecycle *lifecycle, const struct step *step);

/*
 * BOOKING_CANCELLED first (a GET from its receiver still sees the old status), then the row, then
 * the mail.
 */
void lifecycle_cancel(const struct lifecycle *lifecycle, const struct step *step);

/*
 * The money arrived: BOOKING_REQUESTED if the host has still to agree, else ACCEPTED,
 * BOOKING_CREATED, BOOKING_PAID.
 */
void lifecycle_pay(const struct lifecycle *lifecycle, const struct step *step);

#endif
