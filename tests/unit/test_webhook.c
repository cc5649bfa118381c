#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "tests/unit/webhook_bench.h"

/* ---- The samples ---- */

#define U1    "kWq3uXfT7hPn2sVb9dRmZa"
#define U2    "mB6rTz1QwEy9uHk3vNc7Lp"
#define JONAS "jonas.weber@example.com"

/* What Jonas answered; the place only where the booking is new. */
#define NAMED "{\"name\":\"Jonas Weber\",\"email\":\"" JONAS "\","
#define PLACE "\"location\":{\"value\":\"integrations:daily\",\"optionValue\":\"\"},"
#define NOTED                                                                                      \
    "\"notes\":\"Gr\u00fc\u00dfe aus K\u00f6ln \u2013 Kapitel 7 & 8 \\\"Teil II\\\"\","            \
    "\"guests\":[\"mia.guest@example.com\"]}"
#define SAID_JOHN                                                                                  \
    "{\"name\":\"John Doe\",\"email\":\"john.doe@example.com\","                                   \
    "\"location\":{\"optionValue\":\"\",\"value\":\"inPerson\"}}"
#define VIDEO(uid) "{\"videoCallUrl\":\"https://cal.example.com/video/" uid "\"}"

static const struct {
    const char *file, *trigger;
    struct booking_event event;
} EVENTS[] = {
    { "BOOKING_REQUESTED.json",
      "BOOKING_REQUESTED",
      { BOOKING_REQUESTED,
        "48213",
        U1,
        "",
        JONAS,
        JONAS,
        "",
        "",
        "1207",
        1773044130412,
        1773324000,
        1773327600,
        true,
        false,
        false,
        0,
        "",
        "",
        NAMED PLACE NOTED,
        "{\"memberId\":\"BC-0042\"}" } },
    { "BOOKING_REQUESTED.reschedule.json",
      "BOOKING_REQUESTED",
      { BOOKING_REQUESTED, "48260",    U2,         "",   JONAS, JONAS, "", U1, "1207",
        1773142809871,     1773928800, 1773932400, true, false, false, 0,  "", "",
        NAMED PLACE NOTED, "{}" } },
    { "BOOKING_CREATED.json",
      "BOOKING_CREATED",
      { BOOKING_CREATED, "48213",    U1,   "",    JONAS, JONAS, "", "", "1207",      1773044134907,
        1773324000,      1773327600, true, false, false, 0,     "", "", NAMED NOTED, VIDEO(U1) } },
    { "BOOKING_CREATED.no_confirmation.json",
      "BOOKING_CREATED",
      { BOOKING_CREATED,
        "48214",
        "pV7tYc4LmQx8nKe2sJd5Hf",
        "",
        JONAS,
        JONAS,
        "",
        "",
        "1207",
        1773044401003,
        1773392400,
        1773396000,
        false,
        false,
        false,
        0,
        "",
        "",
        NAMED PLACE NOTED,
        VIDEO("pV7tYc4LmQx8nKe2sJd5Hf") } },
    { "BOOKING_REJECTED.json",
      "BOOKING_REJECTED",
      { BOOKING_REJECTED, "48213",    U1,   "",    JONAS, JONAS, "", "", "1207", 1773044135120,
        1773324000,       1773327600, true, false, false, 0,     "", "", "",     "" } },
    { "BOOKING_CANCELLED.json",
      "BOOKING_CANCELLED",
      { BOOKING_CANCELLED, "48213",    U1,   "",    JONAS, JONAS, JONAS, "", "1207", 1773162131550,
        1773324000,        1773327600, true, false, false, 0,     "",    "", "",     "" } },
    { "BOOKING_RESCHEDULED.json",
      "BOOKING_RESCHEDULED",
      { BOOKING_RESCHEDULED, "48260",    U2,         "",    JONAS, JONAS, "", U1, "1207",
        1773142809871,       1773928800, 1773932400, false, false, false, 0,  "", "",
        NAMED PLACE NOTED,   VIDEO(U2) } },
    { "BOOKING_PAYMENT_INITIATED.json",
      "BOOKING_PAYMENT_INITIATED",
      { BOOKING_PAYMENT_INITIATED,
        "48213",
        U1,
        "",
        JONAS,
        JONAS,
        "",
        "",
        "1207",
        1773044130412,
        1773324000,
        1773327600,
        true,
        false,
        true,
        0,
        "",
        "",
        "",
        "" } },
    { "GUIDE.BOOKING_CREATED.json",
      "BOOKING_CREATED",
      { BOOKING_CREATED,
        "91",
        "bFJeNb2uX8ANpT3JL5EfXw",
        "",
        "john.doe@example.com",
        "john.doe@example.com",
        "",
        "",
        "7",
        1684920600538,
        1685007000,
        1685010600,
        false,
        false,
        false,
        0,
        "",
        "",
        SAID_JOHN,
        "{}" } },
};

static void
check_same_event(const char *file, const struct booking_event *got,
                 const struct booking_event *wanted)
{
    check(got->kind == wanted->kind, "%s: kind %d", file, (int)got->kind);
    check(strcmp(got->id, wanted->id) == 0, "%s: id %s", file, got->id);
    check(strcmp(got->uid, wanted->uid) == 0, "%s: uid %s", file, got->uid);
    check(strcmp(got->account, wanted->account) == 0, "%s: account %s", file, got->account);
    check(strcmp(got->email, wanted->email) == 0, "%s: email %s", file, got->email);
    check(strcmp(got->cancelled_by, wanted->cancelled_by) == 0, "%s: cancelled by %s", file,
          got->cancelled_by);
    check(strcmp(got->reschedule_uid, wanted->reschedule_uid) == 0, "%s: reschedule uid %s", file,
          got->reschedule_uid);
    check(strcmp(got->event_type, wanted->event_type) == 0, "%s: type %s", file, got->event_type);
    check(got->created_wall_ms == wanted->created_wall_ms, "%s: created %" PRId64, file,
          got->created_wall_ms);
    check(got->start_s == wanted->start_s, "%s: start %" PRId64, file, got->start_s);
    check(got->end_s == wanted->end_s, "%s: end %" PRId64, file, got->end_s);
    check(got->requires_confirmation == wanted->requires_confirmation, "%s: confirmation", file);
    check(strcmp(got->seat, wanted->seat) == 0, "%s: seat %s", file, got->seat);
    check(got->seats == wanted->seats, "%s: seats", file);
    check(got->paid == wanted->paid, "%s: paid", file);
    check(got->occurrences == wanted->occurrences, "%s: occurrences", file);
    check(strcmp(got->attendees, wanted->attendees) == 0, "%s: attendees %s", file, got->attendees);
    check(strcmp(got->answers, wanted->answers) == 0, "%s: answers %s", file, got->answers);
    check(strcmp(got->metadata, wanted->metadata) == 0, "%s: metadata %s", file, got->metadata);
}

static void
test_sample_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(EVENTS); i++) {
        struct webhook webhook;
        char *body = bench_sample(EVENTS[i].file);
        bench_parse(EVENTS[i].file, body, WEBHOOK_EVENT, &webhook);
        assert_string_equal(webhook.trigger, EVENTS[i].trigger);
        check_same_event(EVENTS[i].file, &webhook.event, &EVENTS[i].event);
        free(body);
    }
}

static void
test_sample_others(void **state)
{
    static const struct {
        const char *file;
        enum webhook_result result;
        const char *trigger;
    } ROWS[] = {
        { "PING.json", WEBHOOK_PING, "PING" },
        { "BOOKING_PAID.json", WEBHOOK_IGNORED, "BOOKING_PAID" },
        { "MEETING_STARTED.json", WEBHOOK_IGNORED, "MEETING_STARTED" },
        { "BROKEN_TEMPLATE.json", WEBHOOK_MALFORMED, "" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct webhook webhook;
        char *body = bench_sample(ROWS[i].file);
        bench_parse(ROWS[i].file, body, ROWS[i].result, &webhook);
        assert_string_equal(webhook.trigger, ROWS[i].trigger);
        free(body);
    }
}

static void
test_other_triggers(void **state)
{
    static const char *const TRIGGERS[] = {
        "FORM_SUBMITTED",
        "BOOKING_NO_SHOW_UPDATED",
        "RECORDING_READY",
        "OOO_CREATED",
        "MEETING_ENDED",
        "INSTANT_MEETING",
        "booking_requested",
        "BOOKING_REQUESTED ",
        "BOOKING_REQUESTEDX",
        "BOOKING",
        "",
        "ping",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(TRIGGERS); i++) {
        struct webhook webhook;
        char body[256];
        (void)snprintf(body, sizeof body, "{\"triggerEvent\":\"%s\",\"payload\":{}}", TRIGGERS[i]);
        bench_parse(TRIGGERS[i], body, WEBHOOK_IGNORED, &webhook);
        assert_string_equal(webhook.trigger, TRIGGERS[i]);
    }
}

static void
test_long_trigger_is_cut(void **state)
{
    struct webhook webhook;
    char body[512], name[200];
    (void)state;
    memset(name, 'X', sizeof name);
    name[sizeof name - 1] = '\0';
    (void)snprintf(body, sizeof body, "{\"triggerEvent\":\"%s\"}", name);
    bench_parse("long trigger", body, WEBHOOK_IGNORED, &webhook);
    assert_int_equal(strlen(webhook.trigger), sizeof webhook.trigger - 1);
    assert_int_equal(strncmp(webhook.trigger, name, sizeof webhook.trigger - 1), 0);
}

/* ---- Fields ---- */

static void
test_same_instants(void **state)
{
    static const char *const STARTS[] = {
        "2026-03-12T14:00:00Z",      "2026-03-12T14:00:00.000Z", "2026-03-12T14:00:00+00:00",
        "2026-03-12T15:00:00+01:00", "2026-03-12T14:00:00.999Z",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(STARTS); i++) {
        struct webhook webhook;
        bench_parse_edited("BOOKING_REQUESTED.json", "2026-03-12T14:00:00Z", STARTS[i],
                           WEBHOOK_EVENT, &webhook);
        assert_int_equal(webhook.event.start_s, 1773324000);
    }
}

#define EMAIL "\"email\":{\"label\":\"email_address\",\"value\":\"jonas.weber@example.com\","

static void
test_email_is_normalised(void **state)
{
    struct webhook webhook;
    (void)state;
    bench_parse_edited("BOOKING_REQUESTED.json", EMAIL,
                       "\"email\":{\"value\":\" Jonas.WEBER+Club@Example.COM\\n\",", WEBHOOK_EVENT,
                       &webhook);
    assert_string_equal(webhook.event.account, "jonas.weber+club@example.com");
    assert_string_equal(webhook.event.email, "jonas.weber+club@example.com");
    bench_parse_edited("BOOKING_REQUESTED.json", EMAIL,
                       "\"email\":{\"value\":\"J\\u00d6RG@K\xc3\xb6ln.DE\",", WEBHOOK_EVENT,
                       &webhook);
    assert_string_equal(webhook.event.account, "j\xc3\x96rg@k\xc3\xb6ln.de");
    bench_parse_edited("BOOKING_CANCELLED.json", "\"cancelledBy\":\"jonas.weber@example.com\"",
                       "\"cancelledBy\":\"Nora@Example.COM\"", WEBHOOK_EVENT, &webhook);
    assert_string_equal(webhook.event.cancelled_by, "nora@example.com");
}

/* responses tell the booker; with seats the first attendee is somebody else. */
static void
test_email_before_attendees(void **state)
{
    struct webhook webhook;
    (void)state;
    bench_parse_edited("BOOKING_REQUESTED.json",
                       "\"attendees\":[{\"email\":\"jonas.weber@example.com\"",
                       "\"attendees\":[{\"email\":\"first@example.com\"", WEBHOOK_EVENT, &webhook);
    assert_string_equal(webhook.event.account, JONAS);
}

static void
test_attendees_instead_of_responses(void **state)
{
    static const char *const WITHOUT[] = {
        "\"email\":{\"label\":\"email_address\",",
        "\"email\":{\"value\":null,",
        "\"email\":{\"value\":7,",
        "\"email\":{\"value\":{\"value\":\"x@example.com\"},",
        "\"emial\":{\"value\":\"x@example.com\",",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(WITHOUT); i++) {
        struct webhook webhook;
        char *body = bench_sample("BOOKING_REQUESTED.json");
        char *edited = unit_replace(body, EMAIL, WITHOUT[i]);
        char *again = unit_replace(edited, "\"attendees\":[{\"email\":\"jonas.weber@example.com\"",
                                   "\"attendees\":[{\"email\":\"First@example.com\"");
        bench_parse(WITHOUT[i], again, WEBHOOK_EVENT, &webhook);
        assert_string_equal(webhook.event.account, "first@example.com");
        free(again);
        free(edited);
        free(body);
    }
}

/* What is no address leaves nothing behind: the header promises "". */
static void
test_bad_addresses_are_empty(void **state)
{
    struct webhook webhook;
    (void)state;
    bench_parse_edited("BOOKING_CANCELLED.json", "\"cancelledBy\":\"jonas.weber@example.com\"",
                       "\"cancelledBy\":\"Jonas Weber\"", WEBHOOK_EVENT, &webhook);
    assert_string_equal(webhook.event.cancelled_by, "");
    bench_parse_edited("BOOKING_CANCELLED.json", EMAIL, "\"email\":{\"value\":\"Jonas Weber\",",
                       WEBHOOK_EVENT, &webhook);
    assert_string_equal(webhook.event.account, "");
    assert_string_equal(webhook.event.email, "");
}

static void
test_requires_confirmation(void **state)
{
    static const struct {
        const char *word;
        bool requires;
    } ROWS[] = { { "true", true }, { "false", false }, { "null", false } };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct webhook webhook;
        char member[64];
        (void)snprintf(member, sizeof member, "\"requiresConfirmation\":%s", ROWS[i].word);
        bench_parse_edited("BOOKING_REQUESTED.json", "\"requiresConfirmation\":true", member,
                           WEBHOOK_EVENT, &webhook);
        assert_int_equal(webhook.event.requires_confirmation, ROWS[i].requires);
    }
}

static void
test_nulls_are_absent(void **state)
{
    struct webhook webhook;
    (void)state;
    bench_parse_edited("BOOKING_CANCELLED.json", "\"cancelledBy\":\"jonas.weber@example.com\"",
                       "\"cancelledBy\":null,\"rescheduleUid\":null,\"attendeeSeatId\":null",
                       WEBHOOK_EVENT, &webhook);
    assert_string_equal(webhook.event.cancelled_by, "");
    assert_string_equal(webhook.event.reschedule_uid, "");
    assert_string_equal(webhook.event.id, "48213");
}

/* ---- A flattened payload, as custom templates make it ---- */

static void
test_flat_payload(void **state)
{
    static const char BODY[] =
        "{\"triggerEvent\":\"BOOKING_REQUESTED\",\"createdAt\":\"2026-03-09T08:15:30.412Z\","
        "\"bookingId\":48213,\"uid\":\"" U1 "\",\"eventTypeId\":1207,"
        "\"startTime\":\"2026-03-12T14:00:00Z\",\"endTime\":\"2026-03-12T15:00:00Z\","
        "\"requiresConfirmation\":true,\"metadata\":{\"memberId\":\"BC-0042\"},"
        "\"responses\":{\"email\":{\"value\":\"" JONAS "\"}}}";
    struct booking_event wanted = EVENTS[0].event;
    struct webhook webhook;
    (void)state;
    bench_parse("flat", BODY, WEBHOOK_EVENT, &webhook);
    wanted.answers = "{\"email\":\"" JONAS "\"}";
    check_same_event("flat", &webhook.event, &wanted);
    bench_parse("PING, flat", "{\"triggerEvent\":\"PING\"}", WEBHOOK_PING, &webhook);
}

static void
test_white_space_around(void **state)
{
    struct webhook webhook;
    char *body = bench_sample("BOOKING_REQUESTED.json");
    size_t size = strlen(body) + 16;
    char *padded = malloc(size);
    (void)state;
    assert_non_null(padded);
    (void)snprintf(padded, size, " \r\n\t%s\n \t\r\n", body);
    bench_parse("padded", padded, WEBHOOK_EVENT, &webhook);
    check_same_event("padded", &webhook.event, &EVENTS[0].event);
    free(padded);
    free(body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_events),
        cmocka_unit_test(test_sample_others),
        cmocka_unit_test(test_other_triggers),
        cmocka_unit_test(test_long_trigger_is_cut),
        cmocka_unit_test(test_same_instants),
        cmocka_unit_test(test_email_is_normalised),
        cmocka_unit_test(test_email_before_attendees),
        cmocka_unit_test(test_attendees_instead_of_responses),
        cmocka_unit_test(test_bad_addresses_are_empty),
        cmocka_unit_test(test_requires_confirmation),
        cmocka_unit_test(test_nulls_are_absent),
        cmocka_unit_test(test_flat_payload),
        cmocka_unit_test(test_white_space_around),
    };
    return cmocka_run_group_tests(tests, bench_set_up, bench_tear_down);
}
