#include "control_parts.h"
#include "json_util.h"
#include "seats.h"

static json_object *
mails(const struct booking_counters *seen)
{
    json_object *counts = object_new();

    put_int(counts, "requested", seen->mails_requested);
    put_int(counts, "confirmed", seen->mails_confirmed);
    put_int(counts, "declined", seen->mails_declined);
    put_int(counts, "cancelled", seen->mails_cancelled);
    return counts;
}

static json_object *
api_calls(const struct booking_counters *seen)
{
    json_object *counts = object_new();

    put_int(counts, "confirm", seen->confirms);
    put_int(counts, "decline", seen->declines);
    put_int(counts, "cancel", seen->cancels);
    put_int(counts, "patch", seen->patches);
    return counts;
}

static json_object *
seat_state(const struct seat *seat)
{
    json_object *state = object_new(), *counts = object_new();

    put_text(state, "seatUid", seat->uid);
    put_text(state, "email", seat->email);
    put_text(state, "name", seat->name);
    put_text(state, "status", booking_status_name(seat->status));
    put_bool(state, "left", seat->left);
    put_copy(state, "acts", seat->history);
    put_int(counts, "confirm", seat->confirms);
    put_int(counts, "decline", seat->declines);
    put_int(counts, "cancel", seat->cancels);
    put(state, "calls", counts);
    return state;
}

static json_object *
seats_state(const struct booking *booking)
{
    json_object *list = array_new();

    for (const struct seat *seat = booking->seats; seat != NULL; seat = seat->next)
        push(list, seat_state(seat));
    return list;
}

json_object *
control_state(const struct booking *booking)
{
    json_object *state = object_new();
    bool moved = booking->rescheduled_to[0] != '\0';

    put_int(state, "id", booking->id);
    put_text(state, "uid", booking->uid);
    put_text(state, "status", booking_status_name(booking->status));
    put_int(state, "eventTypeId", booking->type.id);
    put_bool(state, "requiresConfirmation", booking->waits);
    put_int(state, "price", booking->type.price);
    put_bool(state, "paid", booking->paid);
    put_time(state, "start", booking->start_ms, ISO_MILLIS_Z);
    put_time(state, "end", booking->end_ms, ISO_MILLIS_Z);
    put_text(state, "title", booking->title);
    put_text(state, "name", booking->name);
    put_text(state, "email", booking->email);
    put_text(state, "notes", booking->notes);
    put_time(state, "createdAt", booking->created_ms, ISO_MILLIS_Z);
    put_time(state, "updatedAt", booking->updated_ms, ISO_MILLIS_Z);
    put_text(state, "cancellationReason", booking->cancellation_reason);
    put_text(state, "cancelledBy", booking->cancelled_by);
    put_text(state, "rejectionReason", booking->rejection_reason);
    put_text(state, "fromReschedule", booking->origin.id == 0 ? NULL : booking->origin.uid);
    put_text(state, "rescheduledTo", moved ? booking->rescheduled_to : NULL);
    put_copy(state, "metadata", booking->metadata);
    put_copy(state, "responses", booking->responses);
    put_copy(state, "guests", booking->guests);
    put_copy(state, "history", booking->history);
    put(state, "mails", mails(&booking->seen));
    put_int(state, "calendarEvents", booking->seen.calendar_events);
    put_int(state, "refunds", booking->seen.refunds);
    put_bool(state, "refunded", booking->seen.refunds > 0);
    put(state, "calls", api_calls(&booking->seen));
    put_text(state, "recurringEventId", booking->series.first == NULL ? NULL : booking->series.uid);
    put_int(state, "occurrences", booking->series.occurrences);
    put_int(state, "seatsPerTimeSlot", booking->seats == NULL ? 0 : booking->type.seats);
    put(state, "seats", seats_state(booking));
    return state;
}
