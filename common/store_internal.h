/*
 * What store.c (the connection, the library, the policy), store_calls.c (the typed calls),
 * store_check.c and store_confirm.c share. For these files only.
 */
#ifndef TOLLGATE_STORE_INTERNAL_H
#define TOLLGATE_STORE_INTERNAL_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/redis_check.h"
#include "common/redis_link.h"
#include "common/store.h"

#define STORE_TIMEOUT_MS  2000 /* worker's calls; ingest brings its own, shorter time */
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
    const char *mode;  /* decide or observe */
    char *policy_text; /* NULL: this program brings none */
    char policy_source[16];
    char *policy_error;
    bool strict;
    struct store_check check;
    char wait_replicas[STORE_NUMBER_SIZE];
    struct store_confirm_list confirms_asked; /* by the WAIT under way */
    struct store_confirm_list confirms_next;  /* by the next one */
};

/* What a result means to a caller. A library or policy that is gone was flushed: it is loaded
 * again, and the call certainly did not run. */
enum store_result store_classify(struct store *store, enum redis_result result,
                                 const struct redis_reply *reply);

/* A new connection: asks Redis how it is set up, and logs and tells what is unsafe. */
void store_check_start(struct store *store);

#endif
