#include "ingest/webhook.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timestamp.h"
#include "common/utf8.h"

#define LARGEST_NUMBER INT64_C(9007199254740991)

struct webhook_parser {
    struct json_tokener *tokener;
};

/* What a trigger is. Times, account and slot are needed only by an event that can make a booking.
 */
static const struct trigger {
    const char *name;
    enum webhook_result result;
    enum booking_event_kind kind;
    bool makes_booking;
} TRIGGERS[] = {
    { "BOOKING_REQUESTED", WEBHOOK_EVENT, BOOKING_REQUESTED, true },
    { "BOOKING_CREATED", WEBHOOK_EVENT, BOOKING_CREATED, true },
    { "BOOKING_RESCHEDULED", WEBHOOK_EVENT, BOOKING_RESCHEDULED, true },
    { "BOOKING_REJECTED", WEBHOOK_EVENT, BOOKING_REJECTED, false },
    { "BOOKING_CANCELLED", WEBHOOK_EVENT, BOOKING_CANCELLED, false },
    { "BOOKING_PAYMENT_INITIATED", WEBHOOK_EVENT, BOOKING_PAYMENT_INITIATED, false },
    { "PING", WEBHOOK_PING, BOOKING_REQUESTED, false },
};

static const struct trigger *
find_trigger(const char *name)
{
    for (size_t i = 0; i < sizeof TRIGGERS / sizeof TRIGGERS[0]; i++) {
        if (strcmp(name, TRIGGERS[i].name) == 0) {
            return &TRIGGERS[i];
        }
    }
    return NULL;
}

struct webhook_parser *
webhook_parser_new(void)
{
    struct webhook_parser *parser = calloc(1, sizeof *parser);
    if (parser == NULL) {
        return NULL;
    }
    parser->tokener = json_tokener_new_ex(WEBHOOK_DEPTH);
    if (parser->tokener == NULL) {
        free(parser);
        return NULL;
    }
    /* Not JSON_TOKENER_STRICT: json-c 0.18 (Debian 13) then takes every non-ASCII letter in a text
     * for a control character. What the lenient mode lets through beside JSON (single quotes,
     * comments) is signed and needs the same members as anything else. */
    return parser;
}

void
webhook_parser_free(struct webhook_parser *parser)
{
    if (parser != NULL) {
        json_tokener_free(parser->tokener);
        free(parser);
    }
}

/* The member of an object; NULL when absent, null, or `object` is no object. */
static struct json_object *
member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (!json_object_is_type(object, json_type_object)) {
        return NULL;
    }
    return json_object_object_get_ex(object, name, &value) ? value : NULL;
}

/* A string without NUL inside; NULL for anything else. */
static const char *
text_of(struct json_object *value)
{
    if (!json_object_is_type(value, json_type_string)) {
        return NULL;
    }
    const char *text = json_object_get_string(value);
    return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

/* Copies a member that is an opaque word (printable ASCII without spaces); "" when it is absent.
 * False when it is there and is no such word, or does not fit. */
static bool
copy_word(struct json_object *object, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    struct json_object *value = member(object, name);
    if (value == NULL) {
        return true;
    }
    const char *text = text_of(value);
    if (text == NULL || strlen(text) >= size) {
        return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            return false;
        }
    }
    (void)snprintf(out, size, "%s", text);
    return true;
}

/* A positive whole number as decimal text; "" for anything else. json-c makes the largest 64-bit
 * number of whatever is larger; JavaScript, which wrote it, is exact only up to 2^53 - 1. */
static void
copy_number(struct json_object *object, const char *name, char *out, size_t size)
{
    struct json_object *value = member(object, name);
    out[0] = '\0';
    int64_t number = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
    if (number > 0 && number <= LARGEST_NUMBER) {
        (void)snprintf(out, size, "%" PRId64, number);
    }
}

static bool
read_time_ms(struct json_object *object, const char *name, int64_t *wall_ms)
{
    const char *text = text_of(member(object, name));
    return text != NULL && timestamp_parse(text, wall_ms);
}

/* The booker: responses.email.value. With seats attendees[0] is the first seat's holder, so it is
 * only the second choice. */
static const char *
find_email(struct json_object *payload)
{
    const char *email = text_of(member(member(member(payload, "responses"), "email"), "value"));
    if (email != NULL) {
        return email;
    }
    struct json_object *attendees = member(payload, "attendees");
    if (!json_object_is_type(attendees, json_type_array) ||
        json_object_array_length(attendees) == 0) {
        return NULL;
    }
    return text_of(member(json_object_array_get_idx(attendees, 0), "email"));
}

/* Bookings that are decided in ways of their own; this gate hands them to a person. */
static const char *
find_unsupported(struct json_object *payload, const char *seat)
{
    if (seat[0] != '\0' ||
        json_object_is_type(member(payload, "seatsPerTimeSlot"), json_type_int)) {
        return "the event type has seats: accept or decline by hand in Cal.com";
    }
    if (json_object_is_type(member(payload, "recurringEvent"), json_type_object)) {
        return "the booking is one of a series: accept or decline by hand in Cal.com";
    }
    return NULL;
}

/* Seats of one slot share a booking ID; each has a name of its own. */
static bool
read_id(struct json_object *payload, char *seat, size_t seat_size, struct booking_event *event)
{
    char number[24];
    copy_number(payload, "bookingId", number, sizeof number);
    if (number[0] == '\0' || !copy_word(payload, "attendeeSeatId", seat, seat_size)) {
        return false;
    }
    int written =
        snprintf(event->id, sizeof event->id, "%s%s%s", number, seat[0] != '\0' ? ":" : "", seat);
    return written > 0 && (size_t)written < sizeof event->id && booking_id_is_valid(event->id);
}

/* What every event may tell. NULL, or what is wrong. */
static const char *
read_common(struct json_object *root, struct json_object *payload, bool makes_booking,
            struct booking_event *event)
{
    char seat[BOOKING_ID_SIZE];
    if (!read_id(payload, seat, sizeof seat, event)) {
        return "payload.bookingId is missing or no positive number";
    }
    if (!read_time_ms(root, "createdAt", &event->created_wall_ms)) {
        return "createdAt is missing or no timestamp";
    }
    if (!copy_word(payload, "uid", event->uid, sizeof event->uid) ||
        !copy_word(payload, "rescheduleUid", event->reschedule_uid, sizeof event->reschedule_uid)) {
        return "payload.uid or payload.rescheduleUid is no word of at most 64 characters";
    }
    copy_number(payload, "eventTypeId", event->event_type, sizeof event->event_type);
    if (makes_booking) {
        event->unsupported = find_unsupported(payload, seat);
    }
    const char *by = text_of(member(payload, "cancelledBy"));
    if (by != NULL && !booking_normalise_account(by, event->cancelled_by)) {
        event->cancelled_by[0] = '\0';
    }
    const char *email = find_email(payload);
    if (email != NULL && booking_normalise_account(email, event->email)) {
        memcpy(event->account, event->email, sizeof event->account);
    }
    int64_t wall_ms = 0;
    if (read_time_ms(payload, "startTime", &wall_ms)) {
        event->start_s = wall_ms / 1000;
    }
    if (read_time_ms(payload, "endTime", &wall_ms)) {
        event->end_s = wall_ms / 1000;
    }
    struct json_object *confirmation = member(payload, "requiresConfirmation");
    event->requires_confirmation = json_object_is_type(confirmation, json_type_boolean) &&
                                   json_object_get_boolean(confirmation);
    return NULL;
}

/* What a booking cannot be decided without. NULL, or what is missing. */
static const char *
find_missing(const struct booking_event *event)
{
    if (event->uid[0] == '\0') {
        return "payload.uid is missing";
    }
    if (event->event_type[0] == '\0') {
        return "payload.eventTypeId is missing or no positive number";
    }
    if (event->account[0] == '\0') {
        return "payload.responses.email.value is missing or no e-mail address";
    }
    if (event->start_s == 0) {
        return "payload.startTime is missing or no timestamp";
    }
    return NULL;
}

static enum webhook_result
read_event(struct json_object *root, struct webhook *webhook)
{
    const char *name = text_of(member(root, "triggerEvent"));
    if (name == NULL) {
        webhook->reason = json_object_is_type(root, json_type_boolean)
                              ? "the body is `false`: the webhook's custom template broke"
                              : "triggerEvent is missing";
        return WEBHOOK_MALFORMED;
    }
    (void)snprintf(webhook->trigger, sizeof webhook->trigger, "%s", name);
    const struct trigger *trigger = find_trigger(name);
    if (trigger == NULL) {
        return WEBHOOK_IGNORED;
    }
    if (trigger->result != WEBHOOK_EVENT) {
        return trigger->result;
    }
    struct json_object *payload = member(root, "payload");
    webhook->event.kind = trigger->kind;
    webhook->reason = read_common(root, payload != NULL ? payload : root, trigger->makes_booking,
                                  &webhook->event);
    if (webhook->reason == NULL && trigger->makes_booking) {
        webhook->reason = find_missing(&webhook->event);
    }
    return webhook->reason == NULL ? WEBHOOK_EVENT : WEBHOOK_MALFORMED;
}

enum webhook_result
webhook_parse(struct webhook_parser *parser, const char *body, size_t size, struct webhook *webhook)
{
    memset(webhook, 0, sizeof *webhook);
    if (memchr(body, '\0', size) != NULL || !utf8_is_valid(body, size)) {
        webhook->reason = "the body is not UTF-8 text";
        return WEBHOOK_MALFORMED;
    }
    json_tokener_reset(parser->tokener);
    struct json_object *root = json_tokener_parse_ex(parser->tokener, body, (int)size);
    enum json_tokener_error error = json_tokener_get_error(parser->tokener);
    if (error == json_tokener_continue) {
        /* A bare word at the end of input is complete only with what follows it. */
        root = json_tokener_parse_ex(parser->tokener, "", 1);
        error = json_tokener_get_error(parser->tokener);
    } else if (error == json_tokener_success &&
               json_tokener_get_parse_end(parser->tokener) != size) {
        error = json_tokener_error_parse_unexpected;
    }
    enum webhook_result result = WEBHOOK_MALFORMED;
    if (error == json_tokener_success) {
        result = read_event(root, webhook);
    } else {
        webhook->reason = error == json_tokener_error_depth ? "the JSON is nested too deeply"
                                                            : "the body is not JSON";
    }
    (void)json_object_put(root);
    return result;
}
