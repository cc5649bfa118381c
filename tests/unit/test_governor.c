#include "worker/governor.h"

#include "tests/unit/unit.h"

#define ROOM 64
#define T0   1000000 /* the clock begins anywhere */

static void
check_open(const struct governor *governor, int64_t now_mono_ms)
{
    assert_int_equal(governor_wait_ms(governor, now_mono_ms), 0);
    assert_int_equal(governor_allowance(governor, ROOM, 0, now_mono_ms), ROOM);
    assert_int_equal(governor_allowance(governor, ROOM, 100, now_mono_ms), ROOM);
    assert_int_equal(governor_allowance(governor, 1, 63, now_mono_ms), 1);
    assert_int_equal(governor_allowance(governor, 0, 64, now_mono_ms), 0);
}

static void
check_held(const struct governor *governor, int64_t now_mono_ms, int64_t wait_ms)
{
    assert_int_equal(governor_wait_ms(governor, now_mono_ms), wait_ms);
    assert_int_equal(governor_allowance(governor, ROOM, 0, now_mono_ms), 0);
    assert_int_equal(governor_allowance(governor, ROOM, 5, now_mono_ms), 0);
}

static void
check_probing(const struct governor *governor, int64_t now_mono_ms)
{
    assert_int_equal(governor_wait_ms(governor, now_mono_ms), 0);
    assert_int_equal(governor_allowance(governor, ROOM, 0, now_mono_ms), 1);
    assert_int_equal(governor_allowance(governor, 1, 0, now_mono_ms), 1);
    assert_int_equal(governor_allowance(governor, 0, 0, now_mono_ms), 0);
    assert_int_equal(governor_allowance(governor, ROOM, 1, now_mono_ms), 0);
    assert_int_equal(governor_allowance(governor, ROOM, 63, now_mono_ms), 0);
}

static void
test_begins_open(void **state)
{
    struct governor governor = { 0 };
    (void)state;
    check_open(&governor, 0);
    check_open(&governor, T0);
}

static void
test_throttled_until_the_reset(void **state)
{
    struct governor governor = { 0 };
    (void)state;
    assert_int_equal(governor_throttled(&governor, 7000, T0), 7000);
    check_held(&governor, T0, 7000);
    check_held(&governor, T0 + 6999, 1);
    check_open(&governor, T0 + 7000);
    check_open(&governor, T0 + 7001);
}

static void
test_throttled_without_a_time(void **state)
{
    struct governor governor = { 0 };
    (void)state;
    assert_int_equal(governor_throttled(&governor, -1, T0), GOVERNOR_THROTTLE_MS);
    check_held(&governor, T0 + GOVERNOR_THROTTLE_MS - 1, 1);
    check_open(&governor, T0 + GOVERNOR_THROTTLE_MS);
}

static void
test_throttled_for_no_time(void **state)
{
    struct governor governor = { 0 };
    (void)state;
    assert_int_equal(governor_throttled(&governor, 0, T0), 0);
    check_open(&governor, T0);
}

static void
test_throttled_for_ever(void **state)
{
    struct governor governor = { 0 };
    (void)state;
    assert_int_equal(governor_throttled(&governor, INT64_MAX, T0), GOVERNOR_THROTTLE_MAX_MS);
    check_held(&governor, T0, GOVERNOR_THROTTLE_MAX_MS);
    check_open(&governor, T0 + GOVERNOR_THROTTLE_MAX_MS);
}

/* Many answers come at once: the latest end counts, whatever the order. */
static void
test_longest_hold_counts(void **state)
{
    struct governor governor = { 0 };
    (void)state;
    assert_int_equal(governor_throttled(&governor, 5000, T0), 5000);
    assert_int_equal(governor_throttled(&governor, 9000, T0 + 1000), 9000);
    check_held(&governor, T0 + 1000, 9000);
    assert_int_equal(governor_throttled(&governor, 2000, T0 + 2000), 8000);
    check_held(&governor, T0 + 2000, 8000);
    assert_int_equal(governor_throttled(&governor, 0, T0 + 3000), 7000);
    check_held(&governor, T0 + 9999, 1);
    check_open(&governor, T0 + 10000);
    /* And later it is held anew. */
    assert_int_equal(governor_throttled(&governor, 5000, T0 + 20000), 5000);
    check_held(&governor, T0 + 20000, 5000);
}

/* A call that was on its way when the 429 came may still succeed. */
static void
test_success_does_not_end_a_throttle(void **state)
{
    struct governor governor = { 0 };
    (void)state;
    assert_int_equal(governor_throttled(&governor, 5000, T0), 5000);
    governor_succeeded(&governor);
    check_held(&governor, T0 + 1, 4999);
    check_open(&governor, T0 + 5000);
}

static void
test_credentials_then_probe_then_open(void **state)
{
    struct governor governor = { 0 };
    (void)state;
    assert_int_equal(governor_credentials_refused(&governor, T0), GOVERNOR_CREDENTIALS_MS);
    check_held(&governor, T0, GOVERNOR_CREDENTIALS_MS);
    check_held(&governor, T0 + GOVERNOR_CREDENTIALS_MS - 1, 1);
    check_probing(&governor, T0 + GOVERNOR_CREDENTIALS_MS);
    check_probing(&governor, T0 + 86400000);
    governor_succeeded(&governor);
    check_open(&governor, T0 + 86400001);
}

static void
test_refused_again_and_again(void **state)
{
    struct governor governor = { 0 };
    int64_t now = T0;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(governor_credentials_refused(&governor, now), GOVERNOR_CREDENTIALS_MS);
        check_held(&governor, now + 1, GOVERNOR_CREDENTIALS_MS - 1);
        now += GOVERNOR_CREDENTIALS_MS;
        check_probing(&governor, now);
    }
    governor_succeeded(&governor);
    check_open(&governor, now);
}

/* Sixty-four calls are refused within a second: one hold, not sixty-four after each other. */
static void
test_a_burst_of_refusals(void **state)
{
    struct governor governor = { 0 };
    (void)state;
    for (int i = 0; i < 64; i++) {
        assert_int_equal(governor_credentials_refused(&governor, T0 + i), GOVERNOR_CREDENTIALS_MS);
    }
    check_probing(&governor, T0 + 63 + GOVERNOR_CREDENTIALS_MS);
}

static void
test_throttled_while_probing(void **state)
{
    struct governor governor = { 0 };
    int64_t now = T0 + GOVERNOR_CREDENTIALS_MS;
    (void)state;
    assert_int_equal(governor_credentials_refused(&governor, T0), GOVERNOR_CREDENTIALS_MS);
    check_probing(&governor, now);
    assert_int_equal(governor_throttled(&governor, 4000, now), 4000);
    check_held(&governor, now, 4000);
    check_probing(&governor, now + 4000);
    governor_succeeded(&governor);
    check_open(&governor, now + 4000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins_open),
        cmocka_unit_test(test_throttled_until_the_reset),
        cmocka_unit_test(test_throttled_without_a_time),
        cmocka_unit_test(test_throttled_for_no_time),
        cmocka_unit_test(test_throttled_for_ever),
        cmocka_unit_test(test_longest_hold_counts),
        cmocka_unit_test(test_success_does_not_end_a_throttle),
        cmocka_unit_test(test_credentials_then_probe_then_open),
        cmocka_unit_test(test_refused_again_and_again),
        cmocka_unit_test(test_a_burst_of_refusals),
        cmocka_unit_test(test_throttled_while_probing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
