#include <stdlib.h>
#include <string.h>

#include "common/booking_pack.h"
#include "common/store_internal.h"

#define SWEPT_NEWS 100 /* DRIFT_NEWS in common/redis/sweep.lua */

static const char *
text_at(const struct redis_reply *reply, size_t index)
{
    return index < redis_reply_count(reply) ? redis_reply_text(redis_reply_at(reply, index)) : "";
}

static void
on_swept(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = store_classify(&call, raw, reply);
    if (result != STORE_DONE || redis_reply_count(reply) == 0) {
        call.swept(result == STORE_DONE ? STORE_ERROR : result, NULL, call.arg);
        return;
    }
    const char *news[SWEPT_NEWS];
    size_t count = redis_reply_count(reply);
    struct store_swept swept = { .word = text_at(reply, 0),
                                 .why = text_at(reply, 2),
                                 .news = news };
    if (count > 1) {
        swept.number = redis_reply_integer(redis_reply_at(reply, 1));
    }
    for (size_t i = 2; i < count && swept.news_count < SWEPT_NEWS; i++) {
        news[swept.news_count++] = text_at(reply, i);
    }
    call.swept(STORE_DONE, &swept, call.arg);
}

void
store_sweep(struct store *store, const struct store_sweep *sweep, const char *step,
            store_swept_cb *done, void *arg)
{
    struct call *call = call_new(store, arg);
    call->swept = done;
    struct arguments args;
    add_function(&args, store, "tollgate_sweep");
    add_text(&args, sweep->worker);
    add_text(&args, step);
    add_number(&args, sweep->interval_ms);
    add_number(&args, sweep->lease_ms);
    add_text(&args, store->keep_ms);
    add_gate(&args, store);
    send_call(store, &args, STORE_TIMEOUT_MS, on_swept, call);
}

static void
on_found(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = store_classify(&call, raw, reply);
    bool done = result == STORE_DONE;
    call.found(result, done ? text_at(reply, 0) : "", done ? text_at(reply, 1) : "", call.arg);
}

void
store_found(struct store *store, const struct booking_event *event, enum booking_status status,
            const char *aside, store_found_cb *done, void *arg)
{
    struct booking_packed *packed = booking_pack(event);
    if (packed == NULL) {
        abort(); /* a completion must not be lost */
    }
    const char *texts[BOOKING_PACKED_TEXTS];
    size_t count = booking_unpack(packed->bytes, packed->size, texts);
    struct call *call = call_new(store, arg);
    call->found = done;
    struct arguments args;
    add_function(&args, store, "tollgate_found");
    for (size_t i = 0; i < count; i++) {
        /* Behind id and createdAt; the kind gives way to how the row stands. */
        add_text(&args, i == 1 ? booking_status_name(status) : texts[i]);
        if (i == 2) {
            add_text(&args, store->keep_ms);
            add_text(&args, aside);
        }
    }
    send_call(store, &args, STORE_TIMEOUT_MS, on_found, call);
    free(packed);
}
