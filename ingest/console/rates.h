/* How fast counters grow, from what visitors of the console were shown in the last half minute.
 * Pure. */
#ifndef TOLLGATE_RATES_H
#define TOLLGATE_RATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATES_KEPT      16
#define RATES_WINDOW_MS 30000

struct rates_sample {
    int64_t mono_ms;
    int64_t webhooks, decisions; /* counted up since ever */
};

/* All zeros: nothing was seen yet. */
struct rates {
    struct rates_sample samples[RATES_KEPT]; /* the oldest first */
    size_t count;
};

/* Takes a sample. One that follows within two seconds is left out; those out of the window go. */
void rates_add(struct rates *rates, const struct rates_sample *now);

/* Per second, from the oldest sample in the window until `now`. False: there is none that is old
 * enough. */
bool rates_per_s(const struct rates *rates, const struct rates_sample *now, double *webhooks,
                 double *decisions);

#endif
