/*
 * Host names to addresses, off the loop: getaddrinfo may take seconds, so it runs on a thread of
 * its own. Nothing is remembered: each look-up asks anew.
 */
#ifndef TOLLGATE_RESOLVER_H
#define TOLLGATE_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>

#define RESOLVER_ADDRESSES    8
#define RESOLVER_ADDRESS_SIZE 64 /* a numeric IPv6 address with its zone, and NUL */

struct event_base;
struct resolver;

/* IPv4 first, since a Redis that listens on one of both listens there. */
struct resolver_answer {
    char addresses[RESOLVER_ADDRESSES][RESOLVER_ADDRESS_SIZE];
    size_t count;      /* 0: none */
    const char *error; /* why there is none, a constant */
};

/* The answer is valid during the call. */
typedef void resolver_done_cb(const struct resolver_answer *answer, void *arg);

/* NULL when memory is out. */
__attribute__((warn_unused_result)) struct resolver *
resolver_new(struct event_base *base, resolver_done_cb *done, void *arg);

/* A look-up under way is left to end by itself, without `done`. Accepts NULL. */
void resolver_free(struct resolver *resolver);

/* `done` runs once, on the loop, never from inside the call. One look-up at a time: the caller
 * waits for `done`. */
void resolver_start(struct resolver *resolver, const char *host);

/* Whether the text is an IP address, which needs no look-up. */
bool resolver_is_address(const char *host);

#endif
