#include "event_type.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

bool
event_types_add(struct event_types *types, const char *text)
{
    struct event_type type = { 0 };
    char mode[32] = "";
    int used = 0;

    if (sscanf(text, "%" SCNd64 ":%31[a-z-]%n", &type.id, mode, &used) != 2)
        return false;
    if (text[used] == ':') {
        char *end;
        type.price = strtoll(text + used + 1, &end, 10);
        if (*end != '\0' || end == text + used + 1 || type.price < 0)
            return false;
    } else if (text[used] != '\0') {
        return false;
    }

    type.requires_confirmation = strcmp(mode, "requires-confirmation") == 0;
    if (!type.requires_confirmation && strcmp(mode, "auto") != 0)
        return false;
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
    snprintf(out, EVENT_TYPE_NAME_SIZE, "event-type-%" PRId64, type->id);
    return out;
}

const char *
event_type_title(const struct event_type *type, char out[EVENT_TYPE_NAME_SIZE])
{
    if (type->id == EVENT_TYPE_DEFAULT)
        return "Executive Book Club";
    snprintf(out, EVENT_TYPE_NAME_SIZE, "Event type %" PRId64, type->id);
    return out;
}
