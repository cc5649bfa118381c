#include "payload_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json_util.h"

/* The answers of the booking form; a question that was not answered has no `value` at all. */
static void
put_answer(json_object *responses, const char *slug, const char *label, json_object *value,
           bool hidden)
{
    json_object *answer = object_new();

    put_text(answer, "label", label);
    if (value != NULL)
        put(answer, "value", value);
    put_bool(answer, "isHidden", hidden);
    put(responses, slug, answer);
}

static json_object *
notes_value(const struct booker *who)
{
    return who->notes == NULL ? NULL : text_new(who->notes);
}

static json_object *
guests_value(const struct booker *who)
{
    return json_object_array_length(who->guests) == 0 ? NULL : json_object_get(who->guests);
}

static void
put_further_answers(json_object *responses, const struct booker *who)
{
    json_object_object_foreach(who->responses, slug, value) {
        put_answer(responses, slug, slug, json_object_get(value), false);
    }
}

json_object *
part_responses_new(const struct booker *who)
{
    json_object *responses = object_new(), *location = object_new();

    put_text(location, "value", PART_LOCATION);
    put_text(location, "optionValue", "");
    put_answer(responses, "name", "your_name", text_new(who->name), false);
    put_answer(responses, "email", "email_address", text_new(who->email), false);
    put_answer(responses, "attendeePhoneNumber", "phone_number", NULL, true);
    put_answer(responses, "location", "location", location, false);
    put_answer(responses, "title", "what_is_this_meeting_about", NULL, true);
    put_answer(responses, "notes", "additional_notes", notes_value(who), false);
    put_answer(responses, "guests", "additional_guests", guests_value(who), false);
    put_answer(responses, "rescheduleReason", "reason_for_reschedule", NULL, false);
    put_further_answers(responses, who);
    return responses;
}

json_object *
part_responses_later(const struct booker *who)
{
    json_object *responses = object_new();

    put_answer(responses, "name", "your_name", text_new(who->name), false);
    put_answer(responses, "email", "email_address", text_new(who->email), false);
    put_answer(responses, "notes", "additional_notes", notes_value(who), false);
    put_answer(responses, "guests", "additional_guests", guests_value(who), false);
    put_further_answers(responses, who);
    return responses;
}

json_object *
part_locale(const char *locale)
{
    json_object *language = object_new();

    put_text(language, "locale", locale);
    return language;
}

json_object *
part_organizer_new(void)
{
    json_object *organizer = object_new();

    put_int(organizer, "id", HOST_ID);
    put_text(organizer, "name", HOST_NAME);
    put_text(organizer, "email", HOST_EMAIL);
    put_text(organizer, "username", HOST_USERNAME);
    put_text(organizer, "usernameInOrg", HOST_USERNAME);
    put_text(organizer, "timeZone", HOST_TIME_ZONE);
    put(organizer, "language", part_locale("en"));
    put_text(organizer, "timeFormat", "h:mma");
    put_int(organizer, "utcOffset", 60);
    return organizer;
}

json_object *
part_organizer_later(void)
{
    json_object *organizer = object_new();

    put_int(organizer, "id", HOST_ID);
    put_text(organizer, "email", HOST_EMAIL);
    put_text(organizer, "name", HOST_NAME);
    put_text(organizer, "username", HOST_USERNAME);
    put_text(organizer, "timeZone", HOST_TIME_ZONE);
    put_text(organizer, "timeFormat", "h:mma");
    put(organizer, "language", part_locale("en"));
    put_int(organizer, "utcOffset", 60);
    return organizer;
}

/* "Jonas Weber" is "Jonas" and "Weber"; one word is a first name. */
static void
put_name_parts(json_object *attendee, const char *name)
{
    const char *space = strchr(name, ' ');
    size_t length = space == NULL ? strlen(name) : (size_t)(space - name);

    put(attendee, "firstName", xneed(json_object_new_string_len(name, (int)length)));
    put_text(attendee, "lastName", space == NULL ? "" : space + 1);
}

static json_object *
attendee_new(const char *email, const char *name)
{
    json_object *attendee = object_new();

    put_text(attendee, "email", email);
    put_text(attendee, "name", name);
    put_name_parts(attendee, name);
    put_text(attendee, "timeZone", HOST_TIME_ZONE);
    put(attendee, "language", part_locale("de"));
    put_int(attendee, "utcOffset", 60);
    return attendee;
}

static json_object *
attendee_later(const char *email, const char *name)
{
    json_object *attendee = object_new();

    put_text(attendee, "name", name);
    put_text(attendee, "email", email);
    put_text(attendee, "timeZone", HOST_TIME_ZONE);
    put_null(attendee, "phoneNumber");
    put(attendee, "language", part_locale("de"));
    put_int(attendee, "utcOffset", 60);
    return attendee;
}

typedef json_object *attendee_shape(const char *email, const char *name);

/* The booker first, then the guests, of whom only the address is known. */
static json_object *
attendees(const struct booking *b, attendee_shape *one)
{
    json_object *list = array_new();

    if (b->seats == NULL)
        push(list, one(b->email, b->name));
    for (size_t i = 0; i < json_object_array_length(b->guests); i++)
        push(list, one(json_object_get_string(json_object_array_get_idx(b->guests, i)), ""));
    for (const struct seat *seat = b->seats; seat != NULL; seat = seat->next) {
        if (!seat->left)
            push(list, one(seat->email, seat->name));
    }
    return list;
}

json_object *
part_attendees_new(const struct booking *b)
{
    return attendees(b, attendee_new);
}

json_object *
part_attendees_later(const struct booking *b, const struct seat *seat)
{
    json_object *list;

    if (seat == NULL)
        return attendees(b, attendee_later);
    list = array_new();
    push(list, attendee_later(seat->email, seat->name));
    return list;
}

void
part_put_seats(json_object *p, const struct booking *b)
{
    if (b->seats == NULL)
        put_null(p, "seatsPerTimeSlot");
    else
        put_int(p, "seatsPerTimeSlot", b->type.seats);
}

/* Weekly is 2 and daily is 3, as in RFC 5545's library. The series itself is not named. */
void
part_put_recurrence(json_object *p, const struct booking *b)
{
    bool weekly = b->series.interval_days % 7 == 0;
    json_object *recurrence;

    if (b->series.occurrences == 0)
        return;
    recurrence = object_new();
    put_int(recurrence, "freq", weekly ? 2 : 3);
    put_int(recurrence, "count", b->series.occurrences);
    put_int(recurrence, "interval", weekly ? b->series.interval_days / 7 : b->series.interval_days);
    put(p, "recurringEvent", recurrence);
}

void
part_put_slug(json_object *p, const struct booking *b)
{
    char name[EVENT_TYPE_NAME_SIZE];

    put_text(p, "type", event_type_slug(&b->type, name));
}

void
part_put_event_title(json_object *p, const struct booking *b)
{
    char name[EVENT_TYPE_NAME_SIZE];

    put_text(p, "eventTitle", event_type_title(&b->type, name));
}

void
part_put_ical_uid(json_object *p, const struct booking *b)
{
    char *ical = xasprintf("%s@cal.example.com", b->uid);

    put_text(p, "iCalUID", ical);
    free(ical);
}

void
part_put_video_url(json_object *metadata, const struct booking *b)
{
    char *url = xasprintf(PART_BOOKER_URL "/video/%s", b->uid);

    put_text(metadata, "videoCallUrl", url);
    free(url);
}

json_object *
part_video_call(const struct booking *b)
{
    json_object *video = object_new();
    char *url = xasprintf("https://meet.example.com/%" PRId64, b->id);

    put_text(video, "type", "daily_video");
    put_text(video, "id", b->uid);
    put_text(video, "password", "redacted");
    put_text(video, "url", url);
    free(url);
    return video;
}

json_object *
part_apps_status(void)
{
    json_object *list = array_new(), *app = object_new();

    put_text(app, "appName", "daily-video");
    put_text(app, "type", "daily_video");
    put_int(app, "success", 1);
    put_int(app, "failures", 0);
    put(app, "errors", array_new());
    push(list, app);
    return list;
}

json_object *
part_conference(void)
{
    json_object *conference = object_new(), *request = object_new();
    char id[UUID_SIZE];

    ident_uuid(id);
    put_text(request, "requestId", id);
    put(conference, "createRequest", request);
    return conference;
}

json_object *
part_calendar(void)
{
    json_object *list = array_new(), *calendar = object_new();

    put_int(calendar, "id", 31);
    put_text(calendar, "integration", "google_calendar");
    put_text(calendar, "externalId", HOST_EMAIL);
    put_text(calendar, "primaryEmail", HOST_EMAIL);
    put_int(calendar, "userId", HOST_ID);
    put_null(calendar, "eventTypeId");
    put_int(calendar, "credentialId", 8);
    push(list, calendar);
    return list;
}
