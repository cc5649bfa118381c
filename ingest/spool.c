#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/booking_pack.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "common/wakeup.h"
#include "ingest/ingest_metrics.h"
#include "ingest/spool_internal.h"

/* ---- Life ---- */

/* False with the reason logged. */
static bool
take_folder(struct spool *spool)
{
    char path[4096];
    const char *what = "TOLLGATE_SPOOL_DIR cannot be used";
    if (mkdir(spool->folder, 0700) != 0 && errno != EEXIST) {
        goto fail;
    }
    (void)snprintf(path, sizeof path, "%s/lock", spool->folder);
    spool->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (spool->lock_fd < 0) {
        goto fail;
    }
    if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        what = errno == EWOULDBLOCK ? "TOLLGATE_SPOOL_DIR is in use by another ingest: give each "
                                      "one a folder of its own"
                                    : what;
        goto fail;
    }
    return true;

fail:
    log_error(what, log_s("folder", spool->folder), log_s("error", strerror(errno)));
    return false;
}

struct spool *
spool_open(const struct config *config, struct metrics_shard *metrics)
{
    struct spool *spool = calloc(1, sizeof *spool);
    if (spool == NULL) {
        return NULL;
    }
    spool->max_bytes = config->spool_max;
    spool->metrics = metrics;
    spool->lock_fd = -1;
    (void)pthread_mutex_init(&spool->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&spool->work, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    STAILQ_INIT(&spool->waiting);
    STAILQ_INIT(&spool->refusals);
    spool->folder = strdup(config->spool_dir);
    if (spool->folder == NULL || !take_folder(spool) || !spool_open_file(spool)) {
        spool_free(spool);
        return NULL;
    }
    if (atomic_load(&spool->pending) > 0) {
        log_info("the spool has webhooks of an earlier run", log_i("entries", spool->pending));
    }
    spool->started = pthread_create(&spool->thread, NULL, spool_main, spool) == 0;
    if (!spool->started) {
        log_error("a thread could not be started");
        spool_free(spool);
        return NULL;
    }
    return spool;
}

void
spool_stop(struct spool *spool)
{
    if (spool == NULL || !spool->started) {
        return;
    }
    (void)pthread_mutex_lock(&spool->lock);
    spool->stopping = true;
    (void)pthread_cond_signal(&spool->work);
    (void)pthread_mutex_unlock(&spool->lock);
    (void)pthread_join(spool->thread, NULL);
    spool->started = false;
}

void
spool_free(struct spool *spool)
{
    if (spool == NULL) {
        return;
    }
    spool_unset_reader(spool);
    spool_db_close(spool->db);
    while (!STAILQ_EMPTY(&spool->refusals)) {
        struct spool_refusal *refusal = STAILQ_FIRST(&spool->refusals);
        STAILQ_REMOVE_HEAD(&spool->refusals, next);
        free(refusal);
    }
    if (spool->lock_fd >= 0) {
        (void)close(spool->lock_fd); /* the lock goes with it */
    }
    (void)pthread_cond_destroy(&spool->work);
    (void)pthread_mutex_destroy(&spool->lock);
    free(spool->folder);
    free(spool);
}

/* ---- From any thread ---- */

int64_t
spool_count(const struct spool *spool)
{
    return atomic_load(&spool->pending);
}

bool
spool_is_closing(const struct spool *spool)
{
    return atomic_load(&spool->closing);
}

void
spool_set_closing(struct spool *spool, bool closing)
{
    atomic_store(&spool->closing, closing);
}

const char *
spool_trouble(const struct spool *spool)
{
    switch (atomic_load(&spool->trouble)) {
    case TROUBLE_NONE:
        break;
    case TROUBLE_FULL:
        return "the spool has reached TOLLGATE_SPOOL_MAX";
    case TROUBLE_FAILED:
        return "the spool's disk takes nothing";
    }
    return NULL;
}

void
spool_publish(struct spool *spool)
{
    int64_t oldest_wall_ms = atomic_load(&spool->oldest_wall_ms);
    int64_t age_ms = oldest_wall_ms > 0 ? clock_wall_ms() - oldest_wall_ms : 0;
    metrics_set(spool->metrics, INGEST_SPOOL_ENTRIES, atomic_load(&spool->pending));
    metrics_set(spool->metrics, INGEST_SPOOL_BYTES, atomic_load(&spool->bytes));
    metrics_set(spool->metrics, INGEST_SPOOL_OLDEST_SECONDS, age_ms > 0 ? age_ms / 1000 : 0);
}

/* ---- Putting in ---- */

static void
finish_entries(struct spool_client *client)
{
    struct spool_entries finished = STAILQ_HEAD_INITIALIZER(finished);
    (void)pthread_mutex_lock(&client->lock);
    STAILQ_CONCAT(&finished, &client->finished);
    (void)pthread_mutex_unlock(&client->lock);
    while (!STAILQ_EMPTY(&finished)) {
        struct spool_entry *entry = STAILQ_FIRST(&finished);
        STAILQ_REMOVE_HEAD(&finished, next);
        entry->done(entry->kept, entry->arg);
        free(entry->event);
        free(entry);
    }
}

static void
client_on_rung(void *arg)
{
    finish_entries(arg);
}

struct spool_client *
spool_client_new(struct spool *spool, struct event_base *base)
{
    struct spool_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return NULL;
    }
    client->spool = spool;
    (void)pthread_mutex_init(&client->lock, NULL);
    STAILQ_INIT(&client->finished);
    client->wakeup = wakeup_new(base, client_on_rung, client);
    if (client->wakeup == NULL) {
        spool_client_free(client);
        return NULL;
    }
    return client;
}

void
spool_client_free(struct spool_client *client)
{
    if (client == NULL) {
        return;
    }
    finish_entries(client);
    wakeup_free(client->wakeup);
    (void)pthread_mutex_destroy(&client->lock);
    free(client);
}

void
spool_put(struct spool_client *client, int64_t received_wall_ms, struct booking_packed *event,
          spool_kept_cb *done, void *arg)
{
    struct spool *spool = client->spool;
    struct spool_entry *entry = malloc(sizeof *entry);
    if (entry == NULL) {
        abort(); /* a completion must not be lost */
    }
    *entry = (struct spool_entry){ .client = client,
                                   .event = event,
                                   .received_wall_ms = received_wall_ms,
                                   .done = done,
                                   .arg = arg };
    (void)atomic_fetch_add(&spool->pending, 1);
    (void)pthread_mutex_lock(&spool->lock);
    bool first = STAILQ_EMPTY(&spool->waiting);
    STAILQ_INSERT_TAIL(&spool->waiting, entry, next);
    if (first) {
        (void)pthread_cond_signal(&spool->work);
    }
    (void)pthread_mutex_unlock(&spool->lock);
}

/* ---- Taking out ---- */

static void
reader_on_rung(void *arg)
{
    struct spool *spool = arg;
    (void)pthread_mutex_lock(&spool->lock);
    struct spool_batch *batch = spool->batch;
    spool->batch = NULL;
    (void)pthread_mutex_unlock(&spool->lock);
    if (batch != NULL) {
        spool->batch_done(batch, spool->batch_arg);
    }
}

bool
spool_set_reader(struct spool *spool, struct event_base *base, spool_batch_cb *batch, void *arg)
{
    spool->batch_done = batch;
    spool->batch_arg = arg;
    spool->reader_wakeup = wakeup_new(base, reader_on_rung, spool);
    return spool->reader_wakeup != NULL;
}

void
spool_unset_reader(struct spool *spool)
{
    (void)pthread_mutex_lock(&spool->lock);
    struct wakeup *wakeup = spool->reader_wakeup;
    struct spool_batch *batch = spool->batch;
    spool->reader_wakeup = NULL;
    spool->batch = NULL;
    spool->read_wanted = false;
    (void)pthread_mutex_unlock(&spool->lock);
    wakeup_free(wakeup);
    spool_batch_free(batch);
}

void
spool_read(struct spool *spool)
{
    (void)pthread_mutex_lock(&spool->lock);
    spool->read_wanted = true;
    (void)pthread_cond_signal(&spool->work);
    (void)pthread_mutex_unlock(&spool->lock);
}

void
spool_batch_free(struct spool_batch *batch)
{
    for (size_t i = 0; batch != NULL && i < batch->count; i++) {
        free(batch->events[i].bytes);
    }
    free(batch);
}

/* What the batch's file had is no longer counted when that file was replaced. */
static void
leave(struct spool *spool, const struct spool_batch *batch, int64_t seq, int64_t count)
{
    if (batch->file != spool->file) {
        return;
    }
    spool->on_disk -= count;
    spool->drained_to = seq;
    (void)atomic_fetch_sub(&spool->pending, count);
    if (spool->on_disk == 0) {
        atomic_store(&spool->oldest_wall_ms, 0);
    }
    (void)pthread_cond_signal(&spool->work);
}

void
spool_drained(struct spool *spool, const struct spool_batch *batch, size_t first, size_t count)
{
    if (count == 0) {
        return;
    }
    metrics_add(spool->metrics, INGEST_SPOOL_DRAINED, (int64_t)count);
    (void)pthread_mutex_lock(&spool->lock);
    leave(spool, batch, batch->events[first + count - 1].seq, (int64_t)count);
    (void)pthread_mutex_unlock(&spool->lock);
}

void
spool_refuse(struct spool *spool, const struct spool_batch *batch, size_t index, const char *error)
{
    struct spool_refusal *refusal = calloc(1, sizeof *refusal);
    if (refusal == NULL) {
        abort(); /* else it would be removed without being put aside */
    }
    refusal->seq = batch->events[index].seq;
    (void)snprintf(refusal->error, sizeof refusal->error, "%s", error);
    metrics_add(spool->metrics, INGEST_SPOOL_SET_ASIDE, 1);
    (void)pthread_mutex_lock(&spool->lock);
    if (batch->file == spool->file) {
        STAILQ_INSERT_TAIL(&spool->refusals, refusal, next);
        refusal = NULL;
    }
    leave(spool, batch, batch->events[index].seq, 1);
    (void)pthread_mutex_unlock(&spool->lock);
    free(refusal);
}
