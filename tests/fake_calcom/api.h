/*
 * The way of an API call, which is the same for both dialects:
 *
 *     api_serve      the call is logged and its fault taken
 *     [latency]      of every call, or of the fault
 *     [fault]        unless it comes after
 *     enter          the dialect: version, API key, rate limit, route, the work
 *     call_answer    now, or when webhooks are answered
 *     [fault]        if it comes after
 *
 * A call ends in exactly one of: answered, reset, cut (it hung, and the caller left or
 * world_settle came).
 */
#ifndef FAKE_CALCOM_API_H
#define FAKE_CALCOM_API_H

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bookings.h"
#include "calls.h"
#include "faults.h"
#include "lifecycle.h"
#include "world.h"

struct call;

struct route {
    enum evhttp_cmd_type method;
    const char *shape; /* path below the prefix; the segment `*` is a booking's id or uid */
    enum action action;
    void (*handle)(struct call *call); /* owes call_answer, now or later */
};

struct dialect {
    const char *prefix; /* "/v2" */
    int usual_limit;    /* calls per minute, for a throttle fault where no rate limit is set */
    const struct route *routes;
    size_t route_count;
    struct booking *(*find)(const struct store *store,
                            const char *key); /* key: what stood in place of `*` */
    /* Version, API key, rate limit, 404 and 405; then call->route->handle. */
    void (*enter)(struct call *call);
    /* Answers with the dialect's own error body for a status that has no cause in the call. */
    void (*fail)(struct call *call, int status);
    /* Answers 429 in the dialect's own words. */
    void (*refuse)(struct call *call);
    /* Puts the state of the rate limit into the answer's headers. */
    void (*put_limits)(struct call *call, const struct throttle_verdict *verdict);
};

struct call {
    LIST_ENTRY(call) entry; /* while it hangs */
    struct world *world;
    struct evhttp_request *request;
    const struct dialect *dialect;
    const struct route *route; /* NULL: no such path, or not by this method */
    bool path_known;           /* some method is served at this path */
    char *path;                /* with query, without the value of the API key */
    char *key;                 /* the booking's id or uid as in the path; NULL if there is none */
    struct evkeyvalq query;
    struct booking *booking; /* NULL: unknown */
    bool by_host;            /* an API key was given */
    struct fault fault;
    uint64_t number; /* in the log */
    struct event *on_leave;
};

struct api;

struct api *api_new(struct world *world);
void api_free(struct api *api); /* nothing may be under way: world_settle first */

/*
 * Takes over a request whose path begins with a dialect's prefix. False: it does not, and nothing
 * happened.
 */
bool api_serve(struct api *api, struct evhttp_request *request) __attribute__((warn_unused_result));

/* Cuts the calls that hang. */
void api_cut_hanging(struct api *api);

/* ---- for the dialects ---- */

const char *call_query(const struct call *call, const char *name); /* NULL if it is not there */
const char *call_header(const struct call *call, const char *name);

/* The end of a call: `body` is taken over, `call` is gone. */
void call_answer(struct call *call, int status, json_object *body);

/* Takes one call out of the rate limit. False: it was refused, and `call` is gone. */
bool call_admit(struct call *call) __attribute__((warn_unused_result));

/*
 * A step on the call's booking, with the fault's wait between check and change. `done` gets `call`.
 */
struct step call_step(struct call *call, lifecycle_done *done);
int call_between_ms(const struct call *call);

#endif
