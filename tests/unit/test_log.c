#include "common/log.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static char log_path[UNIT_PATH_SIZE];

static int
set_up(void **state)
{
    (void)state;
    unit_make_file(log_path);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    (void)unlink(log_path);
    return log_open("unit", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, "") ? 0 : -1;
}

/* Begins with an empty file. log_open is meant for a program's start and keeps the old file open,
 * so it is called only for another form. */
static void
start(enum log_level level, enum log_format format)
{
    static bool opened;
    static enum log_level last_level;
    static enum log_format last_format;
    assert_int_equal(truncate(log_path, 0), 0);
    if (!opened || level != last_level || format != last_format) {
        assert_true(log_open("unit", level, format, log_path));
    }
    opened = true;
    last_level = level;
    last_format = format;
}

/* What was logged since start, owned by the caller; always whole lines. */
static char *
logged(void)
{
    size_t size;
    char *text = unit_read_file(log_path, &size);
    assert_int_equal(strlen(text), size);
    assert_true(size == 0 || text[size - 1] == '\n');
    return text;
}

static size_t
count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

/* Fails unless exactly one line was logged, which ends in `end`. */
static void
check_one_line_ends(const char *end)
{
    char *text = logged();
    size_t length = strlen(text), wanted = strlen(end);
    check(count_lines(text) == 1, "%s", text);
    text[length - 1] = '\0';
    check(length > wanted && strcmp(text + length - 1 - wanted, end) == 0,
          "\"%s\" does not end in \"%s\"", text, end);
    free(text);
}

/* The one line that was logged as a JSON object; fails when it is none. The caller puts it. */
static struct json_object *
logged_json(void)
{
    char *text = logged();
    size_t length = strlen(text);
    check(count_lines(text) == 1, "%s", text);
    check(length <= LOG_LINE_SIZE, "%zu bytes", length);
    struct json_tokener *tokener = json_tokener_new();
    assert_non_null(tokener);
    /* Not strict: json-c 0.18 then refuses every non-ASCII letter. */
    json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *root = json_tokener_parse_ex(tokener, text, (int)length);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    json_tokener_free(tokener);
    for (size_t i = 0; i < length; i++) {
        text[i] = text[i] > '~' || text[i] < ' ' ? '?' : text[i];
    }
    check(error == json_tokener_success && json_object_is_type(root, json_type_object), "%s: ...%s",
          json_tokener_error_desc(error), text + (length > 80 ? length - 80 : 0));
    free(text);
    return root;
}

static void
check_member(struct json_object *root, const char *name, const char *value)
{
    struct json_object *member;
    check(json_object_object_get_ex(root, name, &member), "no member %s", name);
    check(json_object_is_type(member, json_type_string) &&
              strcmp(json_object_get_string(member), value) == 0,
          "%s is %s", name, json_object_to_json_string(member));
}

/* ---- logfmt ---- */

static void
test_form_of_a_line(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    log_info("listening", log_s("address", "0.0.0.0:8080"), log_i("threads", 4));
    char *text = logged();
    /* time=2026-03-12T14:00:00.000Z */
    assert_int_equal(strncmp(text, "time=20", 7), 0);
    assert_int_equal(text[28], 'Z');
    assert_string_equal(text + 29, " level=info program=unit msg=listening address=0.0.0.0:8080 "
                                   "threads=4\n");
    free(text);
}

static void
test_logfmt_escapes(void **state)
{
    static const struct {
        const char *value, *shown;
    } ROWS[] = {
        { "plain", "k=plain" },
        { "a.b-c_d:e/f@g", "k=a.b-c_d:e/f@g" },
        { "", "k=\"\"" },
        { "two words", "k=\"two words\"" },
        { "a=b", "k=\"a=b\"" },
        { "say \"hi\"", "k=\"say \\\"hi\\\"\"" },
        { "\"", "k=\"\\\"\"" },
        { "back\\slash", "k=\"back\\\\slash\"" },
        { "\\", "k=\"\\\\\"" },
        { "a\nb", "k=\"a\\u000ab\"" },
        { "a\r\nb", "k=\"a\\u000d\\u000ab\"" },
        { "\t", "k=\"\\u0009\"" },
        { "\x1b[31m", "k=\"\\u001b[31m\"" },
        { "\x7f", "k=\"\\u007f\"" },
        { "Gr\xc3\xbc\xc3\x9f"
          "e",
          "k=\"Gr\xc3\xbc\xc3\x9f"
          "e\"" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        start(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
        log_info("m", log_s("k", ROWS[i].value));
        check_one_line_ends(ROWS[i].shown);
    }
}

/* A value that looks like the end of its line and a new one, in both forms. */
static void
test_no_forged_line_or_field(void **state)
{
    static const char FORGED[] =
        "x\" level=error\ntime=2026-03-12T14:00:00.000Z level=error msg=bad\n"
        "{\"level\":\"error\"}\n\",\"admin\":\"yes";
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    log_warn(FORGED, log_s("email", FORGED));
    char *text = logged();
    assert_int_equal(count_lines(text), 1);
    /* Outside of quotes there are our fields and no other. */
    bool quoted = false;
    size_t fields = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (quoted && *c == '\\') {
            c++;
        } else if (*c == '"') {
            quoted = !quoted;
        } else if (!quoted && *c == '=') {
            fields++;
        }
    }
    assert_false(quoted);
    assert_int_equal(fields, 5);
    free(text);

    start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_warn(FORGED, log_s("email", FORGED));
    struct json_object *root = logged_json();
    assert_int_equal(json_object_object_length(root), 5);
    check_member(root, "level", "warn");
    check_member(root, "msg", FORGED);
    check_member(root, "email", FORGED);
    (void)json_object_put(root);
}

static void
test_numbers(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    log_info("m", log_i("least", INT64_MIN), log_i("most", INT64_MAX), log_i("zero", 0));
    check_one_line_ends(" least=-9223372036854775808 most=9223372036854775807 zero=0");
    start(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    log_info("m", log_s("none", NULL), log_i("n", -1));
    check_one_line_ends(" none=\"\" n=-1");
}

static void
test_levels(void **state)
{
    (void)state;
    for (enum log_level level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
        start(level, LOG_FORMAT_LOGFMT);
        log_debug("m");
        log_info("m");
        log_warn("m");
        log_error("m");
        char *text = logged();
        assert_int_equal(count_lines(text), LOG_LEVEL_ERROR - level + 1);
        assert_int_equal(unit_contains(text, "level=debug"), level <= LOG_LEVEL_DEBUG);
        assert_int_equal(unit_contains(text, "level=info"), level <= LOG_LEVEL_INFO);
        assert_int_equal(unit_contains(text, "level=warn"), level <= LOG_LEVEL_WARN);
        assert_true(unit_contains(text, "level=error"));
        free(text);
    }
}

/* ---- JSON ---- */

static void
test_json_line(void **state)
{
    struct json_object *member;
    (void)state;
    start(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
    log_debug("hello \"world\"", log_s("path", "C:\\x\n"), log_i("n", INT64_MIN),
              log_s("no", NULL));
    struct json_object *root = logged_json();
    check_member(root, "level", "debug");
    check_member(root, "program", "unit");
    check_member(root, "msg", "hello \"world\"");
    check_member(root, "path", "C:\\x\n");
    check_member(root, "no", "");
    assert_true(json_object_object_get_ex(root, "n", &member));
    assert_true(json_object_get_int64(member) == INT64_MIN);
    assert_true(json_object_object_get_ex(root, "time", &member));
    assert_int_equal(json_object_get_string_len(member), 24);
    (void)json_object_put(root);
}

static void
test_json_every_ascii_byte(void **state)
{
    (void)state;
    for (int byte = 1; byte < 128; byte++) {
        const char value[] = { 'a', (char)byte, 'b', '\0' };
        start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
        log_info("m", log_s("value", value), log_i("n", 7));
        struct json_object *root = logged_json();
        check_member(root, "value", value);
        (void)json_object_put(root);
    }
}

static void
test_json_keeps_utf8(void **state)
{
    static const char VALUE[] = "Gr\xc3\xbc\xc3\x9f \xe2\x80\x93 \xf0\x9f\x98\x80";
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_info("m", log_s("value", VALUE));
    struct json_object *root = logged_json();
    check_member(root, "value", VALUE);
    (void)json_object_put(root);
}

/* Bytes that are no UTF-8 (a proxy's header, a path) must not break the line. */
static void
test_json_of_bad_utf8(void **state)
{
    static const char *const VALUES[] = { "\xff", "a\x80z", "\xc3", "\xe2\x80", "\xc0\xaf" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(VALUES); i++) {
        start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
        log_info("m", log_s("value", VALUES[i]));
        (void)json_object_put(logged_json());
    }
}

/* ---- Overlong lines ---- */

/* Logs a value of `length` times `unit`, between two more fields. */
static void
log_long(const char *unit, size_t length)
{
    static char value[8 * LOG_LINE_SIZE];
    size_t used = 0, step = strlen(unit);
    for (size_t i = 0; i < length && used + step < sizeof value; i++) {
        memcpy(value + used, unit, step);
        used += step;
    }
    value[used] = '\0';
    log_info("m", log_s("before", "b"), log_s("value", value), log_i("number", 1234567),
             log_s("after", "done"));
}

static void
test_overlong_logfmt(void **state)
{
    (void)state;
    for (size_t length = LOG_LINE_SIZE - 300; length < LOG_LINE_SIZE + 50; length++) {
        start(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
        log_long("x", length);
        log_long("y z", length);
        char *text = logged();
        assert_int_equal(count_lines(text), 2);
        char *second = strchr(text, '\n') + 1;
        assert_true(second - text <= LOG_LINE_SIZE);
        assert_true(strlen(second) <= LOG_LINE_SIZE);
        assert_true(unit_contains(second, " before=b value=\"y z"));
        free(text);
    }
}

static void
check_overlong_json(const char *unit)
{
    size_t units = strlen(unit);
    for (size_t size = LOG_LINE_SIZE - 300; size < LOG_LINE_SIZE + 50; size++) {
        start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
        log_long(unit, size / units);
        struct json_object *root = logged_json();
        check_member(root, "level", "info");
        check_member(root, "before", "b");
        (void)json_object_put(root);
    }
}

static void
test_overlong_json(void **state)
{
    (void)state;
    check_overlong_json("x");
}

/* The cut must not fall into an escape: a lone \ would swallow the closing quote. */
static void
test_overlong_json_cut_in_an_escape(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    for (size_t extra = 0; extra < 8; extra++) {
        char pad[16];
        (void)snprintf(pad, sizeof pad, "%.*s", (int)extra, "xxxxxxxx");
        static char value[2 * LOG_LINE_SIZE];
        (void)snprintf(value, sizeof value, "%s", pad);
        memset(value + extra, extra % 2 == 0 ? '"' : '\n', LOG_LINE_SIZE);
        value[extra + LOG_LINE_SIZE] = '\0';
        start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
        log_info("m", log_s("value", value));
        (void)json_object_put(logged_json());
    }
}

static void
test_overlong_json_cut_in_a_character(void **state)
{
    static char value[2 * LOG_LINE_SIZE];
    (void)state;
    for (size_t extra = 0; extra < 4; extra++) {
        memset(value, 'x', extra);
        for (size_t used = extra; used < LOG_LINE_SIZE; used += 3) {
            memcpy(value + used, "\xe2\x82\xac", 4);
        }
        start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
        log_info("m", log_s("value", value));
        (void)json_object_put(logged_json());
    }
}

/* ---- Files ---- */

static void
test_unusable_file_changes_nothing(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    assert_false(log_open("other", LOG_LEVEL_ERROR, LOG_FORMAT_JSON, "/nowhere/x.log"));
    assert_false(log_open("other", LOG_LEVEL_ERROR, LOG_FORMAT_JSON, "/"));
    log_info("still here");
    check_one_line_ends("program=unit msg=\"still here\"");
}

static void
test_appends_and_reopens(void **state)
{
    char moved[UNIT_PATH_SIZE + 8];
    size_t size;
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    log_info("one");
    assert_true(log_open("unit", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, log_path));
    log_info("two");
    char *text = logged();
    assert_int_equal(count_lines(text), 2);
    free(text);
    (void)snprintf(moved, sizeof moved, "%s.1", log_path);
    assert_int_equal(rename(log_path, moved), 0);
    log_info("three");
    log_reopen();
    log_info("four");
    text = unit_read_file(moved, &size);
    assert_int_equal(count_lines(text), 3);
    assert_true(unit_contains(text, "msg=three"));
    free(text);
    check_one_line_ends("msg=four");
    (void)unlink(moved);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form_of_a_line),
        cmocka_unit_test(test_logfmt_escapes),
        cmocka_unit_test(test_no_forged_line_or_field),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_json_line),
        cmocka_unit_test(test_json_every_ascii_byte),
        cmocka_unit_test(test_json_keeps_utf8),
        cmocka_unit_test(test_json_of_bad_utf8),
        cmocka_unit_test(test_overlong_logfmt),
        cmocka_unit_test(test_overlong_json),
        cmocka_unit_test(test_overlong_json_cut_in_an_escape),
        cmocka_unit_test(test_overlong_json_cut_in_a_character),
        cmocka_unit_test(test_unusable_file_changes_nothing),
        cmocka_unit_test(test_appends_and_reopens),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
