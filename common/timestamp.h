/*
 * Timestamps as Cal.com writes them. Pure.
 *
 * Cal.com sends one instant in three forms: `2026-03-12T14:00:00Z` for new bookings,
 * `2026-03-12T14:00:00.000Z` for confirmed and rejected ones, `2026-03-12T14:00:00+00:00` (the
 * server's own offset) for cancelled ones. So they are parsed, never compared as strings.
 */
#ifndef TOLLGATE_TIMESTAMP_H
#define TOLLGATE_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#define TIMESTAMP_SIZE 25 /* "2026-03-12T14:00:00.000Z" and the final NUL */

/*
 * Reads YYYY-MM-DDThh:mm:ss[.fraction](Z|+hh:mm|-hh:mm), years 1970 to 9999. Sets *wall_ms to
 * milliseconds since 1970 UTC. False, and *wall_ms untouched, for anything else or any field out of
 * range.
 */
__attribute__((warn_unused_result)) bool timestamp_parse(const char *text, int64_t *wall_ms);

/* Writes the form with milliseconds and Z. wall_ms must be within the years that parse reads. */
void timestamp_format(int64_t wall_ms, char text[TIMESTAMP_SIZE]);

#endif
