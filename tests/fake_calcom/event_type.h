/* Event types: what can be booked, and whether the host wants to be asked first. */
#ifndef FAKE_CALCOM_EVENT_TYPE_H
#define FAKE_CALCOM_EVENT_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_TYPE_DEFAULT 1207

struct event_type {
    int64_t id;
    bool requires_confirmation;
    int64_t price; /* in cents; 0 is free */
    int64_t seats; /* per slot; 0: a slot is for one booker */
};

struct event_types {
    struct event_type *list; /* owned */
    size_t count;
};

/* Reads "ID:requires-confirmation[:price][:seats=N]"; or "auto" in place of the second word. */
bool event_types_add(struct event_types *types, const char *text)
    __attribute__((warn_unused_result));
void event_types_release(struct event_types *types);

/* An event type that was never declared requires confirmation and is free. */
struct event_type event_types_find(const struct event_types *types, int64_t id);

/*
 * Both return `out`, or a constant: all event types but the default one are named after their
 * number.
 */
#define EVENT_TYPE_NAME_SIZE 48
const char *event_type_slug(const struct event_type *type, char out[EVENT_TYPE_NAME_SIZE]);
const char *event_type_title(const struct event_type *type, char out[EVENT_TYPE_NAME_SIZE]);

#endif
