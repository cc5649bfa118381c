#include "common/backoff.h"

int64_t
backoff_delay_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms, uint32_t random)
{
    int64_t ceiling = base_ms;
    while (attempt > 0 && ceiling < cap_ms) {
        ceiling *= 2;
        attempt--;
    }
    if (ceiling > cap_ms) {
        ceiling = cap_ms;
    }
    /* 64 bits hold the product only up to a cap of 49 days. */
    return (int64_t)((unsigned __int128)ceiling * random / UINT32_MAX);
}
