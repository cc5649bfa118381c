/*
 * The spool's file: an SQLite database in WAL mode, synced at every commit, and the only file of
 * ours that knows SQLite. Every call may wait for the disk: for the spool's own thread, or before
 * there is one.
 *
 *   events   what waits for Redis, in the order of `seq`
 *   refused  what Redis refused for good, with its error; tried once more at the next start
 *   probe    one row that is written to find out whether the disk takes something
 *
 * Both hold what booking_pack makes of an event and when it was received (epoch ms). PRAGMA
 * user_version is the number of this form. To change it: raise SPOOL_DB_SCHEMA, and teach open() to
 * migrate the number before.
 */
#ifndef TOLLGATE_SPOOL_DB_H
#define TOLLGATE_SPOOL_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_DB_SCHEMA 1
#define SPOOL_DB_NAME   "spool.db"

struct spool_db;

enum spool_db_result {
    SPOOL_DB_OK,
    SPOOL_DB_FAILED,  /* the disk is full, cannot be written or read: the same may go well later */
    SPOOL_DB_CORRUPT, /* the file is damaged or no database at all */
    SPOOL_DB_FOREIGN, /* a form that this program does not know: the file is left alone */
};

#define SPOOL_DB_ERROR_SIZE 256

/* What a file had in it when it was opened. */
struct spool_db_content {
    int64_t events;
    int64_t oldest_wall_ms; /* when the oldest event was received; 0: there is none */
    int64_t last_seq;       /* the largest number in use, 0: none */
};

/*
 * Opens or makes folder/spool.db, checks it, and gives refused events another chance. On
 * SPOOL_DB_OK *db is the caller's, to be closed with spool_db_close; else NULL and the reason in
 * `error`.
 */
__attribute__((warn_unused_result)) enum spool_db_result
spool_db_open(const char *folder, struct spool_db **db_out, struct spool_db_content *content,
              char error[SPOOL_DB_ERROR_SIZE]);

/* Accepts NULL. */
void spool_db_close(struct spool_db *db);

/* Moves a damaged file and its companions aside, and says so. False when it cannot be moved. */
__attribute__((warn_unused_result)) bool spool_db_set_aside(const char *folder);

/* Why the last call failed. Valid until the next one. */
const char *spool_db_error(const struct spool_db *db);

/* The file's size without its free pages. */
int64_t spool_db_bytes(struct spool_db *db);

/*
 * Changes go between begin and commit; when one of them fails nothing of it happened, and
 * spool_db_roll_back ends the transaction.
 */
enum spool_db_result spool_db_begin(struct spool_db *db);
enum spool_db_result spool_db_commit(struct spool_db *db);
void spool_db_roll_back(struct spool_db *db);

enum spool_db_result spool_db_add(struct spool_db *db, int64_t seq, int64_t received_wall_ms,
                                  const char *bytes, size_t size);
/* All up to and with `seq`. */
enum spool_db_result spool_db_remove_to(struct spool_db *db, int64_t seq);
/* Moves one event to `refused`. */
enum spool_db_result spool_db_refuse(struct spool_db *db, int64_t seq, const char *error);
/* Writes something that means nothing. */
enum spool_db_result spool_db_probe(struct spool_db *db);

/* Calls `found` for the events behind `seq`, in their order, until it answers false. */
enum spool_db_result spool_db_read(struct spool_db *db, int64_t seq,
                                   bool (*found)(int64_t seq, int64_t received_wall_ms,
                                                 const char *bytes, size_t size, void *arg),
                                   void *arg);

/* Gives a bit of what is free back to the disk. False when there is no more. */
bool spool_db_shrink(struct spool_db *db);

#endif
