#include "calls.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "json_util.h"
#include "ring.h"

#define STATUS_COUNT 600

struct call_record {
    int64_t begin_ms; /* wall clock */
    int64_t end_ms;   /* 0: under way */
    const char *method;
    char *path;
    char *traceparent; /* NULL: none */
    int64_t booking;
    enum action action;
    int status;
    const char *fault;
    bool after;
};

struct calls {
    struct ring *log; /* of struct call_record */
    unsigned in_flight;
    /* since calls_clear */
    uint64_t total;
    uint64_t by_action[ACTION_COUNT];
    uint64_t by_status[STATUS_COUNT];
    unsigned max_in_flight;
    unsigned max_acts;
    uint64_t overlaps; /* acts that arrived while another act of the same booking was under way */
};

static const char *const action_names[ACTION_COUNT] = {
    [ACTION_GET] = "get",         [ACTION_LIST] = "list",       [ACTION_PATCH] = "patch",
    [ACTION_CONFIRM] = "confirm", [ACTION_DECLINE] = "decline", [ACTION_CANCEL] = "cancel",
    [ACTION_ME] = "me",           [ACTION_OTHER] = "other",
};

const char *
action_name(enum action action)
{
    return action_names[action];
}

bool
action_parse(const char *name, enum action *action)
{
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (strcmp(name, action_names[i]) == 0) {
            *action = (enum action)i;
            return true;
        }
    }
    return false;
}

bool
action_is_act(enum action action)
{
    return action == ACTION_PATCH || action == ACTION_CONFIRM || action == ACTION_DECLINE ||
           action == ACTION_CANCEL;
}

static void
record_free(void *arg)
{
    struct call_record *record = arg;

    free(record->path);
    free(record->traceparent);
    free(record);
}

struct calls *
calls_new(void)
{
    struct calls *calls = xcalloc(1, sizeof(*calls));

    calls->log = ring_new(CALL_LOG_CAPACITY, record_free);
    return calls;
}

void
calls_free(struct calls *calls)
{
    if (calls == NULL)
        return;
    ring_free(calls->log);
    free(calls);
}

void
calls_clear(struct calls *calls)
{
    struct ring *log = calls->log;
    unsigned in_flight = calls->in_flight;

    ring_clear(log);
    *calls = (struct calls){ .log = log, .in_flight = in_flight, .max_in_flight = in_flight };
}

uint64_t
calls_begin(struct calls *calls, const struct call_facts *facts)
{
    struct call_record *record = xcalloc(1, sizeof(*record));

    record->begin_ms = clock_wall_ms();
    record->method = facts->method;
    record->path = xstrdup(facts->path);
    record->traceparent = facts->traceparent == NULL ? NULL : xstrdup(facts->traceparent);
    record->booking = facts->booking;
    record->action = facts->action;
    record->fault = facts->fault;
    record->after = facts->after;

    calls->total++;
    calls->by_action[facts->action]++;
    if (++calls->in_flight > calls->max_in_flight)
        calls->max_in_flight = calls->in_flight;
    if (facts->acts > calls->max_acts)
        calls->max_acts = facts->acts;
    if (facts->acts > 1)
        calls->overlaps++;
    return ring_push(calls->log, record);
}

void
calls_end(struct calls *calls, uint64_t number, int status)
{
    struct call_record *record = ring_get(calls->log, number);

    calls->in_flight--;
    if (record == NULL) /* so long ago that it fell out of the log, or before a reset */
        return;
    record->end_ms = clock_wall_ms();
    record->status = status;
    if (status >= 0 && status < STATUS_COUNT)
        calls->by_status[status]++;
}

static json_object *
record_json(const struct call_record *record, uint64_t number)
{
    json_object *entry = object_new();

    put_int(entry, "n", (int64_t)number);
    put_int(entry, "t_ms", record->begin_ms);
    put_int(entry, "end_ms", record->end_ms);
    put_text(entry, "method", record->method);
    put_text(entry, "path", record->path);
    if (record->booking == 0)
        put_null(entry, "booking");
    else
        put_int(entry, "booking", record->booking);
    put_text(entry, "action", action_name(record->action));
    put_int(entry, "status", record->status);
    put_text(entry, "fault", record->fault);
    put_bool(entry, "after", record->after);
    put_text(entry, "traceparent", record->traceparent);
    return entry;
}

json_object *
calls_log(const struct calls *calls, uint64_t since, int64_t booking)
{
    uint64_t n = ring_first(calls->log);
    json_object *log = array_new();

    for (n = since >= n ? since + 1 : n; n < ring_end(calls->log); n++) {
        const struct call_record *record = ring_get(calls->log, n);
        if (booking == 0 || record->booking == booking)
            push(log, record_json(record, n));
    }
    return log;
}

json_object *
calls_stats(const struct calls *calls)
{
    json_object *stats = object_new(), *actions = object_new(), *statuses = object_new();

    for (size_t i = 0; i < ACTION_COUNT; i++)
        put_int(actions, action_names[i], (int64_t)calls->by_action[i]);
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "%zu", i);
        if (calls->by_status[i] > 0)
            put_int(statuses, name, (int64_t)calls->by_status[i]);
    }
    put_int(stats, "calls", (int64_t)calls->total);
    put_int(stats, "inFlight", calls->in_flight);
    put(stats, "byAction", actions);
    put(stats, "byStatus", statuses);
    put_int(stats, "maxConcurrent", calls->max_in_flight);
    put_int(stats, "maxActsPerBooking", calls->max_acts);
    put_int(stats, "overlaps", (int64_t)calls->overlaps);
    return stats;
}
