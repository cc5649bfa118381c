/*
 * What came with a request: the query of its address, or a form in its body
 * (application/x-www-form-urlencoded).
 */
#ifndef TOLLGATE_PARAMS_H
#define TOLLGATE_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;
struct params;

#define PARAMS_MOST 3000 /* more are no form of ours */

/* Reads `text` (may be NULL: nothing). A value that is no UTF-8, or has control characters other
 * than line breaks and tabs in it, counts as empty. NULL when memory is out or the text is no such
 * thing. */
__attribute__((warn_unused_result)) struct params *params_parse(const char *text);
void params_free(struct params *params);

/* The first value of this name, without blanks around it; "" when there is none. Belongs to the
 * params. */
const char *params_text(const struct params *params, const char *name);

/* The same as an account of the books, see booking_normalise_account; as it is where it can be
 * none. Valid until the params are freed. */
const char *params_account(const struct params *params, const char *name);

/* As it came, for texts of several lines. */
const char *params_raw(const struct params *params, const char *name);

/* Calls `each` for every parameter, in order. */
void params_each(const struct params *params,
                 void (*each)(const char *name, const char *value, void *arg), void *arg);

/* Name → first value, for what a page shows of the query. NULL when memory is out. */
struct json_object *params_json(const struct params *params);

/* The parameters as a query again, with `cursor` (NULL: none) in place of what they had:
 * "member=…&cursor=…". The caller frees it; NULL when memory is out. */
char *params_next(const struct params *params, const char *cursor);

/* A day "2026-10-05" or a month "2026-10" (UTC): when it begins, or when the next one does. False
 * for anything else. */
bool params_day(const char *text, bool its_end, int64_t *wall_ms);

#endif
