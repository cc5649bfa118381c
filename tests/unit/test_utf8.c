#include "common/utf8.h"

#include <string.h>

#include "tests/unit/unit.h"

/* Writes a code point as RFC 3629 says, also one that it does not allow. Gives its length. */
static size_t
encode(unsigned point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

static void
test_every_code_point(void **state)
{
    (void)state;
    for (unsigned point = 0; point < 0x1fffff; point++) {
        char bytes[4];
        size_t length = encode(point, bytes);
        bool allowed = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
        check(utf8_length(bytes, length) == (allowed ? length : 0), "U+%04X", point);
        check(utf8_is_valid(bytes, length) == allowed, "U+%04X", point);
        for (size_t cut = 1; cut < length; cut++) {
            check(utf8_length(bytes, cut) == 0, "%zu bytes of U+%04X", cut, point);
        }
    }
}

/* Of all sequences of three bytes, those that begin with a character are as many as there are. */
static void
test_every_three_bytes(void **state)
{
    size_t seen[5] = { 0 };
    (void)state;
    for (unsigned bits = 0; bits < 0x1000000; bits++) {
        const char bytes[] = { (char)(bits >> 16), (char)(bits >> 8), (char)bits };
        seen[utf8_length(bytes, sizeof bytes)]++;
    }
    assert_int_equal(seen[1], 0x80 * 0x10000);
    assert_int_equal(seen[2], (0x800 - 0x80) * 0x100);
    assert_int_equal(seen[3], 0x10000 - 0x800 - 0x800);
    assert_int_equal(seen[4], 0);
}

static void
test_overlong(void **state)
{
    static const char *const BYTES[] = {
        "\xc0\x80",         "\xc1\xbf",         "\xe0\x80\x80",         "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BYTES); i++) {
        check(utf8_length(BYTES[i], strlen(BYTES[i])) == 0, "row %zu", i);
        check(!utf8_is_valid(BYTES[i], strlen(BYTES[i])), "row %zu", i);
    }
}

/* One bad byte anywhere in a text of any length: nothing is skipped. */
static void
test_bad_byte_anywhere(void **state)
{
    char text[40];
    (void)state;
    assert_true(utf8_is_valid("", 0));
    for (size_t size = 1; size <= sizeof text; size++) {
        for (size_t at = 0; at < size; at++) {
            memset(text, 'x', sizeof text);
            check(utf8_is_valid(text, size), "%zu of x", size);
            text[at] = '\x80';
            check(!utf8_is_valid(text, size), "stray byte at %zu of %zu", at, size);
            text[at] = '\xc3'; /* followed by x or by nothing */
            check(!utf8_is_valid(text, size), "half a character at %zu of %zu", at, size);
            if (at + 1 < size) {
                text[at + 1] = '\xbc';
                check(utf8_is_valid(text, size), "a character at %zu of %zu", at, size);
            }
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_every_three_bytes),
        cmocka_unit_test(test_overlong),
        cmocka_unit_test(test_bad_byte_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
