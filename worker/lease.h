/*
 * What this worker knows of its lease: until when what it took is its own. Redis may give it to
 * others as soon as the lease is over, so nothing goes out to Cal.com after that. Counted from
 * before the call that extends it went out, hence never longer than Redis counts; on
 * CLOCK_BOOTTIME, since a machine that is suspended loses its lease as well. The time is passed in.
 */
#ifndef TOLLGATE_LEASE_H
#define TOLLGATE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct config;

#define LEASE_WORKER_SIZE 24

struct lease {
    char worker[LEASE_WORKER_SIZE]; /* random for each start: nobody inherits what it left behind */
    int64_t lease_ms;
    int64_t hold_ms;       /* how long one booking may be in hand, whatever the lease */
    int64_t until_boot_ms; /* 0: never had one */
};

/* A lease that is over, under a new name. */
void lease_init(struct lease *lease, const struct config *config);

/* Redis extended it; the call went out at sent_boot_ms. */
void lease_extend(struct lease *lease, int64_t sent_boot_ms);

bool lease_is_live(const struct lease *lease, int64_t now_boot_ms);

/* Until when calls may go out for a booking taken at taken_boot_ms. */
int64_t lease_send_by_boot_ms(const struct lease *lease, int64_t taken_boot_ms);

#endif
