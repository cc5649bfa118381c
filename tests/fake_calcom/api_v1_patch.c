#include "api_v1_patch.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "json_util.h"
#include "seats.h"

enum field_kind { FIELD_TEXT, FIELD_INT, FIELD_DATE, FIELD_STATUS };

static const struct {
    const char *name;
    enum field_kind kind;
} fields[] = {
    { "title", FIELD_TEXT },      { "description", FIELD_TEXT },   { "startTime", FIELD_DATE },
    { "endTime", FIELD_DATE },    { "status", FIELD_STATUS },      { "userId", FIELD_INT },
    { "eventTypeId", FIELD_INT }, { "rescheduledBy", FIELD_TEXT }, { "cancelledBy", FIELD_TEXT },
    { "createdAt", FIELD_DATE },
};

#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static char *
check_status(json_object *value)
{
    const char *text = json_object_get_string(value);
    enum booking_status status;

    if (text != NULL && booking_status_parse(text, &status))
        return NULL;
    return xasprintf(
        "invalid_enum_value in 'status': Invalid enum value. Expected 'CANCELLED' | 'ACCEPTED' | "
        "'REJECTED' | 'PENDING' | 'AWAITING_HOST', received '%s'",
        text == NULL ? "null" : text);
}

static char *
check_field(const char *name, enum field_kind kind, json_object *value)
{
    int64_t ignored;

    switch (kind) {
    case FIELD_STATUS:
        return check_status(value);
    case FIELD_TEXT:
        if (json_object_is_type(value, json_type_string))
            return NULL;
        return xasprintf("invalid_type in '%s': Expected string", name);
    case FIELD_INT:
        if (json_object_is_type(value, json_type_int))
            return NULL;
        return xasprintf("invalid_type in '%s': Expected number", name);
    case FIELD_DATE:
        if (json_object_is_type(value, json_type_string) &&
            iso_parse(json_object_get_string(value), &ignored))
            return NULL;
        return xasprintf("invalid_date in '%s': Invalid date", name);
    }
    return NULL;
}

static size_t
field_find(const char *name)
{
    size_t i = 0;

    while (i < FIELD_COUNT && strcmp(fields[i].name, name) != 0)
        i++;
    return i;
}

/* Zod names all of them at once: "Unrecognized key(s) in object: 'start', 'end'". */
static char *
check_keys(json_object *body)
{
    char *unknown = NULL;

    json_object_object_foreach(body, name, value) {
        (void)value;
        if (field_find(name) < FIELD_COUNT)
            continue;
        char *longer =
            unknown == NULL ? xasprintf("'%s'", name) : xasprintf("%s, '%s'", unknown, name);
        free(unknown);
        unknown = longer;
    }
    if (unknown == NULL)
        return NULL;
    char *message =
        xasprintf("unrecognized_keys in '': Unrecognized key(s) in object: %s", unknown);
    free(unknown);
    return message;
}

char *
api_v1_patch_check(json_object *body)
{
    char *problem = check_keys(body);

    if (problem != NULL)
        return problem;
    json_object_object_foreach(body, name, value) {
        size_t field = field_find(name);

        problem = check_field(name, fields[field].kind, value);
        if (problem != NULL)
            return problem;
    }
    return NULL;
}

static void
apply_date(json_object *body, const char *name, int64_t *wall_ms)
{
    const char *text = json_text(body, name);
    int64_t parsed;

    if (text != NULL && iso_parse(text, &parsed))
        *wall_ms = parsed;
}

static void
apply_text(json_object *body, const char *name, char **field)
{
    const char *text = json_text(body, name);

    if (text != NULL)
        booking_set_text(field, text);
}

void
api_v1_patch_apply(struct booking *booking, json_object *body)
{
    const char *name = json_text(body, "status");
    enum booking_status status = booking->status;

    apply_text(body, "title", &booking->title);
    apply_text(body, "description", &booking->notes);
    apply_text(body, "cancelledBy", &booking->cancelled_by);
    apply_text(body, "rescheduledBy", &booking->origin.by);
    apply_date(body, "startTime", &booking->start_ms);
    apply_date(body, "endTime", &booking->end_ms);
    apply_date(body, "createdAt", &booking->created_ms);
    booking->type.id = json_int(body, "eventTypeId", booking->type.id);
    /* A checked body has no other status than a known one; setting it also notes the time of the
     * change. */
    if (name == NULL || booking_status_parse(name, &status))
        booking_set_status(booking, status);
    if (name != NULL)
        seats_follow(booking, "patch");
}
