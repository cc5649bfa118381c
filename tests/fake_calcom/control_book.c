#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "control_parts.h"
#include "http_util.h"
#include "json_util.h"

#define COUNT_MAX 100000
#define HOUR_MS   (INT64_C(60) * 60 * 1000)
#define DAY_MS    (24 * HOUR_MS)

/* One POST /control/book. It answers when the webhooks of all its bookings are answered. */
struct party {
    struct evhttp_request *request;
    json_object *bookings; /* one entry per booking, in order; filled in as they are done */
    int64_t open;          /* bookings that are not done, and one for control_book itself */
    bool is_one;           /* no "count": the answer is the entry itself */
};

struct party_member {
    struct party *party;
    struct booking *booking;
    json_object *entry; /* in party->bookings */
};

/* What the booking page was filled in with. Texts belong to the request's body. */
struct form {
    const char *email;
    const char *name;
    const char *notes;
    json_object *metadata;
    json_object *responses;
    json_object *guests;
    struct event_type type;
    bool waits;
    int64_t start_ms;
    bool own_hour;
    int64_t minutes;
    int64_t id; /* 0: the next free one */
    int64_t count;
    struct booking *moved_from;
    const char *moved_by;
    struct webhook_plan plan;
};

/* ---- reading the form ---- */

static const char *
read_reschedule(const struct order *order, struct form *form)
{
    const char *uid = json_text(order->body, "rescheduleUid");

    if (uid == NULL)
        return NULL;
    form->moved_from = store_find_uid(order->world->store, uid);
    form->moved_by = json_text(order->body, "rescheduledBy");
    if (form->moved_from == NULL)
        return "rescheduleUid names no booking";
    return form->count == 1 ? NULL : "one booking cannot be moved to several";
}

/* Default: in seven days, on the full hour; each booking has an hour of its own: two requests
 * of one booker for one time are taken for twins. */
static const char *
read_start(const struct order *order, struct form *form)
{
    const char *start = json_text(order->body, "start");

    form->start_ms = (clock_wall_ms() + 7 * DAY_MS) / HOUR_MS * HOUR_MS;
    form->minutes = json_int(order->body, "minutes", 60);
    form->own_hour = start == NULL;
    if (start != NULL && !iso_parse(start, &form->start_ms))
        return "start is not an ISO 8601 time";
    return form->minutes > 0 ? NULL : "minutes must be positive";
}

static const char *
read_ids(const struct order *order, struct form *form)
{
    form->id = json_int(order->body, "id", 0);
    form->count = json_int(order->body, "count", 1);
    if (form->count < 1 || form->count > COUNT_MAX)
        return "count must be 1 to 100000";
    for (int64_t i = 0; form->id != 0 && i < form->count; i++) {
        if (store_find(order->world->store, form->id + i) != NULL)
            return "id is taken";
    }
    return NULL;
}

/* NULL, or what is wrong. */
static const char *
read_form(const struct order *order, struct form *form)
{
    json_object *body = order->body;
    int64_t type = json_int(body, "eventTypeId", EVENT_TYPE_DEFAULT);

    form->email = json_text(body, "email");
    form->name = json_text(body, "name");
    form->notes = json_text(body, "notes");
    form->metadata = json_member(body, "metadata", json_type_object);
    form->responses = json_member(body, "responses", json_type_object);
    form->guests = json_member(body, "guests", json_type_array);
    form->type = event_types_find(&order->world->event_types, type);
    form->type.price = json_int(body, "price", form->type.price);
    form->waits = json_flag(body, "requiresConfirmation", form->type.requires_confirmation);
    form->type.requires_confirmation |= form->waits;
    if (form->email == NULL)
        return "email is missing";

    const char *problem = read_ids(order, form);
    if (problem == NULL)
        problem = read_start(order, form);
    return problem == NULL ? read_reschedule(order, form) : problem;
}

/* ---- booking ---- */

/* `text` with "{n}" replaced by `n`; the caller's to free(). */
static char *
numbered(const char *text, int64_t n)
{
    const char *place = strstr(text, "{n}");

    if (place == NULL)
        return xstrdup(text);
    return xasprintf("%.*s%lld%s", (int)(place - text), text, (long long)n, place + 3);
}

static void
replace_object(json_object **field, json_object *value)
{
    if (value == NULL)
        return;
    json_object_put(*field);
    *field = json_object_get(value);
}

static struct booking *
booking_new(struct store *store, const struct form *form, int64_t n)
{
    struct booking *booking = store_add(store, form->id == 0 ? 0 : form->id + n);
    char title[EVENT_TYPE_NAME_SIZE];

    if (booking == NULL)
        return NULL;
    booking->type = form->type;
    booking->waits = form->waits;
    booking->start_ms = form->start_ms + (form->own_hour ? booking->id % 10000 * HOUR_MS : 0);
    booking->end_ms = booking->start_ms + form->minutes * 60 * 1000;
    booking->email = numbered(form->email, n);
    booking->name = form->name != NULL
                        ? numbered(form->name, n)
                        : xneed(strndup(booking->email, strcspn(booking->email, "@")));
    booking->notes = xstrdup(form->notes);
    booking->title = xasprintf("%s between " HOST_NAME " and %s",
                               event_type_title(&form->type, title), booking->name);
    booking->origin.by = form->moved_from == NULL
                             ? NULL
                             : xstrdup(form->moved_by == NULL ? booking->email : form->moved_by);
    replace_object(&booking->metadata, form->metadata);
    replace_object(&booking->responses, form->responses);
    replace_object(&booking->guests, form->guests);
    return booking;
}

static void
party_release(struct party *party)
{
    if (--party->open > 0)
        return;

    json_object *answer;
    if (party->is_one) {
        answer = json_object_get(json_object_array_get_idx(party->bookings, 0));
        json_object_put(party->bookings);
    } else {
        answer = object_new();
        put_int(answer, "count", (int64_t)json_object_array_length(party->bookings));
        put(answer, "bookings", party->bookings);
    }
    http_reply(party->request, 200, answer);
    free(party);
}

static void
member_on_booked(enum verdict verdict, json_object *deliveries, void *arg)
{
    struct party_member *member = arg;
    struct party *party = member->party;

    (void)verdict;
    put_text(member->entry, "status", booking_status_name(member->booking->status));
    put_copy(member->entry, "webhooks", deliveries);
    free(member);
    party_release(party);
}

static void
party_book(struct party *party, const struct order *order, const struct form *form, int64_t n)
{
    struct booking *booking = booking_new(order->world->store, form, n);
    struct party_member *member;
    json_object *entry;

    if (booking == NULL) /* read_ids has looked: cannot be */
        return;
    entry = object_new();
    put_int(entry, "id", booking->id);
    put_text(entry, "uid", booking->uid);
    push(party->bookings, entry);

    member = xcalloc(1, sizeof(*member));
    *member = (struct party_member){ party, booking, entry };
    party->open++;
    struct step step = {
        .booking = booking, .plan = form->plan, .done = member_on_booked, .arg = member
    };
    lifecycle_book(&order->world->lifecycle, &step, form->moved_from);
}

void
control_book(const struct order *order)
{
    struct form form = { 0 };
    struct party *party;

    if (!order_plan(order, &form.plan))
        return;
    const char *problem = read_form(order, &form);
    if (problem != NULL) {
        order_refuse(order, 400, problem);
        return;
    }

    party = xcalloc(1, sizeof(*party));
    party->request = order->request;
    party->bookings = array_new();
    party->open = 1;
    party->is_one = json_member(order->body, "count", json_type_int) == NULL;
    for (int64_t n = 0; n < form.count; n++)
        party_book(party, order, &form, n);
    party_release(party);
}
