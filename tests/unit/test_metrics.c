#include "common/metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

enum { QUEUED, IGNORED, LATE, IN_HAND, SECONDS, SECONDS_LABELLED, SERIES };

static const struct metric TABLE[SERIES] = {
    { "t_webhooks_total", "result=\"queued\"", "Webhooks by result.", METRIC_COUNTER },
    { "t_webhooks_total", "result=\"ignored\"", NULL, METRIC_COUNTER },
    { "t_told_total", NULL, "Told by others.", METRIC_LATE_COUNTER },
    { "t_in_hand", NULL, "Bookings in hand.", METRIC_GAUGE },
    { "t_seconds", NULL, "How long it took.", METRIC_HISTOGRAM },
    { "t_call_seconds", "call=\"look\"", "How long calls took.", METRIC_HISTOGRAM },
};

static struct metrics *
make(size_t shards)
{
    struct metrics *metrics = metrics_new(TABLE, SERIES, shards);
    assert_non_null(metrics);
    return metrics;
}

static char *
render(const struct metrics *metrics)
{
    char *text = metrics_render(metrics);
    assert_non_null(text);
    return text;
}

/* Fails unless `line` is a whole line of the text. */
static void
check_line(const char *text, const char *line)
{
    size_t length = strlen(line);
    for (const char *at = strstr(text, line); at != NULL; at = strstr(at + 1, line)) {
        if ((at == text || at[-1] == '\n') && at[length] == '\n') {
            return;
        }
    }
    fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void
check_rendered_line(const struct metrics *metrics, const char *line)
{
    char *text = render(metrics);
    check_line(text, line);
    free(text);
}

static void
test_starts_at_zero(void **state)
{
    struct metrics *metrics = make(2);
    (void)state;
    char *text = render(metrics);
    check_line(text, "t_webhooks_total{result=\"queued\"} 0");
    check_line(text, "t_webhooks_total{result=\"ignored\"} 0");
    check_line(text, "t_in_hand 0");
    check_line(text, "t_seconds_bucket{le=\"+Inf\"} 0");
    free(text);
    metrics_free(metrics);
}

static void
test_counters_add_over_shards(void **state)
{
    struct metrics *metrics = make(3);
    (void)state;
    metrics_add(metrics_shard(metrics, 0), QUEUED, 1);
    metrics_add(metrics_shard(metrics, 0), QUEUED, 1);
    metrics_add(metrics_shard(metrics, 1), QUEUED, 40);
    metrics_add(metrics_shard(metrics, 2), QUEUED, 1000000000000);
    metrics_add(metrics_shard(metrics, 2), IGNORED, 7);
    check_rendered_line(metrics, "t_webhooks_total{result=\"queued\"} 1000000000042");
    check_rendered_line(metrics, "t_webhooks_total{result=\"ignored\"} 7");
    check_rendered_line(metrics, "t_in_hand 0");
    metrics_free(metrics);
}

/* A counter that begins at 0 and is told to be at 500 has made a leap that nobody made. */
static void
test_late_counter_is_there_when_it_is_shown(void **state)
{
    struct metrics *metrics = make(2);
    (void)state;
    metrics_set(metrics_shard(metrics, 1), LATE, 500);
    char *text = render(metrics);
    assert_null(strstr(text, "\nt_told_total"));
    check_line(text, "# TYPE t_told_total counter");
    free(text);
    metrics_show(metrics_shard(metrics, 1), LATE, true);
    check_rendered_line(metrics, "t_told_total 500");
    assert_int_equal(metrics_value(metrics, LATE), 500);
    metrics_show(metrics_shard(metrics, 1), LATE, false);
    text = render(metrics);
    assert_null(strstr(text, "\nt_told_total"));
    free(text);
    metrics_free(metrics);
}

static void
test_gauge_is_set(void **state)
{
    struct metrics *metrics = make(2);
    (void)state;
    metrics_set(metrics_shard(metrics, 0), IN_HAND, 64);
    metrics_set(metrics_shard(metrics, 0), IN_HAND, 5);
    check_rendered_line(metrics, "t_in_hand 5");
    metrics_set(metrics_shard(metrics, 1), IN_HAND, 3);
    check_rendered_line(metrics, "t_in_hand 8");
    metrics_set(metrics_shard(metrics, 0), IN_HAND, 0);
    check_rendered_line(metrics, "t_in_hand 3");
    metrics_set(metrics_shard(metrics, 1), IN_HAND, -4);
    check_rendered_line(metrics, "t_in_hand -4");
    metrics_free(metrics);
}

/* Reads the counts of the buckets of one series, in the order in which they stand. */
static size_t
read_buckets(const char *text, const char *name, double *bounds, long long *counts, size_t room)
{
    size_t count = 0;
    size_t length = strlen(name);
    for (const char *at = strstr(text, name); at != NULL; at = strstr(at + 1, name)) {
        const char *bound = strstr(at, "le=\"");
        if ((at != text && at[-1] != '\n') || strncmp(at + length, "_bucket{", 8) != 0) {
            continue;
        }
        assert_non_null(bound);
        assert_true(count < room);
        char *end;
        bounds[count] = strtod(bound + 4, &end);
        assert_int_equal(strncmp(end, "\"} ", 3), 0);
        counts[count++] = strtoll(end + 3, NULL, 10);
    }
    return count;
}

static void
test_histogram_is_cumulative(void **state)
{
    static const int64_t MICROSECONDS[] = { 0,        1,        500,    501,   999,     1000,
                                            1001,     24999,    25000,  25001, 9999999, 10000000,
                                            10000001, 60000000, 250000, 250001 };
    double bounds[32] = { 0 };
    long long counts[32] = { 0 };
    struct metrics *metrics = make(2);
    int64_t sum = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(MICROSECONDS); i++) {
        metrics_observe_us(metrics_shard(metrics, i % 2), SECONDS, MICROSECONDS[i]);
        sum += MICROSECONDS[i];
    }
    char *text = render(metrics);
    size_t buckets = read_buckets(text, "t_seconds", bounds, counts, COUNT_OF(bounds));
    assert_true(buckets > 2);
    assert_true(bounds[0] == 0.0005);
    assert_true(bounds[buckets - 2] == 300.0);
    assert_true(bounds[buckets - 1] > 1e300);
    for (size_t i = 0; i < buckets; i++) {
        long long expected = 0;
        for (size_t j = 0; j < COUNT_OF(MICROSECONDS); j++) {
            expected += (double)MICROSECONDS[j] / 1e6 <= bounds[i];
        }
        check(counts[i] == expected, "bucket %g has %lld and not %lld", bounds[i], counts[i],
              expected);
        check(i == 0 || bounds[i] > bounds[i - 1], "bucket %zu is out of order", i);
    }
    check_line(text, "t_seconds_count{} 16");
    const char *sum_line = strstr(text, "\nt_seconds_sum{} ");
    assert_non_null(sum_line);
    double shown = strtod(sum_line + 17, NULL);
    assert_true(shown > (double)sum / 1e6 - 1e-6 && shown < (double)sum / 1e6 + 1e-6);
    free(text);
    metrics_free(metrics);
}

static void
test_sum_has_leading_zeros(void **state)
{
    struct metrics *metrics = make(1);
    (void)state;
    metrics_observe_us(metrics_shard(metrics, 0), SECONDS_LABELLED, 2000042);
    check_rendered_line(metrics, "t_call_seconds_sum{call=\"look\"} 2.000042");
    check_rendered_line(metrics, "t_call_seconds_count{call=\"look\"} 1");
    check_rendered_line(metrics, "t_call_seconds_bucket{call=\"look\",le=\"1\"} 0");
    check_rendered_line(metrics, "t_call_seconds_bucket{call=\"look\",le=\"2.5\"} 1");
    check_rendered_line(metrics, "t_call_seconds_bucket{call=\"look\",le=\"+Inf\"} 1");
    metrics_free(metrics);
}

static size_t
count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

static void
test_text_form(void **state)
{
    struct metrics *metrics = make(1);
    (void)state;
    char *text = render(metrics);
    check_line(text, "# HELP t_webhooks_total Webhooks by result.");
    check_line(text, "# TYPE t_webhooks_total counter");
    check_line(text, "# TYPE t_in_hand gauge");
    check_line(text, "# TYPE t_seconds histogram");
    /* Once per name, and before its first series. */
    assert_int_equal(count_of(text, "# HELP t_webhooks_total "), 1);
    assert_int_equal(count_of(text, "# TYPE t_webhooks_total "), 1);
    assert_int_equal(count_of(text, "# TYPE "), 5);
    assert_true(strstr(text, "# TYPE t_webhooks_total ") < strstr(text, "\nt_webhooks_total{"));
    assert_true(strstr(text, "# HELP t_webhooks_total ") <
                strstr(text, "# TYPE t_webhooks_total "));
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_false(unit_contains(text, "\n\n"));
    assert_false(unit_contains(text, "(null)"));
    free(text);
    metrics_free(metrics);
}

#define THREADS   4
#define PER_SHARD 100000

static void *
count_up(void *arg)
{
    for (int i = 0; i < PER_SHARD; i++) {
        metrics_add(arg, QUEUED, 1);
        metrics_observe_us(arg, SECONDS, 700);
    }
    return NULL;
}

static void
test_threads_lose_nothing(void **state)
{
    struct metrics *metrics = make(THREADS);
    pthread_t threads[THREADS];
    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, metrics_shard(metrics, i)), 0);
    }
    free(render(metrics)); /* meanwhile */
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    check_rendered_line(metrics, "t_webhooks_total{result=\"queued\"} 400000");
    check_rendered_line(metrics, "t_seconds_bucket{le=\"0.0005\"} 0");
    check_rendered_line(metrics, "t_seconds_bucket{le=\"0.001\"} 400000");
    check_rendered_line(metrics, "t_seconds_sum{} 280.000000");
    metrics_free(metrics);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_at_zero),
        cmocka_unit_test(test_counters_add_over_shards),
        cmocka_unit_test(test_late_counter_is_there_when_it_is_shown),
        cmocka_unit_test(test_gauge_is_set),
        cmocka_unit_test(test_histogram_is_cumulative),
        cmocka_unit_test(test_sum_has_leading_zeros),
        cmocka_unit_test(test_text_form),
        cmocka_unit_test(test_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
