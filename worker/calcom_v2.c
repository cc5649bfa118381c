/*
 * API v2: /bookings/{uid}/confirm, /decline, /cancel; Bearer key; without the header
 * cal-api-version these routes are 404 (Cal.com falls back to 2024-04-15, which has none).
 *
 * confirm and decline of an accepted booking answer 400 "Booking already confirmed", with a text
 * that varies by version, so every 400 is looked at. Neither is guarded against cancelled or
 * rejected bookings: a confirm would resurrect them (Cal.com v2: confirm.handler.ts).
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "worker/calcom_dialect.h"

static const struct calcom_rule RULES[] = {
    { 200, 299, CALCOM_ANY, CALCOM_DONE, NULL },
    { 300, 399, CALCOM_ANY, CALCOM_CREDENTIALS, NULL }, /* the URL is not the API's */
    { 400, 400, CALCOM_ACTS, CALCOM_UNCLEAR, NULL },
    { 401, 401, CALCOM_ACTS, CALCOM_REFUSED, "not authorized to confirm" }, /* not the host's */
    { 401, 401, CALCOM_ANY, CALCOM_CREDENTIALS, NULL },
    { 403, 403, CALCOM_ANY, CALCOM_CREDENTIALS, NULL },      /* the key lacks the scope */
    { 404, 404, CALCOM_ANY, CALCOM_CREDENTIALS, "Cannot " }, /* no such route: URL or version */
    { 404, 404, CALCOM_LOOKS, CALCOM_GONE, "" },
    { 404, 404, CALCOM_ACTS, CALCOM_UNCLEAR, "" },
    { 404, 405, CALCOM_ANY, CALCOM_CREDENTIALS, NULL }, /* not Cal.com's own answer */
    { 409, 409, CALCOM_ACTS, CALCOM_UNCLEAR, NULL },
    { 413, 413, CALCOM_ANY, CALCOM_REFUSED, NULL },
    { 429, 429, CALCOM_ANY, CALCOM_THROTTLED, NULL },
    { 500, 599, CALCOM_ANY, CALCOM_TRANSIENT, NULL },
    { 408, 408, CALCOM_ANY, CALCOM_TRANSIENT, NULL },
    { 0, 999, CALCOM_LOOKS, CALCOM_TRANSIENT, NULL },
    { 0, 999, CALCOM_ACTS, CALCOM_UNCLEAR, NULL },
};

static bool
v2_write(const struct calcom_parts *parts, struct calcom_written *written)
{
    char uid[3 * BOOKING_UID_SIZE];
    /* A path of dots would lead elsewhere: libcurl tidies it up. */
    if (strspn(parts->uid, ".") == strlen(parts->uid) ||
        !http_encode(parts->uid, uid, sizeof uid)) {
        return false;
    }
    const char *path = "", *field = NULL;
    written->method = HTTP_METHOD_POST;
    written->body[0] = '\0';
    switch (parts->call) {
    case CALCOM_LOOK:
        written->method = HTTP_METHOD_GET;
        break;
    case CALCOM_CONFIRM:
        path = "/confirm";
        break;
    case CALCOM_DECLINE:
        path = "/decline";
        field = "reason";
        break;
    case CALCOM_CANCEL:
        path = "/cancel";
        field = "cancellationReason";
        break;
    }
    if (field != NULL &&
        !calcom_write_json(field, parts->reason, written->body, sizeof written->body)) {
        return false;
    }
    int length =
        snprintf(written->url, sizeof written->url, "%s/bookings/%s%s", parts->base_url, uid, path);
    return length > 0 && (size_t)length < sizeof written->url;
}

/* A series answers with an array; its first booking stands for it. */
static struct json_object *
v2_find_booking(struct json_object *root)
{
    struct json_object *data = calcom_member(root, "data");
    if (json_object_is_type(data, json_type_array)) {
        return json_object_array_get_idx(data, 0);
    }
    return data;
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
    .bearer = true,
    .rules = RULES,
    .rule_count = sizeof RULES / sizeof RULES[0],
    .outcome = { [CALCOM_CONFIRM] = STATUS_ACCEPTED,
                 [CALCOM_DECLINE] = STATUS_REJECTED,
                 [CALCOM_CANCEL] = STATUS_CANCELLED },
    .write = v2_write,
    .find_booking = v2_find_booking,
    .find_message = v2_find_message,
};
