/* What evhttp lacks for a server that speaks JSON and misbehaves on order. */
#ifndef FAKE_CALCOM_HTTP_UTIL_H
#define FAKE_CALCOM_HTTP_UTIL_H

#include <event2/http.h>
#include <json-c/json.h>
#include <stdbool.h>

const char *http_method_name(enum evhttp_cmd_type method);

/* Answers with `body` (taken over; NULL is null), after which `request` is gone. */
void http_reply(struct evhttp_request *request, int status, json_object *body);

/* Adds a header to the answer. */
void http_header(struct evhttp_request *request, const char *name, const char *value);
void http_header_int(struct evhttp_request *request, const char *name, int value);

/*
 * The request's body; an empty one gives NULL. False: it is not JSON. *body is the caller's to put.
 */
bool http_read_json(struct evhttp_request *request, json_object **body)
    __attribute__((warn_unused_result));

/* Ends the connection with RST instead of an answer, after which `request` is gone. */
void http_reset(struct evhttp_request *request);

/* The socket that `request` came in by. */
int http_socket(struct evhttp_request *request);

#endif
