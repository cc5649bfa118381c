/*
 * API v1, the guide's: PATCH the status, DELETE …/cancel with the reason; the key is a query
 * parameter, so no URL may ever be logged.
 *
 * PATCH changes the row and nothing else: no mail, no calendar entry, no webhook, no check of the
 * state (Cal.com v1: bookings/[id]/_patch.ts). A booking that is not yours and one that does not
 * exist both answer 403.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "worker/calcom_dialect.h"

static const struct calcom_rule RULES[] = {
    { 200, 299, CALCOM_ANY, CALCOM_DONE, NULL },
    { 429, 429, CALCOM_ANY, CALCOM_THROTTLED, NULL },
    { 500, 599, CALCOM_ANY, CALCOM_TRANSIENT, NULL },
    { 408, 408, CALCOM_ANY, CALCOM_TRANSIENT, NULL },
    { 300, 399, CALCOM_ANY, CALCOM_NO_ROUTE, NULL },    /* the URL is not the API's */
    { 0, 999, CALCOM_ASKS, CALCOM_CREDENTIALS, NULL },  /* the key opens nothing */
    { 400, 400, CALCOM_ACTS, CALCOM_UNCLEAR, NULL },    /* "has already been cancelled" */
    { 401, 401, CALCOM_ANY, CALCOM_CREDENTIALS, NULL }, /* no key, wrong key, no licence */
    { 403, 404, CALCOM_LOOKS, CALCOM_GONE, "" },
    { 403, 404, CALCOM_ACTS, CALCOM_UNCLEAR, "" },
    { 403, 405, CALCOM_ANY, CALCOM_NO_ROUTE, NULL }, /* not Cal.com's own answer */
    { 409, 409, CALCOM_ACTS, CALCOM_UNCLEAR, NULL },
    { 0, 999, CALCOM_LOOKS, CALCOM_TRANSIENT, NULL },
    { 0, 999, CALCOM_ACTS, CALCOM_UNCLEAR, NULL },
};

/* A name in the queue is the booking's number, with `:seat` behind it for seats. */
static bool
read_number(const char *id, char *number, size_t size)
{
    size_t digits = strspn(id, "0123456789");
    if (digits == 0 || digits >= size || (id[digits] != '\0' && id[digits] != ':')) {
        return false;
    }
    (void)snprintf(number, size, "%.*s", (int)digits, id);
    return true;
}

static bool
v1_write(const struct calcom_parts *parts, struct calcom_written *written)
{
    char number[24] = "", key[512], reason[3 * 512];
    bool of_booking = parts->call != CALCOM_ME && parts->call != CALCOM_LIST;
    bool frees = parts->call == CALCOM_DECLINE || parts->call == CALCOM_CANCEL;
    if ((of_booking && !read_number(parts->id, number, sizeof number)) ||
        !http_encode(parts->key, key, sizeof key) ||
        !http_encode(parts->reason, reason, sizeof reason) ||
        (frees && parts->seat[0] != '\0')) { /* it would cancel everybody's seat */
        return false;
    }
    written->body[0] = '\0';
    const char *room = "bookings/", *path = "", *query = "";
    switch (parts->call) {
    case CALCOM_LOOK:
        written->method = HTTP_METHOD_GET;
        break;
    case CALCOM_CONFIRM:
        written->method = HTTP_METHOD_PATCH;
        (void)snprintf(written->body, sizeof written->body, "{\"status\":\"ACCEPTED\"}");
        break;
    case CALCOM_DECLINE:
    case CALCOM_CANCEL:
        written->method = HTTP_METHOD_DELETE;
        path = "/cancel";
        query = "&cancellationReason=";
        break;
    case CALCOM_ME:
        written->method = HTTP_METHOD_GET;
        room = "me";
        break;
    case CALCOM_LIST:
        written->method = HTTP_METHOD_GET;
        room = "bookings";
        query = "&status=upcoming&take=" CALCOM_PAGE_TEXT "&page=";
        (void)snprintf(reason, sizeof reason, "%zu", parts->list->skip / CALCOM_PAGE + 1);
        break;
    }
    int length =
        snprintf(written->url, sizeof written->url, "%s/%s%s%s?apiKey=%s%s%s", parts->base_url,
                 room, number, path, key, query, query[0] != '\0' ? reason : "");
    return length > 0 && (size_t)length < sizeof written->url;
}

static struct json_object *
v1_find_booking(struct json_object *root, const char *uid)
{
    (void)uid; /* never several */
    return calcom_member(root, "booking");
}

static struct json_object *
v1_find_members(struct json_object *root)
{
    (void)root;
    return NULL;
}

static struct json_object *
v1_find_rows(struct json_object *root)
{
    return calcom_member(root, "bookings");
}

static const char *
v1_find_message(struct json_object *root)
{
    const char *message = calcom_text(root, "message");
    return message != NULL ? message : calcom_text(root, "error");
}

const struct calcom_dialect CALCOM_V1 = {
    .name = "v1",
    .confirm_is_harmless = true,
    .locks_account = true,
    .usual_limit = 25, /* Cal.com: 30 */
    .bearer = false,
    .rules = RULES,
    .rule_count = sizeof RULES / sizeof RULES[0],
    .outcome = { [CALCOM_CONFIRM] = STATUS_ACCEPTED,
                 [CALCOM_DECLINE] = STATUS_CANCELLED,
                 [CALCOM_CANCEL] = STATUS_CANCELLED },
    .write = v1_write,
    .find_booking = v1_find_booking,
    .find_members = v1_find_members,
    .find_rows = v1_find_rows,
    .row = { "startTime", "endTime", "eventTypeId", "createdAt", "responses", "fromReschedule" },
    .series_member = "recurringEventId",
    .cancelled_by = "cancelledBy",
    .rescheduled_to = "rescheduledToUid",
    .changed = "updatedAt",
    .lists_all = true,
    .find_message = v1_find_message,
};
