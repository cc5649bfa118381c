#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "control_parts.h"
#include "http_util.h"
#include "json_util.h"
#include "lifecycle_seats.h"

/* A request that waits for webhooks to be answered. */
struct errand {
    struct evhttp_request *request;
    const struct booking *booking; /* NULL: none */
};

static struct errand *
errand_new(const struct order *order, const struct booking *booking)
{
    struct errand *errand = xcalloc(1, sizeof(*errand));

    *errand = (struct errand){ order->request, booking };
    return errand;
}

static void
errand_on_webhooks(json_object *deliveries, void *arg)
{
    struct errand *errand = arg;
    json_object *answer = object_new();

    if (errand->booking != NULL) {
        put_int(answer, "id", errand->booking->id);
        put_text(answer, "uid", errand->booking->uid);
        put_text(answer, "status", booking_status_name(errand->booking->status));
    }
    put_copy(answer, "webhooks", deliveries);
    http_reply(errand->request, 200, answer);
    free(errand);
}

static const char *
verdict_problem(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_DONE:
        return NULL;
    case VERDICT_ALREADY_CONFIRMED:
        return "already confirmed";
    case VERDICT_ALREADY_CANCELLED:
        return "already cancelled";
    case VERDICT_HAS_SEATS:
        return "its seats are approved one by one: seatUid";
    }
    return NULL;
}

static void
errand_on_done(enum verdict verdict, json_object *deliveries, void *arg)
{
    struct errand *errand = arg;
    const char *problem = verdict_problem(verdict);

    if (problem == NULL) {
        errand_on_webhooks(deliveries, errand);
        return;
    }
    struct order order = { .request = errand->request };
    order_refuse(&order, 409, problem);
    free(errand);
}

/* "by": "host" (default), "member", or an e-mail address. */
static const char *
who(const struct order *order, const struct booking *booking, const struct seat *seat)
{
    const char *by = json_text(order->body, "by");

    if (by == NULL || strcmp(by, "host") == 0)
        return HOST_EMAIL;
    if (strcmp(by, "member") != 0)
        return by;
    return seat == NULL ? booking->email : seat->email;
}

typedef void lifecycle_step(const struct lifecycle *lifecycle, const struct step *step);

/* `on_seat` is what is done with "seatUid"; NULL: there is no such thing. */
static void
act(const struct order *order, lifecycle_step *on_booking, lifecycle_step *on_seat)
{
    struct booking *booking = order_booking(order);
    struct webhook_plan plan;
    struct seat *seat;

    if (booking == NULL || !order_seat(order, booking, &seat) || !order_plan(order, &plan))
        return;
    if (seat != NULL && on_seat == NULL) {
        order_refuse(order, 409, "a seat goes with its booking here");
        return;
    }
    struct step step = {
        .booking = booking,
        .seat = seat,
        .series = json_flag(order->body, "series", false),
        .reason = json_text(order->body, "reason"),
        .by = who(order, booking, seat),
        .plan = plan,
        .done = errand_on_done,
        .arg = errand_new(order, booking),
    };
    (seat == NULL ? on_booking : on_seat)(&order->world->lifecycle, &step);
}

static bool
seats_are_single(const struct order *order)
{
    return order->world->lifecycle.seat_approval == SEATS_CLOUD;
}

void
control_confirm(const struct order *order)
{
    act(order, lifecycle_confirm, seats_are_single(order) ? lifecycle_seat_confirm : NULL);
}

void
control_decline(const struct order *order)
{
    act(order, lifecycle_decline, seats_are_single(order) ? lifecycle_seat_decline : NULL);
}

void
control_cancel(const struct order *order)
{
    act(order, lifecycle_cancel, lifecycle_seat_cancel);
}

void
control_pay(const struct order *order)
{
    const struct booking *booking = order_booking(order);

    if (booking == NULL)
        return;
    if (booking_is_paid_up(booking))
        order_refuse(order, 409, "nothing to pay");
    else
        act(order, lifecycle_pay, NULL);
}

static void
tell(const struct order *order, const struct booking *booking, enum trigger trigger)
{
    struct occasion occasion = { .trigger = trigger, .booking = booking };
    struct seat *seat = NULL;
    struct webhook_plan plan;

    if (booking != NULL && !order_seat(order, booking, &seat))
        return;
    occasion.seat = seat;
    if (!order_plan(order, &plan))
        return;
    webhooks_send(order->world->webhooks, &occasion, plan, errand_on_webhooks,
                  errand_new(order, booking));
}

void
control_send(const struct order *order)
{
    const char *name = json_text(order->body, "trigger");
    const struct booking *booking;
    enum trigger trigger;

    if (name == NULL || !trigger_parse(name, &trigger) || trigger == TRIGGER_PING) {
        order_refuse(order, 400, "trigger must be BOOKING_…");
        return;
    }
    booking = order_booking(order);
    if (booking != NULL)
        tell(order, booking, trigger);
}

void
control_ping(const struct order *order)
{
    tell(order, NULL, TRIGGER_PING);
}
