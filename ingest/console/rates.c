#include "ingest/console/rates.h"

#include <string.h>

/* So that all of the window fits. */
#define APART_MS (RATES_WINDOW_MS / (RATES_KEPT - 1))

static void
drop_oldest(struct rates *rates)
{
    rates->count--;
    memmove(rates->samples, rates->samples + 1, rates->count * sizeof rates->samples[0]);
}

void
rates_add(struct rates *rates, const struct rates_sample *now)
{
    while (rates->count > 0 && now->mono_ms - rates->samples[0].mono_ms > RATES_WINDOW_MS) {
        drop_oldest(rates);
    }
    if (rates->count > 0 && now->mono_ms - rates->samples[rates->count - 1].mono_ms < APART_MS) {
        return;
    }
    if (rates->count == RATES_KEPT) {
        drop_oldest(rates);
    }
    rates->samples[rates->count++] = *now;
}

/* A counter that somebody deleted begins anew: that is no rate below 0. */
static double
growth(int64_t before, int64_t now, int64_t over_ms)
{
    return now > before ? (double)(now - before) * 1000 / (double)over_ms : 0;
}

bool
rates_per_s(const struct rates *rates, const struct rates_sample *now, double *webhooks,
            double *decisions)
{
    const struct rates_sample *oldest = rates->samples;
    int64_t over_ms = rates->count > 0 ? now->mono_ms - oldest->mono_ms : 0;
    if (over_ms < APART_MS || over_ms > RATES_WINDOW_MS) {
        return false;
    }
    *webhooks = growth(oldest->webhooks, now->webhooks, over_ms);
    *decisions = growth(oldest->decisions, now->decisions, over_ms);
    return true;
}
