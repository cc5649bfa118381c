#include "api_v2_data.h"

#include <stdlib.h>

#include "alloc.h"
#include "json_util.h"
#include "seats.h"

static const char *
status_name(enum booking_status status)
{
    switch (status) {
    case BOOKING_ACCEPTED:
        return "accepted";
    case BOOKING_PENDING:
    case BOOKING_AWAITING_HOST:
        return "pending";
    case BOOKING_REJECTED:
        return "rejected";
    case BOOKING_CANCELLED:
        return "cancelled";
    }
    return NULL;
}

static json_object *
hosts(void)
{
    json_object *list = array_new(), *host = object_new();

    put_int(host, "id", HOST_ID);
    put_text(host, "name", HOST_NAME);
    put_text(host, "email", HOST_EMAIL);
    put_text(host, "username", HOST_USERNAME);
    put_text(host, "timeZone", HOST_TIME_ZONE);
    push(list, host);
    return list;
}

static json_object *
event_type(const struct booking *booking)
{
    json_object *type = object_new();
    char slug[EVENT_TYPE_NAME_SIZE];

    put_int(type, "id", booking->type.id);
    put_text(type, "slug", event_type_slug(&booking->type, slug));
    return type;
}

static json_object *
field_responses(const struct booker *who)
{
    json_object *responses = object_new();

    put_text(responses, "email", who->email);
    put_text(responses, "name", who->name);
    if (who->notes != NULL)
        put_text(responses, "notes", who->notes);
    put_copy(responses, "guests", who->guests);
    json_object_object_foreach(who->responses, slug, value) {
        put_copy(responses, slug, value);
    }
    return responses;
}

/* Of a slot with seats, each attendee has his own answers; whether he is confirmed is not told. */
static json_object *
attendee(const struct booking *booking, const struct seat *seat)
{
    const struct booker who = booker_of(booking, seat);
    json_object *attendee = object_new();

    put_text(attendee, "name", who.name);
    put_text(attendee, "email", who.email);
    put_text(attendee, "timeZone", HOST_TIME_ZONE);
    put_text(attendee, "language", "de");
    put_bool(attendee, "absent", false);
    if (seat != NULL) {
        put_text(attendee, "seatUid", seat->uid);
        put(attendee, "bookingFieldsResponses", field_responses(&who));
        put_copy(attendee, "metadata", who.metadata);
    }
    return attendee;
}

static json_object *
attendees(const struct booking *booking)
{
    json_object *list = array_new();

    if (booking->seats == NULL)
        push(list, attendee(booking, NULL));
    for (const struct seat *seat = booking->seats; seat != NULL; seat = seat->next) {
        if (!seat->left)
            push(list, attendee(booking, seat));
    }
    return list;
}

static void
put_history(json_object *data, const struct booking *booking)
{
    put_text(data, "status", status_name(booking->status));
    if (booking->cancellation_reason != NULL)
        put_text(data, "cancellationReason", booking->cancellation_reason);
    if (booking->cancelled_by != NULL)
        put_text(data, "cancelledByEmail", booking->cancelled_by);
    if (booking->origin.id != 0)
        put_text(data, "rescheduledFromUid", booking->origin.uid);
    if (booking->rescheduled_to[0] != '\0')
        put_text(data, "rescheduledToUid", booking->rescheduled_to);
}

json_object *
api_v2_data(const struct booking *booking)
{
    json_object *data = object_new();
    char *ics = xasprintf("%s@cal.example.com", booking->uid);

    put_int(data, "id", booking->id);
    put_text(data, "uid", booking->uid);
    put_text(data, "title", booking->title);
    put_text(data, "description", booking->notes == NULL ? "" : booking->notes);
    put(data, "hosts", hosts());
    put_history(data, booking);
    put_time(data, "start", booking->start_ms, ISO_MILLIS_Z);
    put_time(data, "end", booking->end_ms, ISO_MILLIS_Z);
    put_int(data, "duration", (booking->end_ms - booking->start_ms) / 60000);
    put_int(data, "eventTypeId", booking->type.id);
    put(data, "eventType", event_type(booking));
    put_text(data, "location", "integrations:daily");
    put_text(data, "meetingUrl", "integrations:daily");
    put_bool(data, "absentHost", false);
    put_time(data, "createdAt", booking->created_ms, ISO_MILLIS_Z);
    put_time(data, "updatedAt", booking->updated_ms, ISO_MILLIS_Z);
    put_copy(data, "metadata", booking->metadata);
    put_text(data, "icsUid", ics);
    put(data, "attendees", attendees(booking));
    if (booking->series.first != NULL)
        put_text(data, "recurringBookingUid", booking->series.uid);
    if (booking->seats == NULL) {
        const struct booker who = booker_of(booking, NULL);
        put_copy(data, "guests", booking->guests);
        put(data, "bookingFieldsResponses", field_responses(&who));
    }
    free(ics);
    return data;
}
