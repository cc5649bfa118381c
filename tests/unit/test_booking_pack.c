#include "common/booking_pack.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct booking_event
full_event(void)
{
    return (struct booking_event){
        .kind = BOOKING_RESCHEDULED,
        .id = "48213:seat-1",
        .uid = "uid-1",
        .seat = "seat-1",
        .account = "m-7",
        .email = "ann@example.com",
        .cancelled_by = "host@example.com",
        .reschedule_uid = "uid-0",
        .event_type = "1207",
        .created_wall_ms = 1773324000123,
        .start_s = 1773327600,
        .end_s = 1773331200,
        .requires_confirmation = true,
        .seats = true,
        .paid = true,
        .occurrences = 3,
        .attendees = "a@x.org b@x.org",
        .traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        .answers = "{\"a\":\"b\"}",
        .metadata = "{\"c\":1}",
    };
}

static void
check_texts(const struct booking_event *event, const char *const *expected, size_t count)
{
    const char *texts[BOOKING_PACKED_TEXTS];
    struct booking_packed *packed = booking_pack(event);
    assert_non_null(packed);
    size_t found = booking_unpack(packed->bytes, packed->size, texts);
    check(found == count, "%zu texts, not %zu", found, count);
    for (size_t i = 0; i < count; i++) {
        check(strcmp(texts[i], expected[i]) == 0, "text %zu is %s, not %s", i, texts[i],
              expected[i]);
    }
    free(packed);
}

static void
test_everything(void **state)
{
    static const char *const EXPECTED[] = {
        "48213:seat-1",
        "rescheduled",
        "1773324000123",
        "uid",
        "uid-1",
        "account",
        "m-7",
        "email",
        "ann@example.com",
        "event_type",
        "1207",
        "start",
        "1773327600",
        "end",
        "1773331200",
        "requires_confirmation",
        "yes",
        "reschedule_uid",
        "uid-0",
        "cancelled_by",
        "host@example.com",
        "seat",
        "seat-1",
        "seats",
        "yes",
        "attendees",
        "a@x.org b@x.org",
        "occurrences",
        "3",
        "paid",
        "yes",
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "answers",
        "{\"a\":\"b\"}",
        "metadata",
        "{\"c\":1}",
    };
    (void)state;
    struct booking_event event = full_event();
    check_texts(&event, EXPECTED, COUNT_OF(EXPECTED));
    assert_true(COUNT_OF(EXPECTED) < BOOKING_PACKED_TEXTS);
}

static void
test_what_was_not_told_is_left_out(void **state)
{
    static const char *const EXPECTED[] = { "7", "cancelled", "0" };
    (void)state;
    const struct booking_event event = { .kind = BOOKING_CANCELLED, .id = "7" };
    check_texts(&event, EXPECTED, COUNT_OF(EXPECTED));
    const struct booking_event empty = {
        .kind = BOOKING_CANCELLED, .id = "7", .attendees = "", .answers = "", .metadata = ""
    };
    check_texts(&empty, EXPECTED, COUNT_OF(EXPECTED));
}

static void
test_every_kind(void **state)
{
    (void)state;
    for (enum booking_event_kind kind = BOOKING_REQUESTED; kind <= BOOKING_PAYMENT_INITIATED;
         kind++) {
        const struct booking_event event = { .kind = kind, .id = "7", .created_wall_ms = 5 };
        const char *const expected[] = { "7", booking_event_kind_name(kind), "5" };
        check_texts(&event, expected, COUNT_OF(expected));
    }
}

#define ROW(text, texts)                                                                           \
    {                                                                                              \
        (text), sizeof(text) - 1, (texts)                                                          \
    }

/* What a disk may give back. */
static void
test_foreign_bytes(void **state)
{
    static const struct {
        const char *bytes;
        size_t size, texts;
    } ROWS[] = {
        ROW("", 0),
        ROW("\0", 0),
        ROW("1", 0),
        ROW("1\0requested\0", 0),
        ROW("1\0requested\0005", 0),
        ROW("1\0requested\0005\0", 3),
        ROW("1\0requested\0005\0name\0", 0),
        ROW("1\0requested\0005\0name\0value", 0),
        ROW("1\0requested\0005\0name\0value\0", 5),
        ROW("\0\0\0", 3),
    };
    const char *texts[BOOKING_PACKED_TEXTS];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        size_t found = booking_unpack(ROWS[i].bytes, ROWS[i].size, texts);
        check(found == ROWS[i].texts, "row %zu: %zu texts", i, found);
    }
}

static void
test_too_many_texts(void **state)
{
    char bytes[2 * (BOOKING_PACKED_TEXTS + 4)];
    const char *texts[BOOKING_PACKED_TEXTS];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = i % 2 == 0 ? 'x' : '\0';
    }
    for (size_t count = 3; 2 * count <= sizeof bytes; count++) {
        size_t expected = count <= BOOKING_PACKED_TEXTS && count % 2 == 1 ? count : 0;
        size_t found = booking_unpack(bytes, 2 * count, texts);
        check(found == expected, "%zu texts of %zu", found, count);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),     cmocka_unit_test(test_what_was_not_told_is_left_out),
        cmocka_unit_test(test_every_kind),     cmocka_unit_test(test_foreign_bytes),
        cmocka_unit_test(test_too_many_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
