/*
 * An HTTP/1.1 server for tests, on a free port of 127.0.0.1 and on the test's own event loop. It
 * reads whole requests, keeps them, and answers each with what was scripted, byte for byte.
 */
#ifndef TOLLGATE_STUB_SERVER_H
#define TOLLGATE_STUB_SERVER_H

#include <stddef.h>

struct event_base;
struct stub_server;

enum stub_action {
    STUB_ANSWER,       /* send the text, keep the connection */
    STUB_ANSWER_CLOSE, /* send the text, then close */
    STUB_RESET,        /* answer with a TCP reset */
    STUB_CLOSE,        /* close without an answer */
    STUB_SILENT,       /* never answer */
};

#define STUB_REQUEST_SIZE 16384

struct stub_server *stub_server_new(struct event_base *base);
void stub_server_free(struct stub_server *server);

int stub_server_port(const struct stub_server *server);

/* What the next requests get, until it is changed. The text is the whole answer with its head. */
void stub_server_script(struct stub_server *server, enum stub_action action, const char *answer,
                        size_t size);

/* Scripts an answer made of a status, more header lines (each ended by \r\n; "" for none) and a
 * body. */
void stub_server_answer(struct stub_server *server, int status, const char *headers,
                        const char *body);

/* How many requests and connections came since the start. */
size_t stub_server_requests(const struct stub_server *server);
size_t stub_server_connections(const struct stub_server *server);

/* The last request as it came; "" when there was none. */
const char *stub_server_last(const struct stub_server *server);

#endif
