/* What each answer of Cal.com means, through the real HTTP client. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/calcom_bench.h"
#include "tests/unit/unit.h"
#include "worker/http_client.h"

static const enum calcom_call CALLS[] = { CALCOM_LOOK, CALCOM_CONFIRM, CALCOM_DECLINE,
                                          CALCOM_CANCEL };

/* ---- "No": by status and message ---- */

struct refusal {
    int from, to;
    const char *body;
    enum calcom_class look, act;
};

#define HTML "<html><body>404 page not found</body></html>"

static const struct refusal V1_REFUSALS[] = {
    { 300, 308, "", CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 400, 400, "{\"message\":\"This booking has already been cancelled.\"}", CALCOM_TRANSIENT,
      CALCOM_UNCLEAR },
    { 400, 400, "", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 401, 401, "{\"message\":\"No apiKey provided\"}", CALCOM_CREDENTIALS, CALCOM_CREDENTIALS },
    { 401, 401, "{\"error\":\"Your API key is not valid.\"}", CALCOM_CREDENTIALS,
      CALCOM_CREDENTIALS },
    { 401, 401, "", CALCOM_CREDENTIALS, CALCOM_CREDENTIALS },
    { 402, 402, "{\"message\":\"x\"}", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 403, 404, "{\"message\":\"You are not authorized\"}", CALCOM_GONE, CALCOM_UNCLEAR },
    { 403, 404, "{\"error\":\"Not found\"}", CALCOM_GONE, CALCOM_UNCLEAR },
    { 403, 404, HTML, CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 403, 404, "", CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 403, 404, "{}", CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 403, 404, "{\"message\":7}", CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 405, 405, "{\"message\":\"Method not allowed\"}", CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 406, 407, "", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 408, 408, "", CALCOM_TRANSIENT, CALCOM_TRANSIENT },
    { 409, 409, "{\"message\":\"Conflict\"}", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 410, 428, "{\"message\":\"x\"}", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 429, 429, "{\"message\":\"Rate limit exceeded\"}", CALCOM_THROTTLED, CALCOM_THROTTLED },
    { 429, 429, HTML, CALCOM_THROTTLED, CALCOM_THROTTLED },
    { 430, 499, "", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 500, 599, "{\"message\":\"Internal Server Error\"}", CALCOM_TRANSIENT, CALCOM_TRANSIENT },
    { 500, 504, HTML, CALCOM_TRANSIENT, CALCOM_TRANSIENT },
    { 600, 601, "", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
};

#define V2_ERROR(message)                                                                          \
    "{\"status\":\"error\",\"timestamp\":\"2026-03-12T14:00:00.000Z\",\"path\":\"/v2/x\","         \
    "\"error\":{\"code\":\"TRPCError\",\"message\":\"" message "\"}}"

static const struct refusal V2_REFUSALS[] = {
    { 300, 308, "", CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 400, 400, V2_ERROR("Booking already confirmed"), CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 400, 400, V2_ERROR("Bad request: Please check your request data and try again"),
      CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 400, 400, HTML, CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 401, 401, V2_ERROR("User is not authorized to confirm this booking"), CALCOM_CREDENTIALS,
      CALCOM_REFUSED },
    { 401, 401, V2_ERROR("CustomThrottlerGuard - Invalid API Key"), CALCOM_CREDENTIALS,
      CALCOM_CREDENTIALS },
    { 401, 401, HTML, CALCOM_CREDENTIALS, CALCOM_CREDENTIALS },
    { 402, 402, V2_ERROR("x"), CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 403, 403, V2_ERROR("insufficient scope"), CALCOM_CREDENTIALS, CALCOM_CREDENTIALS },
    { 404, 404, V2_ERROR("Booking with uid=x was not found in the database"), CALCOM_GONE,
      CALCOM_UNCLEAR },
    { 404, 404, V2_ERROR("Cannot POST /v2/bookings/x/confirm"), CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 404, 404, "{\"message\":\"Cannot GET /v2/bookings/x\",\"error\":\"Not Found\"}",
      CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 404, 404, "{\"message\":\"Booking not found\"}", CALCOM_GONE, CALCOM_UNCLEAR },
    { 404, 404, HTML, CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 404, 404, "", CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 404, 404, "{\"status\":\"error\"}", CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 405, 405, V2_ERROR("Method not allowed"), CALCOM_NO_ROUTE, CALCOM_NO_ROUTE },
    { 406, 407, "", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 408, 408, V2_ERROR("Request Timeout"), CALCOM_TRANSIENT, CALCOM_TRANSIENT },
    { 409, 409, V2_ERROR("Conflict"), CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 410, 412, V2_ERROR("x"), CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 413, 413, V2_ERROR("Payload too large"), CALCOM_REFUSED, CALCOM_REFUSED },
    { 414, 428, V2_ERROR("x"), CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 429, 429, V2_ERROR("CustomThrottlerGuard - Too many requests. Please try again later."),
      CALCOM_THROTTLED, CALCOM_THROTTLED },
    { 429, 429, "", CALCOM_THROTTLED, CALCOM_THROTTLED },
    { 430, 499, "", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
    { 500, 599, V2_ERROR("Internal server error"), CALCOM_TRANSIENT, CALCOM_TRANSIENT },
    { 500, 504, HTML, CALCOM_TRANSIENT, CALCOM_TRANSIENT },
    { 600, 601, "", CALCOM_TRANSIENT, CALCOM_UNCLEAR },
};

static void
check_refusal(struct calcom_bench *bench, const struct refusal *row, int status)
{
    for (size_t i = 0; i < COUNT_OF(CALLS); i++) {
        enum calcom_class wanted = CALLS[i] == CALCOM_LOOK ? row->look : row->act;
        stub_server_answer(bench->server, status, "", row->body);
        const struct calcom_answer *answer = bench_call(bench, CALLS[i]);
        check(answer->kind == wanted, "%s answered %d %s: %s and not %s",
              calcom_call_name(CALLS[i]), status, row->body, calcom_class_name(answer->kind),
              calcom_class_name(wanted));
        check(answer->http_status == status, "status %d is %d", status, answer->http_status);
        check(!answer->timed_out, "%d timed out", status);
        check(answer->retry_after_ms == -1, "%d tells %" PRId64, status, answer->retry_after_ms);
    }
}

static void
check_refusals(const char *dialect, const struct refusal *rows, size_t count)
{
    struct calcom_bench bench;
    bench_open(&bench, dialect);
    for (size_t i = 0; i < count; i++) {
        for (int status = rows[i].from; status <= rows[i].to; status++) {
            check_refusal(&bench, &rows[i], status);
        }
    }
    bench_close(&bench);
}

static void
test_v1_refusals(void **state)
{
    (void)state;
    check_refusals("v1", V1_REFUSALS, COUNT_OF(V1_REFUSALS));
}

static void
test_v2_refusals(void **state)
{
    (void)state;
    check_refusals("v2", V2_REFUSALS, COUNT_OF(V2_REFUSALS));
}

/* ---- Whose key it is ---- */

static void
test_me(void **state)
{
    static const struct {
        int status;
        enum calcom_class kind;
    } ROWS[] = {
        { 200, CALCOM_DONE },        { 401, CALCOM_CREDENTIALS }, { 403, CALCOM_CREDENTIALS },
        { 404, CALCOM_CREDENTIALS }, { 302, CALCOM_NO_ROUTE },    { 408, CALCOM_TRANSIENT },
        { 429, CALCOM_THROTTLED },   { 500, CALCOM_TRANSIENT },   { 503, CALCOM_TRANSIENT },
    };
    static const char *const DIALECTS[] = { "v1", "v2" };
    (void)state;
    for (size_t d = 0; d < COUNT_OF(DIALECTS); d++) {
        struct calcom_bench bench;
        bench_open(&bench, DIALECTS[d]);
        for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
            stub_server_answer(bench.server, ROWS[i].status, "", "{\"user\":{}}");
            const struct calcom_answer *answer = bench_call(&bench, CALCOM_ME);
            check(answer->kind == ROWS[i].kind, "%s: %d is %s", DIALECTS[d], ROWS[i].status,
                  calcom_class_name(answer->kind));
        }
        bench_close(&bench);
    }
}

/* ---- "Yes": how the booking stands ---- */

#define UNSAID ((enum booking_status)99) /* the row's body does not say it */

static const struct {
    const char *dialect, *body;
    enum booking_status status;
} SUCCESSES[] = {
    { "v1", "{\"booking\":{\"id\":48213,\"status\":\"PENDING\"}}", STATUS_PENDING },
    { "v1", "{\"booking\":{\"id\":48213,\"status\":\"ACCEPTED\"}}", STATUS_ACCEPTED },
    { "v1", "{\"booking\":{\"id\":48213,\"status\":\"REJECTED\"}}", STATUS_REJECTED },
    { "v1", "{\"booking\":{\"id\":48213,\"status\":\"CANCELLED\"}}", STATUS_CANCELLED },
    { "v1", "{\"booking\":{\"id\":48213,\"status\":\"AWAITING_HOST\"}}", STATUS_PENDING },
    { "v1", "{\"success\":true,\"message\":\"Booking successfully cancelled.\"}", UNSAID },
    { "v1", "{\"booking\":{\"id\":48213,\"status\":\"NEW_WORD\"}}", UNSAID },
    { "v1", "{\"booking\":{\"id\":48213,\"status\":7}}", UNSAID },
    { "v1", "{\"booking\":[{\"status\":\"ACCEPTED\"}]}", UNSAID },
    { "v1", "{\"status\":\"ACCEPTED\"}", UNSAID },
    { "v1", "{\"data\":{\"status\":\"accepted\"}}", UNSAID },
    { "v1", "", UNSAID },
    { "v1", HTML, UNSAID },
    { "v1", "{\"booking\":{\"status\":\"ACCEP", UNSAID },
    { "v2", "{\"status\":\"success\",\"data\":{\"status\":\"pending\"}}", STATUS_PENDING },
    { "v2", "{\"status\":\"success\",\"data\":{\"status\":\"accepted\"}}", STATUS_ACCEPTED },
    { "v2", "{\"status\":\"success\",\"data\":{\"status\":\"rejected\"}}", STATUS_REJECTED },
    { "v2", "{\"status\":\"success\",\"data\":{\"status\":\"cancelled\"}}", STATUS_CANCELLED },
    { "v2", "{\"status\":\"success\",\"data\":{\"status\":\"ACCEPTED\"}}", STATUS_ACCEPTED },
    { "v2",
      "{\"status\":\"success\",\"data\":[{\"status\":\"rejected\"},{\"status\":\"pending\"}]}",
      STATUS_REJECTED },
    { "v2", "{\"status\":\"success\",\"data\":[]}", UNSAID },
    { "v2", "{\"status\":\"success\",\"data\":{\"status\":\"new_word\"}}", UNSAID },
    { "v2", "{\"status\":\"success\",\"data\":{\"status\":null}}", UNSAID },
    { "v2", "{\"status\":\"success\"}", UNSAID },
    { "v2", "{\"status\":\"accepted\"}", UNSAID },
    { "v2", "{\"booking\":{\"status\":\"ACCEPTED\"}}", UNSAID },
    { "v2", "[]", UNSAID },
    { "v2", "null", UNSAID },
    { "v2", "", UNSAID },
    { "v2", HTML, UNSAID },
    { "v2", "{\"status\":\"success\",\"data\":{\"status\":\"acce", UNSAID },
};

/* What an act leaves behind when its answer does not say it. */
static enum booking_status
outcome_of(const char *dialect, enum calcom_call call)
{
    switch (call) {
    case CALCOM_CONFIRM:
        return STATUS_ACCEPTED;
    case CALCOM_DECLINE:
        /* The guide declines by cancelling. */
        return strcmp(dialect, "v1") == 0 ? STATUS_CANCELLED : STATUS_REJECTED;
    case CALCOM_CANCEL:
        return STATUS_CANCELLED;
    case CALCOM_LOOK:
    case CALCOM_ME:
    case CALCOM_LIST:
        break;
    }
    return UNSAID;
}

static void
check_success(struct calcom_bench *bench, const char *dialect, size_t row)
{
    const char *body = SUCCESSES[row].body;
    for (size_t i = 0; i < COUNT_OF(CALLS); i++) {
        bool said = SUCCESSES[row].status != UNSAID;
        const char *name = calcom_call_name(CALLS[i]);
        stub_server_answer(bench->server, 200, "", body);
        const struct calcom_answer *answer = bench_call(bench, CALLS[i]);
        if (CALLS[i] == CALCOM_LOOK && !said) {
            check(answer->kind == CALCOM_TRANSIENT, "%s %s %s: %s", dialect, name, body,
                  calcom_class_name(answer->kind));
            continue;
        }
        enum booking_status wanted = said ? SUCCESSES[row].status : outcome_of(dialect, CALLS[i]);
        check(answer->kind == CALCOM_DONE, "%s %s %s: %s", dialect, name, body,
              calcom_class_name(answer->kind));
        check(answer->status == wanted, "%s %s %s: %s", dialect, name, body,
              booking_status_name(answer->status));
    }
}

static void
test_successes(void **state)
{
    static const char *const DIALECTS[] = { "v1", "v2" };
    (void)state;
    for (size_t d = 0; d < COUNT_OF(DIALECTS); d++) {
        struct calcom_bench bench;
        bench_open(&bench, DIALECTS[d]);
        for (size_t i = 0; i < COUNT_OF(SUCCESSES); i++) {
            if (strcmp(SUCCESSES[i].dialect, DIALECTS[d]) == 0) {
                check_success(&bench, DIALECTS[d], i);
            }
        }
        bench_close(&bench);
    }
}

/* A series answers with an array, in an order of its own: the entry of the booking that was asked
 * for counts, the first one only if none is. */
static void
test_an_array_holds_our_own(void **state)
{
#define OTHER "{\"uid\":\"other\",\"status\":\"rejected\",\"recurringBookingUid\":\"s1\"}"
    static const struct {
        const char *data;
        enum booking_status status;
        const char *series, *members;
    } ROWS[] = {
        { OTHER ",{\"uid\":\"" BENCH_UID
                "\",\"status\":\"accepted\",\"recurringBookingUid\":\"s2\"}",
          STATUS_ACCEPTED, "s2", "other rejected " BENCH_UID " accepted" },
        { "7,null,{\"uid\":7}," OTHER ",{\"uid\":\"" BENCH_UID "\",\"status\":\"cancelled\"}",
          STATUS_CANCELLED, "", "other rejected " BENCH_UID " cancelled" },
        { OTHER ",{\"uid\":\"another\",\"status\":\"accepted\"}", STATUS_REJECTED, "s1",
          "other rejected another accepted" },
        /* What would read as something else is left out. */
        { "{\"uid\":\"" BENCH_UID
          "\",\"status\":\"PENDING\"},{\"uid\":\"a b\",\"status\":\"accepted\"},"
          "{\"uid\":\"\",\"status\":\"accepted\"},{\"uid\":\"c\",\"status\":\"new "
          "word\"},{\"uid\":\"d\"}",
          STATUS_PENDING, "", BENCH_UID " pending" },
    };
    struct calcom_bench bench;
    char body[512];
    (void)state;
    bench_open(&bench, "v2");
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        (void)snprintf(body, sizeof body, "{\"status\":\"success\",\"data\":[%s]}", ROWS[i].data);
        for (size_t j = 0; j < COUNT_OF(CALLS); j++) {
            stub_server_answer(bench.server, 200, "", body);
            const struct calcom_answer *answer = bench_call(&bench, CALLS[j]);
            check(answer->kind == CALCOM_DONE && answer->status == ROWS[i].status, "%s: %s",
                  ROWS[i].data, booking_status_name(answer->status));
            assert_string_equal(answer->series, ROWS[i].series);
            assert_string_equal(answer->members, ROWS[i].members);
        }
    }
    bench_close(&bench);
}

static void
test_other_good_statuses(void **state)
{
    static const char BODY[] = "{\"status\":\"success\",\"data\":{\"status\":\"accepted\"}}";
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    for (int status = 200; status <= 299; status++) {
        if (status != 204 && status != 205) { /* these have no body */
            stub_server_answer(bench.server, status, "", BODY);
            const struct calcom_answer *answer = bench_call(&bench, CALCOM_LOOK);
            check(answer->kind == CALCOM_DONE && answer->status == STATUS_ACCEPTED, "%d: %s",
                  status, calcom_class_name(answer->kind));
        }
    }
    stub_server_script(bench.server, STUB_ANSWER, "HTTP/1.1 204 No Content\r\n\r\n", 27);
    assert_int_equal(bench_call(&bench, CALCOM_CONFIRM)->kind, CALCOM_DONE);
    assert_int_equal(bench.answer.status, STATUS_ACCEPTED);
    assert_int_equal(bench_call(&bench, CALCOM_LOOK)->kind, CALCOM_TRANSIENT);
    bench_close(&bench);
}

/* ---- Details ---- */

static void
test_detail_tells_the_message(void **state)
{
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    stub_server_answer(bench.server, 400, "", V2_ERROR("Booking already confirmed"));
    const struct calcom_answer *answer = bench_call(&bench, CALCOM_CONFIRM);
    check(unit_contains(answer->detail, "confirm"), "%s", answer->detail);
    check(unit_contains(answer->detail, "400"), "%s", answer->detail);
    check(unit_contains(answer->detail, "Booking already confirmed"), "%s", answer->detail);
    bench_close(&bench);
}

static void
test_long_detail_is_cut(void **state)
{
    char body[4096], message[3000];
    struct calcom_bench bench;
    (void)state;
    memset(message, 'x', sizeof message);
    message[sizeof message - 1] = '\0';
    (void)snprintf(body, sizeof body, "{\"message\":\"%s\"}", message);
    bench_open(&bench, "v1");
    stub_server_answer(bench.server, 500, "", body);
    const struct calcom_answer *answer = bench_call(&bench, CALCOM_LOOK);
    assert_int_equal(answer->kind, CALCOM_TRANSIENT);
    assert_int_equal(strlen(answer->detail), CALCOM_DETAIL_SIZE - 1);
    bench_close(&bench);
}

/* The header promises that a detail holds no key, also when the server sends back what it got. */
static void
test_detail_holds_no_key(void **state)
{
    static const struct {
        const char *dialect, *body;
    } ROWS[] = {
        { "v1", "{\"message\":\"Cannot GET /v1/bookings/48213?apiKey=" BENCH_KEY "\"}" },
        { "v1", "{\"error\":\"Your API key " BENCH_KEY " is not valid.\"}" },
        { "v2", V2_ERROR("Invalid API key " BENCH_KEY) },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct calcom_bench bench;
        bench_open(&bench, ROWS[i].dialect);
        stub_server_answer(bench.server, 404, "", ROWS[i].body);
        const struct calcom_answer *answer = bench_call(&bench, CALCOM_CONFIRM);
        check(!unit_contains(answer->detail, BENCH_KEY), "%s: %s", ROWS[i].dialect, answer->detail);
        bench_close(&bench);
    }
}

/* ---- Bodies ---- */

static void
test_redirect_is_not_followed(void **state)
{
    static const int STATUSES[] = { 301, 302, 303, 307, 308 };
    struct calcom_bench bench;
    char location[192];
    size_t requests = 0;
    (void)state;
    bench_open(&bench, "v2");
    (void)snprintf(location, sizeof location, "Location: %s/elsewhere\r\n", bench.url);
    for (size_t i = 0; i < COUNT_OF(STATUSES); i++) {
        for (size_t j = 0; j < COUNT_OF(CALLS); j++) {
            stub_server_answer(bench.server, STATUSES[i], location, "");
            assert_int_equal(bench_call(&bench, CALLS[j])->kind, CALCOM_NO_ROUTE);
            assert_int_equal(bench.answer.http_status, STATUSES[i]);
            assert_int_equal(stub_server_requests(bench.server), ++requests);
        }
    }
    bench_close(&bench);
}

/* A good answer with blanks up to `size` bytes. */
static void
script_long(struct calcom_bench *bench, size_t size)
{
    static const char BODY[] = "{\"status\":\"success\",\"data\":{\"status\":\"accepted\"}}";
    char *body = malloc(size + 1);
    assert_non_null(body);
    memset(body, ' ', size);
    memcpy(body, BODY, sizeof BODY - 1);
    body[size] = '\0';
    stub_server_answer(bench->server, 200, "", body);
    free(body);
}

static void
test_long_bodies(void **state)
{
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    script_long(&bench, HTTP_ANSWER_BYTES);
    assert_int_equal(bench_call(&bench, CALCOM_LOOK)->kind, CALCOM_DONE);
    script_long(&bench, HTTP_ANSWER_BYTES + 1);
    assert_int_equal(bench_call(&bench, CALCOM_CONFIRM)->kind, CALCOM_UNKNOWN);
    assert_false(bench.answer.timed_out);
    assert_true(unit_contains(bench.answer.detail, "too long"));
    script_long(&bench, 8 * HTTP_ANSWER_BYTES);
    assert_int_equal(bench_call(&bench, CALCOM_LOOK)->kind, CALCOM_UNKNOWN);
    /* And the next one works. */
    script_long(&bench, 100);
    assert_int_equal(bench_call(&bench, CALCOM_LOOK)->kind, CALCOM_DONE);
    assert_int_equal(stub_server_requests(bench.server), 4);
    bench_close(&bench);
}

static void
test_chunked_body(void **state)
{
    static const char ANSWER[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "8\r\n{\"data\":\r\n"
                                 "15\r\n{\"status\":\"rejected\"}\r\n1\r\n}\r\n0\r\n\r\n";
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    stub_server_script(bench.server, STUB_ANSWER, ANSWER, sizeof ANSWER - 1);
    assert_int_equal(bench_call(&bench, CALCOM_LOOK)->kind, CALCOM_DONE);
    assert_int_equal(bench.answer.status, STATUS_REJECTED);
    bench_close(&bench);
}

/* Nested deeper than anything of Cal.com's: no crash, and no status. */
static void
test_deep_body(void **state)
{
    struct calcom_bench bench;
    char *body = malloc(100001);
    (void)state;
    assert_non_null(body);
    memset(body, '[', 100000);
    body[100000] = '\0';
    bench_open(&bench, "v2");
    stub_server_answer(bench.server, 200, "", body);
    assert_int_equal(bench_call(&bench, CALCOM_LOOK)->kind, CALCOM_TRANSIENT);
    stub_server_answer(bench.server, 404, "", body);
    assert_int_equal(bench_call(&bench, CALCOM_LOOK)->kind, CALCOM_NO_ROUTE);
    bench_close(&bench);
    free(body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1_refusals),
        cmocka_unit_test(test_v2_refusals),
        cmocka_unit_test(test_me),
        cmocka_unit_test(test_successes),
        cmocka_unit_test(test_an_array_holds_our_own),
        cmocka_unit_test(test_other_good_statuses),
        cmocka_unit_test(test_detail_tells_the_message),
        cmocka_unit_test(test_long_detail_is_cut),
        cmocka_unit_test(test_detail_holds_no_key),
        cmocka_unit_test(test_redirect_is_not_followed),
        cmocka_unit_test(test_long_bodies),
        cmocka_unit_test(test_chunked_body),
        cmocka_unit_test(test_deep_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
