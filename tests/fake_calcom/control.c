#include "control.h"

#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "alloc.h"
#include "calls.h"
#include "control_parts.h"
#include "faults.h"
#include "http_util.h"
#include "json_util.h"
#include "log.h"

#define WEBHOOK_URLS_MAX 16

/* ---- shared with control_*.c ---- */

void
order_refuse(const struct order *order, int status, const char *problem)
{
    json_object *body = object_new();

    put_text(body, "error", problem);
    http_reply(order->request, status, body);
}

void
order_accept(const struct order *order)
{
    json_object *body = object_new();

    put_bool(body, "ok", true);
    http_reply(order->request, 200, body);
}

struct booking *
order_booking(const struct order *order)
{
    const char *uid = json_text(order->body, "uid");
    struct booking *booking = uid != NULL
                                  ? store_find_uid(order->world->store, uid)
                                  : store_find(order->world->store, json_int(order->body, "id", 0));

    if (booking == NULL)
        order_refuse(order, 404, "id or uid must name a booking");
    return booking;
}

bool
order_seat(const struct order *order, const struct booking *booking, struct seat **seat)
{
    const char *uid = json_text(order->body, "seatUid");

    *seat = uid == NULL ? NULL : seat_find(booking, uid);
    if (uid == NULL || *seat != NULL)
        return true;
    order_refuse(order, 404, "seatUid names nobody in the slot");
    return false;
}

bool
order_plan(const struct order *order, struct webhook_plan *plan)
{
    json_object *webhook = NULL;
    int64_t copies = json_int(order->body, "copies", 1);
    const char *lost = json_text(order->body, "webhook");

    *plan = (struct webhook_plan){ WEBHOOK_SEND, (unsigned)copies,
                                   (int)json_int(order->body, "to", 0) };
    if (lost != NULL && strcmp(lost, "lost") == 0)
        plan->fate = WEBHOOK_LOSE;
    else if (!json_flag(order->body, "webhook", true))
        plan->fate = WEBHOOK_SKIP;
    else if (json_object_object_get_ex(order->body, "webhook", &webhook) &&
             !json_object_is_type(webhook, json_type_boolean)) {
        order_refuse(order, 400, "webhook must be true, false or \"lost\"");
        return false;
    }
    if (copies < 1 || copies > 1000) {
        order_refuse(order, 400, "copies must be 1 to 1000");
        return false;
    }
    if (plan->to < 0) {
        order_refuse(order, 400, "to must be the number of a URL, from 1");
        return false;
    }
    return true;
}

/* ---- reading ---- */

static int64_t
query_number(const struct order *order, const char *name)
{
    const char *text = evhttp_find_header(order->query, name);

    return text == NULL ? 0 : strtoll(text, NULL, 10);
}

static void
get_bookings(const struct order *order)
{
    const struct store *store = order->world->store;
    int64_t id = query_number(order, "id");
    json_object *list;

    if (id != 0) {
        const struct booking *booking = store_find(store, id);
        if (booking == NULL)
            order_refuse(order, 404, "no such booking");
        else
            http_reply(order->request, 200, control_state(booking));
        return;
    }
    list = array_new();
    /* In pages where there are many: nobody else is answered meanwhile. */
    size_t most = (size_t)query_number(order, "take");
    for (size_t i = (size_t)query_number(order, "skip"); i < store_size(store); i++) {
        if (most > 0 && json_object_array_length(list) >= most)
            break;
        push(list, control_state(store_at(store, i)));
    }
    http_reply(order->request, 200, list);
}

static void
get_calls(const struct order *order)
{
    int64_t since = query_number(order, "since"), booking = query_number(order, "booking");

    http_reply(order->request, 200, calls_log(order->world->calls, (uint64_t)since, booking));
}

static void
get_webhooks(const struct order *order)
{
    http_reply(order->request, 200,
               webhooks_log(order->world->webhooks, (uint64_t)query_number(order, "since")));
}

static void
get_stats(const struct order *order)
{
    http_reply(order->request, 200, calls_stats(order->world->calls));
}

static void
get_faults(const struct order *order)
{
    http_reply(order->request, 200, faults_list(order->world->faults));
}

/* ---- changing ---- */

static void
post_fault(const struct order *order)
{
    const char *problem = faults_add(order->world->faults, order->body);

    if (problem != NULL)
        order_refuse(order, 400, problem);
    else
        order_accept(order);
}

static void
delete_faults(const struct order *order)
{
    faults_clear(order->world->faults);
    order_accept(order);
}

/* "webhookUrl": a URL, an array of them, or null for none. */
static bool
set_urls(struct webhooks *webhooks, json_object *value)
{
    const char *urls[WEBHOOK_URLS_MAX];
    size_t count = 0;

    if (json_object_is_type(value, json_type_array)) {
        count = json_object_array_length(value);
        for (size_t i = 0; i < count && i < WEBHOOK_URLS_MAX; i++)
            urls[i] = json_object_get_string(json_object_array_get_idx(value, i));
    } else if (value != NULL) {
        urls[count++] = json_object_get_string(value);
    }
    return count <= WEBHOOK_URLS_MAX && webhooks_set_urls(webhooks, urls, count);
}

/* "webhookWay": what happens to webhooks on their way from now on; what is left out does not. */
static void
set_way(struct webhooks *webhooks, json_object *value)
{
    const struct webhook_way way = {
        .spread = json_flag(value, "spread", false),
        .lost = (int)json_int(value, "lost", 0),
        .copied = (int)json_int(value, "copied", 0),
        .delayed = (int)json_int(value, "delayed", 0),
        .delay_ms = (int)json_int(value, "delayMs", 1000),
        .seed = (uint64_t)json_int(value, "seed", 1),
    };

    webhooks_set_way(webhooks, &way);
}

static void
post_config(const struct order *order)
{
    struct world *world = order->world;
    const char *secret = json_text(order->body, "secret");
    const char *approval = json_text(order->body, "seatApproval");
    enum seat_approval seats = world->lifecycle.seat_approval;
    json_object *urls = NULL, *way = json_member(order->body, "webhookWay", json_type_object);

    if (approval != NULL && !seat_approval_parse(approval, &seats)) {
        order_refuse(order, 400, "seatApproval must be legacy or cloud");
        return;
    }
    if (json_object_object_get_ex(order->body, "webhookUrl", &urls) &&
        !set_urls(world->webhooks, urls)) {
        order_refuse(order, 400, "webhookUrl must be an http:// URL, up to 16 of them, or null");
        return;
    }
    world->lifecycle.seat_approval = seats;
    if (way != NULL)
        set_way(world->webhooks, way);
    if (secret != NULL)
        webhooks_set_secret(world->webhooks, secret);
    world->latency_ms = (int)json_int(order->body, "latencyMs", world->latency_ms);
    if (json_member(order->body, "rateLimit", json_type_int) != NULL)
        world->throttle = (struct throttle){ .limit = (int)json_int(order->body, "rateLimit", 0) };
    log_line("configuration changed");
    order_accept(order);
}

static void
post_reset(const struct order *order)
{
    struct world *world = order->world;

    world_settle(world);
    store_clear(world->store, json_int(order->body, "nextId", FIRST_BOOKING_ID));
    calls_clear(world->calls);
    webhooks_clear_log(world->webhooks);
    faults_clear(world->faults);
    world->throttle = (struct throttle){ .limit = world->throttle.limit };
    log_line("reset");
    order_accept(order);
}

/* ---- the door ---- */

static const struct {
    enum evhttp_cmd_type method;
    const char *name;
    void (*handle)(const struct order *order);
} routes[] = {
    { EVHTTP_REQ_POST, "book", control_book },
    { EVHTTP_REQ_POST, "confirm", control_confirm },
    { EVHTTP_REQ_POST, "decline", control_decline },
    { EVHTTP_REQ_POST, "cancel", control_cancel },
    { EVHTTP_REQ_POST, "pay", control_pay },
    { EVHTTP_REQ_POST, "send", control_send },
    { EVHTTP_REQ_POST, "ping", control_ping },
    { EVHTTP_REQ_GET, "bookings", get_bookings },
    { EVHTTP_REQ_GET, "calls", get_calls },
    { EVHTTP_REQ_GET, "webhooks", get_webhooks },
    { EVHTTP_REQ_GET, "stats", get_stats },
    { EVHTTP_REQ_POST, "fault", post_fault },
    { EVHTTP_REQ_GET, "faults", get_faults },
    { EVHTTP_REQ_DELETE, "faults", delete_faults },
    { EVHTTP_REQ_POST, "config", post_config },
    { EVHTTP_REQ_POST, "reset", post_reset },
};

static void
dispatch(const struct order *order, const char *name)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(order->request);

    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (routes[i].method == method && strcmp(routes[i].name, name) == 0) {
            routes[i].handle(order);
            return;
        }
    }
    order_refuse(order, 404, "no such control endpoint, see --help");
}

bool
control_serve(struct world *world, struct evhttp_request *request)
{
    static const char prefix[] = "/control/";
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = evhttp_uri_get_path(uri), *query_text = evhttp_uri_get_query(uri);
    struct evkeyvalq query = TAILQ_HEAD_INITIALIZER(query);
    struct order order = { .world = world, .request = request, .query = &query };

    if (path == NULL || strncmp(path, prefix, strlen(prefix)) != 0)
        return false;
    if (query_text != NULL && evhttp_parse_query_str(query_text, &query) != 0)
        order_refuse(&order, 400, "malformed query");
    else if (!http_read_json(request, &order.body) ||
             (order.body != NULL && !json_object_is_type(order.body, json_type_object)))
        order_refuse(&order, 400, "the body must be a JSON object");
    else {
        char *name =
            xstrdup(path + strlen(prefix)); /* the request may be gone before we are done */
        dispatch(&order, name);
        free(name);
    }
    json_object_put(order.body);
    evhttp_clear_headers(&query);
    return true;
}
