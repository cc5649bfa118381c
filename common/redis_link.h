/*
 * One pipelined connection to Redis on an event loop, and the only file that knows hiredis.
 *
 * Every command ends in exactly one call of its callback, never from inside redis_link_command,
 * with one of three results:
 *
 *   REDIS_DONE     Redis answered; the reply may be an error reply
 *   REDIS_UNSENT   the command certainly did not reach Redis
 *   REDIS_UNKNOWN  it was sent and no answer came: Redis may have run it or not
 *
 * This turns the sharp edges of hiredis 0.14 (no timeout of any kind, a refused connection reported
 * with err == 0, a command issued while disconnecting that never calls back, AUTH failures that do
 * not stop later commands) into one completion. When a command's time is over the connection is
 * closed, since what comes later on it could not be told apart; everything then pending is UNKNOWN.
 *
 * The link connects by itself, again and again, with backoff and jitter (50 ms to 5 s); a host's
 * name is looked up anew each time, off the loop. AUTH and SELECT are answered before it is ready.
 * A link with nothing to wait for sends PING now and then, so that within a second it knows of a
 * Redis that stopped answering. Single-threaded: one link belongs to one loop.
 */
#ifndef TOLLGATE_REDIS_LINK_H
#define TOLLGATE_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct redis_link;
struct redis_reply;

enum redis_result { REDIS_DONE, REDIS_UNSENT, REDIS_UNKNOWN };

enum redis_reply_type { REPLY_NIL, REPLY_INTEGER, REPLY_TEXT, REPLY_ARRAY, REPLY_ERROR };

/* reply is NULL unless the result is REDIS_DONE, and is valid only during the call. */
typedef void redis_done_cb(enum redis_result result, const struct redis_reply *reply, void *arg);

struct redis_link_handlers {
    /* Connected, authenticated, the database selected: once for each connection. */
    void (*ready)(void *arg);
    /* The connection is gone; once for each `ready`. May be NULL. */
    void (*down)(void *arg);
};

/*
 * Checks a REDIS_URL without connecting: redis://, rediss:// or unix://, percent-encoded user and
 * password. NULL when it is well formed, else what is wrong (a constant text). rediss:// is refused
 * by name when this hiredis has no TLS.
 */
const char *redis_url_problem(const char *text);

/*
 * Starts to connect; `url` has passed redis_url_problem. `name` (a constant) tells links apart in
 * the log. NULL when memory is out.
 */
__attribute__((warn_unused_result)) struct redis_link *
redis_link_new(struct event_base *base, const char *url, const char *name,
               const struct redis_link_handlers *handlers, void *arg);

/* Ends every pending command as UNKNOWN (UNSENT when it never left), then closes. Accepts NULL.
 * Must not be called from inside a callback of this link. */
void redis_link_free(struct redis_link *link);

/*
 * Sends a command; the arguments are copied. timeout_ms: time for the answer, 0 for none (blocking
 * commands). While the link is not ready the command ends as UNSENT.
 */
void redis_link_command(struct redis_link *link, int64_t timeout_ms, int argc, const char **argv,
                        const size_t *lengths, redis_done_cb *done, void *arg);

/* Closes the connection, says why in the log, and connects anew: what came of it is of no use. Each
 * time in a row waits longer. */
void redis_link_reset(struct redis_link *link, const char *why);

enum redis_reply_type redis_reply_type(const struct redis_reply *reply);

/* The text of a TEXT or ERROR reply, NUL-terminated; "" for any other. */
const char *redis_reply_text(const struct redis_reply *reply);

/* The number of an INTEGER reply or of a TEXT that is one; 0 for any other. */
int64_t redis_reply_integer(const struct redis_reply *reply);

/* Elements of an ARRAY; 0 for any other. */
size_t redis_reply_count(const struct redis_reply *reply);

/* Element `index` < count. Belongs to the reply. */
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index);

#endif
