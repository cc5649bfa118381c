/* How calls are written, in both dialects. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "worker/calcom.h"
#include "worker/calcom_dialect.h"

#define BASE "https://cal.example.com/api/v0"

static const struct calcom_parts PARTS = { .call = CALCOM_LOOK,
                                           .base_url = BASE,
                                           .key = "cal_key",
                                           .id = "48213",
                                           .uid = "uid-1",
                                           .reason = "No credit.",
                                           .seat = "",
                                           .by_seat_route = false };

static struct calcom_parts
parts_of(enum calcom_call call)
{
    struct calcom_parts parts = PARTS;
    parts.call = call;
    return parts;
}

/* Writes into memory that held another call. */
static bool
write_call(const struct calcom_dialect *dialect, const struct calcom_parts *parts,
           struct calcom_written *written)
{
    memset(written, 'z', sizeof *written);
    return dialect->write(parts, written);
}

/* ---- CALCOM_API_URL ---- */

static void
test_good_urls(void **state)
{
    static const char *const URLS[] = {
        "https://api.cal.com/v2",         "https://api.cal.com/v1",   "https://api.cal.com/v2/",
        "https://api.cal.com/v2///",      "http://127.0.0.1:5555/v2", "http://[::1]:5555/v1",
        "https://cal.example.com/api/v2", "http://calcom:3003/v1/",   "https://v1.example.com/v2",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(URLS); i++) {
        const char *problem = calcom_url_problem(URLS[i]);
        check(problem == NULL, "%s: %s", URLS[i], problem);
    }
}

static void
test_bad_urls(void **state)
{
    static const char *const URLS[] = {
        "",
        "/",
        "v2",
        "/v2",
        "api.cal.com/v2",
        "ftp://api.cal.com/v2",
        "HTTPS",
        "https:/x/v2",
        "https://",
        "https:///",
        "https://api.cal.com",
        "https://api.cal.com/",
        "https://api.cal.com/v3",
        "https://api.cal.com/V2",
        "https://api.cal.com/v22",
        "https://api.cal.com/xv2",
        "https://api.cal.com/v2/bookings",
        "https://api.cal.com/v2?x=1",
        "https://api.cal.com/v2?",
        "https://api.cal.com/v2#x",
        "https://api.cal.com/?/v2",
        "https://api.cal.com/v 2/v2",
        " https://api.cal.com/v2",
        "https://api.cal.com/v2 ",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(URLS); i++) {
        const char *problem = calcom_url_problem(URLS[i]);
        check(problem != NULL, "\"%s\" is fine", URLS[i]);
        check(unit_contains(problem, "CALCOM_API_URL"), "\"%s\": %s", URLS[i], problem);
    }
}

/* The dialect is a segment of the path, not the host. */
static void
test_urls_without_a_path(void **state)
{
    static const char *const URLS[] = { "https://v2", "http://v1", "https://v2/", "https:///v2" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(URLS); i++) {
        check(calcom_url_problem(URLS[i]) != NULL, "\"%s\" is fine", URLS[i]);
    }
}

static void
test_long_urls(void **state)
{
    char url[2048];
    (void)state;
    for (size_t length = 1000; length < 1100; length++) {
        memset(url, 'x', length);
        memcpy(url, "https://", 8);
        memcpy(url + 16, "/", 1);
        memcpy(url + length - 3, "/v2", 4);
        check((calcom_url_problem(url) == NULL) == (length <= 1024), "%zu characters", length);
    }
}

/* ---- v1 ---- */

static const struct {
    enum calcom_call call;
    enum http_method method;
    const char *url, *body;
} V1[] = {
    { CALCOM_LOOK, HTTP_METHOD_GET, BASE "/bookings/48213?apiKey=cal_key", "" },
    { CALCOM_CONFIRM, HTTP_METHOD_PATCH, BASE "/bookings/48213?apiKey=cal_key",
      "{\"status\":\"ACCEPTED\"}" },
    { CALCOM_DECLINE, HTTP_METHOD_DELETE,
      BASE "/bookings/48213/cancel?apiKey=cal_key&cancellationReason=No%20credit.", "" },
    { CALCOM_CANCEL, HTTP_METHOD_DELETE,
      BASE "/bookings/48213/cancel?apiKey=cal_key&cancellationReason=No%20credit.", "" },
};

static const struct {
    enum calcom_call call;
    enum http_method method;
    const char *url, *body;
} V2[] = {
    { CALCOM_LOOK, HTTP_METHOD_GET, BASE "/bookings/uid-1", "" },
    { CALCOM_CONFIRM, HTTP_METHOD_POST, BASE "/bookings/uid-1/confirm", "" },
    { CALCOM_DECLINE, HTTP_METHOD_POST, BASE "/bookings/uid-1/decline",
      "{\"reason\":\"No credit.\"}" },
    { CALCOM_CANCEL, HTTP_METHOD_POST, BASE "/bookings/uid-1/cancel",
      "{\"cancellationReason\":\"No credit.\"}" },
};

static void
test_v1_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(V1); i++) {
        struct calcom_written written;
        const struct calcom_parts parts = parts_of(V1[i].call);
        assert_true(write_call(&CALCOM_V1, &parts, &written));
        assert_int_equal(written.method, V1[i].method);
        assert_string_equal(written.url, V1[i].url);
        assert_string_equal(written.body, V1[i].body);
    }
    assert_string_equal(CALCOM_V1.name, "v1");
    assert_false(CALCOM_V1.bearer);
    assert_true(CALCOM_V1.confirm_is_harmless);
}

static void
test_v1_names(void **state)
{
    static const char *const GOOD[] = { "1", "48213", "48213:seat-1", "9223372036854775807", "7:" };
    static const char *const BAD[] = { "",
                                       "x",
                                       "x7",
                                       "7x",
                                       "-7",
                                       "7/../8",
                                       "7 ",
                                       " 7",
                                       ":7",
                                       "7?a=b",
                                       "123456789012345678901234567890" };
    struct calcom_written written;
    (void)state;
    for (enum calcom_call call = CALCOM_LOOK; call <= CALCOM_CANCEL; call++) {
        struct calcom_parts parts = parts_of(call);
        for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
            char start[64];
            parts.id = GOOD[i];
            (void)snprintf(start, sizeof start, "/bookings/%.*s", (int)strcspn(GOOD[i], ":"),
                           GOOD[i]);
            check(write_call(&CALCOM_V1, &parts, &written), "%s", GOOD[i]);
            check(unit_contains(written.url, start), "%s: %s", GOOD[i], written.url);
            check(!unit_contains(written.url, "seat"), "%s: %s", GOOD[i], written.url);
        }
        for (size_t i = 0; i < COUNT_OF(BAD); i++) {
            parts.id = BAD[i];
            check(!write_call(&CALCOM_V1, &parts, &written), "\"%s\" is a number", BAD[i]);
        }
    }
    /* A uid is of no use here and not needed. */
    struct calcom_parts parts = parts_of(CALCOM_CONFIRM);
    parts.uid = "";
    assert_true(write_call(&CALCOM_V1, &parts, &written));
}

static void
test_v1_escapes(void **state)
{
    struct calcom_written written;
    struct calcom_parts parts = parts_of(CALCOM_CANCEL);
    (void)state;
    parts.key = "a&b=c#d%/\xc3\xbc";
    parts.reason = "2 of 3 credits & \"none\" left?\n#1 100%\xe2\x82\xac";
    assert_true(write_call(&CALCOM_V1, &parts, &written));
    assert_string_equal(written.url,
                        BASE "/bookings/48213/cancel?apiKey=a%26b%3Dc%23d%25%2F%C3%BC"
                             "&cancellationReason=2%20of%203%20credits%20%26%20%22none%22%20left%3F"
                             "%0A%231%20100%25%E2%82%AC");
    parts.reason = "";
    assert_true(write_call(&CALCOM_V1, &parts, &written));
    assert_true(unit_contains(written.url, "&cancellationReason="));
}

/* ---- v2 ---- */

static void
test_v2_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(V2); i++) {
        struct calcom_written written;
        const struct calcom_parts parts = parts_of(V2[i].call);
        assert_true(write_call(&CALCOM_V2, &parts, &written));
        assert_int_equal(written.method, V2[i].method);
        assert_string_equal(written.url, V2[i].url);
        assert_string_equal(written.body, V2[i].body);
        assert_false(unit_contains(written.url, "cal_key"));
    }
    assert_string_equal(CALCOM_V2.name, "v2");
    assert_true(CALCOM_V2.bearer);
    assert_false(CALCOM_V2.confirm_is_harmless);
}

static void
test_v2_names(void **state)
{
    struct calcom_written written;
    char uid[BOOKING_UID_SIZE];
    (void)state;
    memset(uid, '/', sizeof uid);
    uid[sizeof uid - 1] = '\0';
    for (enum calcom_call call = CALCOM_LOOK; call <= CALCOM_CANCEL; call++) {
        struct calcom_parts parts = parts_of(call);
        parts.uid = "../me?x=#1%20";
        assert_true(write_call(&CALCOM_V2, &parts, &written));
        assert_true(unit_contains(written.url, BASE "/bookings/..%2Fme%3Fx%3D%231%2520"));
        /* The longest uid, each character of which needs three. */
        parts.uid = uid;
        assert_true(write_call(&CALCOM_V2, &parts, &written));
        parts.uid = "";
        assert_false(write_call(&CALCOM_V2, &parts, &written));
    }
    /* The name in the queue does not matter. */
    struct calcom_parts parts = parts_of(CALCOM_LOOK);
    parts.id = "";
    assert_true(write_call(&CALCOM_V2, &parts, &written));
}

/* A uid of dots would be another address once the path is normalised. */
static void
test_v2_dots(void **state)
{
    static const char *const UIDS[] = { ".", ".." };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(UIDS); i++) {
        struct calcom_written written;
        struct calcom_parts parts = parts_of(CALCOM_CANCEL);
        parts.uid = UIDS[i];
        check(!write_call(&CALCOM_V2, &parts, &written) ||
                  (!unit_contains(written.url, "/../") && !unit_contains(written.url, "/./")),
              "%s", written.url);
    }
}

static void
test_v2_escapes(void **state)
{
    static const char REASON[] = "say \"no\" \\ / \n\t\x01 <b>\xe2\x82\xac</b> \x7f";
    static const enum calcom_call CALLS[] = { CALCOM_DECLINE, CALCOM_CANCEL };
    static const char *const FIELDS[] = { "reason", "cancellationReason" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CALLS); i++) {
        struct calcom_written written;
        struct json_object *value;
        struct calcom_parts parts = parts_of(CALLS[i]);
        parts.reason = REASON;
        assert_true(write_call(&CALCOM_V2, &parts, &written));
        struct json_object *root = json_tokener_parse(written.body);
        assert_true(json_object_is_type(root, json_type_object));
        assert_int_equal(json_object_object_length(root), 1);
        assert_true(json_object_object_get_ex(root, FIELDS[i], &value));
        assert_string_equal(json_object_get_string(value), REASON);
        (void)json_object_put(root);
        assert_false(unit_contains(written.body, "\n"));
    }
}

/* ---- Lengths ---- */

/* A policy's reason is up to 500 bytes, whatever they are. */
static void
test_longest_reasons(void **state)
{
    static const char BYTES[] = { 'x', '\n', '\x01', '"', '\xc3' };
    static const struct calcom_dialect *const DIALECTS[] = { &CALCOM_V1, &CALCOM_V2 };
    char reason[501];
    (void)state;
    for (size_t i = 0; i < sizeof BYTES; i++) {
        memset(reason, BYTES[i], sizeof reason);
        reason[sizeof reason - 1] = '\0';
        for (size_t j = 0; j < COUNT_OF(DIALECTS); j++) {
            for (enum calcom_call call = CALCOM_LOOK; call <= CALCOM_CANCEL; call++) {
                struct calcom_written written;
                struct calcom_parts parts = parts_of(call);
                parts.reason = reason;
                check(write_call(DIALECTS[j], &parts, &written), "%s %s, byte %d",
                      DIALECTS[j]->name, calcom_call_name(call), BYTES[i]);
            }
        }
    }
}

static void
test_too_long_parts(void **state)
{
    static char endless[8192];
    struct calcom_written written;
    (void)state;
    memset(endless, 'x', sizeof endless - 1);
    for (enum calcom_call call = CALCOM_LOOK; call <= CALCOM_CANCEL; call++) {
        struct calcom_parts parts = parts_of(call);
        parts.key = endless;
        assert_false(write_call(&CALCOM_V1, &parts, &written));
        parts = parts_of(call);
        parts.base_url = endless;
        assert_false(write_call(&CALCOM_V1, &parts, &written));
        assert_false(write_call(&CALCOM_V2, &parts, &written));
        parts = parts_of(call);
        parts.uid = endless;
        assert_false(write_call(&CALCOM_V2, &parts, &written));
    }
    struct calcom_parts parts = parts_of(CALCOM_CANCEL);
    parts.reason = endless;
    assert_false(write_call(&CALCOM_V1, &parts, &written));
    assert_false(write_call(&CALCOM_V2, &parts, &written));
}

/* ---- The parts it is made of ---- */

static void
test_encode(void **state)
{
    char out[16];
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        const char text[] = { (char)byte, '\0' };
        char expected[8];
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || strchr("-_.~", byte) != NULL;
        if (plain) {
            (void)snprintf(expected, sizeof expected, "%c", byte);
        } else {
            (void)snprintf(expected, sizeof expected, "%%%02X", (unsigned)byte);
        }
        assert_true(http_encode(text, out, sizeof out));
        assert_string_equal(out, expected);
        assert_int_equal(http_encode(text, out, plain ? 2 : 4), true);
        assert_int_equal(http_encode(text, out, plain ? 1 : 3), false);
    }
    assert_true(http_encode("", out, 1));
    assert_string_equal(out, "");
    assert_true(http_encode("a b\xc3\xbc", out, sizeof out));
    assert_string_equal(out, "a%20b%C3%BC");
}

static bool
write_one(const char *text, char *out, size_t size)
{
    const struct calcom_json_member member = { "a", text, false };
    return calcom_write_json(&member, 1, out, size);
}

static void
test_write_json(void **state)
{
    char out[32];
    (void)state;
    assert_true(write_one("b/c", out, sizeof out));
    assert_string_equal(out, "{\"a\":\"b/c\"}");
    assert_true(write_one("b\"\n", out, sizeof out));
    assert_string_equal(out, "{\"a\":\"b\\\"\\n\"}");
    assert_true(write_one("", out, 9));
    assert_false(write_one("", out, 8));
    assert_false(write_one("", out, 1));
}

static void
test_members(void **state)
{
    struct json_object *root =
        json_tokener_parse("{\"a\":\"x\",\"n\":7,\"z\":null,\"o\":{\"a\":1}}");
    struct json_object *list = json_tokener_parse("[1]");
    (void)state;
    assert_string_equal(calcom_text(root, "a"), "x");
    assert_null(calcom_text(root, "n"));
    assert_null(calcom_text(root, "z"));
    assert_null(calcom_text(root, "o"));
    assert_null(calcom_text(root, "b"));
    assert_null(calcom_text(NULL, "a"));
    assert_null(calcom_text(list, "a"));
    assert_non_null(calcom_member(root, "o"));
    assert_null(calcom_member(root, "b"));
    assert_null(calcom_member(list, "0"));
    assert_null(calcom_member(NULL, "a"));
    (void)json_object_put(root);
    (void)json_object_put(list);
}

static void
test_me(void **state)
{
    struct calcom_parts parts = parts_of(CALCOM_ME);
    struct calcom_written written;
    (void)state;
    parts.id = parts.uid = "";
    assert_true(write_call(&CALCOM_V1, &parts, &written));
    assert_string_equal(written.url, BASE "/me?apiKey=cal_key");
    assert_true(written.method == HTTP_METHOD_GET && written.body[0] == '\0');
    assert_true(write_call(&CALCOM_V2, &parts, &written));
    assert_string_equal(written.url, BASE "/me");
    assert_true(written.method == HTTP_METHOD_GET && written.body[0] == '\0');
}

static void
test_class_names(void **state)
{
    static const char *const NAMES[] = { "done",    "gone",        "unclear",
                                         "unknown", "transient",   "throttled",
                                         "refused", "credentials", "no_route" };
    (void)state;
    for (enum calcom_class kind = CALCOM_DONE; kind <= CALCOM_NO_ROUTE; kind++) {
        assert_string_equal(calcom_class_name(kind), NAMES[kind]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_urls),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_urls_without_a_path),
        cmocka_unit_test(test_long_urls),
        cmocka_unit_test(test_v1_calls),
        cmocka_unit_test(test_v1_names),
        cmocka_unit_test(test_v1_escapes),
        cmocka_unit_test(test_v2_calls),
        cmocka_unit_test(test_v2_names),
        cmocka_unit_test(test_v2_dots),
        cmocka_unit_test(test_v2_escapes),
        cmocka_unit_test(test_longest_reasons),
        cmocka_unit_test(test_too_long_parts),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_write_json),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_me),
        cmocka_unit_test(test_class_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
