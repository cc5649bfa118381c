#include "ingest/console/dress.h"

#include <event2/http.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timestamp.h"

/* 1973: what is less is a length of time. */
#define FIRST_TIME_MS 100000000000
#define LAST_TIME_MS  253402300799000 /* the end of 9999, the last that timestamp_format writes */

#define MOST_KEY 80

static const char *const LINKED[] = { "account", "booking", "id",   "event_type",
                                      "entry",   "uid",     "name", "gate" };

void
dress_span(int64_t ms, char text[DRESS_SPAN_SIZE])
{
    int64_t seconds = ms / 1000;
    if (ms < 0) {
        (void)snprintf(text, DRESS_SPAN_SIZE, "0 s");
    } else if (ms < 1000) {
        (void)snprintf(text, DRESS_SPAN_SIZE, "%" PRId64 " ms", ms);
    } else if (ms < 10000) {
        (void)snprintf(text, DRESS_SPAN_SIZE, "%" PRId64 ".%" PRId64 " s", seconds,
                       ms % 1000 / 100);
    } else if (seconds < 60) {
        (void)snprintf(text, DRESS_SPAN_SIZE, "%" PRId64 " s", seconds);
    } else if (seconds < 3600) {
        (void)snprintf(text, DRESS_SPAN_SIZE, "%" PRId64 " min", seconds / 60);
    } else if (seconds < 86400) {
        (void)snprintf(text, DRESS_SPAN_SIZE, "%" PRId64 " h %" PRId64 " min", seconds / 3600,
                       seconds % 3600 / 60);
    } else {
        (void)snprintf(text, DRESS_SPAN_SIZE, "%" PRId64 " d %" PRId64 " h", seconds / 86400,
                       seconds % 86400 / 3600);
    }
}

/* Adds `<stem><ending>`: text. */
static void
add(struct json_object *added, const char *stem, size_t length, const char *ending,
    const char *text)
{
    char key[MOST_KEY];
    (void)snprintf(key, sizeof key, "%.*s%s", (int)length, stem, ending);
    (void)json_object_object_add(added, key, json_object_new_string(text));
}

static void
add_time(struct json_object *added, const char *stem, size_t length, int64_t wall_ms,
         int64_t now_wall_ms)
{
    char iso[TIMESTAMP_SIZE], at[TIMESTAMP_SIZE], span[DRESS_SPAN_SIZE], ago[DRESS_SPAN_SIZE + 8];
    timestamp_format(wall_ms, iso);
    (void)snprintf(at, sizeof at, "%.10s %.8s", iso, iso + 11);
    if (wall_ms > now_wall_ms) {
        dress_span(wall_ms - now_wall_ms, span);
        (void)snprintf(ago, sizeof ago, "in %s", span);
    } else {
        dress_span((now_wall_ms - wall_ms) / 1000 * 1000, span);
        (void)snprintf(ago, sizeof ago, "%s ago", now_wall_ms - wall_ms < 1000 ? "0 s" : span);
    }
    add(added, stem, length, "_iso", iso);
    add(added, stem, length, "_at", at);
    add(added, stem, length, "_ago", ago);
}

static void
add_span(struct json_object *added, const char *stem, size_t length, int64_t ms)
{
    char span[DRESS_SPAN_SIZE];
    dress_span(ms, span);
    add(added, stem, length, "_span", span);
}

static void
add_url(struct json_object *added, const char *key, struct json_object *value)
{
    char *encoded =
        evhttp_uriencode(json_object_get_string(value), json_object_get_string_len(value), 0);
    if (encoded != NULL) {
        add(added, key, strlen(key), "_url", encoded);
        free(encoded);
    }
}

static bool
ends_with(const char *text, size_t length, const char *ending)
{
    size_t size = strlen(ending);
    return length > size && strcmp(text + length - size, ending) == 0;
}

static bool
is_linked(const char *key)
{
    for (size_t i = 0; i < sizeof LINKED / sizeof LINKED[0]; i++) {
        if (strcmp(key, LINKED[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void
dress_value(struct json_object *added, const char *key, struct json_object *value,
            int64_t now_wall_ms)
{
    size_t length = strlen(key);
    bool number =
        json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
    if (length >= MOST_KEY - 8) {
        return;
    }
    if (number && ends_with(key, length, "_ms")) {
        int64_t ms = json_object_get_int64(value);
        if (ms >= FIRST_TIME_MS && ms <= LAST_TIME_MS) {
            add_time(added, key, length - 3, ms, now_wall_ms);
        } else {
            add_span(added, key, length - 3, ms);
        }
    } else if (number && ends_with(key, length, "_s")) {
        add_span(added, key, length - 2, (int64_t)(json_object_get_double(value) * 1000));
    } else if (json_object_is_type(value, json_type_string) && is_linked(key)) {
        add_url(added, key, value);
    }
}

static void
dress_object(struct json_object *object, int64_t now_wall_ms) // NOLINT(misc-no-recursion)
{
    /* Beside it, since an object does not change while one walks through it. */
    struct json_object *added = json_object_new_object();
    if (added == NULL) {
        return;
    }
    json_object_object_foreach(object, key, value) {
        dress(value, now_wall_ms);
        dress_value(added, key, value, now_wall_ms);
    }
    json_object_object_foreach(added, name, text) {
        (void)json_object_object_add(object, name, json_object_get(text));
    }
    (void)json_object_put(added);
}

void
dress(struct json_object *json, int64_t now_wall_ms) // NOLINT(misc-no-recursion)
{
    if (json_object_is_type(json, json_type_object)) {
        dress_object(json, now_wall_ms);
    } else if (json_object_is_type(json, json_type_array)) {
        size_t count = json_object_array_length(json);
        for (size_t i = 0; i < count; i++) {
            dress(json_object_array_get_idx(json, i), now_wall_ms);
        }
    }
}
