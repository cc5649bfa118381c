#include "common/redis_check.h"

#include <string.h>

#include "tests/unit/unit.h"

enum { POLICY, AOF, FSYNC, MAXMEMORY };

static struct redis_check
safe(void)
{
    return (struct redis_check){ .version = "7.0.15",
                                 .settings = { "noeviction", "yes", "always", "0" } };
}

/* That just this one of the risks is told, in a sentence with these words. */
static void
check_only(const struct redis_check *check_, enum redis_risk risk, const char *words)
{
    const char *sentences[REDIS_RISKS];
    redis_check_judge(check_, sentences);
    for (size_t i = 0; i < REDIS_RISKS; i++) {
        check((sentences[i] != NULL) == (i == risk), "risk %zu: %s", i,
              sentences[i] != NULL ? sentences[i] : "not told");
    }
    if (risk < REDIS_RISKS) {
        check(unit_contains(sentences[risk], words), "\"%s\" does not say \"%s\"", sentences[risk],
              words);
    }
}

static void
test_names(void **state)
{
    (void)state;
    assert_string_equal(REDIS_CHECK_NAMES[POLICY], "maxmemory-policy");
    assert_string_equal(REDIS_CHECK_NAMES[AOF], "appendonly");
    assert_string_equal(REDIS_CHECK_NAMES[FSYNC], "appendfsync");
    assert_string_equal(REDIS_CHECK_NAMES[MAXMEMORY], "maxmemory");
}

static void
test_a_safe_one(void **state)
{
    static const char *const VERSIONS[] = { "7", "7.0.0", "7.2.4", "8.0.1", "10.1" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(VERSIONS); i++) {
        struct redis_check check_ = safe();
        check_.version = VERSIONS[i];
        check_only(&check_, REDIS_RISKS, "");
    }
}

static void
test_versions(void **state)
{
    static const char *const VERSIONS[] = { "6.2.14", "5.0", "0", "", "unstable" };
    struct redis_check check_ = safe();
    (void)state;
    for (size_t i = 0; i < COUNT_OF(VERSIONS); i++) {
        check_.version = VERSIONS[i];
        check_only(&check_, RISK_VERSION, "too old");
    }
    check_.version = NULL;
    check_only(&check_, RISK_VERSION, "cannot be read");
}

static void
test_eviction(void **state)
{
    static const char *const POLICIES[] = { "allkeys-lru", "allkeys-lfu", "allkeys-random",
                                            "volatile-ttl", "volatile-lru" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(POLICIES); i++) {
        struct redis_check check_ = safe();
        check_.settings[POLICY] = POLICIES[i];
        check_only(&check_, RISK_EVICTION, "as soon as maxmemory is set");
        check_.settings[MAXMEMORY] = "1048576";
        check_only(&check_, RISK_EVICTION, "when maxmemory is reached");
    }
}

static void
test_durability(void **state)
{
    struct redis_check check_ = safe();
    (void)state;
    check_.settings[FSYNC] = "everysec";
    check_only(&check_, RISK_FSYNC, "up to 1 s (2 s under load)");
    check_.settings[FSYNC] = "no";
    check_only(&check_, RISK_FSYNC, "30 s");
    /* Without an AOF its fsync does not matter. */
    check_.settings[AOF] = "no";
    check_only(&check_, RISK_NO_AOF, "everything since the last RDB save");
    check_.settings[FSYNC] = "always";
    check_only(&check_, RISK_NO_AOF, "everything since the last RDB save");
}

static void
test_what_cannot_be_read_is_unknown(void **state)
{
    (void)state;
    for (size_t i = 0; i < REDIS_CHECK_SETTINGS; i++) {
        struct redis_check check_ = safe();
        check_.settings[i] = NULL;
        check_only(&check_, RISK_UNKNOWN, "CONFIG GET is refused");
    }
}

static void
test_several_at_once(void **state)
{
    const struct redis_check check_ = { .version = "6.0",
                                        .settings = { "allkeys-lru", "no", "no", "1" } };
    const char *sentences[REDIS_RISKS];
    (void)state;
    redis_check_judge(&check_, sentences);
    assert_non_null(sentences[RISK_VERSION]);
    assert_non_null(sentences[RISK_EVICTION]);
    assert_non_null(sentences[RISK_NO_AOF]);
    assert_null(sentences[RISK_UNKNOWN]);
    assert_null(sentences[RISK_FSYNC]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_safe_one),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_durability),
        cmocka_unit_test(test_what_cannot_be_read_is_unknown),
        cmocka_unit_test(test_several_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
