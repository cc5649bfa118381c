/*
 * What spool.c (the calls of other threads) and spool_thread.c (the spool's own thread) share. For
 * these two files only.
 */
#ifndef TOLLGATE_SPOOL_INTERNAL_H
#define TOLLGATE_SPOOL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "ingest/spool.h"
#include "ingest/spool_db.h"

struct wakeup;

/* An event on its way to the disk, then back to its client with what became of it. */
struct spool_entry {
    STAILQ_ENTRY(spool_entry) next;
    struct spool_client *client;
    struct booking_packed *event;
    int64_t received_wall_ms;
    spool_kept_cb *done;
    void *arg;
    bool kept;
};

STAILQ_HEAD(spool_entries, spool_entry);

struct spool_client {
    struct spool *spool;
    struct wakeup *wakeup;
    pthread_mutex_t lock; /* guards what is below */
    struct spool_entries finished;
};

/* An event that the reader wants put aside. */
struct spool_refusal {
    STAILQ_ENTRY(spool_refusal) next;
    int64_t seq;
    char error[256];
};

STAILQ_HEAD(spool_refusals, spool_refusal);

enum spool_trouble { TROUBLE_NONE, TROUBLE_FULL, TROUBLE_FAILED };

struct spool {
    char *folder;
    int lock_fd; /* holds the folder */
    int64_t max_bytes;
    struct metrics_shard *metrics;
    pthread_t thread;
    bool started;

    _Atomic int64_t pending; /* events that Redis does not have yet, on disk or on the way there */
    atomic_bool closing;
    _Atomic enum spool_trouble trouble;
    _Atomic int64_t bytes;
    _Atomic int64_t oldest_wall_ms; /* of those on disk that Redis does not have; 0: none */

    /* The thread's own. */
    struct spool_db *db;  /* NULL: could not be opened yet */
    int64_t last_seq;     /* given to an event */
    int64_t told_mono_ms; /* when the trouble was logged last */
    int64_t told_unreadable_mono_ms;
    bool shrinkable; /* the file may have free pages to give back */

    pthread_mutex_t lock; /* guards what is below */
    pthread_cond_t work;
    struct spool_entries waiting;
    struct spool_refusals refusals;
    int64_t file;       /* counts the files used so far */
    int64_t on_disk;    /* events there that Redis does not have */
    int64_t written_to; /* the newest event on disk */
    int64_t read_to;    /* the newest event that the reader was given */
    int64_t drained_to; /* the newest event that Redis has; up to there rows may go */
    int64_t removed_to; /* up to there they are gone */
    bool read_wanted, stopping;
    struct wakeup *reader_wakeup; /* NULL: there is no reader */
    struct spool_batch *batch;    /* for the reader to fetch */
    spool_batch_cb *batch_done;
    void *batch_arg;
};

/* Opens the file; a damaged one is moved aside. False when the start has to stop. */
bool spool_open_file(struct spool *spool);

/* The thread. arg: the spool. */
void *spool_main(void *arg);

#endif
