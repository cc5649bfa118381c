#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/metrics.h"
#include "ingest/console/build.h"
#include "ingest/console/chart.h"
#include "ingest/console/dress.h"
#include "ingest/console/pages.h"
#include "ingest/ingest_metrics.h"
#include "ingest/spool.h"

static const struct chart TRAFFIC = { "Webhooks and decisions",
                                      3,
                                      { "webhooks", "accepted", "rejected" },
                                      { "webhooks", "accepted", "rejected" } };
static const struct chart WAITING = { "Bookings that wait",
                                      3,
                                      { "queue", "retry", "dead" },
                                      { "in the queue", "to be tried again", "given up" } };

/* ---- What this ingest tells of itself ---- */

void
page_add_spool(struct visit *visit)
{
    const struct metrics *metrics = visit->console->metrics;
    struct json_object *spool = json_object_new_object();
    char bytes[BUILD_BYTES_SIZE], most[BUILD_BYTES_SIZE];
    spool_publish(visit->console->spool);
    build_bytes(metrics_value(metrics, INGEST_SPOOL_BYTES), bytes);
    build_bytes(visit->console->config->spool_max, most);
    build_number(spool, "entries", metrics_value(metrics, INGEST_SPOOL_ENTRIES));
    build_number(spool, "oldest_s", metrics_value(metrics, INGEST_SPOOL_OLDEST_SECONDS));
    build_number(spool, "set_aside", metrics_value(metrics, INGEST_SPOOL_SET_ASIDE));
    build_text(spool, "bytes_text", bytes);
    build_text(spool, "most_text", most);
    build_set(visit->context, "spool", spool);
}

static void
add_latency(struct json_object *ack, const char *name, int64_t us)
{
    char span[DRESS_SPAN_SIZE];
    dress_span(us / 1000, span);
    if (us < 0) {
        build_text(ack, name, "–");
    } else if (us < 10000) {
        build_print(ack, name, "%" PRId64 ".%" PRId64 " ms", us / 1000, us % 1000 / 100);
    } else {
        build_text(ack, name, span);
    }
}

static void
add_ack(struct visit *visit)
{
    const struct metrics *metrics = visit->console->metrics;
    struct json_object *ack = json_object_new_object();
    add_latency(ack, "p50", metrics_percentile_us(metrics, INGEST_ACK_SECONDS, 50));
    add_latency(ack, "p95", metrics_percentile_us(metrics, INGEST_ACK_SECONDS, 95));
    build_set(visit->context, "ack", ack);
}

/* ---- What Redis tells, in words ---- */

static struct rates_sample
counters(struct json_object *stats)
{
    static const char RECORDED[] = "recorded:";
    struct rates_sample now = { .mono_ms = clock_mono_ms() };
    now.decisions =
        build_number_of(stats, "decided:accept") + build_number_of(stats, "decided:reject");
    if (json_object_is_type(stats, json_type_object)) {
        json_object_object_foreach(stats, name, value) {
            if (strncmp(name, RECORDED, sizeof RECORDED - 1) == 0) {
                now.webhooks += json_object_get_int64(value);
            }
        }
    }
    return now;
}

/* Over the newest step that was sampled: nobody looked in the last half minute. */
static void
rates_of_graph(struct json_object *hour, double *webhooks, double *decisions)
{
    struct json_object *points = build_member(hour, "points");
    size_t count = build_count(points);
    double step_s = (double)build_number_of(hour, "step_s");
    struct json_object *last = count > 0 ? json_object_array_get_idx(points, count - 1) : NULL;
    if (step_s > 0) {
        *webhooks = (double)build_number_of(last, "webhooks") / step_s;
        *decisions =
            (double)(build_number_of(last, "accepted") + build_number_of(last, "rejected")) /
            step_s;
    }
}

static void
add_rates(struct visit *visit)
{
    struct json_object *rates = json_object_new_object();
    struct rates *seen = &visit->console->rates;
    struct rates_sample now = counters(build_member(visit->context, "stats"));
    double webhooks = 0, decisions = 0;
    if (build_member(visit->context, "stats") != NULL) { /* else Redis did not answer */
        rates_add(seen, &now);
    }
    if (!rates_per_s(seen, &now, &webhooks, &decisions)) {
        rates_of_graph(build_member(visit->context, "hour"), &webhooks, &decisions);
    }
    build_print(rates, "webhooks", "%.1f", webhooks);
    build_print(rates, "decisions", "%.1f", decisions);
    build_set(visit->context, "rates", rates);
}

static void
describe_worker(struct json_object *worker)
{
    char span[DRESS_SPAN_SIZE];
    int64_t lease_ms = build_number_of(worker, "lease_ms");
    dress_span(lease_ms < 0 ? -lease_ms : lease_ms, span);
    build_print(worker, "lease_text", lease_ms < 0 ? "lost %s ago" : "for %s more", span);
}

static void
describe_gate(struct json_object *gate)
{
    const char *cause = build_text_of(gate, "cause"), *note = build_text_of(gate, "note");
    int64_t limit = build_number_of(gate, "limit");
    if (*cause == '\0') {
        build_text(gate, "breaker_text", "closed");
    } else {
        build_print(gate, "breaker_text", "open: %s%s%s", cause, *note != '\0' ? ", " : "", note);
    }
    if (limit == 0) {
        build_text(gate, "budget_text", "no limit");
    } else {
        build_print(gate, "budget_text", "%" PRId64 " of %" PRId64 ", %" PRId64 " left",
                    build_number_of(gate, "used"), limit, build_number_of(gate, "left"));
    }
}

static void
describe_each(struct json_object *rows, void (*describe)(struct json_object *row))
{
    for (size_t i = 0; i < build_count(rows); i++) {
        describe(json_object_array_get_idx(rows, i));
    }
}

static void
describe_audit(struct json_object *context)
{
    char span[DRESS_SPAN_SIZE];
    struct json_object *age = build_member(context, "audit_age_s");
    if (build_number_of(context, "unbalanced") > 0) {
        build_print(context, "audit_text", "%" PRId64 " wrong",
                    build_number_of(context, "unbalanced"));
    } else if (age == NULL) {
        build_text(context, "audit_text", "not read yet");
    } else {
        dress_span((int64_t)(json_object_get_double(age) * 1000) / 1000 * 1000, span);
        build_print(context, "audit_text", "balance, %s ago", span);
    }
}

/* Why nobody calls Cal.com, as the breaker of a gate has it. */
static void
describe_shut(struct json_object *context)
{
    struct json_object *gates = build_member(context, "gates");
    for (size_t i = 0; i < build_count(gates); i++) {
        struct json_object *gate = json_object_array_get_idx(gates, i);
        if (*build_text_of(gate, "cause") != '\0') {
            build_text(context, "shut", build_text_of(gate, "breaker_text"));
        }
    }
}

static bool
is_well(struct json_object *context)
{
    return build_member(context, "shut") == NULL && build_number_of(context, "dead") == 0 &&
           build_number_of(context, "drift") == 0 && build_number_of(context, "unbalanced") == 0 &&
           build_member(context, "paused") == NULL &&
           build_number_of(context, "workers_count") > 0 &&
           build_number_of(build_member(context, "spool"), "entries") == 0;
}

static void
draw(struct visit *visit, const char *graph, const struct chart *chart, const char *slot)
{
    char *svg = chart_render(chart, build_member(visit->context, graph));
    if (svg != NULL) {
        build_text(visit->context, slot, svg);
    }
    free(svg);
}

static void
describe(struct visit *visit)
{
    page_add_spool(visit);
    add_ack(visit);
    add_rates(visit);
    describe_each(build_member(visit->context, "workers"), describe_worker);
    describe_each(build_member(visit->context, "gates"), describe_gate);
    describe_shut(visit->context);
    describe_audit(visit->context);
    build_flag(visit->context, "well", is_well(visit->context));
    build_text(visit->context, "version", TOLLGATE_VERSION); /* the answer has the library's */
}

static void
ask_overview(struct visit *visit)
{
    struct command command;
    command_function(&command, visit, "tollgate_overview");
    visit_ask(visit, &command, NULL);
    command_function(&command, visit, "tollgate_graph");
    command_text(&command, "hour");
    visit_ask(visit, &command, "hour");
}

static void
show_overview(struct visit *visit)
{
    describe(visit);
    draw(visit, "hour", &TRAFFIC, "chart_hour_traffic");
    draw(visit, "hour", &WAITING, "chart_hour_queue");
    draw(visit, "day", &TRAFFIC, "chart_day_traffic");
    draw(visit, "day", &WAITING, "chart_day_queue");
    page_show(visit);
}

void
page_overview(struct visit *visit)
{
    struct command command;
    ask_overview(visit);
    command_function(&command, visit, "tollgate_graph");
    command_text(&command, "day");
    visit_ask(visit, &command, "day");
    visit_then(visit, show_overview);
}

static void
show_numbers(struct visit *visit)
{
    describe(visit);
    json_object_object_del(visit->context, "hour");
    visit_show_json(visit, visit->failure[0] == '\0' ? 200 : 503);
}

void
page_overview_json(struct visit *visit)
{
    ask_overview(visit);
    visit_then(visit, show_numbers);
}
