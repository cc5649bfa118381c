/*
 * Telling the subscribers: builds the body for an occasion, signs it, sends it to every URL and
 * keeps a log. Like Cal.com without its task queue: whoever causes a webhook waits for its answer,
 * and nothing is sent twice because it failed.
 */
#ifndef FAKE_CALCOM_WEBHOOKS_H
#define FAKE_CALCOM_WEBHOOKS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "payload.h"

#define WEBHOOK_LOG_CAPACITY 200000

struct event_base;
struct webhooks;

struct webhooks *webhooks_new(struct event_base *base);
void webhooks_free(struct webhooks *webhooks); /* nothing may be in flight: webhooks_mute first */

/*
 * Every webhook goes to each of `urls` (copied); false: one of them is not an http:// URL, and
 * nothing changed.
 */
bool webhooks_set_urls(struct webhooks *webhooks, const char *const *urls, size_t count)
    __attribute__((warn_unused_result));

/* "" signs nothing: the header then says `no-secret-provided`. */
void webhooks_set_secret(struct webhooks *webhooks, const char *secret);

enum webhook_fate {
    WEBHOOK_SEND,
    WEBHOOK_SKIP, /* nobody subscribed: no delivery, no log */
    WEBHOOK_LOSE, /* Cal.com tried and failed: logged with status 0, never seen by the receiver */
};

struct webhook_plan {
    enum webhook_fate fate;
    unsigned copies; /* per URL; the same bytes each time */
};

/*
 * `done` runs exactly once, when every copy is answered or given up; perhaps before this returns.
 * `deliveries` is an array of {"trigger","status","ms"}, valid during the call.
 */
void webhooks_send(struct webhooks *webhooks, const struct occasion *occasion,
                   struct webhook_plan plan, void (*done)(json_object *deliveries, void *arg),
                   void *arg);

/* See target_mute. */
void webhooks_mute(struct webhooks *webhooks, bool mute);

/*
 * The log, oldest first: [{"trigger","booking","seat","url","status","ms","sent_ms"}]. The
 * caller's to put.
 */
json_object *webhooks_log(const struct webhooks *webhooks);
void webhooks_clear_log(struct webhooks *webhooks);

#endif
