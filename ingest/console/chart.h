/*
 * Lines over time as SVG, for what tollgate_graph answers. All texts in it are constants of ours
 * and numbers, so a page can take it as it is.
 */
#ifndef TOLLGATE_CHART_H
#define TOLLGATE_CHART_H

#include <stddef.h>

struct json_object;

#define CHART_MOST_LINES 4

struct chart {
    const char *label; /* what it shows, for who cannot see it */
    size_t count;
    const char *keys[CHART_MOST_LINES];  /* of the points */
    const char *names[CHART_MOST_LINES]; /* as people read them */
};

/* `graph`: {step_s, points: [{at_ms, …}]}. The caller frees the text; NULL when memory is out. */
char *chart_render(const struct chart *chart, struct json_object *graph);

#endif
