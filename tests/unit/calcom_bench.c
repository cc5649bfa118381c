#include "tests/unit/calcom_bench.h"

#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/loop.h"
#include "tests/unit/unit.h"
#include "worker/http_client.h"

#define CONNECTIONS 4
#define PATIENCE_MS 10000
#define STEP_USEC   20000
#define TIMEOUT_MS  5000

void
bench_open_at(struct calcom_bench *bench, const char *url)
{
    bench->send_by_boot_ms = INT64_MAX;
    /* A proxy of the machine's has no part in this. */
    static const char *const PROXIES[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                           "ALL_PROXY" };
    for (size_t i = 0; i < COUNT_OF(PROXIES); i++) {
        (void)unsetenv(PROXIES[i]);
    }
    if (bench->base == NULL) {
        bench->base = loop_make_base();
    }
    (void)snprintf(bench->url, sizeof bench->url, "%s", url);
    (void)snprintf(bench->key, sizeof bench->key, "%s", BENCH_KEY);
    (void)snprintf(bench->version, sizeof bench->version, "2024-08-13");
    bench->config = (struct config){ .calcom_api_url = bench->url,
                                     .calcom_api_key = bench->key,
                                     .calcom_api_version = bench->version,
                                     .calcom_timeout_ms = TIMEOUT_MS };
    assert_non_null(bench->base);
    bench->http = http_client_new(bench->base, CONNECTIONS);
    assert_non_null(bench->http);
    bench->calcom = calcom_new(&bench->config, bench->http);
    assert_non_null(bench->calcom);
}

void
bench_open(struct calcom_bench *bench, const char *dialect)
{
    char url[128];
    memset(bench, 0, sizeof *bench);
    bench->base = loop_make_base();
    assert_non_null(bench->base);
    bench->server = stub_server_new(bench->base);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/%s", stub_server_port(bench->server),
                   dialect);
    bench_open_at(bench, url);
}

void
bench_close(struct calcom_bench *bench)
{
    http_client_free(bench->http);
    calcom_free(bench->calcom);
    if (bench->server != NULL) {
        stub_server_free(bench->server);
    }
    event_base_free(bench->base);
}

static void
bench_on_done(const struct calcom_answer *answer, void *arg)
{
    struct calcom_bench *bench = arg;
    bench->answer = *answer;
    (void)snprintf(bench->members, sizeof bench->members, "%s", answer->members);
    bench->answer.members = bench->members;
    bench->answers++;
}

void
bench_send(struct calcom_bench *bench, enum calcom_call call)
{
    int before = bench->answers;
    const struct calcom_subject subject = { BENCH_ID,
                                            BENCH_UID,
                                            bench->seat != NULL ? bench->seat : "",
                                            BENCH_REASON,
                                            bench->send_by_boot_ms,
                                            "" };
    bool sent = calcom_send(bench->calcom, call, &subject, bench_on_done, bench);
    check(sent, "%s was not sent", calcom_call_name(call));
    check(bench->answers == before, "%s was answered from inside", calcom_call_name(call));
}

static void
bench_on_pause(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg; /* it only wakes the loop */
}

/* Runs the loop until there are that many answers, but not longer than that. */
static void
bench_run(struct calcom_bench *bench, int answers, int64_t milliseconds)
{
    struct event *timer = event_new(bench->base, -1, EV_PERSIST, bench_on_pause, NULL);
    const struct timeval step = { .tv_usec = STEP_USEC };
    int64_t until = clock_mono_ms() + milliseconds;
    assert_non_null(timer);
    (void)event_add(timer, &step);
    while (bench->answers < answers && clock_mono_ms() < until) {
        (void)event_base_loop(bench->base, EVLOOP_ONCE);
    }
    event_free(timer);
}

void
bench_idle(struct calcom_bench *bench, int milliseconds)
{
    bench_run(bench, INT_MAX, milliseconds);
}

void
bench_wait(struct calcom_bench *bench, int answers)
{
    bench_run(bench, answers, PATIENCE_MS);
    check(bench->answers == answers, "%d answers and not %d", bench->answers, answers);
}

const struct calcom_answer *
bench_call(struct calcom_bench *bench, enum calcom_call call)
{
    bench_send(bench, call);
    bench_wait(bench, bench->answers + 1);
    return &bench->answer;
}
