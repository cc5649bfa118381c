#include "http_util.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <sys/socket.h>

#include "alloc.h"
#include "json_util.h"

const char *
http_method_name(enum evhttp_cmd_type method)
{
    switch (method) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_TRACE:
        return "TRACE";
    case EVHTTP_REQ_CONNECT:
        return "CONNECT";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    }
    return "?";
}

void
http_header(struct evhttp_request *request, const char *name, const char *value)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

    evhttp_remove_header(headers, name);
    /* The only other failure is a line break in a value that a test ordered; it then gets no such
     * header. */
    (void)evhttp_add_header(headers, name, value);
}

void
http_header_int(struct evhttp_request *request, const char *name, int value)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%d", value);
    http_header(request, name, text);
}

void
http_reply(struct evhttp_request *request, int status, json_object *body)
{
    struct evbuffer *out = evhttp_request_get_output_buffer(request);
    size_t length = 4;
    const char *bytes = body == NULL ? "null" : json_bytes(body, &length);

    if (evbuffer_add(out, bytes, length) != 0)
        alloc_failed();
    json_object_put(body);
    if (evhttp_find_header(evhttp_request_get_output_headers(request), "Content-Type") == NULL)
        http_header(request, "Content-Type", "application/json; charset=utf-8");
    evhttp_send_reply(request, status, NULL, NULL);
}

bool
http_read_json(struct evhttp_request *request, json_object **body)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(request);
    size_t length = evbuffer_get_length(in);

    *body = NULL;
    if (length == 0)
        return true;

    const char *bytes = xneed(evbuffer_pullup(in, -1));
    struct json_tokener *tokener = xneed(json_tokener_new());
    *body = json_tokener_parse_ex(tokener, bytes, (int)length);
    bool ok = json_tokener_get_error(tokener) == json_tokener_success;
    json_tokener_free(tokener);
    return ok;
}

int
http_socket(struct evhttp_request *request)
{
    return bufferevent_getfd(
        evhttp_connection_get_bufferevent(evhttp_request_get_connection(request)));
}

void
http_reset(struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct sockaddr nobody = { .sa_family = AF_UNSPEC };

    /*
     * Not SO_LINGER: libevent shuts the socket down before it closes it, which is an orderly end.
     * Dissolving the association makes Linux send RST at once.
     */
    (void)connect(http_socket(request), &nobody, sizeof(nobody));
    evhttp_connection_free(connection); /* and the request with it */
}
