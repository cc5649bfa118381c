#include "common/booking_pack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRONT_TEXTS 3

/* Where the next text goes; bytes NULL: only their size is wanted. */
struct writer {
    char *bytes;
    size_t used;
};

static void
put_text(struct writer *writer, const char *text)
{
    size_t size = strlen(text) + 1;
    if (writer->bytes != NULL) {
        memcpy(writer->bytes + writer->used, text, size);
    }
    writer->used += size;
}

static void
put_number(struct writer *writer, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    put_text(writer, text);
}

static void
put_field(struct writer *writer, const char *name, const char *value)
{
    if (value != NULL && *value != '\0') {
        put_text(writer, name);
        put_text(writer, value);
    }
}

/* 0 is not told. */
static void
put_number_field(struct writer *writer, const char *name, int64_t number)
{
    if (number != 0) {
        put_text(writer, name);
        put_number(writer, number);
    }
}

static void
put_event(struct writer *writer, const struct booking_event *event)
{
    put_text(writer, event->id);
    put_text(writer, booking_event_kind_name(event->kind));
    put_number(writer, event->created_wall_ms);
    put_field(writer, "uid", event->uid);
    put_field(writer, "account", event->account);
    put_field(writer, "email", event->email);
    put_field(writer, "event_type", event->event_type);
    put_number_field(writer, "start", event->start_s);
    put_number_field(writer, "end", event->end_s);
    put_field(writer, "requires_confirmation", event->requires_confirmation ? "yes" : "");
    put_field(writer, "reschedule_uid", event->reschedule_uid);
    put_field(writer, "cancelled_by", event->cancelled_by);
    put_field(writer, "seat", event->seat);
    put_field(writer, "seats", event->seats ? "yes" : "");
    put_field(writer, "attendees", event->attendees);
    put_number_field(writer, "occurrences", event->occurrences);
    put_field(writer, "paid", event->paid ? "yes" : "");
    put_field(writer, "traceparent", event->traceparent);
    put_field(writer, "answers", event->answers);
    put_field(writer, "metadata", event->metadata);
}

struct booking_packed *
booking_pack(const struct booking_event *event)
{
    struct writer measure = { 0 };
    put_event(&measure, event);
    struct booking_packed *packed = malloc(sizeof *packed + measure.used);
    if (packed != NULL) {
        struct writer writer = { .bytes = packed->bytes };
        put_event(&writer, event);
        packed->size = writer.used;
    }
    return packed;
}

size_t
booking_unpack(const char *bytes, size_t size, const char *texts[BOOKING_PACKED_TEXTS])
{
    size_t count = 0;
    if (size == 0 || bytes[size - 1] != '\0') {
        return 0;
    }
    for (const char *at = bytes; at < bytes + size; at += strlen(at) + 1) {
        if (count == BOOKING_PACKED_TEXTS) {
            return 0;
        }
        texts[count++] = at;
    }
    return count >= FRONT_TEXTS && (count - FRONT_TEXTS) % 2 == 0 ? count : 0;
}
