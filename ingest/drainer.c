#include "ingest/drainer.h"

#include <event2/event.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/backoff.h"
#include "common/booking_pack.h"
#include "common/config.h"
#include "common/log.h"
#include "common/store.h"
#include "ingest/spool.h"

#define SEND_MS       2000 /* for a whole batch */
#define PAUSE_BASE_MS 200
#define PAUSE_CAP_MS  1000

enum drainer_state { READING, AWAY, SENDING, CONFIRMING, PAUSED };

struct drainer {
    const struct config *config;
    struct spool *spool;
    struct store *store;
    struct event *pause_timer;
    void (*checked)(bool safe, void *arg);
    void *arg;
    enum drainer_state state;
    struct spool_batch *batch; /* NULL while READING */
    size_t next;               /* of the batch: the first that Redis does not have */
    size_t recorded;           /* CONFIRMING: so many from there on are on their way to replicas */
    unsigned tries;            /* that `next` was refused */
    unsigned failures;         /* in a row */
    bool freeing;
};

static void drainer_go_on(struct drainer *drainer);

static void
drainer_pause(struct drainer *drainer)
{
    int64_t delay_ms = PAUSE_BASE_MS + backoff_delay_ms(drainer->failures, PAUSE_BASE_MS,
                                                        PAUSE_CAP_MS, arc4random());
    const struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
    drainer->failures++;
    drainer->state = PAUSED;
    (void)event_add(drainer->pause_timer, &delay);
}

/* Redis as a whole does not take events. */
static void
drainer_fail(struct drainer *drainer, enum store_result result)
{
    spool_set_closing(drainer->spool, false);
    if (result != STORE_ERROR) {
        drainer->failures = 0; /* the connection has a backoff of its own */
    }
    if (!drainer->freeing) {
        drainer_pause(drainer);
    }
}

/* Redis has `count` more of the batch. */
static void
advance(struct drainer *drainer, size_t count)
{
    spool_drained(drainer->spool, drainer->batch, drainer->next, count);
    drainer->next += count;
    if (count > 0) {
        drainer->tries = drainer->failures = 0;
    }
}

static void
put_aside(struct drainer *drainer, const char *error)
{
    const struct spool_event *event = &drainer->batch->events[drainer->next];
    const char *texts[BOOKING_PACKED_TEXTS] = { "" };
    (void)booking_unpack(event->bytes, event->size, texts);
    log_error("redis refuses an event for good: it is put aside in the spool and tried again at "
              "the next start",
              log_s("booking", texts[0]), log_i("seq", event->seq), log_s("error", error));
    spool_refuse(drainer->spool, drainer->batch, drainer->next, error);
    drainer->next++;
    drainer->tries = 0;
}

/* When little is left, who comes next waits for the end instead of going behind it. */
static void
drainer_note_progress(struct drainer *drainer)
{
    int64_t left = spool_count(drainer->spool);
    spool_set_closing(drainer->spool, left > 0 && left <= SPOOL_BATCH);
    if (left == 0) {
        log_info("the spool is empty: webhooks go to redis directly");
    }
    drainer_go_on(drainer);
}

static void
drainer_on_confirmed(enum store_result result, void *arg)
{
    struct drainer *drainer = arg;
    if (result != STORE_DONE || drainer->freeing) {
        drainer_fail(drainer, result);
        return;
    }
    advance(drainer, drainer->recorded);
    drainer_note_progress(drainer);
}

static void
drainer_on_recorded(enum store_result result, size_t recorded, const char *error, void *arg)
{
    struct drainer *drainer = arg;
    if (result != STORE_DONE || drainer->freeing) {
        drainer_fail(drainer, result);
        return;
    }
    if (recorded > 0 && drainer->config->wait_replicas > 0) {
        /* The one behind them, if it was refused, is sent again and found out about then. */
        drainer->state = CONFIRMING;
        drainer->recorded = recorded;
        store_confirm(drainer->store, SEND_MS, drainer_on_confirmed, drainer);
        return;
    }
    advance(drainer, recorded);
    if (*error != '\0') {
        if (++drainer->tries < DRAINER_TRIES) {
            drainer_pause(drainer);
            return;
        }
        put_aside(drainer, error);
    }
    drainer_note_progress(drainer);
}

static bool
is_readable(const struct spool_event *event)
{
    const char *texts[BOOKING_PACKED_TEXTS];
    return booking_unpack(event->bytes, event->size, texts) > 0;
}

/* What there is, up to one that cannot be read. */
static void
drainer_send(struct drainer *drainer)
{
    const struct spool_batch *batch = drainer->batch;
    struct store_late_event events[SPOOL_BATCH];
    size_t count = 0;
    for (size_t i = drainer->next; i < batch->count && is_readable(&batch->events[i]); i++) {
        const struct spool_event *event = &batch->events[i];
        events[count++] = (struct store_late_event){ .received_wall_ms = event->received_wall_ms,
                                                     .bytes = event->bytes,
                                                     .size = event->size };
    }
    drainer->state = SENDING;
    store_record_late(drainer->store, events, count, SEND_MS, drainer_on_recorded, drainer);
}

static void
drainer_go_on(struct drainer *drainer)
{
    struct spool_batch *batch = drainer->batch;
    while (batch != NULL && drainer->next < batch->count &&
           !is_readable(&batch->events[drainer->next])) {
        put_aside(drainer, "it cannot be read");
    }
    if (batch != NULL && drainer->next == batch->count) {
        spool_batch_free(batch);
        drainer->batch = NULL;
    }
    if (drainer->batch == NULL) {
        drainer->state = READING;
        drainer->next = 0;
        spool_read(drainer->spool);
    } else if (!store_is_ready(drainer->store)) {
        drainer->state = AWAY;
        spool_set_closing(drainer->spool, false);
    } else {
        drainer_send(drainer);
    }
}

static void
drainer_on_batch(struct spool_batch *batch, void *arg)
{
    struct drainer *drainer = arg;
    drainer->batch = batch;
    drainer_go_on(drainer);
}

static void
drainer_on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    drainer_go_on(arg);
}

static void
drainer_on_ready(void *arg)
{
    struct drainer *drainer = arg;
    if (drainer->state == AWAY) {
        drainer_go_on(drainer);
    }
}

static void
drainer_on_checked(bool safe, void *arg)
{
    struct drainer *drainer = arg;
    drainer->checked(safe, drainer->arg);
}

struct drainer *
drainer_new(struct event_base *base, const struct config *config, struct spool *spool,
            void (*checked)(bool safe, void *arg), void *arg)
{
    static const struct store_handlers STORE_HANDLERS = { .ready = drainer_on_ready,
                                                          .checked = drainer_on_checked };
    struct drainer *drainer = calloc(1, sizeof *drainer);
    if (drainer == NULL) {
        return NULL;
    }
    drainer->config = config;
    drainer->spool = spool;
    drainer->checked = checked;
    drainer->arg = arg;
    drainer->pause_timer = evtimer_new(base, drainer_on_pause_over, drainer);
    drainer->store = store_new(base, config, &STORE_HANDLERS, drainer);
    if (drainer->pause_timer == NULL || drainer->store == NULL ||
        !spool_set_reader(spool, base, drainer_on_batch, drainer)) {
        drainer_free(drainer);
        return NULL;
    }
    drainer_go_on(drainer);
    return drainer;
}

void
drainer_free(struct drainer *drainer)
{
    if (drainer == NULL) {
        return;
    }
    drainer->freeing = true;
    store_free(drainer->store);
    spool_unset_reader(drainer->spool);
    spool_batch_free(drainer->batch);
    if (drainer->pause_timer != NULL) {
        event_free(drainer->pause_timer);
    }
    free(drainer);
}

struct store *
drainer_store(struct drainer *drainer)
{
    return drainer->store;
}

bool
drainer_is_ready(const struct drainer *drainer)
{
    return store_is_ready(drainer->store);
}
