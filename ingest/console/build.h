/* Reads and builds the JSON that pages are made of. Without memory a member is missing, and the
 * page shows nothing there. */
#ifndef TOLLGATE_BUILD_H
#define TOLLGATE_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* NULL, "", 0: there is no such member. The text belongs to the object. */
struct json_object *build_member(struct json_object *object, const char *name);
const char *build_text_of(struct json_object *object, const char *name);
int64_t build_number_of(struct json_object *object, const char *name);

/* How many elements; 0 for what is no array. */
size_t build_count(struct json_object *array);

/* Texts are copied; `value` of build_set becomes the object's. */
void build_set(struct json_object *object, const char *name, struct json_object *value);
void build_text(struct json_object *object, const char *name, const char *text);
void build_number(struct json_object *object, const char *name, int64_t number);
void build_flag(struct json_object *object, const char *name, bool flag);

/* A printed text. */
__attribute__((format(printf, 3, 4))) void build_print(struct json_object *object, const char *name,
                                                       const char *format, ...);

/* Appends {name, value}. */
void build_pair(struct json_object *rows, const char *name, const char *value);

/* Every member of the object as a pair; a value that is no text as JSON. */
struct json_object *build_pairs(struct json_object *object);

#define BUILD_BYTES_SIZE 32

/* "12 KiB" */
void build_bytes(int64_t bytes, char text[BUILD_BYTES_SIZE]);

#endif
