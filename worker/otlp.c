#include "worker/otlp.h"

#include <event2/event.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/backoff.h"
#include "common/config.h"
#include "common/log.h"
#include "worker/http_client.h"
#include "worker/otlp_headers.h"
#include "worker/worker_metrics.h"

#ifndef TOLLGATE_VERSION
#define TOLLGATE_VERSION "unknown"
#endif

#define PATH "/v1/traces"

#define QUEUE_TRACES  2048
#define QUEUE_BYTES   ((size_t)4 * 1024 * 1024)
#define BATCH_TRACES  64
#define GATHER_MS     1000
#define TIMEOUT_MS    5000
#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS  10000
#define AFTER_MOST_MS 30000 /* whatever Retry-After says */
#define ANSWER_BYTES  16384

struct item {
    STAILQ_ENTRY(item) next;
    size_t size;
    char *spans;
};

STAILQ_HEAD(item_list, item);

/*
 *   IDLE --something comes--> GATHERING --enough, or a second--> SENDING --taken, failed--> IDLE
 *                                                                 |  ^
 *                                                                 v  |
 *                                                                PAUSED
 */
enum otlp_state { IDLE, GATHERING, SENDING, PAUSED };

struct otlp {
    struct otlp_parts parts;
    struct http_client *http;
    struct event *timer, *flush_timer;
    char *url, *front; /* of a body, up to its spans */
    struct otlp_headers *headers;
    enum otlp_state state;
    struct item_list queue;
    size_t count, bytes; /* in the queue */
    char *body;          /* SENDING, PAUSED */
    size_t body_count;
    unsigned tries;
    bool failing; /* as was logged */
    bool flushing, freeing;
    void (*flushed)(void *arg);
    void *arg;
};

static void otlp_go_on(struct otlp *otlp);

const char *
otlp_problem(const struct config *config)
{
    const char *url = config->otlp_endpoint;
    if (*url == '\0') {
        return NULL;
    }
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return "OTEL_EXPORTER_OTLP_ENDPOINT must begin with http:// or https://, for instance "
               "http://collector:4318";
    }
    if (strpbrk(url, "@?# \t\r\n") != NULL) {
        return "OTEL_EXPORTER_OTLP_ENDPOINT must be a plain address: user and password go into "
               "OTEL_EXPORTER_OTLP_HEADERS";
    }
    return otlp_headers_are_valid(config->otlp_headers)
               ? NULL
               : "OTEL_EXPORTER_OTLP_HEADERS must be name=value, several with a comma between, and "
                 "what is not plain in a value as %XX";
}

/* ---- The queue ---- */

static void
otlp_count(struct otlp *otlp, enum worker_metric metric, size_t traces)
{
    metrics_add(otlp->parts.metrics, metric, (int64_t)traces);
    metrics_set(otlp->parts.metrics, WORKER_TRACES_WAITING,
                (int64_t)(otlp->count + otlp->body_count));
}

static struct item *
otlp_pop(struct otlp *otlp)
{
    struct item *item = STAILQ_FIRST(&otlp->queue);
    STAILQ_REMOVE_HEAD(&otlp->queue, next);
    otlp->count--;
    otlp->bytes -= item->size;
    return item;
}

static void
item_free(struct item *item)
{
    free(item->spans);
    free(item);
}

static void
otlp_start_timer(struct otlp *otlp, int64_t delay_ms)
{
    const struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
    (void)event_add(otlp->timer, &delay);
}

void
otlp_send(struct otlp *otlp, char *spans)
{
    struct item *item = spans != NULL ? calloc(1, sizeof *item) : NULL;
    size_t size = spans != NULL ? strlen(spans) + 1 : 0;
    if (item == NULL || otlp->count == QUEUE_TRACES || otlp->bytes + size > QUEUE_BYTES) {
        free(item);
        free(spans);
        otlp_count(otlp, WORKER_TRACES_DROPPED, 1);
        return;
    }
    item->spans = spans;
    item->size = size;
    STAILQ_INSERT_TAIL(&otlp->queue, item, next);
    otlp->count++;
    otlp->bytes += size;
    metrics_set(otlp->parts.metrics, WORKER_TRACES_WAITING,
                (int64_t)(otlp->count + otlp->body_count));
    otlp_go_on(otlp);
}

/* ---- A request ---- */

static void
otlp_finish(struct otlp *otlp, enum worker_metric metric)
{
    size_t count = otlp->body_count;
    free(otlp->body);
    otlp->body = NULL;
    otlp->body_count = 0;
    otlp->tries = 0;
    otlp->state = IDLE;
    otlp_count(otlp, metric, count);
}

static void
otlp_note_failure(struct otlp *otlp, const struct http_answer *answer)
{
    if (!otlp->failing) {
        log_warn("the collector does not take traces; bookings go on without",
                 log_s("url", otlp->url), log_i("status", answer->status),
                 log_s("error", answer->error));
    }
    otlp->failing = true;
}

static void
otlp_note_success(struct otlp *otlp)
{
    if (otlp->failing) {
        log_info("the collector takes traces again", log_s("url", otlp->url));
    }
    otlp->failing = false;
}

static bool
may_pass(const struct http_answer *answer)
{
    return answer->result != HTTP_ANSWERED || answer->status == 429 ||
           (answer->status >= 502 && answer->status <= 504);
}

static void
otlp_pause(struct otlp *otlp, int64_t retry_after_s)
{
    int64_t after_ms = retry_after_s > 0 ? retry_after_s * 1000 : 0;
    int64_t delay_ms = 1 + backoff_delay_ms(otlp->tries, RETRY_BASE_MS, RETRY_CAP_MS, arc4random());
    after_ms = after_ms < AFTER_MOST_MS ? after_ms : AFTER_MOST_MS;
    otlp->state = PAUSED;
    otlp_start_timer(otlp, delay_ms > after_ms ? delay_ms : after_ms);
}

static void
otlp_on_answer(const struct http_answer *answer, void *arg)
{
    struct otlp *otlp = arg;
    if (otlp->freeing) {
        return;
    }
    if (answer->result == HTTP_ANSWERED && answer->status / 100 == 2) {
        otlp_note_success(otlp);
        otlp_finish(otlp, WORKER_TRACES_EXPORTED);
    } else {
        otlp_note_failure(otlp, answer);
        if (may_pass(answer) && otlp->tries < OTLP_TRIES && !otlp->flushing) {
            otlp_pause(otlp, answer->retry_after_s);
            return;
        }
        otlp_finish(otlp, WORKER_TRACES_FAILED);
    }
    otlp_go_on(otlp);
}

static void
otlp_request(struct otlp *otlp)
{
    const struct http_request request = {
        .method = HTTP_METHOD_POST,
        .url = otlp->url,
        .body = otlp->body,
        .headers = otlp_headers_lines(otlp->headers),
        .timeout_ms = TIMEOUT_MS,
        .answer_bytes = ANSWER_BYTES,
    };
    otlp->state = SENDING;
    otlp->tries++;
    http_client_send(otlp->http, &request, otlp_on_answer, otlp);
}

/* Some of the queue as one body. */
static void
otlp_fill(struct otlp *otlp)
{
    static const char END[] = "]}]}]}";
    size_t count = 0, size = strlen(otlp->front) + sizeof END;
    struct item *item;
    STAILQ_FOREACH(item, &otlp->queue, next) {
        if (count == BATCH_TRACES) {
            break;
        }
        size += item->size; /* a comma where it has its NUL */
        count++;
    }
    FILE *out = (otlp->body = malloc(size)) != NULL ? fmemopen(otlp->body, size, "w") : NULL;
    if (out == NULL) {
        abort(); /* memory is out */
    }
    (void)fputs(otlp->front, out);
    for (size_t i = 0; i < count; i++) {
        item = otlp_pop(otlp);
        (void)fprintf(out, "%s%s", i > 0 ? "," : "", item->spans);
        item_free(item);
    }
    (void)fputs(END, out);
    (void)fclose(out);
    otlp->body_count = count;
}

static void
otlp_end_flush(struct otlp *otlp)
{
    void (*flushed)(void *arg) = otlp->flushed;
    otlp->flushed = NULL;
    if (flushed != NULL) {
        (void)event_del(otlp->flush_timer);
        flushed(otlp->arg);
    }
}

static void
otlp_go_on(struct otlp *otlp)
{
    if (otlp->state == SENDING || otlp->state == PAUSED) {
        return;
    }
    if (otlp->count == 0) {
        otlp->state = IDLE;
        otlp_end_flush(otlp);
    } else if (otlp->count >= BATCH_TRACES || otlp->flushing) {
        (void)event_del(otlp->timer);
        otlp_fill(otlp);
        otlp_request(otlp);
    } else if (otlp->state == IDLE) {
        otlp->state = GATHERING;
        otlp_start_timer(otlp, GATHER_MS);
    }
}

static void
otlp_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct otlp *otlp = arg;
    (void)fd, (void)what;
    if (otlp->state == GATHERING) {
        otlp_fill(otlp);
    }
    otlp_request(otlp);
}

/* ---- The end ---- */

static void
otlp_on_flush_over(evutil_socket_t fd, short what, void *arg)
{
    struct otlp *otlp = arg;
    (void)fd, (void)what;
    log_warn("traces are lost: the collector did not take them in time",
             log_i("traces", otlp->count + otlp->body_count));
    otlp_end_flush(otlp);
}

void
otlp_flush(struct otlp *otlp, void (*flushed)(void *arg), void *arg)
{
    static const struct timeval MOST = { .tv_sec = OTLP_FLUSH_MS / 1000 };
    otlp->flushing = true;
    otlp->flushed = flushed;
    otlp->arg = arg;
    (void)event_add(otlp->flush_timer, &MOST);
    if (otlp->state == PAUSED) {
        (void)event_del(otlp->timer);
        otlp_request(otlp);
    } else {
        otlp_go_on(otlp);
    }
}

/* ---- Life ---- */

static void
add_attribute(struct json_object *attributes, const char *key, const char *text)
{
    struct json_object *attribute = json_object_new_object(), *value = json_object_new_object();
    if (attribute == NULL || value == NULL ||
        json_object_object_add(value, "stringValue", json_object_new_string(text)) != 0 ||
        json_object_object_add(attribute, "key", json_object_new_string(key)) != 0 ||
        json_object_object_add(attribute, "value", value) != 0 ||
        json_object_array_add(attributes, attribute) != 0) {
        abort();
    }
}

/* Who we are, and the opening of the list of spans. */
static char *
make_front(const struct otlp_parts *parts)
{
    struct json_object *attributes = json_object_new_array();
    if (attributes == NULL) {
        return NULL;
    }
    add_attribute(attributes, "service.name", "tollgate-worker");
    add_attribute(attributes, "service.version", TOLLGATE_VERSION);
    add_attribute(attributes, "service.namespace", parts->config->ns);
    add_attribute(attributes, "service.instance.id", parts->instance);
    char *front = NULL;
    int length =
        asprintf(&front,
                 "{\"resourceSpans\":[{\"resource\":{\"attributes\":%s},\"scopeSpans\":[{\"scope\":"
                 "{\"name\":\"tollgate\",\"version\":\"" TOLLGATE_VERSION "\"},\"spans\":[",
                 json_object_to_json_string_ext(attributes, JSON_C_TO_STRING_PLAIN));
    (void)json_object_put(attributes);
    return length > 0 ? front : NULL;
}

static char *
make_url(const char *endpoint)
{
    size_t length = strlen(endpoint);
    while (length > 0 && endpoint[length - 1] == '/') {
        length--;
    }
    char *url = NULL;
    return asprintf(&url, "%.*s" PATH, (int)length, endpoint) > 0 ? url : NULL;
}

struct otlp *
otlp_new(const struct otlp_parts *parts)
{
    struct otlp *otlp = calloc(1, sizeof *otlp);
    if (otlp == NULL) {
        return NULL;
    }
    otlp->parts = *parts;
    STAILQ_INIT(&otlp->queue);
    otlp->url = make_url(parts->config->otlp_endpoint);
    otlp->front = make_front(parts);
    otlp->headers = otlp_headers_new(parts->config->otlp_headers);
    otlp->http = http_client_new(parts->base, 1);
    otlp->timer = evtimer_new(parts->base, otlp_on_timer, otlp);
    otlp->flush_timer = evtimer_new(parts->base, otlp_on_flush_over, otlp);
    if (otlp->url == NULL || otlp->front == NULL || otlp->headers == NULL || otlp->http == NULL ||
        otlp->timer == NULL || otlp->flush_timer == NULL) {
        otlp_free(otlp);
        return NULL;
    }
    return otlp;
}

void
otlp_free(struct otlp *otlp)
{
    if (otlp == NULL) {
        return;
    }
    otlp->freeing = true;
    http_client_free(otlp->http);
    while (!STAILQ_EMPTY(&otlp->queue)) {
        item_free(otlp_pop(otlp));
    }
    if (otlp->timer != NULL) {
        event_free(otlp->timer);
    }
    if (otlp->flush_timer != NULL) {
        event_free(otlp->flush_timer);
    }
    otlp_headers_free(otlp->headers);
    free(otlp->url);
    free(otlp->front);
    free(otlp->body);
    free(otlp);
}

void
otlp_set_headers(struct otlp *otlp, const char *headers)
{
    struct otlp_headers *fresh = otlp_headers_new(headers);
    if (fresh != NULL) {
        otlp_headers_free(otlp->headers);
        otlp->headers = fresh;
    }
}
