#include <stdlib.h>
#include <string.h>

#include "common/store_internal.h"

static void
on_lease(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = store_classify(&call, raw, reply);
    if (result != STORE_DONE || redis_reply_count(reply) < 2) {
        call.lease(result == STORE_DONE ? STORE_ERROR : result, false, 0, call.arg);
        return;
    }
    bool held = strcmp(redis_reply_text(redis_reply_at(reply, 0)), "held") == 0;
    call.lease(STORE_DONE, held, redis_reply_integer(redis_reply_at(reply, 1)), call.arg);
}

void
store_lease(struct store *store, const char *worker, store_lease_cb *done, void *arg)
{
    struct call *call = call_new(store, arg);
    call->lease = done;
    struct arguments args;
    add_function(&args, store, "tollgate_lease");
    add_text(&args, worker);
    add_text(&args, store->lease_ms);
    send_call(store, &args, STORE_TIMEOUT_MS, on_lease, call);
}

/* Every step-th text of a list, as an array for the caller to free; never NULL. */
static const char **
read_texts(const struct redis_reply *list, size_t step, size_t *count)
{
    size_t length = redis_reply_count(list);
    const char **texts = calloc(length + 1, sizeof *texts);
    if (texts == NULL) {
        abort();
    }
    *count = 0;
    for (size_t i = 0; i < length; i += step) {
        texts[(*count)++] = redis_reply_text(redis_reply_at(list, i));
    }
    return texts;
}

static void
finish_reap(const struct call *call, const struct redis_reply *reply)
{
    const struct redis_reply *buried = redis_reply_at(reply, 2);
    struct store_reaped reaped = {
        .swept = true,
        .cursor = redis_reply_text(redis_reply_at(reply, 1)),
        .more = redis_reply_integer(redis_reply_at(reply, 4)) == 1,
    };
    const char **dead = read_texts(buried, 2, &reaped.dead_count);
    const char **overdue = read_texts(redis_reply_at(reply, 3), 1, &reaped.overdue_count);
    int64_t *names = calloc(reaped.dead_count + 1, sizeof *names);
    if (names == NULL) {
        abort();
    }
    for (size_t i = 0; 2 * i + 1 < redis_reply_count(buried); i++) {
        names[i] = redis_reply_integer(redis_reply_at(buried, 2 * i + 1));
    }
    reaped.dead = dead;
    reaped.names = names;
    reaped.overdue = overdue;
    call->reap(STORE_DONE, &reaped, call->arg);
    free(names);
    free((void *)overdue);
    free((void *)dead);
}

static void
on_reaped(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    static const struct store_reaped SKIPPED = { .cursor = "0" };
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = store_classify(&call, raw, reply);
    if (result == STORE_DONE && redis_reply_count(reply) >= 5) {
        finish_reap(&call, reply);
    } else {
        call.reap(result, result == STORE_DONE ? &SKIPPED : NULL, call.arg);
    }
}

void
store_reap(struct store *store, const struct store_reap_of *of, store_reap_cb *done, void *arg)
{
    struct call *call = call_new(store, arg);
    call->reap = done;
    struct arguments args;
    add_function(&args, store, "tollgate_reap");
    add_text(&args, of->worker);
    add_text(&args, of->epoch);
    add_number(&args, of->connected_ms);
    add_text(&args, store->lease_ms);
    add_number(&args, of->hold_ms);
    add_text(&args, store->keep_ms);
    add_text(&args, of->cursor);
    send_call(store, &args, STORE_TIMEOUT_MS, on_reaped, call);
}
