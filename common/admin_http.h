/*
 * The address for operators and their machines: /healthz (the loop runs), /readyz (it can work),
 * /metrics (Prometheus), and what else a program serves there. Runs on the main loop.
 */
#ifndef TOLLGATE_ADMIN_HTTP_H
#define TOLLGATE_ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct admin_http;
struct event_base;
struct evhttp_request;

struct admin_http_handlers {
    /* NULL when ready, else why not (a constant text). */
    const char *(*why_not_ready)(void *arg);
    /* What to say when ready, a constant text; NULL: "ready". */
    const char *(*how_ready)(void *arg);
    /* The metrics as text, which is then freed; NULL when memory is out. */
    char *(*metrics)(void *arg);
};

/*
 * Listens on `address` (host:port, port 0 for any). "" asks for fallback_address; when that is busy
 * a free port of the same host is taken instead. The address in use is logged. NULL with the reason
 * logged when it cannot listen.
 */
__attribute__((warn_unused_result)) struct admin_http *
admin_http_new(struct event_base *base, const char *address, const char *fallback_address,
               const struct admin_http_handlers *handlers, void *arg);

/*
 * Has `serve` answer all other addresses, GET and POST, bodies of up to max_body bytes: once for
 * each request, which is its own from then on, to be answered now or later. The requests must be
 * answered before admin_http_free.
 */
void admin_http_serve(struct admin_http *admin, size_t max_body,
                      void (*serve)(struct evhttp_request *request, void *arg), void *arg);

/* Accepts NULL. */
void admin_http_free(struct admin_http *admin);

#endif
