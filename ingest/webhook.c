#include "ingest/webhook.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/utf8.h"
#include "ingest/webhook_json.h"

struct webhook_parser {
    struct json_tokener *tokener;
    char path[CONFIG_PATH_SIZE]; /* to the account, cut into its words */
    const char *words[CONFIG_PATH_WORDS];
    size_t word_count; /* 0: the account is the e-mail */
    /* Of the event read last. */
    char attendees[WEBHOOK_ATTENDEES_SIZE];
    char answers[WEBHOOK_JSON_SIZE];
    char metadata[WEBHOOK_JSON_SIZE];
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

static void
cut_path(struct webhook_parser *parser, const char *path)
{
    (void)snprintf(parser->path, sizeof parser->path, "%s", path);
    for (char *at = parser->path; *at != '\0' && parser->word_count < CONFIG_PATH_WORDS;) {
        parser->words[parser->word_count++] = at;
        at += strcspn(at, ".");
        if (*at == '.') {
            *at++ = '\0';
        }
    }
}

struct webhook_parser *
webhook_parser_new(const char *account_field)
{
    struct webhook_parser *parser = calloc(1, sizeof *parser);
    if (parser == NULL) {
        return NULL;
    }
    cut_path(parser, account_field);
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

/* The booker: responses.email.value. With seats attendees[0] is the first seat's holder, so it is
 * only the second choice. */
static const char *
find_email(struct json_object *payload)
{
    const char *email = webhook_text(
        webhook_member(webhook_member(webhook_member(payload, "responses"), "email"), "value"));
    if (email != NULL) {
        return email;
    }
    struct json_object *attendees = webhook_member(payload, "attendees");
    if (!json_object_is_type(attendees, json_type_array) ||
        json_object_array_length(attendees) == 0) {
        return NULL;
    }
    return webhook_text(webhook_member(json_object_array_get_idx(attendees, 0), "email"));
}

/* A count as decimal text; "" when there is none. */
static void
copy_count(struct json_object *payload, const char *name, char *out, size_t size)
{
    int64_t count = webhook_count(webhook_member(payload, name));
    out[0] = '\0';
    if (count > 0) {
        (void)snprintf(out, size, "%" PRId64, count);
    }
}

/* Seats of one slot share a booking ID; each has a name of its own. */
static bool
read_id(struct json_object *payload, struct booking_event *event)
{
    char number[24];
    copy_count(payload, "bookingId", number, sizeof number);
    if (number[0] == '\0' ||
        !webhook_copy_word(payload, "attendeeSeatId", event->seat, sizeof event->seat)) {
        return false;
    }
    int written = snprintf(event->id, sizeof event->id, "%s%s%s", number,
                           event->seat[0] != '\0' ? ":" : "", event->seat);
    return written > 0 && (size_t)written < sizeof event->id && booking_id_is_valid(event->id);
}

/* Where the operator says that the account stands. Without `.value` the path may also lead to an
 * answer as a whole. */
static void
read_account(const struct webhook_parser *parser, struct json_object *payload,
             char account[BOOKING_ACCOUNT_SIZE])
{
    struct json_object *value = payload;
    for (size_t i = 0; i < parser->word_count; i++) {
        value = webhook_member(value, parser->words[i]);
    }
    if (parser->word_count == 2 && strcmp(parser->words[0], "responses") == 0 &&
        json_object_is_type(value, json_type_object)) {
        value = webhook_member(value, "value");
    }
    char number[24];
    int64_t whole;
    const char *text = webhook_text(value);
    if (webhook_whole(value, &whole)) {
        (void)snprintf(number, sizeof number, "%" PRId64, whole);
        text = number;
    }
    if (text == NULL || !booking_normalise_account(text, account)) {
        account[0] = '\0';
    }
}

static void
read_people(const struct webhook_parser *parser, struct json_object *payload,
            struct booking_event *event)
{
    const char *by = webhook_text(webhook_member(payload, "cancelledBy"));
    if (by != NULL && !booking_normalise_account(by, event->cancelled_by)) {
        event->cancelled_by[0] = '\0';
    }
    const char *email = find_email(payload);
    if (email != NULL && !booking_normalise_account(email, event->email)) {
        event->email[0] = '\0';
    }
    if (parser->word_count > 0) {
        read_account(parser, payload, event->account);
    } else {
        memcpy(event->account, event->email, sizeof event->account);
    }
}

static bool
is_number(struct json_object *value)
{
    return json_object_is_type(value, json_type_int) ||
           json_object_is_type(value, json_type_double);
}

/* What kind of booking it is: a seat, one of a series, a paid one. */
static void
read_kind(struct json_object *payload, struct booking_event *event)
{
    event->seats = is_number(webhook_member(payload, "seatsPerTimeSlot"));
    struct json_object *series = webhook_member(payload, "recurringEvent");
    if (json_object_is_type(series, json_type_object)) {
        int64_t count = webhook_count(webhook_member(series, "count"));
        event->occurrences = count > 0 ? count : 2;
    }
    struct json_object *price = webhook_member(payload, "price");
    event->paid = is_number(price) && json_object_get_double(price) > 0;
}

/* What every event may tell. NULL, or what is wrong. */
static const char *
read_common(const struct webhook_parser *parser, struct json_object *root,
            struct json_object *payload, struct booking_event *event)
{
    if (!read_id(payload, event)) {
        event->id[0] = '\0';
        return "payload.bookingId is missing or no positive number";
    }
    if (!webhook_time_ms(webhook_member(root, "createdAt"), &event->created_wall_ms)) {
        return "createdAt is missing or no timestamp";
    }
    if (!webhook_copy_word(payload, "uid", event->uid, sizeof event->uid) ||
        !webhook_copy_word(payload, "rescheduleUid", event->reschedule_uid,
                           sizeof event->reschedule_uid)) {
        return "payload.uid or payload.rescheduleUid is no word of at most 64 characters";
    }
    copy_count(payload, "eventTypeId", event->event_type, sizeof event->event_type);
    read_kind(payload, event);
    read_people(parser, payload, event);
    int64_t wall_ms = 0;
    if (webhook_time_ms(webhook_member(payload, "startTime"), &wall_ms)) {
        event->start_s = wall_ms / 1000;
    }
    if (webhook_time_ms(webhook_member(payload, "endTime"), &wall_ms)) {
        event->end_s = wall_ms / 1000;
    }
    struct json_object *confirmation = webhook_member(payload, "requiresConfirmation");
    event->requires_confirmation = json_object_is_type(confirmation, json_type_boolean) &&
                                   json_object_get_boolean(confirmation);
    return NULL;
}

/* Texts one behind the other, each with its NUL. */
struct list {
    char *memory;
    const char *texts[WEBHOOK_ATTENDEES];
    size_t count, used;
};

/* Adds a text that the list does not have. False when the list is full. */
static bool
add_once(struct list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->texts[i], text) == 0) {
            return true;
        }
    }
    if (list->count == WEBHOOK_ATTENDEES) {
        return false;
    }
    size_t size = strlen(text) + 1;
    list->texts[list->count++] = memcpy(list->memory + list->used, text, size);
    list->used += size;
    return true;
}

/* The attendees' addresses, each once, with a space between. False when there are more than fit. */
static bool
write_attendees(struct json_object *attendees, char out[WEBHOOK_ATTENDEES_SIZE])
{
    struct list list = { .memory = out };
    bool fits = true;
    for (size_t i = 0; fits && i < webhook_length(attendees); i++) {
        char email[BOOKING_ACCOUNT_SIZE];
        const char *text = webhook_text(webhook_member(webhook_element(attendees, i), "email"));
        if (text != NULL && booking_normalise_account(text, email)) {
            fits = add_once(&list, email);
        }
    }
    for (size_t i = 0; i + 1 < list.used; i++) {
        if (out[i] == '\0') {
            out[i] = ' ';
        }
    }
    return fits;
}

/* What only some events tell, and what takes time to write. */
static void
write_details(struct webhook_parser *parser, struct json_object *payload, bool makes_booking,
              struct webhook *webhook)
{
    const struct booking_event *event = &webhook->event;
    if (makes_booking) {
        webhook->answers_too_large = !webhook_write_answers(
            webhook_member(payload, "responses"), parser->answers, sizeof parser->answers);
        webhook->metadata_too_large = !webhook_write_object(
            webhook_member(payload, "metadata"), parser->metadata, sizeof parser->metadata);
    } else if (event->seats && event->seat[0] == '\0' && event->kind != BOOKING_PAYMENT_INITIATED) {
        webhook->too_many_attendees =
            !write_attendees(webhook_member(payload, "attendees"), parser->attendees);
    }
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
read_event(struct webhook_parser *parser, struct json_object *root, struct webhook *webhook)
{
    const char *name = webhook_text(webhook_member(root, "triggerEvent"));
    if (name == NULL) {
        webhook->reason = json_object_is_type(root, json_type_boolean)
                              ? "the body is `false`: the webhook's custom template broke"
                              : "triggerEvent is missing";
        return WEBHOOK_MALFORMED;
    }
    (void)snprintf(webhook->trigger, sizeof webhook->trigger, "%s", name);
    const struct trigger *trigger = find_trigger(name);
    struct json_object *payload = webhook_member(root, "payload");
    payload = payload != NULL ? payload : root;
    if (trigger == NULL) {
        if (!read_id(payload, &webhook->event)) {
            webhook->event.id[0] = '\0'; /* it may be about none */
        }
        return WEBHOOK_IGNORED;
    }
    if (trigger->result != WEBHOOK_EVENT) {
        return trigger->result;
    }
    webhook->event.kind = trigger->kind;
    webhook->reason = read_common(parser, root, payload, &webhook->event);
    if (webhook->reason == NULL && trigger->makes_booking) {
        webhook->reason = find_missing(&webhook->event);
    }
    if (webhook->reason != NULL) {
        return WEBHOOK_MALFORMED;
    }
    write_details(parser, payload, trigger->makes_booking, webhook);
    return WEBHOOK_EVENT;
}

static void
clear(struct webhook_parser *parser, struct webhook *webhook)
{
    memset(webhook, 0, sizeof *webhook);
    parser->attendees[0] = parser->answers[0] = parser->metadata[0] = '\0';
    webhook->event.attendees = parser->attendees;
    webhook->event.answers = parser->answers;
    webhook->event.metadata = parser->metadata;
}

enum webhook_result
webhook_parse(struct webhook_parser *parser, const char *body, size_t size, struct webhook *webhook)
{
    clear(parser, webhook);
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
        result = read_event(parser, root, webhook);
    } else {
        webhook->reason = error == json_tokener_error_depth ? "the JSON is nested too deeply"
                                                            : "the body is not JSON";
    }
    (void)json_object_put(root);
    return result;
}
