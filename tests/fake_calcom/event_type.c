#include "event_type.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* Reads a decimal number that ends at a colon or at the end and moves *text there. */
static bool
read_number(const char **text, int64_t *value)
{
    char *rest;

    *value = strtoll(*text, &rest, 10);
    if (rest == *text || (*rest != ':' && *rest != '\0') || *value < 0)
        return false;
    *text = rest;
    return true;
}

/* Reads "requires-confirmation" or "auto", at the end or before a colon, and moves *text behind. */
static bool
read_mode(const char **text, bool *requires_confirmation)
{
    static const char asks[] = "requires-confirmation", accepts[] = "auto";
    size_t length = strcspn(*text, ":");

    *requires_confirmation = length == strlen(asks) && strncmp(*text, asks, length) == 0;
    bool ok = *requires_confirmation ||
              (length == strlen(accepts) && strncmp(*text, accepts, length) == 0);
    *text += length;
    return ok;
}

/* Reads a price or "seats=N" and moves *text behind. */
static bool
read_extra(const char **text, struct event_type *type)
{
    static const char seats[] = "seats=";

    if (strncmp(*text, seats, strlen(seats)) != 0)
        return read_number(text, &type->price);
    *text += strlen(seats);
    return read_number(text, &type->seats) && type->seats > 0;
}

bool
event_types_add(struct event_types *types, const char *text)
{
    struct event_type type = { 0 };

    if (!read_number(&text, &type.id) || *text++ != ':' ||
        !read_mode(&text, &type.requires_confirmation))
        return false;
    while (*text == ':') {
        text++;
        if (!read_extra(&text, &type))
            return false;
    }
    types->list = xreallocarray(types->list, types->count + 1, sizeof(*types->list));
    types->list[types->count++] = type;
    return true;
}

void
event_types_release(struct event_types *types)
{
    free(types->list);
    types->list = NULL;
    types->count = 0;
}

struct event_type
event_types_find(const struct event_types *types, int64_t id)
{
    for (size_t i = 0; i < types->count; i++) {
        if (types->list[i].id == id)
            return types->list[i];
    }
    return (struct event_type){ .id = id, .requires_confirmation = true };
}

const char *
event_type_slug(const struct event_type *type, char out[EVENT_TYPE_NAME_SIZE])
{
    if (type->id == EVENT_TYPE_DEFAULT)
        return "executive-book-club";
    (void)snprintf(out, EVENT_TYPE_NAME_SIZE, "event-type-%" PRId64, type->id);
    return out;
}

const char *
event_type_title(const struct event_type *type, char out[EVENT_TYPE_NAME_SIZE])
{
    if (type->id == EVENT_TYPE_DEFAULT)
        return "Executive Book Club";
    (void)snprintf(out, EVENT_TYPE_NAME_SIZE, "Event type %" PRId64, type->id);
    return out;
}
