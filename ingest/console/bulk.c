/*
 * What a person does with bookings that were given up: those chosen, or all that match. What it
 * would be is counted and shown first; what is done is done to the bookings that were listed then,
 * or to all that match now.
 */
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

#define MOST_BOOKINGS 100000
#define A_PAGE        100 /* that are looked for at a time */
#define AT_ONCE       100 /* per call: Redis does nothing else meanwhile */
#define DAY_MS        86400000

struct bulk {
    const struct act *act;
    size_t count, sent;
    int64_t done, others;                     /* what came of them */
    char ids[MOST_BOOKINGS][BOOKING_ID_SIZE]; /* 8 MB, of which what is not used stays untouched */
};

struct act {
    const char *name, *title;
    const char *function;
    const char *verdict;    /* of tollgate_rule; NULL: another function */
    const char *done;       /* what it answers for a booking that it did it to */
    const char *verb, *how; /* of the question, around the number */
    const char *warning;
    bool danger;
};

static const struct act ACTS[] = {
    { "requeue", "Requeue", "tollgate_requeue", NULL, "requeued", "Try", "again?", NULL, false },
    { "discard", "Discard", "tollgate_discard", NULL, "discarded", "Discard", "for good?",
      "Nothing more is done about them, what they hold goes back, and Cal.com is not asked.",
      true },
    { "accept", "Accept", "tollgate_rule", "accept", "accepted", "Accept", "by hand?",
      "Each is charged as it would have been, and confirmed in Cal.com.", false },
    { "reject", "Reject", "tollgate_rule", "reject", "rejected", "Reject", "by hand?",
      "What they hold goes back, and they are declined in Cal.com.", true },
};

/* ---- Which ---- */

static void
add_id(struct bulk *bulk, const char *id)
{
    if (bulk->count < MOST_BOOKINGS && booking_id_is_valid(id)) {
        (void)snprintf(bulk->ids[bulk->count++], BOOKING_ID_SIZE, "%s", id);
    }
}

static void
add_chosen(const char *name, const char *value, void *arg)
{
    if (strcmp(name, "id") == 0) {
        add_id(arg, value);
    }
}

static void ask_for_page(struct visit *visit, const char *cursor);
static void on_chosen(struct visit *visit);

static void
take_page(struct visit *visit)
{
    struct json_object *found = build_member(visit->context, "found");
    struct json_object *rows = build_member(found, "rows");
    struct bulk *bulk = visit->data;
    char cursor[256];
    if (visit->failure[0] != '\0') {
        visit_show_failure(visit);
        return;
    }
    for (size_t i = 0; i < build_count(rows); i++) {
        add_id(bulk, build_text_of(json_object_array_get_idx(rows, i), "booking"));
    }
    (void)snprintf(cursor, sizeof cursor, "%s", build_text_of(found, "next"));
    if (*cursor != '\0' && bulk->count < MOST_BOOKINGS) {
        ask_for_page(visit, cursor);
    } else {
        on_chosen(visit);
    }
}

static void
ask_for_page(struct visit *visit, const char *cursor)
{
    struct command command;
    command_function(&command, visit, "tollgate_attention");
    command_text(&command, "dead");
    command_text(&command, cursor);
    command_number(&command, A_PAGE);
    page_add_filter(&command, visit->form, "text");
    page_add_filter(&command, visit->form, "account");
    page_add_filter(&command, visit->form, "event_type");
    visit_ask(visit, &command, "found");
    visit_then(visit, take_page);
}

/* ---- Doing it ---- */

static const char *
back_of(const struct visit *visit)
{
    const char *back = params_text(visit->form, "back");
    return strncmp(back, "booking?", 8) == 0 && strpbrk(back, "\r\n") == NULL
               ? back
               : "attention?place=dead";
}

static void
tell(struct visit *visit)
{
    const struct bulk *bulk = visit->data;
    struct json_object *others = build_member(visit->context, "others");
    char text[480], back[1200];
    if (visit->away) {
        (void)snprintf(text, sizeof text, "%" PRId64 " %s; then: %.400s.", bulk->done,
                       bulk->act->done, visit->failure);
        visit_refuse(visit, 503, text, "See what is left when Redis is back, and do it again.");
        return;
    }
    int length = snprintf(text, sizeof text, "%" PRId64 " %s.", bulk->done, bulk->act->done);
    if (bulk->others > 0) {
        (void)snprintf(text + length, sizeof text - (size_t)length,
                       " %" PRId64 " not; the first: %.300s", bulk->others,
                       json_object_get_string(others));
    } else if (visit->failure[0] != '\0') {
        (void)snprintf(text + length, sizeof text - (size_t)length, " %.400s", visit->failure);
    }
    (void)snprintf(back, sizeof back, "%s", back_of(visit));
    visit_tell(visit, bulk->others == 0 && visit->failure[0] == '\0', text, back);
}

/* arg: the first of the IDs that were sent. */
static void
take_answers(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    struct bulk *bulk = visit->data;
    const char(*ids)[BOOKING_ID_SIZE] = arg;
    for (size_t i = 0; reply != NULL && i < redis_reply_count(reply); i++) {
        const char *answer = redis_reply_text(redis_reply_at(reply, i));
        if (strcmp(answer, bulk->act->done) == 0 || strcmp(answer, "forgotten") == 0) {
            bulk->done++;
        } else if (bulk->others++ == 0) {
            build_print(visit->context, "others", "%s: %s", ids[i], answer);
        }
    }
}

/* So many at a time, one call after the other: each has its own time to answer. */
static void
carry_out(struct visit *visit)
{
    struct bulk *bulk = visit->data;
    struct command command;
    size_t first = bulk->sent;
    if (first == bulk->count || visit->failure[0] != '\0') {
        tell(visit);
        return;
    }
    command_function(&command, visit, bulk->act->function);
    command_text(&command, visit->user);
    command_text(&command, params_text(visit->form, "note"));
    command_number(&command, visit->console->config->keep_days * DAY_MS);
    if (bulk->act->verdict != NULL) {
        command_text(&command, bulk->act->verdict);
        command_text(&command, params_text(visit->form, "reason"));
    }
    while (bulk->sent < bulk->count && bulk->sent < first + AT_ONCE) {
        command_text(&command, bulk->ids[bulk->sent++]);
    }
    visit_command(visit, &command, take_answers, bulk->ids[first]);
    visit_then(visit, carry_out);
}

static void
ask(struct visit *visit)
{
    struct bulk *bulk = visit->data;
    struct json_object *items = json_object_new_array();
    char text[160], back[1200];
    for (size_t i = 0; i < bulk->count; i++) {
        struct json_object *item = json_object_new_object();
        build_text(item, "name", bulk->ids[i]);
        (void)json_object_array_add(items, item);
    }
    build_set(visit->context, "items", items);
    (void)snprintf(text, sizeof text, "%s %zu booking%s %s", bulk->act->verb, bulk->count,
                   bulk->count == 1 ? "" : "s", bulk->act->how);
    (void)snprintf(back, sizeof back, "%s", back_of(visit));
    page_confirm(visit, &(const struct confirm){
                            .title = bulk->act->title,
                            .text = text,
                            .warning = bulk->act->warning,
                            .button = bulk->act->title,
                            .back = back,
                            .danger = bulk->act->danger,
                        });
}

static void
on_chosen(struct visit *visit)
{
    struct bulk *bulk = visit->data;
    char back[1200];
    if (bulk->count == 0) {
        (void)snprintf(back, sizeof back, "%s", back_of(visit));
        visit_tell(visit, false, "Nothing was chosen.", back);
    } else if (page_is_confirmed(visit)) {
        carry_out(visit);
    } else {
        ask(visit);
    }
}

static void
act(struct visit *visit, const struct act *act)
{
    struct bulk *bulk = calloc(1, sizeof *bulk);
    visit->data = bulk;
    if (bulk == NULL) {
        visit_refuse(visit, 500, "out of memory", "Try again.");
        return;
    }
    bulk->act = act;
    if (act->verdict != NULL && strcmp(act->verdict, "reject") == 0 &&
        *params_text(visit->form, "reason") == '\0') {
        char back[1200];
        (void)snprintf(back, sizeof back, "%s", back_of(visit));
        visit_tell(visit, false, "Say why: the member reads the reason.", back);
    } else if (strcmp(params_text(visit->form, "which"), "all") == 0) {
        ask_for_page(visit, "");
    } else {
        params_each(visit->form, add_chosen, bulk);
        on_chosen(visit);
    }
}

void
action_requeue(struct visit *visit)
{
    act(visit, &ACTS[0]);
}

void
action_discard(struct visit *visit)
{
    act(visit, &ACTS[1]);
}

void
action_accept(struct visit *visit)
{
    act(visit, &ACTS[2]);
}

void
action_reject(struct visit *visit)
{
    act(visit, &ACTS[3]);
}
