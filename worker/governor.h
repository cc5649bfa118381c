/*
 * This worker's view of the gate to Cal.com that all workers share (common/redis/gate.lua): how
 * many calls may go out, and whether any may. Redis decides; here answers are told to it, the key
 * is asked about (/me), and what was heard is logged, counted and kept for /readyz.
 *
 * While everything is fine nothing is told and no call waits.
 */
#ifndef TOLLGATE_GOVERNOR_H
#define TOLLGATE_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/plan.h"

struct calcom;
struct calcom_answer;
struct config;
struct governor;
struct metrics_shard;
struct store;
struct store_gate;

struct governor_parts {
    const struct config *config;
    struct store *store;
    struct calcom *calcom;
    struct metrics_shard *metrics;
};

/* `changed` runs, any number of times, when the breaker was opened or closed. The parts must
 * outlive it. NULL when memory is out. */
__attribute__((warn_unused_result)) struct governor *
governor_new(const struct governor_parts *parts, void (*changed)(void *arg), void *arg);

/* After the store and the HTTP client were freed. Accepts NULL. */
void governor_free(struct governor *governor);

/* Under which name this worker probes; it is the one that it takes bookings by. Once. */
void governor_set_worker(struct governor *governor, const char *worker);

/* Another API key has another gate, about which nothing is known yet. */
void governor_set_key(struct governor *governor, const char *key);

/* What a take told: how the gate stands, and why no more can be taken ("": it can). */
void governor_see(struct governor *governor, const struct store_gate *gate, const char *hold);

/* A call of a booking in hand may not go out, for this reason. */
void governor_count_hold(struct governor *governor, const char *why);

/*
 * A call counts when it was reserved in Redis, so it has to go out soon after. is_reserved: whether
 * it may be handed to the HTTP client, given when Redis was asked. send_by: by when its first byte
 * has to be written; 0: there is no limit.
 */
bool governor_is_reserved(const struct governor *governor, int64_t reserved_boot_ms);
int64_t governor_send_by(const struct governor *governor, int64_t reserved_boot_ms);

/* A call to Cal.com that was answered (or not). Strings need not outlive the call. */
struct governor_call {
    const char *token; /* of the booking's take */
    const char *id;
    enum calcom_call call;
    const struct calcom_answer *answer;
};

/* Tells Redis what the answer means to others, if it is news. False, and nothing was told: the
 * booking cannot go on before it was judged. */
bool governor_hear(struct governor *governor, const struct governor_call *call);

struct governor_verdict {
    int64_t wait_ms; /* for how long nobody may call; 0: it concerns this booking alone */
    bool refused;    /* the key is fine: Cal.com refuses this booking */
};

typedef void governor_verdict_cb(const struct governor_verdict *verdict, void *arg);

/* Tells Redis, and finds out what becomes of the booking.
 * `done` runs exactly once, never from inside the call, or never when the governor is freed. */
void governor_judge(struct governor *governor, const struct governor_call *call,
                    governor_verdict_cb *done, void *arg);

/* A take made this worker ask for /me (hold: probe). */
void governor_probe(struct governor *governor);

/* Why no booking can be settled, as a sentence for /readyz; NULL: as far as is known they can. */
const char *governor_problem(const struct governor *governor);

#endif
