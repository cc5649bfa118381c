/*
 * The console's templates, style and script, which are part of the program (made by
 * scripts/embed-files of ingest/console/templates and ingest/console/assets).
 */
#ifndef TOLLGATE_EMBEDDED_H
#define TOLLGATE_EMBEDDED_H

struct asset {
    const char *name; /* console.css */
    const char *text;
};

/* End with a name that is NULL. */
extern const struct asset console_templates[];
extern const struct asset console_assets[];

/* The template with this name, without ".html"; NULL when there is none. */
const char *embedded_template(const char *name);

/* The file that a browser asks for by this name; NULL when there is none. */
const char *embedded_file(const char *name);

#endif
