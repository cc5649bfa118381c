#include "api_v2.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "api_v1_row.h"
#include "api_v2_data.h"
#include "api_v2_reply.h"
#include "api_v2_seats.h"
#include "clock.h"
#include "http_util.h"
#include "json_util.h"
#include "listing.h"

#define TAKE_DEFAULT 100
#define TAKE_MAX     250

static struct booking *
find(const struct store *store, const char *key)
{
    return store_find_uid(store, key);
}

/* ---- versions ---- */

/*
 * Without the header it is 2024-04-15, and everything before 2024-08-13 is served by that old
 * controller.
 */
static bool
version_is_current(const struct call *call)
{
    static const char *const current[] = { "2024-08-13", "2026-02-25", "2026-05-01" };
    const char *version = call_header(call, "cal-api-version");

    for (size_t i = 0; version != NULL && i < sizeof(current) / sizeof(current[0]); i++) {
        if (strcmp(version, current[i]) == 0)
            return true;
    }
    return false;
}

static json_object *
booking_data(const struct call *call, const struct booking *booking)
{
    return version_is_current(call) ? api_v2_data(booking) : api_v1_row(booking);
}

static json_object *
series_data(const struct call *call, const struct booking *first)
{
    json_object *list = array_new();

    for (const struct booking *row = first; row != NULL; row = row->series.next)
        push(list, booking_data(call, row));
    return list;
}

/* ---- reading ---- */

static void
handle_get(struct call *call)
{
    struct booking *first =
        call->booking == NULL ? store_find_series(call->world->store, call->key) : NULL;

    if (first != NULL)
        call_answer(call, 200, v2_success(series_data(call, first)));
    else if (v2_booking_exists(call))
        call_answer(call, 200, v2_success(booking_data(call, call->booking)));
}

/* True, and *value untouched, if it is not there. */
static bool
read_number(const struct call *call, const char *name, uint64_t max, uint64_t *value)
{
    const char *text = call_query(call, name);
    char *end;

    if (text == NULL)
        return true;
    *value = strtoull(text, &end, 10);
    return *end == '\0' && end != text && *value <= max;
}

struct list_request {
    struct listing listing;
    uint64_t take;
    uint64_t skip;
};

static bool
read_list(const struct call *call, struct list_request *list)
{
    struct listing *listing = &list->listing;
    const char *status = call_query(call, "status");
    const char *after = call_query(call, "afterCreatedAt");
    const char *sort = call_query(call, "sortCreated");
    uint64_t type = 0;

    *list = (struct list_request){ .take = TAKE_DEFAULT };
    listing->attendee_email = call_query(call, "attendeeEmail");
    if (sort != NULL && strcmp(sort, "desc") == 0)
        listing->order = LISTING_NEWEST_FIRST;
    if (status != NULL && !listing_sets_parse(status, &listing->sets))
        return false;
    if (after != NULL && !iso_parse(after, &listing->created_after_ms))
        return false;
    if (!read_number(call, "eventTypeId", INT64_MAX, &type))
        return false;
    listing->event_type_id = (int64_t)type;
    return read_number(call, "take", TAKE_MAX, &list->take) && list->take > 0 &&
           read_number(call, "skip", UINT32_MAX, &list->skip);
}

static json_object *
pagination_new(size_t total, const struct listing_page *page, uint64_t take, uint64_t skip)
{
    json_object *pagination = object_new();

    put_int(pagination, "totalItems", (int64_t)total);
    put_int(pagination, "remainingItems", (int64_t)(total - page->end));
    put_int(pagination, "returnedItems", (int64_t)(page->end - page->first));
    put_int(pagination, "itemsPerPage", (int64_t)take);
    put_int(pagination, "currentPage", (int64_t)(skip / take) + 1);
    put_int(pagination, "totalPages", (int64_t)((total + take - 1) / take));
    put_bool(pagination, "hasNextPage", page->end < total);
    put_bool(pagination, "hasPreviousPage", skip > 0);
    return pagination;
}

static void
handle_list(struct call *call)
{
    struct list_request list;
    size_t count;

    if (!read_list(call, &list)) {
        v2_fail(call, 400, "BadRequestException", "Bad request: invalid query parameters");
        return;
    }
    struct booking **rows =
        listing_select(call->world->store, &list.listing, clock_wall_ms(), &count);
    struct listing_page page = listing_cut(count, list.skip, list.take);
    json_object *data = array_new(), *body;

    for (size_t i = page.first; i < page.end; i++)
        push(data, api_v2_data(rows[i]));
    free(rows);
    body = v2_success(data);
    put(body, "pagination", pagination_new(count, &page, list.take, list.skip));
    call_answer(call, 200, body);
}

static void
handle_me(struct call *call)
{
    json_object *me = object_new();

    put_int(me, "id", HOST_ID);
    put_text(me, "username", HOST_USERNAME);
    put_text(me, "email", HOST_EMAIL);
    put_text(me, "name", HOST_NAME);
    put_int(me, "timeFormat", 12);
    put_int(me, "defaultScheduleId", 1);
    put_text(me, "weekStart", "Sunday");
    put_text(me, "timeZone", HOST_TIME_ZONE);
    call_answer(call, 200, v2_success(me));
}

/* ---- changing ---- */

/* Confirm and decline of an occurrence answer the series they acted on. */
static json_object *
acted_data(const struct call *call)
{
    const struct booking *first = call->booking->series.first;

    if (first != NULL && call->route->action != ACTION_CANCEL)
        return series_data(call, first);
    return booking_data(call, call->booking);
}

static void
on_acted(enum verdict verdict, json_object *deliveries, void *arg)
{
    struct call *call = arg;
    char *message;

    (void)deliveries;
    switch (verdict) {
    case VERDICT_DONE:
        call_answer(call, 200, v2_success(acted_data(call)));
        break;
    case VERDICT_ALREADY_CONFIRMED:
        v2_fail(call, 400, "TRPCError", "Booking already confirmed");
        break;
    case VERDICT_ALREADY_CANCELLED:
        message =
            xasprintf("Can't cancel booking with uid=%s because it has been cancelled already.",
                      call->booking->uid);
        v2_fail(call, 400, "BadRequestException", message);
        free(message);
        break;
    case VERDICT_HAS_SEATS:
        v2_fail(call, 400, "BadRequestException",
                "This booking has seats that need confirmation. Use the seats endpoints instead.");
        break;
    }
}

static void
handle_confirm(struct call *call)
{
    struct step step = call_step(call, on_acted);

    if (!v2_booking_exists(call))
        return;
    call->booking->seen.confirms++;
    step.series = true;
    lifecycle_confirm(&call->world->lifecycle, &step);
}

static void
handle_decline(struct call *call)
{
    struct step step = call_step(call, on_acted);
    json_object *body;

    if (!v2_booking_exists(call))
        return;
    call->booking->seen.declines++;
    if (!v2_read_body(call, &body))
        return;
    step.series = true;
    step.reason = json_text(body, "reason"); /* not `rejectionReason` */
    lifecycle_decline(&call->world->lifecycle, &step);
    json_object_put(body);
}

static void
handle_cancel(struct call *call)
{
    struct step step = call_step(call, on_acted);
    json_object *body;

    if (!v2_booking_exists(call))
        return;
    call->booking->seen.cancels++;
    if (!v2_read_body(call, &body))
        return;
    step.reason = json_text(body, "cancellationReason");
    step.by = call->by_host ? HOST_EMAIL : NULL;
    bool reason_is_missing = step.reason == NULL || *step.reason == '\0';
    if (json_text(body, "seatUid") != NULL)
        v2_seat_cancel(call, step, json_text(body, "seatUid"));
    else if (call->by_host && reason_is_missing && call->booking->status != BOOKING_CANCELLED)
        v2_fail(call, 400, "BadRequestException",
                "Cancellation reason is required when you are the host");
    else
        lifecycle_cancel(&call->world->lifecycle, &step);
    json_object_put(body);
}

/* ---- the door ---- */

static bool
key_is_optional(const struct call *call)
{
    return call->route->handle == handle_get || call->route->handle == handle_cancel;
}

/* False: refused, and `call` is gone. */
static bool
authenticate(struct call *call)
{
    const char *header = call_header(call, "Authorization");
    const size_t bearer = strlen("Bearer ");

    if (header == NULL && key_is_optional(call))
        return true;
    if (header == NULL) {
        v2_fail(call, 401, "UnauthorizedException",
                "ApiAuthStrategy - No authentication method provided. Either pass an API key as "
                "'Bearer' header or "
                "OAuth client credentials as 'x-cal-secret-key' and 'x-cal-client-id' headers");
        return false;
    }
    call->by_host = strncmp(header, "Bearer ", bearer) == 0 &&
                    strcmp(header + bearer, call->world->api_key) == 0;
    if (call->by_host)
        return true;
    v2_fail(call, 401, "UnauthorizedException", "CustomThrottlerGuard - Invalid API Key");
    return false;
}

static bool
route_is_served(const struct call *call)
{
    if (call->route == NULL)
        return false;
    if (call->route->handle == v2_seats_confirm || call->route->handle == v2_seats_decline)
        return version_is_current(call) && call->world->lifecycle.seat_approval == SEATS_CLOUD;
    return version_is_current(call) ||
           (call->route->handle != handle_confirm && call->route->handle != handle_decline);
}

/*
 * Routing comes before authentication here: what does not exist is 404 with any key. There is no
 * 405.
 */
static void
enter(struct call *call)
{
    if (!route_is_served(call)) {
        const char *method = http_method_name(evhttp_request_get_command(call->request));
        char *message = xasprintf("Cannot %s %s", method, call->path);
        v2_fail(call, 404, "NotFoundException", message);
        free(message);
        return;
    }
    if (authenticate(call) && call_admit(call))
        call->route->handle(call);
}

static void
fail(struct call *call, int status)
{
    if (status == 429)
        v2_fail(call, status, "ThrottlerException",
                "CustomThrottlerGuard - Too many requests. Please try again later.");
    else if (status >= 500)
        v2_fail(call, status, "InternalServerErrorException", "Internal server error");
    else
        v2_fail(call, status, "HttpException", "Bad request");
}

static void
refuse(struct call *call)
{
    fail(call, 429);
}

static void
put_limits(struct call *call, const struct throttle_verdict *verdict)
{
    http_header_int(call->request, "X-RateLimit-Limit-Default", verdict->limit);
    http_header_int(call->request, "X-RateLimit-Remaining-Default", verdict->remaining);
    http_header_int(call->request, "X-RateLimit-Reset-Default", verdict->reset_s);
}

static const struct route routes[] = {
    { EVHTTP_REQ_GET, "bookings", ACTION_LIST, handle_list },
    { EVHTTP_REQ_GET, "bookings/*", ACTION_GET, handle_get },
    { EVHTTP_REQ_POST, "bookings/*/confirm", ACTION_CONFIRM, handle_confirm },
    { EVHTTP_REQ_POST, "bookings/*/decline", ACTION_DECLINE, handle_decline },
    { EVHTTP_REQ_POST, "bookings/*/seats/confirm", ACTION_CONFIRM, v2_seats_confirm },
    { EVHTTP_REQ_POST, "bookings/*/seats/decline", ACTION_DECLINE, v2_seats_decline },
    { EVHTTP_REQ_POST, "bookings/*/cancel", ACTION_CANCEL, handle_cancel },
    { EVHTTP_REQ_GET, "me", ACTION_ME, handle_me },
};

const struct dialect api_v2_dialect = {
    .prefix = "/v2",
    .usual_limit = 120,
    .routes = routes,
    .route_count = sizeof(routes) / sizeof(routes[0]),
    .find = find,
    .enter = enter,
    .fail = fail,
    .refuse = refuse,
    .put_limits = put_limits,
};
