/* Lists of bookings: how they are asked for, and how their rows are read. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "worker/calcom_dialect.h"
#include "worker/calcom_json.h"

#define BASE "https://cal.example.com/api/v0"
#define ROWS 8

/* ---- Asking ---- */

static void
check_url(const struct calcom_dialect *dialect, size_t skip, int64_t since, const char *url)
{
    static struct calcom_written written;
    const struct calcom_list list = { skip, since };
    const struct calcom_parts parts = { .call = CALCOM_LIST,
                                        .base_url = BASE,
                                        .key = "cal_key",
                                        .id = "",
                                        .uid = "",
                                        .reason = "",
                                        .seat = "",
                                        .list = &list };
    memset(&written, 'z', sizeof written);
    assert_true(dialect->write(&parts, &written));
    assert_true(written.method == HTTP_METHOD_GET && written.body[0] == '\0');
    assert_string_equal(written.url, url);
}

static void
test_urls(void **state)
{
    (void)state;
    check_url(&CALCOM_V2, 0, 0,
              BASE "/bookings?status=unconfirmed&take=100&skip=0&sortCreated=asc");
    check_url(&CALCOM_V2, 137, 0,
              BASE "/bookings?status=unconfirmed&take=100&skip=137&sortCreated=asc");
    check_url(&CALCOM_V2, 100, INT64_C(1773324000123),
              BASE "/bookings?status=upcoming&take=100&skip=100&sortCreated=asc"
                   "&afterCreatedAt=2026-03-12T14%3A00%3A00.123Z");
    check_url(&CALCOM_V1, 0, 0, BASE "/bookings?apiKey=cal_key&status=upcoming&take=100&page=1");
    check_url(&CALCOM_V1, 200, 5, BASE "/bookings?apiKey=cal_key&status=upcoming&take=100&page=3");
}

/* ---- Reading ---- */

/* What was handed over; the pointers' texts are copied. */
struct heap {
    struct calcom_row rows[ROWS];
    char answers[ROWS][256], metadata[ROWS][256];
    size_t count;
};

static void
on_row(const struct calcom_row *row, void *arg)
{
    struct heap *heap = arg;
    assert_true(heap->count < ROWS);
    heap->rows[heap->count] = *row;
    (void)snprintf(heap->answers[heap->count], sizeof heap->answers[0], "%s", row->event.answers);
    (void)snprintf(heap->metadata[heap->count], sizeof heap->metadata[0], "%s",
                   row->event.metadata);
    heap->count++;
}

static void
read_rows(const struct calcom_dialect *dialect, const char *account_field, const char *json,
          struct heap *heap)
{
    struct json_object *rows = json_tokener_parse(json);
    assert_non_null(rows);
    memset(heap, 0, sizeof *heap);
    calcom_read_rows(dialect, account_field, rows, on_row, heap);
    (void)json_object_put(rows);
}

#define V2_HEAD                                                                                    \
    "\"id\":48213,\"uid\":\"kWq3\",\"status\":\"pending\",\"start\":\"2026-03-12T14:00:00.000Z\"," \
    "\"end\":\"2026-03-12T15:00:00Z\",\"eventTypeId\":1207,"                                       \
    "\"createdAt\":\"2026-03-01T10:00:00.500Z\""

static void
test_v2_row(void **state)
{
    struct heap heap;
    (void)state;
    read_rows(&CALCOM_V2, "",
              "[{" V2_HEAD ",\"rescheduledFromUid\":\"old-1\",\"metadata\":{\"page\":\"x\"},"
              "\"attendees\":[{\"email\":\"First@example.com\"}],"
              "\"bookingFieldsResponses\":{\"email\":\" Ann@Example.COM \",\"name\":\"Ann\"}}]",
              &heap);
    assert_int_equal(heap.count, 1);
    const struct booking_event *event = &heap.rows[0].event;
    assert_int_equal(heap.rows[0].status, STATUS_PENDING);
    assert_int_equal(event->kind, BOOKING_REQUESTED);
    assert_string_equal(event->id, "48213");
    assert_string_equal(event->uid, "kWq3");
    assert_string_equal(event->email, "ann@example.com");
    assert_string_equal(event->account, "ann@example.com");
    assert_string_equal(event->event_type, "1207");
    assert_string_equal(event->reschedule_uid, "old-1");
    assert_true(event->created_wall_ms == INT64_C(1772359200500));
    assert_int_equal(event->start_s, 1773324000);
    assert_int_equal(event->end_s, 1773327600);
    assert_true(event->requires_confirmation);
    assert_false(event->seats || event->paid || heap.rows[0].unpaid || heap.rows[0].no_account);
    assert_int_equal(event->occurrences, 0);
    assert_string_equal(heap.answers[0], "{\"email\":\" Ann@Example.COM \",\"name\":\"Ann\"}");
    assert_string_equal(heap.metadata[0], "{\"page\":\"x\"}");
}

static void
test_v1_row(void **state)
{
    struct heap heap;
    (void)state;
    read_rows(&CALCOM_V1, "",
              "[{\"id\":7,\"uid\":\"u7\",\"status\":\"PENDING\",\"eventTypeId\":12,"
              "\"startTime\":\"2026-03-12T14:00:00.000Z\",\"endTime\":\"2026-03-12T15:00:00.000Z\","
              "\"responses\":{\"email\":\"ann@example.com\"},\"fromReschedule\":\"u6\","
              "\"metadata\":null,\"payment\":[{\"success\":true},{\"success\":false}]},"
              "{\"id\":8,\"uid\":\"u8\",\"status\":\"ACCEPTED\",\"eventTypeId\":12,"
              "\"startTime\":\"2026-03-12T14:00:00.000Z\",\"attendees\":[{\"email\":\"b@x.org\"}],"
              "\"payment\":[{\"success\":true}]}]",
              &heap);
    assert_int_equal(heap.count, 2);
    assert_string_equal(heap.rows[0].event.id, "7");
    assert_string_equal(heap.rows[0].event.reschedule_uid, "u6");
    assert_int_equal(heap.rows[0].event.created_wall_ms, 0);
    assert_true(heap.rows[0].unpaid);
    assert_int_equal(heap.rows[1].status, STATUS_ACCEPTED);
    assert_string_equal(heap.rows[1].event.account, "b@x.org");
    assert_false(heap.rows[1].unpaid);
}

static void
test_seats(void **state)
{
    struct heap heap;
    (void)state;
    read_rows(&CALCOM_V2, "metadata.memberId",
              "[{" V2_HEAD ",\"attendees\":["
              "{\"seatUid\":\"s-1\",\"email\":\"a@x.org\",\"metadata\":{\"memberId\":\"M1\"},"
              "\"bookingFieldsResponses\":{\"email\":\"A@x.org\"}},"
              "{\"seatUid\":\"s-2\",\"email\":\"b@x.org\",\"metadata\":{\"memberId\":22}},"
              "{\"seatUid\":\"no good\",\"email\":\"c@x.org\"}]}]",
              &heap);
    assert_int_equal(heap.count, 2);
    assert_string_equal(heap.rows[0].event.id, "48213:s-1");
    assert_string_equal(heap.rows[0].event.seat, "s-1");
    assert_true(heap.rows[0].event.seats);
    assert_string_equal(heap.rows[0].event.email, "a@x.org");
    assert_string_equal(heap.rows[0].event.account, "m1");
    assert_string_equal(heap.rows[1].event.id, "48213:s-2");
    assert_string_equal(heap.rows[1].event.account, "22");
}

static void
test_series(void **state)
{
    static const char ROW[] = "{" V2_HEAD ",\"recurringBookingUid\":\"%s\","
                              "\"attendees\":[{\"email\":\"a@x.org\"}]}";
    char row[512], json[4096] = "[";
    struct heap heap;
    (void)state;
    static const char *const NAMES[] = { "r1", "r1", "r2", "r1" };
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        (void)snprintf(row, sizeof row, "%s", ROW);
        char *at = strstr(row, "%s");
        assert_non_null(at);
        memcpy(at, NAMES[i], 2);
        size_t used = strlen(json);
        (void)snprintf(json + used, sizeof json - used, "%s%s", i > 0 ? "," : "", row);
    }
    size_t used = strlen(json);
    (void)snprintf(json + used, sizeof json - used, "]");
    read_rows(&CALCOM_V2, "", json, &heap);
    assert_int_equal(heap.count, 4);
    assert_int_equal(heap.rows[0].event.occurrences, 3);
    assert_int_equal(heap.rows[2].event.occurrences, 2);
}

static void
test_accounts(void **state)
{
    static const struct {
        const char *field, *account;
        bool no_account;
    } FIELDS[] = {
        { "responses.number.value", "m-7", false },
        { "responses.number", "m-7", false },
        { "responses.deep.value.id", "9", false },
        { "responses.none.value", "", false },
        { "metadata.memberId", "m-8", false },
        { "metadata.a.b", "10", false },
        { "metadata.list", "", false },
        { "organizer.id", "", true },
        { "title", "", true },
    };
    struct heap heap;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(FIELDS); i++) {
        read_rows(&CALCOM_V2, FIELDS[i].field,
                  "[{" V2_HEAD ",\"bookingFieldsResponses\":{\"email\":\"a@x.org\","
                  "\"number\":\"M-7\",\"deep\":{\"value\":{\"id\":9}}},"
                  "\"metadata\":{\"memberId\":\"M-8\",\"a\":{\"b\":10},\"list\":[1]}}]",
                  &heap);
        check(heap.count == 1 && strcmp(heap.rows[0].event.account, FIELDS[i].account) == 0,
              "%s: %s", FIELDS[i].field, heap.rows[0].event.account);
        check(heap.rows[0].no_account == FIELDS[i].no_account, "%s", FIELDS[i].field);
        assert_string_equal(heap.rows[0].event.email, "a@x.org");
    }
}

/* What is no booking, or not enough of one, is left out, and its neighbours are read. */
static void
test_rows_that_are_none(void **state)
{
    static const char *const ROWS_OF[] = {
        "7",
        "null",
        "[]",
        "{}",
        "\"x\"",
        "{\"id\":\"7\",\"uid\":\"u\",\"status\":\"pending\",\"start\":\"2026-03-12T14:00:00Z\","
        "\"eventTypeId\":1,\"attendees\":[{\"email\":\"a@x.org\"}]}",
        "{\"id\":7,\"status\":\"pending\",\"start\":\"2026-03-12T14:00:00Z\",\"eventTypeId\":1,"
        "\"attendees\":[{\"email\":\"a@x.org\"}]}",
        "{\"id\":7,\"uid\":\"u\",\"status\":\"on the moon\",\"start\":\"2026-03-12T14:00:00Z\","
        "\"eventTypeId\":1,\"attendees\":[{\"email\":\"a@x.org\"}]}",
        "{\"id\":7,\"uid\":\"u\",\"status\":\"pending\",\"start\":\"soon\",\"eventTypeId\":1,"
        "\"attendees\":[{\"email\":\"a@x.org\"}]}",
        "{\"id\":7,\"uid\":\"u\",\"status\":\"pending\",\"start\":\"2026-03-12T14:00:00Z\","
        "\"eventTypeId\":1,\"attendees\":[{\"email\":\"nobody at all\"}]}",
        "{\"id\":7,\"uid\":\"u\",\"status\":\"pending\",\"start\":\"2026-03-12T14:00:00Z\","
        "\"eventTypeId\":1}",
    };
    char json[2048];
    struct heap heap;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS_OF); i++) {
        (void)snprintf(json, sizeof json,
                       "[%s,{" V2_HEAD ",\"attendees\":[{\"email\":\"b@x.org\"}]}]", ROWS_OF[i]);
        read_rows(&CALCOM_V2, "", json, &heap);
        check(heap.count == 1 && strcmp(heap.rows[0].event.id, "48213") == 0, "%zu rows of %s",
              heap.count, ROWS_OF[i]);
    }
}

static void
test_fate(void **state)
{
    struct json_object *booking =
        json_tokener_parse("{\"cancelledByEmail\":\"Ann@x.org\",\"rescheduledToUid\":\"u-2\","
                           "\"updatedAt\":\"2026-03-12T14:00:00.000Z\"}");
    struct calcom_answer answer = { 0 };
    (void)state;
    calcom_read_fate(&CALCOM_V2, booking, &answer);
    assert_string_equal(answer.cancelled_by, "ann@x.org");
    assert_string_equal(answer.rescheduled_to, "u-2");
    assert_true(answer.changed_wall_ms == INT64_C(1773324000000));
    calcom_read_fate(&CALCOM_V1, booking, &answer);
    assert_string_equal(answer.cancelled_by, "");
    calcom_read_fate(&CALCOM_V2, NULL, &answer);
    assert_true(answer.changed_wall_ms == 0 && answer.rescheduled_to[0] == '\0');
    (void)json_object_put(booking);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_v2_row),
        cmocka_unit_test(test_v1_row),
        cmocka_unit_test(test_seats),
        cmocka_unit_test(test_series),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_rows_that_are_none),
        cmocka_unit_test(test_fate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
