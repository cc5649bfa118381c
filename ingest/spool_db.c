#include "ingest/spool_db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define PATH_SIZE   4096
#define BUSY_MS     2000 /* an operator's sqlite3 may look into the file */
#define SHRINK_STEP "1000"
#define AS_TEXT(x)  #x
#define TEXT(x)     AS_TEXT(x)

enum statement { BEGIN, COMMIT, ADD, REMOVE, REFUSE, FORGET, PROBE, READ, SIZE, STATEMENTS };

static const char *const SQL[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ADD] = "INSERT INTO events (seq, received_ms, event) VALUES (?1, ?2, ?3)",
    [REMOVE] = "DELETE FROM events WHERE seq <= ?1",
    [REFUSE] = "INSERT INTO refused (seq, received_ms, event, refused_ms, error) "
               "SELECT seq, received_ms, event, ?2, ?3 FROM events WHERE seq = ?1",
    [FORGET] = "DELETE FROM events WHERE seq = ?1",
    [PROBE] = "REPLACE INTO probe (id, filler) VALUES (1, zeroblob(4096))",
    [READ] = "SELECT seq, received_ms, event FROM events WHERE seq > ?1 ORDER BY seq",
    [SIZE] = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "
             "pragma_freelist_count, pragma_page_size",
};

/* FULL: a commit is on the disk when it returns. */
static const char SETTINGS[] = "PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA journal_size_limit = 4194304;";

/* auto_vacuum works only from the first table on. */
static const char TABLES[] =
    "PRAGMA auto_vacuum = INCREMENTAL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL, "
    "event BLOB NOT NULL);"
    "CREATE TABLE refused (seq INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL, "
    "event BLOB NOT NULL, refused_ms INTEGER NOT NULL, error TEXT NOT NULL);"
    "CREATE TABLE probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL);"
    "PRAGMA user_version = " TEXT(SPOOL_DB_SCHEMA) ";"
                                                   "COMMIT;";

/* What was refused is behind what waits; its order among itself is kept. */
static const char SECOND_CHANCE[] =
    "BEGIN IMMEDIATE;"
    "INSERT INTO events (seq, received_ms, event) SELECT seq + (SELECT ifnull(max(seq), 0) FROM "
    "events), received_ms, event FROM refused ORDER BY seq;"
    "DELETE FROM refused;"
    "COMMIT;";

struct spool_db {
    sqlite3 *handle;
    sqlite3_stmt *statements[STATEMENTS];
    char error[SPOOL_DB_ERROR_SIZE];
};

static enum spool_db_result
classify(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return SPOOL_DB_OK;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return SPOOL_DB_CORRUPT;
    default:
        return SPOOL_DB_FAILED;
    }
}

/* Keeps the reason of a failure. */
static enum spool_db_result
judge(struct spool_db *db, const char *step, int code)
{
    enum spool_db_result result = classify(code);
    if (result != SPOOL_DB_OK) {
        (void)snprintf(db->error, sizeof db->error, "%.40s: %s (%d)", step,
                       sqlite3_errmsg(db->handle), sqlite3_extended_errcode(db->handle));
    }
    return result;
}

/* One step of a statement whose values are bound; for those that answer with no rows. */
static enum spool_db_result
run(struct spool_db *db, enum statement which)
{
    int code = sqlite3_step(db->statements[which]);
    enum spool_db_result result = judge(db, SQL[which], code);
    (void)sqlite3_reset(db->statements[which]);
    (void)sqlite3_clear_bindings(db->statements[which]);
    return result;
}

/* ---- Opening ---- */

static void
path_of(const char *folder, const char *suffix, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "%s/%s%s", folder, SPOOL_DB_NAME, suffix);
}

static int64_t
ask_number(struct spool_db *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;
    if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        number = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return number;
}

/* Reads all of the file: better a slow start than a hole that is found in the middle of an outage.
 */
static enum spool_db_result
check_whole(struct spool_db *db)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    enum spool_db_result result = judge(db, "check", code);
    if (code == SQLITE_ROW) {
        const char *verdict = (const char *)sqlite3_column_text(statement, 0);
        result = verdict != NULL && strcmp(verdict, "ok") == 0 ? SPOOL_DB_OK : SPOOL_DB_CORRUPT;
        (void)snprintf(db->error, sizeof db->error, "check: %s", verdict != NULL ? verdict : "");
    }
    (void)sqlite3_finalize(statement);
    return result;
}

static enum spool_db_result
run_script(struct spool_db *db, const char *name, const char *script)
{
    return judge(db, name, sqlite3_exec(db->handle, script, NULL, NULL, NULL));
}

static enum spool_db_result
check_form(struct spool_db *db)
{
    int64_t schema = ask_number(db, "PRAGMA user_version");
    if (schema == 0 && ask_number(db, "SELECT count(*) FROM sqlite_master") == 0) {
        return run_script(db, "make tables", TABLES);
    }
    if (schema != SPOOL_DB_SCHEMA) {
        (void)snprintf(db->error, sizeof db->error,
                       "it was written by another version (form %" PRId64 ", known is %d): start "
                       "that one until its spool is empty, or give TOLLGATE_SPOOL_DIR another "
                       "folder",
                       schema, SPOOL_DB_SCHEMA);
        return SPOOL_DB_FOREIGN;
    }
    return SPOOL_DB_OK;
}

/* Nothing is written before it is known what file it is. */
static enum spool_db_result
prepare(struct spool_db *db)
{
    (void)sqlite3_busy_timeout(db->handle, BUSY_MS);
    enum spool_db_result result = check_whole(db);
    if (result == SPOOL_DB_OK) {
        result = check_form(db);
    }
    if (result == SPOOL_DB_OK) {
        result = run_script(db, "settings", SETTINGS);
    }
    if (result == SPOOL_DB_OK) {
        result = run_script(db, "second chance", SECOND_CHANCE);
    }
    for (size_t i = 0; result == SPOOL_DB_OK && i < STATEMENTS; i++) {
        int code = sqlite3_prepare_v3(db->handle, SQL[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &db->statements[i], NULL);
        result = judge(db, SQL[i], code);
    }
    return result;
}

static void
read_content(struct spool_db *db, struct spool_db_content *content)
{
    content->events = ask_number(db, "SELECT count(*) FROM events");
    content->last_seq = ask_number(db, "SELECT ifnull(max(seq), 0) FROM events");
    content->oldest_wall_ms =
        ask_number(db, "SELECT ifnull((SELECT received_ms FROM events ORDER BY seq LIMIT 1), 0)");
}

enum spool_db_result
spool_db_open(const char *folder, struct spool_db **db_out, struct spool_db_content *content,
              char error[SPOOL_DB_ERROR_SIZE])
{
    char path[PATH_SIZE];
    *db_out = NULL;
    path_of(folder, "", path);
    struct spool_db *db = calloc(1, sizeof *db);
    /* Made by us, so that nobody else may read it; its companions take over its mode. */
    int fd = db != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0) {
        (void)snprintf(error, SPOOL_DB_ERROR_SIZE, "open: %s", strerror(errno));
        free(db);
        return SPOOL_DB_FAILED;
    }
    (void)close(fd);
    /* NOMUTEX: one thread at a time uses it, which is the spool's to see to. */
    int code =
        sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    enum spool_db_result result = judge(db, "open", code);
    if (result == SPOOL_DB_OK) {
        result = prepare(db);
    }
    if (result != SPOOL_DB_OK) {
        (void)snprintf(error, SPOOL_DB_ERROR_SIZE, "%s", db->error);
        spool_db_close(db);
        return result;
    }
    read_content(db, content);
    *db_out = db;
    return SPOOL_DB_OK;
}

void
spool_db_close(struct spool_db *db)
{
    if (db == NULL) {
        return;
    }
    for (size_t i = 0; i < STATEMENTS; i++) {
        (void)sqlite3_finalize(db->statements[i]);
    }
    (void)sqlite3_close(db->handle);
    free(db);
}

bool
spool_db_set_aside(const char *folder)
{
    static const char *const SUFFIXES[] = { "", "-wal", "-shm" };
    char suffix[64], from[PATH_SIZE], to[PATH_SIZE];
    const int64_t now_wall_ms = clock_wall_ms();
    for (size_t i = 0; i < sizeof SUFFIXES / sizeof SUFFIXES[0]; i++) {
        (void)snprintf(suffix, sizeof suffix, ".corrupt-%" PRId64 "%s", now_wall_ms, SUFFIXES[i]);
        path_of(folder, SUFFIXES[i], from);
        path_of(folder, suffix, to);
        if (rename(from, to) != 0 && errno != ENOENT) {
            log_error("the spool's damaged file cannot be moved aside", log_s("path", from),
                      log_s("error", strerror(errno)));
            return false;
        }
    }
    (void)snprintf(suffix, sizeof suffix, ".corrupt-%" PRId64, now_wall_ms);
    path_of(folder, suffix, to);
    log_error("the spool's file is damaged: it was moved aside. Webhooks that were acknowledged "
              "may be in it: `sqlite3 FILE .recover` shows what can be read",
              log_s("file", to));
    return true;
}

/* ---- Changes ---- */

enum spool_db_result
spool_db_begin(struct spool_db *db)
{
    return run(db, BEGIN);
}

enum spool_db_result
spool_db_commit(struct spool_db *db)
{
    return run(db, COMMIT);
}

void
spool_db_roll_back(struct spool_db *db)
{
    /* SQLite may have done it already. */
    if (sqlite3_get_autocommit(db->handle) == 0) {
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
}

enum spool_db_result
spool_db_add(struct spool_db *db, int64_t seq, int64_t received_wall_ms, const char *bytes,
             size_t size)
{
    sqlite3_stmt *add = db->statements[ADD];
    (void)sqlite3_bind_int64(add, 1, seq);
    (void)sqlite3_bind_int64(add, 2, received_wall_ms);
    (void)sqlite3_bind_blob64(add, 3, bytes, size, SQLITE_STATIC);
    return run(db, ADD);
}

enum spool_db_result
spool_db_remove_to(struct spool_db *db, int64_t seq)
{
    (void)sqlite3_bind_int64(db->statements[REMOVE], 1, seq);
    return run(db, REMOVE);
}

enum spool_db_result
spool_db_refuse(struct spool_db *db, int64_t seq, const char *error)
{
    sqlite3_stmt *refuse = db->statements[REFUSE];
    (void)sqlite3_bind_int64(refuse, 1, seq);
    (void)sqlite3_bind_int64(refuse, 2, clock_wall_ms());
    (void)sqlite3_bind_text(refuse, 3, error, -1, SQLITE_STATIC);
    enum spool_db_result result = run(db, REFUSE);
    if (result == SPOOL_DB_OK) {
        (void)sqlite3_bind_int64(db->statements[FORGET], 1, seq);
        result = run(db, FORGET);
    }
    return result;
}

enum spool_db_result
spool_db_probe(struct spool_db *db)
{
    return run(db, PROBE);
}

bool
spool_db_shrink(struct spool_db *db)
{
    if (ask_number(db, "PRAGMA freelist_count") > 0) {
        return run_script(db, "shrink", "PRAGMA incremental_vacuum(" SHRINK_STEP ")") ==
               SPOOL_DB_OK;
    }
    /* What was given up leaves the file when the journal is brought into it; not now, if somebody
     * looks into it and would have to be waited for. */
    (void)sqlite3_busy_timeout(db->handle, 0);
    (void)sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)sqlite3_busy_timeout(db->handle, BUSY_MS);
    return false;
}

/* ---- Reading ---- */

enum spool_db_result
spool_db_read(struct spool_db *db, int64_t seq,
              bool (*found)(int64_t seq, int64_t received_wall_ms, const char *bytes, size_t size,
                            void *arg),
              void *arg)
{
    sqlite3_stmt *read = db->statements[READ];
    (void)sqlite3_bind_int64(read, 1, seq);
    int code = sqlite3_step(read);
    while (code == SQLITE_ROW) {
        const char *bytes = sqlite3_column_blob(read, 2);
        if (!found(sqlite3_column_int64(read, 0), sqlite3_column_int64(read, 1),
                   bytes != NULL ? bytes : "", (size_t)sqlite3_column_bytes(read, 2), arg)) {
            break;
        }
        code = sqlite3_step(read);
    }
    enum spool_db_result result = judge(db, "read", code);
    (void)sqlite3_reset(read);
    return result;
}

int64_t
spool_db_bytes(struct spool_db *db)
{
    sqlite3_stmt *size = db->statements[SIZE];
    int64_t bytes = sqlite3_step(size) == SQLITE_ROW ? sqlite3_column_int64(size, 0) : 0;
    (void)sqlite3_reset(size);
    return bytes;
}

const char *
spool_db_error(const struct spool_db *db)
{
    return db->error;
}
