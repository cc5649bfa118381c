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

#include "common/booking.h"
#include "common/timestamp.h"
#include "common/utf8.h"

#define DAY_MS INT64_C(86400000)

struct param {
    char *name, *value;
};

struct params {
    size_t count;
    struct param each[];
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

/* evhttp decodes values and leaves names as they are. */
static bool
take(struct params *params, const struct evkeyval *pair)
{
    struct param *param = &params->each[params->count];
    param->name = evhttp_uridecode(pair->key, 1, NULL);
    param->value = strdup(is_readable(pair->value) ? pair->value : "");
    params->count++;
    return param->name != NULL && param->value != NULL;
}

struct params *
params_parse(const char *text)
{
    struct evkeyvalq list;
    const struct evkeyval *pair;
    size_t count = 0;
    TAILQ_INIT(&list);
    if (text != NULL && *text != '\0' && evhttp_parse_query_str(text, &list) != 0) {
        return NULL;
    }
    TAILQ_FOREACH(pair, &list, next) {
        count++;
    }
    if (count > PARAMS_MOST) {
        evhttp_clear_headers(&list);
        return NULL;
    }
    struct params *params = calloc(1, sizeof *params + count * sizeof params->each[0]);
    bool whole = params != NULL;
    TAILQ_FOREACH(pair, &list, next) {
        whole = whole && take(params, pair);
    }
    evhttp_clear_headers(&list);
    if (!whole) {
        params_free(params);
        return NULL;
    }
    return params;
}

void
params_free(struct params *params)
{
    for (size_t i = 0; params != NULL && i < params->count; i++) {
        free(params->each[i].name);
        free(params->each[i].value);
    }
    free(params);
}

static const struct param *
find(const struct params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++) {
        if (strcmp(params->each[i].name, name) == 0) {
            return &params->each[i];
        }
    }
    return NULL;
}

const char *
params_raw(const struct params *params, const char *name)
{
    const struct param *param = find(params, name);
    return param != NULL ? param->value : "";
}

const char *
params_text(const struct params *params, const char *name)
{
    const struct param *param = find(params, name);
    if (param == NULL) {
        return "";
    }
    trim(param->value);
    return param->value;
}

const char *
params_account(const struct params *params, const char *name)
{
    char account[BOOKING_ACCOUNT_SIZE];
    const struct param *param = find(params, name);
    const char *text = params_text(params, name);
    if (param != NULL && booking_normalise_account(text, account)) {
        memcpy(param->value, account, strlen(account) + 1); /* never longer than it was */
    }
    return text;
}

void
params_each(const struct params *params,
            void (*each)(const char *name, const char *value, void *arg), void *arg)
{
    for (size_t i = 0; i < params->count; i++) {
        each(params->each[i].name, params->each[i].value, arg);
    }
}

struct json_object *
params_json(const struct params *params)
{
    struct json_object *json = json_object_new_object();
    for (size_t i = 0; json != NULL && i < params->count; i++) {
        const char *name = params->each[i].name;
        if (is_readable(name) && !json_object_object_get_ex(json, name, NULL)) {
            (void)json_object_object_add(json, name,
                                         json_object_new_string(params_text(params, name)));
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
    for (size_t i = 0; i < params->count; i++) {
        const struct param *param = &params->each[i];
        if (strcmp(param->name, "cursor") != 0 && param->value[0] != '\0') {
            add_pair(query, param->name, param->value);
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
