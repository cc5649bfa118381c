/* The policy: its terms, its text, and what it would say of a sample. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timestamp.h"
#include "ingest/console/build.h"
#include "ingest/console/diff.h"
#include "ingest/console/pages.h"
#include "ingest/console/params.h"

/* What the library takes; see policy_text.lua. */
#define MOST_DRAFT 65536

#define MOST_TERMS 1000
#define TERM       "term:" /* begins the name of a term's field in the form */

static void
ask_policy(struct visit *visit)
{
    struct command command;
    command_function(&command, visit, "tollgate_policy_show");
    visit_ask(visit, &command, NULL);
}

/* ---- The page ---- */

static void
show_policy(struct visit *visit)
{
    build_text(visit->context, "draft", build_text_of(visit->context, "text"));
    page_show(visit);
}

void
page_policy(struct visit *visit)
{
    ask_policy(visit);
    visit_then(visit, show_policy);
}

/* ---- A draft ---- */

/* Forms send \r\n, and what is installed shall differ only where somebody changed it. */
static char *
draft_of(const struct visit *visit)
{
    const char *text = params_raw(visit->form, "text");
    char *draft = strdup(text), *to = draft;
    for (const char *from = text; draft != NULL && *from != '\0'; from++) {
        if (from[0] != '\r' || from[1] != '\n') {
            *to++ = *from;
        }
    }
    if (draft != NULL) {
        *to = '\0';
    }
    return draft;
}

/* The line that an error names ("policy:12: …"), to be shown beside it. */
static void
add_error(struct json_object *check, const char *error, const char *draft)
{
    static const char PREFIX[] = "POLICY ", CHUNK[] = "policy:";
    const char *named = strstr(error, CHUNK);
    const char *own = strstr(error, PREFIX);
    long wanted = named != NULL ? strtol(named + sizeof CHUNK - 1, NULL, 10) : 0;
    build_text(check, "error", own != NULL ? own + sizeof PREFIX - 1 : error);
    for (long line = 1; wanted > 0 && *draft != '\0'; line++) {
        size_t length = strcspn(draft, "\n");
        if (line == wanted) {
            build_number(check, "line", line);
            build_set(check, "source_line", json_object_new_string_len(draft, (int)length));
        }
        draft += length + (draft[length] == '\n');
    }
}

static void
show_draft(struct visit *visit)
{
    struct json_object *context = visit->context;
    const char *draft = visit->data;
    if (visit->away) {
        visit_show_failure(visit);
        return;
    }
    struct json_object *diff = diff_lines(build_text_of(context, "text"), draft);
    build_flag(context, "is_draft", true);
    build_flag(context, "diff_any", build_count(diff) > 0);
    build_set(context, "diff", diff);
    build_text(context, "draft", draft);
    build_text(context, "sample", params_raw(visit->form, "sample"));
    build_text(context, "note", params_text(visit->form, "note"));
    page_show(visit);
}

/* ok, SHA, what it reads. An error is what was asked for, and no failure of the page. */
static void
take_check(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    struct json_object *check = json_object_new_object();
    (void)arg;
    build_set(visit->context, "check", check);
    if (reply != NULL) {
        build_flag(check, "ok", true);
        build_text(check, "reads", redis_reply_text(redis_reply_at(reply, 2)));
    } else {
        add_error(check, visit->failure, visit->data);
        visit->failure[0] = visit->away ? visit->failure[0] : '\0';
    }
}

static bool
read_draft(struct visit *visit)
{
    if (strlen(params_raw(visit->form, "text")) > MOST_DRAFT) {
        visit_tell(visit, false, "A policy has at most 65536 bytes; nothing was changed.",
                   "policy");
        return false;
    }
    visit->data = draft_of(visit);
    if (visit->data == NULL) {
        visit_refuse(visit, 500, "out of memory", "Try again.");
    }
    return visit->data != NULL;
}

static void
check_draft(struct visit *visit)
{
    struct command command;
    command_function(&command, visit, "tollgate_policy_check");
    command_text(&command, visit->data);
    visit_command(visit, &command, take_check, NULL);
}

void
action_policy_check(struct visit *visit)
{
    if (read_draft(visit)) {
        check_draft(visit);
        ask_policy(visit);
        visit_then(visit, show_draft);
    }
}

/* ---- A sample ---- */

/* A time as people write it becomes epoch seconds, as the policy has it. */
static void
read_time(struct json_object *sample, const char *name)
{
    int64_t wall_ms;
    if (json_object_is_type(build_member(sample, name), json_type_string) &&
        timestamp_parse(build_text_of(sample, name), &wall_ms)) {
        build_number(sample, name, wall_ms / 1000);
    }
}

static void
take_tried(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    struct json_object *tried =
        reply != NULL ? json_tokener_parse(redis_reply_text(reply)) : json_object_new_object();
    (void)arg;
    if (reply == NULL) {
        add_error(tried, visit->failure, visit->data);
        visit->failure[0] = visit->away ? visit->failure[0] : '\0';
    }
    build_set(visit->context, "tried", tried);
}

void
action_policy_try(struct visit *visit)
{
    struct command command;
    struct json_object *sample = json_tokener_parse(params_raw(visit->form, "sample"));
    if (!read_draft(visit)) {
        (void)json_object_put(sample);
        return;
    }
    if (json_object_is_type(sample, json_type_object)) {
        read_time(sample, "start");
        read_time(sample, "end");
        build_text(visit->context, "sample_account", build_text_of(sample, "account"));
        command_function(&command, visit, "tollgate_policy_try");
        command_text(&command, visit->data);
        command_text(&command, json_object_to_json_string(sample));
        command_text(&command, "");
        command_text(&command, "");
        command_text(&command, "");
        visit_command(visit, &command, take_tried, NULL);
    } else {
        struct json_object *tried = json_object_new_object();
        build_text(tried, "error", "the sample is no JSON object");
        build_set(visit->context, "tried", tried);
    }
    (void)json_object_put(sample);
    ask_policy(visit);
    visit_then(visit, show_draft);
}

/* ---- Installing ---- */

static void
tell_installed(struct visit *visit)
{
    page_tell(visit, "Installed: the next booking is decided by it.", "policy");
}

static void
ask_to_install(struct visit *visit)
{
    struct json_object *context = visit->context, *check = build_member(context, "check");
    if (visit->failure[0] != '\0' || build_number_of(check, "ok") == 0) {
        show_draft(visit);
        return;
    }
    build_set(context, "diff", diff_lines(build_text_of(context, "text"), visit->data));
    page_confirm(visit, &(const struct confirm){
                            .title = "Install the policy",
                            .text = build_count(build_member(context, "diff")) > 0
                                        ? "Shall this policy decide from now on?"
                                        : "This is the policy in force. Install it as yours?",
                            .warning = NULL,
                            .button = "Install",
                            .back = "policy",
                            .seen = build_text_of(context, "sha"),
                        });
}

/* Somebody else may have installed another one since the question. */
static void
install(struct visit *visit)
{
    struct command command;
    if (visit->failure[0] == '\0' &&
        strcmp(params_text(visit->form, "seen"), build_text_of(visit->context, "sha")) != 0) {
        visit_fail(visit, "Another policy was installed meanwhile; look at what would change now.");
    }
    if (visit->failure[0] != '\0') {
        tell_installed(visit);
        return;
    }
    command_function(&command, visit, "tollgate_policy");
    command_text(&command, visit->data);
    command_text(&command, "operator");
    command_text(&command, visit->user);
    visit_command(visit, &command, visit_ignore, NULL);
    visit_then(visit, tell_installed);
}

void
action_policy_install(struct visit *visit)
{
    if (!read_draft(visit)) {
        return;
    }
    bool confirmed = page_is_confirmed(visit);
    if (!confirmed) {
        check_draft(visit);
    }
    ask_policy(visit);
    visit_then(visit, confirmed ? install : ask_to_install);
}

/* ---- Terms ---- */

struct terms {
    struct command *command;
    size_t count;
};

static void
add_term(const char *name, const char *value, void *arg)
{
    struct terms *terms = arg;
    if (strncmp(name, TERM, strlen(TERM)) == 0 && terms->count < MOST_TERMS) {
        command_text(terms->command, name + strlen(TERM));
        command_text(terms->command, value);
        terms->count++;
    }
}

static void
tell_terms(struct visit *visit)
{
    page_tell(visit, "The terms are saved.", "policy");
}

void
action_terms(struct visit *visit)
{
    struct command command;
    struct terms terms = { &command, 0 };
    command_function(&command, visit, "tollgate_terms");
    command_text(&command, visit->user);
    command_text(&command, params_text(visit->form, "note"));
    command_text(&command, params_text(visit->form, "sha"));
    params_each(visit->form, add_term, &terms);
    if (*params_text(visit->form, "new_name") != '\0') {
        command_text(&command, params_text(visit->form, "new_name"));
        command_text(&command, params_text(visit->form, "new_value"));
    }
    visit_command(visit, &command, visit_ignore, NULL);
    visit_then(visit, tell_terms);
}
