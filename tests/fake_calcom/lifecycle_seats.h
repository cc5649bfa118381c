/*
 * What happens to one seat of a booking: `step.seat`, which must not have left. The same order as
 * in lifecycle.h; webhooks after the booking name only that attendee, and not his seat.
 */
#ifndef FAKE_CALCOM_LIFECYCLE_SEATS_H
#define FAKE_CALCOM_LIFECYCLE_SEATS_H

#include "lifecycle.h"

/*
 * The booking page was submitted; the caller has filled in the seat, with `waited` as the event
 * type wants it, and the booking if the seat is its first.
 *   waits:  PENDING, mail, BOOKING_REQUESTED; also in a booking that is accepted (cloud)
 *   else:   ACCEPTED and the booking with it, mail, BOOKING_CREATED; so is, whatever the event type
 *           says, who joins an accepted booking (legacy)
 */
void lifecycle_seat_book(const struct lifecycle *lifecycle, const struct step *step);

/* BOOKING_CREATED; the booking is ACCEPTED with its first seat. VERDICT_ALREADY_CONFIRMED. */
void lifecycle_seat_confirm(const struct lifecycle *lifecycle, const struct step *step);

/* BOOKING_REJECTED; a confirmed seat as well. Without any seat left the booking is REJECTED. */
void lifecycle_seat_decline(const struct lifecycle *lifecycle, const struct step *step);

/*
 * BOOKING_CANCELLED first. Without any seat left the booking is CANCELLED.
 * VERDICT_ALREADY_CANCELLED: the whole booking was cancelled before.
 */
void lifecycle_seat_cancel(const struct lifecycle *lifecycle, const struct step *step);

#endif
