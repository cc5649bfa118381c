#include "listing.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"
#include "seats.h"

static const struct {
    const char *name;
    enum listing_set set;
} set_names[] = {
    { "upcoming", LISTING_UPCOMING },   { "past", LISTING_PAST },
    { "cancelled", LISTING_CANCELLED }, { "unconfirmed", LISTING_UNCONFIRMED },
    { "recurring", LISTING_RECURRING },
};

static unsigned
set_find(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(set_names) / sizeof(set_names[0]); i++) {
        if (strlen(set_names[i].name) == length && strncmp(set_names[i].name, name, length) == 0)
            return set_names[i].set;
    }
    return 0;
}

bool
listing_sets_parse(const char *text, unsigned *sets)
{
    *sets = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        unsigned set = set_find(text, length);

        if (set == 0)
            return false;
        *sets |= set;
        if (text[length] == '\0')
            return true;
        text += length + 1;
    }
}

static unsigned
state_set(enum booking_status status, bool over)
{
    switch (status) {
    case BOOKING_PENDING:
    case BOOKING_AWAITING_HOST:
        return over ? LISTING_PAST : LISTING_UNCONFIRMED;
    case BOOKING_ACCEPTED:
        return over ? LISTING_PAST : LISTING_UPCOMING;
    case BOOKING_REJECTED:
    case BOOKING_CANCELLED:
        return LISTING_CANCELLED;
    }
    return 0;
}

static unsigned
sets_of(const struct booking *booking, int64_t now_ms)
{
    bool over = booking->end_ms < now_ms;
    bool recurs = booking->series.first != NULL && booking_is_open(booking) && !over;

    return state_set(booking->status, over) | (recurs ? LISTING_RECURRING : 0u);
}

static bool
attends(const struct booking *booking, const char *email)
{
    return strcasecmp(booking->email, email) == 0 || seats_have(booking, email);
}

static bool
listing_matches(const struct listing *listing, const struct booking *booking, int64_t now_ms)
{
    if (listing->sets != 0 && (listing->sets & sets_of(booking, now_ms)) == 0)
        return false;
    if (listing->event_type_id != 0 && booking->type.id != listing->event_type_id)
        return false;
    if (listing->attendee_email != NULL && !attends(booking, listing->attendee_email))
        return false;
    if (listing->start_from_ms != 0 && booking->start_ms < listing->start_from_ms)
        return false;
    if (listing->end_until_ms != 0 && booking->end_ms > listing->end_until_ms)
        return false;
    return listing->created_after_ms == 0 || booking->created_ms >= listing->created_after_ms;
}

static int
compare_updates(const void *a, const void *b)
{
    const struct booking *const *left = a, *const *right = b;

    if ((*left)->updated_ms != (*right)->updated_ms)
        return (*left)->updated_ms < (*right)->updated_ms ? -1 : 1;
    return (*left)->id < (*right)->id ? -1 : (*left)->id > (*right)->id;
}

static void
reverse(struct booking **rows, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct booking *swap = rows[i];
        rows[i] = rows[count - 1 - i];
        rows[count - 1 - i] = swap;
    }
}

struct booking **
listing_select(const struct store *store, const struct listing *listing, int64_t now_ms,
               size_t *count)
{
    size_t size = store_size(store), found = 0;
    struct booking **rows = xcalloc(size + 1, sizeof(struct booking *));

    for (size_t i = 0; i < size; i++) {
        struct booking *booking = store_at(store, i);
        if (listing_matches(listing, booking, now_ms))
            rows[found++] = booking;
    }

    if (listing->order == LISTING_BY_UPDATE || listing->order == LISTING_BY_UPDATE_NEWEST_FIRST)
        qsort(rows, found, sizeof(struct booking *), compare_updates);
    if (listing->order == LISTING_NEWEST_FIRST || listing->order == LISTING_BY_UPDATE_NEWEST_FIRST)
        reverse(rows, found);
    *count = found;
    return rows;
}

struct listing_page
listing_cut(size_t count, size_t skip, size_t take)
{
    size_t first = skip < count ? skip : count;
    size_t left = count - first;

    return (struct listing_page){ .first = first, .end = first + (take < left ? take : left) };
}
