/*
 * fake-calcom: a part of the tests, not of the product. It stands in for Cal.com (API v1, API v2,
 * sender of webhooks) and behaves as the real one does, including what is odd about it; see
 * lifecycle.h, api_v1.h, api_v2.h and webhooks.h for that, README.md for how to use it. This file
 * only wires the parts together.
 */
#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "alloc.h"
#include "api.h"
#include "control.h"
#include "delay.h"
#include "http_util.h"
#include "json_util.h"
#include "log.h"
#include "options.h"

#define BACKLOG     1024
#define BODY_MAX    1048576
#define HEADERS_MAX 65536

void
world_settle(struct world *world)
{
    webhooks_mute(world->webhooks, true);
    /* What is delayed may hang when it goes on, and nothing that hangs goes on: this order leaves
     * nothing. */
    delays_flush(world->delays);
    api_cut_hanging(world->api);
    webhooks_mute(world->webhooks, false);
}

static void
world_init(struct world *world, const struct options *options)
{
    *world = (struct world){ .api_key = options->api_key, .event_types = options->event_types };
    world->base = xneed(event_base_new());
    world->delays = delays_new(world->base);
    world->store = store_new();
    world->webhooks = webhooks_new(world->base, world->delays);
    world->lifecycle = (struct lifecycle){ world->delays, world->webhooks, options->seat_approval };
    world->calls = calls_new();
    world->faults = faults_new();
    world->api = api_new(world);
    webhooks_set_secret(world->webhooks, options->secret);
}

static void
world_release(struct world *world)
{
    api_free(world->api);
    faults_free(world->faults);
    calls_free(world->calls);
    webhooks_free(world->webhooks);
    store_free(world->store);
    delays_free(world->delays);
    event_base_free(world->base);
}

static void
on_request(struct evhttp_request *request, void *arg)
{
    struct world *world = arg;
    json_object *body;

    if (api_serve(world->api, request) || control_serve(world, request))
        return;
    body = object_new();
    put_text(body, "error", "fake-calcom serves /v1, /v2 and /control");
    http_reply(request, 404, body);
}

static void
on_signal(evutil_socket_t number, short events, void *arg)
{
    (void)number;
    (void)events;
    event_base_loopbreak(arg);
}

/* Every webhook and every API call takes a descriptor, and the usual soft limit is 1024. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_line("the limit of open files stays as it is");
}

static struct evhttp *
server_new(struct world *world)
{
    struct evhttp *server = xneed(evhttp_new(world->base));

    evhttp_set_allowed_methods(server, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PATCH |
                                           EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_HEAD |
                                           EVHTTP_REQ_OPTIONS);
    evhttp_set_max_body_size(server, BODY_MAX);
    evhttp_set_max_headers_size(server, HEADERS_MAX);
    evhttp_set_gencb(server, on_request, world);
    return server;
}

static int
bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name = { 0 };
    socklen_t length = sizeof(name);

    if (getsockname(fd, &name.any, &length) != 0)
        return 0;
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

/* The port, or 0 if we cannot listen there. The listener is ours: evhttp's has a backlog of 128. */
static int
server_listen(struct evhttp *server, struct event_base *base, const struct options *options)
{
    const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *address = NULL;
    struct evconnlistener *listener = NULL;
    char port[8];

    (void)snprintf(port, sizeof(port), "%u", (unsigned)options->port);
    if (getaddrinfo(options->host, port, &hints, &address) != 0)
        return 0;
    listener = evconnlistener_new_bind(base, NULL, NULL, flags, BACKLOG, address->ai_addr,
                                       (int)address->ai_addrlen);
    freeaddrinfo(address);
    if (listener == NULL)
        return 0;
    xneed(evhttp_bind_listener(server, listener)); /* takes it over */
    return bound_port(evconnlistener_get_fd(listener));
}

static int
serve(struct world *world, const struct options *options)
{
    struct evhttp *server = server_new(world);
    struct event *on_term = xneed(evsignal_new(world->base, SIGTERM, on_signal, world->base));
    struct event *on_int = xneed(evsignal_new(world->base, SIGINT, on_signal, world->base));
    int port = server_listen(server, world->base, options);

    if (port == 0) {
        log_line("cannot listen on %s:%u", options->host, (unsigned)options->port);
    } else {
        event_add(on_term, NULL);
        event_add(on_int, NULL);
        bool v6 = strchr(options->host, ':') != NULL;
        (void)printf("fake-calcom: listening on http://%s%s%s:%d\n", v6 ? "[" : "", options->host,
                     v6 ? "]" : "", port);
        (void)fflush(stdout);
        event_base_dispatch(world->base);
        log_line("ends");
        world_settle(world);
    }
    evhttp_free(server);
    event_free(on_term);
    event_free(on_int);
    return port == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    struct options options;
    struct world world;
    int status = 2;

    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    enum options_result result = options_read(&options, argc, argv);
    if (result == OPTIONS_HELP)
        status = EXIT_SUCCESS;
    if (result == OPTIONS_RUN) {
        world_init(&world, &options);
        if (webhooks_set_urls(world.webhooks, options.webhook_urls, options.webhook_count))
            status = serve(&world, &options);
        else
            log_line("--webhook-url must be http://host[:port]/path");
        world_release(&world);
    }
    options_release(&options);
    return status;
}
