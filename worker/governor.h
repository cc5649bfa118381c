/*
 * When this worker may call Cal.com, and how many bookings it may take. Pure: time is passed in.
 *
 *   OPEN --429--> HELD until the reset --> OPEN
 *   OPEN --credentials refused--> HELD 30 s --> PROBING, one booking at a time --success--> OPEN
 *                                   ^---------------refused again---'
 */
#ifndef TOLLGATE_GOVERNOR_H
#define TOLLGATE_GOVERNOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GOVERNOR_THROTTLE_MS     60000 /* when a 429 tells no time: both APIs count per minute */
#define GOVERNOR_THROTTLE_MAX_MS 3600000
#define GOVERNOR_CREDENTIALS_MS  30000

struct governor {
    int64_t held_until_mono_ms; /* 0: not held */
    bool probing;
};

/* Too many calls. retry_after_ms: as the answer told, or -1. Gives how long to wait, ms. */
int64_t governor_throttled(struct governor *governor, int64_t retry_after_ms, int64_t now_mono_ms);

/* The key, its rights or the URL were refused: no booking works. Gives how long to wait, ms. */
int64_t governor_credentials_refused(struct governor *governor, int64_t now_mono_ms);

/* Cal.com did what it was asked. */
void governor_succeeded(struct governor *governor);

/* How long until calls may go out, ms; 0: now. */
int64_t governor_wait_ms(const struct governor *governor, int64_t now_mono_ms);

/* How many bookings to take, with room for `room` and `busy` in hand. */
size_t governor_allowance(const struct governor *governor, size_t room, size_t busy,
                          int64_t now_mono_ms);

#endif
