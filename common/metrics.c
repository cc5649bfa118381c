#include "common/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int64_t us;
    const char *seconds;
} BUCKETS[] = {
    { 500, "0.0005" },    { 1000, "0.001" },  { 2500, "0.0025" }, { 5000, "0.005" },
    { 10000, "0.01" },    { 25000, "0.025" }, { 50000, "0.05" },  { 100000, "0.1" },
    { 250000, "0.25" },   { 500000, "0.5" },  { 1000000, "1" },   { 2500000, "2.5" },
    { 5000000, "5" },     { 10000000, "10" }, { 30000000, "30" }, { 60000000, "60" },
    { 300000000, "300" },
};

#define BUCKET_COUNT (sizeof BUCKETS / sizeof BUCKETS[0])

/* A counter or gauge uses cell 0, a late one cell 1 as well; a histogram its buckets (not
 * cumulative), +Inf, and the sum. */
#define CELLS      (BUCKET_COUNT + 2)
#define CELL_SHOWN 1
#define CELL_INF   BUCKET_COUNT
#define CELL_SUM   (BUCKET_COUNT + 1)

struct metrics_shard {
    _Atomic int64_t *cells; /* CELLS for each series */
};

struct metrics {
    const struct metric *table;
    size_t count;
    size_t shard_count;
    struct metrics_shard *shards;
};

struct metrics *
metrics_new(const struct metric *table, size_t count, size_t shards)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL) {
        return NULL;
    }
    metrics->table = table;
    metrics->count = count;
    metrics->shard_count = shards;
    metrics->shards = calloc(shards, sizeof *metrics->shards);
    for (size_t i = 0; metrics->shards != NULL && i < shards; i++) {
        metrics->shards[i].cells = calloc(count * CELLS, sizeof *metrics->shards[i].cells);
        if (metrics->shards[i].cells == NULL) {
            metrics_free(metrics);
            return NULL;
        }
    }
    if (metrics->shards == NULL) {
        metrics_free(metrics);
        return NULL;
    }
    return metrics;
}

void
metrics_free(struct metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    for (size_t i = 0; metrics->shards != NULL && i < metrics->shard_count; i++) {
        free(metrics->shards[i].cells);
    }
    free(metrics->shards);
    free(metrics);
}

struct metrics_shard *
metrics_shard(struct metrics *metrics, size_t index)
{
    return &metrics->shards[index];
}

void
metrics_add(struct metrics_shard *shard, size_t series, int64_t by)
{
    atomic_fetch_add_explicit(&shard->cells[series * CELLS], by, memory_order_relaxed);
}

void
metrics_set(struct metrics_shard *shard, size_t series, int64_t value)
{
    atomic_store_explicit(&shard->cells[series * CELLS], value, memory_order_relaxed);
}

void
metrics_show(struct metrics_shard *shard, size_t series, bool shown)
{
    atomic_store_explicit(&shard->cells[series * CELLS + CELL_SHOWN], shown ? 1 : 0,
                          memory_order_relaxed);
}

void
metrics_observe_us(struct metrics_shard *shard, size_t series, int64_t microseconds)
{
    _Atomic int64_t *cells = &shard->cells[series * CELLS];
    size_t bucket = 0;
    while (bucket < BUCKET_COUNT && microseconds > BUCKETS[bucket].us) {
        bucket++;
    }
    atomic_fetch_add_explicit(&cells[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&cells[CELL_SUM], microseconds, memory_order_relaxed);
}

static int64_t
sum_of(const struct metrics *metrics, size_t series, size_t cell)
{
    int64_t sum = 0;
    for (size_t i = 0; i < metrics->shard_count; i++) {
        sum += atomic_load_explicit(&metrics->shards[i].cells[series * CELLS + cell],
                                    memory_order_relaxed);
    }
    return sum;
}

int64_t
metrics_value(const struct metrics *metrics, size_t series)
{
    return sum_of(metrics, series, 0);
}

int64_t
metrics_percentile_us(const struct metrics *metrics, size_t series, unsigned percent)
{
    int64_t all = 0, below = 0;
    for (size_t i = 0; i <= BUCKET_COUNT; i++) {
        all += sum_of(metrics, series, i);
    }
    int64_t wanted = (all * (int64_t)percent + 99) / 100;
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        int64_t here = sum_of(metrics, series, i), floor = i > 0 ? BUCKETS[i - 1].us : 0;
        if (here > 0 && below + here >= wanted) {
            return floor + (BUCKETS[i].us - floor) * (wanted - below) / here;
        }
        below += here;
    }
    return all == 0 ? -1 : BUCKETS[BUCKET_COUNT - 1].us;
}

static void
render_header(const struct metric *metric, FILE *out)
{
    static const char *const TYPES[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_HISTOGRAM] = "histogram",
        [METRIC_LATE_COUNTER] = "counter",
    };
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
                  TYPES[metric->type]);
}

static void
render_histogram(const struct metrics *metrics, size_t series, FILE *out)
{
    const struct metric *metric = &metrics->table[series];
    const char *labels = metric->labels != NULL ? metric->labels : "";
    const char *comma = metric->labels != NULL ? "," : "";
    int64_t total = 0;
    for (size_t i = 0; i <= CELL_INF; i++) {
        total += sum_of(metrics, series, i);
        (void)fprintf(out, "%s_bucket{%s%sle=\"%s\"} %" PRId64 "\n", metric->name, labels, comma,
                      i < BUCKET_COUNT ? BUCKETS[i].seconds : "+Inf", total);
    }
    int64_t sum_us = sum_of(metrics, series, CELL_SUM);
    (void)fprintf(out, "%s_sum{%s} %" PRId64 ".%06" PRId64 "\n%s_count{%s} %" PRId64 "\n",
                  metric->name, labels, sum_us / 1000000, sum_us % 1000000, metric->name, labels,
                  total);
}

static void
render_number(const struct metrics *metrics, size_t series, FILE *out)
{
    const struct metric *metric = &metrics->table[series];
    int64_t value = metrics_value(metrics, series);
    if (metric->labels != NULL) {
        (void)fprintf(out, "%s{%s} %" PRId64 "\n", metric->name, metric->labels, value);
    } else {
        (void)fprintf(out, "%s %" PRId64 "\n", metric->name, value);
    }
}

char *
metrics_render(const struct metrics *metrics)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < metrics->count; i++) {
        const struct metric *metric = &metrics->table[i];
        if (i == 0 || strcmp(metric->name, metrics->table[i - 1].name) != 0) {
            render_header(metric, out);
        }
        if (metric->type == METRIC_LATE_COUNTER && sum_of(metrics, i, CELL_SHOWN) == 0) {
            continue;
        }
        if (metric->type == METRIC_HISTOGRAM) {
            render_histogram(metrics, i, out);
        } else {
            render_number(metrics, i, out);
        }
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
