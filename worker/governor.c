#include "worker/governor.h"

static int64_t
hold(struct governor *governor, int64_t wait_ms, int64_t now_mono_ms)
{
    if (now_mono_ms + wait_ms > governor->held_until_mono_ms) {
        governor->held_until_mono_ms = now_mono_ms + wait_ms;
    }
    return governor->held_until_mono_ms - now_mono_ms;
}

int64_t
governor_throttled(struct governor *governor, int64_t retry_after_ms, int64_t now_mono_ms)
{
    int64_t wait_ms = retry_after_ms < 0 ? GOVERNOR_THROTTLE_MS : retry_after_ms;
    if (wait_ms > GOVERNOR_THROTTLE_MAX_MS) {
        wait_ms = GOVERNOR_THROTTLE_MAX_MS;
    }
    return hold(governor, wait_ms, now_mono_ms);
}

int64_t
governor_credentials_refused(struct governor *governor, int64_t now_mono_ms)
{
    governor->probing = true;
    return hold(governor, GOVERNOR_CREDENTIALS_MS, now_mono_ms);
}

void
governor_succeeded(struct governor *governor)
{
    governor->probing = false;
}

int64_t
governor_wait_ms(const struct governor *governor, int64_t now_mono_ms)
{
    int64_t wait_ms = governor->held_until_mono_ms - now_mono_ms;
    return wait_ms > 0 ? wait_ms : 0;
}

size_t
governor_allowance(const struct governor *governor, size_t room, size_t busy, int64_t now_mono_ms)
{
    if (governor_wait_ms(governor, now_mono_ms) > 0) {
        return 0;
    }
    if (governor->probing) {
        return busy == 0 && room > 0 ? 1 : 0;
    }
    return room;
}
