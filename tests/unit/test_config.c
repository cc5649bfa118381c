#include "common/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/config_env.h"
#include "tests/unit/unit.h"

/* ---- Defaults ---- */

static void
test_ingest_defaults(void **state)
{
    struct config config;
    (void)state;
    env_load(&config, CONFIG_INGEST);
    assert_string_equal(config.redis_url, "redis://127.0.0.1:6379/0");
    assert_string_equal(config.ns, "tollgate");
    assert_string_equal(config.listen, "0.0.0.0:8080");
    assert_string_equal(config.admin_listen, "");
    assert_false(config.admin_listen_given);
    assert_string_equal(config.webhook_secret, "s3cr3t-example");
    assert_false(config.allow_unsigned);
    assert_string_equal(config.event_types, "");
    assert_string_equal(config.account_field, "");
    assert_int_equal(config.threads, 0);
    assert_string_equal(config.spool_dir, "./spool");
    assert_int_equal(config.spool_max, 1073741824);
    assert_int_equal(config.spool_after_ms, 250);
    assert_int_equal(config.wait_replicas, 0);
    assert_false(config.strict);
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
    env_load(&config, CONFIG_WORKER);
    assert_string_equal(config.redis_url, "redis://127.0.0.1:6379/0");
    assert_string_equal(config.ns, "tollgate");
    assert_string_equal(config.admin_listen, "");
    assert_false(config.admin_listen_given);
    assert_string_equal(config.calcom_api_url, "https://api.cal.com/v2");
    assert_string_equal(config.calcom_api_key, "cal_key");
    assert_string_equal(config.calcom_api_version, "2024-08-13");
    assert_int_equal(config.calcom_timeout_ms, 10000);
    assert_int_equal(config.rate_limit, 100);
    assert_false(config.rate_limit_given);
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
    env_set_all_empty();
    env_load(&config, CONFIG_INGEST);
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
test_one_call_is_too_few(void **state)
{
    (void)state;
    env_set("CALCOM_RATE_LIMIT", "1");
    FAILS(CONFIG_WORKER, "CALCOM_RATE_LIMIT", "0 or at least 2");
}

static void
test_given_values(void **state)
{
    struct config config;
    (void)state;
    env_set("REDIS_URL", "rediss://u:p@h/1");
    env_set("TOLLGATE_NAMESPACE", "Team_1.a-b");
    env_set("TOLLGATE_LISTEN", "[::]:1");
    env_set("TOLLGATE_ADMIN_LISTEN", "127.0.0.1:2");
    env_set("TOLLGATE_ALLOW_UNSIGNED", "yes");
    env_set("TOLLGATE_EVENT_TYPES", "1207,1208");
    env_set("TOLLGATE_ACCOUNT_FIELD", "responses.member_number.value");
    env_set("TOLLGATE_LOG_FORMAT", "json");
    env_set("TOLLGATE_LOG_LEVEL", "debug");
    env_set("TOLLGATE_LOG_FILE", "/tmp/x.log");
    env_load(&config, CONFIG_INGEST);
    assert_string_equal(config.redis_url, "rediss://u:p@h/1");
    assert_string_equal(config.ns, "Team_1.a-b");
    assert_string_equal(config.listen, "[::]:1");
    assert_string_equal(config.admin_listen, "127.0.0.1:2");
    assert_true(config.admin_listen_given);
    assert_true(config.allow_unsigned);
    assert_string_equal(config.event_types, "1207,1208");
    assert_string_equal(config.account_field, "responses.member_number.value");
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
    { "TOLLGATE_SPOOL_MAX", CONFIG_INGEST, "1048576", "1099511627776", "1048575", "1099511627777",
      "1073741824" },
    { "TOLLGATE_SPOOL_AFTER_MS", CONFIG_INGEST, "10", "1000", "9", "1001", "250" },
    { "TOLLGATE_WAIT_REPLICAS", CONFIG_INGEST, "0", "9", "-1", "10", "0" },
    { "TOLLGATE_KEEP_DAYS", CONFIG_INGEST, "1", "3650", "0", "3651", "30" },
    { "TOLLGATE_KEEP_DAYS", CONFIG_WORKER, "1", "3650", "0", "3651", "30" },
    { "TOLLGATE_SWEEP_INTERVAL", CONFIG_WORKER, "0", "86400", "-1", "86401", "300" },
    { "CALCOM_RATE_LIMIT", CONFIG_WORKER, "0", "100000", "-1", "100001", "100" },
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
        env_set(name, least);
        env_load(&config, program);
        config_release(&config);
        env_set(name, most);
        env_load(&config, program);
        config_release(&config);
        env_set(name, NUMBERS[i].below);
        FAILS(program, name, NUMBERS[i].below, least, most);
        env_set(name, NUMBERS[i].above);
        FAILS(program, name, NUMBERS[i].above, least, most);
        for (size_t j = 0; j < COUNT_OF(NO_NUMBERS); j++) {
            env_set(name, NO_NUMBERS[j]);
            FAILS(program, name, NO_NUMBERS[j], least, most);
        }
        env_set(name, NUMBERS[i].default_);
    }
}

static void
test_numbers_are_stored(void **state)
{
    struct config config;
    (void)state;
    env_set("TOLLGATE_THREADS", "7");
    env_set("TOLLGATE_KEEP_DAYS", "8");
    env_load(&config, CONFIG_INGEST);
    assert_int_equal(config.threads, 7);
    assert_int_equal(config.keep_days, 8);
    config_release(&config);
    env_set("CALCOM_TIMEOUT_MS", "501");
    env_set("TOLLGATE_CONCURRENCY", "2");
    env_set("TOLLGATE_FRESH_MS", "3");
    env_set("TOLLGATE_LEASE_MS", "1004");
    env_load(&config, CONFIG_WORKER);
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
        { "TOLLGATE_ACCOUNT_FIELD", ".", "words" },
        { "TOLLGATE_ACCOUNT_FIELD", ".a", "words" },
        { "TOLLGATE_ACCOUNT_FIELD", "a.", "words" },
        { "TOLLGATE_ACCOUNT_FIELD", "a..b", "words" },
        { "TOLLGATE_ACCOUNT_FIELD", "a b", "words" },
        { "TOLLGATE_ACCOUNT_FIELD", "a.b ", "words" },
        { "TOLLGATE_ACCOUNT_FIELD", "a/b", "words" },
        { "TOLLGATE_ACCOUNT_FIELD", "a[0]", "words" },
        { "TOLLGATE_ACCOUNT_FIELD", "\xc3\xbc", "words" },
        { "TOLLGATE_ACCOUNT_FIELD", "a.b.c.d.e.f.g.h.i", "8" },
        { "TOLLGATE_ACCOUNT_FIELD", "a.b.c.d.e.f.g.h.", "8" },
        { "TOLLGATE_ACCOUNT_FIELD", "oneTimePassword", "oneTimePassword" },
        { "TOLLGATE_ACCOUNT_FIELD", "metadata.oneTimePassword", "oneTimePassword" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        (void)env_set_up(NULL);
        env_set(ROWS[i].name, ROWS[i].value);
        FAILS(CONFIG_INGEST, ROWS[i].name, ROWS[i].tells);
    }
}

static void
test_longest_account_field(void **state)
{
    static const char *const GOOD[] = { "a", "A-b_9", "0", "a.b.c.d.e.f.g.h" };
    struct config config;
    char path[202];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        env_set("TOLLGATE_ACCOUNT_FIELD", GOOD[i]);
        env_load(&config, CONFIG_INGEST);
        assert_string_equal(config.account_field, GOOD[i]);
        config_release(&config);
    }
    memset(path, 'x', sizeof path - 1);
    path[100] = '.';
    path[sizeof path - 1] = '\0';
    env_set("TOLLGATE_ACCOUNT_FIELD", path);
    FAILS(CONFIG_INGEST, "TOLLGATE_ACCOUNT_FIELD", "200");
    path[sizeof path - 2] = '\0';
    env_set("TOLLGATE_ACCOUNT_FIELD", path);
    env_load(&config, CONFIG_INGEST);
    assert_string_equal(config.account_field, path);
    config_release(&config);
}

static void
test_long_values_do_not_overflow_the_error(void **state)
{
    char value[4096];
    (void)state;
    memset(value, 'x', sizeof value);
    value[sizeof value - 1] = '\0';
    env_set("TOLLGATE_THREADS", value);
    FAILS(CONFIG_INGEST, "TOLLGATE_THREADS", "0 to 256");
    (void)env_set_up(NULL);
    env_set("TOLLGATE_LOG_LEVEL", value);
    FAILS(CONFIG_INGEST, "TOLLGATE_LOG_LEVEL", "debug");
    (void)env_set_up(NULL);
    (void)unsetenv("WEBHOOK_SECRET");
    env_set("WEBHOOK_SECRET_FILE", value);
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET_FILE");
}

/* What belongs to the other program is not read. */
static void
test_other_programs_settings_do_not_matter(void **state)
{
    struct config config;
    (void)state;
    env_set("TOLLGATE_CONCURRENCY", "x");
    (void)unsetenv("CALCOM_API_KEY");
    env_load(&config, CONFIG_INGEST);
    config_release(&config);
    (void)env_set_up(NULL);
    env_set("TOLLGATE_THREADS", "x");
    (void)unsetenv("WEBHOOK_SECRET");
    env_load(&config, CONFIG_WORKER);
    config_release(&config);
}

/* The sweep of a worker finds what ingest would have been told. */
static void
test_worker_reads_what_ingest_reads(void **state)
{
    (void)state;
    env_set("TOLLGATE_EVENT_TYPES", "x");
    FAILS(CONFIG_WORKER, "TOLLGATE_EVENT_TYPES", "numbers");
    env_set("TOLLGATE_EVENT_TYPES", "");
    env_set("TOLLGATE_ACCOUNT_FIELD", ".");
    FAILS(CONFIG_WORKER, "TOLLGATE_ACCOUNT_FIELD", "words");
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
        cmocka_unit_test_setup(test_ingest_defaults, env_set_up),
        cmocka_unit_test_setup(test_worker_defaults, env_set_up),
        cmocka_unit_test_setup(test_empty_is_unset, env_set_up),
        cmocka_unit_test_setup(test_one_call_is_too_few, env_set_up),
        cmocka_unit_test_setup(test_given_values, env_set_up),
        cmocka_unit_test_setup(test_numbers, env_set_up),
        cmocka_unit_test_setup(test_numbers_are_stored, env_set_up),
        cmocka_unit_test_setup(test_bad_values, env_set_up),
        cmocka_unit_test_setup(test_longest_account_field, env_set_up),
        cmocka_unit_test_setup(test_long_values_do_not_overflow_the_error, env_set_up),
        cmocka_unit_test_setup(test_other_programs_settings_do_not_matter, env_set_up),
        cmocka_unit_test_setup(test_worker_reads_what_ingest_reads, env_set_up),
        cmocka_unit_test_setup(test_lists, env_set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
