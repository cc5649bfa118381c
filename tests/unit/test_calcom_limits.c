/* What answers tell of limits: how long to wait, and how many calls are left. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "tests/unit/calcom_bench.h"
#include "tests/unit/unit.h"

/* ---- How long to wait ---- */

static void
check_retry_after(struct calcom_bench *bench, const char *header, int64_t least, int64_t most)
{
    char line[256];
    (void)snprintf(line, sizeof line, "%s\r\n", header);
    stub_server_answer(bench->server, 429, *header != '\0' ? line : "", "{\"message\":\"slow\"}");
    const struct calcom_answer *answer = bench_call(bench, CALCOM_CONFIRM);
    assert_int_equal(answer->kind, CALCOM_THROTTLED);
    check(answer->retry_after_ms >= least && answer->retry_after_ms <= most,
          "%s: %" PRId64 " is not within %" PRId64 " and %" PRId64, header, answer->retry_after_ms,
          least, most);
}

static const struct {
    const char *header;
    int64_t retry_after_ms;
} DELAYS[] = {
    { "", -1 },
    { "Retry-After: 7", 7000 },
    { "Retry-After:7", 7000 },
    { "Retry-After: \t 7 ", 7000 },
    { "retry-after: 7", 7000 },
    { "RETRY-AFTER: 0", 0 },
    { "X-RateLimit-Reset: 30", 30000 },
    { "x-ratelimit-reset: 30", 30000 },
    { "X-RateLimit-Reset-Default: 42", 42000 },
    { "X-RateLimit-Reset: 1000000000", 0 }, /* in 2001 */
    { "X-RateLimit-Reset-Default: 1577836800", 0 },
    { "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", 0 },
    /* What tells no time. */
    { "Retry-After: soon", -1 },
    { "Retry-After:", -1 },
    { "Retry-After: -5", -1 },
    { "X-RateLimit-Limit: 30", -1 },
    { "X-RateLimit-Remaining-Default: 0", -1 },
    { "X-RateLimit-Resets: 30", -1 },
    { "X-Retry-After: 30", -1 },
};

static void
test_delays(void **state)
{
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    for (size_t i = 0; i < COUNT_OF(DELAYS); i++) {
        check_retry_after(&bench, DELAYS[i].header, DELAYS[i].retry_after_ms,
                          DELAYS[i].retry_after_ms);
    }
    bench_close(&bench);
}

static void
test_moments(void **state)
{
    static const char *const NAMES[] = { "Retry-After", "X-RateLimit-Reset",
                                         "X-RateLimit-Reset-Default" };
    struct calcom_bench bench;
    char header[128], date[64];
    (void)state;
    bench_open(&bench, "v1");
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        time_t then = (time_t)(clock_wall_ms() / 1000 + 90);
        struct tm parts;
        assert_non_null(gmtime_r(&then, &parts));
        assert_true(strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts) > 0);
        (void)snprintf(header, sizeof header, "%s: %s", NAMES[i], date);
        check_retry_after(&bench, header, 85000, 90000);
        (void)snprintf(header, sizeof header, "%s: %lld", NAMES[i], (long long)then);
        check_retry_after(&bench, header, 85000, 90000);
    }
    bench_close(&bench);
}

/* Numbers that no clock has: any answer that is a time or "not told", and no overflow. */
static void
test_absurd_delays(void **state)
{
    static const char *const HEADERS[] = {
        "Retry-After: 9223372036854775807",
        "Retry-After: 9223372036854775",
        "X-RateLimit-Reset: 99999999999999999999999999",
        "Retry-After: -9223372036854775808",
        "X-RateLimit-Reset-Default: 9300000000000000",
    };
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    for (size_t i = 0; i < COUNT_OF(HEADERS); i++) {
        check_retry_after(&bench, HEADERS[i], -1, INT64_MAX);
    }
    bench_close(&bench);
}

/* ---- How many calls are left ---- */

static void
test_limits(void **state)
{
    static const struct {
        const char *headers;
        int64_t remaining, limit, reset_ms;
    } ROWS[] = {
        { "", -1, -1, -1 },
        { "X-RateLimit-Limit: 30\r\nX-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: 12\r\n", 7, 30,
          12000 },
        { "x-ratelimit-limit-default: 120\r\nx-ratelimit-remaining-default: 0\r\n"
          "x-ratelimit-reset-default: 60\r\n",
          0, 120, 60000 },
        /* Of several the one counts that allows less. */
        { "X-RateLimit-Remaining-Long: 900\r\nX-RateLimit-Remaining-Short: 3\r\n"
          "X-RateLimit-Limit-Long: 1000\r\nX-RateLimit-Limit-Short: 10\r\n",
          3, 10, -1 },
        { "X-RateLimit-Remaining: many\r\nX-RateLimit-Limit: -3\r\n", -1, -1, -1 },
        { "X-RateLimit-Remaining: 99999999999999999999\r\n", -1, -1, -1 },
        { "X-RateLimit-Remainings: 5\r\nRateLimit-Remaining: 5\r\n", -1, -1, -1 },
        { "Retry-After: 9\r\n", -1, -1, -1 },
    };
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        stub_server_answer(bench.server, 200, ROWS[i].headers,
                           "{\"data\":{\"status\":\"pending\"}}");
        const struct calcom_answer *answer = bench_call(&bench, CALCOM_LOOK);
        check(answer->remaining == ROWS[i].remaining && answer->limit == ROWS[i].limit &&
                  answer->reset_ms == ROWS[i].reset_ms,
              "%s: %" PRId64 " of %" PRId64 " for %" PRId64, ROWS[i].headers, answer->remaining,
              answer->limit, answer->reset_ms);
    }
    bench_close(&bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_absurd_delays),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
