#include "common/admin_http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/accept_guard.h"
#include "common/listen.h"
#include "common/log.h"

#define REQUEST_TIMEOUT_S 10
#define MAX_BODY_BYTES    1024

struct admin_http {
    struct evhttp *http;
    struct accept_guard *accept_guard;
    struct admin_http_handlers handlers;
    void *arg;
};

static void
reply_text(struct evhttp_request *request, int status, const char *type, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    if (body != NULL) {
        (void)evbuffer_add(body, text, strlen(text));
        (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
    }
    /* To HEAD evhttp would send the body too. */
    bool head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
    evhttp_send_reply(request, status, NULL, head ? NULL : body);
    if (body != NULL) {
        evbuffer_free(body);
    }
}

/* Forms are for what admin_http_serve added. */
static bool
is_refused(struct evhttp_request *request)
{
    bool refused = evhttp_request_get_command(request) == EVHTTP_REQ_POST;
    if (refused) {
        reply_text(request, 405, "text/plain", "GET or HEAD only\n");
    }
    return refused;
}

static void
admin_on_healthz(struct evhttp_request *request, void *arg)
{
    (void)arg;
    if (is_refused(request)) {
        return;
    }
    reply_text(request, 200, "text/plain", "ok\n");
}

static void
admin_on_readyz(struct evhttp_request *request, void *arg)
{
    struct admin_http *admin = arg;
    if (is_refused(request)) {
        return;
    }
    const char *why = admin->handlers.why_not_ready(admin->arg);
    if (why != NULL) {
        reply_text(request, 503, "text/plain", why);
        return;
    }
    reply_text(request, 200, "text/plain",
               admin->handlers.how_ready != NULL ? admin->handlers.how_ready(admin->arg)
                                                 : "ready\n");
}

static void
admin_on_metrics(struct evhttp_request *request, void *arg)
{
    struct admin_http *admin = arg;
    if (is_refused(request)) {
        return;
    }
    char *text = admin->handlers.metrics(admin->arg);
    if (text == NULL) {
        reply_text(request, 500, "text/plain", "out of memory\n");
        return;
    }
    reply_text(request, 200, "text/plain; version=0.0.4; charset=utf-8", text);
    free(text);
}

static bool
admin_bind(struct admin_http *admin, struct event_base *base, const char *address,
           bool or_free_port)
{
    char reason[LISTEN_ERROR_SIZE], bound[LISTEN_ADDRESS_SIZE];
    int fd = listen_open(address, 0, reason);
    if (fd < 0 && or_free_port && errno == EADDRINUSE) {
        char any[LISTEN_ADDRESS_SIZE];
        listen_with_port(address, 0, any);
        log_info("the default admin address is busy; taking a free port",
                 log_s("address", address));
        fd = listen_open(any, 0, reason);
    }
    if (fd < 0) {
        log_error("TOLLGATE_ADMIN_LISTEN cannot be used", log_s("address", address),
                  log_s("reason", reason));
        return false;
    }
    /* Connections inherit it. evhttp writes a large answer in parts, and the second one would wait
     * for the client's delayed ACK: 40 ms. */
    static const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    listen_bound_address(fd, bound);
    struct evhttp_bound_socket *socket = evhttp_accept_socket_with_handle(admin->http, fd);
    if (socket == NULL) {
        (void)evutil_closesocket(fd);
        return false;
    }
    admin->accept_guard =
        accept_guard_new(base, evhttp_bound_socket_get_listener(socket), NULL, NULL);
    if (admin->accept_guard == NULL) {
        return false;
    }
    log_info("admin listening", log_s("address", bound));
    return true;
}

struct admin_http *
admin_http_new(struct event_base *base, const char *address, const char *fallback_address,
               const struct admin_http_handlers *handlers, void *arg)
{
    bool asked_for = *address != '\0';
    struct admin_http *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        return NULL;
    }
    admin->handlers = *handlers;
    admin->arg = arg;
    admin->http = evhttp_new(base);
    if (admin->http == NULL) {
        goto fail;
    }
    evhttp_set_timeout(admin->http, REQUEST_TIMEOUT_S);
    evhttp_set_max_body_size(admin->http, MAX_BODY_BYTES);
    evhttp_set_max_headers_size(admin->http, 16384);
    evhttp_set_allowed_methods(admin->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    if (evhttp_set_cb(admin->http, "/healthz", admin_on_healthz, admin) != 0 ||
        evhttp_set_cb(admin->http, "/readyz", admin_on_readyz, admin) != 0 ||
        evhttp_set_cb(admin->http, "/metrics", admin_on_metrics, admin) != 0) {
        goto fail;
    }
    if (!admin_bind(admin, base, asked_for ? address : fallback_address, !asked_for)) {
        goto fail;
    }
    return admin;

fail:
    admin_http_free(admin);
    return NULL;
}

void
admin_http_serve(struct admin_http *admin, size_t max_body,
                 void (*serve)(struct evhttp_request *request, void *arg), void *arg)
{
    evhttp_set_allowed_methods(admin->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
    evhttp_set_max_body_size(admin->http, (ev_ssize_t)max_body);
    evhttp_set_gencb(admin->http, serve, arg);
}

void
admin_http_free(struct admin_http *admin)
{
    if (admin == NULL) {
        return;
    }
    accept_guard_free(admin->accept_guard);
    if (admin->http != NULL) {
        evhttp_free(admin->http);
    }
    free(admin);
}
