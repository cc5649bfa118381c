#include <event2/http.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/booking.h"
#include "ingest/console/build.h"
#include "ingest/console/pages.h"
#include "ingest/console/params.h"

#define MOST_LOCATION 1200
#define MOST_SHOWN    20 /* of the items of a question */

/* ---- Asking first ---- */

/* arg: the rows that become hidden fields. */
static void
keep_field(const char *name, const char *value, void *arg)
{
    if (strcmp(name, "confirm") != 0 && strcmp(name, "seen") != 0 && *value != '\0') {
        build_pair(arg, name, value);
    }
}

void
page_confirm(struct visit *visit, const struct confirm *confirm)
{
    struct json_object *context = visit->context, *page = json_object_new_object();
    struct json_object *fields = json_object_new_array(), *items = build_member(context, "items");
    size_t count = build_count(items);
    params_each(visit->form, keep_field, fields);
    if (confirm->seen != NULL) {
        build_pair(fields, "seen", confirm->seen);
    }
    build_set(context, "fields", fields);
    build_flag(page, "confirm", true);
    build_set(context, "page", page);
    build_text(context, "title", confirm->title);
    build_text(context, "text", confirm->text);
    build_text(context, "button", confirm->button);
    build_text(context, "back", confirm->back);
    build_text(context, "action", visit->page->name);
    build_flag(context, "danger", confirm->danger);
    build_flag(context, "items_any", count > 0);
    if (confirm->warning != NULL) {
        build_text(context, "warning", confirm->warning);
    }
    if (count > MOST_SHOWN) {
        build_number(context, "more", (int64_t)(count - MOST_SHOWN));
        (void)json_object_array_del_idx(items, MOST_SHOWN, count - MOST_SHOWN);
    }
    build_flag(context, "diff_any", build_count(build_member(context, "diff")) > 0);
    visit_show(visit, 200, "confirm");
}

void
page_tell(struct visit *visit, const char *done, const char *location)
{
    if (visit->away) {
        visit_show_failure(visit);
    } else if (visit->failure[0] != '\0') {
        visit_tell(visit, false, visit->failure, location);
    } else {
        visit_tell(visit, true, done, location);
    }
}

bool
page_is_confirmed(const struct visit *visit)
{
    return strcmp(params_text(visit->form, "confirm"), "yes") == 0;
}

/* ---- One account ---- */

/* Says what came of it on the member's page. */
static void
tell_member(struct visit *visit, const char *good)
{
    char location[MOST_LOCATION];
    char *account = evhttp_uriencode(params_account(visit->form, "account"), -1, 0);
    (void)snprintf(location, sizeof location, "member?account=%s", account != NULL ? account : "");
    free(account);
    page_tell(visit, good, location);
}

/* The account that was typed, as the books have it; false: it is none, and that was said. */
static bool
read_account(struct visit *visit, char account[BOOKING_ACCOUNT_SIZE])
{
    if (booking_normalise_account(params_text(visit->form, "account"), account)) {
        return true;
    }
    visit_tell(visit, false,
               "This is no account: an e-mail address, or a member's name without spaces.",
               "members");
    return false;
}

/* granted or known, balance, held, spent, new or old: see book.lua. */
static void
take_booked(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    (void)arg;
    if (reply != NULL && redis_reply_count(reply) >= 5) {
        build_flag(visit->context, "known",
                   strcmp(redis_reply_text(redis_reply_at(reply, 0)), "known") == 0);
        build_text(visit->context, "balance", redis_reply_text(redis_reply_at(reply, 1)));
    }
}

static void
tell_booked(struct visit *visit)
{
    char text[256];
    const char *credits = params_text(visit->form, "credits");
    if (build_number_of(visit->context, "known") != 0) {
        (void)snprintf(text, sizeof text, "This was done before; the balance is %s.",
                       build_text_of(visit->context, "balance"));
    } else {
        (void)snprintf(text, sizeof text, "%s %.20s; the balance is %s now.",
                       strcmp(visit->page->name, "grant") == 0 ? "Granted" : "Took", credits,
                       build_text_of(visit->context, "balance"));
    }
    tell_member(visit, text);
}

static void
book(struct visit *visit, const char *function)
{
    struct command command;
    char account[BOOKING_ACCOUNT_SIZE];
    if (!read_account(visit, account)) {
        return;
    }
    command_function(&command, visit, function);
    command_text(&command, account);
    command_text(&command, params_text(visit->form, "credits"));
    command_text(&command, params_text(visit->form, "key"));
    command_text(&command, visit->user);
    command_text(&command, params_text(visit->form, "note"));
    visit_command(visit, &command, take_booked, NULL);
    visit_then(visit, tell_booked);
}

void
action_grant(struct visit *visit)
{
    book(visit, "tollgate_grant");
}

void
action_debit(struct visit *visit)
{
    book(visit, "tollgate_debit");
}

static void
tell_fields(struct visit *visit)
{
    tell_member(visit, "The field is set.");
}

void
action_fields(struct visit *visit)
{
    struct command command;
    char account[BOOKING_ACCOUNT_SIZE];
    if (!read_account(visit, account)) {
        return;
    }
    command_function(&command, visit, "tollgate_member");
    command_text(&command, account);
    command_text(&command, "0");
    command_text(&command, "");
    command_text(&command, visit->user);
    command_text(&command, params_text(visit->form, "note"));
    command_text(&command, params_text(visit->form, "field"));
    command_text(&command, params_text(visit->form, "value"));
    visit_command(visit, &command, take_booked, NULL);
    visit_then(visit, tell_fields);
}

/* ---- Pause ---- */

static void
tell_pause(struct visit *visit)
{
    page_tell(visit,
              strcmp(visit->page->name, "pause") == 0
                  ? "Paused: webhooks are kept, and nothing is decided."
                  : "Resumed.",
              "overview");
}

static void
pause_or_resume(struct visit *visit, const char *function)
{
    struct command command;
    command_function(&command, visit, function);
    command_text(&command, visit->user);
    command_text(&command, params_text(visit->form, "note"));
    visit_command(visit, &command, visit_ignore, NULL);
    visit_then(visit, tell_pause);
}

void
action_pause(struct visit *visit)
{
    pause_or_resume(visit, "tollgate_pause");
}

void
action_resume(struct visit *visit)
{
    pause_or_resume(visit, "tollgate_resume");
}
