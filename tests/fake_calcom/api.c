#include "api.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "api_v1.h"
#include "api_v2.h"
#include "clock.h"
#include "delay.h"
#include "http_util.h"
#include "json_util.h"

struct api {
    struct world *world;
    LIST_HEAD(, call) hanging;
};

struct api *
api_new(struct world *world)
{
    struct api *api = xcalloc(1, sizeof(*api));

    api->world = world;
    LIST_INIT(&api->hanging);
    return api;
}

void
api_free(struct api *api)
{
    free(api);
}

/* ---- reading the request ---- */

/* True if `path` has the shape; *key is then a copy of what stood in place of `*`, or NULL. */
static bool
shape_matches(const char *shape, const char *path, char **key)
{
    const char *star = strchr(shape, '*');

    *key = NULL;
    if (star == NULL)
        return strcmp(shape, path) == 0;

    size_t before = (size_t)(star - shape);
    if (strncmp(shape, path, before) != 0)
        return false;
    size_t length = strcspn(path + before, "/");
    if (length == 0 || strcmp(star + 1, path + before + length) != 0)
        return false;
    *key = xneed(strndup(path + before, length));
    return true;
}

static void
call_find_route(struct call *call, const char *path)
{
    const struct dialect *dialect = call->dialect;
    enum evhttp_cmd_type method = evhttp_request_get_command(call->request);
    char *key;

    for (size_t i = 0; i < dialect->route_count; i++) {
        const struct route *route = &dialect->routes[i];
        if (!shape_matches(route->shape, path, &key))
            continue;
        call->path_known = true;
        free(call->key);
        call->key = key;
        if (route->method == method) {
            call->route = route;
            return;
        }
    }
}

/* A copy of `uri` in which the value of apiKey, if there is one, is three stars. */
static char *
without_key(const char *uri)
{
    const char *query = strchr(uri, '?');
    const char *found = query == NULL ? NULL : strstr(query, "apiKey=");

    if (found == NULL)
        return xstrdup(uri);
    found += strlen("apiKey=");
    return xasprintf("%.*s***%s", (int)(found - uri), uri, found + strcspn(found, "&"));
}

static struct call *
call_new(struct api *api, struct evhttp_request *request, const struct dialect *dialect)
{
    struct call *call = xcalloc(1, sizeof(*call));
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = evhttp_uri_get_path(uri), *query = evhttp_uri_get_query(uri);

    call->world = api->world;
    call->request = request;
    call->dialect = dialect;
    call->path = without_key(evhttp_request_get_uri(request));
    TAILQ_INIT(&call->query);
    if (query != NULL && evhttp_parse_query_str(query, &call->query) != 0)
        TAILQ_INIT(
            &call->query); /* malformed: as if there were none; evhttp has freed what it had */

    call_find_route(call, path + strlen(dialect->prefix) + 1);
    if (call->key != NULL)
        call->booking = dialect->find(api->world->store, call->key);
    return call;
}

const char *
call_query(const struct call *call, const char *name)
{
    return evhttp_find_header(&call->query, name);
}

const char *
call_header(const struct call *call, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(call->request), name);
}

/* ---- the ways to end ---- */

static bool
call_is_act(const struct call *call)
{
    return call->booking != NULL && call->route != NULL && action_is_act(call->route->action);
}

/* The request must have been answered or cut. */
static void
call_end(struct call *call, int status)
{
    if (call_is_act(call))
        call->booking->acts_in_flight--;
    calls_end(call->world->calls, call->number, status);
    evhttp_clear_headers(&call->query);
    fault_release(&call->fault);
    free(call->path);
    free(call->key);
    free(call);
}

static void
call_reset(struct call *call)
{
    http_reset(call->request);
    call_end(call, 0);
}

static void
call_cut(struct call *call)
{
    LIST_REMOVE(call, entry);
    if (call->on_leave != NULL)
        event_free(call->on_leave);
    call_reset(call);
}

static void
call_on_leave(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    call_cut(arg);
}

/*
 * evhttp does not read while a request is unanswered and would not notice that the caller has gone:
 * we do.
 */
static void
call_hang(struct call *call)
{
    struct world *world = call->world;

    LIST_INSERT_HEAD(&world->api->hanging, call, entry);
    call->on_leave =
        xneed(event_new(world->base, http_socket(call->request), EV_CLOSED, call_on_leave, call));
    event_add(call->on_leave, NULL);
}

void
api_cut_hanging(struct api *api)
{
    while (!LIST_EMPTY(&api->hanging)) {
        struct call *call = LIST_FIRST(&api->hanging);

        call_cut(call);
        assert(LIST_FIRST(&api->hanging) != call); /* what clang's analyzer does not see */
    }
}

static void
put_fault_headers(struct call *call)
{
    if (call->fault.headers == NULL)
        return;
    json_object_object_foreach(call->fault.headers, name, value) {
        http_header(call->request, name, json_object_get_string(value));
    }
}

static void
call_send(struct call *call, int status, json_object *body)
{
    put_fault_headers(call);
    http_reply(call->request, status, body);
    call_end(call, status);
}

/* The fault's own answer; the fault is used up by it. */
static void
call_fail(struct call *call)
{
    json_object *body = call->fault.body;

    call->fault.kind = FAULT_NONE;
    if (body != NULL)
        call_send(call, call->fault.status, json_object_get(body));
    else
        call->dialect->fail(call, call->fault.status);
}

/* As if the rate limit were used up, whatever it is. */
static void
call_throttle(struct call *call)
{
    int limit = call->world->throttle.limit;
    struct throttle_verdict verdict = {
        .limited = true,
        .refused = true,
        .limit = limit > 0 ? limit : call->dialect->usual_limit,
        .reset_s = call->fault.reset_s,
    };

    call->dialect->put_limits(call, &verdict);
    if (call->fault.retry_after_s >= 0)
        http_header_int(call->request, "Retry-After", call->fault.retry_after_s);
    call->dialect->refuse(call);
}

/* True: the fault has taken the call's end into its hands, and `call` may be gone. */
static bool
call_go_wrong(struct call *call)
{
    switch (call->fault.kind) {
    case FAULT_STATUS:
        call_fail(call);
        return true;
    case FAULT_HANG:
        call_hang(call);
        return true;
    case FAULT_RESET:
        call_reset(call);
        return true;
    case FAULT_THROTTLE:
        call_throttle(call);
        return true;
    case FAULT_NONE:
    case FAULT_LATENCY:
        break;
    }
    return false;
}

void
call_answer(struct call *call, int status, json_object *body)
{
    if (call->fault.after && call->fault.kind != FAULT_NONE) {
        json_object_put(body);
        (void)call_go_wrong(call);
        return;
    }
    call_send(call, status, body);
}

/* ---- the way there ---- */

static void
call_enter(void *arg)
{
    struct call *call = arg;

    if (!call->fault.after && call_go_wrong(call))
        return;
    call->dialect->enter(call);
}

static void
call_begin(struct call *call)
{
    struct world *world = call->world;
    enum action action = call->route == NULL ? ACTION_OTHER : call->route->action;
    int64_t booking = call->booking == NULL ? 0 : call->booking->id;

    call->fault = faults_take(world->faults, action, booking);
    if (call_is_act(call))
        call->booking->acts_in_flight++;
    struct call_facts facts = {
        .method = http_method_name(evhttp_request_get_command(call->request)),
        .path = call->path,
        .action = action,
        .booking = booking,
        .traceparent = call_header(call, "traceparent"),
        .fault = call->fault.name,
        .after = call->fault.after,
        .acts = call_is_act(call) ? call->booking->acts_in_flight : 0,
    };
    call->number = calls_begin(world->calls, &facts);
}

bool
api_serve(struct api *api, struct evhttp_request *request)
{
    static const struct dialect *const dialects[] = { &api_v1_dialect, &api_v2_dialect };
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));

    for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
        size_t length = strlen(dialects[i]->prefix);
        if (path == NULL || strncmp(path, dialects[i]->prefix, length) != 0 || path[length] != '/')
            continue;

        struct call *call = call_new(api, request, dialects[i]);
        call_begin(call);
        bool waits_here = call->fault.kind == FAULT_LATENCY && call_between_ms(call) == 0;
        int wait_ms = api->world->latency_ms + (waits_here ? call->fault.ms : 0);
        delay_run(api->world->delays, wait_ms, call_enter, call);
        return true;
    }
    return false;
}

bool
call_admit(struct call *call)
{
    struct throttle_verdict verdict = throttle_take(&call->world->throttle, clock_mono_ms());

    if (verdict.limited)
        call->dialect->put_limits(call, &verdict);
    if (!verdict.refused)
        return true;
    call->dialect->refuse(call);
    return false;
}

int
call_between_ms(const struct call *call)
{
    bool between = call->fault.kind == FAULT_LATENCY && call->fault.between && call_is_act(call);

    return between ? call->fault.ms : 0;
}

struct step
call_step(struct call *call, lifecycle_done *done)
{
    return (struct step){
        .booking = call->booking,
        .between_ms = call_between_ms(call),
        .plan = { .fate = WEBHOOK_SEND, .copies = 1 },
        .done = done,
        .arg = call,
    };
}
