#include "common/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/unit.h"

static const char *const NAMES[] = {
    "REDIS_URL",
    "REDIS_URL_FILE",
    "TOLLGATE_NAMESPACE",
    "TOLLGATE_LISTEN",
    "TOLLGATE_ADMIN_LISTEN",
    "WEBHOOK_SECRET",
    "WEBHOOK_SECRET_FILE",
    "TOLLGATE_ALLOW_UNSIGNED",
    "TOLLGATE_EVENT_TYPES",
    "TOLLGATE_THREADS",
    "CALCOM_API_URL",
    "CALCOM_API_KEY",
    "CALCOM_API_KEY_FILE",
    "CALCOM_API_VERSION",
    "CALCOM_TIMEOUT_MS",
    "TOLLGATE_CONCURRENCY",
    "TOLLGATE_FRESH_MS",
    "TOLLGATE_LEASE_MS",
    "TOLLGATE_POLICY_FILE",
    "TOLLGATE_KEEP_DAYS",
    "TOLLGATE_LOG_FORMAT",
    "TOLLGATE_LOG_LEVEL",
    "TOLLGATE_LOG_FILE",
};

static void
set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

/* Only what must be set is. */
static int
set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        (void)unsetenv(NAMES[i]);
    }
    set("WEBHOOK_SECRET", "s3cr3t-example");
    set("CALCOM_API_URL", "https://api.cal.com/v2");
    set("CALCOM_API_KEY", "cal_key");
    return 0;
}

static void
load(struct config *config, enum config_program program)
{
    char error[CONFIG_ERROR_SIZE] = "";
    check(config_load(config, program, error), "%s", error);
}

/* Loads, expects a failure, and that its text holds all of the parts (ended by NULL). */
static void
check_fails(enum config_program program, const char *const *parts)
{
    struct config config;
    char error[CONFIG_ERROR_SIZE] = "";
    check(!config_load(&config, program, error), "loaded, but %s should be wrong", parts[0]);
    for (; *parts != NULL; parts++) {
        check(unit_contains(error, *parts), "\"%s\" does not tell \"%s\"", error, *parts);
    }
}

#define FAILS(program, ...) check_fails((program), (const char *const[]){ __VA_ARGS__, NULL })

/* ---- Defaults ---- */

static void
test_ingest_defaults(void **state)
{
    struct config config;
    (void)state;
    load(&config, CONFIG_INGEST);
    assert_string_equal(config.redis_url, "redis://127.0.0.1:6379/0");
    assert_string_equal(config.ns, "tollgate");
    assert_string_equal(config.listen, "0.0.0.0:8080");
    assert_string_equal(config.admin_listen, "");
    assert_false(config.admin_listen_given);
    assert_string_equal(config.webhook_secret, "s3cr3t-example");
    assert_false(config.allow_unsigned);
    assert_string_equal(config.event_types, "");
    assert_int_equal(config.threads, 0);
    assert_int_equal(config.keep_days, 30);
    assert_string_equal(config.log_format, "logfmt");
    assert_string_equal(config.log_level, "info");
    assert_string_equal(config.log_file, "");
    config_release(&config);
}

static void
test_worker_defaults(void **state)
{
    struct config config;
    (void)state;
    load(&config, CONFIG_WORKER);
    assert_string_equal(config.redis_url, "redis://127.0.0.1:6379/0");
    assert_string_equal(config.ns, "tollgate");
    assert_string_equal(config.admin_listen, "");
    assert_false(config.admin_listen_given);
    assert_string_equal(config.calcom_api_url, "https://api.cal.com/v2");
    assert_string_equal(config.calcom_api_key, "cal_key");
    assert_string_equal(config.calcom_api_version, "2024-08-13");
    assert_int_equal(config.calcom_timeout_ms, 10000);
    assert_int_equal(config.concurrency, 64);
    assert_int_equal(config.fresh_ms, 1000);
    assert_int_equal(config.lease_ms, 10000);
    assert_string_equal(config.policy_file, "");
    assert_int_equal(config.keep_days, 30);
    config_release(&config);
}

static void
test_empty_is_unset(void **state)
{
    struct config config;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        const char *name = NAMES[i];
        if (strcmp(name, "WEBHOOK_SECRET") != 0) {
            set(name, "");
        }
    }
    load(&config, CONFIG_INGEST);
    assert_string_equal(config.redis_url, "redis://127.0.0.1:6379/0");
    assert_string_equal(config.ns, "tollgate");
    assert_string_equal(config.listen, "0.0.0.0:8080");
    assert_false(config.admin_listen_given);
    assert_int_equal(config.threads, 0);
    assert_int_equal(config.keep_days, 30);
    assert_string_equal(config.log_level, "info");
    config_release(&config);
    FAILS(CONFIG_WORKER, "CALCOM_API_URL", "not set");
}

static void
test_given_values(void **state)
{
    struct config config;
    (void)state;
    set("REDIS_URL", "rediss://u:p@h/1");
    set("TOLLGATE_NAMESPACE", "Team_1.a-b");
    set("TOLLGATE_LISTEN", "[::]:1");
    set("TOLLGATE_ADMIN_LISTEN", "127.0.0.1:2");
    set("TOLLGATE_ALLOW_UNSIGNED", "yes");
    set("TOLLGATE_EVENT_TYPES", "1207,1208");
    set("TOLLGATE_LOG_FORMAT", "json");
    set("TOLLGATE_LOG_LEVEL", "debug");
    set("TOLLGATE_LOG_FILE", "/tmp/x.log");
    load(&config, CONFIG_INGEST);
    assert_string_equal(config.redis_url, "rediss://u:p@h/1");
    assert_string_equal(config.ns, "Team_1.a-b");
    assert_string_equal(config.listen, "[::]:1");
    assert_string_equal(config.admin_listen, "127.0.0.1:2");
    assert_true(config.admin_listen_given);
    assert_true(config.allow_unsigned);
    assert_string_equal(config.event_types, "1207,1208");
    assert_string_equal(config.log_format, "json");
    assert_string_equal(config.log_level, "debug");
    assert_string_equal(config.log_file, "/tmp/x.log");
    config_release(&config);
}

/* ---- Bad values ---- */

static const struct {
    const char *name;
    enum config_program program;
    const char *least, *most, *below, *above, *default_;
} NUMBERS[] = {
    { "TOLLGATE_THREADS", CONFIG_INGEST, "0", "256", "-1", "257", "0" },
    { "TOLLGATE_KEEP_DAYS", CONFIG_INGEST, "1", "3650", "0", "3651", "30" },
    { "TOLLGATE_KEEP_DAYS", CONFIG_WORKER, "1", "3650", "0", "3651", "30" },
    { "CALCOM_TIMEOUT_MS", CONFIG_WORKER, "500", "300000", "499", "300001", "10000" },
    { "TOLLGATE_CONCURRENCY", CONFIG_WORKER, "1", "1000", "0", "1001", "64" },
    { "TOLLGATE_FRESH_MS", CONFIG_WORKER, "0", "60000", "-1", "60001", "1000" },
    { "TOLLGATE_LEASE_MS", CONFIG_WORKER, "1000", "600000", "999", "600001", "10000" },
};

static void
test_numbers(void **state)
{
    static const char *const NO_NUMBERS[] = { "x",
                                              "1x",
                                              "1.5",
                                              "1e3",
                                              "0x10",
                                              "-",
                                              "+",
                                              "1 2",
                                              "99999999999999999999",
                                              "-99999999999999999999",
                                              "ten",
                                              "5 ",
                                              "1,000",
                                              "10s",
                                              "10ms" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NUMBERS); i++) {
        const char *name = NUMBERS[i].name, *least = NUMBERS[i].least, *most = NUMBERS[i].most;
        enum config_program program = NUMBERS[i].program;
        struct config config;
        set(name, least);
        load(&config, program);
        config_release(&config);
        set(name, most);
        load(&config, program);
        config_release(&config);
        set(name, NUMBERS[i].below);
        FAILS(program, name, NUMBERS[i].below, least, most);
        set(name, NUMBERS[i].above);
        FAILS(program, name, NUMBERS[i].above, least, most);
        for (size_t j = 0; j < COUNT_OF(NO_NUMBERS); j++) {
            set(name, NO_NUMBERS[j]);
            FAILS(program, name, NO_NUMBERS[j], least, most);
        }
        set(name, NUMBERS[i].default_);
    }
}

static void
test_numbers_are_stored(void **state)
{
    struct config config;
    (void)state;
    set("TOLLGATE_THREADS", "7");
    set("TOLLGATE_KEEP_DAYS", "8");
    load(&config, CONFIG_INGEST);
    assert_int_equal(config.threads, 7);
    assert_int_equal(config.keep_days, 8);
    config_release(&config);
    set("CALCOM_TIMEOUT_MS", "501");
    set("TOLLGATE_CONCURRENCY", "2");
    set("TOLLGATE_FRESH_MS", "3");
    set("TOLLGATE_LEASE_MS", "1004");
    load(&config, CONFIG_WORKER);
    assert_int_equal(config.calcom_timeout_ms, 501);
    assert_int_equal(config.concurrency, 2);
    assert_int_equal(config.fresh_ms, 3);
    assert_int_equal(config.lease_ms, 1004);
    config_release(&config);
}

static void
test_bad_values(void **state)
{
    static const struct {
        const char *name, *value;
        const char *tells; /* what is allowed */
    } ROWS[] = {
        { "TOLLGATE_ALLOW_UNSIGNED", "true", "yes or no" },
        { "TOLLGATE_ALLOW_UNSIGNED", "Yes", "yes or no" },
        { "TOLLGATE_ALLOW_UNSIGNED", "1", "yes or no" },
        { "TOLLGATE_ALLOW_UNSIGNED", "yes ", "yes or no" },
        { "TOLLGATE_LOG_FORMAT", "JSON", "logfmt|json" },
        { "TOLLGATE_LOG_FORMAT", "logfmt|json", "logfmt|json" },
        { "TOLLGATE_LOG_FORMAT", "log", "logfmt|json" },
        { "TOLLGATE_LOG_FORMAT", "jsonx", "logfmt|json" },
        { "TOLLGATE_LOG_FORMAT", "|", "logfmt|json" },
        { "TOLLGATE_LOG_LEVEL", "warning", "debug|info|warn|error" },
        { "TOLLGATE_LOG_LEVEL", "nfo", "debug|info|warn|error" },
        { "TOLLGATE_LOG_LEVEL", "trace", "debug|info|warn|error" },
        { "TOLLGATE_NAMESPACE", "a b", "letters" },
        { "TOLLGATE_NAMESPACE", "{a}", "letters" },
        { "TOLLGATE_NAMESPACE", "a:b", "letters" },
        { "TOLLGATE_NAMESPACE", "\xc3\xbc", "letters" },
        { "TOLLGATE_NAMESPACE", "x1234567890123456789012345678901234567890123456789012345678901234",
          "64" },
        { "TOLLGATE_EVENT_TYPES", "1207;1208", "numbers" },
        { "TOLLGATE_EVENT_TYPES", "1207, 1208", "numbers" },
        { "TOLLGATE_EVENT_TYPES", "1207,,1208", "numbers" },
        { "TOLLGATE_EVENT_TYPES", ",1207", "numbers" },
        { "TOLLGATE_EVENT_TYPES", "1207,", "numbers" },
        { "TOLLGATE_EVENT_TYPES", "-1", "numbers" },
        { "TOLLGATE_EVENT_TYPES", "all", "numbers" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        (void)set_up(NULL);
        set(ROWS[i].name, ROWS[i].value);
        FAILS(CONFIG_INGEST, ROWS[i].name, ROWS[i].tells);
    }
}

static void
test_long_values_do_not_overflow_the_error(void **state)
{
    char value[4096];
    (void)state;
    memset(value, 'x', sizeof value);
    value[sizeof value - 1] = '\0';
    set("TOLLGATE_THREADS", value);
    FAILS(CONFIG_INGEST, "TOLLGATE_THREADS", "0 to 256");
    (void)set_up(NULL);
    set("TOLLGATE_LOG_LEVEL", value);
    FAILS(CONFIG_INGEST, "TOLLGATE_LOG_LEVEL", "debug");
    (void)set_up(NULL);
    (void)unsetenv("WEBHOOK_SECRET");
    set("WEBHOOK_SECRET_FILE", value);
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET_FILE");
}

/* What belongs to the other program is not read. */
static void
test_other_programs_settings_do_not_matter(void **state)
{
    struct config config;
    (void)state;
    set("TOLLGATE_CONCURRENCY", "x");
    (void)unsetenv("CALCOM_API_KEY");
    load(&config, CONFIG_INGEST);
    config_release(&config);
    (void)set_up(NULL);
    set("TOLLGATE_THREADS", "x");
    set("TOLLGATE_EVENT_TYPES", "x");
    (void)unsetenv("WEBHOOK_SECRET");
    load(&config, CONFIG_WORKER);
    config_release(&config);
}

/* ---- Required ones and secrets ---- */

static void
test_required(void **state)
{
    (void)state;
    (void)unsetenv("CALCOM_API_URL");
    FAILS(CONFIG_WORKER, "CALCOM_API_URL", "not set");
    (void)set_up(NULL);
    (void)unsetenv("CALCOM_API_KEY");
    FAILS(CONFIG_WORKER, "CALCOM_API_KEY", "not set");
    (void)set_up(NULL);
    set("CALCOM_API_KEY", "");
    FAILS(CONFIG_WORKER, "CALCOM_API_KEY", "not set");
    (void)set_up(NULL);
    (void)unsetenv("WEBHOOK_SECRET");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET", "not set", "TOLLGATE_ALLOW_UNSIGNED=yes");
    set("TOLLGATE_ALLOW_UNSIGNED", "no");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET", "not set");
}

static void
test_unsigned_may_do_without_a_secret(void **state)
{
    struct config config;
    (void)state;
    (void)unsetenv("WEBHOOK_SECRET");
    set("TOLLGATE_ALLOW_UNSIGNED", "yes");
    load(&config, CONFIG_INGEST);
    assert_string_equal(config.webhook_secret, "");
    assert_true(config.allow_unsigned);
    config_release(&config);
}

static void
test_webhook_secrets(void **state)
{
    static const char *const GOOD[] = { "a",        "a,b",      "old secret,new secret",
                                        "sha256=x", "\xc3\xbc", "a\"b",
                                        "a b",      "{}[]:/@" };
    static const char *const BAD[] = { ",",   "a,",  ",a",  "a,,b",  " a", "a ",  "a, b",  "a ,b",
                                       "\ta", "a\n", "a\r", "a,b\n", " ",  "a, ", "a,\t,b" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        struct config config;
        set("WEBHOOK_SECRET", GOOD[i]);
        load(&config, CONFIG_INGEST);
        assert_string_equal(config.webhook_secret, GOOD[i]);
        config_release(&config);
    }
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        set("WEBHOOK_SECRET", BAD[i]);
        FAILS(CONFIG_INGEST, "WEBHOOK_SECRET");
        /* Not even with unsigned ones allowed: the secret is a slip of the hand all the same. */
        set("TOLLGATE_ALLOW_UNSIGNED", "yes");
        FAILS(CONFIG_INGEST, "WEBHOOK_SECRET");
        (void)unsetenv("TOLLGATE_ALLOW_UNSIGNED");
    }
}

static void
test_errors_show_no_secret(void **state)
{
    struct config config;
    char error[CONFIG_ERROR_SIZE] = "";
    (void)state;
    set("WEBHOOK_SECRET", "hunter2, hunter2");
    assert_false(config_load(&config, CONFIG_INGEST, error));
    assert_false(unit_contains(error, "hunter2"));
    set("WEBHOOK_SECRET", "hunter2");
    set("WEBHOOK_SECRET_FILE", "/nowhere");
    assert_false(config_load(&config, CONFIG_INGEST, error));
    assert_false(unit_contains(error, "hunter2"));
}

/* ---- Secrets from files ---- */

static const struct {
    const char *bytes, *secret;
} FILES[] = {
    { "from-file", "from-file" },
    { "from-file\n", "from-file" },
    { "a,b\n", "a,b" },
    { "\xc3\xbc\n", "\xc3\xbc" },
};

static void
test_secret_files(void **state)
{
    char path[UNIT_PATH_SIZE];
    (void)state;
    unit_make_file(path);
    (void)unsetenv("WEBHOOK_SECRET");
    (void)unsetenv("CALCOM_API_KEY");
    set("WEBHOOK_SECRET_FILE", path);
    set("CALCOM_API_KEY_FILE", path);
    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        struct config config;
        unit_write_file(path, FILES[i].bytes, strlen(FILES[i].bytes));
        load(&config, CONFIG_INGEST);
        assert_string_equal(config.webhook_secret, FILES[i].secret);
        config_release(&config);
        load(&config, CONFIG_WORKER);
        assert_string_equal(config.calcom_api_key, FILES[i].secret);
        config_release(&config);
    }
    /* One newline only: a second one is white space around the secret. */
    unit_write_file(path, "a\n\n", 3);
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET");
    unit_write_file(path, "a\r\n", 3);
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET");
    unit_write_file(path, "a\0b", 3);
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET_FILE");
    (void)unlink(path);
}

static void
test_redis_url_file(void **state)
{
    char path[UNIT_PATH_SIZE];
    struct config config;
    (void)state;
    unit_make_file(path);
    unit_write_file(path, "redis://:pw@h\n", 14);
    set("REDIS_URL_FILE", path);
    load(&config, CONFIG_WORKER);
    assert_string_equal(config.redis_url, "redis://:pw@h");
    config_release(&config);
    set("REDIS_URL", "redis://h");
    FAILS(CONFIG_WORKER, "REDIS_URL", "REDIS_URL_FILE", "both");
    (void)unlink(path);
}

static void
test_empty_secret_files(void **state)
{
    char path[UNIT_PATH_SIZE];
    (void)state;
    unit_make_file(path);
    (void)unsetenv("WEBHOOK_SECRET");
    (void)unsetenv("CALCOM_API_KEY");
    set("WEBHOOK_SECRET_FILE", path);
    set("CALCOM_API_KEY_FILE", path);
    for (size_t size = 0; size <= 1; size++) {
        unit_write_file(path, "\n", size);
        FAILS(CONFIG_INGEST, "WEBHOOK_SECRET");
        FAILS(CONFIG_WORKER, "CALCOM_API_KEY");
    }
    (void)unlink(path);
}

static void
test_unusable_secret_files(void **state)
{
    enum { HUGE = 70000 };
    char path[UNIT_PATH_SIZE];
    (void)state;
    set("WEBHOOK_SECRET_FILE", "/nowhere/secret");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET", "WEBHOOK_SECRET_FILE", "both");
    (void)unsetenv("WEBHOOK_SECRET");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET_FILE", "/nowhere/secret", "No such file");
    set("WEBHOOK_SECRET_FILE", "/");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET_FILE", "/");
    unit_make_file(path);
    char *bytes = malloc(HUGE);
    assert_non_null(bytes);
    memset(bytes, 'x', HUGE);
    unit_write_file(path, bytes, HUGE);
    free(bytes);
    set("WEBHOOK_SECRET_FILE", path);
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET_FILE", path);
    (void)unlink(path);
}

/* Only secrets have a file. */
static void
test_other_settings_have_no_file(void **state)
{
    struct config config;
    (void)state;
    set("TOLLGATE_NAMESPACE_FILE", "/nowhere");
    set("CALCOM_API_URL_FILE", "/nowhere");
    load(&config, CONFIG_WORKER);
    assert_string_equal(config.ns, "tollgate");
    config_release(&config);
    (void)unsetenv("TOLLGATE_NAMESPACE_FILE");
    (void)unsetenv("CALCOM_API_URL_FILE");
}

/* ---- The rest ---- */

static void
test_log_line_shows_no_secret(void **state)
{
    char path[UNIT_PATH_SIZE];
    struct config config;
    size_t size;
    (void)state;
    unit_make_file(path);
    assert_true(log_open("unit", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, path));
    set("REDIS_URL", "redis://gate:hunter1@h:1/2");
    set("WEBHOOK_SECRET", "hunter2");
    set("CALCOM_API_KEY", "hunter3");
    load(&config, CONFIG_INGEST);
    config_log(&config, CONFIG_INGEST);
    config_release(&config);
    load(&config, CONFIG_WORKER);
    config_log(&config, CONFIG_WORKER);
    config_release(&config);
    assert_true(log_open("unit", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, ""));
    char *text = unit_read_file(path, &size);
    (void)unlink(path);
    check(!unit_contains(text, "hunter"), "%s", text);
    check(unit_contains(text, "WEBHOOK_SECRET=\"(set)\"") ||
              unit_contains(text, "WEBHOOK_SECRET=(set)"),
          "%s", text);
    check(unit_contains(text, "TOLLGATE_CONCURRENCY=64"), "%s", text);
    check(unit_contains(text, "TOLLGATE_THREADS=0"), "%s", text);
    check(unit_contains(text, "h:1/2"), "%s", text);
    free(text);
}

static void
test_lists(void **state)
{
    static const struct {
        const char *list, *item;
        bool empty_is_all, has;
    } ROWS[] = {
        { "", "1207", true, true },
        { "", "1207", false, false },
        { "", "", true, true },
        { "1207", "1207", true, true },
        { "1207", "1207", false, true },
        { "1207", "120", true, false },
        { "1207", "12070", true, false },
        { "1207", "207", true, false },
        { "1207,1208", "1207", false, true },
        { "1207,1208", "1208", false, true },
        { "1,2,3", "2", false, true },
        { "1,2,3", "4", true, false },
        { "1207,1208", "1209", true, false },
        { "1207,1208", "1207,1208", false, false },
        { "1207,1208", "", true, false },
        { "1207,1208", ",", true, false },
        { "a", "A", true, false },
        { " 1", "1", true, false },
        { "12,1", "1", false, true },
        { "1,12", "12", false, true },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        check(config_list_has(ROWS[i].list, ROWS[i].item, ROWS[i].empty_is_all) == ROWS[i].has,
              "row %zu: \"%s\" in \"%s\"", i, ROWS[i].item, ROWS[i].list);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ingest_defaults, set_up),
        cmocka_unit_test_setup(test_worker_defaults, set_up),
        cmocka_unit_test_setup(test_empty_is_unset, set_up),
        cmocka_unit_test_setup(test_given_values, set_up),
        cmocka_unit_test_setup(test_numbers, set_up),
        cmocka_unit_test_setup(test_numbers_are_stored, set_up),
        cmocka_unit_test_setup(test_bad_values, set_up),
        cmocka_unit_test_setup(test_long_values_do_not_overflow_the_error, set_up),
        cmocka_unit_test_setup(test_other_programs_settings_do_not_matter, set_up),
        cmocka_unit_test_setup(test_required, set_up),
        cmocka_unit_test_setup(test_unsigned_may_do_without_a_secret, set_up),
        cmocka_unit_test_setup(test_webhook_secrets, set_up),
        cmocka_unit_test_setup(test_errors_show_no_secret, set_up),
        cmocka_unit_test_setup(test_secret_files, set_up),
        cmocka_unit_test_setup(test_redis_url_file, set_up),
        cmocka_unit_test_setup(test_empty_secret_files, set_up),
        cmocka_unit_test_setup(test_unusable_secret_files, set_up),
        cmocka_unit_test_setup(test_other_settings_have_no_file, set_up),
        cmocka_unit_test_setup(test_log_line_shows_no_secret, set_up),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
