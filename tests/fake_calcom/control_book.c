#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "control_parts.h"
#include "http_util.h"
#include "json_util.h"
#include "lifecycle_seats.h"

#define COUNT_MAX       100000
#define OCCURRENCES_MAX 1000
#define HOUR_MS         (INT64_C(60) * 60 * 1000)
#define DAY_MS          (24 * HOUR_MS)

/* One POST /control/book. It answers when the webhooks of all its bookings are answered. */
struct party {
    struct evhttp_request *request;
    json_object *bookings;  /* one entry per booking, in order; filled in as they are done */
    int64_t open;           /* bookings that are not done, and one for control_book itself */
    bool is_one;            /* neither "count" nor its like: the answer is the entry itself */
    struct booking *series; /* NULL: none */
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
    int64_t occurrences; /* `count` then; 0: no series */
    int64_t interval_days;
    json_object *lost;    /* the numbers of those whose webhook is lost, from 1; NULL: none */
    struct booking *slot; /* in which to take a seat; NULL: none, or not booked yet */
    struct booking *moved_from;
    const char *moved_by;
    struct webhook_plan plan;
};

/* ---- reading the form ---- */

/* `text` with "{n}" replaced by `n`; the caller's to free(). */
static char *
numbered(const char *text, int64_t n)
{
    const char *place = strstr(text, "{n}");

    if (place == NULL)
        return xstrdup(text);
    return xasprintf("%.*s%lld%s", (int)(place - text), text, (long long)n, place + 3);
}

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
    form->occurrences = json_int(order->body, "occurrences", 0);
    form->interval_days = json_int(order->body, "intervalDays", 7);
    form->count = json_int(order->body, "count", json_int(order->body, "twins", 1));
    form->lost = json_member(order->body, "lostOccurrences", json_type_array);
    if (form->occurrences < 0 || form->occurrences > OCCURRENCES_MAX || form->interval_days < 1)
        return "occurrences must be 1 to 1000, and intervalDays positive";
    if (form->occurrences > 0 && form->count > 1)
        return "one series at a time";
    if (form->occurrences > 0)
        form->count = form->occurrences;
    if (form->count < 1 || form->count > COUNT_MAX)
        return "count must be 1 to 100000";
    for (int64_t i = 0; form->id != 0 && i < form->count; i++) {
        if (store_find(order->world->store, form->id + i) != NULL)
            return "id is taken";
    }
    return NULL;
}

/* "seatOf": id or uid of the booking in which to take a seat. */
static const char *
read_seat_of(const struct order *order, struct form *form)
{
    const struct store *store = order->world->store;
    const char *uid = json_text(order->body, "seatOf");
    int64_t id = json_int(order->body, "seatOf", 0);

    if (uid == NULL && id == 0)
        return NULL;
    form->slot = uid != NULL ? store_find_uid(store, uid) : store_find(store, id);
    if (form->slot == NULL || form->slot->seats == NULL || !booking_is_open(form->slot))
        return "seatOf names no open booking with seats";
    form->type = form->slot->type;
    return NULL;
}

/* Everybody who is to take a seat finds one, and none of them has one already. */
static const char *
check_seats(const struct form *form)
{
    const char *problem = NULL;

    if (form->slot != NULL && seats_taken(form->slot) + form->count > form->type.seats)
        return "booking seats are full";
    if (form->count > form->type.seats)
        return "booking seats are full";
    if (form->count > 1 && strstr(form->email, "{n}") == NULL)
        return "already signed up for this booking";
    for (int64_t n = 0; form->slot != NULL && n < form->count && problem == NULL; n++) {
        char *email = numbered(form->email, n);
        if (seats_have(form->slot, email))
            problem = "already signed up for this booking";
        free(email);
    }
    return problem;
}

static const char *
read_seats(const struct order *order, struct form *form)
{
    const char *problem = read_seat_of(order, form);

    if (problem != NULL)
        return problem;
    if (form->moved_from != NULL && form->moved_from->seats != NULL)
        return "a booking with seats cannot be moved here";
    if (form->type.seats == 0)
        return NULL;
    if (form->occurrences > 0 || form->type.price > 0 || form->moved_from != NULL)
        return "seats in a series, for money or moved are not played";
    if (form->slot == NULL)
        form->slot = seats_slot(order->world->store, form->type.id, form->start_ms);
    return check_seats(form);
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
    form->waits = form->waits && !json_flag(body, "autoAccept", false);
    if (form->email == NULL)
        return "email is missing";

    const char *problem = read_ids(order, form);
    if (problem == NULL)
        problem = read_start(order, form);
    if (problem == NULL)
        problem = read_reschedule(order, form);
    return problem == NULL ? read_seats(order, form) : problem;
}

/* ---- booking ---- */

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
    booking->start_ms = form->start_ms;
    if (form->occurrences > 0) {
        booking->start_ms += n * form->interval_days * DAY_MS;
        booking->series.occurrences = form->occurrences;
        booking->series.interval_days = form->interval_days;
    } else if (form->own_hour) {
        booking->start_ms += booking->id % 10000 * HOUR_MS;
    }
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
    if (form->type.seats == 0) /* nobody brings guests into a slot with seats */
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
        if (party->series != NULL)
            put_text(answer, "recurringEventId", party->series->series.uid);
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

/* The seat of the n-th booker, in a slot that is open. */
static struct seat *
seat_new(const struct form *form, int64_t n)
{
    struct seat *seat = seat_add(form->slot);

    seat->waited = form->waits;
    seat->email = numbered(form->email, n);
    seat->name = form->name != NULL ? numbered(form->name, n)
                                    : xneed(strndup(seat->email, strcspn(seat->email, "@")));
    seat->notes = xstrdup(form->notes);
    replace_object(&seat->metadata, form->metadata);
    replace_object(&seat->responses, form->responses);
    return seat;
}

/* The n-th webhook's own fate. */
static struct webhook_plan
plan_of(const struct form *form, int64_t n)
{
    struct webhook_plan plan = form->plan;

    for (size_t i = 0; form->lost != NULL && i < json_object_array_length(form->lost); i++) {
        if (json_object_get_int64(json_object_array_get_idx(form->lost, i)) == n + 1)
            plan.fate = WEBHOOK_LOSE;
    }
    return plan;
}

static struct party_member *
party_admit(struct party *party, struct booking *booking, const struct seat *seat)
{
    struct party_member *member = xcalloc(1, sizeof(*member));
    json_object *entry = object_new();

    put_int(entry, "id", booking->id);
    put_text(entry, "uid", booking->uid);
    if (seat != NULL)
        put_text(entry, "seatUid", seat->uid);
    if (party->series != NULL)
        put_time(entry, "start", booking->start_ms, ISO_MILLIS_Z);
    push(party->bookings, entry);
    *member = (struct party_member){ party, booking, entry };
    party->open++;
    return member;
}

static void
party_book(struct party *party, const struct order *order, struct form *form, int64_t n)
{
    const struct lifecycle *lifecycle = &order->world->lifecycle;
    struct booking *booking = form->slot;
    struct seat *seat = NULL;

    if (booking == NULL)
        booking = booking_new(order->world->store, form, n);
    if (booking == NULL) /* read_ids has looked: cannot be */
        return;
    if (form->occurrences > 0) {
        series_join(booking, party->series);
        party->series = booking->series.first;
    }
    if (form->type.seats > 0) {
        form->slot = booking;
        seat = seat_new(form, n);
    }

    struct step step = {
        .booking = booking,
        .seat = seat,
        .plan = plan_of(form, n),
        .done = member_on_booked,
        .arg = party_admit(party, booking, seat),
    };
    if (seat != NULL)
        lifecycle_seat_book(lifecycle, &step);
    else
        lifecycle_book(lifecycle, &step, form->moved_from);
}

static bool
asks_for(const struct order *order, const char *name)
{
    return json_member(order->body, name, json_type_int) != NULL;
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
    party->is_one = form.occurrences == 0 && !asks_for(order, "count") && !asks_for(order, "twins");
    for (int64_t n = 0; n < form.count; n++)
        party_book(party, order, &form, n);
    party_release(party);
}
