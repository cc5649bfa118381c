/* What kind of booking it is, who is in it, and what the booker said. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "tests/unit/webhook_bench.h"

#define PAYLOAD_SIZE 131072

/* A body whose payload has these members beside what every booking has. */
static void
parse_with(const char *trigger, const char *members, struct webhook *webhook)
{
    static char body[PAYLOAD_SIZE + 512];
    int written =
        snprintf(body, sizeof body,
                 "{\"triggerEvent\":\"%s\",\"createdAt\":\"2026-03-09T08:15:30.412Z\",\"payload\":{"
                 "\"bookingId\":7,\"uid\":\"u7\",\"eventTypeId\":1207,"
                 "\"startTime\":\"2026-03-12T14:00:00Z\","
                 "\"attendees\":[{\"email\":\"ann@example.com\"}]%s%s}}",
                 trigger, members[0] != '\0' ? "," : "", members);
    assert_true(written > 0 && (size_t)written < sizeof body);
    bench_parse(members, body, WEBHOOK_EVENT, webhook);
}

static void
request_with(const char *members, struct webhook *webhook)
{
    parse_with("BOOKING_REQUESTED", members, webhook);
}

/* ---- Seats, series, money ---- */

#define SEAT "0d7a6f5e-3b1c-4f0a-9f5c-8f6c1b9f0e55"

static void
test_seats(void **state)
{
    static const struct {
        const char *members, *id, *seat;
        bool seats;
    } ROWS[] = {
        { "", "7", "", false },
        { "\"seatsPerTimeSlot\":null", "7", "", false },
        { "\"seatsPerTimeSlot\":5", "7", "", true },
        { "\"seatsPerTimeSlot\":5.5", "7", "", true },
        { "\"seatsPerTimeSlot\":\"5\"", "7", "", false },
        { "\"seatsPerTimeSlot\":true", "7", "", false },
        { "\"seatsPerTimeSlot\":[5]", "7", "", false },
        { "\"seatsPerTimeSlot\":5,\"attendeeSeatId\":null", "7", "", true },
        { "\"seatsPerTimeSlot\":5,\"attendeeSeatId\":\"\"", "7", "", true },
        { "\"seatsPerTimeSlot\":5,\"attendeeSeatId\":\"" SEAT "\"", "7:" SEAT, SEAT, true },
        { "\"attendeeSeatId\":\"s1\"", "7:s1", "s1", false },
    };
    static const char *const TRIGGERS[] = { "BOOKING_REQUESTED",   "BOOKING_CREATED",
                                            "BOOKING_RESCHEDULED", "BOOKING_CANCELLED",
                                            "BOOKING_REJECTED",    "BOOKING_PAYMENT_INITIATED" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS) * COUNT_OF(TRIGGERS); i++) {
        struct webhook webhook;
        size_t row = i / COUNT_OF(TRIGGERS);
        parse_with(TRIGGERS[i % COUNT_OF(TRIGGERS)], ROWS[row].members, &webhook);
        assert_string_equal(webhook.event.id, ROWS[row].id);
        assert_string_equal(webhook.event.seat, ROWS[row].seat);
        check(webhook.event.seats == ROWS[row].seats, "%s: seats", ROWS[row].members);
        assert_true(booking_id_is_valid(webhook.event.id));
    }
}

static void
test_bad_seats(void **state)
{
    static const char *const SEATS[] = {
        "\"a b\"",
        "\"a/b\"",
        "\"a\\u0000b\"",
        "\"\\n\"",
        "7",
        "{}",
        "[]",
        "true",
        "\"\xc3\xbc\"",
        "\"12345678901234567890123456789012345678901234567890123456789012345678901234567890\"",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SEATS); i++) {
        struct webhook webhook;
        char member[160];
        (void)snprintf(member, sizeof member, "\"attendeeSeatId\":%s", SEATS[i]);
        bench_parse_edited("BOOKING_REQUESTED.json", "\"seatsPerTimeSlot\":null", member,
                           WEBHOOK_MALFORMED, &webhook);
    }
}

static void
test_series(void **state)
{
    static const struct {
        const char *series;
        int64_t occurrences;
    } ROWS[] = {
        { "null", 0 },
        { "4", 0 },
        { "[{\"count\":4}]", 0 },
        { "\"weekly\"", 0 },
        { "true", 0 },
        { "{\"freq\":2,\"count\":4,\"interval\":1}", 4 },
        { "{\"count\":1}", 1 },
        { "{\"count\":366}", 366 },
        { "{\"count\":9007199254740991}", INT64_C(9007199254740991) },
        { "{\"count\":9007199254740992}", 2 },
        { "{\"count\":99999999999999999999}", 2 },
        { "{}", 2 },
        { "{\"count\":null}", 2 },
        { "{\"count\":0}", 2 },
        { "{\"count\":-3}", 2 },
        { "{\"count\":\"4\"}", 2 },
        { "{\"count\":4.5}", 2 },
        { "{\"count\":[4]}", 2 },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct webhook webhook;
        char members[128];
        (void)snprintf(members, sizeof members, "\"recurringEvent\":%s", ROWS[i].series);
        request_with(members, &webhook);
        check(webhook.event.occurrences == ROWS[i].occurrences, "%s: %" PRId64, members,
              webhook.event.occurrences);
    }
}

static void
test_paid(void **state)
{
    static const struct {
        const char *price;
        bool paid;
    } ROWS[] = {
        { "0", false },         { "-1", false },        { "0.0", false },
        { "null", false },      { "\"5\"", false },     { "true", false },
        { "[5]", false },       { "{\"a\":1}", false }, { "NaN", false },
        { "-Infinity", false }, { "1", true },          { "2500", true },
        { "0.5", true },        { "1e3", true },        { "99999999999999999999", true },
    };
    struct webhook webhook;
    (void)state;
    request_with("", &webhook);
    assert_false(webhook.event.paid);
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        char members[64];
        (void)snprintf(members, sizeof members, "\"price\":%s", ROWS[i].price);
        request_with(members, &webhook);
        check(webhook.event.paid == ROWS[i].paid, "%s", members);
    }
}

/* ---- Answers and metadata ---- */

/* One of the responses, and what becomes of it: NULL when it is left out. */
static const struct {
    const char *response, *answer;
} ANSWERS[] = {
    { "{\"label\":\"x\",\"value\":\"Ann\",\"isHidden\":false}", "\"Ann\"" },
    { "{\"value\":\"\"}", "\"\"" },
    { "{\"value\":\"a/b \\\"c\\\" \\\\ \\n \\u0007\"}", "\"a/b \\\"c\\\" \\\\ \\n \\u0007\"" },
    { "{\"value\":\"J\\u00f6rg \xc3\x9f \xf0\x9f\x93\x9a\"}",
      "\"J\xc3\xb6rg \xc3\x9f \xf0\x9f\x93\x9a\"" },
    { "{\"value\":\"a\\u0000b\"}", "\"a\\u0000b\"" },
    { "{\"value\":\"a\\ud800b\"}", "\"a\xef\xbf\xbd"
                                   "b\"" }, /* half of a letter */
    { "{\"value\":7}", "7" },
    { "{\"value\":-7}", "-7" },
    { "{\"value\":0.1}", "0.1" },
    { "{\"value\":1.}", "1.0" },
    { "{\"value\":01.50}", "1.5" },
    { "{\"value\":-1e-7}", "-1e-07" },
    { "{\"value\":true}", "true" },
    { "{\"value\":false}", "false" },
    { "{\"value\":[]}", "[]" },
    { "{\"value\":[\"a\",\"b\"]}", "[\"a\",\"b\"]" },
    { "{\"value\":{}}", "{}" },
    { "{\"value\":{\"value\":\"integrations:daily\",\"optionValue\":\"\"}}",
      "{\"value\":\"integrations:daily\",\"optionValue\":\"\"}" },
    { "{\"value\":{\"a\":[1,{\"b\":null}]}}", "{\"a\":[1,{\"b\":null}]}" },
    { "{\"value\":{\"a\":1,\"oneTimePassword\":\"p\"}}", "{\"a\":1}" },
    { "{\"value\":{\"a\":[{\"oneTimePassword\":\"p\"},{\"b\":{\"oneTimePassword\":\"p\"}}]}}",
      "{\"a\":[{},{\"b\":{}}]}" },
    { "{}", NULL },
    { "{\"label\":\"x\",\"isHidden\":true}", NULL },
    { "{\"value\":null}", NULL },
    { "{\"value\":NaN}", NULL },
    { "{\"value\":-Infinity}", NULL },
    { "{\"value\":1e999}", NULL },
    { "{\"value\":{\"a\":[NaN]}}", NULL },
    { "{\"value\":[\"a\",7]}", NULL },
    { "{\"value\":[null]}", NULL },
    { "{\"value\":[[\"a\"]]}", NULL },
    { "{\"value\":[{\"oneTimePassword\":\"p\"}]}", NULL },
    { "\"Ann\"", NULL },
    { "7", NULL },
    { "null", NULL },
    { "[{\"value\":\"Ann\"}]", NULL },
};

static void
test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ANSWERS); i++) {
        struct webhook webhook;
        char members[512], wanted[512];
        const char *answer = ANSWERS[i].answer;
        (void)snprintf(members, sizeof members,
                       "\"responses\":{\"x-1\":%s,\"oneTimePassword\":{\"value\":\"p\"},"
                       "\"last\":{\"value\":1}}",
                       ANSWERS[i].response);
        (void)snprintf(wanted, sizeof wanted, "{%s%s%s\"last\":1}",
                       answer != NULL ? "\"x-1\":" : "", answer != NULL ? answer : "",
                       answer != NULL ? "," : "");
        request_with(members, &webhook);
        check(strcmp(webhook.event.answers, wanted) == 0, "%s: %s", members, webhook.event.answers);
        assert_false(webhook.answers_too_large);
    }
}

static void
test_no_answers(void **state)
{
    static const char *const RESPONSES[] = { "null", "7",      "\"x\"", "[{\"value\":1}]",
                                             "true", "[[[]]]", "NaN" };
    struct webhook webhook;
    (void)state;
    request_with("", &webhook);
    assert_string_equal(webhook.event.answers, "");
    request_with("\"responses\":{}", &webhook);
    assert_string_equal(webhook.event.answers, "{}");
    for (size_t i = 0; i < COUNT_OF(RESPONSES); i++) {
        char members[64];
        (void)snprintf(members, sizeof members, "\"responses\":%s", RESPONSES[i]);
        request_with(members, &webhook);
        assert_string_equal(webhook.event.answers, "");
        assert_false(webhook.answers_too_large);
    }
}

static void
test_names_of_answers(void **state)
{
    struct webhook webhook;
    (void)state;
    request_with("\"responses\":{\"\":{\"value\":1},\"K\xc3\xb6ln/\\\"x\\\"\":{\"value\":2},"
                 "\"a\":{\"value\":3},\"a\":{\"value\":4}}",
                 &webhook);
    assert_string_equal(webhook.event.answers, "{\"\":1,\"K\xc3\xb6ln/\\\"x\\\"\":2,\"a\":4}");
}

static void
test_metadata(void **state)
{
    static const struct {
        const char *metadata, *wanted;
    } ROWS[] = {
        { "{}", "{}" },
        { "{\"memberId\":\"BC-0042\"}", "{\"memberId\":\"BC-0042\"}" },
        { "{\"url\":\"https://a/b\",\"n\":[1,2.5,null,{\"a\":true}]}",
          "{\"url\":\"https://a/b\",\"n\":[1,2.5,null,{\"a\":true}]}" },
        { "{\"\xc3\xbc\":\"\xc3\x9f\"}", "{\"\xc3\xbc\":\"\xc3\x9f\"}" },
        { "{\"oneTimePassword\":\"p\",\"a\":{\"oneTimePassword\":\"p\",\"b\":1}}",
          "{\"a\":{\"b\":1}}" },
        { "{\"oneTimePassword\\u0000x\":\"p\"}", "{}" },
        { "{\"a\":[1,NaN]}", "" },
        { "{\"a\":Infinity}", "" },
        { "null", "" },
        { "7", "" },
        { "\"x\"", "" },
        { "[{\"a\":1}]", "" },
        { "true", "" },
    };
    struct webhook webhook;
    (void)state;
    request_with("", &webhook);
    assert_string_equal(webhook.event.metadata, "");
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        char members[256];
        (void)snprintf(members, sizeof members, "\"metadata\":%s", ROWS[i].metadata);
        request_with(members, &webhook);
        check(strcmp(webhook.event.metadata, ROWS[i].wanted) == 0, "%s: %s", members,
              webhook.event.metadata);
        assert_false(webhook.metadata_too_large);
    }
}

/* Only what makes a booking tells what the booker said; the parser's memory holds nothing over. */
static void
test_who_tells_answers(void **state)
{
    static const struct {
        const char *trigger;
        bool tells;
    } ROWS[] = {
        { "BOOKING_REQUESTED", true },   { "BOOKING_CANCELLED", false },
        { "BOOKING_CREATED", true },     { "BOOKING_REJECTED", false },
        { "BOOKING_RESCHEDULED", true }, { "BOOKING_PAYMENT_INITIATED", false },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct webhook webhook;
        parse_with(ROWS[i].trigger, "\"responses\":{\"a\":{\"value\":1}},\"metadata\":{\"b\":2}",
                   &webhook);
        assert_string_equal(webhook.event.answers, ROWS[i].tells ? "{\"a\":1}" : "");
        assert_string_equal(webhook.event.metadata, ROWS[i].tells ? "{\"b\":2}" : "");
    }
}

/* {"a":"xxx…"} of `size` bytes, as it comes or as an answer. */
static char *
make_long(const char *before, size_t size, const char *after)
{
    char *text = malloc(PAYLOAD_SIZE);
    assert_non_null(text);
    size_t rest = size - strlen("{\"a\":\"\"}");
    int used = snprintf(text, PAYLOAD_SIZE, "%s", before);
    memset(text + used, 'x', rest);
    (void)snprintf(text + (size_t)used + rest, PAYLOAD_SIZE - (size_t)used - rest, "%s", after);
    return text;
}

static void
test_limit(void **state)
{
    static const size_t SIZES[] = { 8191, 8192, 8193, 100000 };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SIZES); i++) {
        struct webhook webhook;
        bool fits = SIZES[i] <= 8192;
        char *members = make_long("\"responses\":{\"a\":{\"value\":\"", SIZES[i],
                                  "\"}},\"metadata\":{\"b\":1}");
        request_with(members, &webhook);
        assert_int_equal(strlen(webhook.event.answers), fits ? SIZES[i] : 0);
        assert_int_equal(webhook.answers_too_large, !fits);
        assert_string_equal(webhook.event.metadata, "{\"b\":1}");
        assert_false(webhook.metadata_too_large);
        free(members);
        members = make_long("\"responses\":{\"a\":{\"value\":1}},\"metadata\":{\"a\":\"", SIZES[i],
                            "\"}");
        request_with(members, &webhook);
        assert_string_equal(webhook.event.answers, "{\"a\":1}");
        assert_false(webhook.answers_too_large);
        assert_int_equal(strlen(webhook.event.metadata), fits ? SIZES[i] : 0);
        assert_int_equal(webhook.metadata_too_large, !fits);
        free(members);
    }
}

/* ---- Attendees ---- */

#define SEATS "\"seatsPerTimeSlot\":5"

static void
test_who_tells_attendees(void **state)
{
    static const struct {
        const char *trigger, *members;
        bool tells;
    } ROWS[] = {
        { "BOOKING_CANCELLED", SEATS, true },
        { "BOOKING_REJECTED", SEATS, true },
        { "BOOKING_REQUESTED", SEATS, false },
        { "BOOKING_CREATED", SEATS, false },
        { "BOOKING_RESCHEDULED", SEATS, false },
        { "BOOKING_PAYMENT_INITIATED", SEATS, false },
        { "BOOKING_CANCELLED", "", false },
        { "BOOKING_REJECTED", "\"seatsPerTimeSlot\":null", false },
        { "BOOKING_CANCELLED", SEATS ",\"attendeeSeatId\":\"s1\"", false },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct webhook webhook;
        parse_with(ROWS[i].trigger, ROWS[i].members, &webhook);
        check(strcmp(webhook.event.attendees, ROWS[i].tells ? "ann@example.com" : "") == 0,
              "%s %s: %s", ROWS[i].trigger, ROWS[i].members, webhook.event.attendees);
    }
}

/* A cancel of a booking with seats; the last "attendees" counts. */
static void
cancel_with(const char *attendees, struct webhook *webhook)
{
    static char members[PAYLOAD_SIZE];
    int written = snprintf(members, sizeof members, SEATS ",\"attendees\":%s", attendees);
    assert_true(written > 0 && (size_t)written < sizeof members);
    parse_with("BOOKING_CANCELLED", members, webhook);
}

static void
test_attendees(void **state)
{
    static const struct {
        const char *attendees, *wanted;
    } ROWS[] = {
        { "[]", "" },
        { "null", "" },
        { "{}", "" },
        { "{\"email\":\"a@x\"}", "" },
        { "\"a@x\"", "" },
        { "[\"a@x\",7,null,[],{},{\"email\":null},{\"email\":7},{\"email\":{\"value\":\"a@x\"}}]",
          "" },
        { "[{\"email\":\"\"},{\"email\":\" \"},{\"email\":\"a b@x\"},{\"email\":\"a\\nb@x\"},"
          "{\"email\":\"a\\u0000@x\"}]",
          "" },
        { "[{\"email\":\"a@x\"}]", "a@x" },
        { "[{\"email\":\" "
          "A@X\\n\"},null,{\"email\":\"b@x\"},{\"email\":\"a@x\"},{\"email\":\"B@x\"}]",
          "a@x b@x" },
        { "[{\"email\":\"ab@x\"},{\"email\":\"a\"},{\"email\":\"b@x\"}]", "ab@x a b@x" },
        { "[{\"email\":\"j\xc3\xb6rg@x\"}]", "j\xc3\xb6rg@x" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct webhook webhook;
        cancel_with(ROWS[i].attendees, &webhook);
        check(strcmp(webhook.event.attendees, ROWS[i].wanted) == 0, "%s: \"%s\"", ROWS[i].attendees,
              webhook.event.attendees);
        assert_false(webhook.too_many_attendees);
    }
}

/* Addresses as long as an account can be; 100 people of whom each comes twice are not too many. */
static void
test_many_attendees(void **state)
{
    static const struct {
        size_t people, entries;
    } ROWS[] = { { 1, 1 }, { 99, 99 }, { 100, 100 }, { 100, 200 }, { 101, 101 }, { 120, 240 } };
    static char attendees[PAYLOAD_SIZE], wanted[PAYLOAD_SIZE];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct webhook webhook;
        size_t used = 0, known = 0;
        for (size_t j = 0; j < ROWS[i].entries; j++) {
            size_t person = j % ROWS[i].people;
            used += (size_t)snprintf(attendees + used, sizeof attendees - used,
                                     "%c{\"email\":\"%0320zu\"}", j == 0 ? '[' : ',', person);
            if (j == person && person < 100) {
                known += (size_t)snprintf(wanted + known, sizeof wanted - known, "%s%0320zu",
                                          j == 0 ? "" : " ", person);
            }
        }
        (void)snprintf(attendees + used, sizeof attendees - used, "]");
        cancel_with(attendees, &webhook);
        assert_string_equal(webhook.event.attendees, wanted);
        assert_int_equal(webhook.too_many_attendees, ROWS[i].people > 100);
    }
}

/* ---- The account ---- */

static const struct {
    const char *path, *members, *account;
} ACCOUNTS[] = {
    { "metadata.memberId", "\"metadata\":{\"memberId\":\"BC-0042\"}", "bc-0042" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":\" J\xc3\xb6RG@x\\t\"}", "j\xc3\xb6rg@x" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":42}", "42" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":0}", "0" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":-42}", "-42" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":9007199254740991}", "9007199254740991" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":9007199254740992}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":-9007199254740992}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":99999999999999999999}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":42.0}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":4e4}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":true}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":null}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":\"\"}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":\" \"}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":\"a b\"}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":\"a\\u0000b\"}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":[\"BC-0042\"]}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberId\":{\"value\":\"BC-0042\"}}", "" },
    { "metadata.memberId", "\"metadata\":{\"memberid\":\"BC-0042\"}", "" },
    { "metadata.memberId", "\"metadata\":[]", "" },
    { "metadata.memberId", "\"metadata\":\"memberId\"", "" },
    { "metadata.memberId", "\"memberId\":\"BC-0042\"", "" },
    { "metadata.memberId", "", "" },
    { "member", "\"member\":\"m1\"", "m1" },
    { "responses.number.value", "\"responses\":{\"number\":{\"value\":\"M1\"}}", "m1" },
    { "responses.number", "\"responses\":{\"number\":{\"value\":\"M1\"}}", "m1" },
    { "responses.number", "\"responses\":{\"number\":{\"value\":5}}", "5" },
    { "responses.number", "\"responses\":{\"number\":\"M1\"}", "m1" },
    { "responses.number", "\"responses\":{\"number\":{\"label\":\"x\"}}", "" },
    { "responses.number", "\"responses\":{\"number\":{\"value\":{\"value\":\"M1\"}}}", "" },
    { "responses.place.value.value", "\"responses\":{\"place\":{\"value\":{\"value\":\"P\"}}}",
      "p" },
    { "responses.a-b_C", "\"responses\":{\"a-b_C\":{\"value\":\"M1\"}}", "m1" },
    { "answers.number", "\"answers\":{\"number\":{\"value\":\"M1\"}}", "" },
    { "a.b.c.d.e.f.g.h", "\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":{\"h\":\"deep\"}}}}}}}",
      "deep" },
    { "attendees.0.email", "", "" },
};

static void
test_account_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ACCOUNTS); i++) {
        struct webhook webhook;
        bench_use_account_field(ACCOUNTS[i].path);
        request_with(ACCOUNTS[i].members, &webhook);
        check(strcmp(webhook.event.account, ACCOUNTS[i].account) == 0, "%s of %s: \"%s\"",
              ACCOUNTS[i].path, ACCOUNTS[i].members, webhook.event.account);
        assert_string_equal(webhook.event.email, "ann@example.com");
    }
}

static void
test_account_of_every_event(void **state)
{
    static const char *const TRIGGERS[] = { "BOOKING_CREATED", "BOOKING_RESCHEDULED",
                                            "BOOKING_CANCELLED", "BOOKING_REJECTED",
                                            "BOOKING_PAYMENT_INITIATED" };
    (void)state;
    bench_use_account_field("metadata.memberId");
    for (size_t i = 0; i < COUNT_OF(TRIGGERS); i++) {
        struct webhook webhook;
        parse_with(TRIGGERS[i], "\"metadata\":{\"memberId\":\"BC-0042\"}", &webhook);
        assert_string_equal(webhook.event.account, "bc-0042");
        parse_with(TRIGGERS[i], "", &webhook);
        assert_string_equal(webhook.event.account, "");
    }
}

/* 200 bytes in one word, and an account that is too long. */
static void
test_longest_account_field(void **state)
{
    char path[201], members[1024], value[400];
    struct webhook webhook;
    (void)state;
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    bench_use_account_field(path);
    for (size_t length = 319; length <= 322; length++) {
        memset(value, 'v', length);
        value[length] = '\0';
        (void)snprintf(members, sizeof members, "\"%s\":\"%s\"", path, value);
        request_with(members, &webhook);
        assert_string_equal(webhook.event.account, length <= 320 ? value : "");
    }
}

/* The e-mail stays needed: the member is written to. */
static void
test_account_does_not_replace_the_email(void **state)
{
    struct webhook webhook;
    (void)state;
    bench_use_account_field("metadata.memberId");
    char *body = bench_sample("BOOKING_REQUESTED.json");
    char *without = unit_replace(body, "\"email\":{\"label\"", "\"email\":{\"labels\"");
    bench_parse("with", without, WEBHOOK_EVENT, &webhook);
    assert_string_equal(webhook.event.account, "bc-0042");
    assert_string_equal(webhook.event.email, "jonas.weber@example.com");
    char *bad = unit_replace(without, "\"jonas.weber@example.com\",\"isHidden\"",
                             "\"jonas weber\",\"isHidden\"");
    bench_parse("without", bad, WEBHOOK_MALFORMED, &webhook);
    assert_true(unit_contains(webhook.reason, "email"));
    free(bad);
    free(without);
    free(body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_seats, bench_set_up),
        cmocka_unit_test_setup(test_bad_seats, bench_set_up),
        cmocka_unit_test_setup(test_series, bench_set_up),
        cmocka_unit_test_setup(test_paid, bench_set_up),
        cmocka_unit_test_setup(test_answers, bench_set_up),
        cmocka_unit_test_setup(test_no_answers, bench_set_up),
        cmocka_unit_test_setup(test_names_of_answers, bench_set_up),
        cmocka_unit_test_setup(test_metadata, bench_set_up),
        cmocka_unit_test_setup(test_who_tells_answers, bench_set_up),
        cmocka_unit_test_setup(test_limit, bench_set_up),
        cmocka_unit_test_setup(test_who_tells_attendees, bench_set_up),
        cmocka_unit_test_setup(test_attendees, bench_set_up),
        cmocka_unit_test_setup(test_many_attendees, bench_set_up),
        cmocka_unit_test_setup(test_account_field, bench_set_up),
        cmocka_unit_test_setup(test_account_of_every_event, bench_set_up),
        cmocka_unit_test_setup(test_longest_account_field, bench_set_up),
        cmocka_unit_test_setup(test_account_does_not_replace_the_email, bench_set_up),
    };
    return cmocka_run_group_tests(tests, NULL, bench_tear_down);
}
