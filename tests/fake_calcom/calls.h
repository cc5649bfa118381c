/* The log of API calls, and the numbers drawn from it. */
#ifndef FAKE_CALCOM_CALLS_H
#define FAKE_CALCOM_CALLS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define CALL_LOG_CAPACITY 200000

enum action {
    ACTION_GET,
    ACTION_LIST,
    ACTION_PATCH,
    ACTION_CONFIRM,
    ACTION_DECLINE,
    ACTION_CANCEL,
    ACTION_ME,
    ACTION_OTHER, /* no such route */
};

#define ACTION_COUNT (ACTION_OTHER + 1)

const char *action_name(enum action action);
bool action_parse(const char *name, enum action *action) __attribute__((warn_unused_result));
bool action_is_act(enum action action); /* changes a booking: patch, confirm, decline, cancel */

struct calls;

struct calls *calls_new(void);
void calls_free(struct calls *calls);
void calls_clear(struct calls *calls); /* the log and the numbers; calls under way are still counted
                                          as under way */

struct call_facts {
    const char *method;
    const char *path;        /* with query, without the value of the API key; copied */
    const char *traceparent; /* the header, copied; NULL: none */
    enum action action;
    int64_t booking;   /* 0: none, or not known here */
    const char *fault; /* a constant, or NULL */
    bool after;        /* the fault comes when the call has been carried out */
    unsigned
        acts; /* calls in flight that change this booking, this one included; 0 if it does not */
};

/* A call has arrived: its number. calls_end is owed. */
uint64_t calls_begin(struct calls *calls, const struct call_facts *facts);

/* It was answered with `status`, or, with 0, will never be. */
void calls_end(struct calls *calls, uint64_t number, int status);

/*
 * [{"n","t_ms","end_ms","method","path","booking","action","status","fault","after",
 * "traceparent"}], oldest first, of calls whose number is greater than `since`, and of one booking
 * if `booking` is not 0. end_ms is 0 while a call is under way. The caller's.
 */
json_object *calls_log(const struct calls *calls, uint64_t since, int64_t booking);

/* {"calls","inFlight","byAction","byStatus","maxConcurrent","maxActsPerBooking","overlaps"}. */
json_object *calls_stats(const struct calls *calls);

#endif
