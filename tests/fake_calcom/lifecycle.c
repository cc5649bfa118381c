#include "lifecycle.h"

#include <string.h>

#include "op.h"

/* ---- book ---- */

static void
booking_move(struct booking *from, struct booking *to)
{
    booking_set_status(from, BOOKING_CANCELLED);
    memcpy(from->rescheduled_to, to->uid, UID_SIZE);
    to->origin.id = from->id;
    memcpy(to->origin.uid, from->uid, UID_SIZE);
    to->origin.start_ms = from->start_ms;
    to->origin.end_ms = from->end_ms;
    to->paid = from->paid;
    if (from->series.first != NULL)
        series_join(to, from->series.first);
}

void
lifecycle_book(const struct lifecycle *lifecycle, const struct step *step,
               struct booking *moved_from)
{
    struct op *op = op_new(lifecycle, step);
    struct booking *booking = step->booking;

    if (moved_from != NULL)
        booking_move(moved_from, booking);
    if (!booking_is_paid_up(booking)) {
        op_tell(op, TRIGGER_PAYMENT_INITIATED, op_done);
    } else if (booking->waits) {
        booking->seen.mails_requested++;
        op_tell(op, TRIGGER_REQUESTED, op_done);
    } else {
        booking_accept(booking);
        op_tell(op, moved_from == NULL ? TRIGGER_CREATED : TRIGGER_RESCHEDULED, op_done);
    }
}

/* ---- confirm ---- */

static enum verdict
check_undecided(const struct lifecycle *lifecycle, const struct booking *booking)
{
    if (booking->seats != NULL && lifecycle->seat_approval == SEATS_CLOUD)
        return VERDICT_HAS_SEATS;
    return booking->status == BOOKING_ACCEPTED ? VERDICT_ALREADY_CONFIRMED : VERDICT_DONE;
}

/* True if the confirm or decline acts on this row of the series. */
static bool
op_covers(const struct op *op, const struct booking *row)
{
    return op->series ? row->status == BOOKING_PENDING : row == op->booking;
}

/* The rows that might be covered, one by one: the whole series, or the booking alone. */
static struct booking *
op_first(const struct op *op)
{
    return op->series ? op->booking->series.first : op->booking;
}

static struct booking *
op_next(const struct op *op, const struct booking *row)
{
    return op->series ? row->series.next : NULL;
}

static void
row_set_status(struct booking *row, enum booking_status status, const char *act)
{
    booking_set_status(row, status);
    seats_follow(row, act);
}

/*
 * Of a series, one webhook is sent: of the booking that was named, or, if that one did not change,
 * of the first that did.
 */
static void
confirm_write(void *arg)
{
    struct op *op = arg;
    struct booking *told = op_covers(op, op->booking) ? op->booking : NULL;

    for (struct booking *row = op_first(op); row != NULL; row = op_next(op, row)) {
        if (!op_covers(op, row))
            continue;
        row_set_status(row, BOOKING_ACCEPTED, "confirm");
        if (told == NULL)
            told = row;
    }
    if (told == NULL || !booking_is_paid_up(told)) {
        op_done(op);
        return;
    }
    op->booking = told;
    op_tell(op, TRIGGER_CREATED, op_done);
}

void
lifecycle_confirm(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = op_new(lifecycle, step);
    enum verdict verdict = check_undecided(lifecycle, step->booking);

    if (verdict != VERDICT_DONE) {
        op_finish(op, verdict);
        return;
    }
    for (struct booking *row = op_first(op); row != NULL; row = op_next(op, row)) {
        if (op_covers(op, row) && booking_is_paid_up(row))
            row->seen.calendar_events++;
    }
    if (booking_is_paid_up(step->booking))
        step->booking->seen.mails_confirmed++;
    op_wait(op, confirm_write);
}

/* ---- decline ---- */

static void
decline_write(void *arg)
{
    struct op *op = arg;
    bool recurs = op->booking->series.first != NULL;

    for (struct booking *row = op_first(op); row != NULL; row = op_next(op, row)) {
        if (!op_covers(op, row))
            continue;
        booking_set_text(&row->rejection_reason, op->reason);
        row_set_status(row, BOOKING_REJECTED, "decline");
    }
    if (!recurs) /* the money for a series is not given back */
        booking_refund(op->booking);
    op->booking->seen.mails_declined++;
    op_tell(op, TRIGGER_REJECTED, op_done);
}

void
lifecycle_decline(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = op_new(lifecycle, step);
    enum verdict verdict = check_undecided(lifecycle, step->booking);

    if (verdict != VERDICT_DONE)
        op_finish(op, verdict);
    else
        op_wait(op, decline_write);
}

/* ---- cancel ---- */

static void
cancel_write(void *arg)
{
    struct op *op = arg;
    struct booking *booking = op->booking;

    booking_set_text(&booking->cancellation_reason, op->reason);
    booking_set_text(&booking->cancelled_by, op->by);
    row_set_status(booking, BOOKING_CANCELLED, "cancel");
    booking_refund(booking);
    booking->seen.mails_cancelled++;
    op_done(op);
}

static void
cancel_after_webhook(struct op *op)
{
    op_wait(op, cancel_write);
}

void
lifecycle_cancel(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = op_new(lifecycle, step);

    if (step->booking->status == BOOKING_CANCELLED)
        op_finish(op, VERDICT_ALREADY_CANCELLED);
    else
        op_tell(op, TRIGGER_CANCELLED, cancel_after_webhook);
}

/* ---- pay ---- */

static void
pay_tell_paid(struct op *op)
{
    op_tell(op, TRIGGER_PAID, op_done);
}

void
lifecycle_pay(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = op_new(lifecycle, step);
    struct booking *booking = step->booking;

    booking->paid = true;
    if (booking->waits) {
        booking->seen.mails_requested++;
        op_tell(op, TRIGGER_REQUESTED, op_done);
    } else {
        booking_accept(booking);
        op_tell(op, TRIGGER_CREATED, pay_tell_paid);
    }
}
