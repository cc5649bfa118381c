/* What the files control_*.c share. */
#ifndef FAKE_CALCOM_CONTROL_PARTS_H
#define FAKE_CALCOM_CONTROL_PARTS_H

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "bookings.h"
#include "webhooks.h"
#include "world.h"

struct order {
    struct world *world;
    struct evhttp_request *request; /* an answer is owed, now or later */
    json_object *body;              /* an object or NULL; valid until the handler returns */
    const struct evkeyvalq *query;  /* valid until the handler returns */
};

/* {"error": problem}; the request is gone. */
void order_refuse(const struct order *order, int status, const char *problem);

/* {"ok": true}; the request is gone. */
void order_accept(const struct order *order);

/* The booking that "id" or "uid" names. NULL: there is none, and the request is gone. */
struct booking *order_booking(const struct order *order);

/*
 * The seat of `booking` that "seatUid" names, in *seat; NULL: there is no "seatUid". False: nobody
 * in the slot has it, and the request is gone.
 */
bool order_seat(const struct order *order, const struct booking *booking, struct seat **seat)
    __attribute__((warn_unused_result));

/*
 * "webhook": true (default), false or "lost"; "copies": 1. False: neither of these, and the request
 * is gone.
 */
bool order_plan(const struct order *order, struct webhook_plan *plan)
    __attribute__((warn_unused_result));

/* Everything there is to know about a booking, counters included; the caller's to put. */
json_object *control_state(const struct booking *booking);

/* control_book.c: the booking page */
void control_book(const struct order *order);

/*
 * control_act.c: the host or the booker at the screen, the payment provider, the ping button, a
 * repeated webhook
 */
void control_confirm(const struct order *order);
void control_decline(const struct order *order);
void control_cancel(const struct order *order);
void control_pay(const struct order *order);
void control_send(const struct order *order);
void control_ping(const struct order *order);

#endif
