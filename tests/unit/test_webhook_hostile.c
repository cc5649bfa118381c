/* Bodies that Cal.com does not send: whatever is signed with a leaked secret, or came broken. */
#include "ingest/webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static const char *const RESULTS[] = { "event", "ping", "ignored", "malformed" };

static const char *const SAMPLES[] = {
    "BOOKING_REQUESTED.json",
    "BOOKING_REQUESTED.reschedule.json",
    "BOOKING_CREATED.json",
    "BOOKING_CREATED.no_confirmation.json",
    "BOOKING_REJECTED.json",
    "BOOKING_CANCELLED.json",
    "BOOKING_RESCHEDULED.json",
    "BOOKING_PAYMENT_INITIATED.json",
    "BOOKING_PAID.json",
    "MEETING_STARTED.json",
    "PING.json",
    "GUIDE.BOOKING_CREATED.json",
};

static struct webhook_parser *parser;

static int
set_up(void **state)
{
    (void)state;
    parser = webhook_parser_new("");
    return parser != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    webhook_parser_free(parser);
    return 0;
}

static char *
read_sample(const char *name, size_t *size)
{
    char path[128];
    (void)snprintf(path, sizeof path, "tests/samples/%s", name);
    return unit_read_file(path, size);
}

/* Parses a copy of exactly `size` bytes, so that a sanitizer sees what is read behind its end. */
static enum webhook_result
parse(const char *body, size_t size, struct webhook *webhook)
{
    char *copy = malloc(size + (size == 0));
    assert_non_null(copy);
    memcpy(copy, body, size);
    enum webhook_result result = webhook_parse(parser, copy, size, webhook);
    free(copy);
    check(result != WEBHOOK_MALFORMED || webhook->reason != NULL, "malformed without a reason");
    return result;
}

static void
check_malformed(const char *what, const char *body, size_t size)
{
    struct webhook webhook;
    enum webhook_result result = parse(body, size, &webhook);
    check(result == WEBHOOK_MALFORMED, "%s: %s", what, RESULTS[result]);
}

/* The parser still reads a good body after what came before. */
static void
check_still_works(void)
{
    struct webhook webhook;
    size_t size;
    char *body = read_sample("BOOKING_REQUESTED.json", &size);
    assert_int_equal(parse(body, size, &webhook), WEBHOOK_EVENT);
    assert_string_equal(webhook.event.id, "48213");
    free(body);
}

/* ---- Missing and wrong fields ---- */

struct edit {
    const char *part, *replacement;
    const char *names; /* what the reason names */
};

#define EMAIL "\"email\":{\"label\":\"email_address\",\"value\":\"jonas.weber@example.com\","

static const struct edit EDITS[] = {
    { "\"triggerEvent\":", "\"trigger\":", "triggerEvent" },
    { "\"triggerEvent\":\"BOOKING_REQUESTED\"", "\"triggerEvent\":null", "triggerEvent" },
    { "\"triggerEvent\":\"BOOKING_REQUESTED\"", "\"triggerEvent\":7", "triggerEvent" },
    { "\"triggerEvent\":\"BOOKING_REQUESTED\"", "\"triggerEvent\":[\"BOOKING_REQUESTED\"]",
      "triggerEvent" },
    { "\"createdAt\":", "\"created\":", "createdAt" },
    { "\"createdAt\":\"2026-03-09T08:15:30.412Z\"", "\"createdAt\":1773044130412", "createdAt" },
    { "2026-03-09T08:15:30.412Z", "yesterday", "createdAt" },
    { "\"payload\":{", "\"payload\":[],\"x\":{", "bookingId" },
    { "\"payload\":{", "\"payload\":\"x\",\"x\":{", "bookingId" },
    { "\"payload\":{", "\"Payload\":{", "bookingId" },
    { "\"bookingId\":", "\"id\":", "bookingId" },
    { "\"bookingId\":48213", "\"bookingId\":\"48213\"", "bookingId" },
    { "\"bookingId\":48213", "\"bookingId\":-48213", "bookingId" },
    { "\"bookingId\":48213", "\"bookingId\":0", "bookingId" },
    { "\"bookingId\":48213", "\"bookingId\":48213.5", "bookingId" },
    { "\"bookingId\":48213", "\"bookingId\":4e4", "bookingId" },
    { "\"bookingId\":48213", "\"bookingId\":null", "bookingId" },
    { "\"bookingId\":48213", "\"bookingId\":true", "bookingId" },
    { "\"bookingId\":48213", "\"bookingId\":[48213]", "bookingId" },
    { "\"bookingId\":48213", "\"bookingId\":{\"value\":48213}", "bookingId" },
    { "\"uid\":", "\"UID\":", "uid" },
    { "\"uid\":\"kWq3uXfT7hPn2sVb9dRmZa\"", "\"uid\":\"\"", "uid" },
    { "\"uid\":\"kWq3uXfT7hPn2sVb9dRmZa\"", "\"uid\":7", "uid" },
    { "\"uid\":\"kWq3uXfT7hPn2sVb9dRmZa\"", "\"uid\":\"a b\"", "uid" },
    { "\"uid\":\"kWq3uXfT7hPn2sVb9dRmZa\"", "\"uid\":\"a\\nb\"", "uid" },
    { "\"uid\":\"kWq3uXfT7hPn2sVb9dRmZa\"", "\"uid\":\"a\\u0000b\"", "uid" },
    { "\"uid\":\"kWq3uXfT7hPn2sVb9dRmZa\"", "\"uid\":\"\xc3\xbc\"", "uid" },
    { "\"uid\":\"kWq3uXfT7hPn2sVb9dRmZa\"",
      "\"uid\":\"12345678901234567890123456789012345678901234567890123456789012345\"", "uid" },
    { "\"uid\":", "\"rescheduleUid\":\"a b\",\"uid\":", "escheduleUid" },
    { "\"eventTypeId\":1207", "\"eventTypeId\":null", "eventTypeId" },
    { "\"eventTypeId\":1207", "\"eventTypeId\":\"1207\"", "eventTypeId" },
    { "\"eventTypeId\":1207", "\"eventTypeId\":-1", "eventTypeId" },
    { EMAIL, "\"email\":{\"value\":\"\",", "email" },
    { EMAIL, "\"email\":{\"value\":\"  \",", "email" },
    { EMAIL, "\"email\":{\"value\":\"a b@example.com\",", "email" },
    { EMAIL, "\"email\":{\"value\":\"a\\nb@example.com\",", "email" },
    { "\"startTime\":", "\"start\":", "startTime" },
    { "\"startTime\":\"2026-03-12T14:00:00Z\"", "\"startTime\":1773324000", "startTime" },
    { "\"startTime\":\"2026-03-12T14:00:00Z\"", "\"startTime\":\"2026-03-12\"", "startTime" },
};

static void
test_missing_and_wrong_fields(void **state)
{
    size_t size;
    char *body = read_sample("BOOKING_REQUESTED.json", &size);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(EDITS); i++) {
        struct webhook webhook;
        char *edited = unit_replace(body, EDITS[i].part, EDITS[i].replacement);
        enum webhook_result result = parse(edited, strlen(edited), &webhook);
        check(result == WEBHOOK_MALFORMED, "%s: %s", EDITS[i].replacement, RESULTS[result]);
        check(unit_contains(webhook.reason, EDITS[i].names), "%s: %s", EDITS[i].replacement,
              webhook.reason);
        check(!unit_contains(webhook.reason, "jonas"), "%s", webhook.reason);
        free(edited);
    }
    free(body);
    check_still_works();
}

/* Neither the booker in responses nor one among the attendees. */
static void
test_no_email_anywhere(void **state)
{
    static const char *const ATTENDEES[] = { "\"attendees\":[],\"x\":[{\"email\":\"jonas",
                                             "\"attendees\":{},\"x\":[{\"email\":\"jonas",
                                             "\"attendees\":[null],\"x\":[{\"email\":\"jonas",
                                             "\"attendees\":[7],\"x\":[{\"email\":\"jonas",
                                             "\"attendees\":[{\"email\":7}],\"x\":[{\"email\":\"j",
                                             "\"guests\":[{\"email\":\"jonas" };
    size_t size;
    char *body = read_sample("BOOKING_REQUESTED.json", &size);
    char *without = unit_replace(body, EMAIL, "\"email\":{");
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ATTENDEES); i++) {
        char *edited = unit_replace(without, "\"attendees\":[{\"email\":\"jonas", ATTENDEES[i]);
        check_malformed(ATTENDEES[i], edited, strlen(edited));
        free(edited);
    }
    free(without);
    free(body);
}

/* Numbers beyond 63 bits must not become one that another booking has. */
static void
test_huge_numbers(void **state)
{
    static const char *const NUMBERS[] = { "9223372036854775808", "18446744073709551615",
                                           "18446744073709551616", "99999999999999999999999999" };
    size_t size;
    char *body = read_sample("BOOKING_REQUESTED.json", &size);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NUMBERS); i++) {
        struct webhook webhook;
        char member[64];
        (void)snprintf(member, sizeof member, "\"bookingId\":%s", NUMBERS[i]);
        char *edited = unit_replace(body, "\"bookingId\":48213", member);
        enum webhook_result result = parse(edited, strlen(edited), &webhook);
        check(result == WEBHOOK_MALFORMED || strcmp(webhook.event.id, NUMBERS[i]) == 0,
              "%s became %s", NUMBERS[i], webhook.event.id);
        free(edited);
    }
    free(body);
}

static void
test_longest_uid(void **state)
{
    static const char UID[] = "1234567890123456789012345678901234567890123456789012345678901234";
    struct webhook webhook;
    char member[128];
    size_t size;
    char *body = read_sample("BOOKING_REQUESTED.json", &size);
    (void)state;
    (void)snprintf(member, sizeof member, "\"uid\":\"%s\"", UID);
    char *edited = unit_replace(body, "\"uid\":\"kWq3uXfT7hPn2sVb9dRmZa\"", member);
    assert_int_equal(parse(edited, strlen(edited), &webhook), WEBHOOK_EVENT);
    assert_string_equal(webhook.event.uid, UID);
    free(edited);
    free(body);
}

/* ---- Not JSON ---- */

static void
test_garbage(void **state)
{
    static const char *const BODIES[] = {
        "false",
        "true",
        "null",
        "0",
        "-",
        "1e",
        "\"text\"",
        "\"",
        "'",
        "[]",
        "{}",
        "[{}]",
        "[",
        "{",
        "}",
        "]",
        "{]",
        "[}",
        ",",
        ":",
        " ",
        "\n",
        "fals",
        "falsex",
        "nul",
        "tru",
        "{\"triggerEvent\"",
        "{\"triggerEvent\":",
        "{\"triggerEvent\":\"PING\"",
        "{\"triggerEvent\":\"PING\"}}",
        "{\"triggerEvent\":\"PING\"}x",
        "{\"triggerEvent\":\"PING\"}{\"triggerEvent\":\"PING\"}",
        "{\"triggerEvent\":\"PING\"},",
        "{\"triggerEvent\":\"PING\"} false",
        "{triggerEvent:\"PING\"}",
        "{\"triggerEvent\":\"PING\" \"a\":1}",
        "\xef\xbb\xbf{\"triggerEvent\":\"PING\"}",
        "[{\"triggerEvent\":\"PING\"}]",
        "triggerEvent=PING",
        "payload=%7B%7D",
        "<xml/>",
        "{\"triggerEvent\":\"PING\\u12\"}",
        "{\"triggerEvent\":\"PING\\x\"}",
        "{\"triggerEvent\":{\"triggerEvent\":\"PING\"}}",
        "{\"payload\":{\"triggerEvent\":\"PING\"}}",
    };
    (void)state;
    check_malformed("nothing", "", 0);
    for (size_t i = 0; i < COUNT_OF(BODIES); i++) {
        check_malformed(BODIES[i], BODIES[i], strlen(BODIES[i]));
    }
    check_still_works();
}

static void
test_false_is_explained(void **state)
{
    struct webhook webhook;
    (void)state;
    assert_int_equal(parse("false", 5, &webhook), WEBHOOK_MALFORMED);
    assert_true(unit_contains(webhook.reason, "template"));
}

static void
test_truncated_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++) {
        size_t size;
        char *body = read_sample(SAMPLES[i], &size);
        for (size_t length = 0; length < size; length++) {
            struct webhook webhook;
            enum webhook_result result = parse(body, length, &webhook);
            check(result == WEBHOOK_MALFORMED, "%s, %zu bytes: %s", SAMPLES[i], length,
                  RESULTS[result]);
        }
        free(body);
    }
    check_still_works();
}

static void
test_trailing_bytes(void **state)
{
    static const char TRAILING[] = { 'x', '}', ']', '"', ',', '0', '{', '\0', '\xff' };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++) {
        size_t size;
        char *body = read_sample(SAMPLES[i], &size);
        for (size_t j = 0; j < sizeof TRAILING; j++) {
            body[size] = TRAILING[j]; /* where its NUL was */
            check_malformed(SAMPLES[i], body, size + 1);
        }
        free(body);
    }
    check_malformed("NUL at the end", "{\"triggerEvent\":\"PING\"}\0", 24);
    check_malformed("NUL in between", "{\"triggerEvent\":\0\"PING\"}", 24);
    check_malformed("NUL in front", "\0{\"triggerEvent\":\"PING\"}", 24);
}

/* Each byte replaced: any answer but a crash, and an event is one that the rest can work with. */
static void
test_changed_at_every_byte(void **state)
{
    static const char BYTES[] = {
        '\0', '"', '{', '}', '[', ',', ':', '\\', '0', '-', '\xff', '\n'
    };
    size_t size;
    char *body = read_sample("BOOKING_REQUESTED.json", &size);
    (void)state;
    for (size_t at = 0; at < size; at++) {
        for (size_t j = 0; j < sizeof BYTES; j++) {
            struct webhook webhook;
            char kept = body[at];
            body[at] = BYTES[j];
            if (parse(body, size, &webhook) == WEBHOOK_EVENT) {
                assert_int_equal(webhook.event.kind, BOOKING_REQUESTED);
                assert_true(booking_id_is_valid(webhook.event.id));
                assert_true(webhook.event.uid[0] != '\0' && webhook.event.account[0] != '\0');
                assert_true(webhook.event.start_s > 0);
                assert_false(unit_contains(webhook.event.answers, "6d0f6f9e"));
                assert_false(unit_contains(webhook.event.metadata, "6d0f6f9e"));
            }
            body[at] = kept;
        }
    }
    free(body);
    check_still_works();
}

static void
test_nul_inside_texts(void **state)
{
    struct webhook webhook;
    size_t size;
    (void)state;
    check_malformed("trigger", "{\"triggerEvent\":\"PING\\u0000\"}", 30);
    check_malformed("trigger", "{\"triggerEvent\":\"PING\\u0000X\"}", 31);
    /* An address with a NUL is none, also not its first half. */
    char *body = read_sample("BOOKING_CANCELLED.json", &size);
    char *edited = unit_replace(body, "\"cancelledBy\":\"jonas.weber@example.com\"",
                                "\"cancelledBy\":\"nora@example.com\\u0000.evil\"");
    assert_int_equal(parse(edited, strlen(edited), &webhook), WEBHOOK_EVENT);
    assert_string_equal(webhook.event.cancelled_by, "");
    free(edited);
    free(body);
}

static void
test_invalid_utf8(void **state)
{
    static const char *const BYTES[] = { "\xff", "\x80", "\xc3", "\xc3(", "\xe2\x82", "\xc3\xc3",
                                         /* overlong, surrogates, beyond U+10FFFF */
                                         "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf",
                                         "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80" };
    size_t size;
    char *body = read_sample("BOOKING_REQUESTED.json", &size);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BYTES); i++) {
        char member[64];
        (void)snprintf(member, sizeof member, "\"currency\":\"u%sd\"", BYTES[i]);
        char *edited = unit_replace(body, "\"currency\":\"usd\"", member);
        check_malformed("invalid UTF-8", edited, strlen(edited));
        free(edited);
    }
    free(body);
    check_still_works();
}

/* ---- Deep and huge ---- */

/* A good body with `depth` arrays in payload.metadata, which are the third level and those below.
 */
static char *
make_deep(size_t depth)
{
    size_t size;
    char *body = read_sample("BOOKING_REQUESTED.json", &size);
    char *value = malloc(2 * depth + 32);
    assert_non_null(value);
    int used = snprintf(value, 32, "\"deep\":");
    memset(value + used, '[', depth);
    value[(size_t)used + depth] = '1';
    memset(value + (size_t)used + depth + 1, ']', depth);
    (void)snprintf(value + (size_t)used + 2 * depth + 1, 16, ",\"uid\":");
    char *deep = unit_replace(body, "\"uid\":", value);
    free(value);
    free(body);
    return deep;
}

static void
test_depth(void **state)
{
    static const size_t TOO_DEEP[] = { WEBHOOK_DEPTH - 1, WEBHOOK_DEPTH, 100, 10000, 1000000 };
    struct webhook webhook;
    (void)state;
    for (size_t depth = 1; depth < WEBHOOK_DEPTH - 2; depth++) {
        char *body = make_deep(depth);
        enum webhook_result result = parse(body, strlen(body), &webhook);
        check(result == WEBHOOK_EVENT, "%zu below the payload: %s", depth, RESULTS[result]);
        free(body);
    }
    for (size_t i = 0; i < COUNT_OF(TOO_DEEP); i++) {
        char *body = make_deep(TOO_DEEP[i]);
        check_malformed("too deep", body, strlen(body));
        assert_int_equal(parse(body, strlen(body), &webhook), WEBHOOK_MALFORMED);
        assert_true(unit_contains(webhook.reason, "deep"));
        free(body);
    }
    check_still_works();
}

static void
test_huge(void **state)
{
    enum { HUGE = 16 * 1024 * 1024 };
    struct webhook webhook;
    size_t size;
    char *huge = malloc(HUGE + 64);
    (void)state;
    assert_non_null(huge);
    for (const char *c = "[{\"a1-. \n\xff"; *c != '\0'; c++) {
        memset(huge, *c, HUGE);
        check_malformed("huge", huge, HUGE);
    }
    /* A good one with long notes. */
    memcpy(huge, "\"title2\":\"", 10);
    memset(huge + 10, 'x', HUGE);
    (void)snprintf(huge + 10 + HUGE, 32, "\",\"uid\":");
    char *body = read_sample("BOOKING_REQUESTED.json", &size);
    char *edited = unit_replace(body, "\"uid\":", huge);
    assert_int_equal(parse(edited, strlen(edited), &webhook), WEBHOOK_EVENT);
    assert_string_equal(webhook.event.id, "48213");
    free(edited);
    free(body);
    free(huge);
    check_still_works();
}

/* ---- Events that end something need less ---- */

static void
test_ends_need_less(void **state)
{
    static const char *const TRIGGERS[] = { "BOOKING_CANCELLED", "BOOKING_REJECTED",
                                            "BOOKING_PAYMENT_INITIATED" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(TRIGGERS); i++) {
        struct webhook webhook;
        char body[256];
        (void)snprintf(body, sizeof body,
                       "{\"triggerEvent\":\"%s\",\"createdAt\":\"2026-03-09T08:15:30.412Z\","
                       "\"payload\":{\"bookingId\":7}}",
                       TRIGGERS[i]);
        assert_int_equal(parse(body, strlen(body), &webhook), WEBHOOK_EVENT);
        assert_string_equal(webhook.event.id, "7");
        assert_string_equal(webhook.event.uid, "");
        assert_string_equal(webhook.event.account, "");
        assert_string_equal(webhook.event.event_type, "");
        assert_int_equal(webhook.event.start_s, 0);
        assert_int_equal(webhook.event.end_s, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_and_wrong_fields),
        cmocka_unit_test(test_no_email_anywhere),
        cmocka_unit_test(test_huge_numbers),
        cmocka_unit_test(test_longest_uid),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_false_is_explained),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_trailing_bytes),
        cmocka_unit_test(test_changed_at_every_byte),
        cmocka_unit_test(test_nul_inside_texts),
        cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_ends_need_less),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
