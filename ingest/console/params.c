#include "ingest/console/params.h"

#include <ctype.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/timestamp.h"
#include "common/utf8.h"

#define DAY_MS INT64_C(86400000)

struct params {
    struct evkeyvalq list;
};

static bool
is_readable(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' && strchr("\r\n\t", *at) == NULL) {
            return false;
        }
    }
    return utf8_is_valid(text, strlen(text));
}

static void
trim(char *text)
{
    size_t blanks = strspn(text, " \t\r\n");
    size_t length = strlen(text + blanks);
    while (length > 0 && strchr(" \t\r\n", text[blanks + length - 1]) != NULL) {
        length--;
    }
    memmove(text, text + blanks, length);
    text[length] = '\0';
}

struct params *
params_parse(const char *text)
{
    struct params *params = calloc(1, sizeof *params);
    if (params == NULL) {
        return NULL;
    }
    TAILQ_INIT(&params->list);
    if (text != NULL && *text != '\0' && evhttp_parse_query_str(text, &params->list) != 0) {
        params_free(params);
        return NULL;
    }
    struct evkeyval *one;
    TAILQ_FOREACH(one, &params->list, next) {
        if (!is_readable(one->value)) {
            one->value[0] = '\0';
        }
    }
    return params;
}

void
params_free(struct params *params)
{
    if (params != NULL) {
        evhttp_clear_headers(&params->list);
        free(params);
    }
}

static struct evkeyval *
find(const struct params *params, const char *name)
{
    struct evkeyval *one;
    TAILQ_FOREACH(one, &params->list, next) {
        if (strcmp(one->key, name) == 0) {
            return one;
        }
    }
    return NULL;
}

const char *
params_raw(const struct params *params, const char *name)
{
    const struct evkeyval *one = find(params, name);
    return one != NULL ? one->value : "";
}

const char *
params_text(const struct params *params, const char *name)
{
    struct evkeyval *one = find(params, name);
    if (one == NULL) {
        return "";
    }
    trim(one->value);
    return one->value;
}

int64_t
params_number(const struct params *params, const char *name, int64_t least, int64_t most,
              int64_t otherwise)
{
    const char *text = params_text(params, name);
    char *end;
    long long number = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        return otherwise;
    }
    return number < least ? least : number > most ? most : number;
}

void
params_each(const struct params *params,
            void (*each)(const char *name, const char *value, void *arg), void *arg)
{
    struct evkeyval *one;
    TAILQ_FOREACH(one, &params->list, next) {
        each(one->key, one->value, arg);
    }
}

struct json_object *
params_json(const struct params *params)
{
    struct json_object *json = json_object_new_object();
    struct evkeyval *one;
    TAILQ_FOREACH(one, &params->list, next) {
        if (json != NULL && is_readable(one->key) &&
            !json_object_object_get_ex(json, one->key, NULL)) {
            (void)json_object_object_add(json, one->key,
                                         json_object_new_string(params_text(params, one->key)));
        }
    }
    return json;
}

static void
add_pair(struct evbuffer *query, const char *name, const char *value)
{
    char *key = evhttp_uriencode(name, -1, 0), *text = evhttp_uriencode(value, -1, 0);
    if (key != NULL && text != NULL) {
        (void)evbuffer_add_printf(query, "%s%s=%s", evbuffer_get_length(query) > 0 ? "&" : "", key,
                                  text);
    }
    free(key);
    free(text);
}

char *
params_next(const struct params *params, const char *cursor)
{
    struct evbuffer *query = evbuffer_new();
    if (query == NULL) {
        return NULL;
    }
    struct evkeyval *one;
    TAILQ_FOREACH(one, &params->list, next) {
        if (strcmp(one->key, "cursor") != 0 && one->value[0] != '\0') {
            add_pair(query, one->key, one->value);
        }
    }
    if (cursor != NULL) {
        add_pair(query, "cursor", cursor);
    }
    size_t size = evbuffer_get_length(query);
    char *text = calloc(1, size + 1);
    if (text != NULL) {
        (void)evbuffer_remove(query, text, size);
    }
    evbuffer_free(query);
    return text;
}

/* Whether the text is of this form, where 0 stands for any digit. */
static bool
has_form(const char *text, const char *form)
{
    for (; *form != '\0'; text++, form++) {
        if (*form == '0' ? !isdigit((unsigned char)*text) : *text != *form) {
            return false;
        }
    }
    return *text == '\0';
}

bool
params_day(const char *text, bool its_end, int64_t *wall_ms)
{
    char iso[TIMESTAMP_SIZE];
    bool is_month = has_form(text, "0000-00");
    if (!is_month && !has_form(text, "0000-00-00")) {
        return false;
    }
    (void)snprintf(iso, sizeof iso, "%s%sT00:00:00Z", text, is_month ? "-01" : "");
    if (!timestamp_parse(iso, wall_ms)) {
        return false;
    }
    if (its_end && is_month) {
        /* Some day of the next month, and of that the first. */
        timestamp_format(*wall_ms + 31 * DAY_MS, iso);
        (void)snprintf(iso + 8, sizeof iso - 8, "01T00:00:00Z");
        return timestamp_parse(iso, wall_ms);
    }
    *wall_ms += its_end ? DAY_MS : 0;
    return true;
}
