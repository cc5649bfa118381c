#include "ingest/console/build.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct json_object *
build_member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (json_object_is_type(object, json_type_object)) {
        (void)json_object_object_get_ex(object, name, &value);
    }
    return value;
}

const char *
build_text_of(struct json_object *object, const char *name)
{
    const char *text = json_object_get_string(build_member(object, name));
    return text != NULL ? text : "";
}

int64_t
build_number_of(struct json_object *object, const char *name)
{
    return json_object_get_int64(build_member(object, name));
}

size_t
build_count(struct json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

void
build_set(struct json_object *object, const char *name, struct json_object *value)
{
    if (json_object_object_add(object, name, value) != 0) {
        (void)json_object_put(value);
    }
}

void
build_text(struct json_object *object, const char *name, const char *text)
{
    build_set(object, name, json_object_new_string(text));
}

void
build_number(struct json_object *object, const char *name, int64_t number)
{
    build_set(object, name, json_object_new_int64(number));
}

void
build_flag(struct json_object *object, const char *name, bool flag)
{
    build_set(object, name, json_object_new_boolean(flag));
}

void
build_print(struct json_object *object, const char *name, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    build_text(object, name, text);
}

void
build_pair(struct json_object *rows, const char *name, const char *value)
{
    struct json_object *row = json_object_new_object();
    build_text(row, "name", name);
    build_text(row, "value", value);
    (void)json_object_array_add(rows, row);
}

static int
by_name(const void *a, const void *b)
{
    struct json_object *const *one = a, *const *other = b;
    return strcmp(build_text_of(*one, "name"), build_text_of(*other, "name"));
}

struct json_object *
build_pairs(struct json_object *object)
{
    struct json_object *rows = json_object_new_array();
    if (rows != NULL && json_object_is_type(object, json_type_object)) {
        json_object_object_foreach(object, name, value) {
            const char *text = json_object_get_string(value);
            build_pair(rows, name, text != NULL ? text : "");
        }
        json_object_array_sort(rows, by_name);
    }
    return rows;
}

void
build_bytes(int64_t bytes, char text[BUILD_BYTES_SIZE])
{
    static const char *const UNITS[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;
    while ((bytes >= 10240 || (bytes >= 1024 && bytes % 1024 == 0)) &&
           unit + 1 < sizeof UNITS / sizeof UNITS[0]) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(text, BUILD_BYTES_SIZE, "%" PRId64 " %s", bytes, UNITS[unit]);
}
