/*
 * Typed reads of a webhook's JSON, and writing parts of it anew. What is absent, null or of another
 * type reads as nothing; an object may be NULL or no object.
 */
#ifndef TOLLGATE_WEBHOOK_JSON_H
#define TOLLGATE_WEBHOOK_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* The member of an object; NULL when absent, null, or `object` is no object. */
struct json_object *webhook_member(struct json_object *object, const char *name);

/* A string without NUL inside; NULL for anything else. */
const char *webhook_text(struct json_object *value);

/* Copies a member that is an opaque word (printable ASCII without spaces); "" when it is absent.
 * False when it is there and is no such word, or does not fit. */
__attribute__((warn_unused_result)) bool
webhook_copy_word(struct json_object *object, const char *name, char *out, size_t size);

/* A whole number between -(2^53 - 1) and 2^53 - 1, beyond which JavaScript is not exact. */
__attribute__((warn_unused_result)) bool webhook_whole(struct json_object *value, int64_t *number);

/* A whole number above 0; 0 for anything else. */
int64_t webhook_count(struct json_object *value);

/* An ISO 8601 timestamp. */
__attribute__((warn_unused_result)) bool webhook_time_ms(struct json_object *value,
                                                         int64_t *wall_ms);

/* The elements of an array; 0 for anything else. */
size_t webhook_length(struct json_object *value);
struct json_object *webhook_element(struct json_object *array, size_t index);

/*
 * Both write JSON without white space, "" when there is nothing to write; false when it does not
 * fit (`out` is then ""). No oneTimePassword gets through, at any depth: it is taken out of the
 * value itself. The texts are JSON also where the body was only nearly so.
 *
 * answers: of {"name":{"label":…,"value":…},…} the values, {"name":value,…}. A value is a text, a
 * number, true or false, a list of texts, or an object; any other is left out.
 */
__attribute__((warn_unused_result)) bool webhook_write_object(struct json_object *value, char *out,
                                                              size_t size);
__attribute__((warn_unused_result)) bool webhook_write_answers(struct json_object *responses,
                                                               char *out, size_t size);

#endif
