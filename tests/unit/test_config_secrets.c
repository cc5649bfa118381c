/* Required settings, secrets, and the files that hold them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/config_env.h"
#include "tests/unit/unit.h"

static void
test_required(void **state)
{
    (void)state;
    (void)unsetenv("CALCOM_API_URL");
    FAILS(CONFIG_WORKER, "CALCOM_API_URL", "not set");
    (void)env_set_up(NULL);
    (void)unsetenv("CALCOM_API_KEY");
    FAILS(CONFIG_WORKER, "CALCOM_API_KEY", "not set");
    (void)env_set_up(NULL);
    env_set("CALCOM_API_KEY", "");
    FAILS(CONFIG_WORKER, "CALCOM_API_KEY", "not set");
    (void)env_set_up(NULL);
    (void)unsetenv("WEBHOOK_SECRET");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET", "not set", "TOLLGATE_ALLOW_UNSIGNED=yes");
    env_set("TOLLGATE_ALLOW_UNSIGNED", "no");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET", "not set");
}

static void
test_unsigned_may_do_without_a_secret(void **state)
{
    struct config config;
    (void)state;
    (void)unsetenv("WEBHOOK_SECRET");
    env_set("TOLLGATE_ALLOW_UNSIGNED", "yes");
    env_load(&config, CONFIG_INGEST);
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
        env_set("WEBHOOK_SECRET", GOOD[i]);
        env_load(&config, CONFIG_INGEST);
        assert_string_equal(config.webhook_secret, GOOD[i]);
        config_release(&config);
    }
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        env_set("WEBHOOK_SECRET", BAD[i]);
        FAILS(CONFIG_INGEST, "WEBHOOK_SECRET");
        /* Not even with unsigned ones allowed: the secret is a slip of the hand all the same. */
        env_set("TOLLGATE_ALLOW_UNSIGNED", "yes");
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
    env_set("WEBHOOK_SECRET", "hunter2, hunter2");
    assert_false(config_load(&config, CONFIG_INGEST, error));
    assert_false(unit_contains(error, "hunter2"));
    env_set("WEBHOOK_SECRET", "hunter2");
    env_set("WEBHOOK_SECRET_FILE", "/nowhere");
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
    env_set("WEBHOOK_SECRET_FILE", path);
    env_set("CALCOM_API_KEY_FILE", path);
    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        struct config config;
        unit_write_file(path, FILES[i].bytes, strlen(FILES[i].bytes));
        env_load(&config, CONFIG_INGEST);
        assert_string_equal(config.webhook_secret, FILES[i].secret);
        config_release(&config);
    }
    unit_write_file(path, "cal_k\n", 6);
    struct config worker;
    env_load(&worker, CONFIG_WORKER);
    assert_string_equal(worker.calcom_api_key, "cal_k");
    config_release(&worker);
    /* The key becomes a header's end: nothing but the key may stand in the file. */
    unit_write_file(path, "cal_k\r\n", 7);
    FAILS(CONFIG_WORKER, "CALCOM_API_KEY");
    unit_write_file(path, "cal_k x", 7);
    FAILS(CONFIG_WORKER, "CALCOM_API_KEY");
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
    env_set("REDIS_URL_FILE", path);
    env_load(&config, CONFIG_WORKER);
    assert_string_equal(config.redis_url, "redis://:pw@h");
    config_release(&config);
    env_set("REDIS_URL", "redis://h");
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
    env_set("WEBHOOK_SECRET_FILE", path);
    env_set("CALCOM_API_KEY_FILE", path);
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
    env_set("WEBHOOK_SECRET_FILE", "/nowhere/secret");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET", "WEBHOOK_SECRET_FILE", "both");
    (void)unsetenv("WEBHOOK_SECRET");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET_FILE", "/nowhere/secret", "No such file");
    env_set("WEBHOOK_SECRET_FILE", "/");
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET_FILE", "/");
    unit_make_file(path);
    char *bytes = malloc(HUGE);
    assert_non_null(bytes);
    memset(bytes, 'x', HUGE);
    unit_write_file(path, bytes, HUGE);
    free(bytes);
    env_set("WEBHOOK_SECRET_FILE", path);
    FAILS(CONFIG_INGEST, "WEBHOOK_SECRET_FILE", path);
    (void)unlink(path);
}

/* Only secrets have a file. */
static void
test_other_settings_have_no_file(void **state)
{
    struct config config;
    (void)state;
    env_set("TOLLGATE_NAMESPACE_FILE", "/nowhere");
    env_set("CALCOM_API_URL_FILE", "/nowhere");
    env_load(&config, CONFIG_WORKER);
    assert_string_equal(config.ns, "tollgate");
    config_release(&config);
    (void)unsetenv("TOLLGATE_NAMESPACE_FILE");
    (void)unsetenv("CALCOM_API_URL_FILE");
}

/* ---- The log ---- */

static void
test_log_line_shows_no_secret(void **state)
{
    char path[UNIT_PATH_SIZE];
    struct config config;
    size_t size;
    (void)state;
    unit_make_file(path);
    assert_true(log_open("unit", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, path));
    env_set("REDIS_URL", "redis://gate:hunter1@h:1/2");
    env_set("WEBHOOK_SECRET", "hunter2");
    env_set("CALCOM_API_KEY", "hunter3");
    env_load(&config, CONFIG_INGEST);
    config_log(&config, CONFIG_INGEST);
    config_release(&config);
    env_load(&config, CONFIG_WORKER);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_required, env_set_up),
        cmocka_unit_test_setup(test_unsigned_may_do_without_a_secret, env_set_up),
        cmocka_unit_test_setup(test_webhook_secrets, env_set_up),
        cmocka_unit_test_setup(test_errors_show_no_secret, env_set_up),
        cmocka_unit_test_setup(test_secret_files, env_set_up),
        cmocka_unit_test_setup(test_redis_url_file, env_set_up),
        cmocka_unit_test_setup(test_empty_secret_files, env_set_up),
        cmocka_unit_test_setup(test_unusable_secret_files, env_set_up),
        cmocka_unit_test_setup(test_other_settings_have_no_file, env_set_up),
        cmocka_unit_test_setup(test_log_line_shows_no_secret, env_set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
