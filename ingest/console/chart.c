#include "ingest/console/chart.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/timestamp.h"

/* Of the drawing, in its own units. */
#define WIDTH  600
#define HEIGHT 150
#define LEFT   40
#define TOP    10
#define BOTTOM 25

static int64_t
number(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    (void)json_object_object_get_ex(object, key, &value);
    return json_object_get_int64(value);
}

/* The largest value, made round: 1, 2 or 5 and zeros, and 1 at least. */
static int64_t
top_of(const struct chart *chart, struct json_object *points, size_t count)
{
    int64_t most = 1, top = 1;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < chart->count; k++) {
            int64_t value = number(json_object_array_get_idx(points, i), chart->keys[k]);
            most = value > most ? value : most;
        }
    }
    while (top < most && top <= INT64_MAX / 10) {
        if (top * 2 >= most) {
            return top * 2;
        }
        if (top * 5 >= most) {
            return top * 5;
        }
        top *= 10;
    }
    return top;
}

static void
draw_line(struct evbuffer *svg, struct json_object *points, size_t count, const char *key,
          int64_t top, size_t index)
{
    (void)evbuffer_add_printf(svg, "<polyline class=\"line line-%zu\" points=\"", index + 1);
    for (size_t i = 0; i < count; i++) {
        int64_t value = number(json_object_array_get_idx(points, i), key);
        double x = LEFT + (double)(WIDTH - LEFT) * (double)i / (double)(count > 1 ? count - 1 : 1);
        double y =
            TOP + (HEIGHT - TOP - BOTTOM) * (1 - (double)(value < 0 ? 0 : value) / (double)top);
        (void)evbuffer_add_printf(svg, "%s%.1f,%.1f", i > 0 ? " " : "", x, y);
    }
    (void)evbuffer_add_printf(svg, "\"/>");
}

static void
draw_time(struct evbuffer *svg, struct json_object *point, int x, const char *anchor)
{
    char iso[TIMESTAMP_SIZE];
    int64_t at_ms = number(point, "at_ms");
    timestamp_format(at_ms > 0 ? at_ms : 0, iso);
    (void)evbuffer_add_printf(svg,
                              "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"%s\">"
                              "%.5s</text>",
                              x, HEIGHT - 8, anchor, iso + 11);
}

static void
draw(struct evbuffer *svg, const struct chart *chart, struct json_object *points, size_t count)
{
    int64_t top = top_of(chart, points, count);
    struct json_object *last = json_object_array_get_idx(points, count - 1);
    (void)evbuffer_add_printf(svg,
                              "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 %d %d\" "
                              "aria-label=\"%s; now",
                              WIDTH, HEIGHT, chart->label);
    for (size_t k = 0; k < chart->count; k++) {
        (void)evbuffer_add_printf(svg, "%s %s %" PRId64, k > 0 ? "," : "", chart->names[k],
                                  number(last, chart->keys[k]));
    }
    (void)evbuffer_add_printf(svg,
                              "\"><path class=\"grid\" d=\"M%d %d H%d M%d %d H%d\"/>"
                              "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%" PRId64
                              "</text>"
                              "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"end\">0</text>",
                              LEFT, TOP, WIDTH, LEFT, HEIGHT - BOTTOM, WIDTH, LEFT - 6, TOP + 5,
                              top, LEFT - 6, HEIGHT - BOTTOM + 4);
    for (size_t k = 0; k < chart->count; k++) {
        draw_line(svg, points, count, chart->keys[k], top, k);
    }
    draw_time(svg, json_object_array_get_idx(points, 0), LEFT, "start");
    draw_time(svg, last, WIDTH, "end");
    (void)evbuffer_add_printf(svg, "</svg><ul class=\"legend\">");
    for (size_t k = 0; k < chart->count; k++) {
        (void)evbuffer_add_printf(svg, "<li class=\"line-%zu\">%s</li>", k + 1, chart->names[k]);
    }
    (void)evbuffer_add_printf(svg, "</ul>");
}

char *
chart_render(const struct chart *chart, struct json_object *graph)
{
    struct json_object *points = NULL;
    struct evbuffer *svg = evbuffer_new();
    if (svg == NULL) {
        return NULL;
    }
    (void)json_object_object_get_ex(graph, "points", &points);
    size_t count =
        json_object_is_type(points, json_type_array) ? json_object_array_length(points) : 0;
    if (count < 2) {
        (void)evbuffer_add_printf(svg,
                                  "<p class=\"empty\">Not enough was seen yet to draw a line.</p>");
    } else {
        draw(svg, chart, points, count);
    }
    size_t size = evbuffer_get_length(svg);
    char *text = calloc(1, size + 1);
    if (text != NULL) {
        (void)evbuffer_remove(svg, text, size);
    }
    evbuffer_free(svg);
    return text;
}
