/*
 * The operator's page, below /console/ of ingest's admin address: how everything stands, why a
 * booking was decided as it was, and what a person may do about it. HTML made here, readable
 * without scripts.
 *
 *   request → console (which page) → session (who) → pages, actions (what to ask of Redis) →
 * template → answer
 *
 * Runs on the main loop with a connection of its own to Redis; what it shows and does are functions
 * of the Redis library, which answer JSON. All links are relative, so that a reverse proxy may
 * serve it below any path.
 */
#ifndef TOLLGATE_CONSOLE_H
#define TOLLGATE_CONSOLE_H

struct config;
struct console;
struct event_base;
struct evhttp_request;
struct metrics;
struct spool;

/* What it shows of this ingest itself. All must outlive the console. */
struct console_of {
    const struct config *config;
    const struct metrics *metrics;
    struct spool *spool;
};

/* Connects to Redis in the background. NULL with the reason logged. */
__attribute__((warn_unused_result)) struct console *console_new(struct event_base *base,
                                                                const struct console_of *of);

/* Answers what is still waited for first. Accepts NULL. */
void console_free(struct console *console);

/* Takes one request over, and answers it now or later; arg: the console. See admin_http_serve. */
void console_serve(struct evhttp_request *request, void *arg);

#endif
