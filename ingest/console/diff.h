/* What differs between two texts, line by line. */
#ifndef TOLLGATE_DIFF_H
#define TOLLGATE_DIFF_H

struct json_object;

#define DIFF_MOST_LINES                                                                            \
    2000 /* of each text that differ; more is shown as all old, then all new                       \
          */

#define DIFF_MOST_ROWS 5000

/*
 * [{text, old} or {text, new} or {text, kept} (each of them true), {gap}]: a line that is only in
 * the old text, only in the new one, or in both near a difference; how many lines in both were left
 * out. Empty: the texts are the same. At most DIFF_MOST_ROWS, then a gap. NULL when memory is out.
 */
struct json_object *diff_lines(const char *old_text, const char *new_text);

#endif
