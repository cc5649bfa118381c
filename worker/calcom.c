#include "worker/calcom.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "worker/calcom_dialect.h"
#include "worker/calcom_json.h"
#include "worker/http_client.h"

#define JSON_DEPTH  32
#define MAX_HEADERS 6
#define LIST_BYTES  (8 * 1024 * 1024) /* of a page: a hundred bookings with long notes */

static const char *const CLASS_NAMES[] = {
    [CALCOM_DONE] = "done",           [CALCOM_GONE] = "gone",
    [CALCOM_UNCLEAR] = "unclear",     [CALCOM_UNKNOWN] = "unknown",
    [CALCOM_TRANSIENT] = "transient", [CALCOM_THROTTLED] = "throttled",
    [CALCOM_REFUSED] = "refused",     [CALCOM_CREDENTIALS] = "credentials",
    [CALCOM_NO_ROUTE] = "no_route",
};

struct calcom {
    const struct config *config;
    struct http_client *http;
    const struct calcom_dialect *dialect;
    char *base_url; /* without a slash at the end */
    char *key;
    char *authorization; /* whole headers */
    char *version;
    bool no_seat_routes; /* self-hosted and older: found out by asking once */
};

/* A call on its way. */
struct pending {
    struct calcom *calcom;
    enum calcom_call call;
    char uid[BOOKING_UID_SIZE];
    char seat[BOOKING_UID_SIZE];
    char traceparent[TRACEPARENT_SIZE]; /* "": none */
    bool by_seat_route;                 /* a route that not every API has */
    calcom_row_cb *row;                 /* CALCOM_LIST */
    calcom_done_cb *done;
    void *arg;
};

const char *
calcom_class_name(enum calcom_class kind)
{
    return CLASS_NAMES[kind];
}

/* The length of the URL without slashes at its end. */
static size_t
base_length(const char *url)
{
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/') {
        length--;
    }
    return length;
}

static const struct calcom_dialect *
find_dialect(const char *url)
{
    static const struct calcom_dialect *const DIALECTS[] = { &CALCOM_V1, &CALCOM_V2 };
    size_t length = base_length(url);
    const char *host = strstr(url, "://");
    const char *path = host != NULL ? strchr(host + 3, '/') : NULL;
    if (path == NULL || path == host + 3) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof DIALECTS / sizeof DIALECTS[0]; i++) {
        size_t name = strlen(DIALECTS[i]->name);
        if (url + length >= path + 1 + name && url[length - name - 1] == '/' &&
            strncmp(url + length - name, DIALECTS[i]->name, name) == 0) {
            return DIALECTS[i];
        }
    }
    return NULL;
}

const char *
calcom_url_problem(const char *url)
{
    if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) {
        return "CALCOM_API_URL must begin with https:// or http://";
    }
    if (strpbrk(url, "?# ") != NULL || strlen(url) > 1024) {
        return "CALCOM_API_URL must be a plain address of at most 1024 characters, without ? and #";
    }
    if (find_dialect(url) == NULL) {
        return "CALCOM_API_URL must end in /v2 (today's API) or /v1, for instance "
               "https://api.cal.com/v2";
    }
    return NULL;
}

void
calcom_set_key(struct calcom *calcom, const char *key)
{
    char *copy = strdup(key), *header = NULL;
    if (copy == NULL || asprintf(&header, "Authorization: Bearer %s", key) < 0) {
        free(copy);
        return;
    }
    free(calcom->key);
    free(calcom->authorization);
    calcom->key = copy;
    calcom->authorization = header;
}

struct calcom *
calcom_new(const struct config *config, struct http_client *http)
{
    struct calcom *calcom = calloc(1, sizeof *calcom);
    if (calcom == NULL) {
        return NULL;
    }
    calcom->config = config;
    calcom->http = http;
    calcom->dialect = find_dialect(config->calcom_api_url);
    calcom->base_url = strndup(config->calcom_api_url, base_length(config->calcom_api_url));
    if (asprintf(&calcom->version, "cal-api-version: %s", config->calcom_api_version) < 0) {
        calcom->version = NULL;
    }
    calcom_set_key(calcom, config->calcom_api_key);
    if (calcom->dialect == NULL || calcom->base_url == NULL || calcom->version == NULL ||
        calcom->key == NULL) {
        calcom_free(calcom);
        return NULL;
    }
    return calcom;
}

void
calcom_free(struct calcom *calcom)
{
    if (calcom == NULL) {
        return;
    }
    free(calcom->base_url);
    free(calcom->key);
    free(calcom->authorization);
    free(calcom->version);
    free(calcom);
}

bool
calcom_confirm_is_harmless(const struct calcom *calcom)
{
    return calcom->dialect->confirm_is_harmless;
}

bool
calcom_acts_on_series(const struct calcom *calcom)
{
    return calcom->dialect->acts_on_series;
}

bool
calcom_locks_account(const struct calcom *calcom)
{
    return calcom->dialect->locks_account;
}

int64_t
calcom_usual_limit(const struct calcom *calcom)
{
    return calcom->dialect->usual_limit;
}

/* ---- Reading answers ---- */

struct json_object *
calcom_member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (!json_object_is_type(object, json_type_object)) {
        return NULL;
    }
    return json_object_object_get_ex(object, name, &value) ? value : NULL;
}

const char *
calcom_text(struct json_object *object, const char *name)
{
    struct json_object *value = calcom_member(object, name);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

bool
calcom_write_json(const struct calcom_json_member *members, size_t count, char *out, size_t size)
{
    struct json_object *root = json_object_new_object();
    if (root == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct json_object *value = json_object_new_string(members[i].text);
        if (members[i].is_list) {
            struct json_object *list = json_object_new_array();
            (void)json_object_array_add(list, value);
            value = list;
        }
        (void)json_object_object_add(root, members[i].name, value);
    }
    const char *json = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);
    int length = snprintf(out, size, "%s", json);
    (void)json_object_put(root);
    return length > 0 && (size_t)length < size;
}

static struct json_object *
parse(const char *body)
{
    struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
    if (tokener == NULL) {
        return NULL;
    }
    struct json_object *root = json_tokener_parse_ex(tokener, body, (int)strlen(body) + 1);
    json_tokener_free(tokener);
    return root;
}

static bool
fits(const struct calcom_rule *rule, unsigned calls, int status, const char *message)
{
    if (status < rule->from || status > rule->to || (rule->calls & calls) == 0) {
        return false;
    }
    return rule->message == NULL || (message != NULL && strstr(message, rule->message) != NULL);
}

static enum calcom_class
classify(const struct pending *pending, int status, const char *message)
{
    const struct calcom_dialect *dialect = pending->calcom->dialect;
    bool frees = pending->call == CALCOM_DECLINE || pending->call == CALCOM_CANCEL;
    unsigned calls = 1U << pending->call;
    if (frees && pending->seat[0] != '\0') {
        calls |= CALCOM_FREES_SEAT;
    }
    for (size_t i = 0; i < dialect->rule_count; i++) {
        if (fits(&dialect->rules[i], calls, status, message)) {
            return dialect->rules[i].kind;
        }
    }
    return CALCOM_TRANSIENT;
}

/* Whether a booking that lists its seats lacks this one: it was freed. */
static bool
lacks_seat(struct json_object *booking, const char *seat)
{
    struct json_object *attendees = calcom_member(booking, "attendees");
    size_t count =
        json_object_is_type(attendees, json_type_array) ? json_object_array_length(attendees) : 0;
    bool listed = false;
    for (size_t i = 0; i < count; i++) {
        const char *uid = calcom_text(json_object_array_get_idx(attendees, i), "seatUid");
        if (uid != NULL && strcmp(uid, seat) == 0) {
            return false;
        }
        listed = listed || uid != NULL;
    }
    return listed;
}

/* How each booking of an answer about several stands; a text to be freed, "" for none. What could
 * not be read back is left out. */
static char *
write_members(struct json_object *members)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    size_t count = members != NULL ? json_object_array_length(members) : 0;
    if (out == NULL) {
        abort(); /* a completion must not be lost */
    }
    for (size_t i = 0; i < count; i++) {
        struct json_object *booking = json_object_array_get_idx(members, i);
        const char *uid = calcom_text(booking, "uid"), *word = calcom_text(booking, "status");
        enum booking_status status;
        if (uid != NULL && booking_id_is_valid(uid) && word != NULL &&
            booking_status_parse(word, &status)) {
            (void)fprintf(out, "%s%s %s", ftell(out) > 0 ? " " : "", uid,
                          booking_status_name(status));
        }
    }
    if (fclose(out) != 0) {
        abort();
    }
    return text;
}

/* A success tells how the booking stands: in its body, or, for an act, by being one. What is done
 * to a seat leaves the booking as it is. */
static void
read_success(const struct calcom_dialect *dialect, const struct pending *pending,
             struct json_object *root, struct calcom_answer *answer)
{
    enum calcom_call call = pending->call;
    struct json_object *booking = dialect->find_booking(root, pending->uid);
    const char *series = calcom_text(booking, dialect->series_member);
    calcom_read_fate(dialect, booking, answer);
    (void)snprintf(answer->series, sizeof answer->series, "%s", series != NULL ? series : "");
    bool of_seat = pending->seat[0] != '\0';
    const char *word = of_seat && call != CALCOM_LOOK ? NULL : calcom_text(booking, "status");
    if (of_seat && word != NULL && lacks_seat(booking, pending->seat)) {
        word = "cancelled";
    }
    if (word != NULL && booking_status_parse(word, &answer->status)) {
        return;
    }
    if (call == CALCOM_LOOK) {
        answer->kind = CALCOM_TRANSIENT;
        (void)snprintf(answer->detail, sizeof answer->detail,
                       "the answer tells no booking status that is known");
        return;
    }
    answer->status = dialect->outcome[call];
}

static void
read_list(const struct pending *pending, struct json_object *root, struct calcom_answer *answer)
{
    struct json_object *rows = pending->calcom->dialect->find_rows(root);
    if (!json_object_is_type(rows, json_type_array)) {
        answer->kind = CALCOM_TRANSIENT;
        (void)snprintf(answer->detail, sizeof answer->detail, "the answer is no list of bookings");
        return;
    }
    answer->rows = json_object_array_length(rows);
    answer->more = answer->rows >= CALCOM_PAGE;
    calcom_read_rows(pending->calcom->dialect, pending->calcom->config->account_field, rows,
                     pending->row, pending->arg);
}

/* v1's errors can repeat the URL, and the key is a part of it. */
static void
hide(const char *secret, char *text)
{
    for (char *at = strstr(text, secret); *secret != '\0' && at != NULL; at = strstr(at, secret)) {
        memset(at, '*', strlen(secret));
    }
}

/* Answers the text of answer->members, to be freed, or NULL. */
static char *
read_answer(const struct pending *pending, const struct http_answer *http,
            struct calcom_answer *answer)
{
    char *members = NULL;
    struct calcom *calcom = pending->calcom;
    enum calcom_call call = pending->call;
    const struct calcom_dialect *dialect = calcom->dialect;
    struct json_object *root = parse(http->body);
    const char *message = dialect->find_message(root);
    answer->http_status = http->status;
    answer->kind = classify(pending, http->status, message);
    char text[4 * CALCOM_DETAIL_SIZE]; /* longer, so that no half of a key stands at its end */
    (void)snprintf(text, sizeof text, "%s answered %d%s%s", calcom_call_name(call), http->status,
                   message != NULL ? ": " : "", message != NULL ? message : "");
    hide(calcom->key, text);
    (void)snprintf(answer->detail, sizeof answer->detail, "%.*s", CALCOM_DETAIL_SIZE - 1, text);
    if (answer->kind == CALCOM_DONE && call == CALCOM_LIST) {
        read_list(pending, root, answer);
    } else if (answer->kind == CALCOM_DONE && call != CALCOM_ME) {
        members = write_members(dialect->find_members(root));
        answer->members = members;
        read_success(dialect, pending, root, answer);
    }
    /* Only Cal.com itself says it like this; a proxy before it may answer 404 to anything. */
    if (http->status == 404 && pending->by_seat_route && message != NULL &&
        strstr(message, "Cannot POST") != NULL) {
        calcom->no_seat_routes = true;
        answer->again = true;
    }
    (void)json_object_put(root);
    return members;
}

static void
calcom_on_answer(const struct http_answer *http, void *arg)
{
    struct pending pending = *(struct pending *)arg;
    free(arg);
    struct calcom_answer answer = {
        .retry_after_ms = http->retry_after_s < 0 ? -1 : http->retry_after_s * 1000,
        .remaining = http->remaining,
        .limit = http->limit,
        .reset_ms = http->reset_s < 0 ? -1 : http->reset_s * 1000,
        .by_seat_route = pending.by_seat_route,
        .members = "",
    };
    char *members = NULL;
    switch (http->result) {
    case HTTP_ANSWERED:
        members = read_answer(&pending, http, &answer);
        break;
    case HTTP_NOT_SENT:
        answer.kind = CALCOM_TRANSIENT;
        answer.too_late = http->too_late;
        break;
    case HTTP_UNKNOWN:
        answer.kind = CALCOM_UNKNOWN;
        answer.timed_out = http->timed_out;
        break;
    }
    if (http->result != HTTP_ANSWERED) {
        (void)snprintf(answer.detail, sizeof answer.detail, "%s: %s",
                       calcom_call_name(pending.call), http->error);
    }
    pending.done(&answer, pending.arg);
    free(members);
}

/* Sends what is written. */
static void
send_written(struct calcom *calcom, struct calcom_written *written, int64_t send_by_boot_ms,
             struct pending *pending)
{
    const char *headers[MAX_HEADERS] = { "Accept: application/json" };
    size_t count = 1;
    if (written->body[0] != '\0') {
        headers[count++] = "Content-Type: application/json";
    }
    if (calcom->dialect->bearer) {
        headers[count++] = calcom->authorization;
        headers[count++] = calcom->version;
    }
    char trace[sizeof "traceparent: " + TRACEPARENT_SIZE];
    if (pending->traceparent[0] != '\0') {
        (void)snprintf(trace, sizeof trace, "traceparent: %s", pending->traceparent);
        headers[count] = trace;
    }
    const struct http_request request = {
        .method = written->method,
        .url = written->url,
        .body = written->body[0] != '\0' ? written->body : NULL,
        .headers = headers,
        .timeout_ms = calcom->config->calcom_timeout_ms,
        .answer_bytes = pending->call == CALCOM_LIST ? LIST_BYTES : HTTP_ANSWER_BYTES,
        .send_by_boot_ms = send_by_boot_ms,
    };
    http_client_send(calcom->http, &request, calcom_on_answer, pending);
    explicit_bzero(written->url, sizeof written->url);
}

/* Writes and sends; `pending` is copied. False when the call cannot be written. */
static bool
send_parts(struct calcom *calcom, const struct calcom_parts *parts, int64_t send_by_boot_ms,
           const struct pending *pending)
{
    struct calcom_written *written = calloc(1, sizeof *written);
    struct pending *kept = calloc(1, sizeof *kept);
    if (written == NULL || kept == NULL) {
        abort(); /* a completion must not be lost */
    }
    *kept = *pending;
    bool fits = calcom->dialect->write(parts, written);
    if (fits) {
        send_written(calcom, written, send_by_boot_ms, kept);
    } else {
        free(kept);
    }
    free(written);
    return fits;
}

bool
calcom_send(struct calcom *calcom, enum calcom_call call, const struct calcom_subject *subject,
            calcom_done_cb *done, void *arg)
{
    struct pending pending = { .calcom = calcom, .call = call, .done = done, .arg = arg };
    (void)snprintf(pending.uid, sizeof pending.uid, "%s", subject->uid);
    (void)snprintf(pending.seat, sizeof pending.seat, "%s", subject->seat);
    (void)snprintf(pending.traceparent, sizeof pending.traceparent, "%s", subject->traceparent);
    pending.by_seat_route = subject->seat[0] != '\0' && calcom->dialect->seat_routes &&
                            !calcom->no_seat_routes &&
                            (call == CALCOM_CONFIRM || call == CALCOM_DECLINE);
    const struct calcom_parts parts = {
        .call = call,
        .base_url = calcom->base_url,
        .key = calcom->key,
        .id = subject->id,
        .uid = subject->uid,
        .reason = subject->reason,
        .seat = subject->seat,
        .by_seat_route = pending.by_seat_route,
    };
    return send_parts(calcom, &parts, subject->send_by_boot_ms, &pending);
}

bool
calcom_lists_all(const struct calcom *calcom)
{
    return calcom->dialect->lists_all;
}

bool
calcom_ask_list(struct calcom *calcom, const struct calcom_list *list, int64_t send_by_boot_ms,
                calcom_row_cb *row, calcom_done_cb *done, void *arg)
{
    const struct pending pending = {
        .calcom = calcom, .call = CALCOM_LIST, .row = row, .done = done, .arg = arg
    };
    const struct calcom_parts parts = { .call = CALCOM_LIST,
                                        .base_url = calcom->base_url,
                                        .key = calcom->key,
                                        .id = "",
                                        .uid = "",
                                        .reason = "",
                                        .seat = "",
                                        .list = list };
    return send_parts(calcom, &parts, send_by_boot_ms, &pending);
}
