#include "worker/trace.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store.h"
#include "tests/unit/unit.h"

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN   "00f067aa0ba902b7"
#define PARENT "00-" TRACE "-" SPAN "-01"

static const struct trace_booking BOOKING = { "tollgate", "48213", "uid-1" };

/* ---- Which trace ---- */

static void
test_a_webhooks_trace_goes_on(void **state)
{
    struct trace trace;
    struct traceparent sent;
    char header[TRACEPARENT_SIZE], again[TRACEPARENT_SIZE];
    (void)state;
    for (int exporting = 0; exporting < 2; exporting++) {
        trace_begin(&trace, PARENT, &BOOKING, exporting == 1);
        assert_string_equal(trace.id, TRACE);
        assert_string_equal(trace.parent_span, SPAN);
        assert_int_equal(trace.recorded, exporting);
        trace_call_header(&trace, CALCOM_CONFIRM, 1000, header);
        assert_true(traceparent_parse(header, &sent));
        assert_string_equal(sent.trace_id, TRACE);
        assert_string_not_equal(sent.span_id, SPAN);
        assert_true(sent.sampled);
        trace_call_header(&trace, CALCOM_CONFIRM, 1000, again);
        assert_string_equal(header, again);
        trace_call_header(&trace, CALCOM_LOOK, 1000, again);
        assert_string_not_equal(header, again);
        trace_call_header(&trace, CALCOM_CONFIRM, 1001, again);
        assert_string_not_equal(header, again);
    }
}

static void
test_what_its_beginner_does_not_record_is_not_recorded(void **state)
{
    struct trace trace;
    char header[TRACEPARENT_SIZE];
    (void)state;
    trace_begin(&trace, "00-" TRACE "-" SPAN "-00", &BOOKING, true);
    assert_string_equal(trace.id, TRACE);
    assert_false(trace.recorded);
    trace_call_header(&trace, CALCOM_CONFIRM, 1000, header);
    assert_string_equal(header + TRACEPARENT_SIZE - 4, "-00");
}

static void
test_a_trace_of_our_own(void **state)
{
    static const struct trace_booking OTHERS[] = { { "other", "48213", "uid-1" },
                                                   { "tollgate", "48214", "uid-1" },
                                                   { "tollgate", "48213", "uid-2" } };
    struct trace trace, again;
    char header[TRACEPARENT_SIZE];
    (void)state;
    trace_begin(&trace, "", &BOOKING, false);
    trace_call_header(&trace, CALCOM_CONFIRM, 1000, header);
    assert_string_equal(header, "");
    assert_false(trace.recorded);
    /* Whoever has the booking finds the same. */
    trace_begin(&trace, "nonsense", &BOOKING, true);
    trace_begin(&again, "", &BOOKING, true);
    assert_int_equal(strlen(trace.id), TRACE_ID_SIZE - 1);
    assert_string_equal(trace.id, again.id);
    assert_string_equal(trace.parent_span, "");
    assert_true(trace.recorded);
    for (size_t i = 0; i < COUNT_OF(OTHERS); i++) {
        trace_begin(&again, "", &OTHERS[i], true);
        assert_string_not_equal(trace.id, again.id);
    }
}

/* ---- Its spans ---- */

static struct store_settled
full(void)
{
    return (struct store_settled){
        .traced = true,
        .received_wall_ms = 1000,
        .queued_wall_ms = 3000,
        .decided_wall_ms = 3500,
        .settled_wall_ms = 9000,
        .decision = "accept",
        .cost = 2,
        .attempts = 1,
        .takes = 2,
        .calls = "4000 500 confirm 502 transient bad gateway\n6000 1000 look 200 done \n"
                 "7500 700 confirm 0 unknown timed out",
    };
}

static struct json_object *
write_spans(const struct trace *trace, const struct store_settled *settled)
{
    char *spans = trace_write(trace, &BOOKING, "accepted", settled), *list = NULL;
    assert_non_null(spans);
    assert_true(asprintf(&list, "[%s]", spans) > 0);
    struct json_object *parsed = json_tokener_parse(list);
    check(parsed != NULL, "no JSON: %s", list);
    free(spans);
    free(list);
    return parsed;
}

static const char *
text_of(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(object, name, &value) ? json_object_get_string(value) : "";
}

/* As `name from to`, in ms, one line each. */
static void
describe(struct json_object *list, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *span = json_object_array_get_idx(list, i);
        size_t used = strlen(out);
        (void)snprintf(out + used, size - used, "%s %lld %lld\n", text_of(span, "name"),
                       strtoll(text_of(span, "startTimeUnixNano"), NULL, 10) / 1000000,
                       strtoll(text_of(span, "endTimeUnixNano"), NULL, 10) / 1000000);
    }
}

static void
check_spans(const struct store_settled *settled, const char *wanted)
{
    struct trace trace;
    char found[1024];
    trace_begin(&trace, PARENT, &BOOKING, true);
    struct json_object *list = write_spans(&trace, settled);
    describe(list, found, sizeof found);
    assert_string_equal(found, wanted);
    (void)json_object_put(list);
}

static void
test_a_booking_as_spans(void **state)
{
    const struct store_settled settled = full();
    (void)state;
    check_spans(&settled,
                "booking 1000 9000\nreceived 1000 3000\nqueued 3000 3500\ndecided 3500 3500\n"
                "confirm 4000 4500\nlook 6000 7000\nconfirm 7500 8200\nsettled 8200 9000\n");
}

static void
test_times_that_tell_less(void **state)
{
    struct store_settled settled = full();
    (void)state;
    /* Named again after it was decided. */
    settled.queued_wall_ms = 5000;
    settled.calls = "";
    check_spans(&settled,
                "booking 1000 9000\nreceived 1000 1000\nqueued 1000 3500\ndecided 3500 3500\n"
                "settled 9000 9000\n");
    /* Settled by what was seen when its series was looked up: never decided. */
    settled.queued_wall_ms = settled.decided_wall_ms = 0;
    settled.calls = "nonsense\n4000 500 look 404 gone \n";
    check_spans(&settled,
                "booking 1000 9000\nreceived 1000 1000\nlook 4000 4500\nsettled 4500 9000\n");
    /* A clock that is ahead. */
    settled.calls = "9500 100 look 404 gone ";
    check_spans(&settled,
                "booking 1000 9000\nreceived 1000 1000\nlook 9500 9600\nsettled 9000 9000\n");
}

static void
test_what_a_person_had_tried_again_begins_anew(void **state)
{
    struct store_settled settled = full();
    (void)state;
    settled.requeued_wall_ms = 5000;
    check_spans(&settled,
                "booking 5000 9000\nlook 6000 7000\nconfirm 7500 8200\nsettled 8200 9000\n");
}

static void
test_spans_hang_together(void **state)
{
    const struct store_settled settled = full();
    struct trace trace;
    char header[TRACEPARENT_SIZE];
    (void)state;
    trace_begin(&trace, PARENT, &BOOKING, true);
    struct json_object *list = write_spans(&trace, &settled);
    const char *root = text_of(json_object_array_get_idx(list, 0), "spanId");
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *span = json_object_array_get_idx(list, i);
        assert_string_equal(text_of(span, "traceId"), TRACE);
        assert_string_equal(text_of(span, "parentSpanId"), i == 0 ? SPAN : root);
        assert_int_equal(strlen(text_of(span, "spanId")), 16);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(text_of(span, "spanId"),
                                    text_of(json_object_array_get_idx(list, j), "spanId"));
        }
    }
    /* A call's span is the one that was sent along. */
    trace_call_header(&trace, CALCOM_LOOK, 6000, header);
    assert_true(unit_contains(header, text_of(json_object_array_get_idx(list, 5), "spanId")));
    const char *text = json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN);
    assert_true(unit_contains(text,
                              "{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":"
                              "\"502\"}}"));
    assert_true(unit_contains(text, "\"status\":{\"code\":2,\"message\":\"transient\"}"));
    assert_true(unit_contains(text, "{\"key\":\"tollgate.booking\",\"value\":{\"stringValue\":"
                                    "\"48213\"}}"));
    assert_false(unit_contains(text, "bad gateway"));
    (void)json_object_put(list);
    /* One that begins here has no parent. */
    trace_begin(&trace, "", &BOOKING, true);
    list = write_spans(&trace, &settled);
    assert_string_equal(text_of(json_object_array_get_idx(list, 0), "parentSpanId"), "");
    (void)json_object_put(list);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_webhooks_trace_goes_on),
        cmocka_unit_test(test_what_its_beginner_does_not_record_is_not_recorded),
        cmocka_unit_test(test_a_trace_of_our_own),
        cmocka_unit_test(test_a_booking_as_spans),
        cmocka_unit_test(test_times_that_tell_less),
        cmocka_unit_test(test_what_a_person_had_tried_again_begins_anew),
        cmocka_unit_test(test_spans_hang_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
