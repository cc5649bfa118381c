#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "common/redis_library.h"
#include "common/store_internal.h"

#define DAY_MS INT64_C(86400000)

static void prepare(struct store *store);

static void
become_away(struct store *store)
{
    bool was_ready = store->state == READY;
    store->state = AWAY;
    if (was_ready && store->handlers.away != NULL) {
        store->handlers.away(store->arg);
    }
}

static bool
starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

enum store_result
store_classify(const struct call *call, enum redis_result result, const struct redis_reply *reply)
{
    struct store *store = call->store;
    switch (result) {
    case REDIS_UNSENT:
        return STORE_UNSENT;
    case REDIS_UNKNOWN:
        return STORE_UNKNOWN;
    case REDIS_DONE:
        break;
    }
    if (redis_reply_type(reply) != REPLY_ERROR) {
        return STORE_DONE;
    }
    const char *text = redis_reply_text(reply);
    bool lost = starts_with(text, "ERR Function not found") || starts_with(text, "NOPOLICY");
    if (lost && store->state == READY) {
        log_warn("the library or the policy is gone from redis; loading it again");
        become_away(store);
        store->loaded = false;
        prepare(store);
    }
    if (!lost && call->id[0] != '\0') {
        log_warn("redis answered with an error", log_s("booking", call->id), log_s("error", text));
    } else if (!lost) {
        log_warn("redis answered with an error", log_s("error", text));
    }
    if (starts_with(text, "READONLY")) {
        /* It became a replica. Its name, looked up anew, may lead to the one that took over. */
        redis_link_reset(store->link, "it is a replica that cannot be written to");
    }
    return lost ? STORE_UNSENT : STORE_ERROR;
}

/* ---- Preparing a connection: library, then policy ---- */

static void
become_ready(struct store *store)
{
    store->state = READY;
    if (store->handlers.ready != NULL) {
        store->handlers.ready(store->arg);
    }
}

/* What passes by itself, or when somebody looks after Redis. Anything else is ours to set right. */
static bool
is_passing(const char *error)
{
    static const char *const PASSING[] = { "LOADING ",    "BUSY ",        "OOM ",     "READONLY ",
                                           "MASTERDOWN ", "CLUSTERDOWN ", "MISCONF ", "TRYAGAIN " };
    for (size_t i = 0; i < sizeof PASSING / sizeof PASSING[0]; i++) {
        if (starts_with(error, PASSING[i])) {
            return true;
        }
    }
    return false;
}

static void
prepare_failed(struct store *store, const char *step, enum redis_result result,
               const struct redis_reply *reply)
{
    if (result == REDIS_DONE) {
        const char *error = redis_reply_text(reply);
        if (is_passing(error)) {
            log_warn("redis cannot be prepared yet", log_s("step", step), log_s("error", error));
        } else {
            log_error("redis cannot be prepared", log_s("step", step), log_s("error", error));
        }
        redis_link_reset(store->link, "cannot be prepared");
    }
}

static void
on_policy(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct store *store = arg;
    if (result != REDIS_DONE) {
        return;
    }
    free(store->policy_error);
    store->policy_error = NULL;
    if (redis_reply_type(reply) == REPLY_ERROR) {
        const char *text = redis_reply_text(reply);
        if (!starts_with(text, "POLICY ")) {
            prepare_failed(store, "policy", result, reply);
            return;
        }
        store->policy_error = strdup(text + strlen("POLICY "));
        log_error("the policy is refused; the one in force stays",
                  log_s("error", text + strlen("POLICY ")));
    } else if (redis_reply_count(reply) == 2) {
        log_info("policy", log_s("result", redis_reply_text(redis_reply_at(reply, 0))),
                 log_s("source", store->policy_source),
                 log_s("sha", redis_reply_text(redis_reply_at(reply, 1))));
    }
    if (store->state == PREPARING) {
        become_ready(store);
    }
}

static void
send_policy(struct store *store)
{
    const char *argv[] = { "FCALL",          "tollgate_policy",  "1",
                           store->queue_key, store->policy_text, store->policy_source };
    redis_link_command(store->link, STORE_TIMEOUT_MS, 6, argv, NULL, on_policy, store);
}

static void
on_loaded(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct store *store = arg;
    if (result != REDIS_DONE) {
        return;
    }
    /* Another program may have been faster: the version is asked again either way. */
    if (redis_reply_type(reply) == REPLY_ERROR &&
        strstr(redis_reply_text(reply), "already exists") == NULL) {
        prepare_failed(store, "FUNCTION LOAD", result, reply);
        return;
    }
    store->loaded = true;
    prepare(store);
}

/* `VERSION = n` in the library's own text. */
static int64_t
own_version(void)
{
    const char *line = strstr(redis_library_text, "local VERSION = ");
    return line != NULL ? strtoll(line + strlen("local VERSION = "), NULL, 10) : 0;
}

static void
on_version(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct store *store = arg;
    if (result != REDIS_DONE) {
        return;
    }
    bool missing = redis_reply_type(reply) == REPLY_ERROR &&
                   starts_with(redis_reply_text(reply), "ERR Function not found");
    bool older =
        redis_reply_type(reply) == REPLY_INTEGER && redis_reply_integer(reply) < own_version();
    if ((missing || older) && !store->loaded) {
        const char *load[] = { "FUNCTION", "LOAD", redis_library_text };
        const char *replace[] = { "FUNCTION", "LOAD", "REPLACE", redis_library_text };
        redis_link_command(store->link, STORE_TIMEOUT_MS, older ? 4 : 3, older ? replace : load,
                           NULL, on_loaded, store);
        return;
    }
    if (missing || older || redis_reply_type(reply) != REPLY_INTEGER) {
        prepare_failed(store, "tollgate_version", result, reply);
        return;
    }
    if (store->policy_text != NULL) {
        send_policy(store);
    } else {
        become_ready(store);
    }
}

static void
prepare(struct store *store)
{
    char own[STORE_NUMBER_SIZE];
    (void)snprintf(own, sizeof own, "%" PRId64, own_version());
    const char *version[] = { "FCALL", "tollgate_version", "0", own };
    store->state = PREPARING;
    redis_link_command(store->link, STORE_TIMEOUT_MS, 4, version, NULL, on_version, store);
}

static void
on_link_ready(void *arg)
{
    struct store *store = arg;
    store->loaded = false;
    if (store->handlers.checked != NULL) {
        store_check_start(store);
    }
    prepare(store);
}

static void
on_link_down(void *arg)
{
    become_away(arg);
}

/* ---- Life ---- */

static char *
make_key(const char *ns, const char *name)
{
    char *key = NULL;
    return asprintf(&key, "{%s}:%s", ns, name) >= 0 ? key : NULL;
}

struct store *
store_new(struct event_base *base, const struct config *config,
          const struct store_handlers *handlers, void *arg)
{
    static const struct redis_link_handlers LINK_HANDLERS = { .ready = on_link_ready,
                                                              .down = on_link_down };
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        return NULL;
    }
    store->handlers = *handlers;
    store->arg = arg;
    (void)snprintf(store->keep_ms, STORE_NUMBER_SIZE, "%" PRId64, config->keep_days * DAY_MS);
    (void)snprintf(store->fresh_ms, STORE_NUMBER_SIZE, "%" PRId64, config->fresh_ms);
    (void)snprintf(store->lease_ms, STORE_NUMBER_SIZE, "%" PRId64, config->lease_ms);
    store->mode = config->mode;
    store->strict = config->strict;
    (void)snprintf(store->wait_replicas, STORE_NUMBER_SIZE, "%" PRId64, config->wait_replicas);
    STAILQ_INIT(&store->confirms_asked);
    STAILQ_INIT(&store->confirms_next);
    store->queue_key = make_key(config->ns, "queue");
    store->malformed_key = make_key(config->ns, "malformed");
    if (store->queue_key != NULL && store->malformed_key != NULL) {
        store->link = redis_link_new(base, config->redis_url, "main", &LINK_HANDLERS, store);
    }
    if (store->link == NULL) {
        store_free(store);
        return NULL;
    }
    return store;
}

void
store_free(struct store *store)
{
    if (store == NULL) {
        return;
    }
    redis_link_free(store->link);
    free(store->queue_key);
    free(store->malformed_key);
    free(store->policy_text);
    free(store->policy_error);
    free(store);
}

bool
store_is_ready(const struct store *store)
{
    return store->state == READY;
}

bool
store_set_policy(struct store *store, const char *text, const char *source)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return false;
    }
    free(store->policy_text);
    store->policy_text = copy;
    (void)snprintf(store->policy_source, sizeof store->policy_source, "%s", source);
    if (store->state == READY) {
        send_policy(store);
    }
    return true;
}

void
store_set_gate(struct store *store, const struct store_gate_of *gate)
{
    store->gate = *gate;
}

const char *
store_policy_error(const struct store *store)
{
    return store->policy_error;
}
