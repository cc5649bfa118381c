/*
 * A fixed window of 60 seconds: so many calls, then 429 until the window ends. Pure; time is passed
 * in.
 */
#ifndef FAKE_CALCOM_THROTTLE_H
#define FAKE_CALCOM_THROTTLE_H

#include <stdbool.h>

#define THROTTLE_WINDOW_MS 60000

struct throttle {
    int limit; /* calls per window; 0: no limit */
    int used;
    double window_end_ms; /* monotonic */
};

struct throttle_verdict {
    bool limited; /* there is a limit, so that the answer tells about it */
    bool refused;
    int limit;
    int remaining;
    int reset_s; /* until the window ends, rounded up */
};

struct throttle_verdict throttle_take(struct throttle *throttle, double now_mono_ms);

#endif
