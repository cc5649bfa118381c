#include "payload.h"

#include <string.h>

#include "clock.h"
#include "json_util.h"
#include "payload_parts.h"

static const char *const trigger_names[] = {
    [TRIGGER_REQUESTED] = "BOOKING_REQUESTED",
    [TRIGGER_CREATED] = "BOOKING_CREATED",
    [TRIGGER_REJECTED] = "BOOKING_REJECTED",
    [TRIGGER_CANCELLED] = "BOOKING_CANCELLED",
    [TRIGGER_RESCHEDULED] = "BOOKING_RESCHEDULED",
    [TRIGGER_PAYMENT_INITIATED] = "BOOKING_PAYMENT_INITIATED",
    [TRIGGER_PAID] = "BOOKING_PAID",
    [TRIGGER_PING] = "PING",
};

const char *
trigger_name(enum trigger trigger)
{
    return trigger_names[trigger];
}

bool
trigger_parse(const char *name, enum trigger *trigger)
{
    for (size_t i = 0; i < sizeof(trigger_names) / sizeof(trigger_names[0]); i++) {
        if (strcmp(name, trigger_names[i]) == 0) {
            *trigger = (enum trigger)i;
            return true;
        }
    }
    return false;
}

static const char *
or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* ---- a new booking ---- */

static void
put_new_head(json_object *p, const struct booking *b, const struct booker *who)
{
    put_text(p, "bookerUrl", PART_BOOKER_URL);
    put_text(p, "title", b->title);
    put_time(p, "startTime", b->start_ms, ISO_SECONDS_Z);
    put_time(p, "endTime", b->end_ms, ISO_SECONDS_Z);
    put_text(p, "additionalNotes", or_empty(who->notes));
    part_put_slug(p, b);
    put_text(p, "description", or_empty(who->notes));
    put_int(p, "eventTypeId", b->type.id);
    put_bool(p, "hideCalendarNotes", false);
    put_bool(p, "hideCalendarEventDetails", false);
    put_bool(p, "hideOrganizerEmail", false);
    put_null(p, "schedulingType");
    part_put_seats(p, b);
    put_bool(p, "seatsShowAttendees", true);
    put_bool(p, "seatsShowAvailabilityCount", true);
    put_null(p, "customReplyToEmail");
    put_bool(p, "disableRescheduling", false);
    put_bool(p, "disableCancelling", false);
    put(p, "organizer", part_organizer_new());
    put(p, "attendees", part_attendees_new(b));
    put(p, "customInputs", object_new());
    put(p, "responses", part_responses_new(who));
    put(p, "userFieldsResponses", object_new());
}

static void
put_new_identity(json_object *p, const struct occasion *o)
{
    const struct booking *b = o->booking;
    enum trigger trigger = o->trigger;
    bool auto_accepted = trigger == TRIGGER_CREATED || trigger == TRIGGER_RESCHEDULED;
    char password[UUID_SIZE];

    put_text(p, "location", PART_LOCATION);
    put_null(p, "destinationCalendar");
    part_put_ical_uid(p, b);
    put_int(p, "iCalSequence", trigger == TRIGGER_RESCHEDULED ? 1 : 0);
    put_bool(p, "requiresConfirmation",
             b->seats == NULL ? b->waits : b->type.requires_confirmation);
    ident_uuid(password);
    put_text(p, "oneTimePassword", auto_accepted ? NULL : password);
    put_null(p, "organizationId");
    put_null(p, "hashedLink");
    put_text(p, "uid", b->uid);
    if (trigger == TRIGGER_CREATED) {
        put(p, "videoCallData", part_video_call(b));
        put(p, "appsStatus", part_apps_status());
    }
    part_put_event_title(p, b);
    put_text(p, "eventDescription", "");
    put_int(p, "price", b->type.price);
    put_text(p, "currency", "usd");
    put_int(p, "length", (b->end_ms - b->start_ms) / 60000);
    put_int(p, "bookingId", b->id);
}

static void
put_new_metadata(json_object *p, const struct occasion *o, const struct booker *who)
{
    json_object *metadata = object_new();

    if (o->trigger == TRIGGER_CREATED || o->trigger == TRIGGER_RESCHEDULED)
        part_put_video_url(metadata, o->booking);
    json_object_object_foreach(who->metadata, key, value) {
        put_copy(metadata, key, value);
    }
    put(p, "metadata", metadata);
}

static json_object *
new_booking(const struct occasion *o)
{
    const struct booking *b = o->booking;
    const struct booker who = booker_of(b, o->seat);
    json_object *p = object_new();
    /* Yes: BOOKING_PAYMENT_INITIATED says ACCEPTED while the row is PENDING and unpaid. */
    enum booking_status said = o->trigger == TRIGGER_REQUESTED ? BOOKING_PENDING : BOOKING_ACCEPTED;

    put_new_head(p, b, &who);
    put_new_identity(p, o);
    if (o->seat != NULL)
        put_text(p, "attendeeSeatId", o->seat->uid);
    part_put_recurrence(p, b);
    if (b->origin.id != 0) {
        put_int(p, "rescheduleId", b->origin.id);
        put_text(p, "rescheduleUid", b->origin.uid);
        put_time(p, "rescheduleStartTime", b->origin.start_ms, ISO_SECONDS_Z);
        put_time(p, "rescheduleEndTime", b->origin.end_ms, ISO_SECONDS_Z);
    }
    put_new_metadata(p, o, &who);
    put_text(p, "status", booking_status_name(said));
    if (b->type.price > 0)
        put_int(p, "paymentId", b->id);
    if (b->origin.id != 0)
        put_text(p, "rescheduledBy", b->origin.by);
    return p;
}

/* ---- a booking that the host, or the money, decided ---- */

static void
put_handled_head(json_object *p, const struct occasion *o)
{
    const struct booking *b = o->booking;
    const struct booker who = booker_of(b, o->seat);

    part_put_slug(p, b);
    put_text(p, "title", b->title);
    put_text(p, "description", or_empty(who.notes));
    put_text(p, "bookerUrl", PART_BOOKER_URL);
    put(p, "userFieldsResponses", object_new());
    put(p, "responses", part_responses_later(&who));
    put(p, "customInputs", object_new());
    put_time(p, "startTime", b->start_ms, ISO_MILLIS_Z);
    put_time(p, "endTime", b->end_ms, ISO_MILLIS_Z);
    put(p, "organizer", part_organizer_later());
    put(p, "attendees", part_attendees_later(b, o->seat));
    put_text(p, "location", PART_LOCATION);
    put_text(p, "uid", b->uid);
    put(p, "destinationCalendar", part_calendar());
    put_bool(p, "requiresConfirmation", b->type.requires_confirmation);
    put_bool(p, "hideOrganizerEmail", false);
    put_bool(p, "hideCalendarNotes", false);
    put_bool(p, "hideCalendarEventDetails", false);
    put_int(p, "eventTypeId", b->type.id);
    put_null(p, "customReplyToEmail");
    part_put_seats(p, b);
    put_bool(p, "seatsShowAttendees", true);
    put_bool(p, "disableCancelling", false);
    put_bool(p, "disableRescheduling", false);
    put_null(p, "organizationId");
    put_text(p, "additionalNotes", or_empty(who.notes));
}

/* The metadata of the payment provider, which takes the place of the booking's own. */
static json_object *
payment_metadata(const struct booking *b)
{
    json_object *metadata = object_new();

    put_text(metadata, "identifier", "cal.com");
    put_int(metadata, "bookingId", b->id);
    put_int(metadata, "eventTypeId", b->type.id);
    put_text(metadata, "bookerEmail", b->email);
    part_put_event_title(metadata, b);
    put_text(metadata, "externalId", "pi_0000000000000000");
    return metadata;
}

static json_object *
handled(const struct occasion *o)
{
    const struct booking *b = o->booking;
    json_object *p = object_new();
    bool rejected = o->trigger == TRIGGER_REJECTED;

    put_handled_head(p, o);
    if (rejected) {
        put_text(p, "rejectionReason",
                 or_empty(o->reason != NULL ? o->reason : b->rejection_reason));
    } else {
        put(p, "videoCallData", part_video_call(b));
        put(p, "conferenceData", part_conference());
    }
    part_put_event_title(p, b);
    put_text(p, "eventDescription", "");
    put_int(p, "price", b->type.price);
    put_text(p, "currency", "usd");
    put_int(p, "length", (b->end_ms - b->start_ms) / 60000);
    put_int(p, "bookingId", b->id);
    put_text(p, "status", booking_status_name(rejected ? BOOKING_REJECTED : BOOKING_ACCEPTED));
    part_put_recurrence(p, b);
    if (o->trigger == TRIGGER_PAID) {
        put(p, "metadata", payment_metadata(b));
        put_int(p, "paymentId", b->id);
    } else if (!rejected) {
        json_object *metadata = object_new();
        part_put_video_url(metadata, b);
        put(p, "metadata", metadata);
    }
    return p;
}

/* ---- cancelled ---- */

static void
put_cancelled_head(json_object *p, const struct occasion *o)
{
    const struct booking *b = o->booking;
    const struct booker who = booker_of(b, o->seat);

    put_text(p, "bookerUrl", PART_BOOKER_URL);
    put_text(p, "title", b->title);
    put_int(p, "length", (b->end_ms - b->start_ms) / 60000);
    part_put_slug(p, b);
    put_text(p, "additionalNotes", or_empty(who.notes));
    put_text(p, "description", or_empty(who.notes));
    put(p, "customInputs", object_new());
    put_int(p, "eventTypeId", b->type.id);
    put(p, "userFieldsResponses", object_new());
    put(p, "responses", part_responses_later(&who));
    put_time(p, "startTime", b->start_ms, ISO_OFFSET);
    put_time(p, "endTime", b->end_ms, ISO_OFFSET);
    put(p, "organizer", part_organizer_later());
    put(p, "attendees", part_attendees_later(b, o->seat));
    put_text(p, "uid", b->uid);
    put_int(p, "bookingId", b->id);
    put_text(p, "location", PART_LOCATION);
    put(p, "destinationCalendar", array_new());
}

static json_object *
cancelled(const struct occasion *o)
{
    const struct booking *b = o->booking;
    const char *by = o->by != NULL ? o->by : b->cancelled_by;
    json_object *p = object_new();

    put_cancelled_head(p, o);
    put_text(p, "cancellationReason", o->reason != NULL ? o->reason : b->cancellation_reason);
    part_put_seats(p, b);
    put_bool(p, "seatsShowAttendees", true);
    part_put_ical_uid(p, b);
    put_int(p, "iCalSequence", 1);
    put_bool(p, "hideOrganizerEmail", false);
    put_null(p, "customReplyToEmail");
    put_null(p, "organizationId");
    part_put_event_title(p, b);
    put_null(p, "eventDescription");
    put_bool(p, "requiresConfirmation", b->type.requires_confirmation);
    put_null(p, "price");
    put_text(p, "currency", "usd");
    part_put_recurrence(p, b);
    put_text(p, "status", "CANCELLED");
    if (by != NULL)
        put_text(p, "cancelledBy", by);
    put_bool(p, "requestReschedule", false);
    return p;
}

/* ---- ping: no uid, no bookingId, no status ---- */

static json_object *
ping_person(const char *email, const char *name, bool email_first)
{
    json_object *person = object_new();

    put_text(person, email_first ? "email" : "name", email_first ? email : name);
    put_text(person, email_first ? "name" : "email", email_first ? name : email);
    put_text(person, "timeZone", "Europe/London");
    put(person, "language", part_locale("en"));
    put_int(person, "utcOffset", 0);
    return person;
}

static json_object *
ping(void)
{
    json_object *p = object_new(), *attendees = array_new();
    int64_t now_ms = clock_wall_ms();

    put_text(p, "type", "Test");
    put_text(p, "title", "Test trigger event");
    put_time(p, "startTime", now_ms, ISO_MILLIS_Z);
    put_time(p, "endTime", now_ms, ISO_MILLIS_Z);
    push(attendees, ping_person("jdoe@example.com", "John Doe", true));
    put(p, "attendees", attendees);
    put(p, "organizer", ping_person("no-reply@example.com", "Cal", false));
    return p;
}

/*
 * Who had to wait, for the host or for the money, is announced by the code that ends the waiting.
 */
static bool
had_to_wait(const struct occasion *o)
{
    if (o->seat != NULL)
        return o->seat->waited;
    return o->booking->waits || o->booking->type.price > 0;
}

static json_object *
payload_of(const struct occasion *occasion)
{
    switch (occasion->trigger) {
    case TRIGGER_CREATED:
        return had_to_wait(occasion) ? handled(occasion) : new_booking(occasion);
    case TRIGGER_REQUESTED:
    case TRIGGER_RESCHEDULED:
    case TRIGGER_PAYMENT_INITIATED:
        return new_booking(occasion);
    case TRIGGER_REJECTED:
    case TRIGGER_PAID:
        return handled(occasion);
    case TRIGGER_CANCELLED:
        return cancelled(occasion);
    case TRIGGER_PING:
        return ping();
    }
    return NULL;
}

json_object *
payload_build(const struct occasion *occasion)
{
    json_object *envelope = object_new();

    put_text(envelope, "triggerEvent", trigger_name(occasion->trigger));
    put_time(envelope, "createdAt", clock_wall_ms(), ISO_MILLIS_Z);
    put(envelope, "payload", payload_of(occasion));
    return envelope;
}
