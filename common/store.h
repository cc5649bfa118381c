/*
 * The Redis library (common/redis) as typed calls: one per function of it. Loads the library into a
 * Redis that has none or an older one, and again when it was lost; never replaces a newer one.
 *
 * Every call ends in exactly one run of its callback, never from inside the call.
 */
#ifndef TOLLGATE_STORE_H
#define TOLLGATE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/booking.h"

struct config;
struct event_base;
struct store;

enum store_result {
    STORE_DONE,    /* the function ran */
    STORE_UNSENT,  /* Redis is away; it certainly did not run */
    STORE_UNKNOWN, /* it may have run; every function is safe to repeat with the same arguments */
    STORE_ERROR,   /* Redis or the function answered with an error; it changed nothing */
};

struct store_handlers {
    /* The library is there (and the policy, where one is given): calls will be served. Once for
     * each time it becomes so. May be NULL. */
    void (*ready)(void *arg);
    /* Calls will not be served until the next `ready`. May be NULL. */
    void (*away)(void *arg);
};

/*
 * `config` must outlive the store. NULL when memory is out; else connects in the background.
 */
__attribute__((warn_unused_result)) struct store *store_new(struct event_base *base,
                                                            const struct config *config,
                                                            const struct store_handlers *handlers,
                                                            void *arg);

/* Ends what is pending as UNKNOWN. Accepts NULL. Not from inside a callback of this store. */
void store_free(struct store *store);

/* Connected, library and policy in place. */
bool store_is_ready(const struct store *store);

/*
 * The policy that this program brings along, installed by the library's rules now and on each new
 * connection: source "default" or "file". The text is copied. The last one given counts.
 * False when memory is out. A text that Redis cannot compile is logged with its line; see
 * store_policy_error.
 */
__attribute__((warn_unused_result)) bool store_set_policy(struct store *store, const char *text,
                                                          const char *source);

/* Why the policy given was refused by Redis; NULL while it was not. Valid until the next call. */
const char *store_policy_error(const struct store *store);

enum store_recorded {
    STORE_RECORDED_QUEUED,  /* a worker will look at the booking */
    STORE_RECORDED_NO_WORK, /* recorded or known already; nothing to do */
};

typedef void store_record_cb(enum store_result result, enum store_recorded recorded, void *arg);

/* Records an event as a fact. timeout_ms: how long Redis may take. */
void store_record(struct store *store, const struct booking_event *event, int64_t timeout_ms,
                  store_record_cb *done, void *arg);

/*
 * Remembers, in a capped list, that a signed webhook could not be understood. Nobody waits for the
 * answer. reason: a short text without anything of the body; sha256: of the body, hex.
 */
void store_note_malformed(struct store *store, const char *reason, size_t size, const char *sha256);

/* A booking in this worker's hands. Strings are valid during the callback only. */
struct store_job {
    const char *id;
    const char *token; /* every later step presents it */
    enum booking_goal goal;
    const char *uid;
    const char *account;
    const char *reason; /* what to tell Cal.com on a "no" */
    int64_t cost;       /* credits */
    unsigned attempts;  /* failed so far */
    int64_t fresh_ms;   /* for so long it may be acted on without a look; 0: not at all */
    bool guide;         /* the guide's flow: Cal.com had accepted it before it was decided */
    int64_t busy_ms;    /* for so long a call that was not answered may still run: look only */
    const char *seat;   /* Cal.com's ID of the seat meant; "": the booking has no seats */
    bool series;        /* one of several of a series */
    bool paid;          /* Cal.com refunds it when it is declined or cancelled */
    bool solo;          /* workers died with it in hand: it is all that this one has now */
};

struct store_batch {
    const struct store_job *jobs;
    size_t count;
    int64_t left;        /* names still in the queue */
    int64_t next_due_ms; /* until the next retry is due; -1: none waits */
    const char *hold;    /* why no more can be taken now; "": nothing stands against it */
    int64_t hold_ms;     /* for how long; 0 with a hold: until nothing is in hand */
};

/* batch is NULL unless the result is STORE_DONE, and valid during the call only. */
typedef void store_take_cb(enum store_result result, const struct store_batch *batch, void *arg);

/*
 * Takes up to `want` bookings; `busy` are in hand. `number` counts this worker's takes from 1 up:
 * the same number gives the same batch again, so that an answer lost on the way leaves nothing
 * stuck. Extends the worker's lease.
 */
void store_take(struct store *store, const char *worker, int64_t number, size_t want, size_t busy,
                store_take_cb *done, void *arg);

/* held: the worker was known; otherwise it is new, or was reaped: what it had in hand is in other
 * hands. unadopted: names in its list that it did not take itself; the next take does. */
typedef void store_lease_cb(enum store_result result, bool held, int64_t unadopted, void *arg);

/* Extends the worker's lease by TOLLGATE_LEASE_MS from when Redis has it. */
void store_lease(struct store *store, const char *worker, store_lease_cb *done, void *arg);

#define STORE_CURSOR_SIZE 24

/* A look after the other workers: gives back what dead ones had in hand, and what living ones have
 * in hand for too long. */
struct store_sweep_of {
    const char *worker;   /* who sweeps */
    const char *epoch;    /* its connection: <worker>/<number> */
    int64_t connected_ms; /* for how long that has been up */
    int64_t hold_ms;      /* how long a booking may be in hand */
    const char *cursor;   /* as the newest sweep told; "0": none did */
};

/* Strings are valid during the callback only. */
struct store_sweep {
    bool swept;              /* false: another worker sweeps */
    bool more;               /* there is more to do at once */
    const char *cursor;      /* for the next one */
    const char *const *dead; /* workers that were found dead */
    const int64_t *names;    /* how many names each of them had */
    size_t dead_count;
    const char *const *overdue; /* bookings that were in hand for too long */
    size_t overdue_count;
};

/* sweep is NULL unless the result is STORE_DONE. */
typedef void store_sweep_cb(enum store_result result, const struct store_sweep *sweep, void *arg);

void store_reap(struct store *store, const struct store_sweep_of *of, store_sweep_cb *done,
                void *arg);

enum store_step {
    STORE_STEP_GO, /* begin: the call may go out */
    STORE_STEP_SETTLED,
    STORE_STEP_LOOK,   /* a cancel came meanwhile: no confirm any more; look at the booking */
    STORE_STEP_RETRY,  /* waits for its due time; a settle: what Cal.com says may not stay so */
    STORE_STEP_QUEUED, /* back in the queue */
    STORE_STEP_DEAD,   /* listed for a person */
    STORE_STEP_STALE,  /* the token is not the one in force; nothing was changed */
};

/* detail: the final state, why it is dead, or in how many ms it is due again; a text valid during
 * the call, never NULL. */
typedef void store_step_cb(enum store_result result, enum store_step step, const char *detail,
                           void *arg);

/* What the steps that put a booking down have in common. */
struct store_step_of {
    const char *id, *token;
    const char *note;  /* for the record: what Cal.com said, or why */
    const char *calls; /* to Cal.com in this take, see booking.lua; "": none */
    bool unfinished;   /* an act of this take was not answered in time: it may still run */
};

/* Comes before every call to Cal.com but the first of a take, and puts on record that it begins.
 * call: its name (see calcom_call_name). */
void store_begin(struct store *store, const char *id, const char *token, const char *call,
                 store_step_cb *done, void *arg);

/* Cal.com says that the booking is in this state (not pending). whole_series: it did the same with
 * every pending booking of the series. */
void store_settle(struct store *store, const struct store_step_of *step,
                  enum booking_status outcome, bool whole_series, store_step_cb *done, void *arg);

/* Cal.com will never do what we ask: releases, and lists the booking for a person. */
void store_refuse(struct store *store, const struct store_step_of *step, store_step_cb *done,
                  void *arg);

/* Again after delay_ms, and not before an act that may still run is over; counts as an attempt when
 * `burn`. */
void store_retry(struct store *store, const struct store_step_of *step, int64_t delay_ms, bool burn,
                 store_step_cb *done, void *arg);

/* Tells which series the booking is in; "": none. It is decided with the others of it. The detail
 * of STORE_STEP_RETRY is how long (ms) they are waited for. */
void store_join(struct store *store, const struct store_step_of *step, const char *series,
                store_step_cb *done, void *arg);

/* Back into the queue undone, next in line. */
void store_give_back(struct store *store, const char *id, const char *token, store_step_cb *done,
                     void *arg);

/* This worker ends: everything it still has goes back. */
void store_leave(struct store *store, const char *worker, store_step_cb *done, void *arg);

/* Ends another connection's blocking command (CLIENT UNBLOCK). Nobody waits for the answer. */
void store_unblock(struct store *store, int64_t client_id);

#endif
