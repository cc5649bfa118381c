/*
 * What people read instead of numbers, added to the JSON that a page is made of, in every object of
 * it:
 *
 *   since_ms, a time      since_at "2026-11-28 18:02:11" (UTC), since_iso, since_ago "3 min ago",
 * "in 5 min" took_ms, age_s        took_span "1.2 s", age_span "3 min" account, booking, …
 * account_url: percent-encoded, for a query
 */
#ifndef TOLLGATE_DRESS_H
#define TOLLGATE_DRESS_H

#include <stddef.h>
#include <stdint.h>

struct json_object;

void dress(struct json_object *json, int64_t now_wall_ms);

#define DRESS_SPAN_SIZE 32

/* A length of time (ms), roughly: "850 ms", "1.2 s", "3 min", "2 h 5 min", "4 d 3 h". */
void dress_span(int64_t ms, char text[DRESS_SPAN_SIZE]);

#endif
