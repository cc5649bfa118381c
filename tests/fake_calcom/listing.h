/* Which bookings a list request asks for: one filter that serves both API dialects. */
#ifndef FAKE_CALCOM_LISTING_H
#define FAKE_CALCOM_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bookings.h"

/* Sets of bookings as API v2 names them; a listing may ask for several at once. */
enum listing_set {
    LISTING_UPCOMING = 1 << 0,    /* ACCEPTED, not over yet */
    LISTING_PAST = 1 << 1,        /* over, neither cancelled nor rejected */
    LISTING_CANCELLED = 1 << 2,   /* CANCELLED or REJECTED */
    LISTING_UNCONFIRMED = 1 << 3, /* PENDING, not over yet */
    LISTING_RECURRING = 1 << 4,   /* of a series, open and not over yet */
};

/* Reads "upcoming", "unconfirmed,past", … */
bool listing_sets_parse(const char *text, unsigned *sets) __attribute__((warn_unused_result));

enum listing_order {
    LISTING_AS_CREATED,
    LISTING_NEWEST_FIRST,
    LISTING_BY_UPDATE,
    LISTING_BY_UPDATE_NEWEST_FIRST,
};

/*
 * A zeroed filter lets everything through, oldest first. Zero or NULL: that member filters nothing.
 */
struct listing {
    unsigned sets;
    int64_t event_type_id;
    const char *attendee_email;
    int64_t start_from_ms;
    int64_t end_until_ms;
    int64_t created_after_ms;
    enum listing_order order;
};

/* The bookings that match at `now_ms`. The array is the caller's to free(), the rows are not. */
struct booking **listing_select(const struct store *store, const struct listing *listing,
                                int64_t now_ms, size_t *count);

/* The rows [first, end) of `count`. */
struct listing_page {
    size_t first;
    size_t end;
};

struct listing_page listing_cut(size_t count, size_t skip, size_t take);

#endif
