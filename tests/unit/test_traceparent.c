#include "common/traceparent.h"

#include <string.h>

#include "tests/unit/unit.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"

static void
test_good_ones(void **state)
{
    struct traceparent parent;
    char text[TRACEPARENT_SIZE];
    (void)state;
    assert_true(traceparent_parse("00-" TRACE "-" SPAN "-01", &parent));
    assert_string_equal(parent.trace_id, TRACE);
    assert_string_equal(parent.span_id, SPAN);
    assert_true(parent.sampled);
    traceparent_write(&parent, text);
    assert_string_equal(text, "00-" TRACE "-" SPAN "-01");
    assert_true(traceparent_parse("00-" TRACE "-" SPAN "-00", &parent));
    assert_false(parent.sampled);
    traceparent_write(&parent, text);
    assert_string_equal(text, "00-" TRACE "-" SPAN "-00");
    /* Other flags mean nothing in this version, and are not sent on. */
    assert_true(traceparent_parse("00-" TRACE "-" SPAN "-ff", &parent));
    assert_true(parent.sampled);
    assert_true(traceparent_parse("00-" TRACE "-" SPAN "-fe", &parent));
    assert_false(parent.sampled);
}

static void
test_bad_ones_change_nothing(void **state)
{
    static const char *const BAD[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN,
        "00-" TRACE "-" SPAN "-",
        "00-" TRACE "-" SPAN "-1",
        "00-" TRACE "-" SPAN "-011",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-0g",
        "00-" TRACE "-" SPAN "-0A",
        "01-" TRACE "-" SPAN "-01",
        "ff-" TRACE "-" SPAN "-01",
        "0 -" TRACE "-" SPAN "-01",
        " 00-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-01 ",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-" SPAN "-010",
        "00-4bf92f3577b34da6a3ce929d0e0e47366-0f067aa0ba902b7-01",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        struct traceparent parent = { .trace_id = "before" };
        check(!traceparent_parse(BAD[i], &parent), "\"%s\" was taken", BAD[i]);
        assert_string_equal(parent.trace_id, "before");
    }
    struct traceparent parent;
    assert_false(traceparent_parse(NULL, &parent));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_ones),
        cmocka_unit_test(test_bad_ones_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
