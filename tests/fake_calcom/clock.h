/*
 * The two clocks, and ISO 8601 in the three spellings that Cal.com uses for one and the same
 * instant.
 */
#ifndef FAKE_CALCOM_CLOCK_H
#define FAKE_CALCOM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_wall_ms(void); /* CLOCK_REALTIME, milliseconds since the epoch */
double clock_mono_ms(void);  /* CLOCK_MONOTONIC, for measuring spans */

enum iso_style {
    ISO_SECONDS_Z, /* 2026-03-12T14:00:00Z       a new booking */
    ISO_MILLIS_Z,  /* 2026-03-12T14:00:00.000Z   confirm, reject, API answers, createdAt */
    ISO_OFFSET,    /* 2026-03-12T14:00:00+00:00  cancel */
};

#define ISO_SIZE 40

/* Writes `wall_ms` into `out` and returns it. */
const char *iso_format(int64_t wall_ms, enum iso_style style, char out[ISO_SIZE]);

/* Date, time and an offset ("Z", "+01:00", or none: UTC). False leaves *wall_ms alone. */
bool iso_parse(const char *text, int64_t *wall_ms) __attribute__((warn_unused_result));

#endif
