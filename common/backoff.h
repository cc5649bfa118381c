/*
 * How long to wait before the next try. Pure: the random number is passed in.
 *
 * Exponential backoff with full jitter: a delay is drawn evenly from 0 to min(cap, base *
 * 2^attempt), so that many workers that failed together do not come back together.
 */
#ifndef TOLLGATE_BACKOFF_H
#define TOLLGATE_BACKOFF_H

#include <stdint.h>

/*
 * attempt: failures so far, from 0 up. random: evenly distributed over all 32 bits.
 * base_ms and cap_ms: milliseconds, 0 < base_ms <= cap_ms. Gives 0 .. cap_ms.
 */
int64_t backoff_delay_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms, uint32_t random);

#endif
