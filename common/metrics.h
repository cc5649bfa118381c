/*
 * Counters, gauges and latency histograms in Prometheus's text format.
 *
 * A program describes its series in one table; each thread counts in a shard of its own (relaxed
 * atomics, nothing shared on the request path), and a scrape sums the shards.
 */
#ifndef TOLLGATE_METRICS_H
#define TOLLGATE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric_type {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
    METRIC_LATE_COUNTER, /* is not there before metrics_show: 0 would say something */
};

/* One series. Series of one name stand next to each other in the table. */
struct metric {
    const char *name;
    const char *labels; /* `result="queued"`, or NULL */
    const char *help;   /* of the name: only the first series needs it */
    enum metric_type type;
};

struct metrics;
struct metrics_shard;

/* The table must outlive the metrics. NULL when memory is out. */
__attribute__((warn_unused_result)) struct metrics *metrics_new(const struct metric *table,
                                                                size_t count, size_t shards);
void metrics_free(struct metrics *metrics);

/* Shard `index` < shards: for one thread to count in. */
struct metrics_shard *metrics_shard(struct metrics *metrics, size_t index);

/* `series` is an index into the table. */
void metrics_add(struct metrics_shard *shard, size_t series, int64_t by);

/* A gauge: of several shards the sum is shown. */
void metrics_set(struct metrics_shard *shard, size_t series, int64_t value);

/* Whether a late counter is there: of several shards one is enough. */
void metrics_show(struct metrics_shard *shard, size_t series, bool shown);

/* What a counter or gauge stands at: of several shards the sum. */
int64_t metrics_value(const struct metrics *metrics, size_t series);

/* A histogram's observation; buckets run from 0.5 ms to 5 minutes. */
void metrics_observe_us(struct metrics_shard *shard, size_t series, int64_t microseconds);

/* Of a histogram's observations (us), the one that `percent` of them do not exceed, as exactly as
 * its buckets tell; -1: there were none. */
int64_t metrics_percentile_us(const struct metrics *metrics, size_t series, unsigned percent);

/* All series as text, owned by the caller; NULL when memory is out. */
__attribute__((warn_unused_result)) char *metrics_render(const struct metrics *metrics);

#endif
