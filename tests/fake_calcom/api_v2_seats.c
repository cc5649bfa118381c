#include "api_v2_seats.h"

#include <stdlib.h>

#include "alloc.h"
#include "api_v2_reply.h"
#include "json_util.h"
#include "lifecycle_seats.h"

/* One call of seats/confirm or seats/decline; it is answered when its last seat is done. */
struct errand {
    struct call *call;
    const char *key; /* "confirmedSeatUids" */
    json_object *uids;
    unsigned open; /* seats that are not done, and one for the handler itself */
};

static void
errand_release(struct errand *errand)
{
    json_object *data;

    if (--errand->open > 0)
        return;
    data = object_new();
    put(data, errand->key, errand->uids);
    call_answer(errand->call, 200, v2_success(data));
    free(errand);
}

static void
errand_on_seat(enum verdict verdict, json_object *deliveries, void *arg)
{
    (void)verdict; /* whoever cannot be confirmed was left out before */
    (void)deliveries;
    errand_release(arg);
}

static void
errand_run(struct call *call, const char *key, const char *reason, json_object *uids)
{
    const bool confirms = call->route->action == ACTION_CONFIRM;
    struct errand *errand = xcalloc(1, sizeof(*errand));

    *errand = (struct errand){ call, key, array_new(), 1 };
    for (size_t i = 0; i < json_object_array_length(uids); i++) {
        const char *uid = json_object_get_string(json_object_array_get_idx(uids, i));
        struct seat *seat = uid == NULL ? NULL : seat_find(call->booking, uid);
        struct step step = call_step(call, errand_on_seat);

        if (seat == NULL)
            continue;
        *(confirms ? &seat->confirms : &seat->declines) += 1;
        if (seat->status != BOOKING_PENDING && (confirms || seat->status != BOOKING_ACCEPTED))
            continue;
        push(errand->uids, text_new(seat->uid));
        errand->open++;
        step.seat = seat;
        step.reason = reason;
        step.arg = errand;
        if (confirms)
            lifecycle_seat_confirm(&call->world->lifecycle, &step);
        else
            lifecycle_seat_decline(&call->world->lifecycle, &step);
    }
    errand_release(errand);
}

static void
seats_act(struct call *call, unsigned *counter, const char *key)
{
    json_object *body, *uids;

    ++*counter;
    if (!v2_read_body(call, &body))
        return;
    uids = json_member(body, "seatUids", json_type_array);
    if (uids == NULL || json_object_array_length(uids) == 0)
        v2_fail(call, 400, "BadRequestException", "seatUids must be an array that is not empty");
    else if (call->booking->seats == NULL)
        v2_fail(call, 400, "BadRequestException", "This booking has no seats");
    else
        errand_run(call, key, json_text(body, "reason"), uids);
    json_object_put(body);
}

void
v2_seats_confirm(struct call *call)
{
    if (v2_booking_exists(call))
        seats_act(call, &call->booking->seen.confirms, "confirmedSeatUids");
}

void
v2_seats_decline(struct call *call)
{
    if (v2_booking_exists(call))
        seats_act(call, &call->booking->seen.declines, "declinedSeatUids");
}

void
v2_seat_cancel(struct call *call, struct step step, const char *uid)
{
    step.seat = seat_find(call->booking, uid);
    if (step.seat == NULL) {
        v2_fail(call, 400, "BadRequestException",
                "Invalid seatUid: this seat does not exist or has already been cancelled.");
        return;
    }
    step.seat->cancels++;
    lifecycle_seat_cancel(&call->world->lifecycle, &step);
}
