/*
 * HTTP requests on an event loop, and the only file that knows libcurl. Connections are kept and
 * shared (HTTP/2 where a TLS server offers it); redirects are not followed.
 *
 * A request that went out is never sent a second time by libcurl's own decision: what became of it
 * is for the caller to find out (see HTTP_UNKNOWN).
 */
#ifndef TOLLGATE_HTTP_CLIENT_H
#define TOLLGATE_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct http_client;

#define HTTP_ANSWER_BYTES (256 * 1024) /* of a usual body */

enum http_method { HTTP_METHOD_GET, HTTP_METHOD_POST, HTTP_METHOD_PATCH, HTTP_METHOD_DELETE };

struct http_request {
    enum http_method method;
    const char *url;
    const char *body;           /* JSON; NULL: none */
    const char *const *headers; /* "Name: value", ended by NULL */
    int64_t timeout_ms;         /* for all of it */
    size_t answer_bytes;        /* a longer body ends as HTTP_UNKNOWN */
    int64_t send_by_boot_ms;    /* later than this it does not go out any more; 0: at any time */
};

enum http_result {
    HTTP_ANSWERED,
    HTTP_NOT_SENT, /* it certainly did not go out: no connection, no name, no TLS, too late */
    HTTP_UNKNOWN,  /* it went out, and no whole answer came */
};

struct http_answer {
    enum http_result result;
    int status;
    const char *body;  /* NUL-terminated, never NULL */
    const char *error; /* not ANSWERED: what went wrong; holds no URL */
    bool timed_out;    /* UNKNOWN: the server may still be at it */
    bool too_late;     /* NOT_SENT: send_by_boot_ms had passed when it could have gone out */
    /* Seconds to wait, of Retry-After or X-RateLimit-Reset[-Default]; -1: not told. */
    int64_t retry_after_s;
    /* Calls left and allowed, of X-RateLimit-Remaining and -Limit (plain, or with something behind,
     * as -Default), and for how many seconds that counts; -1: not told. */
    int64_t remaining, limit, reset_s;
};

/* The answer is valid during the call only. */
typedef void http_done_cb(const struct http_answer *answer, void *arg);

/* connections: how many may be open to one host. NULL when memory is out. */
__attribute__((warn_unused_result)) struct http_client *http_client_new(struct event_base *base,
                                                                        long connections);

/* Ends pending requests as UNKNOWN or NOT_SENT. Accepts NULL. Not from inside a callback. */
void http_client_free(struct http_client *client);

/*
 * Sends a request; nothing of it is needed after the call. `done` runs exactly once, never from
 * inside the call.
 */
void http_client_send(struct http_client *client, const struct http_request *request,
                      http_done_cb *done, void *arg);

/* Writes `text` percent-encoded, as one component of a path or query. False when it does not fit.
 */
__attribute__((warn_unused_result)) bool http_encode(const char *text, char *out, size_t size);

#endif
