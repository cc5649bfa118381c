/*
 * One request to the console, from its coming to its answer. Internal to ingest/console.
 *
 * It asks Redis for something and goes on when all answers are there:
 *
 *     visit_ask(visit, &command, NULL);
 *     visit_then(visit, show);
 *
 * A request whose client has gone away runs to its end all the same; only its answer goes nowhere.
 */
#ifndef TOLLGATE_VISIT_H
#define TOLLGATE_VISIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis_link.h"
#include "common/sha256.h"
#include "ingest/console/rates.h"

struct console;
struct evhttp_request;
struct json_object;
struct page;
struct params;
struct password_checker;

#define VISIT_MOST_NAME 101 /* of who signed in, with NUL: `by` of ledger and records */

/* What the parts of the console share. */
struct console {
    const struct config *config;
    const struct metrics *metrics;
    struct spool *spool;
    struct redis_link *link;
    char queue_key[80];                 /* what every function of the library is given */
    struct password_checker *passwords; /* NULL: there is a token */
    struct rates rates;                 /* what the overview showed of late */
    struct visit *visits;               /* those under way */
};

typedef void visit_cb(struct visit *visit);

struct visit {
    struct console *console;
    struct visit *next, **place;    /* in the console's list */
    struct evhttp_request *request; /* NULL: the client has gone */
    const struct page *page;
    struct params *query, *form; /* form: of a POST, else empty */
    struct json_object *context; /* what the template is given */
    char user[VISIT_MOST_NAME];  /* "": nobody */
    char session[SHA256_HEX_SIZE];
    size_t waiting; /* answers */
    visit_cb *then;
    char failure[512]; /* the first thing that went wrong; "": nothing */
    bool away;         /* it went wrong because Redis did not answer */
    void *data;        /* of the action; freed with free */
};

#define COMMAND_MOST 2100

/* A command for Redis that is being put together; the texts are not copied. */
struct command {
    int argc;
    const char *argv[COMMAND_MOST];
    size_t number_count;
    char numbers[8][24];
};

/* FCALL of a function of the library; `function` without "tollgate_". */
void command_function(struct command *command, const struct visit *visit, const char *function);
void command_text(struct command *command, const char *text);
void command_number(struct command *command, int64_t number); /* 8 at most */

/* NULL when memory is out; the request was answered then. */
struct visit *visit_new(struct console *console, struct evhttp_request *request);

/* `done` runs once, later; what it makes of the reply is its own. An error reply, or none, is noted
 * as the failure before. Valid as long as the callback: result, reply. */
typedef void visit_reply_cb(struct visit *visit, const struct redis_reply *reply, const void *arg);
void visit_command(struct visit *visit, struct command *command, visit_reply_cb *done,
                   const void *arg);

/* For what only counts if it fails. */
visit_reply_cb visit_ignore;

/* The answer of the function is JSON: goes into the context, under `slot`, or its members
 * themselves (NULL). */
void visit_ask(struct visit *visit, struct command *command, const char *slot);

/* Runs `then` when nothing is waited for any more; now, if that is so. */
void visit_then(struct visit *visit, visit_cb *then);

void visit_add_flash(struct visit *visit, bool good, const char *text);

#define VISIT_MOST_RANDOM 32 /* bytes */

/* Writes so many random bytes as hex, with NUL: size is 2 * bytes + 1. False: the kernel gives
 * none. */
__attribute__((warn_unused_result)) bool visit_random(char *hex, size_t size);

/* `once`: a new random text, for forms that must not be done twice when they are sent twice. */
void visit_add_once(struct visit *visit);

void visit_fail(struct visit *visit, const char *failure);

/* ---- Each of these ends the visit ---- */

/* Renders a template over the context, dressed. */
void visit_show(struct visit *visit, int status, const char *template);

/* The context as JSON, dressed. */
void visit_show_json(struct visit *visit, int status);

/* What is wrong and what to do, as a page of its own. */
void visit_refuse(struct visit *visit, int status, const char *text, const char *remedy);

/* The failure as a page: 503 when Redis is away, else 400. */
void visit_show_failure(struct visit *visit);

/* 303. `location` is relative. */
void visit_redirect(struct visit *visit, const char *location);

/* The same, and says once, on the next page, what came of it; `good`: it was done. */
void visit_tell(struct visit *visit, bool good, const char *text, const char *location);

void visit_send(struct visit *visit, int status, const char *type, const void *bytes, size_t size);

#endif
