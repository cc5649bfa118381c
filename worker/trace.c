#include "worker/trace.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/booking.h"
#include "common/sha256.h"
#include "common/store.h"

/* OTLP's numbers: Span.SpanKind and Status.StatusCode. */
#define KIND_INTERNAL 1
#define KIND_CLIENT   3
#define STATUS_ERROR  2

#define NS_OF_MS INT64_C(1000000)

#define WORD_SIZE 16 /* of a call or a class */

/* Of a line of a booking's `calls`, see booking.lua. */
struct call_line {
    int64_t began_ms, took_ms, status;
    char call[WORD_SIZE], class[WORD_SIZE];
};

struct span {
    const char *name;
    int kind;
    int64_t from_ms, to_ms;
};

/* The spans so far. */
struct writer {
    const struct trace *trace;
    char root[SPAN_ID_SIZE];
    struct json_object *list;
};

/* An ID of `size` with its NUL; "" when libcrypto fails. */
static void
make_id(const char *text, char *id, size_t size)
{
    char hash[SHA256_HEX_SIZE];
    sha256_hex(text, strlen(text), hash);
    memcpy(id, hash, size - 1);
    id[hash[0] != '\0' ? size - 1 : 0] = '\0';
}

static void
make_span_id(const struct trace *trace, const char *name, int64_t from_ms,
             char span_id[SPAN_ID_SIZE])
{
    char text[TRACE_ID_SIZE + 64];
    (void)snprintf(text, sizeof text, "%s %s %" PRId64, trace->id, name, from_ms);
    make_id(text, span_id, SPAN_ID_SIZE);
}

void
trace_begin(struct trace *trace, const char *traceparent, const struct trace_booking *booking,
            bool exporting)
{
    struct traceparent parent;
    memset(trace, 0, sizeof *trace);
    if (traceparent_parse(traceparent, &parent)) {
        memcpy(trace->id, parent.trace_id, sizeof trace->id);
        memcpy(trace->parent_span, parent.span_id, sizeof trace->parent_span);
        trace->sampled = parent.sampled;
        trace->recorded = exporting && parent.sampled;
    } else if (exporting) {
        char text[64 + BOOKING_ID_SIZE + BOOKING_UID_SIZE + 3];
        (void)snprintf(text, sizeof text, "%s %s %s", booking->ns, booking->id, booking->uid);
        make_id(text, trace->id, sizeof trace->id);
        trace->recorded = trace->sampled = trace->id[0] != '\0';
    }
}

void
trace_call_header(const struct trace *trace, enum calcom_call call, int64_t began_wall_ms,
                  char header[TRACEPARENT_SIZE])
{
    struct traceparent own = { .span_id = "", .sampled = trace->sampled };
    header[0] = '\0';
    if (trace->id[0] != '\0') {
        memcpy(own.trace_id, trace->id, sizeof own.trace_id);
        make_span_id(trace, calcom_call_name(call), began_wall_ms, own.span_id);
    }
    if (own.span_id[0] != '\0') {
        traceparent_write(&own, header);
    }
}

/* ---- The spans ---- */

static void
add_member(struct json_object *object, const char *name, struct json_object *value)
{
    if (value == NULL || json_object_object_add(object, name, value) != 0) {
        abort(); /* memory is out */
    }
}

static struct json_object *
new_object(void)
{
    struct json_object *object = json_object_new_object();
    if (object == NULL) {
        abort();
    }
    return object;
}

/* 64-bit numbers are texts in OTLP's JSON. */
static void
add_number(struct json_object *object, const char *name, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    add_member(object, name, json_object_new_string(text));
}

static void
add_attribute(struct json_object *span, const char *key, struct json_object *value)
{
    struct json_object *attributes = NULL, *attribute = new_object();
    if (!json_object_object_get_ex(span, "attributes", &attributes)) {
        attributes = json_object_new_array();
        add_member(span, "attributes", attributes);
    }
    add_member(attribute, "key", json_object_new_string(key));
    add_member(attribute, "value", value);
    if (json_object_array_add(attributes, attribute) != 0) {
        abort();
    }
}

static void
add_text_attribute(struct json_object *span, const char *key, const char *text)
{
    struct json_object *value = new_object();
    add_member(value, "stringValue", json_object_new_string(text));
    add_attribute(span, key, value);
}

static void
add_number_attribute(struct json_object *span, const char *key, int64_t number)
{
    struct json_object *value = new_object();
    add_number(value, "intValue", number);
    add_attribute(span, key, value);
}

/* Clocks of several machines may put the end before the beginning. */
static struct json_object *
add_span(struct writer *writer, const char *span_id, const char *parent, const struct span *span)
{
    struct json_object *object = new_object();
    int64_t to_ms = span->to_ms > span->from_ms ? span->to_ms : span->from_ms;
    add_member(object, "traceId", json_object_new_string(writer->trace->id));
    add_member(object, "spanId", json_object_new_string(span_id));
    if (*parent != '\0') {
        add_member(object, "parentSpanId", json_object_new_string(parent));
    }
    add_member(object, "name", json_object_new_string(span->name));
    add_member(object, "kind", json_object_new_int(span->kind));
    add_number(object, "startTimeUnixNano", span->from_ms * NS_OF_MS);
    add_number(object, "endTimeUnixNano", to_ms * NS_OF_MS);
    if (json_object_array_add(writer->list, object) != 0) {
        abort();
    }
    return object;
}

static struct json_object *
add_child(struct writer *writer, const struct span *span)
{
    char span_id[SPAN_ID_SIZE];
    make_span_id(writer->trace, span->name, span->from_ms, span_id);
    return add_span(writer, span_id, writer->root, span);
}

/* Goes behind a number and the space after it. NULL: there is none. */
static const char *
read_number(const char *at, int64_t *number)
{
    char *end;
    *number = strtoll(at, &end, 10);
    return end != at && *end == ' ' ? end + 1 : NULL;
}

/* The same of a word. */
static const char *
read_word(const char *at, char word[WORD_SIZE])
{
    size_t length = strcspn(at, " \n");
    if (length == 0 || length >= WORD_SIZE || at[length] != ' ') {
        return NULL;
    }
    memcpy(word, at, length);
    word[length] = '\0';
    return at + length + 1;
}

static bool
read_call(const char *at, struct call_line *call)
{
    return (at = read_number(at, &call->began_ms)) != NULL &&
           (at = read_number(at, &call->took_ms)) != NULL &&
           (at = read_word(at, call->call)) != NULL &&
           (at = read_number(at, &call->status)) != NULL && read_word(at, call->class) != NULL;
}

static void
add_call(struct writer *writer, const struct call_line *call)
{
    const struct span span = { call->call, KIND_CLIENT, call->began_ms,
                               call->began_ms + call->took_ms };
    struct json_object *object = add_child(writer, &span);
    add_text_attribute(object, "tollgate.class", call->class);
    if (call->status > 0) {
        add_number_attribute(object, "http.response.status_code", call->status);
    }
    if (strcmp(call->class, "done") != 0 && strcmp(call->class, "gone") != 0) {
        struct json_object *status = new_object();
        add_member(status, "code", json_object_new_int(STATUS_ERROR));
        add_member(status, "message", json_object_new_string(call->class));
        add_member(object, "status", status);
    }
}

/* Those since then. Answers when the last one ended; 0: there was none. */
static int64_t
add_calls(struct writer *writer, const char *calls, int64_t since_ms)
{
    int64_t ended_ms = 0;
    for (const char *line = calls; *line != '\0';) {
        struct call_line call;
        if (read_call(line, &call) && call.began_ms >= since_ms) {
            add_call(writer, &call);
            ended_ms = call.began_ms + call.took_ms;
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return ended_ms;
}

static void
add_root(struct writer *writer, const struct trace_booking *booking, const char *state,
         const struct store_settled *settled, int64_t since_ms)
{
    const struct span span = { "booking", KIND_INTERNAL, since_ms, settled->settled_wall_ms };
    struct json_object *object = add_span(writer, writer->root, writer->trace->parent_span, &span);
    add_text_attribute(object, "tollgate.booking", booking->id);
    add_text_attribute(object, "tollgate.state", state);
    add_text_attribute(object, "tollgate.decision", settled->decision);
    add_number_attribute(object, "tollgate.cost", settled->cost);
    add_number_attribute(object, "tollgate.takes", settled->takes);
    add_number_attribute(object, "tollgate.attempts", settled->attempts);
}

/* What was before it was decided. Named again later, it was in the queue another time: that tells
 * nothing of the first. */
static void
add_beginning(struct writer *writer, const struct store_settled *settled)
{
    int64_t received_ms = settled->received_wall_ms, decided_ms = settled->decided_wall_ms;
    int64_t queued_ms = settled->queued_wall_ms;
    if (queued_ms < received_ms || (decided_ms > 0 && queued_ms > decided_ms)) {
        queued_ms = received_ms;
    }
    const struct span received = { "received", KIND_INTERNAL, received_ms, queued_ms };
    (void)add_child(writer, &received);
    if (decided_ms > 0) {
        const struct span queued = { "queued", KIND_INTERNAL, queued_ms, decided_ms };
        const struct span decided = { "decided", KIND_INTERNAL, decided_ms, decided_ms };
        (void)add_child(writer, &queued);
        (void)add_child(writer, &decided);
    }
}

/* The list without its brackets. */
static char *
finish(struct json_object *list)
{
    const char *text = json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);
    size_t length = text != NULL ? strlen(text) : 0;
    char *spans = length >= 2 ? strndup(text + 1, length - 2) : NULL;
    (void)json_object_put(list);
    return spans;
}

char *
trace_write(const struct trace *trace, const struct trace_booking *booking, const char *state,
            const struct store_settled *settled)
{
    struct writer writer = { .trace = trace, .list = json_object_new_array() };
    if (writer.list == NULL) {
        return NULL;
    }
    /* Tried again by a person's word, it begins anew. */
    bool again = settled->requeued_wall_ms > 0;
    int64_t since_ms = again ? settled->requeued_wall_ms : settled->received_wall_ms;
    make_span_id(trace, "booking", since_ms, writer.root);
    add_root(&writer, booking, state, settled, since_ms);
    if (!again) {
        add_beginning(&writer, settled);
    }
    int64_t ended_ms = add_calls(&writer, settled->calls, again ? since_ms : 0);
    int64_t settled_ms = settled->settled_wall_ms;
    const struct span last = { "settled", KIND_INTERNAL,
                               ended_ms > 0 && ended_ms < settled_ms ? ended_ms : settled_ms,
                               settled_ms };
    (void)add_child(&writer, &last);
    return finish(writer.list);
}
