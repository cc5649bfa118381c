#include "ingest/connections.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/log.h"
#include "ingest/ingest_metrics.h"

enum connection_state { IDLE, READING, HELD };

struct connection {
    LIST_ENTRY(connection) next;
    struct connections *table;
    struct bufferevent *stream;
    struct evhttp_connection *http; /* NULL: just accepted, see connections_on_accepted */
    enum connection_state state;
    int64_t since_mono_ms; /* when the state was entered */
    int fd;
};

LIST_HEAD(connection_list, connection);

struct connections {
    struct event_base *base;
    struct metrics_shard *metrics;
    struct connection_list open;
    struct connection_list accepted;
    struct event *accepted_event;
    struct event *sweep_timer;
    struct event *last_timer; /* draining: what is idle now is closed */
    struct connection **by_fd;
    size_t by_fd_size;
    void (*empty)(void *arg); /* not NULL: draining */
    void *empty_arg;
};

/* Connections of all threads; touched when one opens or closes, not on the request path. */
static atomic_int open_connections;

static void
enter(struct connection *connection, enum connection_state state)
{
    connection->state = state;
    connection->since_mono_ms = clock_mono_ms();
}

static bool
index_by_fd(struct connections *table, struct connection *connection)
{
    size_t index = (size_t)connection->fd;
    if (index >= table->by_fd_size) {
        size_t size = (index + 1) * 2;
        struct connection **grown = realloc((void *)table->by_fd, size * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        memset((void *)(grown + table->by_fd_size), 0, (size - table->by_fd_size) * sizeof *grown);
        table->by_fd = grown;
        table->by_fd_size = size;
    }
    table->by_fd[index] = connection;
    return true;
}

static struct connection *
connection_of(struct connections *table, struct evhttp_request *request)
{
    struct evhttp_connection *http = evhttp_request_get_connection(request);
    if (http == NULL) {
        return NULL;
    }
    evutil_socket_t fd = bufferevent_getfd(evhttp_connection_get_bufferevent(http));
    return fd >= 0 && (size_t)fd < table->by_fd_size ? table->by_fd[fd] : NULL;
}

static void
tell_when_empty(struct connections *table)
{
    if (table->empty != NULL && LIST_EMPTY(&table->open) && LIST_EMPTY(&table->accepted)) {
        table->empty(table->empty_arg);
    }
}

static void
connection_forget(struct connection *connection)
{
    struct connections *table = connection->table;
    LIST_REMOVE(connection, next);
    if (connection->fd >= 0 && (size_t)connection->fd < table->by_fd_size &&
        table->by_fd[connection->fd] == connection) {
        table->by_fd[connection->fd] = NULL;
    }
    (void)atomic_fetch_sub(&open_connections, 1);
    metrics_add(table->metrics, INGEST_CONNECTIONS, -1);
    free(connection);
}

static void
connections_on_closed(struct evhttp_connection *http, void *arg)
{
    struct connection *connection = arg;
    struct connections *table = connection->table;
    (void)http;
    connection_forget(connection);
    tell_when_empty(table);
}

static void
connections_on_bytes(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct connection *connection = arg;
    (void)input;
    if (info->n_added > 0 && connection->state == IDLE) {
        enter(connection, READING);
    }
}

/*
 * evhttp gives no notice of a new connection, only asks for a bufferevent to put it on, and tells
 * of its end only to whoever knows the evhttp_connection. That is the callback argument which
 * evhttp gives its bufferevent (2.1.x: evhttp_connection_base_bufferevent_new); it is read back
 * once evhttp is done setting up, one step of the loop later. Until then a reference keeps the
 * bufferevent; one that evhttp gave up meanwhile has no callbacks any more.
 */
static struct bufferevent *
connections_on_new(struct event_base *base, void *arg)
{
    struct connections *table = arg;
    struct bufferevent *stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct connection *connection = calloc(1, sizeof *connection);
    if (stream == NULL || connection == NULL) {
        free(connection);
        return stream;
    }
    connection->table = table;
    connection->stream = stream;
    connection->fd = -1;
    enter(connection, IDLE);
    bufferevent_incref(stream);
    LIST_INSERT_HEAD(&table->accepted, connection, next);
    (void)atomic_fetch_add(&open_connections, 1);
    metrics_add(table->metrics, INGEST_CONNECTIONS, 1);
    event_active(table->accepted_event, EV_TIMEOUT, 1);
    return stream;
}

static void
connection_adopt(struct connections *table, struct connection *connection)
{
    bufferevent_data_cb read_cb = NULL;
    bufferevent_event_cb event_cb = NULL;
    void *http = NULL;
    bufferevent_getcb(connection->stream, &read_cb, NULL, &event_cb, &http);
    connection->fd = bufferevent_getfd(connection->stream);
    bufferevent_decref(connection->stream);
    LIST_REMOVE(connection, next);
    LIST_INSERT_HEAD(&table->open, connection, next);
    if (event_cb == NULL || http == NULL) {
        connection_forget(connection);
        return;
    }
    const int on = 1;
    connection->http = http;
    /* Answers to pipelined requests must not wait for the client's delayed ACK. */
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    evhttp_connection_set_closecb(connection->http, connections_on_closed, connection);
    if (atomic_load(&open_connections) > CONNECTIONS_MAX || !index_by_fd(table, connection) ||
        evbuffer_add_cb(bufferevent_get_input(connection->stream), connections_on_bytes,
                        connection) == NULL) {
        metrics_add(table->metrics, INGEST_REFUSED_CONNECTIONS, 1);
        evhttp_connection_free(connection->http);
    }
}

static void
connections_on_accepted(evutil_socket_t fd, short what, void *arg)
{
    struct connections *table = arg;
    (void)fd, (void)what;
    while (!LIST_EMPTY(&table->accepted)) {
        connection_adopt(table, LIST_FIRST(&table->accepted));
    }
    tell_when_empty(table);
}

static bool
is_over(const struct connection *connection, int64_t now_mono_ms)
{
    int64_t age_ms = now_mono_ms - connection->since_mono_ms;
    switch (connection->state) {
    case IDLE:
        return age_ms >= CONNECTIONS_IDLE_MS;
    case READING:
        return age_ms >= CONNECTIONS_REQUEST_MS;
    case HELD:
        break;
    }
    return false;
}

static void
connections_on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct connections *table = arg;
    int64_t now_mono_ms = clock_mono_ms();
    struct connection *connection = LIST_FIRST(&table->open);
    (void)fd, (void)what;
    while (connection != NULL) {
        struct connection *next = LIST_NEXT(connection, next);
        if (is_over(connection, now_mono_ms)) {
            if (connection->state == READING) {
                metrics_add(table->metrics, INGEST_TIMED_OUT_REQUESTS, 1);
            }
            evhttp_connection_free(connection->http);
        }
        connection = next;
    }
}

static void
connections_on_last(evutil_socket_t fd, short what, void *arg)
{
    struct connections *table = arg;
    struct connection *connection = LIST_FIRST(&table->open);
    (void)fd, (void)what;
    while (connection != NULL) {
        struct connection *next = LIST_NEXT(connection, next);
        if (connection->state == IDLE) {
            evhttp_connection_free(connection->http);
        }
        connection = next;
    }
}

struct connections *
connections_new(struct event_base *base, struct evhttp *http, struct metrics_shard *metrics)
{
    static const struct timeval EVERY_SECOND = { .tv_sec = 1 };
    struct connections *table = calloc(1, sizeof *table);
    if (table == NULL) {
        return NULL;
    }
    table->base = base;
    table->metrics = metrics;
    LIST_INIT(&table->open);
    LIST_INIT(&table->accepted);
    table->accepted_event = event_new(base, -1, 0, connections_on_accepted, table);
    table->sweep_timer = event_new(base, -1, EV_PERSIST, connections_on_sweep, table);
    table->last_timer = evtimer_new(base, connections_on_last, table);
    if (table->accepted_event == NULL || table->sweep_timer == NULL || table->last_timer == NULL ||
        event_add(table->sweep_timer, &EVERY_SECOND) != 0) {
        connections_free(table);
        return NULL;
    }
    evhttp_set_bevcb(http, connections_on_new, table);
    return table;
}

void
connections_free(struct connections *table)
{
    if (table == NULL) {
        return;
    }
    while (!LIST_EMPTY(&table->accepted)) {
        struct connection *connection = LIST_FIRST(&table->accepted);
        bufferevent_decref(connection->stream);
        connection_forget(connection);
        assert(LIST_FIRST(&table->accepted) != connection);
    }
    if (table->accepted_event != NULL) {
        event_free(table->accepted_event);
    }
    if (table->sweep_timer != NULL) {
        event_free(table->sweep_timer);
    }
    if (table->last_timer != NULL) {
        event_free(table->last_timer);
    }
    free((void *)table->by_fd);
    free(table);
}

bool
connections_hold(struct connections *table, struct evhttp_request *request)
{
    struct connection *connection = connection_of(table, request);
    if (connection == NULL) {
        return false;
    }
    enter(connection, HELD);
    return true;
}

void
connections_release(struct connections *table, struct evhttp_request *request)
{
    struct connection *connection = connection_of(table, request);
    if (connection != NULL) {
        /* What came behind the request is the next one's beginning. */
        size_t left = evbuffer_get_length(bufferevent_get_input(connection->stream));
        enter(connection, left > 0 ? READING : IDLE);
    }
}

void
connections_drain(struct connections *table, void (*empty)(void *arg), void *arg)
{
    static const struct timeval LAST = { .tv_usec = CONNECTIONS_LAST_MS * 1000 };
    table->empty = empty;
    table->empty_arg = arg;
    (void)event_add(table->last_timer, &LAST);
    tell_when_empty(table);
}

bool
connections_are_draining(const struct connections *table)
{
    return table->empty != NULL;
}
