#include "common/backoff.h"

#include <inttypes.h>
#include <limits.h>

#include "tests/unit/unit.h"

static const int64_t BASES[] = { 1, 3, 100, 500, 1000, 60000 };
static const int64_t CAPS[] = { 60000, 65535, 600000, 3600000, 86400000 };

/* min(cap, base * 2^attempt), the slow and obvious way. */
static int64_t
ceiling_of(unsigned attempt, int64_t base_ms, int64_t cap_ms)
{
    int64_t ceiling = base_ms;
    for (unsigned i = 0; i < attempt && ceiling < cap_ms; i++) {
        ceiling *= 2;
    }
    return ceiling < cap_ms ? ceiling : cap_ms;
}

static void
test_least_and_greatest_jitter(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT_OF(BASES); b++) {
        for (size_t c = 0; c < COUNT_OF(CAPS); c++) {
            for (unsigned attempt = 0; attempt < 80; attempt++) {
                int64_t least = backoff_delay_ms(attempt, BASES[b], CAPS[c], 0);
                int64_t most = backoff_delay_ms(attempt, BASES[b], CAPS[c], UINT32_MAX);
                int64_t ceiling = ceiling_of(attempt, BASES[b], CAPS[c]);
                check(least == 0, "attempt %u: least is %" PRId64, attempt, least);
                check(most == ceiling,
                      "attempt %u, base %" PRId64 ", cap %" PRId64 ": most is %" PRId64
                      " and not %" PRId64,
                      attempt, BASES[b], CAPS[c], most, ceiling);
            }
        }
    }
}

static void
test_jitter_is_in_proportion(void **state)
{
    (void)state;
    assert_int_equal(backoff_delay_ms(0, 1000, 60000, UINT32_MAX / 2), 499);
    assert_int_equal(backoff_delay_ms(1, 1000, 60000, UINT32_MAX / 2), 999);
    assert_int_equal(backoff_delay_ms(3, 1000, 60000, UINT32_MAX / 4), 1999);
    assert_int_equal(backoff_delay_ms(9, 1000, 60000, UINT32_MAX / 2), 29999);
    int64_t last = 0;
    for (uint64_t random = 0; random <= UINT32_MAX; random += 9973 * 101) {
        int64_t delay = backoff_delay_ms(20, 1000, 3600000, (uint32_t)random);
        check(delay >= last && delay <= 3600000, "%" PRId64 " after %" PRId64, delay, last);
        last = delay;
    }
    assert_in_range(last, 3590000, 3600000);
}

static void
test_evenly_spread(void **state)
{
    enum { TENTHS = 10, DRAWS = 100000 };
    size_t seen[TENTHS] = { 0 };
    (void)state;
    for (uint32_t i = 0; i < DRAWS; i++) {
        int64_t delay = backoff_delay_ms(6, 1000, 60000, i * (UINT32_MAX / DRAWS));
        seen[delay < 60000 ? delay / 6000 : TENTHS - 1]++;
    }
    for (size_t i = 0; i < TENTHS; i++) {
        check(seen[i] > 9900 && seen[i] < 10100, "%zu of %d draws in tenth %zu", seen[i], DRAWS, i);
    }
}

static void
test_huge_attempts(void **state)
{
    static const unsigned ATTEMPTS[] = { 31, 32, 62, 63, 64, 65, 1000, INT_MAX, UINT_MAX };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ATTEMPTS); i++) {
        assert_int_equal(backoff_delay_ms(ATTEMPTS[i], 1, 600000, UINT32_MAX), 600000);
        assert_int_equal(backoff_delay_ms(ATTEMPTS[i], 600000, 600000, UINT32_MAX), 600000);
        assert_int_equal(backoff_delay_ms(ATTEMPTS[i], 1, 600000, 0), 0);
    }
}

/* The header sets no upper limit to the cap. */
static void
test_long_caps(void **state)
{
    static const int64_t LONG_CAPS[] = { 4294967295, 4294967296, 60LL * 86400000,
                                         365LL * 86400000 };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(LONG_CAPS); i++) {
        int64_t most = backoff_delay_ms(60, 1000, LONG_CAPS[i], UINT32_MAX);
        check(most == LONG_CAPS[i], "cap %" PRId64 ": most is %" PRId64, LONG_CAPS[i], most);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_and_greatest_jitter),
        cmocka_unit_test(test_jitter_is_in_proportion),
        cmocka_unit_test(test_evenly_spread),
        cmocka_unit_test(test_huge_attempts),
        cmocka_unit_test(test_long_caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
