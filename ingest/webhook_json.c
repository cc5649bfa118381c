#include "ingest/webhook_json.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/timestamp.h"

#define LARGEST_NUMBER INT64_C(9007199254740991)

struct json_object *
webhook_member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (!json_object_is_type(object, json_type_object)) {
        return NULL;
    }
    return json_object_object_get_ex(object, name, &value) ? value : NULL;
}

const char *
webhook_text(struct json_object *value)
{
    if (!json_object_is_type(value, json_type_string)) {
        return NULL;
    }
    const char *text = json_object_get_string(value);
    return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

bool
webhook_copy_word(struct json_object *object, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    struct json_object *value = webhook_member(object, name);
    if (value == NULL) {
        return true;
    }
    const char *text = webhook_text(value);
    if (text == NULL || strlen(text) >= size) {
        return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            return false;
        }
    }
    (void)snprintf(out, size, "%s", text);
    return true;
}

/* json-c makes the largest 64-bit number of whatever is larger. */
bool
webhook_whole(struct json_object *value, int64_t *number)
{
    *number = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : INT64_MAX;
    return *number <= LARGEST_NUMBER && *number >= -LARGEST_NUMBER;
}

int64_t
webhook_count(struct json_object *value)
{
    int64_t number;
    return webhook_whole(value, &number) && number > 0 ? number : 0;
}

bool
webhook_time_ms(struct json_object *value, int64_t *wall_ms)
{
    const char *text = webhook_text(value);
    return text != NULL && timestamp_parse(text, wall_ms);
}

size_t
webhook_length(struct json_object *value)
{
    return json_object_is_type(value, json_type_array) ? json_object_array_length(value) : 0;
}

struct json_object *
webhook_element(struct json_object *array, size_t index)
{
    return json_object_array_get_idx(array, index);
}

/*
 * Makes a value fit to be kept. False when it has a number that JSON cannot say: the tokener takes
 * NaN and Infinity. It also takes "1." and keeps the text of every fraction as it came, so
 * fractions get a text of our own. The tokener's limit on depth bounds the recursion.
 */
static bool
make_clean(struct json_object *value) // NOLINT(misc-no-recursion)
{
    static char FORMAT[] = "%.15g";
    if (json_object_is_type(value, json_type_double)) {
        json_object_set_serializer(value, json_object_double_to_json_string, FORMAT, NULL);
        return isfinite(json_object_get_double(value));
    }
    if (json_object_is_type(value, json_type_object)) {
        json_object_object_del(value, "oneTimePassword");
        json_object_object_foreach(value, name, inner) {
            (void)name;
            if (!make_clean(inner)) {
                return false;
            }
        }
    }
    for (size_t i = 0; i < webhook_length(value); i++) {
        if (!make_clean(webhook_element(value, i))) {
            return false;
        }
    }
    return true;
}

/* Of a value that is clean. */
static bool
write_json(struct json_object *value, char *out, size_t size)
{
    size_t length = 0;
    const char *text = json_object_to_json_string_length(
        value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);
    if (text == NULL || length >= size) {
        return false;
    }
    memcpy(out, text, length + 1);
    return true;
}

bool
webhook_write_object(struct json_object *value, char *out, size_t size)
{
    out[0] = '\0';
    if (!json_object_is_type(value, json_type_object) || !make_clean(value)) {
        return true;
    }
    return write_json(value, out, size);
}

static bool
is_answer(struct json_object *value)
{
    for (size_t i = 0; i < webhook_length(value); i++) {
        if (!json_object_is_type(webhook_element(value, i), json_type_string)) {
            return false;
        }
    }
    return value != NULL && make_clean(value);
}

bool
webhook_write_answers(struct json_object *responses, char *out, size_t size)
{
    out[0] = '\0';
    if (!json_object_is_type(responses, json_type_object)) {
        return true;
    }
    struct json_object *answers = json_object_new_object();
    if (answers == NULL) {
        return false;
    }
    json_object_object_del(responses, "oneTimePassword");
    json_object_object_foreach(responses, name, response) {
        struct json_object *value = webhook_member(response, "value");
        /* The names belong to `responses`, which stays. */
        if (is_answer(value) &&
            json_object_object_add_ex(answers, name, json_object_get(value),
                                      JSON_C_OBJECT_ADD_KEY_IS_NEW |
                                          JSON_C_OBJECT_ADD_CONSTANT_KEY) != 0) {
            (void)json_object_put(value);
        }
    }
    bool fits = write_json(answers, out, size);
    (void)json_object_put(answers);
    return fits;
}
