#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/store_internal.h"

#define ANSWER_MS 1000 /* for the way to Redis and back, beside the wait itself */

struct store_confirm {
    STAILQ_ENTRY(store_confirm) next;
    int64_t timeout_ms;
    store_confirm_cb *done;
    void *arg;
};

static void ask(struct store *store);

static void
move_all(struct store_confirm_list *to, struct store_confirm_list *from)
{
    STAILQ_CONCAT(to, from);
}

static void
finish_all(struct store_confirm_list *list, enum store_result result)
{
    struct store_confirm_list taken = STAILQ_HEAD_INITIALIZER(taken);
    move_all(&taken, list);
    while (!STAILQ_EMPTY(&taken)) {
        struct store_confirm *confirm = STAILQ_FIRST(&taken);
        STAILQ_REMOVE_HEAD(&taken, next);
        confirm->done(result, confirm->arg);
        free(confirm);
    }
}

/* A connection that is gone takes with it what was to be asked on it: WAIT is about the
 * connection's own writes. */
static void
on_wait(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct store *store = arg;
    bool enough = raw == REDIS_DONE && redis_reply_type(reply) == REPLY_INTEGER &&
                  redis_reply_integer(reply) >= strtoll(store->wait_replicas, NULL, 10);
    struct store_confirm_list lost = STAILQ_HEAD_INITIALIZER(lost);
    if (raw != REDIS_DONE) {
        move_all(&lost, &store->confirms_next);
    }
    finish_all(&store->confirms_asked, enough ? STORE_DONE : STORE_UNKNOWN);
    finish_all(&lost, STORE_UNKNOWN);
    ask(store);
}

static void
ask(struct store *store)
{
    if (!STAILQ_EMPTY(&store->confirms_asked) || STAILQ_EMPTY(&store->confirms_next)) {
        return;
    }
    char timeout[STORE_NUMBER_SIZE];
    int64_t timeout_ms = STAILQ_FIRST(&store->confirms_next)->timeout_ms;
    (void)snprintf(timeout, sizeof timeout, "%" PRId64, timeout_ms);
    const char *argv[] = { "WAIT", store->wait_replicas, timeout };
    move_all(&store->confirms_asked, &store->confirms_next);
    redis_link_command(store->link, timeout_ms + ANSWER_MS, 3, argv, NULL, on_wait, store);
}

void
store_confirm(struct store *store, int64_t timeout_ms, store_confirm_cb *done, void *arg)
{
    struct store_confirm *confirm = malloc(sizeof *confirm);
    if (confirm == NULL) {
        abort(); /* a completion must not be lost */
    }
    *confirm = (struct store_confirm){ .timeout_ms = timeout_ms, .done = done, .arg = arg };
    STAILQ_INSERT_TAIL(&store->confirms_next, confirm, next);
    ask(store);
}
