#include "ingest/console/template.h"

#include <event2/buffer.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SCOPES   16 /* objects within one another, and templates within one another */
#define MOST_NAME     64
#define TAG_OPEN      "{{"
#define TAG_CLOSE     "}}"
#define TAG_RAW_CLOSE "}}}"

struct scope {
    struct json_object *values[MOST_SCOPES];
    size_t depth;
};

struct renderer {
    template_find_cb *find;
    struct evbuffer *out;
    struct scope scope;
    size_t templates; /* that are being rendered, one within the other */
};

/* A tag as it stands in a template. */
struct tag {
    char kind;            /* # ^ / > ! & or '\0' for a value */
    char name[MOST_NAME]; /* without blanks around it */
    const char *begin;    /* of the tag */
    const char *after;
};

bool
template_escape(const char *text, struct evbuffer *out)
{
    while (*text != '\0') {
        size_t plain = strcspn(text, "&<>\"'");
        if (evbuffer_add(out, text, plain) != 0) {
            return false;
        }
        text += plain;
        const char *instead = *text == '&'    ? "&amp;"
                              : *text == '<'  ? "&lt;"
                              : *text == '>'  ? "&gt;"
                              : *text == '"'  ? "&quot;"
                              : *text == '\'' ? "&#39;"
                                              : "";
        if (evbuffer_add(out, instead, strlen(instead)) != 0) {
            return false;
        }
        text += *text != '\0';
    }
    return true;
}

/* The next tag from `text` on, before `end`. False: none, or none that is well formed (*broken). */
static bool
next_tag(const char *text, const char *end, struct tag *tag, bool *broken)
{
    const char *open = memmem(text, (size_t)(end - text), TAG_OPEN, strlen(TAG_OPEN));
    *broken = false;
    if (open == NULL) {
        return false;
    }
    bool raw = open + 2 < end && open[2] == '{';
    const char *closing = raw ? TAG_RAW_CLOSE : TAG_CLOSE;
    const char *inside = open + (raw ? 3 : 2);
    const char *close = memmem(inside, (size_t)(end - inside), closing, strlen(closing));
    *broken = true;
    if (close == NULL || inside == close) {
        return false;
    }
    tag->begin = open;
    tag->after = close + strlen(closing);
    tag->kind = raw ? '&' : '\0';
    if (!raw && strchr("#^/>!&", *inside) != NULL) {
        tag->kind = *inside++;
    }
    inside += strspn(inside, " ");
    size_t length = (size_t)(close - inside);
    while (length > 0 && inside[length - 1] == ' ') {
        length--;
    }
    if (tag->kind == '!') {
        length = 0;
    }
    if (length >= sizeof tag->name) {
        return false;
    }
    memcpy(tag->name, inside, length);
    tag->name[length] = '\0';
    *broken = false;
    return true;
}

static struct json_object *
member(struct json_object *object, const char *name, size_t length)
{
    char key[MOST_NAME];
    struct json_object *value = NULL;
    memcpy(key, name, length);
    key[length] = '\0';
    if (json_object_is_type(object, json_type_object)) {
        (void)json_object_object_get_ex(object, key, &value);
    }
    return value;
}

static struct json_object *
look_up(const struct scope *scope, const char *name)
{
    if (strcmp(name, ".") == 0) {
        return scope->values[scope->depth - 1];
    }
    struct json_object *value = NULL;
    size_t length = strcspn(name, ".");
    for (size_t i = scope->depth; i > 0 && value == NULL; i--) {
        value = member(scope->values[i - 1], name, length);
    }
    while (value != NULL && name[length] == '.') {
        name += length + 1;
        length = strcspn(name, ".");
        value = member(value, name, length);
    }
    return value;
}

static bool
is_true(struct json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_array:
        return json_object_array_length(value) > 0;
    case json_type_object:
        return true;
    case json_type_string:
        return json_object_get_string_len(value) > 0;
    case json_type_double:
        return json_object_get_double(value) != 0;
    case json_type_null:
    case json_type_boolean:
    case json_type_int:
        break;
    }
    return json_object_get_int64(value) != 0;
}

static bool
render_value(struct renderer *renderer, const struct tag *tag)
{
    struct json_object *value = look_up(&renderer->scope, tag->name);
    const char *text = value == NULL ? "" : json_object_get_string(value);
    if (text == NULL) {
        return false;
    }
    return tag->kind == '&' ? evbuffer_add(renderer->out, text, strlen(text)) == 0
                            : template_escape(text, renderer->out);
}

/* Finds the end of the section that `tag` opened: *inner_end is where its closing tag begins. The
 * answer is what stands behind that; NULL when it is not closed. */
static const char *
section_end(const struct tag *tag, const char *end, const char **inner_end)
{
    size_t open = 1;
    struct tag found;
    bool broken;
    for (const char *at = tag->after; next_tag(at, end, &found, &broken); at = found.after) {
        if (strcmp(found.name, tag->name) != 0) {
            continue;
        }
        open += found.kind == '#' || found.kind == '^';
        open -= found.kind == '/';
        if (open == 0) {
            *inner_end = found.begin;
            return found.after;
        }
    }
    return NULL;
}

/* Sections stand in sections, and templates in templates: MOST_SCOPES of each. */
static bool render(struct renderer *renderer, const char *text, const char *end);

static bool
// NOLINTNEXTLINE(misc-no-recursion)
render_inside(struct renderer *renderer, struct json_object *value, const char *text,
              const char *end)
{
    if (renderer->scope.depth == MOST_SCOPES) {
        return false;
    }
    renderer->scope.values[renderer->scope.depth++] = value;
    bool done = render(renderer, text, end);
    renderer->scope.depth--;
    return done;
}

static bool
// NOLINTNEXTLINE(misc-no-recursion)
render_section(struct renderer *renderer, const struct tag *tag, const char *inner_end)
{
    struct json_object *value = look_up(&renderer->scope, tag->name);
    if (tag->kind == '^') {
        return is_true(value) || render(renderer, tag->after, inner_end);
    }
    if (!is_true(value)) {
        return true;
    }
    if (!json_object_is_type(value, json_type_array)) {
        return render_inside(renderer, value, tag->after, inner_end);
    }
    size_t count = json_object_array_length(value);
    for (size_t i = 0; i < count; i++) {
        if (!render_inside(renderer, json_object_array_get_idx(value, i), tag->after, inner_end)) {
            return false;
        }
    }
    return true;
}

static bool
render_template(struct renderer *renderer, const char *name) // NOLINT(misc-no-recursion)
{
    const char *text = renderer->find(name);
    if (text == NULL || renderer->templates == MOST_SCOPES) {
        return false;
    }
    renderer->templates++;
    bool done = render(renderer, text, text + strlen(text));
    renderer->templates--;
    return done;
}

static bool
render(struct renderer *renderer, const char *text, const char *end) // NOLINT(misc-no-recursion)
{
    struct tag tag;
    bool broken;
    while (next_tag(text, end, &tag, &broken)) {
        const char *inner_end = NULL;
        bool done = evbuffer_add(renderer->out, text, (size_t)(tag.begin - text)) == 0;
        text = tag.after;
        if (tag.kind == '#' || tag.kind == '^') {
            text = section_end(&tag, end, &inner_end);
            done = done && text != NULL && render_section(renderer, &tag, inner_end);
        } else if (tag.kind == '>') {
            done = done && render_template(renderer, tag.name);
        } else if (tag.kind == '/') {
            done = false;
        } else if (tag.kind != '!') {
            done = done && render_value(renderer, &tag);
        }
        if (!done) {
            return false;
        }
    }
    return !broken && evbuffer_add(renderer->out, text, (size_t)(end - text)) == 0;
}

bool
template_render(template_find_cb *find, const char *name, struct json_object *context,
                struct evbuffer *out)
{
    struct renderer renderer = { .find = find, .out = out };
    renderer.scope.values[renderer.scope.depth++] = context;
    return render_template(&renderer, name);
}
