#include "lifecycle_seats.h"

#include "op.h"

/* ---- book ---- */

void
lifecycle_seat_book(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = op_new(lifecycle, step);
    struct booking *booking = step->booking;
    struct seat *seat = step->seat;
    bool joins = booking->seats != seat;

    if (joins && lifecycle->seat_approval == SEATS_LEGACY)
        seat->waited = booking->status != BOOKING_ACCEPTED;
    if (seat->waited) {
        seat_set_status(seat, BOOKING_PENDING, "book");
        booking->seen.mails_requested++;
        op_tell(op, TRIGGER_REQUESTED, op_done);
        return;
    }
    seat_set_status(seat, BOOKING_ACCEPTED, "book");
    if (booking->status == BOOKING_ACCEPTED)
        booking->seen.mails_confirmed++;
    else
        booking_accept(booking);
    op_tell(op, TRIGGER_CREATED, op_done);
}

/* ---- confirm ---- */

static void
seat_confirm_write(void *arg)
{
    struct op *op = arg;

    if (op->seat->left) { /* between check and change */
        op_done(op);
        return;
    }
    seat_set_status(op->seat, BOOKING_ACCEPTED, "confirm");
    booking_set_status(op->booking, BOOKING_ACCEPTED);
    op_tell(op, TRIGGER_CREATED, op_done);
}

void
lifecycle_seat_confirm(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = op_new(lifecycle, step);
    struct booking *booking = step->booking;

    if (step->seat->status == BOOKING_ACCEPTED) {
        op_finish(op, VERDICT_ALREADY_CONFIRMED);
        return;
    }
    booking->seen.mails_confirmed++;
    if (booking->status != BOOKING_ACCEPTED)
        booking->seen.calendar_events++;
    op_wait(op, seat_confirm_write);
}

/* ---- decline and free: the seat leaves the slot, and the last one takes the booking with it ----
 */

static void
seat_leave(struct op *op, enum booking_status status, const char *act)
{
    struct booking *booking = op->booking;

    if (op->seat->left)
        return; /* somebody was faster between check and change */
    seat_set_status(op->seat, status, act);
    op->seat->left = true;
    if (seats_taken(booking) > 0)
        return;
    booking_set_text(status == BOOKING_REJECTED ? &booking->rejection_reason
                                                : &booking->cancellation_reason,
                     op->reason);
    if (status == BOOKING_CANCELLED)
        booking_set_text(&booking->cancelled_by, op->by);
    booking_set_status(booking, status);
}

static void
seat_decline_write(void *arg)
{
    struct op *op = arg;

    seat_leave(op, BOOKING_REJECTED, "decline");
    op->booking->seen.mails_declined++;
    op_tell(op, TRIGGER_REJECTED, op_done);
}

void
lifecycle_seat_decline(const struct lifecycle *lifecycle, const struct step *step)
{
    op_wait(op_new(lifecycle, step), seat_decline_write);
}

static void
seat_cancel_write(void *arg)
{
    struct op *op = arg;

    seat_leave(op, BOOKING_CANCELLED, "cancel");
    op->booking->seen.mails_cancelled++;
    op_done(op);
}

static void
seat_cancel_after_webhook(struct op *op)
{
    op_wait(op, seat_cancel_write);
}

void
lifecycle_seat_cancel(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = op_new(lifecycle, step);

    if (step->booking->status == BOOKING_CANCELLED)
        op_finish(op, VERDICT_ALREADY_CANCELLED);
    else
        op_tell(op, TRIGGER_CANCELLED, seat_cancel_after_webhook);
}
