#include "common/log.h"
#include "common/store_internal.h"

/* What a page of ledgers, and some that were wrong before, can bring; see common/redis/audit.lua.
 * More is listed in Redis as well, and only not logged. */
#define WATCHED_NEWS 200

static void
finish_watch(const struct call *call, const struct redis_reply *reply)
{
    const struct redis_reply *numbers = redis_reply_at(reply, 1);
    const struct redis_reply *told = redis_reply_at(reply, 2);
    const char *news[WATCHED_NEWS];
    struct store_watched watched = { .gate = store_read_gate(redis_reply_at(reply, 0)),
                                     .news = news };
    for (size_t i = 0; i < STORE_OVERVIEW_COUNT; i++) {
        watched.numbers[i] = redis_reply_integer(redis_reply_at(numbers, i));
    }
    const struct redis_reply *decisions = redis_reply_at(reply, 3);
    for (size_t i = 0; i < STORE_DECISION_COUNT; i++) {
        watched.decisions[i] = redis_reply_integer(redis_reply_at(decisions, i));
    }
    size_t count = redis_reply_count(told) / 2 * 2;
    while (watched.news_count < count && watched.news_count < WATCHED_NEWS) {
        news[watched.news_count] = redis_reply_text(redis_reply_at(told, watched.news_count));
        watched.news_count++;
    }
    call->watch(STORE_DONE, &watched, call->arg);
}

static void
on_watch(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = store_classify(&call, raw, reply);
    if (result != STORE_DONE) {
        call.watch(result, NULL, call.arg);
    } else if (redis_reply_count(reply) < 4 ||
               redis_reply_count(redis_reply_at(reply, 1)) < STORE_OVERVIEW_COUNT) {
        log_error("a newer library answers in a way that this program does not know");
        call.watch(STORE_ERROR, NULL, call.arg);
    } else {
        finish_watch(&call, reply);
    }
}

void
store_watch(struct store *store, store_watch_cb *done, void *arg)
{
    struct call *call = call_new(store, arg);
    call->watch = done;
    struct arguments args;
    add_function(&args, store, "tollgate_watch");
    add_gate(&args, store);
    send_call(store, &args, STORE_TIMEOUT_MS, on_watch, call);
}
