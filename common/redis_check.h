/*
 * Whether a Redis is set up so that what was acknowledged is not lost: its version, what it does
 * when memory is full, and when it writes to its disk. Pure: the answers are passed in.
 */
#ifndef TOLLGATE_REDIS_CHECK_H
#define TOLLGATE_REDIS_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#define REDIS_CHECK_OLDEST   7 /* Redis Functions came with it; Valkey says at least 7.2.4 */
#define REDIS_CHECK_SETTINGS 4

/* The settings to ask for (CONFIG GET). */
extern const char *const REDIS_CHECK_NAMES[REDIS_CHECK_SETTINGS];

/* Writes the version out of what INFO answered; "" where there is none. */
void redis_check_version(const char *info, char *version, size_t size);

/* What was found out; a text that is NULL could not be asked for. */
struct redis_check {
    const char *version; /* the line redis_version:… of INFO, from its value on */
    const char *settings[REDIS_CHECK_SETTINGS]; /* in the order of the names */
};

enum redis_risk {
    RISK_VERSION,
    RISK_UNKNOWN, /* the settings could not be read */
    RISK_EVICTION,
    RISK_NO_AOF,
    RISK_FSYNC,
    REDIS_RISKS,
};

/*
 * Writes one sentence for each risk there is and NULL for the others. The sentences are constants.
 */
void redis_check_judge(const struct redis_check *check, const char *sentences[REDIS_RISKS]);

#endif
