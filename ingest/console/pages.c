#include "ingest/console/pages.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/console/build.h"
#include "ingest/console/params.h"
#include "ingest/console/session.h"

#define ROWS 50 /* of a table */

/* The query of this page with another cursor; NULL: with none. */
static void
add_query(struct visit *visit, const char *name, const char *cursor)
{
    char *query = params_next(visit->query, cursor);
    if (query != NULL) {
        build_text(visit->context, name, query);
    }
    free(query);
}

void
page_show(struct visit *visit)
{
    struct json_object *next = build_member(visit->context, "next");
    if (visit->failure[0] != '\0') {
        visit_show_failure(visit);
        return;
    }
    if (next != NULL) {
        add_query(visit, "next_url", json_object_get_string(next));
    }
    add_query(visit, "first_url", NULL);
    visit_show(visit, 200, visit->page->template);
}

/* What is chosen of a form's options, since a template compares nothing: chosen.<name>_<value>. */
static void
add_chosen(struct visit *visit, const char *name, const char *value)
{
    char key[64];
    struct json_object *chosen = json_object_new_object();
    (void)snprintf(key, sizeof key, "%s_%s", name, value);
    build_flag(chosen, key, true);
    build_set(visit->context, "chosen", chosen);
}

void
page_add_cursor(struct command *command, const struct visit *visit)
{
    command_text(command, params_text(visit->query, "cursor"));
    command_number(command, ROWS);
}

void
page_add_filter(struct command *command, const struct params *params, const char *name)
{
    bool is_account = strcmp(name, "member") == 0 || strcmp(name, "account") == 0;
    const char *value = is_account ? params_account(params, name) : params_text(params, name);
    if (*value != '\0') {
        command_text(command, name);
        command_text(command, value);
    }
}

/* An end of the range of time of the query: a month, or days from and to. */
static void
add_time(struct command *command, const struct visit *visit, bool end)
{
    int64_t wall_ms;
    if (params_day(params_text(visit->query, "month"), end, &wall_ms) ||
        params_day(params_text(visit->query, end ? "to" : "from"), end, &wall_ms)) {
        command_number(command, end ? wall_ms - 1 : wall_ms);
    } else {
        command_text(command, "");
    }
}

void
page_login(struct visit *visit)
{
    session_show_form(visit, 200, params_text(visit->query, "to"));
}

void
page_decisions(struct visit *visit)
{
    struct command command;
    add_chosen(visit, "outcome", params_text(visit->query, "outcome"));
    command_function(&command, visit, "tollgate_decisions");
    page_add_cursor(&command, visit);
    page_add_filter(&command, visit->query, "member");
    page_add_filter(&command, visit->query, "event_type");
    page_add_filter(&command, visit->query, "outcome");
    command_text(&command, "from_ms");
    add_time(&command, visit, false);
    command_text(&command, "to_ms");
    add_time(&command, visit, true);
    visit_ask(visit, &command, NULL);
    visit_then(visit, page_show);
}

/* ---- A booking ---- */

/* What a policy was shown, a row for each thing: account.balance, answers.phone. */
static struct json_object *
input_rows(struct json_object *inputs)
{
    static const char *const SHOWN[][2] = { { "account_was", "account" },
                                            { "terms", "terms" },
                                            { "circumstances", "booking" },
                                            { "answers", "answers" },
                                            { "metadata", "metadata" } };
    struct json_object *rows = json_object_new_array();
    for (size_t i = 0; i < sizeof SHOWN / sizeof SHOWN[0]; i++) {
        struct json_object *pairs = build_member(inputs, SHOWN[i][0]);
        for (size_t k = 0; k < build_count(pairs); k++) {
            struct json_object *pair = json_object_array_get_idx(pairs, k);
            char name[256];
            (void)snprintf(name, sizeof name, "%s.%s", SHOWN[i][1], build_text_of(pair, "name"));
            build_pair(rows, name, build_text_of(pair, "value"));
        }
    }
    return rows;
}

static void
show_booking(struct visit *visit)
{
    struct json_object *context = visit->context, *record = build_member(context, "record");
    if (visit->failure[0] == '\0' && build_member(context, "missing") != NULL) {
        visit_show(visit, 404, "booking");
        return;
    }
    int64_t start_s = build_number_of(record, "start");
    if (start_s > 0) {
        build_number(context, "start_ms", start_s * 1000);
    }
    build_flag(context, "is_dead", strcmp(build_text_of(record, "place"), "dead") == 0);
    build_set(context, "input_rows", input_rows(build_member(context, "inputs")));
    if (build_member(context, "inputs") != NULL) {
        build_text(build_member(context, "inputs"), "terms", build_text_of(record, "terms"));
    }
    build_set(context, "record_rows", build_pairs(record));
    page_show(visit);
}

void
page_booking(struct visit *visit)
{
    struct command command;
    command_function(&command, visit, "tollgate_story");
    command_text(&command, params_text(visit->query, "name"));
    visit_ask(visit, &command, NULL);
    visit_then(visit, show_booking);
}

/* ---- Members ---- */

void
page_members(struct visit *visit)
{
    struct command command;
    command_function(&command, visit, "tollgate_members");
    page_add_cursor(&command, visit);
    command_text(&command, params_text(visit->query, "text"));
    visit_ask(visit, &command, NULL);
    visit_add_once(visit);
    visit_then(visit, page_show);
}

void
page_member(struct visit *visit)
{
    struct command command;
    command_function(&command, visit, "tollgate_account");
    command_text(&command, params_account(visit->query, "account"));
    page_add_cursor(&command, visit);
    add_time(&command, visit, false);
    add_time(&command, visit, true);
    visit_ask(visit, &command, NULL);
    visit_add_once(visit);
    visit_then(visit, page_show);
}

/* ---- Attention ---- */

struct place {
    const char *name;
    const char *count; /* the command that tells how many there are */
};

static const struct place PLACES[] = {
    { "dead", "ZCARD" },      { "retry", "ZCARD" },  { "drift", "HLEN" },
    { "unbalanced", "HLEN" }, { "waived", "ZCARD" },
};

#define PLACE_COUNT (sizeof PLACES / sizeof PLACES[0])

static void
take_count(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    const struct place *place = arg;
    if (reply != NULL) {
        build_number(build_member(visit->context, "counts"), place->name,
                     redis_reply_integer(reply));
    }
}

static void
ask_counts(struct visit *visit)
{
    build_set(visit->context, "counts", json_object_new_object());
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        char key[128];
        (void)snprintf(key, sizeof key, "%.*s%s", (int)strlen(visit->console->queue_key) - 5,
                       visit->console->queue_key, PLACES[i].name);
        struct command command = { .argc = 2, .argv = { PLACES[i].count, key } };
        visit_command(visit, &command, take_count, &PLACES[i]);
    }
}

static const struct place *
place_asked(const struct visit *visit)
{
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (strcmp(params_text(visit->query, "place"), PLACES[i].name) == 0) {
            return &PLACES[i];
        }
    }
    return &PLACES[0];
}

static void
show_attention(struct visit *visit)
{
    struct json_object *context = visit->context;
    const char *place = place_asked(visit)->name;
    build_text(context, "place", place);
    build_flag(context, "of_retries", strcmp(place, "retry") == 0);
    build_flag(context, "of_accounts", strcmp(place, "unbalanced") == 0);
    build_flag(context, "can_act",
               strcmp(place, "dead") == 0 && build_number_of(context, "can_change") != 0);
    build_flag(context, "rows_any", build_count(build_member(context, "rows")) > 0);
    build_flag(context, "filtered",
               *params_text(visit->query, "text") != '\0' ||
                   *params_text(visit->query, "account") != '\0' ||
                   *params_text(visit->query, "event_type") != '\0');
    page_show(visit);
}

void
page_attention(struct visit *visit)
{
    struct command command;
    const char *place = place_asked(visit)->name;
    add_chosen(visit, "place", place);
    command_function(&command, visit, "tollgate_attention");
    command_text(&command, place);
    page_add_cursor(&command, visit);
    page_add_filter(&command, visit->query, "text");
    page_add_filter(&command, visit->query, "account");
    page_add_filter(&command, visit->query, "event_type");
    visit_ask(visit, &command, NULL);
    ask_counts(visit);
    visit_then(visit, show_attention);
}
