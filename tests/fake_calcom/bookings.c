#include "bookings.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "json_util.h"
#include "seats.h"

/*
 * Enough for chains of about one at 100 000 bookings, which is what this program has to be fast
 * with.
 */
#define BUCKETS ((size_t)1 << 17)

struct store {
    struct booking **by_id;  /* BUCKETS chains through next_by_id */
    struct booking **by_uid; /* BUCKETS chains through next_by_uid */
    struct booking **rows;   /* in order of creation */
    size_t count;
    size_t room;
    int64_t next_id;
};

static const char *const status_names[] = {
    [BOOKING_PENDING] = "PENDING",
    [BOOKING_ACCEPTED] = "ACCEPTED",
    [BOOKING_REJECTED] = "REJECTED",
    [BOOKING_CANCELLED] = "CANCELLED",
    [BOOKING_AWAITING_HOST] = "AWAITING_HOST",
};

const char *
booking_status_name(enum booking_status status)
{
    return status_names[status];
}

bool
booking_status_parse(const char *name, enum booking_status *status)
{
    for (size_t i = 0; i < sizeof(status_names) / sizeof(status_names[0]); i++) {
        if (strcmp(name, status_names[i]) == 0) {
            *status = (enum booking_status)i;
            return true;
        }
    }
    return false;
}

bool
booking_is_open(const struct booking *booking)
{
    return booking->status == BOOKING_PENDING || booking->status == BOOKING_ACCEPTED;
}

bool
booking_is_paid_up(const struct booking *booking)
{
    return booking->type.price == 0 || booking->paid;
}

void
booking_set_status(struct booking *booking, enum booking_status status)
{
    json_object *change = object_new();

    booking->status = status;
    booking->updated_ms = clock_wall_ms();
    put_int(change, "ms", booking->updated_ms);
    put_text(change, "status", booking_status_name(status));
    push(booking->history, change);
}

void
booking_set_text(char **field, const char *text)
{
    char *copy = xstrdup(text);

    free(*field);
    *field = copy;
}

static void
booking_free(struct booking *booking)
{
    free(booking->title);
    free(booking->name);
    free(booking->email);
    free(booking->notes);
    free(booking->cancellation_reason);
    free(booking->cancelled_by);
    free(booking->rejection_reason);
    free(booking->origin.by);
    seats_free(booking->seats);
    json_object_put(booking->metadata);
    json_object_put(booking->responses);
    json_object_put(booking->guests);
    json_object_put(booking->history);
    free(booking);
}

struct store *
store_new(void)
{
    struct store *store = xcalloc(1, sizeof(*store));

    store->by_id = xcalloc(BUCKETS, sizeof(struct booking *));
    store->by_uid = xcalloc(BUCKETS, sizeof(struct booking *));
    store->next_id = FIRST_BOOKING_ID;
    return store;
}

void
store_free(struct store *store)
{
    if (store == NULL)
        return;
    store_clear(store, FIRST_BOOKING_ID);
    free(store->by_id);
    free(store->by_uid);
    free(store->rows);
    free(store);
}

void
store_clear(struct store *store, int64_t next_id)
{
    for (size_t i = 0; i < store->count; i++)
        booking_free(store->rows[i]);
    store->count = 0;
    store->next_id = next_id;
    memset(store->by_id, 0, BUCKETS * sizeof(struct booking *));
    memset(store->by_uid, 0, BUCKETS * sizeof(struct booking *));
}

static struct booking **
id_chain(const struct store *store, int64_t id)
{
    return &store->by_id[(uint64_t)id % BUCKETS];
}

static struct booking **
uid_chain(const struct store *store, const char *uid)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (; *uid != '\0'; uid++)
        hash = (hash ^ (unsigned char)*uid) * UINT64_C(1099511628211);
    return &store->by_uid[(hash ^ (hash >> 32)) % BUCKETS];
}

struct booking *
store_find(const struct store *store, int64_t id)
{
    struct booking *booking = *id_chain(store, id);

    while (booking != NULL && booking->id != id)
        booking = booking->next_by_id;
    return booking;
}

struct booking *
store_find_uid(const struct store *store, const char *uid)
{
    struct booking *booking = *uid_chain(store, uid);

    while (booking != NULL && strcmp(booking->uid, uid) != 0)
        booking = booking->next_by_uid;
    return booking;
}

struct booking *
store_find_series(const struct store *store, const char *uid)
{
    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->rows[i]->series.uid, uid) == 0)
            return store->rows[i];
    }
    return NULL;
}

void
series_join(struct booking *booking, struct booking *first)
{
    struct booking *last = first;

    booking->series.first = first == NULL ? booking : first;
    if (first == NULL) {
        ident_uid(booking->series.uid);
        return;
    }
    memcpy(booking->series.uid, first->series.uid, UID_SIZE);
    while (last->series.next != NULL)
        last = last->series.next;
    last->series.next = booking;
}

static void
append_row(struct store *store, struct booking *booking)
{
    if (store->count == store->room) {
        store->room = store->room == 0 ? 1024 : store->room * 2;
        store->rows = xreallocarray(store->rows, store->room, sizeof(struct booking *));
    }
    store->rows[store->count++] = booking;
}

struct booking *
store_add(struct store *store, int64_t id)
{
    if (id == 0) {
        while (store_find(store, store->next_id) != NULL)
            store->next_id++;
        id = store->next_id++;
    } else if (store_find(store, id) != NULL) {
        return NULL;
    }

    struct booking *booking = xcalloc(1, sizeof(*booking));
    booking->id = id;
    ident_uid(booking->uid);
    booking->status = BOOKING_PENDING;
    booking->created_ms = booking->updated_ms = clock_wall_ms();
    booking->metadata = object_new();
    booking->responses = object_new();
    booking->guests = array_new();
    booking->history = array_new();

    struct booking **chain = id_chain(store, id);
    booking->next_by_id = *chain;
    *chain = booking;
    chain = uid_chain(store, booking->uid);
    booking->next_by_uid = *chain;
    *chain = booking;
    append_row(store, booking);
    return booking;
}

size_t
store_size(const struct store *store)
{
    return store->count;
}

struct booking *
store_at(const struct store *store, size_t index)
{
    return store->rows[index];
}
