#include "worker/calcom.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "worker/calcom_dialect.h"
#include "worker/http_client.h"

#define JSON_DEPTH  32
#define MAX_HEADERS 5

static const char *const CLASS_NAMES[] = {
    [CALCOM_DONE] = "done",           [CALCOM_GONE] = "gone",
    [CALCOM_UNCLEAR] = "unclear",     [CALCOM_UNKNOWN] = "unknown",
    [CALCOM_TRANSIENT] = "transient", [CALCOM_THROTTLED] = "throttled",
    [CALCOM_REFUSED] = "refused",     [CALCOM_CREDENTIALS] = "credentials",
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
    char seat[BOOKING_UID_SIZE];
    bool by_seat_route; /* a route that not every API has */
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
fits(const struct calcom_rule *rule, enum calcom_call call, int status, const char *message)
{
    if (status < rule->from || status > rule->to || (rule->calls & 1U << call) == 0) {
        return false;
    }
    return rule->message == NULL || (message != NULL && strstr(message, rule->message) != NULL);
}

static enum calcom_class
classify(const struct calcom_dialect *dialect, enum calcom_call call, int status,
         const char *message)
{
    for (size_t i = 0; i < dialect->rule_count; i++) {
        if (fits(&dialect->rules[i], call, status, message)) {
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

/* A success tells how the booking stands: in its body, or, for an act, by being one. What is done
 * to a seat leaves the booking as it is. */
static void
read_success(const struct calcom_dialect *dialect, const struct pending *pending,
             struct json_object *root, struct calcom_answer *answer)
{
    enum calcom_call call = pending->call;
    struct json_object *booking = dialect->find_booking(root);
    const char *series = calcom_text(booking, dialect->series_member);
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

/* v1's errors can repeat the URL, and the key is a part of it. */
static void
hide(const char *secret, char *text)
{
    for (char *at = strstr(text, secret); *secret != '\0' && at != NULL; at = strstr(at, secret)) {
        memset(at, '*', strlen(secret));
    }
}

static void
read_answer(const struct pending *pending, const struct http_answer *http,
            struct calcom_answer *answer)
{
    struct calcom *calcom = pending->calcom;
    enum calcom_call call = pending->call;
    const struct calcom_dialect *dialect = calcom->dialect;
    struct json_object *root = parse(http->body);
    const char *message = dialect->find_message(root);
    answer->http_status = http->status;
    answer->kind = classify(dialect, call, http->status, message);
    char text[4 * CALCOM_DETAIL_SIZE]; /* longer, so that no half of a key stands at its end */
    (void)snprintf(text, sizeof text, "%s answered %d%s%s", calcom_call_name(call), http->status,
                   message != NULL ? ": " : "", message != NULL ? message : "");
    hide(calcom->key, text);
    (void)snprintf(answer->detail, sizeof answer->detail, "%.*s", CALCOM_DETAIL_SIZE - 1, text);
    if (answer->kind == CALCOM_DONE) {
        read_success(dialect, pending, root, answer);
    }
    if (http->status == 404 && answer->kind == CALCOM_CREDENTIALS && pending->by_seat_route) {
        calcom->no_seat_routes = true;
        answer->again = true;
    }
    (void)json_object_put(root);
}

static void
calcom_on_answer(const struct http_answer *http, void *arg)
{
    struct pending pending = *(struct pending *)arg;
    free(arg);
    struct calcom_answer answer = { .retry_after_ms =
                                        http->retry_after_s < 0 ? -1 : http->retry_after_s * 1000 };
    switch (http->result) {
    case HTTP_ANSWERED:
        read_answer(&pending, http, &answer);
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
}

bool
calcom_send(struct calcom *calcom, enum calcom_call call, const struct calcom_subject *subject,
            calcom_done_cb *done, void *arg)
{
    struct calcom_written *written = calloc(1, sizeof *written);
    struct pending *pending = calloc(1, sizeof *pending);
    if (written == NULL || pending == NULL) {
        abort(); /* a completion must not be lost */
    }
    *pending = (struct pending){ .calcom = calcom, .call = call, .done = done, .arg = arg };
    (void)snprintf(pending->seat, sizeof pending->seat, "%s", subject->seat);
    pending->by_seat_route = subject->seat[0] != '\0' && !calcom->no_seat_routes &&
                             (call == CALCOM_CONFIRM || call == CALCOM_DECLINE);
    const struct calcom_parts parts = {
        .call = call,
        .base_url = calcom->base_url,
        .key = calcom->key,
        .id = subject->id,
        .uid = subject->uid,
        .reason = subject->reason,
        .seat = subject->seat,
        .seat_routes = !calcom->no_seat_routes,
    };
    if (!calcom->dialect->write(&parts, written)) {
        free(written);
        free(pending);
        return false;
    }
    const char *headers[MAX_HEADERS] = { "Accept: application/json" };
    size_t count = 1;
    if (written->body[0] != '\0') {
        headers[count++] = "Content-Type: application/json";
    }
    if (calcom->dialect->bearer) {
        headers[count++] = calcom->authorization;
        headers[count++] = calcom->version;
    }
    const struct http_request request = {
        .method = written->method,
        .url = written->url,
        .body = written->body[0] != '\0' ? written->body : NULL,
        .headers = headers,
        .timeout_ms = calcom->config->calcom_timeout_ms,
        .send_by_boot_ms = subject->send_by_boot_ms,
    };
    http_client_send(calcom->http, &request, calcom_on_answer, pending);
    explicit_bzero(written->url, sizeof written->url);
    free(written);
    return true;
}
