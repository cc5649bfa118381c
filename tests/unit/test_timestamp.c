#include "common/timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/unit/unit.h"

#define UNTOUCHED 4711

static const struct {
    const char *text;
    int64_t wall_ms;
} GOOD[] = {
    /* One instant in Cal.com's three forms. */
    { "2026-03-12T14:00:00Z", 1773324000000 },
    { "2026-03-12T14:00:00.000Z", 1773324000000 },
    { "2026-03-12T14:00:00+00:00", 1773324000000 },
    { "2026-03-12T14:00:00-00:00", 1773324000000 },
    /* Offsets, also over midnight and over the year's end. */
    { "2026-03-12T15:00:00+01:00", 1773324000000 },
    { "2026-03-12T19:30:00+05:30", 1773324000000 },
    { "2026-03-12T09:15:00-04:45", 1773324000000 },
    { "2026-03-13T04:00:00+14:00", 1773324000000 },
    { "2026-03-12T02:00:00-12:00", 1773324000000 },
    { "2026-03-13T13:59:00+23:59", 1773324000000 },
    { "2027-01-01T00:30:00+01:00", 1798759800000 },
    { "2026-12-31T22:30:00-01:00", 1798759800000 },
    /* Fractions of any length; finer than a millisecond is cut off. */
    { "2026-03-12T14:00:00.5Z", 1773324000500 },
    { "2026-03-12T14:00:00.05Z", 1773324000050 },
    { "2026-03-12T14:00:00.005Z", 1773324000005 },
    { "2026-03-12T14:00:00.123Z", 1773324000123 },
    { "2026-03-12T14:00:00.1239Z", 1773324000123 },
    { "2026-03-12T14:00:00.999999999Z", 1773324000999 },
    { "2026-03-12T14:00:00.0000000000000000000000000000000001Z", 1773324000000 },
    { "2026-03-12T15:00:00.25+01:00", 1773324000250 },
    /* Leap years. */
    { "2024-02-29T00:00:00Z", 1709164800000 },
    { "2000-02-29T12:00:00Z", 951825600000 },
    { "2024-03-01T00:00:00Z", 1709251200000 },
    { "2023-03-01T00:00:00Z", 1677628800000 },
    { "2100-03-01T00:00:00Z", 4107542400000 },
    { "2100-02-28T23:59:59Z", 4107542399000 },
    /* The ends of what is read. */
    { "1970-01-01T00:00:00Z", 0 },
    { "1970-01-01T00:00:00.001Z", 1 },
    { "9999-12-31T23:59:59.999Z", 253402300799999 },
    { "2026-01-31T00:00:00Z", 1769817600000 },
    { "2026-04-30T23:59:59Z", 1777593599000 },
    { "2026-12-31T23:59:59Z", 1798761599000 },
};

static const char *const BAD[] = {
    "",
    " ",
    "Z",
    "2026",
    "2026-03-12",
    "2026-03-12T14:00Z",
    "2026-03-12T14:00:00",
    "2026-03-12T14:00:00.000",
    "2026-03-12 14:00:00Z",
    "2026-03-12t14:00:00Z",
    "2026-03-12T14:00:00z",
    " 2026-03-12T14:00:00Z",
    "2026-03-12T14:00:00Z ",
    "2026-03-12T14:00:00ZZ",
    "2026-03-12T14:00:00Z+00:00",
    "2026-03-12T14:00:00.Z",
    "2026-03-12T14:00:00,5Z",
    "2026-03-12T14:00:00.-5Z",
    "2026-03-12T14:00:00.5.5Z",
    "2026-03-12T14:00:00+0100",
    "2026-03-12T14:00:00+01",
    "2026-03-12T14:00:00+1:00",
    "2026-03-12T14:00:00+01:0",
    "2026-03-12T14:00:00+01:000",
    "2026-03-12T14:00:00+24:00",
    "2026-03-12T14:00:00+01:60",
    "2026-03-12T14:00:00++1:00",
    "2026-03-12T14:00:00+",
    "2026-03-12T14:00:00-",
    "26-03-12T14:00:00Z",
    "02026-03-12T14:00:00Z",
    "+2026-03-12T14:00:00Z",
    "-026-03-12T14:00:00Z",
    "2026/03/12T14:00:00Z",
    "2026-3-12T14:00:00Z",
    "2026-03-1T14:00:00Z",
    "2026-03-12T4:00:00Z",
    "2026-03-12T14:0:00Z",
    "2026-03-12T14:00:0Z",
    "20260312T140000Z",
    /* Fields out of their range. */
    "2026-00-12T14:00:00Z",
    "2026-13-12T14:00:00Z",
    "2026-03-00T14:00:00Z",
    "2026-03-32T14:00:00Z",
    "2026-04-31T14:00:00Z",
    "2026-06-31T14:00:00Z",
    "2026-09-31T14:00:00Z",
    "2026-11-31T14:00:00Z",
    "2026-02-29T14:00:00Z",
    "2024-02-30T14:00:00Z",
    "2100-02-29T14:00:00Z",
    "1900-02-28T14:00:00Z",
    "1969-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "2026-03-12T24:00:00Z",
    "2026-03-12T14:60:00Z",
    "2026-03-12T14:00:60Z",
    "2026-03-12T99:99:99Z",
    "9999-99-99T00:00:00Z",
    "2026-03-12T14:00:00\xef\xbc\xba",
    "\xd9\xa2\xd9\xa0-03-12T14:00:00Z",
};

static void
test_reads_good_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        int64_t wall_ms = UNTOUCHED;
        check(timestamp_parse(GOOD[i].text, &wall_ms), "%s is refused", GOOD[i].text);
        check(wall_ms == GOOD[i].wall_ms, "%s is read as %" PRId64, GOOD[i].text, wall_ms);
    }
}

static void
test_refuses_bad_ones_and_leaves_the_result(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        int64_t wall_ms = UNTOUCHED;
        check(!timestamp_parse(BAD[i], &wall_ms), "\"%s\" is read as %" PRId64, BAD[i], wall_ms);
        check(wall_ms == UNTOUCHED, "\"%s\" changed the result to %" PRId64, BAD[i], wall_ms);
    }
}

static void
test_refuses_every_part_of_a_good_one(void **state)
{
    static const char WHOLE[] = "2026-03-12T14:00:00.123+01:30";
    (void)state;
    for (size_t length = 0; length < sizeof WHOLE - 1; length++) {
        char part[sizeof WHOLE];
        int64_t wall_ms = UNTOUCHED;
        (void)snprintf(part, sizeof part, "%.*s", (int)length, WHOLE);
        check(!timestamp_parse(part, &wall_ms), "\"%s\" is read", part);
    }
}

/* A byte that is none of the form's own, in every place. */
static void
test_refuses_a_wrong_byte_anywhere(void **state)
{
    static const char WHOLE[] = "2026-03-12T14:00:00.123+01:30";
    (void)state;
    for (size_t at = 0; at < sizeof WHOLE - 1; at++) {
        for (const char *wrong = "x /;\xff\x01"; *wrong != '\0'; wrong++) {
            char text[sizeof WHOLE];
            int64_t wall_ms = UNTOUCHED;
            (void)snprintf(text, sizeof text, "%s", WHOLE);
            text[at] = *wrong;
            check(!timestamp_parse(text, &wall_ms), "\"%s\" is read", text);
        }
    }
}

static void
test_writes_milliseconds_and_z(void **state)
{
    char text[TIMESTAMP_SIZE];
    (void)state;
    timestamp_format(1773324000000, text);
    assert_string_equal(text, "2026-03-12T14:00:00.000Z");
    timestamp_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    timestamp_format(253402300799999, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    timestamp_format(1709164800007, text);
    assert_string_equal(text, "2024-02-29T00:00:00.007Z");
}

static void
check_round_trip(int64_t wall_ms)
{
    char text[TIMESTAMP_SIZE], expected[64];
    int64_t again = UNTOUCHED;
    timestamp_format(wall_ms, text);
    check(timestamp_parse(text, &again) && again == wall_ms, "%" PRId64 " became %s, then %" PRId64,
          wall_ms, text, again);
    /* The C library's calendar as a second opinion. */
    time_t seconds = wall_ms / 1000;
    struct tm parts;
    assert_non_null(gmtime_r(&seconds, &parts));
    size_t length = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(expected + length, sizeof expected - length, ".%03dZ", (int)(wall_ms % 1000));
    check(strcmp(text, expected) == 0, "%" PRId64 " is %s, not %s", wall_ms, expected, text);
}

static void
test_round_trips(void **state)
{
    (void)state;
    /* Every day from 1970 to 2110, then odd steps to the year 9999. */
    for (int64_t day = 0; day < 51135; day++) {
        check_round_trip(day * 86400000 + day % 86400000);
        check_round_trip(day * 86400000 + 86399999);
    }
    for (int64_t wall_ms = 0; wall_ms <= 253402300799999;
         wall_ms += 3600000LL * 24 * 29 + 1234567) {
        check_round_trip(wall_ms);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_good_ones),
        cmocka_unit_test(test_refuses_bad_ones_and_leaves_the_result),
        cmocka_unit_test(test_refuses_every_part_of_a_good_one),
        cmocka_unit_test(test_refuses_a_wrong_byte_anywhere),
        cmocka_unit_test(test_writes_milliseconds_and_z),
        cmocka_unit_test(test_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
