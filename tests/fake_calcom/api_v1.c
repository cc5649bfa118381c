#include "api_v1.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "api_v1_patch.h"
#include "api_v1_row.h"
#include "clock.h"
#include "delay.h"
#include "http_util.h"
#include "json_util.h"
#include "listing.h"

static void
fail_with(struct call *call, int status, const char *message)
{
    json_object *body = object_new();

    put_text(body, "message", message);
    put_text(body, "url", call->path);
    put_text(body, "method", http_method_name(evhttp_request_get_command(call->request)));
    put_null(body, "data");
    call_answer(call, status, body);
}

static void
answer_with(struct call *call, const char *key, json_object *value)
{
    json_object *body = object_new();

    put(body, key, value);
    call_answer(call, 200, body);
}

/* Not yours and not there are the same to Cal.com. False: `call` is gone. */
static bool
booking_is_mine(struct call *call)
{
    if (call->booking != NULL)
        return true;
    fail_with(call, 403, "You are not authorized");
    return false;
}

static bool
key_is_number(const char *key)
{
    return key[strspn(key, "0123456789")] == '\0' && strlen(key) < 18;
}

static struct booking *
find(const struct store *store, const char *key)
{
    return key_is_number(key) ? store_find(store, strtoll(key, NULL, 10)) : NULL;
}

/* ---- reading ---- */

static void
handle_get(struct call *call)
{
    if (booking_is_mine(call))
        answer_with(call, "booking", api_v1_row(call->booking));
}

static bool
read_date(const struct call *call, const char *name, int64_t *wall_ms)
{
    const char *text = call_query(call, name);

    return text == NULL || iso_parse(text, wall_ms);
}

static bool
read_order(const struct call *call, enum listing_order *order)
{
    const char *by = call_query(call, "sortBy"), *direction = call_query(call, "order");
    bool descending = direction != NULL && strcmp(direction, "desc") == 0;

    if (by == NULL || strcmp(by, "createdAt") == 0)
        *order = descending ? LISTING_NEWEST_FIRST : LISTING_AS_CREATED;
    else if (strcmp(by, "updatedAt") == 0)
        *order = descending ? LISTING_BY_UPDATE_NEWEST_FIRST : LISTING_BY_UPDATE;
    else
        return false;
    return true;
}

static bool
read_listing(const struct call *call, struct listing *listing)
{
    const char *status = call_query(call, "status");

    listing->attendee_email = call_query(call, "attendeeEmail");
    if (status != NULL) {
        /* There is no way to ask v1 for pending bookings. */
        if (strcmp(status, "upcoming") != 0)
            return false;
        listing->start_from_ms = clock_wall_ms();
    }
    return read_date(call, "dateFrom", &listing->start_from_ms) &&
           read_date(call, "dateTo", &listing->end_until_ms) && read_order(call, &listing->order);
}

static void
handle_list(struct call *call)
{
    const char *take_text = call_query(call, "take"), *page_text = call_query(call, "page");
    struct listing listing = { 0 };
    size_t count;

    if (!read_listing(call, &listing)) {
        fail_with(call, 400, "Bad request.");
        return;
    }
    struct booking **rows = listing_select(call->world->store, &listing, clock_wall_ms(), &count);
    struct listing_page page = { .first = 0, .end = count };
    if (take_text != NULL && page_text != NULL) {
        size_t take = strtoul(take_text, NULL, 10), number = strtoul(page_text, NULL, 10);
        page = listing_cut(count, number > 0 ? (number - 1) * take : 0, take);
    }

    json_object *list = array_new();
    for (size_t i = page.first; i < page.end; i++)
        push(list, api_v1_row(rows[i]));
    free(rows);
    answer_with(call, "bookings", list);
}

static void
handle_me(struct call *call)
{
    json_object *user = object_new();

    put_int(user, "id", HOST_ID);
    put_text(user, "username", HOST_USERNAME);
    put_text(user, "name", HOST_NAME);
    put_text(user, "email", HOST_EMAIL);
    put_text(user, "timeZone", HOST_TIME_ZONE);
    answer_with(call, "user", user);
}

/* ---- changing ---- */

static void
patch_write(void *arg)
{
    struct call *call = arg;
    json_object *body = NULL;

    /* It parsed a moment ago, in handle_patch, and its bytes are still there. */
    if (http_read_json(call->request, &body))
        api_v1_patch_apply(call->booking, body);
    json_object_put(body);
    answer_with(call, "booking", api_v1_row(call->booking));
}

static void
handle_patch(struct call *call)
{
    json_object *body;
    char *problem;

    if (!booking_is_mine(call))
        return;
    call->booking->seen.patches++;
    if (!http_read_json(call->request, &body) || !json_object_is_type(body, json_type_object)) {
        json_object_put(body);
        fail_with(call, 400, "Invalid JSON");
        return;
    }

    problem = api_v1_patch_check(body);
    json_object_put(body);
    if (problem != NULL) {
        fail_with(call, 400, problem);
        free(problem);
        return;
    }
    delay_run(call->world->delays, call_between_ms(call), patch_write, call);
}

static void
on_cancelled(enum verdict verdict, json_object *deliveries, void *arg)
{
    struct call *call = arg;
    json_object *body;

    (void)deliveries;
    if (verdict != VERDICT_DONE) {
        fail_with(call, 400, "This booking has already been cancelled.");
        return;
    }
    body = object_new();
    put_bool(body, "success", true);
    put_text(body, "message", "Booking successfully cancelled.");
    put_bool(body, "onlyRemovedAttendee", false);
    put_int(body, "bookingId", call->booking->id);
    put_text(body, "bookingUid", call->booking->uid);
    call_answer(call, 200, body);
}

static void
handle_cancel(struct call *call)
{
    const char *reason = call_query(call, "cancellationReason");
    struct step step = call_step(call, on_cancelled);

    if (!booking_is_mine(call))
        return;
    call->booking->seen.cancels++;
    step.reason = reason == NULL ? "Not Provided" : reason;
    step.by = call_query(call, "cancelledBy");
    lifecycle_cancel(&call->world->lifecycle, &step);
}

/* ---- the door ---- */

/* False: refused, and `call` is gone. */
static bool
authenticate(struct call *call)
{
    const char *key = call_query(call, "apiKey");
    json_object *body;

    call->by_host = key != NULL && strcmp(key, call->world->api_key) == 0;
    if (call->by_host)
        return true;
    body = object_new();
    if (key == NULL)
        put_text(body, "message", "No apiKey provided");
    else
        put_text(body, "error", "Your API key is not valid.");
    call_answer(call, 401, body);
    return false;
}

static void
enter(struct call *call)
{
    if (!authenticate(call) || !call_admit(call))
        return;
    if (!call->path_known)
        fail_with(call, 404, "Not found");
    else if (call->route == NULL)
        fail_with(call, 405, "Method not allowed");
    else if (call->key != NULL && !key_is_number(call->key))
        fail_with(call, 400, "invalid_type in 'id': Expected number, received nan");
    else
        call->route->handle(call);
}

static void
fail(struct call *call, int status)
{
    fail_with(call, status, status >= 500 ? "Internal Server Error" : "Bad request.");
}

static void
refuse(struct call *call)
{
    json_object *body = object_new();

    put_text(body, "message", "Rate limit exceeded");
    call_answer(call, 429, body);
}

static void
put_limits(struct call *call, const struct throttle_verdict *verdict)
{
    http_header_int(call->request, "X-RateLimit-Limit", verdict->limit);
    http_header_int(call->request, "X-RateLimit-Remaining", verdict->remaining);
    http_header_int(call->request, "X-RateLimit-Reset", verdict->reset_s);
}

static const struct route routes[] = {
    { EVHTTP_REQ_GET, "bookings", ACTION_LIST, handle_list },
    { EVHTTP_REQ_GET, "bookings/*", ACTION_GET, handle_get },
    { EVHTTP_REQ_PATCH, "bookings/*", ACTION_PATCH, handle_patch },
    { EVHTTP_REQ_DELETE, "bookings/*", ACTION_CANCEL, handle_cancel },
    { EVHTTP_REQ_DELETE, "bookings/*/cancel", ACTION_CANCEL, handle_cancel },
    { EVHTTP_REQ_GET, "me", ACTION_ME, handle_me },
};

const struct dialect api_v1_dialect = {
    .prefix = "/v1",
    .usual_limit = 30,
    .routes = routes,
    .route_count = sizeof(routes) / sizeof(routes[0]),
    .find = find,
    .enter = enter,
    .fail = fail,
    .refuse = refuse,
    .put_limits = put_limits,
};
