/*
 * The clocks. A time from one is never compared with a time from another, so names carry
 * `_mono_ms`,
 * `_boot_ms` or `_wall_ms`. What decides takes the time as an argument instead of asking here.
 */
#ifndef TOLLGATE_CLOCK_H
#define TOLLGATE_CLOCK_H

#include <stdint.h>

/* Milliseconds since some moment in the past; never jumps. For deadlines and durations. */
int64_t clock_mono_ms(void);

/* The same clock in microseconds, for latencies. */
int64_t clock_mono_us(void);

/* The same, but it goes on while the machine is suspended: for leases, which others count. */
int64_t clock_boot_ms(void);

/* Milliseconds since 1970-01-01 UTC; may jump. For what people read and Cal.com sends. */
int64_t clock_wall_ms(void);

#endif
