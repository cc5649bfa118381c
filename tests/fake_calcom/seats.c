#include "seats.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"
#include "json_util.h"

bool
seat_approval_parse(const char *name, enum seat_approval *approval)
{
    *approval = strcmp(name, "cloud") == 0 ? SEATS_CLOUD : SEATS_LEGACY;
    return *approval == SEATS_CLOUD || strcmp(name, "legacy") == 0;
}

struct seat *
seat_add(struct booking *booking)
{
    struct seat *seat = xcalloc(1, sizeof(*seat));
    struct seat **end = &booking->seats;

    ident_uid(seat->uid);
    seat->metadata = object_new();
    seat->responses = object_new();
    seat->history = array_new();
    while (*end != NULL)
        end = &(*end)->next;
    *end = seat;
    return seat;
}

static void
seat_free(struct seat *seat)
{
    free(seat->name);
    free(seat->email);
    free(seat->notes);
    json_object_put(seat->metadata);
    json_object_put(seat->responses);
    json_object_put(seat->history);
    free(seat);
}

void
seats_free(struct seat *seats)
{
    while (seats != NULL) {
        struct seat *next = seats->next;

        seat_free(seats);
        seats = next;
    }
}

struct seat *
seat_find(const struct booking *booking, const char *uid)
{
    for (struct seat *seat = booking->seats; seat != NULL; seat = seat->next) {
        if (!seat->left && strcmp(seat->uid, uid) == 0)
            return seat;
    }
    return NULL;
}

int64_t
seats_taken(const struct booking *booking)
{
    int64_t taken = 0;

    for (const struct seat *seat = booking->seats; seat != NULL; seat = seat->next)
        taken += seat->left ? 0 : 1;
    return taken;
}

bool
seats_have(const struct booking *booking, const char *email)
{
    for (const struct seat *seat = booking->seats; seat != NULL; seat = seat->next) {
        if (!seat->left && strcasecmp(seat->email, email) == 0)
            return true;
    }
    return false;
}

void
seat_set_status(struct seat *seat, enum booking_status status, const char *act)
{
    seat->status = status;
    push(seat->history, text_new(act));
}

void
seats_follow(struct booking *booking, const char *act)
{
    for (struct seat *seat = booking->seats; seat != NULL; seat = seat->next) {
        if (!seat->left)
            seat_set_status(seat, booking->status, act);
    }
}

/* The newest first: a slot is mostly filled soon after it was opened. */
struct booking *
seats_slot(const struct store *store, int64_t event_type, int64_t start_ms)
{
    for (size_t i = store_size(store); i > 0; i--) {
        struct booking *booking = store_at(store, i - 1);

        if (booking->seats != NULL && booking->type.id == event_type &&
            booking->start_ms == start_ms && booking_is_open(booking))
            return booking;
    }
    return NULL;
}

struct booker
booker_of(const struct booking *booking, const struct seat *seat)
{
    if (seat == NULL)
        return (struct booker){ booking->name,     booking->email,     booking->notes,
                                booking->metadata, booking->responses, booking->guests };
    return (struct booker){ seat->name,     seat->email,     seat->notes,
                            seat->metadata, seat->responses, booking->guests };
}
