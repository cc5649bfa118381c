#include "ingest/http_server.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/accept_guard.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/store.h"
#include "common/wakeup.h"
#include "ingest/admit.h"
#include "ingest/connections.h"
#include "ingest/delivery.h"
#include "ingest/ingest_metrics.h"
#include "ingest/spool.h"

#define RETRY_AFTER_S "5"

/* evhttp answers a header over its limit with 400; with a limit above ours there is room to say
 * 431. */
#define EVHTTP_HEADER_BYTES ((ev_ssize_t)2 * HTTP_MAX_HEADER_BYTES)

struct http_server {
    const struct config *config;
    struct spool *spool;
    struct secret_uses *uses;
    struct metrics_shard *metrics;
    void (*drained)(void *arg);
    void *arg;
    pthread_t thread;
    bool started;
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *socket; /* NULL: no longer listening */
    struct connections *connections;
    struct store *store;
    struct spool_client *spool_client;
    struct delivery *delivery;
    struct admit *admit;
    struct wakeup *wakeup; /* another thread asks for something */
    struct event *drain_timer;
    struct accept_guard *accept_guard;
    atomic_bool ready, drain_wanted, stop_wanted;
    pthread_mutex_t lock; /* guards new_secrets */
    char *new_secrets;
};

/* A request in our hands, until its answer. */
struct exchange {
    struct http_server *server;
    struct evhttp_request *request;
    int64_t since_us;
};

static void
reply(struct http_server *server, struct evhttp_request *request, int status, bool close_connection)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    if (status == 503) {
        (void)evhttp_add_header(headers, "Retry-After", RETRY_AFTER_S);
    }
    if (status == 405) {
        (void)evhttp_add_header(headers, "Allow", "POST");
    }
    if (close_connection || connections_are_draining(server->connections)) {
        (void)evhttp_add_header(headers, "Connection", "close");
    }
    connections_release(server->connections, request);
    evhttp_send_reply(request, status, NULL, NULL);
}

static void
server_on_admitted(int status, void *arg)
{
    struct exchange exchange = *(struct exchange *)arg;
    free(arg);
    metrics_observe_us(exchange.server->metrics, INGEST_ACK_SECONDS,
                       clock_mono_us() - exchange.since_us);
    reply(exchange.server, exchange.request, status, false);
}

/*
 * What evhttp lets through and we do not. Where a body ends must be beyond doubt: two lengths, a
 * length beside a transfer coding, a coding other than chunked, or a name with a space before its
 * colon can be read as different requests by a proxy before us (request smuggling; RFC 9112, 5.1
 * and 6.3). 0 when the request is fine.
 */
static int
check_headers(struct evhttp_request *request)
{
    size_t bytes = 0;
    int framings = 0;
    bool doubtful = false;
    const struct evkeyval *header;
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    TAILQ_FOREACH(header, headers, next) {
        bool coding = strcasecmp(header->key, "Transfer-Encoding") == 0;
        bytes += strlen(header->key) + strlen(header->value) + 4;
        framings += coding || strcasecmp(header->key, "Content-Length") == 0;
        doubtful |= coding && strcasecmp(header->value, "chunked") != 0;
        doubtful |= strpbrk(header->key, " \t") != NULL;
    }
    if (bytes > HTTP_MAX_HEADER_BYTES) {
        return 431;
    }
    return doubtful || framings > 1 ? 400 : 0;
}

/* NULL when there is none of the name, or more than one. */
static const char *
find_only_header(const struct evkeyvalq *headers, const char *name)
{
    const char *found = NULL;
    const struct evkeyval *header;
    TAILQ_FOREACH(header, headers, next) {
        if (strcasecmp(header->key, name) == 0) {
            if (found != NULL) {
                return NULL;
            }
            found = header->value;
        }
    }
    return found;
}

static void
server_on_request(struct evhttp_request *request, void *arg)
{
    struct http_server *server = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    bool held = connections_hold(server->connections, request);
    int wrong = check_headers(request);
    if (wrong == 0 && (path == NULL || strcmp(path, "/webhook") != 0)) {
        wrong = 404;
    } else if (wrong == 0 && evhttp_request_get_command(request) != EVHTTP_REQ_POST) {
        wrong = 405;
    }
    struct exchange *exchange = wrong == 0 && held ? calloc(1, sizeof *exchange) : NULL;
    if (exchange == NULL) {
        metrics_add(server->metrics, INGEST_BAD_REQUEST, 1);
        reply(server, request, wrong != 0 ? wrong : 503, true);
        return;
    }
    exchange->server = server;
    exchange->request = request;
    exchange->since_us = clock_mono_us();
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    size_t size = evbuffer_get_length(body);
    const char *bytes = (const char *)evbuffer_pullup(body, -1);
    const struct evkeyvalq *all = evhttp_request_get_input_headers(request);
    const struct admit_headers headers = { .signature =
                                               find_only_header(all, "X-Cal-Signature-256"),
                                           .traceparent = find_only_header(all, "traceparent") };
    admit_webhook(server->admit, &headers, bytes != NULL ? bytes : "", size, server_on_admitted,
                  exchange);
}

static void
server_on_accept_pause(void *arg)
{
    struct http_server *server = arg;
    metrics_add(server->metrics, INGEST_ACCEPT_PAUSES, 1);
}

static void
server_on_empty(void *arg)
{
    struct http_server *server = arg;
    server->drained(server->arg);
}

/*
 * Runs in the turn of the loop after the one in which a drain was asked for: the listener came
 * first, and accepted all that the kernel had taken (libevent accepts until there is none). Closing
 * it would reset those.
 */
static void
server_on_drain(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;
    (void)fd, (void)what;
    if (server->socket == NULL) {
        return;
    }
    accept_guard_free(server->accept_guard);
    server->accept_guard = NULL;
    evhttp_del_accept_socket(server->http, server->socket);
    server->socket = NULL;
    connections_drain(server->connections, server_on_empty, server);
}

static void
server_take_secrets(struct http_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    char *secrets = server->new_secrets;
    server->new_secrets = NULL;
    (void)pthread_mutex_unlock(&server->lock);
    if (secrets != NULL) {
        admit_set_secrets(server->admit, secrets);
        explicit_bzero(secrets, strlen(secrets));
        free(secrets);
    }
}

static void
server_on_wake(void *arg)
{
    struct http_server *server = arg;
    server_take_secrets(server);
    if (atomic_load(&server->stop_wanted)) {
        (void)event_base_loopbreak(server->base);
    } else if (atomic_load(&server->drain_wanted)) {
        static const struct timeval NEXT_TURN = { 0 };
        (void)event_add(server->drain_timer, &NEXT_TURN);
    }
}

static void
server_on_store_ready(void *arg)
{
    struct http_server *server = arg;
    atomic_store(&server->ready, true);
}

static void
server_on_store_away(void *arg)
{
    struct http_server *server = arg;
    atomic_store(&server->ready, false);
}

static void *
server_main(void *arg)
{
    struct http_server *server = arg;
    (void)event_base_dispatch(server->base);
    return NULL;
}

static bool
server_listen(struct http_server *server, int listen_fd)
{
    evhttp_set_gencb(server->http, server_on_request, server);
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                                 EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                                 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_max_body_size(server->http, HTTP_MAX_BODY_BYTES);
    evhttp_set_max_headers_size(server->http, EVHTTP_HEADER_BYTES);
    /* Read on after a body over the limit, so that the 413 is not lost in a reset. */
    (void)evhttp_set_flags(server->http, EVHTTP_SERVER_LINGERING_CLOSE);
    server->socket = evhttp_accept_socket_with_handle(server->http, listen_fd);
    if (server->socket == NULL) {
        return false;
    }
    server->accept_guard =
        accept_guard_new(server->base, evhttp_bound_socket_get_listener(server->socket),
                         server_on_accept_pause, server);
    return server->accept_guard != NULL;
}

static bool
server_make(struct http_server *server, int listen_fd)
{
    static const struct store_handlers STORE_HANDLERS = { .ready = server_on_store_ready,
                                                          .away = server_on_store_away };
    server->base = loop_make_base();
    if (server->base == NULL) {
        return false;
    }
    server->wakeup = wakeup_new(server->base, server_on_wake, server);
    server->drain_timer = evtimer_new(server->base, server_on_drain, server);
    server->http = evhttp_new(server->base);
    server->store = store_new(server->base, server->config, &STORE_HANDLERS, server);
    server->spool_client = spool_client_new(server->spool, server->base);
    if (server->wakeup == NULL || server->drain_timer == NULL || server->http == NULL ||
        server->store == NULL || server->spool_client == NULL) {
        return false;
    }
    const struct delivery_parts delivery_parts = { server->base, server->config, server->store,
                                                   server->spool, server->spool_client };
    server->delivery = delivery_new(&delivery_parts);
    if (server->delivery == NULL) {
        return false;
    }
    const struct admit_parts admit_parts = { server->config, server->store, server->delivery,
                                             server->uses, server->metrics };
    server->admit = admit_new(&admit_parts);
    server->connections = connections_new(server->base, server->http, server->metrics);
    return server->admit != NULL && server->connections != NULL && server_listen(server, listen_fd);
}

struct http_server *
http_server_start(const struct http_server_parts *parts, int listen_fd, void (*drained)(void *arg),
                  void *arg)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        (void)close(listen_fd);
        return NULL;
    }
    server->config = parts->config;
    server->spool = parts->spool;
    server->uses = parts->uses;
    server->metrics = parts->metrics;
    server->drained = drained;
    server->arg = arg;
    (void)pthread_mutex_init(&server->lock, NULL);
    server->started = server_make(server, listen_fd) &&
                      pthread_create(&server->thread, NULL, server_main, server) == 0;
    if (!server->started) {
        log_error("a thread could not be started");
        if (server->socket == NULL) {
            (void)close(listen_fd);
        }
        http_server_free(server);
        return NULL;
    }
    return server;
}

void
http_server_drain(struct http_server *server)
{
    atomic_store(&server->drain_wanted, true);
    wakeup_ring(server->wakeup);
}

void
http_server_set_secrets(struct http_server *server, const char *secrets)
{
    (void)pthread_mutex_lock(&server->lock);
    free(server->new_secrets);
    server->new_secrets = strdup(secrets);
    (void)pthread_mutex_unlock(&server->lock);
    wakeup_ring(server->wakeup);
}

bool
http_server_is_ready(const struct http_server *server)
{
    return atomic_load(&server->ready);
}

void
http_server_stop(struct http_server *server)
{
    if (server->started) {
        atomic_store(&server->stop_wanted, true);
        wakeup_ring(server->wakeup);
        (void)pthread_join(server->thread, NULL);
        server->started = false;
    }
}

void
http_server_free(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    /* These first: they end what is pending, which answers requests that evhttp still has. */
    if (server->delivery != NULL) {
        delivery_close(server->delivery);
    }
    store_free(server->store);
    spool_client_free(server->spool_client);
    accept_guard_free(server->accept_guard);
    if (server->http != NULL) {
        evhttp_free(server->http);
    }
    connections_free(server->connections);
    admit_free(server->admit);
    delivery_free(server->delivery);
    wakeup_free(server->wakeup);
    if (server->drain_timer != NULL) {
        event_free(server->drain_timer);
    }
    if (server->base != NULL) {
        event_base_free(server->base);
    }
    free(server->new_secrets);
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}
