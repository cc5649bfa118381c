#include "ingest/console/diff.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NEAR 3 /* lines around a difference */

struct line {
    const char *text;
    size_t length;
};

struct lines {
    struct line *at;
    size_t count;
};

struct step {
    char mark; /* '-' only in the old text, '+' only in the new one, ' ' in both */
    struct line line;
};

static bool
split(const char *text, struct lines *lines)
{
    size_t count = 1;
    for (const char *at = text; *at != '\0'; at++) {
        count += *at == '\n';
    }
    lines->count = 0;
    lines->at = calloc(count, sizeof *lines->at);
    while (lines->at != NULL && *text != '\0') {
        size_t length = strcspn(text, "\n");
        size_t shown = length > 0 && text[length - 1] == '\r' ? length - 1 : length;
        lines->at[lines->count++] = (struct line){ text, shown };
        text += length + (text[length] == '\n');
    }
    return lines->at != NULL;
}

static bool
same(const struct line *a, const struct line *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/*
 * The longest common subsequence by the table of what is left: common[i][j] is its length for the
 * old text from line i on and the new one from line j on. Without memory for it all old lines go
 * and all new ones come.
 */
static size_t
walk(const struct lines *old, const struct lines *new, struct step *steps)
{
    size_t width = new->count + 1, count = 0, i = 0, j = 0;
    uint16_t *common = old->count <= DIFF_MOST_LINES && new->count <= DIFF_MOST_LINES
                           ? calloc((old->count + 1) * width, sizeof *common)
                           : NULL;
    for (size_t a = old->count; common != NULL && a-- > 0;) {
        for (size_t b = new->count; b-- > 0;) {
            uint16_t down = common[(a + 1) * width + b], right = common[a * width + b + 1];
            common[a * width + b] = same(&old->at[a], &new->at[b])
                                        ? (uint16_t)(common[(a + 1) * width + b + 1] + 1)
                                    : down > right ? down
                                                   : right;
        }
    }
    while (i < old->count || j < new->count) {
        bool both = i < old->count && j < new->count &&common != NULL;
        if (both && same(&old->at[i], &new->at[j])) {
            steps[count++] = (struct step){ ' ', old->at[i++] };
            j++;
        } else if (i < old->count &&
                   (!both || common[(i + 1) * width + j] >= common[i * width + j + 1])) {
            steps[count++] = (struct step){ '-', old->at[i++] };
        } else {
            steps[count++] = (struct step){ '+', new->at[j++] };
        }
    }
    free(common);
    return count;
}

static bool
is_near(const struct step *steps, size_t count, size_t index)
{
    size_t first = index > NEAR ? index - NEAR : 0;
    for (size_t i = first; i < count && i <= index + NEAR; i++) {
        if (steps[i].mark != ' ') {
            return true;
        }
    }
    return false;
}

static void
add_row(struct json_object *rows, const struct step *step)
{
    struct json_object *row = json_object_new_object();
    const char *mark = step->mark == '-' ? "old" : step->mark == '+' ? "new" : "kept";
    (void)json_object_object_add(row, mark, json_object_new_boolean(true));
    (void)json_object_object_add(
        row, "text", json_object_new_string_len(step->line.text, (int)step->line.length));
    (void)json_object_array_add(rows, row);
}

static void
add_gap(struct json_object *rows, size_t lines)
{
    struct json_object *row = json_object_new_object();
    (void)json_object_object_add(row, "gap", json_object_new_int64((int64_t)lines));
    (void)json_object_array_add(rows, row);
}

static void
add_rows(struct json_object *rows, const struct step *steps, size_t count)
{
    size_t gap = 0;
    bool differs = false;
    for (size_t i = 0; i < count; i++) {
        differs = differs || steps[i].mark != ' ';
    }
    for (size_t i = 0; differs && i < count; i++) {
        if (!is_near(steps, count, i) || json_object_array_length(rows) >= DIFF_MOST_ROWS) {
            gap++;
            continue;
        }
        if (gap > 0) {
            add_gap(rows, gap);
        }
        gap = 0;
        add_row(rows, &steps[i]);
    }
    if (gap > 0) {
        add_gap(rows, gap);
    }
}

struct json_object *
diff_lines(const char *old_text, const char *new_text)
{
    struct lines old = { 0 }, new = { 0 };
    struct step *steps = NULL;
    struct json_object *rows = NULL;
    if (split(old_text, &old) && split(new_text, &new)) {
        steps = calloc(old.count + new.count + 1, sizeof *steps);
    }
    if (steps != NULL) {
        rows = json_object_new_array();
        if (rows != NULL) {
            add_rows(rows, steps, walk(&old, &new, steps));
        }
    }
    free(steps);
    free(old.at);
    free(new.at);
    return rows;
}
