#include "ingest/admit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "common/sha256.h"
#include "common/store.h"
#include "ingest/delivery.h"
#include "ingest/ingest_metrics.h"
#include "ingest/signature.h"
#include "ingest/webhook.h"

struct admit {
    const struct config *config;
    struct store *store;
    struct delivery *delivery;
    struct metrics_shard *metrics;
    struct signature_checker *checker;
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

struct admit *
admit_new(const struct config *config, struct store *store, struct delivery *delivery,
          struct metrics_shard *metrics)
{
    struct admit *admit = calloc(1, sizeof *admit);
    if (admit == NULL) {
        return NULL;
    }
    admit->config = config;
    admit->store = store;
    admit->delivery = delivery;
    admit->metrics = metrics;
    admit->checker = signature_checker_new(config->webhook_secret);
    admit->has_secrets = config->webhook_secret[0] != '\0';
    admit->parser = webhook_parser_new(config->account_field);
    if (admit->checker == NULL || admit->parser == NULL) {
        admit_free(admit);
        return NULL;
    }
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
}

/* Whether the webhook may be read; counts and logs it when not. */
static bool
is_trusted(struct admit *admit, const char *signature, const char *body, size_t size)
{
    if (admit->config->allow_unsigned && !admit->has_secrets) {
        return true;
    }
    enum signature_verdict verdict = signature_check(admit->checker, signature, body, size);
    switch (verdict) {
    case SIGNATURE_GOOD:
        return true;
    case SIGNATURE_ABSENT:
        if (admit->config->allow_unsigned) {
            return true;
        }
        metrics_add(admit->metrics, INGEST_UNSIGNED, 1);
        log_warn("webhook refused: no signature; set the same secret in Cal.com's webhook form and "
                 "in WEBHOOK_SECRET",
                 log_i("size", size));
        return false;
    case SIGNATURE_MALFORMED:
    case SIGNATURE_WRONG:
        break;
    }
    metrics_add(admit->metrics, INGEST_WRONG_SIGNATURE, 1);
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
    metrics_add(admit->metrics, INGEST_MALFORMED, 1);
    log_warn("webhook not understood", log_s("reason", admit->webhook.reason),
             log_s("trigger", admit->webhook.trigger), log_i("size", size), log_s("sha256", hash));
    store_note_malformed(admit->store, admit->webhook.reason, size, hash);
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
    metrics_add(pending.admit->metrics, ANSWERS[result].metric, 1);
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
admit_event(struct admit *admit, admit_done_cb *done, void *arg)
{
    const struct booking_event *event = &admit->webhook.event;
    metrics_add(admit->metrics, INGEST_EVENT_REQUESTED + (size_t)event->kind, 1);
    if (event->event_type[0] != '\0' &&
        !config_list_has(admit->config->event_types, event->event_type, true)) {
        metrics_add(admit->metrics, INGEST_OTHER_EVENT_TYPE, 1);
        done(200, arg);
        return;
    }
    note_left_out(&admit->webhook);
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL) {
        metrics_add(admit->metrics, INGEST_UNAVAILABLE, 1);
        done(503, arg);
        return;
    }
    pending->admit = admit;
    pending->done = done;
    pending->arg = arg;
    memcpy(pending->id, event->id, sizeof pending->id);
    log_debug("webhook", log_s("booking", event->id), log_s("trigger", admit->webhook.trigger));
    delivery_send(admit->delivery, event, admit_on_delivered, pending);
}

void
admit_webhook(struct admit *admit, const char *signature, const char *body, size_t size,
              admit_done_cb *done, void *arg)
{
    if (!is_trusted(admit, signature, body, size)) {
        done(401, arg);
        return;
    }
    switch (webhook_parse(admit->parser, body, size, &admit->webhook)) {
    case WEBHOOK_EVENT:
        admit_event(admit, done, arg);
        return;
    case WEBHOOK_PING:
        metrics_add(admit->metrics, INGEST_PING, 1);
        log_info("ping from Cal.com: the secret fits");
        done(200, arg);
        return;
    case WEBHOOK_IGNORED:
        metrics_add(admit->metrics, INGEST_IGNORED, 1);
        log_debug("webhook ignored", log_s("trigger", admit->webhook.trigger));
        done(200, arg);
        return;
    case WEBHOOK_MALFORMED:
        note_malformed(admit, body, size);
        done(400, arg);
        return;
    }
}
