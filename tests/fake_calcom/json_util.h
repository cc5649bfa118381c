/*
 * json-c with the checks folded in. The put_* functions add one member and exit if there is no
 * memory; what they are given as json_object is taken over by `object`. The json_* getters answer
 * with a fallback where the member is missing or of another type; the text they return belongs to
 * `object`.
 */
#ifndef FAKE_CALCOM_JSON_UTIL_H
#define FAKE_CALCOM_JSON_UTIL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

void put(json_object *object, const char *key, json_object *value); /* NULL: null */
void put_null(json_object *object, const char *key);
void put_text(json_object *object, const char *key, const char *text); /* NULL: null */
void put_int(json_object *object, const char *key, int64_t value);
void put_bool(json_object *object, const char *key, bool value);
void put_ms(json_object *object, const char *key, double ms); /* one decimal: 1.2 */
void put_time(json_object *object, const char *key, int64_t wall_ms, enum iso_style style);
void put_copy(json_object *object, const char *key,
              json_object *value); /* shares: one more reference */
void push(json_object *array, json_object *value);

json_object *object_new(void);
json_object *array_new(void);
json_object *text_new(const char *text);

json_object *json_member(json_object *object, const char *key, json_type type); /* NULL if not */
const char *json_text(json_object *object, const char *key);                    /* NULL if not */
int64_t json_int(json_object *object, const char *key, int64_t fallback);
bool json_flag(json_object *object, const char *key, bool fallback);

/*
 * Minified, `/` and non-ASCII as they are: what JSON.stringify makes. Valid until `object` is
 * changed or freed.
 */
const char *json_bytes(json_object *object, size_t *length);

#endif
