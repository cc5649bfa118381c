#include "op.h"

#include <stdlib.h>

#include "alloc.h"
#include "delay.h"
#include "json_util.h"

struct op *
op_new(const struct lifecycle *lifecycle, const struct step *step)
{
    struct op *op = xcalloc(1, sizeof(*op));

    op->lifecycle = lifecycle;
    op->booking = step->booking;
    op->seat = step->seat;
    op->series = step->series && step->booking->series.first != NULL;
    op->reason = xstrdup(step->reason);
    op->by = xstrdup(step->by);
    op->plan = step->plan;
    op->between_ms = step->between_ms;
    op->deliveries = array_new();
    op->done = step->done;
    op->arg = step->arg;
    return op;
}

void
op_finish(struct op *op, enum verdict verdict)
{
    op->done(verdict, op->deliveries, op->arg);
    json_object_put(op->deliveries);
    free(op->reason);
    free(op->by);
    free(op);
}

void
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

void
op_tell(struct op *op, enum trigger trigger, void (*next)(struct op *op))
{
    struct occasion occasion = { .trigger = trigger,
                                 .booking = op->booking,
                                 .seat = op->seat,
                                 .reason = op->reason,
                                 .by = op->by };

    op->next = next;
    webhooks_send(op->lifecycle->webhooks, &occasion, op->plan, op_on_webhook, op);
}

void
op_wait(struct op *op, void (*write)(void *op))
{
    delay_run(op->lifecycle->delays, op->between_ms, write, op);
}

void
booking_accept(struct booking *booking)
{
    booking->seen.mails_confirmed++;
    booking->seen.calendar_events++;
    booking_set_status(booking, BOOKING_ACCEPTED);
}

void
booking_refund(struct booking *booking)
{
    if (booking->paid) {
        booking->seen.refunds++;
        booking->paid = false;
    }
}
