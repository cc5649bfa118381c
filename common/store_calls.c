#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/booking_pack.h"
#include "common/log.h"
#include "common/store_internal.h"

#define MALFORMED_KEPT "1000"

static void
on_record(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = store_classify(&call, raw, reply);
    bool queued = result == STORE_DONE && strcmp(redis_reply_text(reply), "queued") == 0;
    call.record(result, queued ? STORE_RECORDED_QUEUED : STORE_RECORDED_NO_WORK, call.arg);
}

void
store_record(struct store *store, const struct booking_packed *event, int64_t timeout_ms,
             store_record_cb *done, void *arg)
{
    const char *texts[BOOKING_PACKED_TEXTS];
    size_t count = booking_unpack(event->bytes, event->size, texts);
    struct call *call = call_new(store, arg);
    call->record = done;
    call_about(call, count > 0 ? texts[0] : "");
    struct arguments args;
    add_function(&args, store, "tollgate_record");
    for (size_t i = 0; i < count; i++) {
        if (i == 3) {
            add_text(&args, store->keep_ms); /* behind id, kind and createdAt */
        }
        add_text(&args, texts[i]);
    }
    send_call(store, &args, timeout_ms, on_record, call);
}

static void
on_record_late(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = store_classify(&call, raw, reply);
    if (result != STORE_DONE) {
        call.record_late(result, 0, "", call.arg);
        return;
    }
    if (redis_reply_count(reply) != 2) {
        log_error("a newer library answers in a way that this program does not know");
        call.record_late(STORE_ERROR, 0, "", call.arg);
        return;
    }
    call.record_late(STORE_DONE, (size_t)redis_reply_integer(redis_reply_at(reply, 0)),
                     redis_reply_text(redis_reply_at(reply, 1)), call.arg);
}

/* What one event takes of the argument list: how many texts, they, and when it was received. */
#define LATE_ARGS (1 + BOOKING_PACKED_TEXTS + 2)

struct late_numbers {
    char texts[STORE_NUMBER_SIZE];
    char received_ms[STORE_NUMBER_SIZE];
};

static size_t
add_late_event(const struct store_late_event *event, struct late_numbers *numbers,
               const char *argv[LATE_ARGS])
{
    size_t texts = booking_unpack(event->bytes, event->size, argv + 1);
    (void)snprintf(numbers->texts, STORE_NUMBER_SIZE, "%zu", texts + 2);
    (void)snprintf(numbers->received_ms, STORE_NUMBER_SIZE, "%" PRId64, event->received_wall_ms);
    argv[0] = numbers->texts;
    argv[texts + 1] = "received";
    argv[texts + 2] = numbers->received_ms;
    return texts + 3;
}

void
store_record_late(struct store *store, const struct store_late_event *events, size_t count,
                  int64_t timeout_ms, store_record_late_cb *done, void *arg)
{
    const char *front[] = { "FCALL", "tollgate_record_many", "1", store->queue_key,
                            store->keep_ms };
    size_t used = sizeof front / sizeof front[0];
    const char **argv = calloc(used + count * LATE_ARGS, sizeof *argv);
    struct late_numbers *numbers = calloc(count + 1, sizeof *numbers);
    struct call *call = call_new(store, arg);
    if (argv == NULL || numbers == NULL) {
        abort(); /* a completion must not be lost */
    }
    call->record_late = done;
    memcpy((void *)argv, (const void *)front, sizeof front);
    for (size_t i = 0; i < count; i++) {
        used += add_late_event(&events[i], &numbers[i], argv + used);
    }
    redis_link_command(store->link, timeout_ms, (int)used, argv, NULL, on_record_late, call);
    free(numbers);
    free((void *)argv);
}

static void
on_nothing(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    (void)result, (void)reply, (void)arg;
}

void
store_note_malformed(struct store *store, const char *reason, size_t size, const char *sha256)
{
    char bytes[STORE_NUMBER_SIZE];
    (void)snprintf(bytes, sizeof bytes, "%zu", size);
    const char *argv[] = { "XADD",         store->malformed_key,
                           "MAXLEN",       "~",
                           MALFORMED_KEPT, "*",
                           "reason",       reason,
                           "size",         bytes,
                           "sha256",       sha256 };
    redis_link_command(store->link, STORE_TIMEOUT_MS, (int)(sizeof argv / sizeof argv[0]), argv,
                       NULL, on_nothing, NULL);
}

static void
on_secret(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = store_classify(&call, raw, reply);
    call.secret(result, result == STORE_DONE ? redis_reply_integer(reply) : 0, call.arg);
}

void
store_note_secret(struct store *store, const char *name, int64_t used_wall_ms,
                  store_secret_cb *done, void *arg)
{
    struct call *call = call_new(store, arg);
    call->secret = done;
    struct arguments args;
    add_function(&args, store, "tollgate_secret");
    add_text(&args, name);
    add_number(&args, used_wall_ms);
    send_call(store, &args, STORE_TIMEOUT_MS, on_secret, call);
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
    JOB_BUSY,
    JOB_SEAT,
    JOB_SERIES,
    JOB_PAID,
    JOB_SOLO,
    JOB_TRACEPARENT, /* is left out where there is none */
    JOB_FIELDS
};

static bool
read_job(const struct redis_reply *reply, struct store_job *job)
{
    size_t count = redis_reply_count(reply);
    if ((count != JOB_FIELDS && count != JOB_TRACEPARENT) ||
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
    job->fresh_ms = redis_reply_integer(redis_reply_at(reply, JOB_FRESH));
    job->busy_ms = redis_reply_integer(redis_reply_at(reply, JOB_BUSY));
    job->seat = redis_reply_text(redis_reply_at(reply, JOB_SEAT));
    int64_t series = redis_reply_integer(redis_reply_at(reply, JOB_SERIES));
    job->series = series > 0;
    job->alone = series == 2;
    job->paid = redis_reply_integer(redis_reply_at(reply, JOB_PAID)) == 1;
    job->solo = redis_reply_integer(redis_reply_at(reply, JOB_SOLO)) == 1;
    job->guide = redis_reply_integer(redis_reply_at(reply, JOB_GUIDE)) == 1;
    job->traceparent =
        count == JOB_FIELDS ? redis_reply_text(redis_reply_at(reply, JOB_TRACEPARENT)) : "";
    return true;
}

/* The fields of gate.view in common/redis/gate.lua, in its order; behind them a report has how long
 * everybody is held. */
enum {
    GATE_CAUSE,
    GATE_NOTE,
    GATE_TROUBLED,
    GATE_USED,
    GATE_LEFT,
    GATE_THROTTLED,
    GATE_FIELDS,
    REPORT_WAIT = GATE_FIELDS,
    REPORT_FIELDS
};

struct store_gate
store_read_gate(const struct redis_reply *reply)
{
    if (redis_reply_count(reply) < GATE_FIELDS) {
        return (struct store_gate){ .cause = "", .note = "", .left = -1 };
    }
    return (struct store_gate){
        .cause = redis_reply_text(redis_reply_at(reply, GATE_CAUSE)),
        .note = redis_reply_text(redis_reply_at(reply, GATE_NOTE)),
        .troubled = redis_reply_integer(redis_reply_at(reply, GATE_TROUBLED)) == 1,
        .used = redis_reply_integer(redis_reply_at(reply, GATE_USED)),
        .left = redis_reply_integer(redis_reply_at(reply, GATE_LEFT)),
        .throttled = redis_reply_integer(redis_reply_at(reply, GATE_THROTTLED)),
    };
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
        .hold = redis_reply_text(redis_reply_at(reply, 3)),
        .hold_ms = redis_reply_integer(redis_reply_at(reply, 4)),
        .gate = store_read_gate(redis_reply_at(reply, 5)),
    };
    for (size_t i = 0; i < count; i++) {
        if (read_job(redis_reply_at(jobs, i), &list[batch.count])) {
            batch.count++;
        } else {
            log_error("a newer library's job cannot be read; upgrade this worker",
                      log_s("booking",
                            redis_reply_text(redis_reply_at(redis_reply_at(jobs, i), JOB_ID))));
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
    enum store_result result = store_classify(&call, raw, reply);
    if (result == STORE_DONE && redis_reply_count(reply) >= 6) {
        finish_take(&call, reply);
    } else {
        call.take(result == STORE_DONE ? STORE_ERROR : result, NULL, call.arg);
    }
}

void
store_take(struct store *store, const char *worker, int64_t number, size_t want, size_t busy,
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
    add_text(&args, store->mode);
    add_text(&args, "busy");
    add_number(&args, (int64_t)busy);
    add_field(&args, "traces", "yes");
    add_gate(&args, store);
    send_call(store, &args, STORE_TIMEOUT_MS, on_take, call);
}

static void
on_report(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    enum store_result result = store_classify(&call, raw, reply);
    if (result == STORE_DONE && redis_reply_count(reply) >= REPORT_FIELDS) {
        const struct store_gate gate = store_read_gate(reply);
        call.report(STORE_DONE, &gate, redis_reply_integer(redis_reply_at(reply, REPORT_WAIT)),
                    call.arg);
    } else {
        call.report(result == STORE_DONE ? STORE_ERROR : result, NULL, 0, call.arg);
    }
}

/* A number that may be 0; negative is not told. */
static void
add_told(struct arguments *args, const char *name, int64_t number)
{
    if (number >= 0) {
        add_text(args, name);
        add_number(args, number);
    }
}

void
store_report(struct store *store, const struct store_report *report, store_report_cb *done,
             void *arg)
{
    struct call *call = call_new(store, arg);
    call->report = done;
    struct arguments args;
    add_function(&args, store, "tollgate_report");
    add_text(&args, report->heard);
    add_gate(&args, store);
    add_field(&args, "token", report->token);
    add_field(&args, "id", report->id);
    add_field(&args, "note", report->note);
    add_field(&args, "act", report->act ? "yes" : "");
    add_told(&args, "wait_ms", report->wait_ms);
    add_told(&args, "remaining", report->remaining);
    add_told(&args, "reset_ms", report->reset_ms);
    send_call(store, &args, STORE_TIMEOUT_MS, on_report, call);
}

void
store_unblock(struct store *store, int64_t client_id)
{
    char id[STORE_NUMBER_SIZE];
    (void)snprintf(id, sizeof id, "%" PRId64, client_id);
    const char *argv[] = { "CLIENT", "UNBLOCK", id };
    redis_link_command(store->link, STORE_TIMEOUT_MS, 3, argv, NULL, on_nothing, NULL);
}
