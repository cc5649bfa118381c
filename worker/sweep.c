#include "worker/sweep.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "common/store.h"
#include "worker/calcom.h"
#include "worker/governor.h"
#include "worker/worker_metrics.h"

#define AGAIN_MS     5000  /* after a failure, and the longest wait between two words with Redis */
#define LEASE_MS     15000 /* beyond the longest call */
#define ACCEPTED_MS  INT64_C(86400000)
#define PAGES_MOST   1000
#define LOOK_WAIT_MS 1000 /* until what was ordered is probably done */

static const char NO_ACCOUNT[] =
    "found by the sweep, no webhook told of it; Cal.com's list does not "
    "tell what TOLLGATE_ACCOUNT_FIELD names";
static const char UNPAID[] = "found by the sweep, no webhook told of it; a payment is missing";

/* Which list is read. */
enum sweep_list { LIST_PENDING, LIST_ACCEPTED };

struct sweep {
    struct sweep_parts parts;
    struct store_sweep of;
    struct event *timer;
    const char *step;      /* what is asked for next: start, call, look or end; NULL: not started */
    int64_t began_mono_ms; /* with what need not be done to the end: see is_over() */
    int64_t reserved_boot_ms;
    enum sweep_list list;
    size_t skip, pages;   /* of that list */
    size_t compared;      /* accepted ones that earlier sweeps came to: the next goes on there */
    size_t rows, settled; /* of the page; of these, how many will not be listed again */
    size_t open;          /* rows that Redis did not answer yet */
    bool more, page_read;
    bool stopped;
};

static void sweep_ask(struct sweep *sweep);

static void
ask_in(struct sweep *sweep, const char *step, int64_t delay_ms)
{
    const struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
    sweep->step = step;
    if (!sweep->stopped) {
        (void)event_add(sweep->timer, &delay);
    }
}

static void
ask_now(struct sweep *sweep, const char *step)
{
    sweep->step = step;
    sweep_ask(sweep);
}

/* Whether what can be left to the next sweep was done for an interval: who waits is asked for
 * again. */
static bool
is_over(const struct sweep *sweep)
{
    return clock_mono_ms() - sweep->began_mono_ms >= sweep->of.interval_ms;
}

/* ---- Pages ---- */

static void
begin_list(struct sweep *sweep, enum sweep_list list)
{
    sweep->list = list;
    sweep->skip = list == LIST_ACCEPTED ? sweep->compared : 0;
    sweep->pages = 0;
    sweep->began_mono_ms = clock_mono_ms();
    ask_now(sweep, "call");
}

static void
end_list(struct sweep *sweep)
{
    if (sweep->list == LIST_PENDING && !calcom_lists_all(sweep->parts.calcom)) {
        begin_list(sweep, LIST_ACCEPTED);
    } else {
        ask_now(sweep, "look");
    }
}

/* The page was read, and Redis knows every row. What was queued leaves the list of the pending
 * ones, and the next page moves up by as many. */
static void
end_page(struct sweep *sweep)
{
    if (!sweep->page_read || sweep->open > 0 || sweep->stopped) {
        return;
    }
    sweep->page_read = false;
    size_t gone = calcom_lists_all(sweep->parts.calcom) ? 0 : sweep->settled;
    sweep->skip += sweep->rows > gone ? sweep->rows - gone : 0;
    if (sweep->list == LIST_ACCEPTED) {
        sweep->compared = sweep->more ? sweep->skip : 0;
    }
    bool enough = sweep->list == LIST_ACCEPTED && is_over(sweep);
    if (sweep->more && ++sweep->pages < PAGES_MOST && !enough) {
        ask_now(sweep, "call");
    } else {
        end_list(sweep);
    }
}

static void
sweep_on_found(enum store_result result, const char *word, const char *text, void *arg)
{
    struct sweep *sweep = arg;
    (void)text; /* what drifts is logged at the end */
    sweep->open--;
    if (result == STORE_DONE && strcmp(word, "queued") == 0) {
        sweep->settled++;
        metrics_add(sweep->parts.metrics, WORKER_FOUND_QUEUED, 1);
    } else if (result == STORE_DONE && strcmp(word, "listed") == 0) {
        metrics_add(sweep->parts.metrics, WORKER_FOUND_LISTED, 1);
    }
    end_page(sweep);
}

static void
sweep_on_row(const struct calcom_row *row, void *arg)
{
    struct sweep *sweep = arg;
    bool pending = row->status == STATUS_PENDING;
    if ((!pending && row->status != STATUS_ACCEPTED) ||
        !config_list_has(sweep->parts.config->event_types, row->event.event_type, true)) {
        return;
    }
    sweep->open++;
    const char *aside = row->unpaid ? UNPAID : row->no_account ? NO_ACCOUNT : "";
    store_found(sweep->parts.store, &row->event, row->status, aside, sweep_on_found, sweep);
}

static void
sweep_on_page(const struct calcom_answer *answer, void *arg)
{
    struct sweep *sweep = arg;
    const struct governor_call call = { sweep->of.worker, "sweep", CALCOM_LIST, answer };
    metrics_add(sweep->parts.metrics, WORKER_ANSWER_DONE + (size_t)answer->kind, 1);
    if (sweep->stopped) {
        return;
    }
    if (answer->too_late) {
        ask_in(sweep, "call", AGAIN_MS);
        return;
    }
    (void)governor_hear(sweep->parts.governor, &call);
    if (answer->kind == CALCOM_DONE) {
        sweep->rows = answer->rows;
        sweep->more = answer->more;
        sweep->page_read = true;
        end_page(sweep);
    } else if (answer->kind == CALCOM_THROTTLED) {
        ask_in(sweep, "call", AGAIN_MS);
    } else {
        log_warn("the sweep got no list of bookings", log_s("answer", answer->detail));
        end_list(sweep);
    }
}

static void
read_page(struct sweep *sweep)
{
    const struct calcom_list list = {
        .skip = sweep->skip,
        .accepted_since_wall_ms = sweep->list == LIST_ACCEPTED ? clock_wall_ms() - ACCEPTED_MS : 0,
    };
    struct governor *governor = sweep->parts.governor;
    sweep->settled = sweep->open = 0;
    metrics_add(sweep->parts.metrics, WORKER_CALL_LIST, 1);
    if (!calcom_ask_list(sweep->parts.calcom, &list,
                         governor_send_by(governor, sweep->reserved_boot_ms), sweep_on_row,
                         sweep_on_page, sweep)) {
        end_list(sweep);
    }
}

/* ---- What Redis says ---- */

/* The sweep is over; drift is told once, by whoever ends the sweep that saw it. */
static void
on_ended(struct sweep *sweep, const struct store_swept *swept)
{
    metrics_add(sweep->parts.metrics, WORKER_SWEEPS, 1);
    for (size_t i = 0; i < swept->news_count; i++) {
        char id[BOOKING_ID_SIZE];
        size_t length = strcspn(swept->news[i], " ");
        (void)snprintf(id, sizeof id, "%.*s", (int)length, swept->news[i]);
        log_warn("Cal.com and the ledger disagree; it is listed under drift", log_s("booking", id),
                 log_s("what", swept->news[i] + length + (swept->news[i][length] == ' ')));
    }
    ask_in(sweep, "start", sweep->of.interval_ms);
}

static void
on_looks(struct sweep *sweep, int64_t ordered)
{
    metrics_add(sweep->parts.metrics, WORKER_LOOKS_ORDERED, ordered);
    if (ordered > 0 && !is_over(sweep)) {
        ask_in(sweep, "look", LOOK_WAIT_MS);
    } else {
        ask_now(sweep, "end");
    }
}

static void
on_go(struct sweep *sweep, const struct store_swept *swept)
{
    if (strcmp(sweep->step, "start") == 0) {
        log_debug("sweeping", log_s("worker", sweep->of.worker));
        begin_list(sweep, LIST_PENDING);
    } else if (strcmp(sweep->step, "call") == 0) {
        read_page(sweep);
    } else if (strcmp(sweep->step, "look") == 0) {
        on_looks(sweep, swept->number);
    } else {
        on_ended(sweep, swept);
    }
}

/* Comparing and looking again are left off when they take longer than an interval: the next sweep
 * goes on. */
static void
on_hold(struct sweep *sweep, const struct store_swept *swept)
{
    if (is_over(sweep) && strcmp(sweep->step, "look") == 0) {
        ask_now(sweep, "end");
    } else if (is_over(sweep) && sweep->list == LIST_ACCEPTED) {
        ask_now(sweep, "look");
    } else {
        ask_in(sweep, sweep->step, swept->number < AGAIN_MS ? swept->number : AGAIN_MS);
    }
}

static void
sweep_on_answer(enum store_result result, const struct store_swept *swept, void *arg)
{
    struct sweep *sweep = arg;
    if (sweep->stopped) {
        return;
    }
    if (result != STORE_DONE) {
        ask_in(sweep, sweep->step, AGAIN_MS);
    } else if (strcmp(swept->word, "go") == 0) {
        on_go(sweep, swept);
    } else if (strcmp(swept->word, "hold") == 0) {
        on_hold(sweep, swept);
    } else {
        ask_in(sweep, "start", swept->number > 0 ? swept->number : AGAIN_MS);
    }
}

static void
sweep_ask(struct sweep *sweep)
{
    sweep->reserved_boot_ms = clock_boot_ms();
    store_sweep(sweep->parts.store, &sweep->of, sweep->step, sweep_on_answer, sweep);
}

static void
sweep_on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    sweep_ask(arg);
}

/* ---- Life ---- */

struct sweep *
sweep_new(const struct sweep_parts *parts)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (sweep == NULL) {
        return NULL;
    }
    sweep->parts = *parts;
    sweep->of = (struct store_sweep){
        .worker = parts->worker,
        .interval_ms = parts->config->sweep_interval_s * 1000,
        .lease_ms = LEASE_MS + parts->config->calcom_timeout_ms,
    };
    sweep->timer = evtimer_new(parts->base, sweep_on_timer, sweep);
    if (sweep->timer == NULL) {
        free(sweep);
        return NULL;
    }
    sweep->stopped = parts->config->sweep_interval_s == 0;
    return sweep;
}

void
sweep_start(struct sweep *sweep)
{
    if (sweep->step == NULL && !sweep->stopped) {
        ask_now(sweep, "start");
    }
}

void
sweep_stop(struct sweep *sweep)
{
    sweep->stopped = true;
    (void)event_del(sweep->timer);
}

void
sweep_free(struct sweep *sweep)
{
    if (sweep != NULL) {
        event_free(sweep->timer);
        free(sweep);
    }
}
