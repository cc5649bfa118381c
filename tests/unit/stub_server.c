#include "tests/unit/stub_server.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct connection {
    LIST_ENTRY(connection) next;
    struct stub_server *server;
    struct bufferevent *socket;
};

struct stub_server {
    struct event_base *base;
    struct evconnlistener *listener;
    LIST_HEAD(, connection) connections;
    int port;
    enum stub_action action;
    char *answer;
    size_t answer_size;
    size_t requests, accepted;
    char last[STUB_REQUEST_SIZE];
};

static void
connection_free(struct connection *connection)
{
    LIST_REMOVE(connection, next);
    bufferevent_free(connection->socket);
    free(connection);
}

static void
connection_reset(struct connection *connection)
{
    const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(bufferevent_getfd(connection->socket), SOL_SOCKET, SO_LINGER, &at_once,
                     sizeof at_once);
    connection_free(connection);
}

static void
connection_on_written(struct bufferevent *socket, void *arg)
{
    (void)socket;
    connection_free(arg);
}

static void
connection_on_event(struct bufferevent *socket, short what, void *arg)
{
    (void)socket, (void)what;
    connection_free(arg);
}

/* The length of the first whole request in `text`, 0 when there is none yet. */
static size_t
whole_request(const char *text, size_t size)
{
    const char *end = memmem(text, size, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }
    size_t head = (size_t)(end - text) + 4, body = 0;
    static const char NAME[] = "Content-Length:";
    for (const char *line = text; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, NAME, sizeof NAME - 1) == 0) {
            body = strtoul(line + sizeof NAME - 1, NULL, 10);
        }
    }
    return size >= head + body ? head + body : 0;
}

/* False when the connection is gone. */
static bool
connection_answer(struct connection *connection)
{
    struct stub_server *server = connection->server;
    switch (server->action) {
    case STUB_ANSWER:
        (void)bufferevent_write(connection->socket, server->answer, server->answer_size);
        return true;
    case STUB_ANSWER_CLOSE:
        bufferevent_setcb(connection->socket, NULL, connection_on_written, connection_on_event,
                          connection);
        (void)bufferevent_write(connection->socket, server->answer, server->answer_size);
        return false;
    case STUB_RESET:
        connection_reset(connection);
        return false;
    case STUB_CLOSE:
        connection_free(connection);
        return false;
    case STUB_SILENT:
        break;
    }
    return true;
}

static void
connection_on_read(struct bufferevent *socket, void *arg)
{
    struct connection *connection = arg;
    struct stub_server *server = connection->server;
    struct evbuffer *input = bufferevent_get_input(socket);
    for (;;) {
        char text[STUB_REQUEST_SIZE];
        ev_ssize_t got = evbuffer_copyout(input, text, sizeof text - 1);
        text[got > 0 ? got : 0] = '\0';
        size_t size = got > 0 ? whole_request(text, (size_t)got) : 0;
        if (size == 0) {
            return;
        }
        (void)evbuffer_drain(input, size);
        (void)snprintf(server->last, sizeof server->last, "%.*s", (int)size, text);
        server->requests++;
        if (!connection_answer(connection)) {
            return;
        }
    }
}

static void
server_on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                 int length, void *arg)
{
    struct stub_server *server = arg;
    struct connection *connection = calloc(1, sizeof *connection);
    (void)listener, (void)address, (void)length;
    if (connection == NULL) {
        abort();
    }
    connection->server = server;
    connection->socket = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (connection->socket == NULL) {
        abort();
    }
    LIST_INSERT_HEAD(&server->connections, connection, next);
    server->accepted++;
    bufferevent_setcb(connection->socket, connection_on_read, NULL, connection_on_event,
                      connection);
    (void)bufferevent_enable(connection->socket, EV_READ | EV_WRITE);
}

struct stub_server *
stub_server_new(struct event_base *base)
{
    struct stub_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    if (server == NULL) {
        abort();
    }
    server->base = base;
    LIST_INIT(&server->connections);
    server->listener = evconnlistener_new_bind(base, server_on_accept, server,
                                               LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 16,
                                               (struct sockaddr *)&address, sizeof address);
    if (server->listener == NULL || getsockname(evconnlistener_get_fd(server->listener),
                                                (struct sockaddr *)&address, &length) != 0) {
        abort();
    }
    server->port = ntohs(address.sin_port);
    return server;
}

void
stub_server_free(struct stub_server *server)
{
    struct connection *connection = LIST_FIRST(&server->connections);
    while (connection != NULL) {
        struct connection *following = LIST_NEXT(connection, next);
        bufferevent_free(connection->socket);
        free(connection);
        connection = following;
    }
    evconnlistener_free(server->listener);
    free(server->answer);
    free(server);
}

int
stub_server_port(const struct stub_server *server)
{
    return server->port;
}

void
stub_server_script(struct stub_server *server, enum stub_action action, const char *answer,
                   size_t size)
{
    char *copy = malloc(size + 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, answer, size);
    free(server->answer);
    server->action = action;
    server->answer = copy;
    server->answer_size = size;
}

void
stub_server_answer(struct stub_server *server, int status, const char *headers, const char *body)
{
    char *text = NULL;
    int size = asprintf(&text,
                        "HTTP/1.1 %d Scripted\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n%s\r\n%s",
                        status, strlen(body), headers, body);
    if (size < 0) {
        abort();
    }
    stub_server_script(server, STUB_ANSWER, text, (size_t)size);
    free(text);
}

size_t
stub_server_requests(const struct stub_server *server)
{
    return server->requests;
}

size_t
stub_server_connections(const struct stub_server *server)
{
    return server->accepted;
}

const char *
stub_server_last(const struct stub_server *server)
{
    return server->last;
}
