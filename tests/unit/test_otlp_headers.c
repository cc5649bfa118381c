#include "worker/otlp_headers.h"

#include <string.h>

#include "tests/unit/unit.h"

static void
test_lines(void **state)
{
    static const struct {
        const char *text;
        const char *lines[4];
    } CASES[] = {
        { "", { NULL } },
        { "a=b", { "a: b" } },
        { "api-key=s3cret", { "api-key: s3cret" } },
        { "a=b,Authorization=Basic%20dTpw%3D", { "a: b", "Authorization: Basic dTpw=" } },
        { "a=b=c,d=", { "a: b=c", "d: " } },
        { "a=1%2C2,b=%25%7e%7E", { "a: 1,2", "b: %~~" } },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        check(otlp_headers_are_valid(CASES[i].text), "\"%s\" is refused", CASES[i].text);
        struct otlp_headers *headers = otlp_headers_new(CASES[i].text);
        assert_non_null(headers);
        const char *const *lines = otlp_headers_lines(headers);
        assert_string_equal(*lines++, "Content-Type: application/json");
        for (size_t j = 0; CASES[i].lines[j] != NULL; j++) {
            assert_non_null(*lines);
            assert_string_equal(*lines++, CASES[i].lines[j]);
        }
        assert_null(*lines);
        otlp_headers_free(headers);
    }
}

static void
test_what_is_refused(void **state)
{
    static const char *const BAD[] = { "a",         ",",        "=b",         "a=b,",
                                       ",a=b",      "a=b,,c=d", "a b=c",      "a:b=c",
                                       "a=%0d%0ax", "a=%0A",    "a=%",        "a=%4",
                                       "a=%4,b=c",  "a=%zz",    "a=\r\nb: c", "a=\xc3\xa4",
                                       "a=%C3%A4",  "a=%00" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        check(!otlp_headers_are_valid(BAD[i]), "\"%s\" is taken", BAD[i]);
    }
    char many[OTLP_HEADERS_MOST * 4 + 8] = "";
    for (size_t i = 0; i < OTLP_HEADERS_MOST; i++) {
        strncat(many, i > 0 ? ",a=b" : "a=b", sizeof many - strlen(many) - 1);
    }
    assert_true(otlp_headers_are_valid(many));
    strncat(many, ",a=b", sizeof many - strlen(many) - 1);
    assert_false(otlp_headers_are_valid(many));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
