/* What the console's pages are made with: parameters, origins, lengths of time, charts,
 * differences, passwords. */
#include <crypt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest/console/build.h"
#include "ingest/console/chart.h"
#include "ingest/console/diff.h"
#include "ingest/console/dress.h"
#include "ingest/console/origin.h"
#include "ingest/console/params.h"
#include "ingest/console/password.h"
#include "ingest/console/rates.h"
#include "tests/unit/unit.h"

#define DAY_MS 86400000

static void
test_params(void **state)
{
    (void)state;
    struct params *params = params_parse(
        "a=+x+%26&b=%C3%A4&bad=%ff&bell=%07&n=7&n=8&big=99999&lines=1%0D%0A2&e=&term%3Acost+1=5");
    assert_non_null(params);
    assert_string_equal(params_raw(params, "a"), " x &");
    assert_string_equal(params_text(params, "a"), "x &");
    assert_string_equal(params_text(params, "b"), "ä");
    assert_string_equal(params_text(params, "bad"), "");
    assert_string_equal(params_text(params, "bell"), "");
    assert_string_equal(params_text(params, "lines"), "1\r\n2");
    assert_string_equal(params_text(params, "none"), "");
    assert_string_equal(params_text(params, "term:cost 1"), "5");
    params_free(params);
    assert_null(params_parse("=x"));
    params = params_parse(NULL);
    assert_string_equal(params_text(params, "a"), "");
    params_free(params);
}

static void
test_the_next_page_keeps_the_query(void **state)
{
    (void)state;
    struct params *params = params_parse("member=a%2Bb%40c.d&cursor=old&empty=");
    char *next = params_next(params, "17-0&x"), *first = params_next(params, NULL);
    assert_string_equal(next, "member=a%2Bb%40c.d&cursor=17-0%26x");
    assert_string_equal(first, "member=a%2Bb%40c.d");
    free(next);
    free(first);
    params_free(params);
}

static void
test_days(void **state)
{
    (void)state;
    int64_t ms = 0;
    const char *const WRONG[] = { "",         "2026",       "2026-1",
                                  "2026-13",  "2026-02-30", "2026-10-05x",
                                  "2026-10-", "abcd-ef",    "1969-01" };
    assert_true(params_day("2026-10-05", false, &ms));
    assert_int_equal(ms, 1791158400000);
    assert_true(params_day("2026-10-05", true, &ms));
    assert_int_equal(ms, 1791158400000 + DAY_MS);
    assert_true(params_day("2026-10", false, &ms));
    assert_int_equal(ms, 1790812800000);
    assert_true(params_day("2026-12", true, &ms));
    assert_int_equal(ms, 1798761600000);
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        assert_false(params_day(WRONG[i], false, &ms));
    }
}

static void
test_origins(void **state)
{
    (void)state;
    const struct {
        struct origin_headers headers;
        bool own;
    } CASES[] = {
        { { "same-origin", NULL, NULL, NULL }, true },
        { { "same-origin", "https://evil.example", "gate", NULL },
          true }, /* the browser knows better */
        { { "same-site", "http://gate", "gate", NULL }, false },
        { { "cross-site", "http://gate", "gate", NULL }, false },
        { { "none", NULL, "gate", NULL }, false },
        { { NULL, "http://gate:9464", "gate:9464", NULL }, true },
        { { NULL, "https://Gate.example", "127.0.0.1:9464", "gate.example" }, true },
        { { NULL, "https://gate.example.evil", "gate.example", NULL }, false },
        { { NULL, "http://gate", "gate:9464", NULL }, false },
        { { NULL, "null", "gate", NULL }, false },
        { { NULL, NULL, "gate", NULL }, false },
        { { NULL, "http://", "", NULL }, false },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        if (origin_is_own(&CASES[i].headers) != CASES[i].own) {
            fail_msg("case %zu", i);
        }
    }
}

static void
test_spans(void **state)
{
    (void)state;
    const struct {
        int64_t ms;
        const char *text;
    } CASES[] = {
        { -5, "0 s" },
        { 0, "0 ms" },
        { 850, "850 ms" },
        { 1250, "1.2 s" },
        { 9999, "9.9 s" },
        { 10000, "10 s" },
        { 59999, "59 s" },
        { 60000, "1 min" },
        { 3600000, "1 h 0 min" },
        { 7500000, "2 h 5 min" },
        { 90000000, "1 d 1 h" },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[DRESS_SPAN_SIZE];
        dress_span(CASES[i].ms, text);
        assert_string_equal(text, CASES[i].text);
    }
}

static void
test_dressing(void **state)
{
    (void)state;
    struct json_object *json =
        json_tokener_parse("{\"at_ms\":1791158400000,\"due_ms\":1791158465000,\"took_ms\":12,"
                           "\"oldest_s\":90.5,\"far_ms\":9000000000000000,"
                           "\"rows\":[{\"account\":\"a+b@c\"},{\"account\":7}]}");
    dress(json, 1791158460000);
    assert_string_equal(build_text_of(json, "at_at"), "2026-10-05 00:00:00");
    assert_string_equal(build_text_of(json, "at_iso"), "2026-10-05T00:00:00.000Z");
    assert_string_equal(build_text_of(json, "at_ago"), "1 min ago");
    assert_string_equal(build_text_of(json, "due_ago"), "in 5.0 s");
    assert_string_equal(build_text_of(json, "took_span"), "12 ms");
    assert_string_equal(build_text_of(json, "oldest_span"), "1 min");
    assert_null(build_member(json, "far_at"));
    struct json_object *rows = build_member(json, "rows");
    assert_string_equal(build_text_of(json_object_array_get_idx(rows, 0), "account_url"),
                        "a%2Bb%40c");
    assert_null(build_member(json_object_array_get_idx(rows, 1), "account_url"));
    (void)json_object_put(json);
}

static void
test_charts(void **state)
{
    (void)state;
    const struct chart chart = { "Things", 2, { "a", "b" }, { "as", "bs" } };
    struct json_object *none = json_tokener_parse("{\"points\":[{\"at_ms\":1,\"a\":1}]}");
    struct json_object *graph =
        json_tokener_parse("{\"step_s\":60,\"points\":[{\"at_ms\":1791158400000,\"a\":0},{\"at_"
                           "ms\":1791158460000,\"a\":7,\"b\":-1}]}");
    char *text = chart_render(&chart, none);
    assert_null(strstr(text, "<svg"));
    free(text);
    text = chart_render(&chart, graph);
    assert_non_null(strstr(text, "aria-label=\"Things; now as 7, bs -1\""));
    assert_non_null(strstr(text, "text-anchor=\"end\">10</text>")); /* 7 made round */
    assert_non_null(strstr(text, "points=\"40.0,125.0 600.0,44.5\""));
    assert_non_null(strstr(text, "00:01</text>"));
    free(text);
    (void)json_object_put(none);
    (void)json_object_put(graph);
}

/* The rows of a difference, a letter for each: - + = and a digit for a gap. */
static const char *
marks(const char *old_text, const char *new_text)
{
    static char text[256];
    struct json_object *rows = diff_lines(old_text, new_text);
    size_t count = build_count(rows);
    for (size_t i = 0; i < count; i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        int64_t gap = build_number_of(row, "gap");
        text[i] = gap > 0                            ? (char)('0' + gap)
                  : build_member(row, "old") != NULL ? '-'
                  : build_member(row, "new") != NULL ? '+'
                                                     : '=';
    }
    text[count] = '\0';
    (void)json_object_put(rows);
    return text;
}

static void
test_differences(void **state)
{
    (void)state;
    assert_string_equal(marks("", ""), "");
    assert_string_equal(marks("a\nb\n", "a\nb"), "");
    assert_string_equal(marks("a\nb\n", "a\r\nb\r\n"), "");
    assert_string_equal(marks("", "a\nb\n"), "++");
    assert_string_equal(marks("a\nb\n", ""), "--");
    assert_string_equal(marks("a\nb\nc\n", "a\nx\nc\n"), "=-+=");
    assert_string_equal(marks("1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\n"), "5===+");
    assert_string_equal(marks("x\n1\n2\n3\n4\n5\n6\n7\n", "1\n2\n3\n4\n5\n6\n7\n"), "-===4");
}

static void
test_passwords(void **state)
{
    (void)state;
    char path[UNIT_PATH_SIZE];
    unit_make_file(path);
    struct crypt_data *data = calloc(1, sizeof *data);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fprintf(file, "# who may\nann:%s\n",
                  crypt_r("right one", "$2b$05$abcdefghijklmnopqrstuu", data));
    (void)fprintf(file, "bob:%s\nbroken:nothing\nempty:\n", crypt_r("his", "$6$salt", data));
    (void)fclose(file);
    assert_true(password_is_right(path, "ann", "right one"));
    assert_true(password_is_right(path, "bob", "his"));
    assert_false(password_is_right(path, "ann", "wrong"));
    assert_false(password_is_right(path, "ann", ""));
    assert_false(password_is_right(path, "an", "right one"));
    assert_false(password_is_right(path, "", "right one"));
    assert_false(password_is_right(path, "# who may\nann", "right one"));
    assert_false(password_is_right(path, "broken", "nothing"));
    assert_false(password_is_right(path, "empty", ""));
    assert_false(password_is_right("/nowhere/at/all", "ann", "right one"));
    (void)unlink(path);
    free(data);
}

static void
test_rates(void **state)
{
    (void)state;
    struct rates rates = { 0 };
    double webhooks = -1, decisions = -1;
    struct rates_sample now = { 1000, 500, 400 };
    assert_false(rates_per_s(&rates, &now, &webhooks, &decisions));
    rates_add(&rates, &now);
    assert_false(rates_per_s(&rates, &now, &webhooks, &decisions));
    now = (struct rates_sample){ 5000, 540, 408 };
    assert_true(rates_per_s(&rates, &now, &webhooks, &decisions));
    assert_true(webhooks == 10 && decisions == 2);
    now = (struct rates_sample){ 6000, 0, 0 }; /* somebody deleted the counters */
    assert_true(rates_per_s(&rates, &now, &webhooks, &decisions));
    assert_true(webhooks == 0 && decisions == 0);
    /* Asked ten times a second for two minutes: the window is half a minute all the time. */
    for (int64_t at = 6000; at <= 120000; at += 100) {
        now = (struct rates_sample){ at, at / 10, at / 20 };
        rates_add(&rates, &now);
        assert_true(rates.count <= RATES_KEPT);
        assert_true(now.mono_ms - rates.samples[0].mono_ms <= RATES_WINDOW_MS);
    }
    assert_true(now.mono_ms - rates.samples[0].mono_ms > RATES_WINDOW_MS - 5000);
    assert_true(rates_per_s(&rates, &now, &webhooks, &decisions));
    assert_true(webhooks == 100 && decisions == 50);
    now.mono_ms += 10 * RATES_WINDOW_MS; /* nobody looked for long */
    assert_false(rates_per_s(&rates, &now, &webhooks, &decisions));
    rates_add(&rates, &now);
    assert_int_equal(rates.count, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params),    cmocka_unit_test(test_the_next_page_keeps_the_query),
        cmocka_unit_test(test_days),      cmocka_unit_test(test_origins),
        cmocka_unit_test(test_spans),     cmocka_unit_test(test_dressing),
        cmocka_unit_test(test_charts),    cmocka_unit_test(test_differences),
        cmocka_unit_test(test_passwords), cmocka_unit_test(test_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
