/*
 * One thread of ingest: its own event base, listening socket, connections and Redis connection.
 * Nothing is shared with another thread on the request path, but for the spool where it is needed.
 */
#ifndef TOLLGATE_HTTP_SERVER_H
#define TOLLGATE_HTTP_SERVER_H

#include <stdbool.h>

struct config;
struct http_server;
struct metrics_shard;
struct secret_uses;
struct spool;

struct http_server_parts {
    const struct config *config;
    struct spool *spool;
    struct secret_uses *uses;
    struct metrics_shard *metrics; /* for this thread alone */
};

#define HTTP_MAX_BODY_BYTES   (1024 * 1024)
#define HTTP_MAX_HEADER_BYTES (64 * 1024)

/*
 * Starts the thread. listen_fd: a listening socket, from now on the server's. `drained` runs on the
 * server's thread, once, when http_server_drain has come to its end. The parts must outlive the
 * server. NULL with the reason logged.
 */
__attribute__((warn_unused_result)) struct http_server *
http_server_start(const struct http_server_parts *parts, int listen_fd, void (*drained)(void *arg),
                  void *arg);

/* From any thread: stop listening, answer what came in, then call `drained`. */
void http_server_drain(struct http_server *server);

/* From any thread: use these webhook secrets (copied) from now on. */
void http_server_set_secrets(struct http_server *server, const char *secrets);

/* From any thread: whether this thread's Redis connection is ready. */
bool http_server_is_ready(const struct http_server *server);

/* Ends the thread, whatever is in flight, and waits for it. */
void http_server_stop(struct http_server *server);

/* After http_server_stop and spool_stop, in this order: what the spool wrote meanwhile is known
 * then. Accepts NULL. */
void http_server_free(struct http_server *server);

#endif
