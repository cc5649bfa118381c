/*
 * API v2: /bookings/{uid}/confirm, /decline, /cancel; Bearer key; without the header
 * cal-api-version these routes are 404 (Cal.com falls back to 2024-04-15, which has none).
 *
 * confirm and decline of an accepted booking answer 400 "Booking already confirmed", with a text
 * that varies by version, so every 400 is looked at. Neither is guarded against cancelled or
 * rejected bookings: a confirm would resurrect them (Cal.com v2: confirm.handler.ts). Both act on
 * every pending booking of a series.
 *
 * Seats: /seats/confirm and /seats/decline with {"seatUids":["…"]} where the API has them
 * (Cal.com's cloud, where the plain routes refuse a booking with seats); /cancel with a seatUid
 * frees one seat.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "common/timestamp.h"
#include "worker/calcom_dialect.h"

static const struct calcom_rule RULES[] = {
    { 200, 299, CALCOM_ANY, CALCOM_DONE, NULL },
    { 429, 429, CALCOM_ANY, CALCOM_THROTTLED, NULL },
    { 500, 599, CALCOM_ANY, CALCOM_TRANSIENT, NULL },
    { 408, 408, CALCOM_ANY, CALCOM_TRANSIENT, NULL },
    { 300, 399, CALCOM_ANY, CALCOM_NO_ROUTE, NULL },   /* the URL is not the API's */
    { 0, 999, CALCOM_ASKS, CALCOM_CREDENTIALS, NULL }, /* the key opens nothing */
    { 400, 400, CALCOM_ACTS, CALCOM_UNCLEAR, NULL },
    { 401, 401, CALCOM_ACTS, CALCOM_REFUSED, "not authorized to confirm" }, /* not the host's */
    /* The host may not free it, or the key is wrong: that the look after it tells as well. */
    { 401, 401, CALCOM_FREES_SEAT, CALCOM_UNCLEAR, NULL },
    { 401, 401, CALCOM_ANY, CALCOM_CREDENTIALS, NULL },
    { 403, 403, CALCOM_ANY, CALCOM_CREDENTIALS, NULL },   /* the key lacks the scope, or this one */
    { 404, 404, CALCOM_ANY, CALCOM_NO_ROUTE, "Cannot " }, /* no such route: URL or version */
    { 404, 404, CALCOM_LOOKS, CALCOM_GONE, "" },
    { 404, 404, CALCOM_ACTS, CALCOM_UNCLEAR, "" },
    { 404, 405, CALCOM_ANY, CALCOM_NO_ROUTE, NULL }, /* not Cal.com's own answer */
    { 409, 409, CALCOM_ACTS, CALCOM_UNCLEAR, NULL },
    { 413, 413, CALCOM_ANY, CALCOM_REFUSED, NULL },
    { 0, 999, CALCOM_LOOKS, CALCOM_TRANSIENT, NULL },
    { 0, 999, CALCOM_ACTS, CALCOM_UNCLEAR, NULL },
};

static bool
write_url(struct calcom_written *written, const char *base_url, const char *room, const char *uid,
          const char *path)
{
    int length = snprintf(written->url, sizeof written->url, "%s%s%s%s", base_url, room, uid, path);
    return length > 0 && (size_t)length < sizeof written->url;
}

/* The pending ones, or those that were made since a moment and are accepted. */
static bool
write_list_url(struct calcom_written *written, const struct calcom_parts *parts)
{
    char since[128] = "", moment[TIMESTAMP_SIZE], encoded[3 * TIMESTAMP_SIZE];
    bool accepted = parts->list->accepted_since_wall_ms > 0;
    if (accepted) {
        timestamp_format(parts->list->accepted_since_wall_ms, moment);
        if (!http_encode(moment, encoded, sizeof encoded)) {
            return false;
        }
        (void)snprintf(since, sizeof since, "&afterCreatedAt=%s", encoded);
    }
    char query[256];
    (void)snprintf(query, sizeof query,
                   "?status=%s&take=" CALCOM_PAGE_TEXT "&skip=%zu&sortCreated=asc%s",
                   accepted ? "upcoming" : "unconfirmed", parts->list->skip, since);
    return write_url(written, parts->base_url, "/bookings", query, "");
}

static bool
v2_write(const struct calcom_parts *parts, struct calcom_written *written)
{
    char uid[3 * BOOKING_UID_SIZE];
    written->method = HTTP_METHOD_GET;
    written->body[0] = '\0';
    if (parts->call == CALCOM_ME) {
        return write_url(written, parts->base_url, "/me", "", "");
    }
    if (parts->call == CALCOM_LIST) {
        return write_list_url(written, parts);
    }
    /* A path of dots would lead elsewhere: libcurl tidies it up. */
    if (strspn(parts->uid, ".") == strlen(parts->uid) ||
        !http_encode(parts->uid, uid, sizeof uid)) {
        return false;
    }
    bool of_seat = parts->seat[0] != '\0', by_route = parts->by_seat_route;
    struct calcom_json_member members[2];
    size_t count = 0;
    enum calcom_call call = parts->call;
    if (call == CALCOM_DECLINE && of_seat && !by_route) {
        call = CALCOM_CANCEL; /* /decline would decline the others' seats as well */
    }
    const char *path = "";
    written->method = call == CALCOM_LOOK ? HTTP_METHOD_GET : HTTP_METHOD_POST;
    switch (call) {
    case CALCOM_LOOK:
    case CALCOM_ME:
    case CALCOM_LIST:
        break;
    case CALCOM_CONFIRM:
        path = by_route ? "/seats/confirm" : "/confirm";
        break;
    case CALCOM_DECLINE:
        path = by_route ? "/seats/decline" : "/decline";
        if (!by_route) {
            members[count++] = (struct calcom_json_member){ "reason", parts->reason, false };
        }
        break;
    case CALCOM_CANCEL:
        path = "/cancel";
        members[count++] =
            (struct calcom_json_member){ "cancellationReason", parts->reason, false };
        if (of_seat) {
            members[count++] = (struct calcom_json_member){ "seatUid", parts->seat, false };
        }
        break;
    }
    if (by_route) {
        members[count++] = (struct calcom_json_member){ "seatUids", parts->seat, true };
    }
    if (count > 0 && !calcom_write_json(members, count, written->body, sizeof written->body)) {
        return false;
    }
    return write_url(written, parts->base_url, "/bookings/", uid, path);
}

/* A series answers with an array. */
static struct json_object *
v2_find_members(struct json_object *root)
{
    struct json_object *data = calcom_member(root, "data");
    return json_object_is_type(data, json_type_array) ? data : NULL;
}

/* If none of several is ours, the first stands for it. */
static struct json_object *
v2_find_booking(struct json_object *root, const char *uid)
{
    struct json_object *members = v2_find_members(root);
    if (members == NULL) {
        return calcom_member(root, "data");
    }
    for (size_t i = 0; i < json_object_array_length(members); i++) {
        struct json_object *booking = json_object_array_get_idx(members, i);
        const char *its = calcom_text(booking, "uid");
        if (its != NULL && strcmp(its, uid) == 0) {
            return booking;
        }
    }
    return json_object_array_get_idx(members, 0);
}

static struct json_object *
v2_find_rows(struct json_object *root)
{
    return calcom_member(root, "data");
}

static const char *
v2_find_message(struct json_object *root)
{
    const char *message = calcom_text(calcom_member(root, "error"), "message");
    return message != NULL ? message : calcom_text(root, "message");
}

const struct calcom_dialect CALCOM_V2 = {
    .name = "v2",
    .confirm_is_harmless = false,
    .acts_on_series = true,
    .seat_routes = true,
    .usual_limit = 100, /* Cal.com: 120 */
    .bearer = true,
    .rules = RULES,
    .rule_count = sizeof RULES / sizeof RULES[0],
    .outcome = { [CALCOM_CONFIRM] = STATUS_ACCEPTED,
                 [CALCOM_DECLINE] = STATUS_REJECTED,
                 [CALCOM_CANCEL] = STATUS_CANCELLED },
    .write = v2_write,
    .find_booking = v2_find_booking,
    .find_members = v2_find_members,
    .find_rows = v2_find_rows,
    .row = { "start", "end", "eventTypeId", "createdAt", "bookingFieldsResponses",
             "rescheduledFromUid" },
    .series_member = "recurringBookingUid",
    .cancelled_by = "cancelledByEmail",
    .rescheduled_to = "rescheduledToUid",
    .changed = "updatedAt",
    .find_message = v2_find_message,
};
