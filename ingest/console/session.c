#include "ingest/console/session.h"

#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "ingest/console/build.h"
#include "ingest/console/pages.h"
#include "ingest/console/params.h"
#include "ingest/console/password.h"

#define COOKIE       "tollgate_session"
#define SESSION_S    "43200"
#define TRIES_S      "60"
#define SECRET_BYTES 32
#define SECRET_HEX   (2 * SECRET_BYTES + 1)
#define MOST_SECRET  1024
#define MOST_KEY     192

/* Within TRIES_S: for one name from one address, and for all names from it. */
static const int64_t MOST_TRIES = 5;
static const int64_t MOST_TRIES_FROM_ADDRESS = 30;

static void
key_of(const struct console *console, const char *kind, const char *name, char key[MOST_KEY])
{
    (void)snprintf(key, MOST_KEY, "{%s}:console:%s%s", console->config->ns, kind, name);
}

/* ---- The token ---- */

static void
on_token_made(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    char *token = arg;
    if (result == REDIS_DONE && strcmp(redis_reply_text(reply), "OK") == 0) {
        log_warn("the console has a token now, shown this once: sign in with it, or set "
                 "TOLLGATE_CONSOLE_TOKEN",
                 log_s("token", token));
    } else if (result == REDIS_UNKNOWN) {
        log_warn("redis went away while the console got its token, which may be there now and "
                 "known to nobody: "
                 "delete the key console:token of the namespace and start ingest again, or set "
                 "TOLLGATE_CONSOLE_TOKEN");
    }
    explicit_bzero(token, SECRET_HEX);
    free(token);
}

void
session_make_token(struct console *console)
{
    char key[MOST_KEY], sha[SHA256_HEX_SIZE];
    char *token = calloc(1, SECRET_HEX);
    if (console->passwords != NULL || *console->config->console_token != '\0' || token == NULL ||
        !visit_random(token, SECRET_HEX)) {
        free(token);
        return;
    }
    sha256_hex(token, strlen(token), sha);
    key_of(console, "token", "", key);
    const char *set[] = { "SET", key, sha, "NX" };
    redis_link_command(console->link, 1000, 4, set, NULL, on_token_made, token);
}

/* ---- The session of a request ---- */

/* The cookie's value out of "a=b; tollgate_session=…; c=d". */
static bool
find_cookie(const char *header, char value[SECRET_HEX])
{
    size_t length = strlen(COOKIE);
    for (const char *at = header; at != NULL && *at != '\0'; at += *at == ';') {
        at += strspn(at, " ");
        size_t size = strcspn(at, ";");
        if (size == length + SECRET_HEX && strncmp(at, COOKIE "=", length + 1) == 0) {
            memcpy(value, at + length + 1, SECRET_HEX - 1);
            value[SECRET_HEX - 1] = '\0';
            return true;
        }
        at += size;
    }
    return false;
}

static void
take_user(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    (void)arg;
    if (reply != NULL) {
        (void)snprintf(visit->user, sizeof visit->user, "%s", redis_reply_text(reply));
    }
}

/* "good text" or "bad text", see visit_tell. */
static void
take_flash(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    const char *text = reply != NULL ? redis_reply_text(reply) : "";
    size_t word = strcspn(text, " ");
    (void)arg;
    if (*text == '\0' || text[word] == '\0') {
        return;
    }
    visit_add_flash(visit, strncmp(text, "good", word) == 0, text + word + 1);
}

void
session_load(struct visit *visit, visit_cb *then)
{
    char cookie[SECRET_HEX], session[MOST_KEY], flash[MOST_KEY];
    const char *header =
        evhttp_find_header(evhttp_request_get_input_headers(visit->request), "Cookie");
    if (find_cookie(header, cookie)) {
        sha256_hex(cookie, strlen(cookie), visit->session);
        key_of(visit->console, "session:", visit->session, session);
        key_of(visit->console, "flash:", visit->session, flash);
        struct command user = { .argc = 2, .argv = { "GET", session } };
        struct command once = { .argc = 2, .argv = { "GETDEL", flash } };
        visit_command(visit, &user, take_user, NULL);
        /* Only a page shows it, and not the numbers that a script asks for. */
        if (visit->page != NULL && visit->page->template != NULL) {
            visit_command(visit, &once, take_flash, NULL);
        }
    }
    visit_then(visit, then);
}

/* ---- Signing in and out ---- */

static bool
is_forwarded_https(struct visit *visit)
{
    const char *scheme =
        evhttp_find_header(evhttp_request_get_input_headers(visit->request), "X-Forwarded-Proto");
    return scheme != NULL && strcmp(scheme, "https") == 0;
}

/* Without a path in it the cookie is for all that stands beside this address, whatever a proxy puts
 * before it. */
static void
set_cookie(struct visit *visit, const char *value, const char *max_age)
{
    char cookie[256];
    if (visit->request == NULL) {
        return;
    }
    (void)snprintf(cookie, sizeof cookie, COOKIE "=%s; HttpOnly; SameSite=Strict; Max-Age=%s%s",
                   value, max_age, is_forwarded_https(visit) ? "; Secure" : "");
    (void)evhttp_add_header(evhttp_request_get_output_headers(visit->request), "Set-Cookie",
                            cookie);
}

void
session_show_form(struct visit *visit, int status, const char *to)
{
    build_text(visit->context, "to", to);
    build_flag(visit->context, "with_password", visit->console->passwords != NULL);
    visit_show(visit, status, "login");
}

static void
show_login(struct visit *visit, int status, const char *why)
{
    build_text(visit->context, "name", params_text(visit->form, "name"));
    visit_add_flash(visit, false, why);
    session_show_form(visit, status, params_text(visit->form, "to"));
}

/* Where to go on: one of the pages, never another host's. */
static const char *
next_page(struct visit *visit)
{
    const char *next = params_text(visit->form, "to");
    char name[32];
    size_t length = strcspn(next, "?");
    if (length >= sizeof name || strchr(next, '\n') != NULL || strchr(next, '\r') != NULL) {
        return "overview";
    }
    memcpy(name, next, length);
    name[length] = '\0';
    const struct page *page = page_find(name);
    return page != NULL && page->template != NULL ? next : "overview";
}

static void
welcome(struct visit *visit)
{
    if (visit->failure[0] != '\0') {
        visit_show_failure(visit);
        return;
    }
    log_info("signed in to the console", log_s("name", visit->user));
    visit_redirect(visit, next_page(visit));
}

/* Where tries from this address are counted, of one name or (NULL) of all. */
static void
key_of_tries(struct visit *visit, const char *name, char key[MOST_KEY])
{
    char *address = NULL, who[512], sha[SHA256_HEX_SIZE];
    ev_uint16_t port;
    evhttp_connection_get_peer(evhttp_request_get_connection(visit->request), &address, &port);
    (void)snprintf(who, sizeof who, "%s%s%s", address, name != NULL ? " " : "",
                   name != NULL ? name : "");
    sha256_hex(who, strlen(who), sha);
    key_of(visit->console, "tries:", sha, key);
}

static void
begin_session(struct visit *visit)
{
    char cookie[SECRET_HEX], sha[SHA256_HEX_SIZE], key[MOST_KEY];
    if (!visit_random(cookie, sizeof cookie)) {
        visit_refuse(visit, 500, "the kernel gives no random numbers", "Try again.");
        return;
    }
    sha256_hex(cookie, strlen(cookie), sha);
    key_of(visit->console, "session:", sha, key);
    set_cookie(visit, cookie, SESSION_S);
    struct command set = { .argc = 5, .argv = { "SET", key, visit->user, "EX", SESSION_S } };
    visit_command(visit, &set, visit_ignore, NULL);
    if (visit->request != NULL) { /* only wrong ones count */
        char tries[MOST_KEY];
        key_of_tries(visit, visit->user, tries);
        struct command forget = { .argc = 2, .argv = { "DEL", tries } };
        visit_command(visit, &forget, visit_ignore, NULL);
    }
    visit_then(visit, welcome);
}

static void
judge(struct visit *visit, bool right)
{
    if (!right) {
        log_warn("somebody could not sign in to the console",
                 log_s("name", params_text(visit->form, "name")));
        show_login(visit, 403,
                   visit->console->passwords != NULL
                       ? "This name and password do not belong together."
                       : "This is not the token.");
        return;
    }
    (void)snprintf(visit->user, sizeof visit->user, "%s", params_text(visit->form, "name"));
    begin_session(visit);
}

static void
session_on_password(bool right, void *arg)
{
    judge(arg, right);
}

/* How much of it is right does not show in how long it takes: hashes are compared. */
static bool
is_token(struct visit *visit, const char *expected_sha)
{
    char sha[SHA256_HEX_SIZE];
    const char *secret = params_text(visit->form, "secret");
    sha256_hex(secret, strlen(secret), sha);
    return *expected_sha != '\0' && strcmp(sha, expected_sha) == 0;
}

static void
take_token(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    (void)arg;
    build_flag(visit->context, "right", reply != NULL && is_token(visit, redis_reply_text(reply)));
}

static void
judge_token(struct visit *visit)
{
    if (visit->failure[0] != '\0') {
        visit_show_failure(visit);
        return;
    }
    judge(visit, build_number_of(visit->context, "right") != 0);
}

static void
check_secret(struct visit *visit)
{
    const struct console *console = visit->console;
    const char *name = params_text(visit->form, "name");
    const char *secret =
        params_raw(visit->form, "secret"); /* a password may have blanks at its ends */
    char sha[SHA256_HEX_SIZE], key[MOST_KEY];
    if (console->passwords != NULL) {
        if (!password_check(console->passwords, name, secret, session_on_password, visit)) {
            show_login(visit, 429, "Somebody else is signing in right now; try again.");
        }
    } else if (*console->config->console_token != '\0') {
        sha256_hex(console->config->console_token, strlen(console->config->console_token), sha);
        judge(visit, is_token(visit, sha));
    } else {
        key_of(console, "token", "", key);
        struct command get = { .argc = 2, .argv = { "GET", key } };
        visit_command(visit, &get, take_token, NULL);
        visit_then(visit, judge_token);
    }
}

/* arg: how many are too many. */
static void
take_tries(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    if (reply != NULL && redis_reply_integer(reply) > *(const int64_t *)arg) {
        build_flag(visit->context, "too_many", true);
    }
}

/* Counts one more try; the first one of a minute begins it. */
static void
count_try(struct visit *visit, const char *name, const int64_t *most)
{
    char key[MOST_KEY];
    key_of_tries(visit, name, key);
    struct command count = { .argc = 2, .argv = { "INCR", key } };
    struct command begin = { .argc = 4, .argv = { "EXPIRE", key, TRIES_S, "NX" } };
    visit_command(visit, &count, take_tries, most);
    visit_command(visit, &begin, visit_ignore, NULL);
}

static void
check_tries(struct visit *visit)
{
    if (visit->failure[0] != '\0') {
        visit_show_failure(visit);
    } else if (build_member(visit->context, "too_many") != NULL) {
        show_login(visit, 429, "Too many tries; wait a minute.");
    } else {
        check_secret(visit);
    }
}

static bool
is_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < VISIT_MOST_NAME && strpbrk(name, "\r\n\t") == NULL;
}

void
session_sign_in(struct visit *visit)
{
    const char *name = params_text(visit->form, "name");
    if (!is_name(name)) {
        show_login(visit, 400, "Say who you are: it stands in the ledger beside what you do.");
        return;
    }
    if (strlen(params_raw(visit->form, "secret")) > MOST_SECRET) {
        show_login(visit, 400, "That is too long for a secret.");
        return;
    }
    count_try(visit, NULL, &MOST_TRIES_FROM_ADDRESS);
    count_try(visit, name, &MOST_TRIES);
    visit_then(visit, check_tries);
}

static void
say_goodbye(struct visit *visit)
{
    set_cookie(visit, "", "0");
    visit_redirect(visit, "login");
}

void
session_sign_out(struct visit *visit)
{
    char key[MOST_KEY];
    key_of(visit->console, "session:", visit->session, key);
    struct command del = { .argc = 2, .argv = { "DEL", key } };
    visit_command(visit, &del, visit_ignore, NULL);
    visit_then(visit, say_goodbye);
}
