#include "ingest/spool_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define MOST 64

/* What was read. */
struct found {
    size_t count, limit;
    int64_t seqs[MOST];
    int64_t received[MOST];
    char bytes[MOST][32];
    size_t sizes[MOST];
};

static bool
on_found(int64_t seq, int64_t received_wall_ms, const char *bytes, size_t size, void *arg)
{
    struct found *found = arg;
    found->seqs[found->count] = seq;
    found->received[found->count] = received_wall_ms;
    found->sizes[found->count] = size;
    memcpy(found->bytes[found->count], bytes, size);
    found->count++;
    return found->count < found->limit;
}

static struct found
read_behind(struct spool_db *db, int64_t seq, size_t limit)
{
    struct found found = { .limit = limit };
    assert_int_equal(spool_db_read(db, seq, on_found, &found), SPOOL_DB_OK);
    return found;
}

static int
set_up(void **state)
{
    char path[UNIT_PATH_SIZE];
    unit_make_file(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    *state = strdup(path);
    return *state == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
    static const char *const SUFFIXES[] = { "", "-wal", "-shm" };
    char *folder = *state;
    for (size_t i = 0; i < COUNT_OF(SUFFIXES); i++) {
        char path[UNIT_PATH_SIZE + 32];
        (void)snprintf(path, sizeof path, "%s/" SPOOL_DB_NAME "%s", folder, SUFFIXES[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
    free(folder);
    return 0;
}

static struct spool_db *
open_db(const char *folder, struct spool_db_content *content)
{
    struct spool_db *db = NULL;
    char error[SPOOL_DB_ERROR_SIZE] = "";
    enum spool_db_result result = spool_db_open(folder, &db, content, error);
    check(result == SPOOL_DB_OK, "%s", error);
    return db;
}

static void
add(struct spool_db *db, int64_t from, int64_t to)
{
    assert_int_equal(spool_db_begin(db), SPOOL_DB_OK);
    for (int64_t seq = from; seq <= to; seq++) {
        char bytes[32] = { 0 };
        int size = snprintf(bytes, sizeof bytes, "event%d", (int)seq);
        assert_int_equal(spool_db_add(db, seq, 1000 + seq, bytes, (size_t)size + 1), SPOOL_DB_OK);
    }
    assert_int_equal(spool_db_commit(db), SPOOL_DB_OK);
}

static void
test_what_is_added_is_read_in_order(void **state)
{
    struct spool_db_content content;
    struct spool_db *db = open_db(*state, &content);
    assert_int_equal(content.events, 0);
    assert_int_equal(content.last_seq, 0);
    assert_int_equal(content.oldest_wall_ms, 0);
    add(db, 1, 12);
    struct found found = read_behind(db, 0, MOST);
    assert_int_equal(found.count, 12);
    for (size_t i = 0; i < found.count; i++) {
        char expected[32];
        (void)snprintf(expected, sizeof expected, "event%zu", i + 1);
        assert_int_equal(found.seqs[i], i + 1);
        assert_int_equal(found.received[i], 1001 + i);
        assert_int_equal(found.sizes[i], strlen(expected) + 1);
        assert_string_equal(found.bytes[i], expected);
    }
    assert_int_equal(read_behind(db, 0, 5).count, 5);
    assert_int_equal(read_behind(db, 10, MOST).seqs[0], 11);
    assert_int_equal(read_behind(db, 12, MOST).count, 0);
    spool_db_close(db);
}

static void
test_it_is_still_there_afterwards(void **state)
{
    struct spool_db_content content;
    struct spool_db *db = open_db(*state, &content);
    add(db, 3, 9);
    assert_int_equal(spool_db_begin(db), SPOOL_DB_OK);
    assert_int_equal(spool_db_remove_to(db, 4), SPOOL_DB_OK);
    assert_int_equal(spool_db_commit(db), SPOOL_DB_OK);
    spool_db_close(db);
    db = open_db(*state, &content);
    assert_int_equal(content.events, 5);
    assert_int_equal(content.last_seq, 9);
    assert_int_equal(content.oldest_wall_ms, 1005);
    assert_int_equal(read_behind(db, 0, MOST).seqs[0], 5);
    spool_db_close(db);
}

static void
test_what_is_rolled_back_did_not_happen(void **state)
{
    struct spool_db_content content;
    struct spool_db *db = open_db(*state, &content);
    add(db, 1, 2);
    assert_int_equal(spool_db_begin(db), SPOOL_DB_OK);
    assert_int_equal(spool_db_add(db, 3, 1, "x", 1), SPOOL_DB_OK);
    assert_int_equal(spool_db_remove_to(db, 1), SPOOL_DB_OK);
    spool_db_roll_back(db);
    spool_db_roll_back(db);
    assert_int_equal(read_behind(db, 0, MOST).count, 2);
    assert_int_equal(spool_db_begin(db), SPOOL_DB_OK);
    assert_int_equal(spool_db_add(db, 2, 1, "x", 1), SPOOL_DB_FAILED);
    check(unit_contains(spool_db_error(db), "UNIQUE"), "%s", spool_db_error(db));
    spool_db_roll_back(db);
    add(db, 3, 3);
    spool_db_close(db);
}

static void
test_what_was_refused_has_another_chance(void **state)
{
    struct spool_db_content content;
    struct spool_db *db = open_db(*state, &content);
    add(db, 1, 5);
    assert_int_equal(spool_db_begin(db), SPOOL_DB_OK);
    assert_int_equal(spool_db_refuse(db, 2, "no hash"), SPOOL_DB_OK);
    assert_int_equal(spool_db_refuse(db, 4, "no hash"), SPOOL_DB_OK);
    assert_int_equal(spool_db_refuse(db, 77, "there is none"), SPOOL_DB_OK);
    assert_int_equal(spool_db_remove_to(db, 4), SPOOL_DB_OK);
    assert_int_equal(spool_db_commit(db), SPOOL_DB_OK);
    assert_int_equal(read_behind(db, 0, MOST).count, 1);
    spool_db_close(db);
    db = open_db(*state, &content);
    assert_int_equal(content.events, 3);
    struct found found = read_behind(db, 0, MOST);
    assert_string_equal(found.bytes[0], "event5");
    assert_string_equal(found.bytes[1], "event2");
    assert_string_equal(found.bytes[2], "event4");
    assert_int_equal(content.last_seq, found.seqs[2]);
    spool_db_close(db);
}

static void
test_what_is_removed_is_given_back(void **state)
{
    struct spool_db_content content;
    struct spool_db *db = open_db(*state, &content);
    int64_t empty = spool_db_bytes(db);
    char *large = calloc(1, 100000);
    assert_non_null(large);
    assert_int_equal(spool_db_begin(db), SPOOL_DB_OK);
    for (int64_t seq = 1; seq <= 50; seq++) {
        assert_int_equal(spool_db_add(db, seq, 1, large, 100000), SPOOL_DB_OK);
    }
    assert_int_equal(spool_db_commit(db), SPOOL_DB_OK);
    free(large);
    check(spool_db_bytes(db) > 5000000, "%ld bytes", (long)spool_db_bytes(db));
    assert_int_equal(spool_db_begin(db), SPOOL_DB_OK);
    assert_int_equal(spool_db_remove_to(db, 50), SPOOL_DB_OK);
    assert_int_equal(spool_db_probe(db), SPOOL_DB_OK);
    assert_int_equal(spool_db_commit(db), SPOOL_DB_OK);
    check(spool_db_bytes(db) < empty + 20000, "%ld bytes", (long)spool_db_bytes(db));
    int steps = 0;
    while (spool_db_shrink(db)) {
        check(++steps < 100, "it shrinks for ever");
    }
    assert_true(steps > 1);
    struct stat status;
    char path[UNIT_PATH_SIZE + 32];
    (void)snprintf(path, sizeof path, "%s/" SPOOL_DB_NAME, (const char *)*state);
    assert_int_equal(stat(path, &status), 0);
    check(status.st_size < 100000, "%ld bytes on disk", (long)status.st_size);
    assert_int_equal(status.st_mode & 0777, 0600);
    spool_db_close(db);
}

static void
test_files_that_are_none(void **state)
{
    char path[UNIT_PATH_SIZE + 32], error[SPOOL_DB_ERROR_SIZE];
    struct spool_db *db = NULL;
    struct spool_db_content content;
    static const char RUBBISH[] = "no database, but long enough to be taken for the head of one, "
                                  "which is a hundred bytes long in SQLite's format";
    (void)snprintf(path, sizeof path, "%s/" SPOOL_DB_NAME, (const char *)*state);
    unit_write_file(path, RUBBISH, sizeof RUBBISH);
    assert_int_equal(spool_db_open(*state, &db, &content, error), SPOOL_DB_CORRUPT);
    assert_null(db);
    assert_int_equal(spool_db_open("/nowhere/at/all", &db, &content, error), SPOOL_DB_FAILED);
    assert_null(db);
    check(unit_contains(error, "No such file"), "%s", error);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_added_is_read_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_is_still_there_afterwards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_rolled_back_did_not_happen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_refused_has_another_chance, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_removed_is_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_that_are_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
