#include "ingest/secret_uses.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/store.h"
#include "ingest/signature.h"

#define LOOK_EVERY_S 1

/* More than are in use at a time; past it the one that was used longest ago is forgotten here. */
#define SECRETS_MOST 16

struct use {
    struct secret_uses *uses;
    char name[SIGNATURE_NAME_SIZE]; /* "": none yet */
    int64_t used_wall_ms;
    int64_t told_wall_ms;                 /* which use Redis has, */
    int64_t told_mono_ms;                 /* and since when */
    int64_t asked_wall_ms;                /* the use that is being told; 0: none is */
    char asked_name[SIGNATURE_NAME_SIZE]; /* another may have the place by now */
};

struct secret_uses {
    struct store *store;
    struct event *timer;
    pthread_mutex_t lock; /* guards the table */
    struct use table[SECRETS_MOST];
};

static void
uses_on_told(enum store_result result, int64_t used_wall_ms, void *arg)
{
    struct use *use = arg;
    struct secret_uses *uses = use->uses;
    (void)used_wall_ms;
    (void)pthread_mutex_lock(&uses->lock);
    if (result == STORE_DONE && strcmp(use->name, use->asked_name) == 0) {
        use->told_wall_ms = use->asked_wall_ms;
        use->told_mono_ms = clock_mono_ms();
    }
    use->asked_wall_ms = 0;
    (void)pthread_mutex_unlock(&uses->lock);
}

static bool
is_due(const struct use *use, int64_t now_mono_ms)
{
    return use->asked_wall_ms == 0 && use->used_wall_ms > use->told_wall_ms &&
           (use->told_mono_ms == 0 || now_mono_ms >= use->told_mono_ms + SECRET_USES_TELL_MS);
}

static void
uses_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct secret_uses *uses = arg;
    (void)fd, (void)what;
    if (!store_is_ready(uses->store)) {
        return;
    }
    int64_t now_mono_ms = clock_mono_ms();
    for (size_t i = 0; i < SECRETS_MOST; i++) {
        struct use *use = &uses->table[i];
        (void)pthread_mutex_lock(&uses->lock);
        bool due = is_due(use, now_mono_ms);
        if (due) {
            use->asked_wall_ms = use->used_wall_ms;
            memcpy(use->asked_name, use->name, sizeof use->asked_name);
        }
        (void)pthread_mutex_unlock(&uses->lock);
        if (due) {
            store_note_secret(uses->store, use->asked_name, use->asked_wall_ms, uses_on_told, use);
        }
    }
}

struct secret_uses *
secret_uses_new(struct event_base *base, struct store *store)
{
    struct secret_uses *uses = calloc(1, sizeof *uses);
    if (uses == NULL) {
        return NULL;
    }
    uses->store = store;
    (void)pthread_mutex_init(&uses->lock, NULL);
    for (size_t i = 0; i < SECRETS_MOST; i++) {
        uses->table[i].uses = uses;
    }
    uses->timer = event_new(base, -1, EV_PERSIST, uses_on_timer, uses);
    const struct timeval every = { .tv_sec = LOOK_EVERY_S };
    if (uses->timer == NULL || event_add(uses->timer, &every) != 0) {
        secret_uses_free(uses);
        return NULL;
    }
    return uses;
}

void
secret_uses_free(struct secret_uses *uses)
{
    if (uses == NULL) {
        return;
    }
    if (uses->timer != NULL) {
        event_free(uses->timer);
    }
    (void)pthread_mutex_destroy(&uses->lock);
    free(uses);
}

/* Its place, else a free one, else that of the one that was used longest ago. */
static struct use *
find_place(struct secret_uses *uses, const char *name)
{
    struct use *oldest = &uses->table[0];
    for (size_t i = 0; i < SECRETS_MOST; i++) {
        struct use *use = &uses->table[i];
        if (strcmp(use->name, name) == 0) {
            return use;
        }
        if (use->used_wall_ms < oldest->used_wall_ms) {
            oldest = use;
        }
    }
    (void)snprintf(oldest->name, sizeof oldest->name, "%s", name);
    oldest->told_wall_ms = oldest->told_mono_ms = 0;
    return oldest;
}

void
secret_uses_note(struct secret_uses *uses, const char *name)
{
    (void)pthread_mutex_lock(&uses->lock);
    find_place(uses, name)->used_wall_ms = clock_wall_ms();
    (void)pthread_mutex_unlock(&uses->lock);
}
