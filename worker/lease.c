#include "worker/lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/config.h"

#define HOLD_MS 60000 /* at least: four calls with the longest pauses between them take less */

void
lease_init(struct lease *lease, const struct config *config)
{
    int64_t calls_ms = 4 * config->calcom_timeout_ms + 20000;
    *lease = (struct lease){
        .lease_ms = config->lease_ms,
        .hold_ms = calls_ms > HOLD_MS ? calls_ms : HOLD_MS,
    };
    (void)snprintf(lease->worker, sizeof lease->worker, "w%08" PRIx32 "%08" PRIx32, arc4random(),
                   arc4random());
}

void
lease_extend(struct lease *lease, int64_t sent_boot_ms)
{
    if (sent_boot_ms + lease->lease_ms > lease->until_boot_ms) {
        lease->until_boot_ms = sent_boot_ms + lease->lease_ms;
    }
}

bool
lease_is_live(const struct lease *lease, int64_t now_boot_ms)
{
    return now_boot_ms < lease->until_boot_ms;
}

int64_t
lease_send_by_boot_ms(const struct lease *lease, int64_t taken_boot_ms)
{
    int64_t due_boot_ms = taken_boot_ms + lease->hold_ms;
    return due_boot_ms < lease->until_boot_ms ? due_boot_ms : lease->until_boot_ms;
}
