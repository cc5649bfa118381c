/* What goes over the wire, and what becomes of a call when the network fails it. */
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listen.h"
#include "tests/unit/calcom_bench.h"
#include "tests/unit/unit.h"
#include "worker/http_client.h"

static const enum calcom_call CALLS[] = { CALCOM_LOOK, CALCOM_CONFIRM, CALCOM_DECLINE,
                                          CALCOM_CANCEL };
static const char *const DIALECTS[] = { "v1", "v2" };

#define V2_ACCEPTED "{\"status\":\"success\",\"data\":{\"status\":\"accepted\"}}"

/* ---- What the server sees ---- */

static void
check_request(struct calcom_bench *bench, enum calcom_call call, const char *line, const char *body)
{
    stub_server_answer(bench->server, 200, "", V2_ACCEPTED);
    (void)bench_call(bench, call);
    const char *request = stub_server_last(bench->server);
    const char *end = strstr(request, "\r\n\r\n");
    assert_non_null(end);
    check(strncmp(request, line, strlen(line)) == 0, "%s is not %s", request, line);
    check(strcmp(end + 4, body) == 0, "body %s", end + 4);
    check(unit_contains(request, "\r\nAccept: application/json\r\n"), "%s", request);
    check(unit_contains(request, "\r\nUser-Agent: tollgate/"), "%s", request);
    check(unit_contains(request, "Content-Type: application/json\r\n") == (*body != '\0'), "%s",
          request);
    check(!unit_contains(request, "Expect:"), "%s", request);
}

static void
test_v2_requests(void **state)
{
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    check_request(&bench, CALCOM_LOOK, "GET /v2/bookings/" BENCH_UID " HTTP/1.1\r\n", "");
    check_request(&bench, CALCOM_CONFIRM, "POST /v2/bookings/" BENCH_UID "/confirm HTTP/1.1\r\n",
                  "");
    check_request(&bench, CALCOM_DECLINE, "POST /v2/bookings/" BENCH_UID "/decline HTTP/1.1\r\n",
                  "{\"reason\":\"No credit.\"}");
    check_request(&bench, CALCOM_CANCEL, "POST /v2/bookings/" BENCH_UID "/cancel HTTP/1.1\r\n",
                  "{\"cancellationReason\":\"No credit.\"}");
    const char *request = stub_server_last(bench.server);
    assert_true(unit_contains(request, "\r\nAuthorization: Bearer " BENCH_KEY "\r\n"));
    assert_true(unit_contains(request, "\r\ncal-api-version: 2024-08-13\r\n"));
    assert_int_equal(stub_server_connections(bench.server), 1);
    assert_false(calcom_confirm_is_harmless(bench.calcom));
    bench_close(&bench);
}

static void
test_v1_requests(void **state)
{
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v1");
    check_request(&bench, CALCOM_LOOK, "GET /v1/bookings/48213?apiKey=" BENCH_KEY " HTTP/1.1\r\n",
                  "");
    check_request(&bench, CALCOM_CONFIRM,
                  "PATCH /v1/bookings/48213?apiKey=" BENCH_KEY " HTTP/1.1\r\n",
                  "{\"status\":\"ACCEPTED\"}");
    check_request(&bench, CALCOM_DECLINE,
                  "DELETE /v1/bookings/48213/cancel?apiKey=" BENCH_KEY
                  "&cancellationReason=No%20credit. HTTP/1.1\r\n",
                  "");
    check_request(&bench, CALCOM_CANCEL,
                  "DELETE /v1/bookings/48213/cancel?apiKey=" BENCH_KEY
                  "&cancellationReason=No%20credit. HTTP/1.1\r\n",
                  "");
    assert_false(unit_contains(stub_server_last(bench.server), "Authorization"));
    assert_false(unit_contains(stub_server_last(bench.server), "cal-api-version"));
    assert_true(calcom_confirm_is_harmless(bench.calcom));
    bench_close(&bench);
}

static void
test_new_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(DIALECTS); i++) {
        struct calcom_bench bench;
        bench_open(&bench, DIALECTS[i]);
        stub_server_answer(bench.server, 200, "", V2_ACCEPTED);
        calcom_set_key(bench.calcom, "cal_new");
        (void)bench_call(&bench, CALCOM_LOOK);
        assert_false(unit_contains(stub_server_last(bench.server), BENCH_KEY));
        assert_true(unit_contains(stub_server_last(bench.server),
                                  i == 0 ? "apiKey=cal_new " : "Bearer cal_new\r\n"));
        bench_close(&bench);
    }
}

static void
must_not_run(const struct calcom_answer *answer, void *arg)
{
    (void)arg;
    fail_msg("a call that was not sent is answered: %s", answer->detail);
}

static void
test_calls_that_cannot_be_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(DIALECTS); i++) {
        struct calcom_bench bench;
        bench_open(&bench, DIALECTS[i]);
        for (size_t j = 0; j < COUNT_OF(CALLS); j++) {
            const char *id = i == 0 ? "none" : "7", *uid = i == 0 ? "uid" : "";
            const struct calcom_subject subject = { id, uid, "", "reason", 0, "" };
            assert_false(calcom_send(bench.calcom, CALLS[j], &subject, must_not_run, NULL));
        }
        bench_idle(&bench, 50);
        assert_int_equal(stub_server_requests(bench.server), 0);
        bench_close(&bench);
    }
}

/* ---- Seats ---- */

static const struct {
    enum calcom_call call;
    const char *by_route, *without; /* the request's line with its body */
} SEAT_CALLS[] = {
    { CALCOM_CONFIRM, "/seats/confirm HTTP/1.1\r\n|{\"seatUids\":[\"seat-1\"]}",
      "/confirm HTTP/1.1\r\n|" },
    { CALCOM_DECLINE, "/seats/decline HTTP/1.1\r\n|{\"seatUids\":[\"seat-1\"]}",
      "/cancel HTTP/1.1\r\n|{\"cancellationReason\":\"" BENCH_REASON "\",\"seatUid\":\"seat-1\"}" },
    { CALCOM_CANCEL,
      "/cancel HTTP/1.1\r\n|{\"cancellationReason\":\"" BENCH_REASON "\",\"seatUid\":\"seat-1\"}",
      "/cancel HTTP/1.1\r\n|{\"cancellationReason\":\"" BENCH_REASON "\",\"seatUid\":\"seat-1\"}" },
};

/* parts: what stands behind the uid, and the body behind a bar. */
static void
check_seat_request(const struct calcom_bench *bench, const char *parts)
{
    char line[256], body[256];
    const char *bar = strchr(parts, '|');
    const char *last = stub_server_last(bench->server);
    (void)snprintf(line, sizeof line, "POST /v2/bookings/" BENCH_UID "%.*s", (int)(bar - parts),
                   parts);
    (void)snprintf(body, sizeof body, "\r\n\r\n%s", bar + 1);
    check(strncmp(last, line, strlen(line)) == 0, "%s is not %s", last, line);
    check(strcmp(strstr(last, "\r\n\r\n"), body) == 0, "%s does not end in %s", last, body);
}

/* Cal.com's own "no such route" is learnt once; that of something before it says nothing. */
static void
test_missing_seat_routes(void **state)
{
    static const char NO_ROUTE[] = "{\"status\":\"error\",\"error\":{\"message\":"
                                   "\"Cannot POST /v2/bookings/x/seats/confirm\"}}";
    static const char *const NOT_CALCOMS[] = { "<html>404 page not found</html>", "",
                                               "{\"message\":\"no such host\"}" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SEAT_CALLS); i++) {
        struct calcom_bench bench;
        bool has_route = SEAT_CALLS[i].call != CALCOM_CANCEL;
        bench_open(&bench, "v2");
        bench.seat = "seat-1";
        for (size_t j = 0; j < COUNT_OF(NOT_CALCOMS); j++) {
            stub_server_answer(bench.server, 404, "", NOT_CALCOMS[j]);
            check(!bench_call(&bench, SEAT_CALLS[i].call)->again, "%s", NOT_CALCOMS[j]);
            check_seat_request(&bench, SEAT_CALLS[i].by_route);
        }
        stub_server_answer(bench.server, 404, "", NO_ROUTE);
        assert_int_equal(bench_call(&bench, SEAT_CALLS[i].call)->again, has_route);
        stub_server_answer(bench.server, 200, "", "{\"status\":\"success\",\"data\":{}}");
        assert_int_equal(bench_call(&bench, SEAT_CALLS[i].call)->kind, CALCOM_DONE);
        check_seat_request(&bench, SEAT_CALLS[i].without);
        bench_close(&bench);
    }
}

/* API v1 knows nothing of seats: their bookings are confirmed whole, and none is freed. */
static void
test_seats_of_v1(void **state)
{
    struct calcom_bench bench;
    const struct calcom_subject subject = { BENCH_ID, BENCH_UID, "seat-1", BENCH_REASON, 0, "" };
    (void)state;
    bench_open(&bench, "v1");
    bench.seat = "seat-1";
    stub_server_answer(bench.server, 404, "", "{\"message\":\"Cannot POST /v1/bookings/48213\"}");
    const struct calcom_answer *answer = bench_call(&bench, CALCOM_CONFIRM);
    assert_false(answer->again);
    assert_false(answer->by_seat_route);
    assert_false(calcom_send(bench.calcom, CALCOM_DECLINE, &subject, must_not_run, NULL));
    assert_false(calcom_send(bench.calcom, CALCOM_CANCEL, &subject, must_not_run, NULL));
    assert_int_equal(stub_server_requests(bench.server), 1);
    bench_close(&bench);
}

/* A 401 may be about that seat as well as about the key: a look with the same key tells. */
static void
test_a_seat_that_must_not_be_freed(void **state)
{
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    stub_server_answer(bench.server, 401, "", "{\"message\":\"User not a host of this event\"}");
    bench.seat = "seat-1";
    assert_int_equal(bench_call(&bench, CALCOM_DECLINE)->kind, CALCOM_UNCLEAR);
    assert_int_equal(bench_call(&bench, CALCOM_CANCEL)->kind, CALCOM_UNCLEAR);
    assert_int_equal(bench_call(&bench, CALCOM_CONFIRM)->kind, CALCOM_CREDENTIALS);
    assert_int_equal(bench_call(&bench, CALCOM_LOOK)->kind, CALCOM_CREDENTIALS);
    bench.seat = NULL;
    assert_int_equal(bench_call(&bench, CALCOM_CANCEL)->kind, CALCOM_CREDENTIALS);
    bench_close(&bench);
}

/* ---- Too late ---- */

static void
check_held_back(struct calcom_bench *bench, int64_t send_by_boot_ms)
{
    size_t requests = stub_server_requests(bench->server);
    bench->send_by_boot_ms = send_by_boot_ms;
    const struct calcom_answer *answer = bench_call(bench, CALCOM_CONFIRM);
    assert_int_equal(answer->kind, CALCOM_TRANSIENT);
    assert_true(answer->too_late);
    bench_idle(bench, 30);
    assert_int_equal(stub_server_requests(bench->server), requests);
}

static void
test_what_is_too_late_does_not_go_out(void **state)
{
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    stub_server_answer(bench.server, 200, "", V2_ACCEPTED);
    check_held_back(&bench, clock_boot_ms()); /* on a new connection */
    bench.send_by_boot_ms = clock_boot_ms() + 60000;
    const struct calcom_answer *answer = bench_call(&bench, CALCOM_CONFIRM);
    assert_int_equal(answer->kind, CALCOM_DONE);
    assert_false(answer->too_late);
    check_held_back(&bench, clock_boot_ms() - 1); /* on one that is kept */
    bench_close(&bench);
}

/* ---- Failures before the request went out ---- */

static void
test_refused_connection(void **state)
{
    struct calcom_bench bench;
    char address[LISTEN_ADDRESS_SIZE], url[128], reason[LISTEN_ERROR_SIZE];
    (void)state;
    int fd = listen_open("127.0.0.1:0", 0, reason);
    assert_true(fd >= 0);
    listen_bound_address(fd, address);
    (void)close(fd);
    for (size_t i = 0; i < COUNT_OF(DIALECTS); i++) {
        memset(&bench, 0, sizeof bench);
        (void)snprintf(url, sizeof url, "http://%s/%s", address, DIALECTS[i]);
        bench_open_at(&bench, url);
        for (size_t j = 0; j < COUNT_OF(CALLS); j++) {
            const struct calcom_answer *answer = bench_call(&bench, CALLS[j]);
            assert_int_equal(answer->kind, CALCOM_TRANSIENT);
            assert_int_equal(answer->http_status, 0);
            assert_int_equal(answer->retry_after_ms, -1);
            assert_false(answer->timed_out);
            assert_true(answer->detail[0] != '\0');
            check(!unit_contains(answer->detail, BENCH_KEY), "%s", answer->detail);
        }
        bench_close(&bench);
    }
}

/* TLS to a server that has none: nothing of the request went out. */
static void
test_no_tls(void **state)
{
    struct calcom_bench plain, bench;
    char url[128];
    static const char NO_TLS[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    (void)state;
    bench_open(&plain, "v2");
    stub_server_script(plain.server, STUB_ANSWER_CLOSE, NO_TLS, sizeof NO_TLS - 1);
    memset(&bench, 0, sizeof bench);
    bench.base = plain.base; /* one loop for both */
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/v2", stub_server_port(plain.server));
    bench_open_at(&bench, url);
    bench.config.calcom_timeout_ms = 500; /* the server waits for an end of line */
    const struct calcom_answer *answer = bench_call(&bench, CALCOM_CONFIRM);
    assert_int_equal(answer->kind, CALCOM_TRANSIENT);
    assert_false(answer->timed_out);
    http_client_free(bench.http);
    calcom_free(bench.calcom);
    bench_close(&plain);
}

/* ---- Failures after it went out ---- */

static void
check_unknown(struct calcom_bench *bench, enum calcom_call call, bool timed_out)
{
    const struct calcom_answer *answer = bench_call(bench, call);
    check(answer->kind == CALCOM_UNKNOWN, "%s: %s (%s)", calcom_call_name(call),
          calcom_class_name(answer->kind), answer->detail);
    check(answer->timed_out == timed_out, "%s: timed out %d (%s)", calcom_call_name(call),
          answer->timed_out, answer->detail);
    assert_int_equal(answer->http_status, 0);
    assert_true(answer->detail[0] != '\0');
    check(!unit_contains(answer->detail, BENCH_KEY), "%s", answer->detail);
}

static void
test_timeout(void **state)
{
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    bench.config.calcom_timeout_ms = 150;
    stub_server_script(bench.server, STUB_SILENT, "", 0);
    for (size_t i = 0; i < COUNT_OF(CALLS); i++) {
        int64_t before = clock_mono_ms();
        check_unknown(&bench, CALLS[i], true);
        int64_t took = clock_mono_ms() - before;
        check(took >= 140 && took < 2000, "%" PRId64 " ms", took);
        assert_int_equal(stub_server_requests(bench.server), i + 1);
    }
    bench_close(&bench);
}

static void
test_half_an_answer(void **state)
{
    static const char *const HALVES[] = {
        "H",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"da",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(HALVES); i++) {
        struct calcom_bench bench;
        bench_open(&bench, "v2");
        bench.config.calcom_timeout_ms = 150;
        stub_server_script(bench.server, STUB_ANSWER, HALVES[i], strlen(HALVES[i]));
        check_unknown(&bench, CALCOM_CONFIRM, true);
        assert_int_equal(stub_server_requests(bench.server), 1);
        bench_close(&bench);
    }
    /* The same with an end: no timeout. */
    for (size_t i = 2; i < COUNT_OF(HALVES); i++) {
        struct calcom_bench bench;
        bench_open(&bench, "v2");
        stub_server_script(bench.server, STUB_ANSWER_CLOSE, HALVES[i], strlen(HALVES[i]));
        check_unknown(&bench, CALCOM_CONFIRM, false);
        assert_int_equal(stub_server_requests(bench.server), 1);
        bench_close(&bench);
    }
}

static const enum stub_action ENDS[] = { STUB_RESET, STUB_CLOSE };

static void
test_reset_on_a_new_connection(void **state)
{
    (void)state;
    for (size_t d = 0; d < COUNT_OF(DIALECTS); d++) {
        for (size_t e = 0; e < COUNT_OF(ENDS); e++) {
            struct calcom_bench bench;
            bench_open(&bench, DIALECTS[d]);
            stub_server_script(bench.server, ENDS[e], "", 0);
            for (size_t i = 0; i < COUNT_OF(CALLS); i++) {
                check_unknown(&bench, CALLS[i], false);
                bench_idle(&bench, 20);
                assert_int_equal(stub_server_requests(bench.server), i + 1);
            }
            bench_close(&bench);
        }
    }
}

/* libcurl would send it again by itself here, though the server had it. */
static void
test_reset_on_a_kept_connection(void **state)
{
    (void)state;
    for (size_t d = 0; d < COUNT_OF(DIALECTS); d++) {
        for (size_t e = 0; e < COUNT_OF(ENDS); e++) {
            for (size_t i = 0; i < COUNT_OF(CALLS); i++) {
                struct calcom_bench bench;
                bench_open(&bench, DIALECTS[d]);
                stub_server_answer(bench.server, 200, "", "{}");
                (void)bench_call(&bench, CALCOM_CONFIRM);
                assert_int_equal(stub_server_connections(bench.server), 1);
                stub_server_script(bench.server, ENDS[e], "", 0);
                check_unknown(&bench, CALLS[i], false);
                bench_idle(&bench, 50);
                assert_int_equal(stub_server_requests(bench.server), 2);
                assert_int_equal(bench.answers, 2);
                bench_close(&bench);
            }
        }
    }
}

/* A connection that the server ended while it was idle is not used again. */
static void
test_closed_while_idle(void **state)
{
    static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    stub_server_script(bench.server, STUB_ANSWER_CLOSE, ANSWER, sizeof ANSWER - 1);
    for (size_t i = 1; i <= 5; i++) {
        assert_int_equal(bench_call(&bench, CALCOM_CONFIRM)->kind, CALCOM_DONE);
        bench_idle(&bench, 30);
        assert_int_equal(stub_server_requests(bench.server), i);
        assert_int_equal(stub_server_connections(bench.server), i);
    }
    bench_close(&bench);
}

static void
test_no_http(void **state)
{
    static const char *const ANSWERS[] = { "+PONG\r\n", "SSH-2.0-OpenSSH\r\n", "\r\n\r\n",
                                           "HTTP/9.9 200 OK\r\n\r\n" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ANSWERS); i++) {
        struct calcom_bench bench;
        bench_open(&bench, "v2");
        stub_server_script(bench.server, STUB_ANSWER_CLOSE, ANSWERS[i], strlen(ANSWERS[i]));
        check_unknown(&bench, CALCOM_CONFIRM, false);
        assert_int_equal(stub_server_requests(bench.server), 1);
        bench_close(&bench);
    }
}

/* ---- Many, and the end ---- */

static void
test_many_at_once(void **state)
{
    enum { MANY = 50, HOST_CONNECTIONS = 4 };
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    stub_server_answer(bench.server, 200, "", V2_ACCEPTED);
    for (size_t i = 0; i < MANY; i++) {
        bench_send(&bench, CALLS[i % COUNT_OF(CALLS)]);
    }
    bench_wait(&bench, MANY);
    bench_idle(&bench, 30);
    assert_int_equal(bench.answers, MANY);
    assert_int_equal(stub_server_requests(bench.server), MANY);
    assert_in_range(stub_server_connections(bench.server), 1, HOST_CONNECTIONS);
    bench_close(&bench);
}

/* Each call ends exactly once, also when the client goes first. */
static void
test_freed_with_calls_on_their_way(void **state)
{
    struct calcom_bench bench;
    (void)state;
    bench_open(&bench, "v2");
    stub_server_script(bench.server, STUB_SILENT, "", 0);
    bench_send(&bench, CALCOM_CONFIRM);
    bench_idle(&bench, 100);
    assert_int_equal(stub_server_requests(bench.server), 1);
    http_client_free(bench.http);
    assert_int_equal(bench.answers, 1);
    assert_int_equal(bench.answer.kind, CALCOM_UNKNOWN); /* it was out */
    bench.http = http_client_new(bench.base, 1);
    calcom_free(bench.calcom);
    bench.calcom = calcom_new(&bench.config, bench.http);
    bench_send(&bench, CALCOM_CONFIRM);
    http_client_free(bench.http);
    bench.http = NULL;
    assert_int_equal(bench.answers, 2);
    assert_int_equal(bench.answer.kind, CALCOM_TRANSIENT); /* it was not */
    bench_close(&bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v2_requests),
        cmocka_unit_test(test_v1_requests),
        cmocka_unit_test(test_new_key),
        cmocka_unit_test(test_calls_that_cannot_be_written),
        cmocka_unit_test(test_missing_seat_routes),
        cmocka_unit_test(test_seats_of_v1),
        cmocka_unit_test(test_a_seat_that_must_not_be_freed),
        cmocka_unit_test(test_what_is_too_late_does_not_go_out),
        cmocka_unit_test(test_refused_connection),
        cmocka_unit_test(test_no_tls),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_half_an_answer),
        cmocka_unit_test(test_reset_on_a_new_connection),
        cmocka_unit_test(test_reset_on_a_kept_connection),
        cmocka_unit_test(test_closed_while_idle),
        cmocka_unit_test(test_no_http),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_freed_with_calls_on_their_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
