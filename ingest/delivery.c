#include "ingest/delivery.h"

#include <assert.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/booking_pack.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/store.h"
#include "ingest/spool.h"

#define PARK_MS      100 /* at most */
#define PARK_LOOK_MS 2   /* how often it is looked whether the spool is empty */

enum parcel_place { DIRECT, PARKED, SPOOLED };

/* One event under way. It is freed when nobody will call back for it any more. */
struct parcel {
    TAILQ_ENTRY(parcel) next; /* of delivery->direct or ->parked */
    struct delivery *delivery;
    delivery_done_cb *done; /* NULL: was called */
    void *arg;
    struct booking_packed *event; /* NULL: handed to the spool */
    int64_t received_wall_ms;
    int64_t deadline_mono_ms; /* DIRECT, PARKED: when it goes into the spool */
    enum parcel_place place;
    enum delivered in_redis;       /* what it is once the replicas have it */
    bool asked_redis, asked_spool; /* an answer is still to come */
};

TAILQ_HEAD(parcels, parcel);

struct delivery {
    struct delivery_parts parts;
    struct parcels direct, parked;
    struct event *direct_timer, *parked_timer;
    bool closed;
};

static void
timer_start(struct event *timer, int64_t delay_ms)
{
    const struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
    (void)event_add(timer, &delay);
}

static void
parcel_answer(struct parcel *parcel, enum delivered result)
{
    delivery_done_cb *done = parcel->done;
    parcel->done = NULL;
    if (done != NULL) {
        done(result, parcel->arg);
    }
}

/* Nobody is to answer any more: nobody took it, unless it was answered before. */
static void
parcel_finish(struct parcel *parcel)
{
    if (parcel->asked_redis || parcel->asked_spool) {
        return;
    }
    parcel_answer(parcel, DELIVERED_NOT);
    free(parcel->event);
    free(parcel);
}

static void
parcel_leave_list(struct parcel *parcel)
{
    struct delivery *delivery = parcel->delivery;
    if (parcel->place != SPOOLED) {
        TAILQ_REMOVE(parcel->place == DIRECT ? &delivery->direct : &delivery->parked, parcel, next);
    }
    parcel->place = SPOOLED;
}

/* ---- Into the spool ---- */

static void
delivery_on_kept(bool kept, void *arg)
{
    struct parcel *parcel = arg;
    parcel->asked_spool = false;
    if (kept) {
        parcel_answer(parcel, DELIVERED_SPOOLED);
    }
    parcel_finish(parcel);
}

static void
parcel_spool(struct parcel *parcel)
{
    struct delivery *delivery = parcel->delivery;
    parcel_leave_list(parcel);
    if (!delivery->closed) {
        struct booking_packed *event = parcel->event;
        parcel->event = NULL;
        parcel->asked_spool = true;
        spool_put(delivery->parts.client, parcel->received_wall_ms, event, delivery_on_kept,
                  parcel);
    }
}

/* ---- To Redis ---- */

/* Redis answered for the last time. */
static void
parcel_redis_done(struct parcel *parcel, bool taken)
{
    bool waited_only_for_it = parcel->place == DIRECT;
    parcel->asked_redis = false;
    if (waited_only_for_it && !taken) {
        parcel_spool(parcel);
    } else if (waited_only_for_it) {
        parcel_leave_list(parcel);
    }
    if (taken) {
        parcel_answer(parcel, parcel->in_redis);
    }
    parcel_finish(parcel);
}

static void
delivery_on_confirmed(enum store_result result, void *arg)
{
    parcel_redis_done(arg, result == STORE_DONE);
}

static void
delivery_on_recorded(enum store_result result, enum store_recorded recorded, void *arg)
{
    struct parcel *parcel = arg;
    const struct delivery_parts *parts = &parcel->delivery->parts;
    parcel->in_redis = recorded == STORE_RECORDED_QUEUED ? DELIVERED_QUEUED : DELIVERED_NO_WORK;
    if (result == STORE_DONE && parts->config->wait_replicas > 0) {
        store_confirm(parts->store, parts->config->spool_after_ms, delivery_on_confirmed, parcel);
        return;
    }
    parcel_redis_done(parcel, result == STORE_DONE);
}

static void
parcel_send(struct parcel *parcel)
{
    struct delivery *delivery = parcel->delivery;
    int64_t after_ms = delivery->parts.config->spool_after_ms;
    parcel->place = DIRECT;
    parcel->deadline_mono_ms = clock_mono_ms() + after_ms;
    TAILQ_INSERT_TAIL(&delivery->direct, parcel, next);
    if (!event_pending(delivery->direct_timer, EV_TIMEOUT, NULL)) {
        timer_start(delivery->direct_timer, after_ms);
    }
    parcel->asked_redis = true;
    store_record(delivery->parts.store, parcel->event, DELIVERY_TIMEOUT_MS, delivery_on_recorded,
                 parcel);
}

/* Redis may still answer, and the answer counts; but the webhook waits no longer for it. */
static void
delivery_on_direct_timer(evutil_socket_t fd, short what, void *arg)
{
    struct delivery *delivery = arg;
    int64_t now_mono_ms = clock_mono_ms();
    struct parcel *parcel = TAILQ_FIRST(&delivery->direct);
    (void)fd, (void)what;
    while (parcel != NULL && parcel->deadline_mono_ms <= now_mono_ms) {
        parcel_spool(parcel);
        parcel = TAILQ_FIRST(&delivery->direct);
    }
    if (parcel != NULL) {
        timer_start(delivery->direct_timer, parcel->deadline_mono_ms - now_mono_ms);
    }
}

/* ---- Parked ---- */

static void
parcel_park(struct parcel *parcel)
{
    struct delivery *delivery = parcel->delivery;
    parcel->place = PARKED;
    parcel->deadline_mono_ms = clock_mono_ms() + PARK_MS;
    TAILQ_INSERT_TAIL(&delivery->parked, parcel, next);
    if (!event_pending(delivery->parked_timer, EV_TIMEOUT, NULL)) {
        timer_start(delivery->parked_timer, PARK_LOOK_MS);
    }
}

static void
delivery_on_parked_timer(evutil_socket_t fd, short what, void *arg)
{
    struct delivery *delivery = arg;
    struct spool *spool = delivery->parts.spool;
    int64_t now_mono_ms = clock_mono_ms();
    struct parcel *parcel;
    (void)fd, (void)what;
    while ((parcel = TAILQ_FIRST(&delivery->parked)) != NULL) {
        if (spool_count(spool) == 0) {
            TAILQ_REMOVE(&delivery->parked, parcel, next);
            parcel_send(parcel);
        } else if (!spool_is_closing(spool) || parcel->deadline_mono_ms <= now_mono_ms) {
            parcel_spool(parcel);
        } else {
            timer_start(delivery->parked_timer, PARK_LOOK_MS);
            return;
        }
    }
}

/* ---- Life ---- */

struct delivery *
delivery_new(const struct delivery_parts *parts)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (delivery == NULL) {
        return NULL;
    }
    delivery->parts = *parts;
    TAILQ_INIT(&delivery->direct);
    TAILQ_INIT(&delivery->parked);
    delivery->direct_timer = evtimer_new(parts->base, delivery_on_direct_timer, delivery);
    delivery->parked_timer = evtimer_new(parts->base, delivery_on_parked_timer, delivery);
    if (delivery->direct_timer == NULL || delivery->parked_timer == NULL) {
        delivery_free(delivery);
        return NULL;
    }
    return delivery;
}

void
delivery_close(struct delivery *delivery)
{
    delivery->closed = true;
    while (!TAILQ_EMPTY(&delivery->parked)) {
        struct parcel *parcel = TAILQ_FIRST(&delivery->parked);
        parcel_leave_list(parcel);
        assert(TAILQ_FIRST(&delivery->parked) != parcel);
        parcel_finish(parcel);
    }
}

void
delivery_free(struct delivery *delivery)
{
    if (delivery == NULL) {
        return;
    }
    if (delivery->direct_timer != NULL) {
        event_free(delivery->direct_timer);
    }
    if (delivery->parked_timer != NULL) {
        event_free(delivery->parked_timer);
    }
    free(delivery);
}

void
delivery_send(struct delivery *delivery, const struct booking_event *event, delivery_done_cb *done,
              void *arg)
{
    struct spool *spool = delivery->parts.spool;
    struct parcel *parcel = calloc(1, sizeof *parcel);
    struct booking_packed *packed = booking_pack(event);
    if (parcel == NULL || packed == NULL || delivery->closed) {
        free(packed);
        free(parcel);
        done(DELIVERED_NOT, arg);
        return;
    }
    parcel->delivery = delivery;
    parcel->done = done;
    parcel->arg = arg;
    parcel->event = packed;
    parcel->received_wall_ms = clock_wall_ms();
    if (spool_count(spool) == 0) {
        parcel_send(parcel);
    } else if (spool_is_closing(spool)) {
        parcel_park(parcel);
    } else {
        parcel->place = SPOOLED;
        parcel_spool(parcel);
    }
}
