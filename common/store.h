/*
 * The Redis library (common/redis) as typed calls: one per function of it. Loads the library into a
 * Redis that has none or an older one, and again when it was lost; never replaces a newer one.
 * Where a newer one no longer serves this program, the store stays away and the log says so.
 *
 * Every call ends in exactly one run of its callback, never from inside the call.
 */
#ifndef TOLLGATE_STORE_H
#define TOLLGATE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/booking.h"

struct booking_packed;
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
    /* How Redis is set up was looked at: whether it keeps what it acknowledges. Once for each
     * connection. What is unsafe was logged by then, unless it was the same before: as warnings, or
     * as errors with TOLLGATE_STRICT. A store without this handler does not look. May be NULL. */
    void (*checked)(bool safe, void *arg);
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
void store_record(struct store *store, const struct booking_packed *event, int64_t timeout_ms,
                  store_record_cb *done, void *arg);

/* An event that waited: when it reached us, and what booking_pack made of it. */
struct store_late_event {
    int64_t received_wall_ms;
    const char *bytes;
    size_t size;
};

/* error: why the first of the others was refused, "" when all were recorded. It is about that one
 * event; what Redis refuses to do at all is STORE_ERROR. Valid during the call. */
typedef void store_record_late_cb(enum store_result result, size_t recorded, const char *error,
                                  void *arg);

/* Records events in their order, up to the first that is refused. Each has passed booking_unpack.
 */
void store_record_late(struct store *store, const struct store_late_event *events, size_t count,
                       int64_t timeout_ms, store_record_late_cb *done, void *arg);

/*
 * STORE_DONE: all that was recorded on this connection so far has reached TOLLGATE_WAIT_REPLICAS
 * replicas. STORE_UNKNOWN: not within timeout_ms, or Redis is away. To be called from the callback
 * of what was recorded, while the connection is the same. Meanwhile the connection does nothing
 * else; calls that come together share one question.
 */
typedef void store_confirm_cb(enum store_result result, void *arg);
void store_confirm(struct store *store, int64_t timeout_ms, store_confirm_cb *done, void *arg);

/*
 * Remembers, in a capped list, that a signed webhook could not be understood. Nobody waits for the
 * answer. reason: a short text without anything of the body; sha256: of the body, hex.
 */
void store_note_malformed(struct store *store, const char *reason, size_t size, const char *sha256);

/* used_wall_ms: when it was used last as all ingests know; 0 unless STORE_DONE. */
typedef void store_secret_cb(enum store_result result, int64_t used_wall_ms, void *arg);

/* Remembers when a webhook secret was used last, see common/redis/secrets.lua. name: 8 hex digits.
 */
void store_note_secret(struct store *store, const char *name, int64_t used_wall_ms,
                       store_secret_cb *done, void *arg);

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
    bool alone;         /* others of its series wait at Cal.com for another answer than this one */
    bool paid;          /* Cal.com refunds it when it is declined or cancelled */
    bool solo;          /* workers died with it in hand: it is all that this one has now */
    const char *traceparent; /* the trace that its webhook came in by; "": none. As it was recorded:
                                check it */
};

/* Which gate to Cal.com is this program's, and what it may let through; see common/redis/gate.lua.
 */
struct store_gate_of {
    char name[17];   /* 16 hex digits; "": there is no gate */
    int64_t limit;   /* calls per minute; 0: as many as you like */
    bool guard;      /* too many calls over the limit lock the account (v1) */
    int64_t call_ms; /* how long one call takes at most */
};

/* For take, begin, reserve and report from now on. */
void store_set_gate(struct store *store, const struct store_gate_of *gate);

/* How the gate stands. Strings are valid during the callback only. */
struct store_gate {
    const char *cause;  /* why the breaker is open; "": it is closed */
    const char *note;   /* what Cal.com said then */
    bool troubled;      /* a call that succeeds is news */
    int64_t used, left; /* calls in the window; left -1: there is no limit */
    int64_t throttled;  /* how often Cal.com answered 429 */
};

struct store_batch {
    const struct store_job *jobs;
    size_t count;
    int64_t left;        /* names still in the queue */
    int64_t next_due_ms; /* until the next retry is due; -1: none waits */
    const char *hold; /* why no more can be taken now; "": nothing stands against it; "probe": this
                         worker shall ask for /me and report what it heard */
    int64_t hold_ms;  /* for how long; 0 with a hold: until nothing is in hand */
    struct store_gate gate;
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
struct store_reap_of {
    const char *worker;   /* who sweeps */
    const char *epoch;    /* its connection: <worker>/<number> */
    int64_t connected_ms; /* for how long that has been up */
    int64_t hold_ms;      /* how long a booking may be in hand */
    const char *cursor;   /* as the newest sweep told; "0": none did */
};

/* Strings are valid during the callback only. */
struct store_reaped {
    bool swept;              /* false: another worker sweeps */
    bool more;               /* there is more to do at once */
    const char *cursor;      /* for the next one */
    const char *const *dead; /* workers that were found dead */
    const int64_t *names;    /* how many names each of them had */
    size_t dead_count;
    const char *const *overdue; /* bookings that were in hand for too long */
    size_t overdue_count;
};

/* reaped is NULL unless the result is STORE_DONE. */
typedef void store_reap_cb(enum store_result result, const struct store_reaped *reaped, void *arg);

void store_reap(struct store *store, const struct store_reap_of *of, store_reap_cb *done,
                void *arg);

enum store_step {
    STORE_STEP_GO, /* begin: the call may go out */
    STORE_STEP_SETTLED,
    STORE_STEP_LOOK,    /* a cancel came meanwhile: no confirm any more; look at the booking */
    STORE_STEP_RETRY,   /* waits for its due time; a settle: what Cal.com says may not stay so */
    STORE_STEP_QUEUED,  /* back in the queue */
    STORE_STEP_DEAD,    /* listed for a person */
    STORE_STEP_STALE,   /* the token is not the one in force; nothing was changed */
    STORE_STEP_HOLD,    /* begin: no call may go out now */
    STORE_STEP_CHECKED, /* it was only looked at, and is where it was */
};

/* What is told of a booking beside its final state. Strings are valid during the callback only. */
struct store_settled {
    int64_t latency_ms; /* from the webhook to the outcome; -1: that says nothing about us */
    bool traced;        /* the rest is told: store_trace_settled asked for it, and it was open */
    int64_t received_wall_ms, queued_wall_ms, decided_wall_ms, settled_wall_ms;
    int64_t requeued_wall_ms; /* when a person had it tried again; 0: nobody did */
    const char *decision;     /* accept, reject; "": none was needed */
    int64_t cost, attempts, takes;
    const char *calls; /* the newest, of all takes; see `calls` in common/redis/booking.lua */
};

/* settled is NULL unless the step is STORE_STEP_SETTLED; detail as in store_step_cb. */
typedef void store_settle_cb(enum store_result result, enum store_step step, const char *detail,
                             const struct store_settled *settled, void *arg);

/* detail: the final state, why it is dead, in how many ms it is due again, or for how long (ms) and
 * why it is held; a text valid during the call, never NULL. */
typedef void store_step_cb(enum store_result result, enum store_step step, const char *detail,
                           void *arg);

/* What Cal.com says of a booking beside how it stands, see sweep.mend in common/redis/sweep.lua. */
struct store_told {
    const char *cancelled_by;   /* normalised; "": not told */
    const char *rescheduled_to; /* a uid; "": not told */
    int64_t changed_wall_ms;    /* when it was changed last; 0: not told */
};

/* What the steps that put a booking down have in common. */
struct store_step_of {
    const char *id, *token;
    const char *note;  /* for the record: what Cal.com said, or why */
    const char *calls; /* to Cal.com in this take, see booking.lua; "": none */
    bool unfinished;   /* an act of this take was not answered in time: it may still run */
    const struct store_told *told; /* store_settle; NULL: nothing */
};

/* Comes before every call to Cal.com but the first of a take: reserves it, and puts on record that
 * it begins. call: its name (see calcom_call_name). */
void store_begin(struct store *store, const char *id, const char *token, const char *call,
                 store_step_cb *done, void *arg);

/* Cal.com says that the booking is in this state (pending only for what is looked at). members: our
 * call acted on every pending booking of the series, and they stand as struct calcom_answer says,
 * or all like this one
 * (""); NULL: it did not. */
void store_settle(struct store *store, const struct store_step_of *step,
                  enum booking_status outcome, const char *members, store_settle_cb *done,
                  void *arg);

/* Cal.com will never do what we ask, or cannot even be asked about it: releases what an open
 * booking holds, and lists it for a person. */
void store_refuse(struct store *store, const struct store_step_of *step, store_settle_cb *done,
                  void *arg);

/* From now on store_settle and store_refuse tell what a trace of the booking is made of. */
void store_trace_settled(struct store *store);

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

/* Reserves a call to /me: STORE_STEP_GO or STORE_STEP_HOLD. */
void store_reserve(struct store *store, const char *worker, store_step_cb *done, void *arg);

/* What an answer of Cal.com tells all workers; see tollgate_report in common/redis/gate.lua. */
struct store_report {
    const char *heard; /* a name in HEARD there */
    const char *token; /* of the booking's take, or the worker's name */
    const char *id;    /* the booking, or "me" */
    const char *note;  /* what Cal.com said */
    bool act;          /* the call changed a booking */
    int64_t wait_ms;   /* throttled: for how long; -1: not told */
    int64_t remaining; /* calls that Cal.com says are left; -1: not told */
    int64_t reset_ms;  /* until when; -1: not told */
};

/* gate is NULL unless the result is STORE_DONE, and valid during the call only. wait_ms: for how
 * long nobody may call. */
typedef void store_report_cb(enum store_result result, const struct store_gate *gate,
                             int64_t wait_ms, void *arg);

void store_report(struct store *store, const struct store_report *report, store_report_cb *done,
                  void *arg);

/* ---- The sweep, see common/redis/sweep.lua ---- */

struct store_sweep {
    const char *worker;
    int64_t interval_ms, lease_ms;
};

struct store_swept {
    const char *word;        /* go, wait, hold or lost */
    int64_t number;          /* ms to wait; how many */
    const char *why;         /* hold */
    const char *const *news; /* what to log, `<booking> <text>` */
    size_t news_count;
};

/* swept is NULL unless the result is STORE_DONE, and valid during the call only. */
typedef void store_swept_cb(enum store_result result, const struct store_swept *swept, void *arg);

/* step: start, call, look or end. */
void store_sweep(struct store *store, const struct store_sweep *sweep, const char *step,
                 store_swept_cb *done, void *arg);

/* word: what became of the row. text: what is wrong, "" as a rule. */
typedef void store_found_cb(enum store_result result, const char *word, const char *text,
                            void *arg);

/* A row of a list that Cal.com gave. aside: why it must not be acted on; "": it may. */
void store_found(struct store *store, const struct booking_event *event, enum booking_status status,
                 const char *aside, store_found_cb *done, void *arg);

/* ---- How everything stands, see common/redis/overview.lua ---- */

/* Ages in seconds. All workers are told the same. */
enum store_overview {
    STORE_QUEUE_LENGTH,
    STORE_QUEUE_AGE, /* how long the next booking of the queue has waited in it; 0: none waits */
    STORE_PAUSED,    /* 1: by a person's word nothing is handed out */
    STORE_RETRIES,
    STORE_RETRY_AGE, /* how long the first of these has been due; 0: none is */
    STORE_DEAD,
    STORE_WORKERS, /* whose lease holds */
    STORE_DRIFT,
    STORE_UNBALANCED, /* accounts whose ledger is not in order */
    STORE_AUDIT_AGE,  /* since all ledgers had been looked at; -1: that was never yet */
    STORE_OVERVIEW_COUNT
};

/* What is counted of decisions; see DECISIONS in common/redis/overview.lua. */
enum store_decision {
    STORE_ACCEPT_POLICY,
    STORE_ACCEPT_HAND,
    STORE_ACCEPT_SERIES,
    STORE_ACCEPT_OBSERVE,
    STORE_REJECT_CREDIT,
    STORE_REJECT_ACCOUNT,
    STORE_REJECT_BLOCKED,
    STORE_REJECT_EXPIRED,
    STORE_REJECT_POLICY,
    STORE_REJECT_TWIN,
    STORE_REJECT_HAND,
    STORE_REJECT_SERIES,
    STORE_REJECT_OBSERVE,
    STORE_DEFER_POLICY,
    STORE_DECISION_COUNT
};

/* Strings are valid during the callback only. */
struct store_watched {
    struct store_gate gate;
    int64_t numbers[STORE_OVERVIEW_COUNT];
    int64_t decisions[STORE_DECISION_COUNT]; /* ever, in this namespace */
    const char *const *news; /* what to log: an account, what is wrong with it, … */
    size_t news_count;       /* even */
};

/* watched is NULL unless the result is STORE_DONE. */
typedef void store_watch_cb(enum store_result result, const struct store_watched *watched,
                            void *arg);

/* Asks for the numbers. Some ledgers are looked at on the way, by one worker at a time. */
void store_watch(struct store *store, store_watch_cb *done, void *arg);

/* Ends another connection's blocking command (CLIENT UNBLOCK). Nobody waits for the answer. */
void store_unblock(struct store *store, int64_t client_id);

#endif
