#include "worker/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "common/clock.h"

#ifndef TOLLGATE_VERSION
#define TOLLGATE_VERSION "unknown"
#endif

#define DELAY_MAX_S   86400      /* no server means more than a day */
#define EPOCH_FROM    1000000000 /* a reset time above this is a moment, below it a duration (s) */
#define EPOCH_MS_FROM INT64_C(1000000000000) /* and above this one in milliseconds */

struct transfer {
    LIST_ENTRY(transfer) next;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    http_done_cb *done;
    void *arg;
    char *body;
    size_t body_size, answer_bytes;
    int64_t send_by_boot_ms; /* 0: at any time */
    int sends;               /* how often libcurl began to write the request */
    bool too_late, too_long;
    int64_t retry_after_s, remaining, limit, reset_s;
};

LIST_HEAD(transfer_list, transfer);

struct http_client {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    struct transfer_list transfers;
};

static void
transfer_free(struct transfer *transfer)
{
    LIST_REMOVE(transfer, next);
    if (transfer->easy != NULL) {
        curl_easy_cleanup(transfer->easy);
    }
    curl_slist_free_all(transfer->headers);
    free(transfer->body);
    free(transfer);
}

static void
transfer_finish(struct transfer *transfer, CURLcode code)
{
    long status = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    struct http_answer answer = {
        .result = HTTP_ANSWERED,
        .status = (int)status,
        .body = transfer->body != NULL ? transfer->body : "",
        .error = "",
        .too_late = transfer->too_late,
        .retry_after_s = transfer->retry_after_s,
        .remaining = transfer->remaining,
        .limit = transfer->limit,
        .reset_s = transfer->reset_s,
    };
    if (code != CURLE_OK) {
        answer.result = transfer->sends > 0 ? HTTP_UNKNOWN : HTTP_NOT_SENT;
        answer.timed_out = code == CURLE_OPERATION_TIMEDOUT;
        answer.error = transfer->too_late   ? "it was too late to send it"
                       : transfer->too_long ? "the answer is too long"
                                            : curl_easy_strerror(code);
    }
    transfer->done(&answer, transfer->arg);
    transfer_free(transfer);
}

/* ---- What libcurl asks of a transfer ---- */

static size_t
transfer_on_body(char *bytes, size_t one, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    (void)one; /* always 1 */
    if (transfer->body_size + count > transfer->answer_bytes) {
        transfer->too_long = true;
        return 0;
    }
    char *grown = realloc(transfer->body, transfer->body_size + count + 1);
    if (grown == NULL) {
        return 0;
    }
    memcpy(grown + transfer->body_size, bytes, count);
    transfer->body = grown;
    transfer->body_size += count;
    transfer->body[transfer->body_size] = '\0';
    return count;
}

/* Seconds from a header's value: a number of seconds, a moment in epoch seconds, or an HTTP date.
 */
static int64_t
read_delay_s(const char *value)
{
    int64_t now_s = clock_wall_ms() / 1000;
    char *end;
    long long number = strtoll(value, &end, 10);
    if (end == value) {
        number = curl_getdate(value, NULL);
    }
    if (number < 0) {
        return -1;
    }
    if (number >= EPOCH_MS_FROM) {
        number /= 1000;
    }
    if (number >= EPOCH_FROM) {
        number = number > now_s ? number - now_s : 0;
    }
    return number < DELAY_MAX_S ? number : DELAY_MAX_S;
}

/* A count; -1 for anything else. */
static int64_t
read_count(const char *value)
{
    char *end;
    long long number = strtoll(value, &end, 10);
    return end != value && number >= 0 && number < INT32_MAX ? number : -1;
}

/* What stands behind a header's name, or NULL when the line is another header's. Cal.com v1 writes
 * X-RateLimit-Reset, v2 X-RateLimit-Reset-Default. */
static const char *
value_of(const char *line, const char *name, bool may_go_on)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0) {
        return NULL;
    }
    const char *at = line + length;
    if (may_go_on && *at == '-') {
        at += strcspn(at, ": \t\r\n");
    }
    return *at == ':' ? at + 1 + strspn(at + 1, " \t") : NULL;
}

/* Of several headers the one counts that allows less. */
static void
read_limits(struct transfer *transfer, const char *line)
{
    const char *value = value_of(line, "X-RateLimit-Remaining", true);
    int64_t count = value != NULL ? read_count(value) : -1;
    if (count >= 0 && (transfer->remaining < 0 || count < transfer->remaining)) {
        transfer->remaining = count;
    }
    value = value_of(line, "X-RateLimit-Limit", true);
    count = value != NULL ? read_count(value) : -1;
    if (count >= 0 && (transfer->limit < 0 || count < transfer->limit)) {
        transfer->limit = count;
    }
    const char *reset = value_of(line, "X-RateLimit-Reset", true);
    value = reset != NULL ? reset : value_of(line, "Retry-After", false);
    int64_t delay_s = value != NULL ? read_delay_s(value) : -1;
    if (delay_s > transfer->retry_after_s) {
        transfer->retry_after_s = delay_s;
    }
    if (reset != NULL && delay_s > transfer->reset_s) {
        transfer->reset_s = delay_s;
    }
}

static size_t
transfer_on_header(char *bytes, size_t one, size_t count, void *arg)
{
    char line[128];
    (void)one;
    size_t length = count < sizeof line - 1 ? count : sizeof line - 1;
    memcpy(line, bytes, length);
    line[length] = '\0';
    read_limits(arg, line);
    return count;
}

/* Just before the request is written, when all waiting for a connection is over: the last moment at
 * which it can be held back. libcurl would write it again by itself when a kept connection died
 * under it, though the server may have got the first: that is the caller's to find out. */
static int
transfer_on_send(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct transfer *transfer = arg;
    (void)peer, (void)local, (void)peer_port, (void)local_port;
    if (transfer->sends == 0 && transfer->send_by_boot_ms > 0 &&
        clock_boot_ms() >= transfer->send_by_boot_ms) {
        transfer->too_late = true;
        return CURL_PREREQFUNC_ABORT;
    }
    transfer->sends++;
    return transfer->sends == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* ---- libcurl on libevent ---- */

static void
client_collect(struct http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        CURLcode code = message->data.result;
        CURL *easy = message->easy_handle; /* message is gone with the handle */
        struct transfer *transfer = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
        (void)curl_multi_remove_handle(client->multi, easy);
        transfer_finish(transfer, code);
    }
}

static void
client_on_socket_event(evutil_socket_t fd, short what, void *arg)
{
    struct http_client *client = arg;
    int running;
    int action = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
                 ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    (void)curl_multi_socket_action(client->multi, fd, action, &running);
    client_collect(client);
}

static void
client_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct http_client *client = arg;
    int running;
    (void)fd, (void)what;
    (void)curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    client_collect(client);
}

static int
client_on_want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct http_client *client = arg;
    struct event *event = socket_arg;
    (void)easy;
    if (event != NULL) {
        event_free(event);
        (void)curl_multi_assign(client->multi, fd, NULL);
    }
    if (what == CURL_POLL_REMOVE) {
        return 0;
    }
    short kind = (short)(((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                         ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0) | EV_PERSIST);
    event = event_new(client->base, fd, kind, client_on_socket_event, client);
    if (event == NULL || event_add(event, NULL) != 0) {
        return -1;
    }
    (void)curl_multi_assign(client->multi, fd, event);
    return 0;
}

static int
client_on_want_timer(CURLM *multi, long delay_ms, void *arg)
{
    struct http_client *client = arg;
    (void)multi;
    if (delay_ms < 0) {
        (void)event_del(client->timer);
        return 0;
    }
    struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
    return event_add(client->timer, &delay);
}

struct http_client *
http_client_new(struct event_base *base, long connections)
{
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(client);
        return NULL;
    }
    client->base = base;
    LIST_INIT(&client->transfers);
    client->multi = curl_multi_init();
    client->timer = evtimer_new(base, client_on_timer, client);
    if (client->multi == NULL || client->timer == NULL) {
        http_client_free(client);
        return NULL;
    }
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, client_on_want_socket);
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, client_on_want_timer);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, connections);
    (void)curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    return client;
}

void
http_client_free(struct http_client *client)
{
    if (client == NULL) {
        return;
    }
    while (!LIST_EMPTY(&client->transfers)) {
        struct transfer *transfer = LIST_FIRST(&client->transfers);
        (void)curl_multi_remove_handle(client->multi, transfer->easy);
        transfer_finish(transfer, CURLE_ABORTED_BY_CALLBACK);
        assert(LIST_FIRST(&client->transfers) != transfer);
    }
    (void)curl_multi_cleanup(client->multi);
    if (client->timer != NULL) {
        event_free(client->timer);
    }
    free(client);
    curl_global_cleanup();
}

static void
set_method(CURL *easy, const struct http_request *request)
{
    static const char *const NAMES[] = { [HTTP_METHOD_GET] = "GET",
                                         [HTTP_METHOD_POST] = "POST",
                                         [HTTP_METHOD_PATCH] = "PATCH",
                                         [HTTP_METHOD_DELETE] = "DELETE" };
    if (request->method == HTTP_METHOD_GET) {
        return;
    }
    const char *body = request->body != NULL ? request->body : "";
    if (*body != '\0' || request->method != HTTP_METHOD_DELETE) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        (void)curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
    }
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NAMES[request->method]);
}

static bool
set_headers(struct transfer *transfer, const char *const *headers)
{
    for (; *headers != NULL; headers++) {
        struct curl_slist *longer = curl_slist_append(transfer->headers, *headers);
        if (longer == NULL) {
            return false;
        }
        transfer->headers = longer;
    }
    (void)curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    return true;
}

static void
set_options(struct transfer *transfer, const struct http_request *request)
{
    CURL *easy = transfer->easy;
    (void)curl_easy_setopt(easy, CURLOPT_URL, request->url);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "tollgate/" TOLLGATE_VERSION);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, transfer_on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, transfer_on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, transfer_on_send);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    set_method(easy, request);
}

void
http_client_send(struct http_client *client, const struct http_request *request, http_done_cb *done,
                 void *arg)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL) {
        abort(); /* a completion must not be lost */
    }
    transfer->client = client;
    transfer->done = done;
    transfer->arg = arg;
    transfer->answer_bytes = request->answer_bytes;
    transfer->send_by_boot_ms = request->send_by_boot_ms;
    transfer->retry_after_s = transfer->remaining = transfer->limit = transfer->reset_s = -1;
    LIST_INSERT_HEAD(&client->transfers, transfer, next);
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL || !set_headers(transfer, request->headers)) {
        abort();
    }
    set_options(transfer, request);
    /* libcurl only sets its timer here; everything else happens from the loop. */
    if (curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK) {
        abort();
    }
}

bool
http_encode(const char *text, char *out, size_t size)
{
    static const char HEX[] = "0123456789ABCDEF";
    size_t used = 0;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-_.~", c) != NULL;
        if (used + (plain ? 1 : 3) >= size) {
            return false;
        }
        if (plain) {
            out[used++] = (char)c;
        } else {
            out[used++] = '%';
            out[used++] = HEX[c >> 4];
            out[used++] = HEX[c & 15];
        }
    }
    out[used] = '\0';
    return true;
}
