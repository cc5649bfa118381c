/*
 * The limits on connections that evhttp 2.1.12 has not: how many may be open (past it the newest is
 * refused and the rest go on), how long a request may take to come in (evhttp's own timeout starts
 * again with each byte), and how long an idle one may stay.
 *
 * One table per thread. A connection is
 *
 *   IDLE --first byte--> READING --whole request--> HELD --answered--> IDLE
 *
 * IDLE and READING have a deadline, looked at once a second; HELD waits for us. With a deadline
 * over the connection is closed.
 */
#ifndef TOLLGATE_CONNECTIONS_H
#define TOLLGATE_CONNECTIONS_H

#include <stdbool.h>

struct connections;
struct event_base;
struct evhttp;
struct evhttp_request;
struct metrics_shard;

#define CONNECTIONS_MAX        10000 /* of the process */
#define CONNECTIONS_REQUEST_MS 10000 /* from a request's first byte to its last */
#define CONNECTIONS_IDLE_MS    60000 /* between requests, and before the first */
#define CONNECTIONS_LAST_MS    200   /* the same while draining */

/* Watches every connection of `http` from now on. NULL when memory is out. */
__attribute__((warn_unused_result)) struct connections *
connections_new(struct event_base *base, struct evhttp *http, struct metrics_shard *metrics);

/* After evhttp_free only. Accepts NULL. */
void connections_free(struct connections *table);

/* The request is whole and in our hands. False when its connection is already going. */
bool connections_hold(struct connections *table, struct evhttp_request *request);

/* The request was answered; its connection waits for the next one, or closes when draining. */
void connections_release(struct connections *table, struct evhttp_request *request);

/*
 * Nobody new comes. Lets every request finish whose first byte comes within CONNECTIONS_LAST_MS
 * (who was just accepted has sent it; a proxy may be about to), closes the idle ones then, and
 * calls `empty` once when none is left (possibly before it returns).
 */
void connections_drain(struct connections *table, void (*empty)(void *arg), void *arg);

bool connections_are_draining(const struct connections *table);

#endif
