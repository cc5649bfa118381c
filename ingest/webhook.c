#include "ingest/webhook.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timestamp.h"
#include "common/utf8.h"

#define LARGEST_NUMBER INT64_C(9007199254740991)

#define FIELD_MAX  200
#define FIELD_CHAR "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

struct webhook_parser {
    struct json_tokener *tokener;
    char account_field[FIELD_MAX + 1];
    /* What the newest event points into. */
    struct json_object *root, *answers;
    char attendees[WEBHOOK_SEATS_MAX * BOOKING_ACCOUNT_SIZE];
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

bool
webhook_account_field_is_valid(const char *text)
{
    if (strlen(text) > FIELD_MAX) {
        return false;
    }
    for (;;) {
        size_t length = strspn(text, FIELD_CHAR);
        if (length == 0) {
            return false;
        }
        if (text[length] != '.') {
            return text[length] == '\0';
        }
        text += length + 1;
    }
}

struct webhook_parser *
webhook_parser_new(const char *account_field)
{
    struct webhook_parser *parser = calloc(1, sizeof *parser);
    if (parser == NULL) {
        return NULL;
    }
    (void)snprintf(parser->account_field, sizeof parser->account_field, "%s", account_field);
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
        (void)json_object_put(parser->answers);
        (void)json_object_put(parser->root);
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

/* The account: what stands at the operator's path, a text or a whole number; without a path the
 * booker's e-mail. "" when it is not there: nobody else's account may stand in for it. */
static void
read_account(const struct webhook_parser *parser, struct json_object *payload,
             struct booking_event *event)
{
    if (parser->account_field[0] == '\0') {
        memcpy(event->account, event->email, sizeof event->account);
        return;
    }
    struct json_object *at = payload;
    for (const char *name = parser->account_field; at != NULL && *name != '\0';) {
        char part[FIELD_MAX + 1];
        size_t length = strcspn(name, ".");
        (void)snprintf(part, sizeof part, "%.*s", (int)length, name);
        at = member(at, part);
        name += length + (name[length] == '.');
    }
    if (json_object_is_type(at, json_type_object)) {
        at = member(at, "value");
    }
    char number[24];
    const char *text = text_of(at);
    if (json_object_is_type(at, json_type_int)) {
        (void)snprintf(number, sizeof number, "%" PRId64, json_object_get_int64(at));
        text = number;
    }
    if (text != NULL && !booking_normalise_account(text, event->account)) {
        event->account[0] = '\0';
    }
}

/* An object as JSON; NULL when it is empty, or too large, which is told. A oneTimePassword accepts
 * or rejects the booking without a login: it goes nowhere. */
static const char *
write_object(struct json_object *object, struct webhook *webhook)
{
    if (!json_object_is_type(object, json_type_object)) {
        return NULL;
    }
    json_object_object_del(object, "oneTimePassword");
    if (json_object_object_length(object) == 0) {
        return NULL;
    }
    size_t size = 0;
    const char *text = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    if (text != NULL && size <= WEBHOOK_ANSWERS_MAX) {
        return text;
    }
    webhook->cut = true;
    return NULL;
}

/* What the booker answered: responses.<name>.value, without what was left blank. */
static void
read_answers(struct webhook_parser *parser, struct json_object *payload, struct webhook *webhook)
{
    struct json_object *responses = member(payload, "responses");
    if (json_object_is_type(responses, json_type_object)) {
        parser->answers = json_object_new_object();
        json_object_object_foreach(responses, name, response) {
            struct json_object *value = member(response, "value");
            if (value != NULL && parser->answers != NULL) {
                (void)json_object_object_add(parser->answers, name, json_object_get(value));
            }
        }
    }
    webhook->event.answers = write_object(parser->answers, webhook);
    webhook->event.metadata = write_object(member(payload, "metadata"), webhook);
}

/* Whose seats an event without a seat's ID is about (Cal.com: cancelAttendeeSeat.ts sends only the
 * one attendee, a cancelled slot all). */
static void
read_attendees(struct webhook_parser *parser, struct json_object *payload,
               struct booking_event *event)
{
    struct json_object *attendees = member(payload, "attendees");
    size_t used = 0;
    size_t count =
        json_object_is_type(attendees, json_type_array) ? json_object_array_length(attendees) : 0;
    for (size_t i = 0; i < count && i < WEBHOOK_SEATS_MAX; i++) {
        char email[BOOKING_ACCOUNT_SIZE];
        const char *text = text_of(member(json_object_array_get_idx(attendees, i), "email"));
        if (text != NULL && booking_normalise_account(text, email)) {
            used += (size_t)snprintf(parser->attendees + used, sizeof parser->attendees - used,
                                     "%s%s", used > 0 ? " " : "", email);
        }
    }
    event->attendees = used > 0 ? parser->attendees : NULL;
}

/* What is special about a booking: seats, a series, a price. */
static void
read_kind_of_booking(struct webhook_parser *parser, struct json_object *payload, bool makes_booking,
                     struct booking_event *event)
{
    event->seats = event->seat[0] != '\0' ||
                   json_object_is_type(member(payload, "seatsPerTimeSlot"), json_type_int);
    if (event->seats && event->seat[0] == '\0' && !makes_booking) {
        read_attendees(parser, payload, event);
    }
    struct json_object *recurring = member(payload, "recurringEvent");
    if (json_object_is_type(recurring, json_type_object)) {
        int64_t count = json_object_get_int64(member(recurring, "count"));
        event->occurrences = count >= 1 && count <= LARGEST_NUMBER ? count : 2;
    }
    struct json_object *price = member(payload, "price");
    event->paid = (json_object_is_type(price, json_type_int) ||
                   json_object_is_type(price, json_type_double)) &&
                  json_object_get_double(price) > 0;
}

/* Seats of one slot share a booking ID; each has a name of its own. */
static bool
read_id(struct json_object *payload, struct booking_event *event)
{
    char number[24];
    const char *seat = event->seat;
    copy_number(payload, "bookingId", number, sizeof number);
    if (number[0] == '\0' ||
        !copy_word(payload, "attendeeSeatId", event->seat, sizeof event->seat)) {
        return false;
    }
    int written =
        snprintf(event->id, sizeof event->id, "%s%s%s", number, seat[0] != '\0' ? ":" : "", seat);
    return written > 0 && (size_t)written < sizeof event->id && booking_id_is_valid(event->id);
}

/* What every event may tell. NULL, or what is wrong. */
static const char *
read_common(struct json_object *root, struct json_object *payload, struct booking_event *event)
{
    if (!read_id(payload, event)) {
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
    const char *by = text_of(member(payload, "cancelledBy"));
    if (by != NULL && !booking_normalise_account(by, event->cancelled_by)) {
        event->cancelled_by[0] = '\0';
    }
    const char *email = find_email(payload);
    if (email != NULL && !booking_normalise_account(email, event->email)) {
        event->email[0] = '\0';
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
    if (event->email[0] == '\0') {
        return "payload.responses.email.value is missing or no e-mail address";
    }
    if (event->start_s == 0) {
        return "payload.startTime is missing or no timestamp";
    }
    return NULL;
}

static enum webhook_result
read_event(struct webhook_parser *parser, struct webhook *webhook)
{
    struct json_object *root = parser->root;
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
    payload = payload != NULL ? payload : root;
    webhook->event.kind = trigger->kind;
    webhook->reason = read_common(root, payload, &webhook->event);
    read_account(parser, payload, &webhook->event);
    read_kind_of_booking(parser, payload, trigger->makes_booking, &webhook->event);
    if (trigger->makes_booking) {
        read_answers(parser, payload, webhook);
    }
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
    (void)json_object_put(parser->answers);
    (void)json_object_put(parser->root);
    parser->answers = NULL;
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
    parser->root = root;
    enum webhook_result result = WEBHOOK_MALFORMED;
    if (error == json_tokener_success) {
        result = read_event(parser, webhook);
    } else {
        webhook->reason = error == json_tokener_error_depth ? "the JSON is nested too deeply"
                                                            : "the body is not JSON";
    }
    return result;
}
