/*
 * The spool: where webhooks are safe while Redis does not take them. One per process; its thread is
 * the only one that waits for the disk.
 *
 *   any thread --spool_put--> waiting --one commit for all of a few ms--> on disk --reader--> Redis
 *
 * Order: an event is counted (spool_count) from spool_put on until Redis has it. Whoever sends an
 * event to Redis directly only while the spool is empty keeps the order of what was acknowledged
 * one after the other, on whatever thread.
 *
 * A folder has one ingest (a lock on it); what one leaves behind is read by the next that uses the
 * folder, after kill -9 as well.
 */
#ifndef TOLLGATE_SPOOL_H
#define TOLLGATE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct booking_packed;
struct config;
struct event_base;
struct metrics_shard;
struct spool;
struct spool_client;

#define SPOOL_BATCH 128 /* events that are read at a time, at most */

/*
 * Opens TOLLGATE_SPOOL_DIR (made if missing, mode 0700) and starts the thread. A damaged file is
 * moved aside. A disk that takes nothing now is tried again with every webhook. NULL with the
 * reason logged: the folder cannot be made or locked, or its file is of another version. config and
 * metrics must outlive the spool.
 */
__attribute__((warn_unused_result)) struct spool *spool_open(const struct config *config,
                                                             struct metrics_shard *metrics);

/* Writes what was handed over, then ends the thread. From then on nothing is kept. Accepts NULL. */
void spool_stop(struct spool *spool);

/* After spool_stop, and after its clients. Accepts NULL. */
void spool_free(struct spool *spool);

/* ---- From any thread ---- */

/* How many events wait for Redis. */
int64_t spool_count(const struct spool *spool);

/* It is about to be empty: who can wait a few ms need not go through it. */
bool spool_is_closing(const struct spool *spool);
void spool_set_closing(struct spool *spool, bool closing);

/* NULL while it takes events, else why it does not, a constant. */
const char *spool_trouble(const struct spool *spool);

/* Brings the gauges of ingest_metrics.h up to date. */
void spool_publish(struct spool *spool);

/* ---- Putting in: one client for each loop ---- */

/* NULL when it cannot be made. */
__attribute__((warn_unused_result)) struct spool_client *spool_client_new(struct spool *spool,
                                                                          struct event_base *base);

/* After spool_stop: runs the callbacks that are due. Accepts NULL. */
void spool_client_free(struct spool_client *client);

/* kept: the event is on disk, or not at all. */
typedef void spool_kept_cb(bool kept, void *arg);

/* Takes the event over. `done` runs once, on the client's loop, never from inside the call. */
void spool_put(struct spool_client *client, int64_t received_wall_ms, struct booking_packed *event,
               spool_kept_cb *done, void *arg);

/* ---- Taking out: one reader ---- */

struct spool_event {
    int64_t seq;
    int64_t received_wall_ms;
    char *bytes;
    size_t size;
};

struct spool_batch {
    int64_t file; /* which file it was read from: a damaged one is replaced */
    size_t count;
    struct spool_event events[SPOOL_BATCH];
};

/* The batch becomes the receiver's, to be freed with spool_batch_free. Runs on the reader's loop.
 */
typedef void spool_batch_cb(struct spool_batch *batch, void *arg);

/* Once, before anything is read. False when it cannot be made. */
__attribute__((warn_unused_result)) bool
spool_set_reader(struct spool *spool, struct event_base *base, spool_batch_cb *batch, void *arg);

/* The reader's loop ends. */
void spool_unset_reader(struct spool *spool);

/* Asks for the next events, oldest first. The batch comes as soon as there are some; one question
 * at a time. */
void spool_read(struct spool *spool);

void spool_batch_free(struct spool_batch *batch);

/* Redis has events[first] to events[first + count - 1] of the batch. In order. */
void spool_drained(struct spool *spool, const struct spool_batch *batch, size_t first,
                   size_t count);

/* Redis will never take this event: it is put aside with the reason. In order, as above. */
void spool_refuse(struct spool *spool, const struct spool_batch *batch, size_t index,
                  const char *error);

#endif
