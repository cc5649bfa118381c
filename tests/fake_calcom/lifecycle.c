#include "lifecycle.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "delay.h"
#include "json_util.h"

/* A step on its way. It ends in op_finish. */
struct op {
    const struct lifecycle *lifecycle;
    struct booking *booking;
    char *reason;
    char *by;
    struct webhook_plan plan;
    int between_ms;
    json_object *deliveries;
    void (*next)(struct op *op); /* what comes after the webhook that is out */
    lifecycle_done *done;
    void *arg;
};

static struct op *
op_new(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = xcalloc(1, sizeof(*op));

    op->lifecycle = lifecycle;
    op->booking = step->booking;
    op->reason = xstrdup(step->reason);
    op->by = xstrdup(step->by);
    op->plan = step->plan;
    op->between_ms = step->between_ms;
    op->deliveries = array_new();
    op->done = step->done;
    op->arg = step->arg;
    return op;
}

static void
op_finish(struct op *op, enum verdict verdict)
{
    op->done(verdict, op->deliveries, op->arg);
    json_object_put(op->deliveries);
    free(op->reason);
    free(op->by);
    free(op);
}

static void
op_done(struct op *op)
{
    op_finish(op, VERDICT_DONE);
}

static void
op_on_webhook(json_object *deliveries, void *arg)
{
    struct op *op = arg;

    for (size_t i = 0; i < json_object_array_length(deliveries); i++)
        push(op->deliveries, json_object_get(json_object_array_get_idx(deliveries, i)));
    op->next(op);
}

static void
op_tell(struct op *op, enum trigger trigger, void (*next)(struct op *op))
{
    struct occasion occasion = {
        .trigger = trigger, .booking = op->booking, .reason = op->reason, .by = op->by
    };

    op->next = next;
    webhooks_send(op->lifecycle->webhooks, &occasion, op->plan, op_on_webhook, op);
}

/* ---- book ---- */

static void
booking_accept(struct booking *booking)
{
    booking->seen.mails_confirmed++;
    booking->seen.calendar_events++;
    booking_set_status(booking, BOOKING_ACCEPTED);
}

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

static void
confirm_write(void *arg)
{
    struct op *op = arg;

    booking_set_status(op->booking, BOOKING_ACCEPTED);
    if (booking_is_paid_up(op->booking))
        op_tell(op, TRIGGER_CREATED, op_done);
    else
        op_done(op);
}

void
lifecycle_confirm(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = op_new(lifecycle, step);
    struct booking *booking = step->booking;

    if (booking->status == BOOKING_ACCEPTED) {
        op_finish(op, VERDICT_ALREADY_CONFIRMED);
        return;
    }
    if (booking_is_paid_up(booking)) {
        booking->seen.calendar_events++;
        booking->seen.mails_confirmed++;
    }
    delay_run(lifecycle->delays, step->between_ms, confirm_write, op);
}

/* ---- decline ---- */

static void
booking_refund(struct booking *booking)
{
    if (booking->paid) {
        booking->seen.refunds++;
        booking->paid = false;
    }
}

static void
decline_write(void *arg)
{
    struct op *op = arg;
    struct booking *booking = op->booking;

    booking_set_text(&booking->rejection_reason, op->reason);
    booking_set_status(booking, BOOKING_REJECTED);
    booking_refund(booking);
    booking->seen.mails_declined++;
    op_tell(op, TRIGGER_REJECTED, op_done);
}

void
lifecycle_decline(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = op_new(lifecycle, step);

    if (step->booking->status == BOOKING_ACCEPTED)
        op_finish(op, VERDICT_ALREADY_CONFIRMED);
    else
        delay_run(lifecycle->delays, step->between_ms, decline_write, op);
}

/* ---- cancel ---- */

static void
cancel_write(void *arg)
{
    struct op *op = arg;
    struct booking *booking = op->booking;

    booking_set_text(&booking->cancellation_reason, op->reason);
    booking_set_text(&booking->cancelled_by, op->by);
    booking_set_status(booking, BOOKING_CANCELLED);
    booking_refund(booking);
    booking->seen.mails_cancelled++;
    op_done(op);
}

static void
cancel_after_webhook(struct op *op)
{
    delay_run(op->lifecycle->delays, op->between_ms, cancel_write, op);
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
