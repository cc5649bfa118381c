/* Credit for many members at once: a line for each, "account, credits", or "account" where all get
 * the same. */
#include <ctype.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/booking.h"
#include "common/config.h"
#include "ingest/console/build.h"
#include "ingest/console/pages.h"
#include "ingest/console/params.h"

#define MOST_MEMBERS 5000 /* more is an import: scripts/credit */
#define MOST_CREDITS 1000000000

struct grant {
    char account[BOOKING_ACCOUNT_SIZE];
    int64_t credits;
};

struct grants {
    size_t count;
    int64_t granted, known, refused; /* what came of them */
    int64_t unknown;                 /* have no account yet */
    int64_t credits;                 /* in all */
    struct grant each[MOST_MEMBERS];
};

/* A whole number of credits from 1 up, with blanks around it; 0: it is none. */
static int64_t
read_credits(const char *text)
{
    char *end;
    text += strspn(text, " \t");
    long long credits = strtoll(text, &end, 10);
    bool whole = end != text && end[strspn(end, " \t")] == '\0';
    return whole && credits > 0 && credits <= MOST_CREDITS ? credits : 0;
}

/* "account, credits" or with a tab or semicolon between, without its end of line; the account alone
 * gets `otherwise`. */
static bool
read_line(char *line, int64_t otherwise, struct grant *grant)
{
    size_t split = strcspn(line, ",;\t");
    bool alone = line[split] == '\0';
    line[split] = '\0';
    grant->credits = alone ? otherwise : read_credits(line + split + 1);
    return grant->credits > 0 && booking_normalise_account(line, grant->account);
}

/* Whether the newest one is for somebody who is in the list already. */
static bool
is_repeated(const struct grants *grants)
{
    const char *account = grants->each[grants->count].account;
    for (size_t i = 0; i < grants->count; i++) {
        if (strcmp(grants->each[i].account, account) == 0) {
            return true;
        }
    }
    return false;
}

/* False with the failure noted: the number of the line that cannot be read. */
static bool
read_list(struct visit *visit, struct grants *grants)
{
    char why[200];
    char *list = strdup(params_raw(visit->form, "list"));
    char *rest = list;
    int number = 0;
    int64_t otherwise = read_credits(params_text(visit->form, "credits"));
    while (rest != NULL && visit->failure[0] == '\0') {
        char *line = strsep(&rest, "\n");
        line[strcspn(line, "\r")] = '\0';
        number++;
        if (line[strspn(line, " \t")] == '\0') {
            continue;
        }
        if (grants->count == MOST_MEMBERS) {
            (void)snprintf(why, sizeof why,
                           "At most %d members at a time; scripts/credit import takes more.",
                           MOST_MEMBERS);
            visit_fail(visit, why);
        } else if (!read_line(line, otherwise, &grants->each[grants->count])) {
            (void)snprintf(why, sizeof why,
                           "Line %d is not \"account, credits\", nor an account alone where the "
                           "credits for each are given; credits are whole numbers from 1 up.",
                           number);
            visit_fail(visit, why);
        } else if (is_repeated(grants)) {
            (void)snprintf(why, sizeof why, "Line %d names somebody who is in the list already.",
                           number);
            visit_fail(visit, why);
        } else {
            grants->credits += grants->each[grants->count++].credits;
        }
    }
    free(list);
    if (grants->count == 0 && visit->failure[0] == '\0') {
        visit_fail(visit, "The list is empty.");
    }
    return visit->failure[0] == '\0';
}

static void
take_exists(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    struct grants *grants = visit->data;
    const struct grant *grant = arg;
    struct json_object *item = json_object_new_object();
    bool is_new = reply != NULL && redis_reply_integer(reply) == 0;
    grants->unknown += is_new;
    build_text(item, "name", grant->account);
    build_print(item, "detail", "%" PRId64 "%s", grant->credits,
                is_new ? ", becomes a member" : "");
    (void)json_object_array_add(build_member(visit->context, "items"), item);
}

static void
ask(struct visit *visit)
{
    const struct grants *grants = visit->data;
    char text[200], warning[160];
    if (visit->failure[0] != '\0') {
        visit_show_failure(visit);
        return;
    }
    (void)snprintf(text, sizeof text, "Give %" PRId64 " credits in all to %zu members?",
                   grants->credits, grants->count);
    (void)snprintf(warning, sizeof warning,
                   "%" PRId64 " of them have no account yet: are they spelled right?",
                   grants->unknown);
    page_confirm(visit, &(const struct confirm){
                            .title = "Grant to many",
                            .text = text,
                            .warning = grants->unknown > 0 ? warning : NULL,
                            .button = "Grant",
                            .back = "members",
                        });
}

static void
look_first(struct visit *visit)
{
    struct grants *grants = visit->data;
    build_set(visit->context, "items", json_object_new_array());
    for (size_t i = 0; i < grants->count; i++) {
        char key[BOOKING_ACCOUNT_SIZE + 128];
        (void)snprintf(key, sizeof key, "{%s}:credit:%s", visit->console->config->ns,
                       grants->each[i].account);
        struct command command = { .argc = 2, .argv = { "EXISTS", key } };
        visit_command(visit, &command, take_exists, &grants->each[i]);
    }
    visit_then(visit, ask);
}

static void
take_granted(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    struct grants *grants = visit->data;
    (void)arg;
    if (reply == NULL) {
        grants->refused++;
    } else if (strcmp(redis_reply_text(redis_reply_at(reply, 0)), "known") == 0) {
        grants->known++;
    } else {
        grants->granted++;
    }
}

static void
tell(struct visit *visit)
{
    const struct grants *grants = visit->data;
    char text[1024];
    if (visit->away) {
        visit_show_failure(visit);
        return;
    }
    int length = snprintf(text, sizeof text, "Granted to %" PRId64 " members.", grants->granted);
    if (grants->known > 0) {
        length += snprintf(text + length, sizeof text - (size_t)length,
                           " %" PRId64 " had it already under this name.", grants->known);
    }
    if (grants->refused > 0) {
        (void)snprintf(text + length, sizeof text - (size_t)length,
                       " %" PRId64 " were refused; the first: %.500s", grants->refused,
                       visit->failure);
    }
    visit_tell(visit, grants->refused == 0, text, "members");
}

static void
carry_out(struct visit *visit)
{
    struct grants *grants = visit->data;
    for (size_t i = 0; i < grants->count; i++) {
        struct command command;
        command_function(&command, visit, "tollgate_grant");
        command_text(&command, grants->each[i].account);
        command_number(&command, grants->each[i].credits);
        command_text(&command, params_text(visit->form, "key"));
        command_text(&command, visit->user);
        command_text(&command, params_text(visit->form, "note"));
        visit_command(visit, &command, take_granted, NULL);
    }
    visit_then(visit, tell);
}

void
action_grant_list(struct visit *visit)
{
    struct grants *grants = calloc(1, sizeof *grants);
    visit->data = grants;
    if (grants == NULL) {
        visit_refuse(visit, 500, "out of memory", "Try again.");
    } else if (*params_text(visit->form, "key") == '\0') {
        visit_tell(visit, false, "This grant needs a name, so that it is done once.", "members");
    } else if (!read_list(visit, grants)) {
        visit_tell(visit, false, visit->failure, "members");
    } else if (page_is_confirmed(visit)) {
        carry_out(visit);
    } else {
        look_first(visit);
    }
}
