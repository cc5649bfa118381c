#include "tests/unit/config_env.h"

#include <stdlib.h>
#include <string.h>

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
    "TOLLGATE_ACCOUNT_FIELD",
    "TOLLGATE_THREADS",
    "TOLLGATE_SPOOL_DIR",
    "TOLLGATE_SPOOL_MAX",
    "TOLLGATE_SPOOL_AFTER_MS",
    "TOLLGATE_WAIT_REPLICAS",
    "TOLLGATE_STRICT",
    "CALCOM_API_URL",
    "CALCOM_API_KEY",
    "CALCOM_API_KEY_FILE",
    "CALCOM_API_VERSION",
    "CALCOM_RATE_LIMIT",
    "TOLLGATE_SWEEP_INTERVAL",
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

void
env_set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

int
env_set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        (void)unsetenv(NAMES[i]);
    }
    env_set("WEBHOOK_SECRET", "s3cr3t-example");
    env_set("CALCOM_API_URL", "https://api.cal.com/v2");
    env_set("CALCOM_API_KEY", "cal_key");
    return 0;
}

void
env_set_all_empty(void)
{
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        if (strcmp(NAMES[i], "WEBHOOK_SECRET") != 0) {
            env_set(NAMES[i], "");
        }
    }
}

void
env_load(struct config *config, enum config_program program)
{
    char error[CONFIG_ERROR_SIZE] = "";
    check(config_load(config, program, error), "%s", error);
}

void
env_check_fails(enum config_program program, const char *const *parts)
{
    struct config config;
    char error[CONFIG_ERROR_SIZE] = "";
    check(!config_load(&config, program, error), "loaded, but %s should be wrong", parts[0]);
    for (; *parts != NULL; parts++) {
        check(unit_contains(error, *parts), "\"%s\" does not tell \"%s\"", error, *parts);
    }
}
