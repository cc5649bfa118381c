#include "common/health.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <string.h>

#include "common/listen.h"

#define WAIT_MS 2000

struct health {
    struct event_base *base;
    char *text;
    bool ready;
};

static void
health_on_answer(struct evhttp_request *request, void *arg)
{
    struct health *health = arg;
    int status = request != NULL ? evhttp_request_get_response_code(request) : 0;
    health->ready = status == 200;
    if (status != 0) {
        struct evbuffer *body = evhttp_request_get_input_buffer(request);
        ev_ssize_t length = evbuffer_copyout(body, health->text, HEALTH_TEXT_SIZE - 1);
        health->text[length > 0 ? length : 0] = '\0';
        health->text[strcspn(health->text, "\r\n")] = '\0';
    }
    (void)event_base_loopbreak(health->base);
}

static void
send_request(struct health *health, struct evhttp_connection *connection)
{
    const struct timeval limit = { .tv_sec = WAIT_MS / 1000, .tv_usec = WAIT_MS % 1000 * 1000 };
    struct evhttp_request *request = evhttp_request_new(health_on_answer, health);
    if (request == NULL) {
        return;
    }
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Host", "localhost");
    if (evhttp_make_request(connection, request, EVHTTP_REQ_GET, "/readyz") == 0) {
        (void)event_base_loopexit(health->base, &limit);
        (void)event_base_dispatch(health->base);
    }
}

static void
ignore_libevent(int severity, const char *text)
{
    (void)severity, (void)text;
}

bool
health_ask(const char *address, char text[HEALTH_TEXT_SIZE])
{
    struct health health = { .base = event_base_new(), .text = text };
    char host[LISTEN_ADDRESS_SIZE];
    int port = listen_reach(address, host);
    struct evhttp_connection *connection = NULL;
    event_set_log_callback(ignore_libevent); /* it is told in one line */
    (void)snprintf(text, HEALTH_TEXT_SIZE, "nothing answers at the admin address %s within 2 s",
                   address);
    if (port == 0) {
        (void)snprintf(text, HEALTH_TEXT_SIZE,
                       "TOLLGATE_ADMIN_LISTEN has port 0: which one was taken stands in the log");
    } else if (health.base != NULL) {
        connection = evhttp_connection_base_new(health.base, NULL, host, (ev_uint16_t)port);
    }
    if (connection != NULL) {
        send_request(&health, connection);
        evhttp_connection_free(connection);
    }
    if (health.base != NULL) {
        event_base_free(health.base);
    }
    return health.ready;
}
