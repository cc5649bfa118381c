#include "ingest/admit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "common/sha256.h"
#include "common/store.h"
#include "ingest/delivery.h"
#include "ingest/ingest_metrics.h"
#include "ingest/secret_uses.h"
#include "ingest/signature.h"
#include "ingest/webhook.h"

/* INGEST_SIGNED and all up to INGEST_SIGNED_MORE. */
#define SECRETS_NOTED 9
#define NOTE_EVERY_MS 1000

struct admit {
    struct admit_parts parts;
    struct signature_checker *checker;
    int64_t noted_mono_ms[SECRETS_NOTED]; /* when the use of each secret was noted last */
    bool has_secrets; /* else, where unsigned ones are allowed, a signature says nothing */
    struct webhook_parser *parser;
    struct webhook webhook; /* of the call at work; too large for the stack of a request */
};

/* One webhook on its way to where it is safe. */
struct pending {
    struct admit *admit;
    admit_done_cb *done;
    void *arg;
    char id[BOOKING_ID_SIZE];
};

/* Those that there are have a number, also one that nobody uses. */
static void
show_secrets(struct admit *admit)
{
    size_t count = signature_secret_count(admit->checker);
    for (size_t i = 0; i < SECRETS_NOTED; i++) {
        metrics_show(admit->parts.metrics, INGEST_SIGNED + i, i < count);
        admit->noted_mono_ms[i] = 0;
    }
}

struct admit *
admit_new(const struct admit_parts *parts)
{
    struct admit *admit = calloc(1, sizeof *admit);
    if (admit == NULL) {
        return NULL;
    }
    admit->parts = *parts;
    admit->checker = signature_checker_new(parts->config->webhook_secret);
    admit->has_secrets = parts->config->webhook_secret[0] != '\0';
    admit->parser = webhook_parser_new(parts->config->account_field);
    if (admit->checker == NULL || admit->parser == NULL) {
        admit_free(admit);
        return NULL;
    }
    show_secrets(admit);
    return admit;
}

void
admit_free(struct admit *admit)
{
    if (admit == NULL) {
        return;
    }
    signature_checker_free(admit->checker);
    webhook_parser_free(admit->parser);
    free(admit);
}

void
admit_set_secrets(struct admit *admit, const char *secrets)
{
    struct signature_checker *checker = signature_checker_new(secrets);
    if (checker == NULL) {
        log_error("the new WEBHOOK_SECRET cannot be used; the old one stays");
        return;
    }
    signature_checker_free(admit->checker);
    admit->checker = checker;
    admit->has_secrets = secrets[0] != '\0';
    show_secrets(admit);
}

/* Counts each webhook, but tells of the time not more often than it takes to see it. */
static void
note_secret(struct admit *admit, size_t which)
{
    size_t series = which < SECRETS_NOTED ? which : SECRETS_NOTED - 1;
    metrics_add(admit->parts.metrics, INGEST_SIGNED + series, 1);
    int64_t now_mono_ms = clock_mono_ms();
    if (which == series && now_mono_ms >= admit->noted_mono_ms[which] + NOTE_EVERY_MS) {
        admit->noted_mono_ms[which] = now_mono_ms;
        secret_uses_note(admit->parts.uses, signature_secret_name(admit->checker, which));
    }
}

/* Whether the webhook may be read; counts and logs it when not. */
static bool
is_trusted(struct admit *admit, const char *signature, const char *body, size_t size)
{
    if (admit->parts.config->allow_unsigned && !admit->has_secrets) {
        return true;
    }
    size_t which = 0;
    enum signature_verdict verdict = signature_check(admit->checker, signature, body, size, &which);
    switch (verdict) {
    case SIGNATURE_GOOD:
        note_secret(admit, which);
        return true;
    case SIGNATURE_ABSENT:
        if (admit->parts.config->allow_unsigned) {
            return true;
        }
        metrics_add(admit->parts.metrics, INGEST_UNSIGNED, 1);
        log_warn("webhook refused: no signature; set the same secret in Cal.com's webhook form and "
                 "in WEBHOOK_SECRET",
                 log_i("size", size));
        return false;
    case SIGNATURE_MALFORMED:
    case SIGNATURE_WRONG:
        break;
    }
    metrics_add(admit->parts.metrics, INGEST_WRONG_SIGNATURE, 1);
    log_warn(verdict == SIGNATURE_MALFORMED
                 ? "webhook refused: X-Cal-Signature-256 is not 64 lower-case hex digits"
                 : "webhook refused: the signature fits none of WEBHOOK_SECRET",
             log_i("size", size));
    return false;
}

/* Names the body by its hash: nothing of it is kept, it could hold a oneTimePassword. */
static void
note_malformed(struct admit *admit, const char *body, size_t size)
{
    char hash[SHA256_HEX_SIZE];
    sha256_hex(body, size, hash);
    metrics_add(admit->parts.metrics, INGEST_MALFORMED, 1);
    log_warn("webhook not understood", log_s("booking", admit->webhook.event.id),
             log_s("reason", admit->webhook.reason), log_s("trigger", admit->webhook.trigger),
             log_i("size", size), log_s("sha256", hash));
    store_note_malformed(admit->parts.store, admit->webhook.reason, size, hash);
}

static void
admit_on_delivered(enum delivered result, void *arg)
{
    static const struct {
        enum ingest_metric metric;
        int status;
    } ANSWERS[] = {
        [DELIVERED_QUEUED] = { INGEST_QUEUED, 202 },
        [DELIVERED_NO_WORK] = { INGEST_NO_WORK, 200 },
        [DELIVERED_SPOOLED] = { INGEST_SPOOLED, 202 },
        [DELIVERED_NOT] = { INGEST_UNAVAILABLE, 503 },
    };
    struct pending pending = *(struct pending *)arg;
    free(arg);
    metrics_add(pending.admit->parts.metrics, ANSWERS[result].metric, 1);
    if (result == DELIVERED_NOT) {
        log_warn("webhook not taken: neither redis nor the spool has it",
                 log_s("booking", pending.id));
    }
    pending.done(ANSWERS[result].status, pending.arg);
}

/* A booker can make these as long as he likes; the booking is decided without. */
static void
note_left_out(const struct webhook *webhook)
{
    const char *id = webhook->event.id;
    if (webhook->answers_too_large) {
        log_warn("the answers are larger than 8 KiB and left out", log_s("booking", id));
    }
    if (webhook->metadata_too_large) {
        log_warn("the metadata is larger than 8 KiB and left out", log_s("booking", id));
    }
    if (webhook->too_many_attendees) {
        log_warn("a booking with more than 100 attendees ended: the rest of them is left out",
                 log_s("booking", id));
    }
}

static void
take_trace_over(struct booking_event *event, const char *header)
{
    struct traceparent parent;
    if (traceparent_parse(header, &parent)) {
        traceparent_write(&parent, event->traceparent);
    }
}

static void
admit_event(struct admit *admit, admit_done_cb *done, void *arg)
{
    const struct booking_event *event = &admit->webhook.event;
    metrics_add(admit->parts.metrics, INGEST_EVENT_REQUESTED + (size_t)event->kind, 1);
    if (event->event_type[0] != '\0' &&
        !config_list_has(admit->parts.config->event_types, event->event_type, true)) {
        metrics_add(admit->parts.metrics, INGEST_OTHER_EVENT_TYPE, 1);
        done(200, arg);
        return;
    }
    note_left_out(&admit->webhook);
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL) {
        metrics_add(admit->parts.metrics, INGEST_UNAVAILABLE, 1);
        done(503, arg);
        return;
    }
    pending->admit = admit;
    pending->done = done;
    pending->arg = arg;
    memcpy(pending->id, event->id, sizeof pending->id);
    log_debug("webhook", log_s("booking", event->id), log_s("trigger", admit->webhook.trigger));
    delivery_send(admit->parts.delivery, event, admit_on_delivered, pending);
}

void
admit_webhook(struct admit *admit, const struct admit_headers *headers, const char *body,
              size_t size, admit_done_cb *done, void *arg)
{
    if (!is_trusted(admit, headers->signature, body, size)) {
        done(401, arg);
        return;
    }
    switch (webhook_parse(admit->parser, body, size, &admit->webhook)) {
    case WEBHOOK_EVENT:
        take_trace_over(&admit->webhook.event, headers->traceparent);
        admit_event(admit, done, arg);
        return;
    case WEBHOOK_PING:
        metrics_add(admit->parts.metrics, INGEST_PING, 1);
        log_info("ping from Cal.com: the secret fits");
        done(200, arg);
        return;
    case WEBHOOK_IGNORED:
        metrics_add(admit->parts.metrics, INGEST_IGNORED, 1);
        log_debug("webhook ignored", log_s("booking", admit->webhook.event.id),
                  log_s("trigger", admit->webhook.trigger));
        done(200, arg);
        return;
    case WEBHOOK_MALFORMED:
        note_malformed(admit, body, size);
        done(400, arg);
        return;
    }
}
