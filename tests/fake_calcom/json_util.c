#include "json_util.h"

#include <stdio.h>

#include "alloc.h"

void
put(json_object *object, const char *key, json_object *value)
{
    if (json_object_object_add(object, key, value) != 0)
        alloc_failed();
}

void
put_null(json_object *object, const char *key)
{
    put(object, key, NULL);
}

void
put_text(json_object *object, const char *key, const char *text)
{
    put(object, key, text == NULL ? NULL : text_new(text));
}

void
put_int(json_object *object, const char *key, int64_t value)
{
    put(object, key, xneed(json_object_new_int64(value)));
}

void
put_bool(json_object *object, const char *key, bool value)
{
    put(object, key, xneed(json_object_new_boolean(value)));
}

void
put_ms(json_object *object, const char *key, double ms)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%.1f", ms);
    put(object, key, xneed(json_object_new_double_s(ms, text)));
}

void
put_time(json_object *object, const char *key, int64_t wall_ms, enum iso_style style)
{
    char text[ISO_SIZE];

    put_text(object, key, iso_format(wall_ms, style, text));
}

void
put_copy(json_object *object, const char *key, json_object *value)
{
    put(object, key, json_object_get(value));
}

void
push(json_object *array, json_object *value)
{
    if (json_object_array_add(array, value) != 0)
        alloc_failed();
}

json_object *
object_new(void)
{
    return xneed(json_object_new_object());
}

json_object *
array_new(void)
{
    return xneed(json_object_new_array());
}

json_object *
text_new(const char *text)
{
    return xneed(json_object_new_string(text));
}

json_object *
json_member(json_object *object, const char *key, json_type type)
{
    json_object *value = NULL;

    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
        return NULL;
    return value;
}

const char *
json_text(json_object *object, const char *key)
{
    json_object *value = json_member(object, key, json_type_string);

    return value == NULL ? NULL : json_object_get_string(value);
}

int64_t
json_int(json_object *object, const char *key, int64_t fallback)
{
    json_object *value = json_member(object, key, json_type_int);

    return value == NULL ? fallback : json_object_get_int64(value);
}

bool
json_flag(json_object *object, const char *key, bool fallback)
{
    json_object *value = json_member(object, key, json_type_boolean);

    return value == NULL ? fallback : json_object_get_boolean(value) != 0;
}

const char *
json_bytes(json_object *object, size_t *length)
{
    const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
    const char *text = json_object_to_json_string_length(object, flags, length);

    if (text == NULL)
        alloc_failed();
    return text;
}
