/*
 * What store.c (the connection, the library, the policy), store_calls.c, store_steps.c,
 * store_lease.c, store_sweep.c and store_watch.c (the typed calls), store_check.c and
 * store_confirm.c share. For these files only.
 */
#ifndef TOLLGATE_STORE_INTERNAL_H
#define TOLLGATE_STORE_INTERNAL_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/redis_check.h"
#include "common/redis_link.h"
#include "common/store.h"

#define STORE_TIMEOUT_MS  1000 /* worker's calls; ingest brings its own, shorter time */
#define STORE_NUMBER_SIZE 24   /* a 64-bit number as text */

/*
 *   AWAY --connected--> VERSION --missing or older--> LOADING --> VERSION --> POLICY --> READY
 *                          `---------------as new or newer----------^
 */
enum store_state { AWAY, PREPARING, READY };

/* What is known so far of how Redis is set up, see store_check.c. */
struct store_check {
    char version[16];
    char settings[REDIS_CHECK_SETTINGS][64];
    bool known[REDIS_CHECK_SETTINGS];
    const char *said[REDIS_RISKS]; /* what was logged last */
    bool said_fine;
};

STAILQ_HEAD(store_confirm_list, store_confirm);

struct store {
    struct redis_link *link;
    struct store_handlers handlers;
    void *arg;
    enum store_state state;
    bool loaded; /* the library was loaded on this connection: do not try for ever */
    char *queue_key;
    char *malformed_key;
    char keep_ms[STORE_NUMBER_SIZE];
    char fresh_ms[STORE_NUMBER_SIZE];
    char lease_ms[STORE_NUMBER_SIZE];
    const char *mode; /* decide or observe */
    bool trace_settled;
    struct store_gate_of gate;
    char *policy_text; /* NULL: this program brings none */
    char policy_source[16];
    char *policy_error;
    bool strict;
    struct store_check check;
    char wait_replicas[STORE_NUMBER_SIZE];
    struct store_confirm_list confirms_asked; /* by the WAIT under way */
    struct store_confirm_list confirms_next;  /* by the next one */
};

/* How the gate stands, from what gate.view in common/redis/gate.lua answers. */
struct store_gate store_read_gate(const struct redis_reply *reply);

/* A new connection: asks Redis how it is set up, and logs and tells what is unsafe. */
void store_check_start(struct store *store);

#define MAX_ARGS 64

/* The argument list of one FCALL; numbers are formatted into the list's own memory. */
struct arguments {
    const char *argv[MAX_ARGS];
    int count;
    char numbers[8][STORE_NUMBER_SIZE];
    size_t numbers_used;
};

static inline void
add_text(struct arguments *args, const char *text)
{
    if (args->count == MAX_ARGS) {
        abort(); /* a call with a fixed number of arguments outgrew the list */
    }
    args->argv[args->count++] = text;
}

static inline void
add_number(struct arguments *args, int64_t number)
{
    if (args->numbers_used == sizeof args->numbers / sizeof args->numbers[0]) {
        abort();
    }
    char *text = args->numbers[args->numbers_used++];
    (void)snprintf(text, STORE_NUMBER_SIZE, "%" PRId64, number);
    add_text(args, text);
}

/* A field that the webhook told; the library takes pairs. */
static inline void
add_field(struct arguments *args, const char *name, const char *value)
{
    if (value != NULL && *value != '\0') {
        add_text(args, name);
        add_text(args, value);
    }
}

/* The same of a number; 0 is not told. */
static inline void
add_number_field(struct arguments *args, const char *name, int64_t number)
{
    if (number != 0) {
        add_text(args, name);
        add_number(args, number);
    }
}

/* The options that name the gate to Cal.com, at the end of a function's arguments. */
static inline void
add_gate(struct arguments *args, const struct store *store)
{
    const struct store_gate_of *gate = &store->gate;
    if (gate->name[0] == '\0') {
        return;
    }
    add_field(args, "gate", gate->name);
    add_number_field(args, "limit", gate->limit);
    add_field(args, "guard", gate->guard ? "yes" : "");
    add_number_field(args, "call_ms", gate->call_ms);
}

static inline void
add_function(struct arguments *args, const struct store *store, const char *function)
{
    args->count = 0;
    args->numbers_used = 0;
    add_text(args, "FCALL");
    add_text(args, function);
    add_text(args, "1");
    add_text(args, store->queue_key);
}

/* A call on its way: which callback waits, and for what. */
struct call {
    struct store *store;
    store_record_cb *record;
    store_record_late_cb *record_late;
    store_take_cb *take;
    store_step_cb *step;
    store_settle_cb *settle;
    store_report_cb *report;
    store_lease_cb *lease;
    store_reap_cb *reap;
    store_swept_cb *swept;
    store_found_cb *found;
    store_watch_cb *watch;
    store_secret_cb *secret;
    void *arg;
    char id[BOOKING_ID_SIZE]; /* of the booking that it is about; "": none, or several */
};

/* What a result means to a caller. A library or policy that is gone was flushed: it is loaded
 * again, and the call certainly did not run. */
enum store_result store_classify(const struct call *call, enum redis_result result,
                                 const struct redis_reply *reply);

static inline struct call *
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

/* For the log. */
static inline void
call_about(struct call *call, const char *id)
{
    (void)strncpy(call->id, id, sizeof call->id - 1);
}

/* `done` gets `call`, to free it. */
static inline void
send_call(struct store *store, struct arguments *args, int64_t timeout_ms, redis_done_cb *done,
          struct call *call)
{
    redis_link_command(store->link, timeout_ms, args->count, args->argv, NULL, done, call);
}

#endif
