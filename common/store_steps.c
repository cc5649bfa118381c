/* The typed calls that end a take, and what comes before a call to Cal.com; see settle.lua. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store_internal.h"

static enum store_step
read_step(const char *word)
{
    static const struct {
        const char *word;
        enum store_step step;
    } STEPS[] = {
        { "go", STORE_STEP_GO },           { "settled", STORE_STEP_SETTLED },
        { "look", STORE_STEP_LOOK },       { "retry", STORE_STEP_RETRY },
        { "queued", STORE_STEP_QUEUED },   { "dead", STORE_STEP_DEAD },
        { "parked", STORE_STEP_DEAD },     { "hold", STORE_STEP_HOLD },
        { "checked", STORE_STEP_CHECKED },
    };
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        if (strcmp(word, STEPS[i].word) == 0) {
            return STEPS[i].step;
        }
    }
    return STORE_STEP_STALE;
}

static const char *
read_detail(const struct redis_reply *reply, char number[STORE_NUMBER_SIZE])
{
    if (redis_reply_type(reply) != REPLY_INTEGER) {
        return redis_reply_text(reply);
    }
    (void)snprintf(number, STORE_NUMBER_SIZE, "%" PRId64, redis_reply_integer(reply));
    return number;
}

/* What every step answers. */
struct step_answer {
    enum store_result result;
    enum store_step step;
    const char *detail;
    char memory[64]; /* of the detail, where it had to be written */
};

static void
read_answer(const struct call *call, enum redis_result raw, const struct redis_reply *reply,
            struct step_answer *answer)
{
    char number[STORE_NUMBER_SIZE];
    answer->result = store_classify(call, raw, reply);
    answer->step = STORE_STEP_STALE;
    answer->detail = "";
    if (answer->result == STORE_ERROR) {
        answer->detail = redis_reply_text(reply);
    }
    if (answer->result != STORE_DONE || redis_reply_count(reply) == 0) {
        return;
    }
    answer->step = read_step(redis_reply_text(redis_reply_at(reply, 0)));
    if (redis_reply_count(reply) > 1) {
        answer->detail = read_detail(redis_reply_at(reply, 1), number);
    }
    if (answer->step == STORE_STEP_HOLD && redis_reply_count(reply) > 2) {
        (void)snprintf(answer->memory, sizeof answer->memory, "%s %s", answer->detail,
                       redis_reply_text(redis_reply_at(reply, 2)));
        answer->detail = answer->memory;
    } else if (answer->detail == number) {
        (void)snprintf(answer->memory, sizeof answer->memory, "%s", number);
        answer->detail = answer->memory;
    }
}

static void
on_step(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    struct step_answer answer;
    read_answer(&call, raw, reply, &answer);
    call.step(answer.result, answer.step, answer.detail, call.arg);
}

/* id: the booking's; "": it is about none. */
static void
send_step(struct store *store, struct arguments *args, const char *id, store_step_cb *done,
          void *arg)
{
    struct call *call = call_new(store, arg);
    call->step = done;
    call_about(call, id);
    send_call(store, args, STORE_TIMEOUT_MS, on_step, call);
}

void
store_begin(struct store *store, const char *id, const char *token, const char *call,
            store_step_cb *done, void *arg)
{
    struct arguments args;
    add_function(&args, store, "tollgate_begin");
    add_text(&args, id);
    add_text(&args, token);
    add_text(&args, call);
    add_text(&args, store->keep_ms);
    add_gate(&args, store);
    send_step(store, &args, id, done, arg);
}

/* A value of the list name, value, …; "" where it is not in there. */
static const char *
find_value(const struct redis_reply *list, const char *name)
{
    for (size_t i = 0; i + 1 < redis_reply_count(list); i += 2) {
        if (strcmp(redis_reply_text(redis_reply_at(list, i)), name) == 0) {
            return redis_reply_text(redis_reply_at(list, i + 1));
        }
    }
    return "";
}

static int64_t
find_number(const struct redis_reply *list, const char *name)
{
    return strtoll(find_value(list, name), NULL, 10);
}

/* See times_of in common/redis/settle.lua. */
static struct store_settled
read_settled(const struct redis_reply *reply)
{
    struct store_settled settled = { .latency_ms = -1, .decision = "", .calls = "" };
    if (redis_reply_count(reply) > 2) {
        settled.latency_ms = redis_reply_integer(redis_reply_at(reply, 2));
    }
    if (redis_reply_count(reply) > 3) {
        const struct redis_reply *times = redis_reply_at(reply, 3);
        settled.traced = true;
        settled.received_wall_ms = find_number(times, "received_ms");
        settled.queued_wall_ms = find_number(times, "queued_ms");
        settled.decided_wall_ms = find_number(times, "decided_ms");
        settled.settled_wall_ms = find_number(times, "settled_ms");
        settled.requeued_wall_ms = find_number(times, "requeued_ms");
        settled.decision = find_value(times, "decision");
        settled.cost = find_number(times, "cost");
        settled.attempts = find_number(times, "attempts");
        settled.takes = find_number(times, "takes");
        settled.calls = find_value(times, "calls");
    }
    return settled;
}

static void
on_settle(enum redis_result raw, const struct redis_reply *reply, void *arg)
{
    struct call call = *(struct call *)arg;
    free(arg);
    struct step_answer answer;
    read_answer(&call, raw, reply, &answer);
    if (answer.result == STORE_DONE && answer.step == STORE_STEP_SETTLED) {
        const struct store_settled settled = read_settled(reply);
        call.settle(answer.result, answer.step, answer.detail, &settled, call.arg);
    } else {
        call.settle(answer.result, answer.step, answer.detail, NULL, call.arg);
    }
}

void
store_trace_settled(struct store *store)
{
    store->trace_settled = true;
}

static void
send_outcome(struct store *store, const struct store_step_of *step, const char *outcome,
             const char *members, store_settle_cb *done, void *arg)
{
    struct call *call = call_new(store, arg);
    call->settle = done;
    call_about(call, step->id);
    struct arguments args;
    add_function(&args, store, "tollgate_settle");
    add_text(&args, step->id);
    add_text(&args, step->token);
    add_text(&args, outcome);
    add_text(&args, store->keep_ms);
    add_text(&args, step->note);
    add_text(&args, members != NULL ? "series" : "booking");
    add_text(&args, step->calls);
    add_text(&args, step->unfinished ? "1" : "0");
    add_text(&args, members != NULL ? members : "");
    if (step->told != NULL) {
        add_field(&args, "cancelled_by", step->told->cancelled_by);
        add_field(&args, "rescheduled_to", step->told->rescheduled_to);
        add_number_field(&args, "changed_ms", step->told->changed_wall_ms);
    }
    add_field(&args, "times", store->trace_settled ? "yes" : "");
    send_call(store, &args, STORE_TIMEOUT_MS, on_settle, call);
}

void
store_settle(struct store *store, const struct store_step_of *step, enum booking_status outcome,
             const char *members, store_settle_cb *done, void *arg)
{
    send_outcome(store, step, booking_status_name(outcome), members, done, arg);
}

void
store_refuse(struct store *store, const struct store_step_of *step, store_settle_cb *done,
             void *arg)
{
    send_outcome(store, step, "refused", NULL, done, arg);
}

void
store_retry(struct store *store, const struct store_step_of *step, int64_t delay_ms, bool burn,
            store_step_cb *done, void *arg)
{
    struct arguments args;
    add_function(&args, store, "tollgate_retry");
    add_text(&args, step->id);
    add_text(&args, step->token);
    add_number(&args, delay_ms);
    add_text(&args, burn ? "1" : "0");
    add_text(&args, store->keep_ms);
    add_text(&args, step->note);
    add_text(&args, step->calls);
    add_text(&args, step->unfinished ? "1" : "0");
    send_step(store, &args, step->id, done, arg);
}

void
store_join(struct store *store, const struct store_step_of *step, const char *series,
           store_step_cb *done, void *arg)
{
    struct arguments args;
    add_function(&args, store, "tollgate_join");
    add_text(&args, step->id);
    add_text(&args, step->token);
    add_text(&args, series);
    add_text(&args, store->keep_ms);
    add_text(&args, step->calls);
    send_step(store, &args, step->id, done, arg);
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
    send_step(store, &args, id, done, arg);
}

void
store_leave(struct store *store, const char *worker, store_step_cb *done, void *arg)
{
    struct arguments args;
    add_function(&args, store, "tollgate_leave");
    add_text(&args, worker);
    add_text(&args, store->keep_ms);
    send_step(store, &args, "", done, arg);
}

void
store_reserve(struct store *store, const char *worker, store_step_cb *done, void *arg)
{
    struct arguments args;
    add_function(&args, store, "tollgate_reserve");
    add_text(&args, worker);
    add_gate(&args, store);
    send_step(store, &args, "", done, arg);
}
