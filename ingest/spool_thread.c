#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/booking_pack.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/wakeup.h"
#include "ingest/ingest_metrics.h"
#include "ingest/spool_internal.h"

#define GATHER_MS     2  /* after the first event of a commit, for others to join it */
#define GATHER_ENOUGH 64 /* events that need not wait for more */

#define BATCH_BYTES   (INT64_C(512) * 1024)
#define REMOVE_AT     1024 /* rows that Redis has are removed with a commit of their own */
#define PROBE_MS      1000 /* how often a disk that failed is asked whether it works again */
#define TELL_AGAIN_MS 60000

/* What a row needs beside its event, and how much of a page stays unused. */
#define ROW_BYTES(size) (((int64_t)(size) + 64) * 5 / 4)
#define ROOM_BYTES      INT64_C(16384) /* less free than this is full */

/* What one turn of the thread has to write. */
struct round {
    struct spool_entries entries;
    struct spool_refusals refusals;
    int64_t count;     /* of entries */
    int64_t kept;      /* of those, on disk */
    int64_t remove_to; /* 0: nothing to remove */
    int64_t file;      /* which one the refusals are about */
    bool probe;        /* write something to see whether it can be done */
};

/* ---- Trouble ---- */

static void
enter_trouble(struct spool *spool, enum spool_trouble trouble, const char *error)
{
    bool is_news = trouble != atomic_load(&spool->trouble) ||
                   clock_mono_ms() - spool->told_mono_ms >= TELL_AGAIN_MS;
    atomic_store(&spool->trouble, trouble);
    if (is_news) {
        spool->told_mono_ms = clock_mono_ms();
        log_error(trouble == TROUBLE_FULL
                      ? "the spool has reached TOLLGATE_SPOOL_MAX: webhooks that need it are "
                        "answered with 503"
                      : "the spool fails: webhooks that need it are answered with 503",
                  log_s("folder", spool->folder), log_s("error", error));
    }
}

static void
leave_trouble(struct spool *spool)
{
    if (atomic_exchange(&spool->trouble, TROUBLE_NONE) != TROUBLE_NONE) {
        log_info("the spool takes webhooks again", log_s("folder", spool->folder));
    }
}

/* ---- The file ---- */

/* Another file, or the first: what it has counts as in the spool, what another had no more. */
static void
adopt_file(struct spool *spool, const struct spool_db_content *content)
{
    (void)pthread_mutex_lock(&spool->lock);
    (void)atomic_fetch_add(&spool->pending, content->events - spool->on_disk);
    spool->file++;
    spool->on_disk = content->events;
    spool->written_to = content->last_seq;
    spool->read_to = spool->drained_to = spool->removed_to = 0;
    (void)pthread_mutex_unlock(&spool->lock);
    spool->last_seq = content->last_seq;
    atomic_store(&spool->oldest_wall_ms, content->oldest_wall_ms);
    atomic_store(&spool->bytes, spool->db != NULL ? spool_db_bytes(spool->db) : 0);
}

bool
spool_open_file(struct spool *spool)
{
    struct spool_db_content content;
    char error[SPOOL_DB_ERROR_SIZE];
    enum spool_db_result result = spool_db_open(spool->folder, &spool->db, &content, error);
    if (result == SPOOL_DB_CORRUPT && spool_db_set_aside(spool->folder)) {
        result = spool_db_open(spool->folder, &spool->db, &content, error);
    }
    if (result == SPOOL_DB_OK) {
        adopt_file(spool, &content);
        return true;
    }
    enter_trouble(spool, TROUBLE_FAILED, error);
    return result != SPOOL_DB_FOREIGN;
}

/* A file that turns out to be damaged is replaced; with any other failure it stays. */
static void
note_failure(struct spool *spool, enum spool_db_result result)
{
    static const struct spool_db_content NOTHING = { 0 };
    enter_trouble(spool, TROUBLE_FAILED, spool_db_error(spool->db));
    if (result == SPOOL_DB_CORRUPT) {
        spool_db_close(spool->db);
        spool->db = NULL;
        adopt_file(spool, &NOTHING);
        (void)spool_open_file(spool);
    }
}

/* ---- Writing ---- */

static enum spool_db_result
add_entries(struct spool *spool, struct round *round)
{
    int64_t bytes = atomic_load(&spool->bytes);
    struct spool_entry *entry;
    STAILQ_FOREACH(entry, &round->entries, next) {
        bytes += ROW_BYTES(entry->event->size);
        if (bytes > spool->max_bytes) {
            enter_trouble(spool, TROUBLE_FULL, "");
            return SPOOL_DB_OK;
        }
        enum spool_db_result result =
            spool_db_add(spool->db, ++spool->last_seq, entry->received_wall_ms, entry->event->bytes,
                         entry->event->size);
        if (result != SPOOL_DB_OK) {
            return result;
        }
        entry->kept = true;
        round->kept++;
    }
    return SPOOL_DB_OK;
}

/* Putting aside comes before removing, which goes past it. */
static enum spool_db_result
write_changes(struct spool *spool, struct round *round)
{
    enum spool_db_result result = spool_db_begin(spool->db);
    if (result == SPOOL_DB_OK) {
        result = add_entries(spool, round);
    }
    struct spool_refusal *refusal;
    STAILQ_FOREACH(refusal, &round->refusals, next) {
        if (result == SPOOL_DB_OK) {
            result = spool_db_refuse(spool->db, refusal->seq, refusal->error);
        }
    }
    if (result == SPOOL_DB_OK && round->remove_to > 0) {
        result = spool_db_remove_to(spool->db, round->remove_to);
    }
    if (result == SPOOL_DB_OK && round->probe) {
        result = spool_db_probe(spool->db);
    }
    return result == SPOOL_DB_OK ? spool_db_commit(spool->db) : result;
}

static void
forget_kept(struct round *round)
{
    struct spool_entry *entry;
    STAILQ_FOREACH(entry, &round->entries, next) {
        entry->kept = false;
    }
    round->kept = 0;
}

/* Locked. What could not be put aside is to be tried again. */
static void
keep_refusals(struct spool *spool, struct round *round)
{
    STAILQ_CONCAT(&round->refusals, &spool->refusals);
    STAILQ_CONCAT(&spool->refusals, &round->refusals);
}

/* The numbers that other threads go by, before anybody is told. */
static void
count_round(struct spool *spool, struct round *round, bool written)
{
    (void)atomic_fetch_sub(&spool->pending, round->count - round->kept);
    (void)pthread_mutex_lock(&spool->lock);
    bool first = round->kept > 0 && spool->on_disk == 0;
    if (first) {
        atomic_store(&spool->oldest_wall_ms, STAILQ_FIRST(&round->entries)->received_wall_ms);
    }
    spool->on_disk += round->kept;
    if (written) {
        spool->written_to = round->kept > 0 ? spool->last_seq : spool->written_to;
        spool->removed_to = round->remove_to > 0 ? round->remove_to : spool->removed_to;
    } else if (round->file == spool->file) {
        keep_refusals(spool, round);
    }
    (void)pthread_mutex_unlock(&spool->lock);
    if (first) {
        log_warn("redis does not take webhooks: they go into the spool");
    }
    metrics_add(spool->metrics, INGEST_SPOOL_KEPT, round->kept);
    metrics_add(spool->metrics, INGEST_SPOOL_NOT_KEPT, round->count - round->kept);
}

static void
hand_back(struct round *round)
{
    while (!STAILQ_EMPTY(&round->entries)) {
        struct spool_entry *entry = STAILQ_FIRST(&round->entries);
        struct spool_client *client = entry->client;
        STAILQ_REMOVE_HEAD(&round->entries, next);
        (void)pthread_mutex_lock(&client->lock);
        bool first = STAILQ_EMPTY(&client->finished);
        STAILQ_INSERT_TAIL(&client->finished, entry, next);
        (void)pthread_mutex_unlock(&client->lock);
        if (first) {
            wakeup_ring(client->wakeup);
        }
    }
    while (!STAILQ_EMPTY(&round->refusals)) {
        struct spool_refusal *refusal = STAILQ_FIRST(&round->refusals);
        STAILQ_REMOVE_HEAD(&round->refusals, next);
        free(refusal);
    }
}

static void
write_round(struct spool *spool, struct round *round)
{
    bool written = false;
    if (spool->db == NULL) {
        (void)spool_open_file(spool);
    }
    if (spool->db != NULL) {
        enum spool_db_result result = write_changes(spool, round);
        written = result == SPOOL_DB_OK;
        if (!written) {
            spool_db_roll_back(spool->db);
            note_failure(spool, result);
        }
    }
    if (!written) {
        forget_kept(round);
    } else {
        atomic_store(&spool->bytes, spool_db_bytes(spool->db));
        if (round->kept == round->count &&
            atomic_load(&spool->bytes) + ROOM_BYTES <= spool->max_bytes) {
            leave_trouble(spool);
        }
    }
    count_round(spool, round, written);
    hand_back(round);
}

/* ---- Reading ---- */

struct reading {
    struct spool_batch *batch;
    int64_t bytes;
};

/* False: enough. */
static bool
on_found(int64_t seq, int64_t received_wall_ms, const char *bytes, size_t size, void *arg)
{
    struct reading *reading = arg;
    struct spool_batch *batch = reading->batch;
    char *copy = malloc(size + 1);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, bytes, size);
    reading->bytes += (int64_t)size;
    batch->events[batch->count++] = (struct spool_event){
        .seq = seq, .received_wall_ms = received_wall_ms, .bytes = copy, .size = size
    };
    return batch->count < SPOOL_BATCH && reading->bytes < BATCH_BYTES;
}

/* It is tried again at the next turn, which is not at once. */
static void
note_unreadable(struct spool *spool, enum spool_db_result result)
{
    static const struct timespec PAUSE = { .tv_nsec = 100000000 };
    if (result == SPOOL_DB_CORRUPT) {
        note_failure(spool, result);
    } else if (result != SPOOL_DB_OK &&
               (spool->told_unreadable_mono_ms == 0 ||
                clock_mono_ms() - spool->told_unreadable_mono_ms >= TELL_AGAIN_MS)) {
        spool->told_unreadable_mono_ms = clock_mono_ms();
        log_error("the spool cannot be read: what is in it does not reach redis",
                  log_s("folder", spool->folder), log_s("error", spool_db_error(spool->db)));
    }
    (void)nanosleep(&PAUSE, NULL);
}

static void
read_batch(struct spool *spool, int64_t read_to)
{
    struct reading reading = { .batch = calloc(1, sizeof *reading.batch) };
    enum spool_db_result result = SPOOL_DB_FAILED;
    if (reading.batch != NULL) {
        reading.batch->file = spool->file;
        result = spool_db_read(spool->db, read_to, on_found, &reading);
    }
    if (result != SPOOL_DB_OK || reading.batch->count == 0) {
        spool_batch_free(reading.batch);
        note_unreadable(spool, result);
        return;
    }
    atomic_store(&spool->oldest_wall_ms, reading.batch->events[0].received_wall_ms);
    (void)pthread_mutex_lock(&spool->lock);
    if (spool->reader_wakeup != NULL) {
        spool->batch = reading.batch;
        spool->read_to = reading.batch->events[reading.batch->count - 1].seq;
        spool->read_wanted = false;
        reading.batch = NULL;
        wakeup_ring(spool->reader_wakeup);
    }
    (void)pthread_mutex_unlock(&spool->lock);
    spool_batch_free(reading.batch);
}

/* ---- The thread's turns; the lock is held where a function says so ---- */

/* Locked. */
static bool
can_read(const struct spool *spool)
{
    return spool->read_wanted && spool->db != NULL && spool->read_to < spool->written_to;
}

/* Locked. A commit of their own is not made for a few rows: they go with the next one. */
static bool
must_remove(const struct spool *spool)
{
    int64_t count = spool->drained_to - spool->removed_to;
    return count > 0 && (spool->on_disk == 0 || count >= REMOVE_AT || spool->stopping);
}

/* Locked. While the disk fails only what somebody waits for is tried at once. */
static bool
must_write(const struct spool *spool)
{
    return !STAILQ_EMPTY(&spool->waiting) ||
           (atomic_load(&spool->trouble) != TROUBLE_FAILED &&
            (must_remove(spool) || !STAILQ_EMPTY(&spool->refusals)));
}

/* Locked. False after PROBE_MS. */
static bool
wait_a_while(struct spool *spool)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PROBE_MS / 1000;
    return pthread_cond_timedwait(&spool->work, &spool->lock, &until) == 0;
}

/* Locked. Until there is something to do. Answers whether it is time to probe the disk. */
static bool
wait_for_work(struct spool *spool)
{
    while (!can_read(spool) && !must_write(spool) && !spool->stopping) {
        if (atomic_load(&spool->trouble) == TROUBLE_FAILED) {
            if (!wait_a_while(spool)) {
                return true;
            }
        } else if (spool->shrinkable && spool->on_disk == 0 && spool->db != NULL) {
            (void)pthread_mutex_unlock(&spool->lock);
            spool->shrinkable = spool_db_shrink(spool->db);
            (void)pthread_mutex_lock(&spool->lock);
        } else {
            (void)pthread_cond_wait(&spool->work, &spool->lock);
        }
    }
    return false;
}

/* Locked. Lets more events come, for one commit to carry them all. */
static void
gather(struct spool *spool)
{
    static const struct timespec GATHER = { .tv_nsec = GATHER_MS * 1000000 };
    size_t count = 0;
    struct spool_entry *entry;
    STAILQ_FOREACH(entry, &spool->waiting, next) {
        if (++count == GATHER_ENOUGH) {
            return;
        }
    }
    if (count > 0 && !spool->stopping) {
        (void)pthread_mutex_unlock(&spool->lock);
        (void)nanosleep(&GATHER, NULL);
        (void)pthread_mutex_lock(&spool->lock);
    }
}

/* Locked. Everything that can be written now. */
static void
take_round(struct spool *spool, struct round *round)
{
    *round = (struct round){ .file = spool->file };
    STAILQ_INIT(&round->entries);
    STAILQ_INIT(&round->refusals);
    STAILQ_CONCAT(&round->entries, &spool->waiting);
    STAILQ_CONCAT(&round->refusals, &spool->refusals);
    struct spool_entry *entry;
    STAILQ_FOREACH(entry, &round->entries, next) {
        round->count++;
    }
    round->remove_to = spool->drained_to > spool->removed_to ? spool->drained_to : 0;
    spool->shrinkable = spool->shrinkable || round->remove_to > 0;
}

void *
spool_main(void *arg)
{
    struct spool *spool = arg;
    (void)pthread_mutex_lock(&spool->lock);
    while (true) {
        struct round round;
        bool probe = wait_for_work(spool);
        if (can_read(spool)) {
            int64_t read_to = spool->read_to;
            (void)pthread_mutex_unlock(&spool->lock);
            read_batch(spool, read_to);
            (void)pthread_mutex_lock(&spool->lock);
        }
        if (!probe && !must_write(spool)) {
            if (spool->stopping) {
                break;
            }
            continue;
        }
        gather(spool);
        take_round(spool, &round);
        round.probe = probe;
        (void)pthread_mutex_unlock(&spool->lock);
        write_round(spool, &round);
        (void)pthread_mutex_lock(&spool->lock);
    }
    (void)pthread_mutex_unlock(&spool->lock);
    return NULL;
}
