/* What stands at which address below /console/. Internal to ingest/console. */
#ifndef TOLLGATE_PAGES_H
#define TOLLGATE_PAGES_H

#include "ingest/console/visit.h"

struct page {
    const char *name;
    const char *template; /* of a page that people see; NULL: none */
    visit_cb *get;        /* NULL: it is only for forms */
    visit_cb *post;       /* NULL: there is no form for it */
    bool open;            /* to who has not signed in */
    bool changes;         /* not in read-only mode */
};

/* NULL when there is none. */
const struct page *page_find(const char *name);

/* ---- The GET of each: pages.c, overview.c, system.c, policy.c ---- */

void page_login(struct visit *visit);
void page_overview(struct visit *visit);
void page_overview_json(struct visit *visit);
void page_decisions(struct visit *visit);
void page_booking(struct visit *visit);
void page_members(struct visit *visit);
void page_member(struct visit *visit);
void page_attention(struct visit *visit);
void page_policy(struct visit *visit);
void page_system(struct visit *visit);

/* ---- What pages share ---- */

/* Shows the page of the visit, or what went wrong; `next` of a list becomes the address of its next
 * page. */
void page_show(struct visit *visit);

/* Where a list goes on, and how many rows. */
void page_add_cursor(struct command *command, const struct visit *visit);

/* A filter by this name, if it was filled in. */
void page_add_filter(struct command *command, const struct params *params, const char *name);

/* `spool`: how this ingest's stands. */
void page_add_spool(struct visit *visit);

/* A button that asks before something is done. Texts are copied. */
struct confirm {
    const char *title, *text, *warning, *button, *back;
    const char *seen; /* comes back as `seen`: what the question rests on. NULL: nothing */
    bool danger;
};

/* Asks; yes sends the same form again, with confirm=yes. What the context has under `items`, {name,
 * detail}, is listed, and `diff` is shown. Ends the visit. */
void page_confirm(struct visit *visit, const struct confirm *confirm);

/* Says on the page at `location` that it was done, or why not. Ends the visit. */
void page_tell(struct visit *visit, const char *done, const char *location);

/* Whether somebody said yes. */
bool page_is_confirmed(const struct visit *visit);

/* ---- The POST of each: actions.c, grants.c, bulk.c, policy.c ---- */

void action_grant(struct visit *visit);
void action_debit(struct visit *visit);
void action_fields(struct visit *visit);
void action_grant_list(struct visit *visit);
void action_requeue(struct visit *visit);
void action_discard(struct visit *visit);
void action_accept(struct visit *visit);
void action_reject(struct visit *visit);
void action_terms(struct visit *visit);
void action_policy_check(struct visit *visit);
void action_policy_try(struct visit *visit);
void action_policy_install(struct visit *visit);
void action_pause(struct visit *visit);
void action_resume(struct visit *visit);

#endif
