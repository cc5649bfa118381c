/*
 * An event as the Redis library's arguments (see tollgate_record in common/redis/record.lua), one
 * text behind the other, each with its NUL: id, kind, createdAt (ms), then field, value, …
 * What the webhook did not tell is left out. Pure.
 *
 * This form also lies in the spool on disk. A field may be added or left out as the library's
 * functions allow; the three texts in front stay what they are.
 */
#ifndef TOLLGATE_BOOKING_PACK_H
#define TOLLGATE_BOOKING_PACK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/booking.h"

#define BOOKING_PACKED_TEXTS 48 /* a packed event has fewer; one from a disk may be foreign */

struct booking_packed {
    size_t size;
    char bytes[];
};

/* The caller frees it with free. NULL when memory is out. */
__attribute__((warn_unused_result)) struct booking_packed *
booking_pack(const struct booking_event *event);

/*
 * Points `texts` at what is in there and answers how many there are; 0 when it is no packed event.
 */
size_t booking_unpack(const char *bytes, size_t size, const char *texts[BOOKING_PACKED_TEXTS]);

#endif
