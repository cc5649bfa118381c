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
#include <stdint.h>

#include "payload.h"

#define WEBHOOK_LOG_CAPACITY 200000

struct delays;
struct event_base;
struct webhooks;

struct webhooks *webhooks_new(struct event_base *base, struct delays *delays);
void webhooks_free(struct webhooks *webhooks); /* nothing may be in flight: webhooks_mute first */

/*
 * Every webhook goes to each of `urls` (copied); false: one of them is not an http:// URL, and
 * nothing changed.
 */
bool webhooks_set_urls(struct webhooks *webhooks, const char *const *urls, size_t count)
    __attribute__((warn_unused_result));

/* "" signs nothing: the header then says `no-secret-provided`. */
void webhooks_set_secret(struct webhooks *webhooks, const char *secret);

/* How it is on the way to the receivers. Rates are per 1000 webhooks; the choice is drawn from
 * `seed`. */
struct webhook_way {
    bool spread; /* each webhook goes to one of the URLs, as behind a load balancer; else to all */
    int lost;    /* as WEBHOOK_LOSE */
    int copied;  /* twice */
    int delayed; /* up to `delay_ms` later; nobody waits for it, and others overtake it */
    int delay_ms;
    uint64_t seed;
};

/* Until then nothing of this happens. */
void webhooks_set_way(struct webhooks *webhooks, const struct webhook_way *way);

enum webhook_fate {
    WEBHOOK_SEND,
    WEBHOOK_SKIP, /* nobody subscribed: no delivery, no log */
    WEBHOOK_LOSE, /* Cal.com tried and failed: logged with status 0, never seen by the receiver */
};

struct webhook_plan {
    enum webhook_fate fate;
    unsigned copies; /* per URL; the same bytes each time */
    int to;          /* spread: the number of the URL, from 1; 0: any */
};

/*
 * `done` runs exactly once, when every copy is answered or given up; perhaps before this returns.
 * `deliveries` is an array of {"trigger","status","ms"}, valid during the call; without those that
 * are delayed.
 */
void webhooks_send(struct webhooks *webhooks, const struct occasion *occasion,
                   struct webhook_plan plan, void (*done)(json_object *deliveries, void *arg),
                   void *arg);

/* See target_mute. */
void webhooks_mute(struct webhooks *webhooks, bool mute);

/*
 * The log, in the order of the answers: [{"n","trigger","booking","seat","url","status","ms",
 * "sent_ms"}] of deliveries whose number is greater than `since`. The caller's to put.
 */
json_object *webhooks_log(const struct webhooks *webhooks, uint64_t since);
void webhooks_clear_log(struct webhooks *webhooks);

#endif
