#include "throttle.h"

struct throttle_verdict
throttle_take(struct throttle *throttle, double now_mono_ms)
{
    if (throttle->limit == 0)
        return (struct throttle_verdict){ .limited = false };

    if (now_mono_ms >= throttle->window_end_ms) {
        throttle->window_end_ms = now_mono_ms + THROTTLE_WINDOW_MS;
        throttle->used = 0;
    }

    bool refused = throttle->used >= throttle->limit;
    if (!refused)
        throttle->used++;
    return (struct throttle_verdict){
        .limited = true,
        .refused = refused,
        .limit = throttle->limit,
        .remaining = throttle->limit - throttle->used,
        .reset_s = (int)((throttle->window_end_ms - now_mono_ms) / 1000) + 1,
    };
}
