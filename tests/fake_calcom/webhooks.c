#include "webhooks.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "delay.h"
#include "json_util.h"
#include "ring.h"
#include "target.h"

#define SIGNATURE_SIZE (2 * EVP_MAX_MD_SIZE + 1)

struct webhooks {
    struct event_base *base;
    struct delays *delays;
    struct webhook_way way;
    char *secret;
    /*
     * Every URL that was ever used, so that a change of URLs need not wait for what is in flight;
     * those in use now are `subscribed`.
     */
    struct target **targets;
    size_t target_count;
    struct target **subscribed;
    size_t subscribed_count;
    struct ring *log; /* of struct delivery_record */
};

struct delivery_record {
    enum trigger trigger;
    int64_t booking;     /* 0: none */
    char seat[UID_SIZE]; /* "": none */
    const struct target *target;
    struct post_result result;
};

/* All copies of one webhook; frees itself with the last of them. */
struct batch {
    struct webhooks *webhooks;
    enum trigger trigger;
    int64_t booking;
    char seat[UID_SIZE];
    unsigned open; /* deliveries without an answer, and one for webhooks_send itself */
    json_object *deliveries;
    void (*done)(json_object *deliveries, void *arg);
    void *arg;
};

struct delivery {
    struct batch *batch;
    const struct target *target;
};

struct webhooks *
webhooks_new(struct event_base *base, struct delays *delays)
{
    struct webhooks *webhooks = xcalloc(1, sizeof(*webhooks));

    webhooks->base = base;
    webhooks->delays = delays;
    webhooks->secret = xstrdup("");
    webhooks->log = ring_new(WEBHOOK_LOG_CAPACITY, free);
    return webhooks;
}

void
webhooks_free(struct webhooks *webhooks)
{
    if (webhooks == NULL)
        return;
    for (size_t i = 0; i < webhooks->target_count; i++)
        target_free(webhooks->targets[i]);
    free(webhooks->targets);
    free(webhooks->subscribed);
    free(webhooks->secret);
    ring_free(webhooks->log);
    free(webhooks);
}

/* NULL if `url` is no good. */
static struct target *
target_for(struct webhooks *webhooks, const char *url)
{
    for (size_t i = 0; i < webhooks->target_count; i++) {
        if (strcmp(target_url(webhooks->targets[i]), url) == 0)
            return webhooks->targets[i];
    }

    struct target *target = target_new(webhooks->base, url);
    if (target == NULL)
        return NULL;
    webhooks->targets =
        xreallocarray(webhooks->targets, webhooks->target_count + 1, sizeof(target));
    webhooks->targets[webhooks->target_count++] = target;
    return target;
}

bool
webhooks_set_urls(struct webhooks *webhooks, const char *const *urls, size_t count)
{
    struct target **subscribed = xcalloc(count + 1, sizeof(struct target *));

    for (size_t i = 0; i < count; i++) {
        subscribed[i] = target_for(webhooks, urls[i]);
        if (subscribed[i] == NULL) {
            free(subscribed);
            return false;
        }
    }
    free(webhooks->subscribed);
    webhooks->subscribed = subscribed;
    webhooks->subscribed_count = count;
    return true;
}

void
webhooks_set_secret(struct webhooks *webhooks, const char *secret)
{
    char *copy = xstrdup(secret);

    free(webhooks->secret);
    webhooks->secret = copy;
}

void
webhooks_set_way(struct webhooks *webhooks, const struct webhook_way *way)
{
    webhooks->way = *way;
}

void
webhooks_mute(struct webhooks *webhooks, bool mute)
{
    for (size_t i = 0; i < webhooks->target_count; i++)
        target_mute(webhooks->targets[i], mute);
}

static void
sign(const char *secret, const char *body, size_t length, char out[SIGNATURE_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_length = 0;

    if (*secret == '\0') {
        (void)snprintf(out, SIGNATURE_SIZE, "no-secret-provided");
        return;
    }
    const unsigned char *bytes = (const unsigned char *)body;
    if (HMAC(EVP_sha256(), secret, (int)strlen(secret), bytes, length, digest, &digest_length) ==
        NULL)
        alloc_failed();
    for (unsigned int i = 0; i < digest_length; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void
batch_release(struct batch *batch)
{
    if (--batch->open > 0)
        return;
    batch->done(batch->deliveries, batch->arg);
    json_object_put(batch->deliveries);
    free(batch);
}

static void
batch_record(struct batch *batch, const struct target *target, const struct post_result *result)
{
    struct delivery_record *record = xcalloc(1, sizeof(*record));
    json_object *delivery = object_new();

    record->trigger = batch->trigger;
    record->booking = batch->booking;
    memcpy(record->seat, batch->seat, UID_SIZE);
    record->target = target;
    record->result = *result;
    ring_push(batch->webhooks->log, record);

    put_text(delivery, "trigger", trigger_name(batch->trigger));
    put_int(delivery, "status", result->status);
    put_ms(delivery, "ms", result->ms);
    push(batch->deliveries, delivery);
}

static void
delivery_on_answer(const struct post_result *result, void *arg)
{
    struct delivery *delivery = arg;
    struct batch *batch = delivery->batch;

    batch_record(batch, delivery->target, result);
    free(delivery);
    batch_release(batch);
}

static void
batch_lose(struct batch *batch, const struct target *target)
{
    struct post_result result = { .sent_ms = clock_wall_ms() };

    batch_record(batch, target, &result);
}

static void
batch_post(struct batch *batch, struct target *target, json_object *body)
{
    struct delivery *delivery = xcalloc(1, sizeof(*delivery));
    char signature[SIGNATURE_SIZE];
    size_t length;
    const char *bytes = json_bytes(body, &length);

    delivery->batch = batch;
    delivery->target = target;
    batch->open++;
    sign(batch->webhooks->secret, bytes, length, signature);
    target_post(target, bytes, length, signature, delivery_on_answer, delivery);
}

/* splitmix64: small, and the same everywhere. */
static uint64_t
way_draw(struct webhook_way *way)
{
    uint64_t z = way->seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool
way_happens(struct webhook_way *way, int rate)
{
    return rate > 0 && way_draw(way) % 1000 < (uint64_t)rate;
}

/* One copy, to all who subscribed or to the one whose turn it is. */
static void
batch_copy(struct batch *batch, json_object *body, struct webhook_plan plan)
{
    struct webhooks *webhooks = batch->webhooks;
    size_t first = 0, end = webhooks->subscribed_count;

    if (webhooks->way.spread && end > 0) {
        first = plan.to > 0 ? (size_t)plan.to - 1 : way_draw(&webhooks->way);
        first %= webhooks->subscribed_count;
        end = first + 1;
    }
    for (size_t i = first; i < end; i++) {
        if (plan.fate == WEBHOOK_LOSE)
            batch_lose(batch, webhooks->subscribed[i]);
        else
            batch_post(batch, webhooks->subscribed[i], body);
    }
}

/* A batch that waits; when its time comes it goes out as it was written. */
struct late {
    struct batch *batch;
    json_object *body;
    struct webhook_plan plan;
};

static void
late_start(void *arg)
{
    struct late *late = arg;

    for (unsigned copy = 0; copy < late->plan.copies; copy++)
        batch_copy(late->batch, late->body, late->plan);
    batch_release(late->batch);
    json_object_put(late->body);
    free(late);
}

static void
batch_start(struct batch *batch, const struct occasion *occasion, struct webhook_plan plan, int ms)
{
    struct late *late = xcalloc(1, sizeof(*late));

    *late = (struct late){ batch, payload_build(occasion), plan };
    delay_run(batch->webhooks->delays, ms, late_start, late);
}

static struct batch *
batch_new(struct webhooks *webhooks, const struct occasion *occasion,
          void (*done)(json_object *deliveries, void *arg), void *arg)
{
    struct batch *batch = xcalloc(1, sizeof(*batch));

    batch->webhooks = webhooks;
    batch->done = done;
    batch->arg = arg;
    batch->trigger = occasion->trigger;
    batch->booking = occasion->booking == NULL ? 0 : occasion->booking->id;
    if (occasion->seat != NULL)
        memcpy(batch->seat, occasion->seat->uid, UID_SIZE);
    batch->open = 1;
    batch->deliveries = array_new();
    return batch;
}

static void
nobody_waits(json_object *deliveries, void *arg)
{
    (void)deliveries;
    (void)arg;
}

void
webhooks_send(struct webhooks *webhooks, const struct occasion *occasion, struct webhook_plan plan,
              void (*done)(json_object *deliveries, void *arg), void *arg)
{
    struct batch *awaited = batch_new(webhooks, occasion, done, arg), *batch = awaited;
    struct webhook_way *way = &webhooks->way;
    int ms = 0;

    if (plan.fate == WEBHOOK_SEND && way_happens(way, way->lost))
        plan.fate = WEBHOOK_LOSE;
    if (plan.fate == WEBHOOK_SEND && way_happens(way, way->copied))
        plan.copies *= 2;
    if (plan.fate == WEBHOOK_SEND && way->delay_ms > 0 && way_happens(way, way->delayed)) {
        batch = batch_new(webhooks, occasion, nobody_waits, NULL);
        ms = 1 + (int)(way_draw(way) % (uint64_t)way->delay_ms);
    }
    if (plan.fate != WEBHOOK_SKIP)
        batch_start(batch, occasion, plan, ms);
    /* Last: whoever is told owns the occasion. */
    if (plan.fate == WEBHOOK_SKIP || batch != awaited)
        batch_release(awaited);
}

static json_object *
record_json(const struct delivery_record *record, uint64_t number)
{
    json_object *entry = object_new();

    put_int(entry, "n", (int64_t)number);
    put_text(entry, "trigger", trigger_name(record->trigger));
    if (record->booking == 0)
        put_null(entry, "booking");
    else
        put_int(entry, "booking", record->booking);
    put_text(entry, "seat", record->seat[0] == '\0' ? NULL : record->seat);
    put_text(entry, "url", target_url(record->target));
    put_int(entry, "status", record->result.status);
    put_ms(entry, "ms", record->result.ms);
    put_int(entry, "sent_ms", record->result.sent_ms);
    return entry;
}

json_object *
webhooks_log(const struct webhooks *webhooks, uint64_t since)
{
    uint64_t n = ring_first(webhooks->log);
    json_object *log = array_new();

    for (n = since >= n ? since + 1 : n; n < ring_end(webhooks->log); n++)
        push(log, record_json(ring_get(webhooks->log, n), n));
    return log;
}

void
webhooks_clear_log(struct webhooks *webhooks)
{
    ring_clear(webhooks->log);
}
