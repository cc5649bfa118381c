/*
 * The one place that decides what becomes of a webhook, in this order, because the order is the
 * mechanism: signature over the raw bytes, parse, record and queue in Redis (or keep on disk until
 * Redis takes it, see delivery.h), and only then the answer. One admit belongs to one thread.
 *
 *   202  recorded or on disk, and a worker will look at the booking
 *   200  understood, nothing to do (ping, echo, duplicate, ignored trigger or event type)
 *   400  signed, but not JSON or without what the event needs
 *   401  signature missing, malformed or wrong
 *   503  neither Redis nor the disk took it; Cal.com's retries (where it has any) may come again
 */
#ifndef TOLLGATE_ADMIT_H
#define TOLLGATE_ADMIT_H

#include <stddef.h>

struct admit;
struct config;
struct delivery;
struct metrics_shard;
struct secret_uses;
struct store;

/* What counts of a webhook's headers; NULL: it has none, or several of the name. */
struct admit_headers {
    const char *signature;   /* X-Cal-Signature-256 */
    const char *traceparent; /* see common/traceparent.h; one that is not valid counts as none */
};

/* status: an HTTP status of the table above. */
typedef void admit_done_cb(int status, void *arg);

struct admit_parts {
    const struct config *config;
    struct store *store;
    struct delivery *delivery;
    struct secret_uses *uses;
    struct metrics_shard *metrics;
};

/* The parts must outlive the admit. NULL when memory is out. */
__attribute__((warn_unused_result)) struct admit *admit_new(const struct admit_parts *parts);
void admit_free(struct admit *admit);

/* Uses other secrets from now on; "" is none. The old ones stay when memory is out. */
void admit_set_secrets(struct admit *admit, const char *secrets);

/*
 * Decides on one webhook. Neither headers nor body are needed after the call. `done` runs exactly
 * once, possibly before admit_webhook returns.
 */
void admit_webhook(struct admit *admit, const struct admit_headers *headers, const char *body,
                   size_t size, admit_done_cb *done, void *arg);

#endif
