#include "ingest/console/console.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "ingest/console/build.h"
#include "ingest/console/embedded.h"
#include "ingest/console/origin.h"
#include "ingest/console/pages.h"
#include "ingest/console/params.h"
#include "ingest/console/password.h"
#include "ingest/console/session.h"

#define BELOW    "/console/"
#define MOST_URL 2048

#define MOST_OPEN_FORM 8192 /* bytes from who has not signed in */

static const struct page PAGES[] = {
    { "login", "login", page_login, NULL, true, false },
    { "sign-in", NULL, NULL, session_sign_in, true, false },
    { "sign-out", NULL, NULL, session_sign_out, false, false },
    { "overview", "overview", page_overview, NULL, false, false },
    { "overview.json", NULL, page_overview_json, NULL, false, false },
    { "decisions", "decisions", page_decisions, NULL, false, false },
    { "booking", "booking", page_booking, NULL, false, false },
    { "members", "members", page_members, NULL, false, false },
    { "member", "member", page_member, NULL, false, false },
    { "attention", "attention", page_attention, NULL, false, false },
    { "policy", "policy", page_policy, NULL, false, false },
    { "system", "system", page_system, NULL, false, false },
    { "grant", NULL, NULL, action_grant, false, true },
    { "debit", NULL, NULL, action_debit, false, true },
    { "fields", NULL, NULL, action_fields, false, true },
    { "grant-list", NULL, NULL, action_grant_list, false, true },
    { "requeue", NULL, NULL, action_requeue, false, true },
    { "discard", NULL, NULL, action_discard, false, true },
    { "accept", NULL, NULL, action_accept, false, true },
    { "reject", NULL, NULL, action_reject, false, true },
    { "terms", NULL, NULL, action_terms, false, true },
    { "policy-check", "policy", NULL, action_policy_check, false, true },
    { "policy-try", "policy", NULL, action_policy_try, false, true },
    { "policy-install", "policy", NULL, action_policy_install, false, true },
    { "pause", NULL, NULL, action_pause, false, true },
    { "resume", NULL, NULL, action_resume, false, true },
};

const struct page *
page_find(const char *name)
{
    for (size_t i = 0; i < sizeof PAGES / sizeof PAGES[0]; i++) {
        if (strcmp(PAGES[i].name, name) == 0) {
            return &PAGES[i];
        }
    }
    return NULL;
}

static void
console_on_ready(void *arg)
{
    session_make_token(arg);
}

struct console *
console_new(struct event_base *base, const struct console_of *of)
{
    static const struct redis_link_handlers HANDLERS = { .ready = console_on_ready };
    struct console *console = calloc(1, sizeof *console);
    if (console == NULL) {
        return NULL;
    }
    console->config = of->config;
    console->metrics = of->metrics;
    console->spool = of->spool;
    (void)snprintf(console->queue_key, sizeof console->queue_key, "{%s}:queue", of->config->ns);
    if (*of->config->console_passwords != '\0') {
        console->passwords = password_checker_new(base, of->config->console_passwords);
        if (console->passwords == NULL) {
            console_free(console);
            return NULL;
        }
    }
    console->link = redis_link_new(base, of->config->redis_url, "console", &HANDLERS, console);
    if (console->link == NULL) {
        console_free(console);
        return NULL;
    }
    return console;
}

void
console_free(struct console *console)
{
    if (console == NULL) {
        return;
    }
    redis_link_free(console->link);
    password_checker_free(console->passwords);
    while (console->visits != NULL) {
        visit_send(console->visits, 503, "text/plain", "stopping\n", 9);
    }
    free(console);
}

/* ---- One request ---- */

/* Ends in `page->get` or `page->post`, for who may. */
static void
enter(struct visit *visit)
{
    const struct page *page = visit->page;
    if (visit->request == NULL) {
        visit_send(visit, 503, NULL, "", 0); /* to nobody, and nothing is done for nobody */
        return;
    }
    bool is_form = evhttp_request_get_command(visit->request) == EVHTTP_REQ_POST;
    if (visit->failure[0] != '\0') {
        visit_show_failure(visit);
        return;
    }
    if (visit->user[0] == '\0' && !page->open) {
        if (page->template == NULL && !is_form) {
            visit_refuse(visit, 401, "You are not signed in.", "Sign in.");
            return;
        }
        char asked[MOST_URL + 64], location[3 * sizeof asked];
        const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(visit->request));
        (void)snprintf(asked, sizeof asked, "%s%s%s", page->name, query != NULL ? "?" : "",
                       query != NULL ? query : "");
        char *next = evhttp_uriencode(asked, -1, 0);
        (void)snprintf(location, sizeof location, "login%s%s",
                       is_form || next == NULL ? "" : "?to=", is_form || next == NULL ? "" : next);
        free(next);
        visit_redirect(visit, location);
        return;
    }
    bool read_only = strcmp(visit->console->config->console, "read-only") == 0;
    build_text(visit->context, "user", visit->user);
    build_flag(visit->context, "read_only", read_only);
    build_flag(visit->context, "can_change", !read_only);
    build_text(visit->context, "version", TOLLGATE_VERSION);
    if (page->changes && read_only) {
        visit_refuse(visit, 403, "This console is for reading only.",
                     "Set TOLLGATE_CONSOLE=on to change things here, or use the scripts.");
        return;
    }
    if (is_form) {
        page->post(visit);
    } else {
        page->get(visit);
    }
}

static bool
is_own(struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    const struct origin_headers origin = {
        .fetch_site = evhttp_find_header(headers, "Sec-Fetch-Site"),
        .origin = evhttp_find_header(headers, "Origin"),
        .host = evhttp_find_header(headers, "Host"),
        .forwarded_host = evhttp_find_header(headers, "X-Forwarded-Host"),
    };
    return origin_is_own(&origin);
}

/* The form in the request's body, or an empty one. NULL: it is none. */
static struct params *
read_form(struct evhttp_request *request)
{
    static const char FORM[] = "application/x-www-form-urlencoded";
    const char *type =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Content-Type");
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    size_t size = evbuffer_get_length(body);
    if (size > 0 && (type == NULL || strncmp(type, FORM, sizeof FORM - 1) != 0)) {
        return NULL;
    }
    char *text = calloc(1, size + 1);
    struct params *form = NULL;
    if (text != NULL && evbuffer_remove(body, text, size) == (int)size && strlen(text) == size) {
        form = params_parse(text);
    }
    free(text);
    return form;
}

/* Whether the request may be read at all; whoever sent it is not known yet. False: it was answered.
 */
static bool
is_taken(struct visit *visit)
{
    struct evhttp_request *request = visit->request;
    bool is_form = evhttp_request_get_command(request) == EVHTTP_REQ_POST;
    const struct page *page = visit->page;
    if (page == NULL) {
        visit_refuse(visit, 404, "There is no such page.", "Begin with the overview.");
    } else if (is_form && page->post == NULL) {
        visit_refuse(visit, 405, "This page takes no form.", "Begin with the overview.");
    } else if (!is_form && page->get == NULL) {
        visit_redirect(visit, "overview"); /* a form's address, typed or reloaded */
    } else if (is_form && !is_own(request)) {
        visit_refuse(visit, 403, "This form was not sent by a page of this console.",
                     "Go to the console's own page and do it there. A reverse proxy must hand on "
                     "Host or X-Forwarded-Host.");
    } else if (is_form && page->open &&
               evbuffer_get_length(evhttp_request_get_input_buffer(request)) > MOST_OPEN_FORM) {
        visit_refuse(visit, 413, "This form is too large.", "Sign in with your name and secret.");
    } else {
        return true;
    }
    return false;
}

/* Fills in what the request brings. False: it was answered. */
static bool
read_request(struct visit *visit, const char *name, const char *query)
{
    struct evhttp_request *request = visit->request;
    bool is_form = evhttp_request_get_command(request) == EVHTTP_REQ_POST;
    visit->page = page_find(name);
    if (!is_taken(visit)) {
        return false;
    }
    visit->query = params_parse(query);
    visit->form = is_form ? read_form(request) : params_parse(NULL);
    if (visit->query == NULL || visit->form == NULL) {
        visit_refuse(visit, 400, "This request cannot be read.", "Go back and try again.");
        return false;
    }
    return true;
}

static void
add_page(struct visit *visit)
{
    struct json_object *page = json_object_new_object();
    const char *name = visit->page->template != NULL ? visit->page->template : visit->page->name;
    build_flag(page, name, true);
    build_set(visit->context, "page", page);
    build_set(visit->context, "query", params_json(visit->query));
}

static bool
send_asset(struct visit *visit, const char *name)
{
    const char *text = embedded_file(name);
    if (text == NULL) {
        return false;
    }
    const char *ending = strrchr(name, '.');
    visit_send(visit, 200,
               strcmp(ending, ".css") == 0   ? "text/css; charset=utf-8"
               : strcmp(ending, ".svg") == 0 ? "image/svg+xml"
                                             : "text/javascript; charset=utf-8",
               text, strlen(text));
    return true;
}

void
console_serve(struct evhttp_request *request, void *arg)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = evhttp_uri_get_path(uri);
    struct visit *visit = visit_new(arg, request);
    if (visit == NULL) {
        return;
    }
    if (path == NULL || strlen(evhttp_request_get_uri(request)) > MOST_URL) {
        visit_send(visit, 414, "text/plain", "this address is too long\n", 25);
    } else if (strcmp(path, "/") == 0 || strcmp(path, "/console") == 0) {
        visit_redirect(visit, "console/overview");
    } else if (strcmp(path, BELOW) == 0) {
        visit_redirect(visit, "overview");
    } else if (strncmp(path, BELOW, strlen(BELOW)) != 0) {
        visit_send(visit, 404, "text/plain", "not found; the console is at console/\n", 38);
    } else if (send_asset(visit, path + strlen(BELOW))) {
        return;
    } else if (read_request(visit, path + strlen(BELOW), evhttp_uri_get_query(uri))) {
        add_page(visit);
        if (visit->page->open) {
            enter(visit);
        } else {
            session_load(visit, enter);
        }
    }
}
