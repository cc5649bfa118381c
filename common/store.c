#include "common/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "common/redis_library.h"
#include "common/redis_link.h"

#define STEP_TIMEOUT_MS 2000 /* worker's calls; ingest brings its own, shorter time */
#define MALFORMED_KEPT  "1000"
#define MAX_ARGS        48
#define NUMBER_SIZE     24
#define DAY_MS          INT64_C(86400000)

/*
 *   AWAY --connected--> VERSION --missing or older--> LOADING --> VERSION --> POLICY --> READY
 *                          `---------------as new or newer----------^
 */
enum store_state { AWAY, PREPARING, READY };

struct store {
    struct redis_link *link;
    struct store_handlers handlers;
    void *arg;
    enum store_state state;
    bool loaded; /* the library was loaded on this connection: do not try for ever */
    char *queue_key;
    char *malformed_key;
    char keep_ms[NUMBER_SIZE];
    char fresh_ms[NUMBER_SIZE];
    char lease_ms[NUMBER_SIZE];
    char *policy_text; /* NULL: this program brings none */
    char policy_source[16];
    char *policy_error;
};

/* A call on its way: which callback waits, and for what. */
struct call {
    struct store *store;
    store_record_cb *record;
    store_take_cb *take;
    store_step_cb *step;
    void *arg;
};

/* The argument list of one FCALL; numbers are formatted into the list's own memory. */
struct arguments {
    const char *argv[MAX_ARGS];
    int count;
    char numbers[8][NUMBER_SIZE];
    size_t numbers_used;
};

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

static void
add_text(struct arguments *args, const char *text)
{
    if (args->count == MAX_ARGS) {
        abort(); /* a call with a fixed number of arguments outgrew the list */
    }
    args->argv[args->count++] = text;
}

static void
add_number(struct arguments *args, int64_t number)
{
    if (args->numbers_used == sizeof args->numbers / sizeof args->numbers[0]) {
        abort();
    }
    char *text = args->numbers[args->numbers_used++];
    (void)snprintf(text, NUMBER_SIZE, "%" PRId64, number);
    add_text(args, text);
}

/* A field that the webhook told; the library takes pairs. */
static void
add_field(struct arguments *args, const char *name, const char *value)
{
    if (value != NULL && *value != '\0') {
        add_text(args, name);
        add_text(args, value);
    }
}

static void
add_function(struct arguments *args, const struct store *store, const char *function)
{
    args->count = 0;
    args->numbers_used = 0;
    add_text(args, "FCALL");
    add_text(args, function);
    add_text(args, "1");
    add_text(args, store->queue_key);
}

static bool
starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What a result means to a caller. A function that is gone was flushed: it is loaded again, and the
 * call certainly did not run. */
static enum store_result
classify(struct store *store, enum redis_result result, const struct redis_reply *reply)
{
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
    if (!lost) {
        log_warn("redis answered with an error", log_s("error", text));
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

static void
prepare_failed(struct store *store, const char *step, enum redis_result result,
               const struct redis_reply *reply)
{
    if (result == REDIS_DONE) {
        log_error("redis cannot be prepared", log_s("step", step),
                  log_s("error", redis_reply_text(reply)));
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
    struct arguments args;
    add_function(&args, store, "tollgate_policy");
    add_text(&args, store->policy_text);
    add_text(&args, store->policy_source);
    redis_link_command(store->link, STEP_TIMEOUT_MS, args.count, args.argv, NULL, on_policy, store);
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
        redis_link_command(store->link, STEP_TIMEOUT_MS, older ? 4 : 3, older ? replace : load,
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
    const char *version[] = { "FCALL", "tollgate_version", "0" };
    store->state = PREPARING;
    redis_link_command(store->link, STEP_TIMEOUT_MS, 3, version, NULL, on_version, store);
}

static void
on_link_ready(void *arg)
{
    struct store *store = arg;
    store->loaded = false;
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
    (void)snprintf(store->keep_ms, NUMBER_SIZE, "%" PRId64, config->keep_days * DAY_MS);
    (void)snprintf(store->fresh_ms, NUMBER_SIZE, "%" PRId64, config->fresh_ms);
    (void)snprintf(store->lease_ms, NUMBER_SIZE, "%" PRId64, config->lease_ms);
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

const char *
store_policy_error(const struct store *store)
{
    return store->policy_error;
}

/* ---- Calls ---- */

static struct call *
call_new(struct store *store, void *arg)
{
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        abort(); /* a completion must not be lost */
    }
    call->store = store;
    call->arg = arg;
    return call;
}

static void
send_call(struct store *store, const struct arguments *args, int64_t timeout_ms,
          redis_done_cb *done, struct call *call)
{
    /* argv's type is hiredis's; nothing is written through it. */
    const char **argv = (const char **)(uintptr_t)args->argv;
    redis_link_command(store->link, timeout_ms, args->count, argv, NULL, done, call);
}

static void
on_record(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = classify(call.store, raw, reply);
    bool queued = result == STORE_DONE && strcmp(redis_reply_text(reply), "queued") == 0;
    call.record(result, queued ? STORE_RECORDED_QUEUED : STORE_RECORDED_NO_WORK, call.arg);
}

void
store_record(struct store *store, const struct booking_event *event, int64_t timeout_ms,
             store_record_cb *done, void *arg)
{
    struct call *call = call_new(store, arg);
    call->record = done;
    struct arguments args;
    char start[NUMBER_SIZE] = "", end[NUMBER_SIZE] = "";
    if (event->start_s != 0) {
        (void)snprintf(start, sizeof start, "%" PRId64, event->start_s);
    }
    if (event->end_s != 0) {
        (void)snprintf(end, sizeof end, "%" PRId64, event->end_s);
    }
    add_function(&args, store, "tollgate_record");
    add_text(&args, event->id);
    add_text(&args, booking_event_kind_name(event->kind));
    add_number(&args, event->created_wall_ms);
    add_text(&args, store->keep_ms);
    add_field(&args, "uid", event->uid);
    add_field(&args, "account", event->account);
    add_field(&args, "email", event->email);
    add_field(&args, "event_type", event->event_type);
    add_field(&args, "start", start);
    add_field(&args, "end", end);
    add_field(&args, "requires_confirmation", event->requires_confirmation ? "yes" : "");
    add_field(&args, "reschedule_uid", event->reschedule_uid);
    add_field(&args, "cancelled_by", event->cancelled_by);
    add_field(&args, "unsupported", event->unsupported);
    send_call(store, &args, timeout_ms, on_record, call);
}

static void
on_nothing(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    (void)result, (void)reply, (void)arg;
}

void
store_note_malformed(struct store *store, const char *reason, size_t size, const char *sha256)
{
    char bytes[NUMBER_SIZE];
    (void)snprintf(bytes, sizeof bytes, "%zu", size);
    const char *argv[] = { "XADD",         store->malformed_key,
                           "MAXLEN",       "~",
                           MALFORMED_KEPT, "*",
                           "reason",       reason,
                           "size",         bytes,
                           "sha256",       sha256 };
    redis_link_command(store->link, STEP_TIMEOUT_MS, (int)(sizeof argv / sizeof argv[0]), argv,
                       NULL, on_nothing, NULL);
}

/* The fields of a job, in the order of job_of in common/redis/take.lua. */
enum {
    JOB_ID,
    JOB_TOKEN,
    JOB_GOAL,
    JOB_UID,
    JOB_ACCOUNT,
    JOB_REASON,
    JOB_COST,
    JOB_ATTEMPTS,
    JOB_FRESH,
    JOB_GUIDE,
    JOB_FIELDS
};

static bool
read_job(const struct redis_reply *reply, struct store_job *job)
{
    if (redis_reply_count(reply) != JOB_FIELDS ||
        !booking_goal_parse(redis_reply_text(redis_reply_at(reply, JOB_GOAL)), &job->goal)) {
        return false;
    }
    job->id = redis_reply_text(redis_reply_at(reply, JOB_ID));
    job->token = redis_reply_text(redis_reply_at(reply, JOB_TOKEN));
    job->uid = redis_reply_text(redis_reply_at(reply, JOB_UID));
    job->account = redis_reply_text(redis_reply_at(reply, JOB_ACCOUNT));
    job->reason = redis_reply_text(redis_reply_at(reply, JOB_REASON));
    job->cost = redis_reply_integer(redis_reply_at(reply, JOB_COST));
    job->attempts = (unsigned)redis_reply_integer(redis_reply_at(reply, JOB_ATTEMPTS));
    job->fresh = redis_reply_integer(redis_reply_at(reply, JOB_FRESH)) == 1;
    job->guide = redis_reply_integer(redis_reply_at(reply, JOB_GUIDE)) == 1;
    return true;
}

static void
finish_take(const struct call *call, const struct redis_reply *reply)
{
    const struct redis_reply *jobs = redis_reply_at(reply, 2);
    size_t count = redis_reply_count(jobs);
    struct store_job *list = calloc(count + 1, sizeof *list);
    if (list == NULL) {
        abort();
    }
    struct store_batch batch = {
        .jobs = list,
        .left = redis_reply_integer(redis_reply_at(reply, 0)),
        .next_due_ms = redis_reply_integer(redis_reply_at(reply, 1)),
    };
    for (size_t i = 0; i < count; i++) {
        if (read_job(redis_reply_at(jobs, i), &list[batch.count])) {
            batch.count++;
        } else {
            log_error("a newer library's job cannot be read; upgrade this worker");
        }
    }
    call->take(STORE_DONE, &batch, call->arg);
    free(list);
}

static void
on_take(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = classify(call.store, raw, reply);
    if (result == STORE_DONE && redis_reply_count(reply) >= 3) {
        finish_take(&call, reply);
    } else {
        call.take(result == STORE_DONE ? STORE_ERROR : result, NULL, call.arg);
    }
}

void
store_take(struct store *store, const char *worker, int64_t number, size_t want,
           store_take_cb *done, void *arg)
{
    struct call *call = call_new(store, arg);
    call->take = done;
    struct arguments args;
    add_function(&args, store, "tollgate_take");
    add_text(&args, worker);
    add_number(&args, number);
    add_number(&args, (int64_t)want);
    add_text(&args, store->fresh_ms);
    add_text(&args, store->lease_ms);
    add_text(&args, store->keep_ms);
    send_call(store, &args, STEP_TIMEOUT_MS, on_take, call);
}

static enum store_step
read_step(const char *word)
{
    static const struct {
        const char *word;
        enum store_step step;
    } STEPS[] = {
        { "settled", STORE_STEP_SETTLED }, { "look", STORE_STEP_LOOK },
        { "retry", STORE_STEP_RETRY },     { "queued", STORE_STEP_QUEUED },
        { "dead", STORE_STEP_DEAD },       { "parked", STORE_STEP_DEAD },
    };
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        if (strcmp(word, STEPS[i].word) == 0) {
            return STEPS[i].step;
        }
    }
    return STORE_STEP_STALE;
}

static void
on_step(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = classify(call.store, raw, reply);
    enum store_step step = STORE_STEP_STALE;
    const char *detail = "";
    if (result == STORE_DONE && redis_reply_count(reply) > 0) {
        step = read_step(redis_reply_text(redis_reply_at(reply, 0)));
        if (redis_reply_count(reply) > 1) {
            detail = redis_reply_text(redis_reply_at(reply, 1));
        }
    } else if (result == STORE_ERROR) {
        detail = redis_reply_text(reply);
    }
    call.step(result, step, detail, call.arg);
}

static void
send_step(struct store *store, const struct arguments *args, store_step_cb *done, void *arg)
{
    struct call *call = call_new(store, arg);
    call->step = done;
    send_call(store, args, STEP_TIMEOUT_MS, on_step, call);
}

static void
send_outcome(struct store *store, const char *id, const char *token, const char *outcome,
             const char *note, store_step_cb *done, void *arg)
{
    struct arguments args;
    add_function(&args, store, "tollgate_settle");
    add_text(&args, id);
    add_text(&args, token);
    add_text(&args, outcome);
    add_text(&args, store->keep_ms);
    add_text(&args, note);
    send_step(store, &args, done, arg);
}

void
store_settle(struct store *store, const char *id, const char *token, enum booking_status outcome,
             const char *note, store_step_cb *done, void *arg)
{
    send_outcome(store, id, token, booking_status_name(outcome), note, done, arg);
}

void
store_refuse(struct store *store, const char *id, const char *token, const char *why,
             store_step_cb *done, void *arg)
{
    send_outcome(store, id, token, "refused", why, done, arg);
}

void
store_retry(struct store *store, const char *id, const char *token, int64_t delay_ms, bool burn,
            const char *why, store_step_cb *done, void *arg)
{
    struct arguments args;
    add_function(&args, store, "tollgate_retry");
    add_text(&args, id);
    add_text(&args, token);
    add_number(&args, delay_ms);
    add_text(&args, burn ? "1" : "0");
    add_text(&args, store->keep_ms);
    add_text(&args, why);
    send_step(store, &args, done, arg);
}

void
store_give_back(struct store *store, const char *id, const char *token, store_step_cb *done,
                void *arg)
{
    struct arguments args;
    add_function(&args, store, "tollgate_give_back");
    add_text(&args, id);
    add_text(&args, token);
    add_text(&args, store->keep_ms);
    send_step(store, &args, done, arg);
}

void
store_leave(struct store *store, const char *worker, store_step_cb *done, void *arg)
{
    struct arguments args;
    add_function(&args, store, "tollgate_leave");
    add_text(&args, worker);
    send_step(store, &args, done, arg);
}

void
store_unblock(struct store *store, int64_t client_id)
{
    char id[NUMBER_SIZE];
    (void)snprintf(id, sizeof id, "%" PRId64, client_id);
    const char *argv[] = { "CLIENT", "UNBLOCK", id };
    redis_link_command(store->link, STEP_TIMEOUT_MS, 3, argv, NULL, on_nothing, NULL);
}
