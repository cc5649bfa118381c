#include "api_v1_row.h"

#include "json_util.h"
#include "seats.h"

static json_object *
flat_responses(const struct booking *booking)
{
    json_object *responses = object_new(), *location = object_new();

    put_text(responses, "name", booking->name);
    put_text(responses, "email", booking->email);
    put_copy(responses, "guests", booking->guests);
    if (booking->notes != NULL)
        put_text(responses, "notes", booking->notes);
    put_text(location, "value", "integrations:daily");
    put_text(location, "optionValue", "");
    put(responses, "location", location);
    json_object_object_foreach(booking->responses, slug, value) {
        put_copy(responses, slug, value);
    }
    return responses;
}

static void
push_attendee(json_object *attendees, const char *email, const char *name)
{
    json_object *attendee = object_new();

    put_text(attendee, "email", email);
    put_text(attendee, "name", name);
    put_text(attendee, "timeZone", HOST_TIME_ZONE);
    put_text(attendee, "locale", "de");
    push(attendees, attendee);
}

static json_object *
attendees_of(const struct booking *booking)
{
    json_object *attendees = array_new();

    if (booking->seats == NULL)
        push_attendee(attendees, booking->email, booking->name);
    for (size_t i = 0; i < json_object_array_length(booking->guests); i++)
        push_attendee(attendees,
                      json_object_get_string(json_object_array_get_idx(booking->guests, i)), "");
    for (const struct seat *seat = booking->seats; seat != NULL; seat = seat->next) {
        if (!seat->left)
            push_attendee(attendees, seat->email, seat->name);
    }
    return attendees;
}

static json_object *
host(void)
{
    json_object *user = object_new();

    put_text(user, "email", HOST_EMAIL);
    put_text(user, "name", HOST_NAME);
    put_text(user, "timeZone", HOST_TIME_ZONE);
    put_text(user, "locale", "en");
    return user;
}

static json_object *
payments_of(const struct booking *booking)
{
    json_object *payments = array_new(), *payment;

    if (booking->type.price == 0)
        return payments;
    payment = object_new();
    put_int(payment, "id", booking->id);
    put_bool(payment, "success", booking->paid);
    put_text(payment, "paymentOption", "ON_BOOKING");
    push(payments, payment);
    return payments;
}

json_object *
api_v1_row(const struct booking *booking)
{
    json_object *row = object_new();

    put_int(row, "id", booking->id);
    put_int(row, "userId", HOST_ID);
    put_text(row, "description", booking->notes == NULL ? "" : booking->notes);
    put_int(row, "eventTypeId", booking->type.id);
    put_text(row, "uid", booking->uid);
    put_text(row, "title", booking->title);
    put_time(row, "startTime", booking->start_ms, ISO_MILLIS_Z);
    put_time(row, "endTime", booking->end_ms, ISO_MILLIS_Z);
    put(row, "attendees", attendees_of(booking));
    put(row, "user", host());
    put(row, "payment", payments_of(booking));
    put_copy(row, "metadata", booking->metadata);
    put_text(row, "status", booking_status_name(booking->status));
    put(row, "responses", flat_responses(booking));
    put_text(row, "fromReschedule", booking->origin.id == 0 ? NULL : booking->origin.uid);
    put_text(row, "recurringEventId", booking->series.first == NULL ? NULL : booking->series.uid);
    put_text(row, "cancelledBy", booking->cancelled_by);
    put_text(row, "rescheduledBy", booking->origin.by);
    return row;
}
