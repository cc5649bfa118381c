/*
 * What store.c (the connection, the library, the policy) and store_calls.c (the typed calls) share.
 * For these two files only.
 */
#ifndef TOLLGATE_STORE_INTERNAL_H
#define TOLLGATE_STORE_INTERNAL_H

#include <stdbool.h>

#include "common/redis_link.h"
#include "common/store.h"

#define STORE_TIMEOUT_MS  2000 /* worker's calls; ingest brings its own, shorter time */
#define STORE_NUMBER_SIZE 24   /* a 64-bit number as text */

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
    char keep_ms[STORE_NUMBER_SIZE];
    char fresh_ms[STORE_NUMBER_SIZE];
    char lease_ms[STORE_NUMBER_SIZE];
    const char *mode; /* decide or observe */
    struct store_gate_of gate;
    char *policy_text; /* NULL: this program brings none */
    char policy_source[16];
    char *policy_error;
};

/* What a result means to a caller. A library or policy that is gone was flushed: it is loaded
 * again, and the call certainly did not run. */
enum store_result store_classify(struct store *store, enum redis_result result,
                                 const struct redis_reply *reply);

#endif
