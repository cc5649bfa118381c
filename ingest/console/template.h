/*
 * Renders the console's pages: Mustache (mustache(5)) over a JSON object, as much of it as the
 * pages use, since no distribution has a library of it for C.
 *
 *   {{x}} {{a.b}} {{.}}       the value, escaped for HTML in texts and in quoted attributes
 *   {{{x}}}                   as it is: only for SVG of chart.h
 *   {{#x}}…{{/x}}             for each element of an array, once for another value that is true
 *   {{^x}}…{{/x}}             where it is not
 *   {{>x}} {{! … }}           another template; a comment
 *
 * Not true are: absent, null, false, 0, "", []. A name is looked for in the innermost object first.
 */
#ifndef TOLLGATE_TEMPLATE_H
#define TOLLGATE_TEMPLATE_H

#include <stdbool.h>

struct evbuffer;
struct json_object;

/* Text of the template with this name; NULL when there is none. */
typedef const char *template_find_cb(const char *name);

/*
 * Appends the template `name` to `out`. False when memory is out, or with a template that is not
 * well formed (an unknown name, a section that is not closed), which is a fault of ours: what was
 * rendered so far is in `out`.
 */
__attribute__((warn_unused_result)) bool template_render(template_find_cb *find, const char *name,
                                                         struct json_object *context,
                                                         struct evbuffer *out);

/* Appends a text, escaped as {{x}} is. False when memory is out. */
__attribute__((warn_unused_result)) bool template_escape(const char *text, struct evbuffer *out);

#endif
