#include "ingest/console/visit.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "ingest/console/build.h"
#include "ingest/console/dress.h"
#include "ingest/console/embedded.h"
#include "ingest/console/params.h"
#include "ingest/console/template.h"

#define ANSWER_MS    5000 /* a page that Redis takes longer for is given up */
#define FLASH_KEPT_S "60"
#define OWN_ERROR    "ERR tollgate: " /* begins what the library itself refuses */
#define NO_LIBRARY   "Function not found"
#define NO_LIBRARY_WHY                                                                             \
    "Redis has no Tollgate library of this version yet; a program of this version loads it at "    \
    "its start"

/* ---- Life ---- */

/* evhttp frees the request together with its connection. */
static void
visit_on_closed(struct evhttp_connection *connection, void *arg)
{
    struct visit *visit = arg;
    (void)connection;
    visit->request = NULL;
}

static void
visit_free(struct visit *visit)
{
    if (visit->next != NULL) {
        visit->next->place = visit->place;
    }
    *visit->place = visit->next;
    params_free(visit->query);
    params_free(visit->form);
    (void)json_object_put(visit->context);
    free(visit->data);
    free(visit);
}

struct visit *
visit_new(struct console *console, struct evhttp_request *request)
{
    struct visit *visit = calloc(1, sizeof *visit);
    struct json_object *context = json_object_new_object();
    if (visit == NULL || context == NULL) {
        free(visit);
        (void)json_object_put(context);
        evhttp_send_error(request, 500, NULL);
        return NULL;
    }
    visit->console = console;
    visit->request = request;
    visit->context = context;
    visit->next = console->visits;
    visit->place = &console->visits;
    if (visit->next != NULL) {
        visit->next->place = &visit->next;
    }
    console->visits = visit;
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), visit_on_closed, visit);
    return visit;
}

/* ---- What Redis is asked ---- */

void
command_text(struct command *command, const char *text)
{
    if (command->argc < COMMAND_MOST) {
        command->argv[command->argc++] = text;
    }
}

void
command_number(struct command *command, int64_t number)
{
    char *text = command->numbers[command->number_count++];
    (void)snprintf(text, sizeof command->numbers[0], "%" PRId64, number);
    command_text(command, text);
}

void
command_function(struct command *command, const struct visit *visit, const char *function)
{
    command->argc = 0;
    command->number_count = 0;
    command_text(command, "FCALL");
    command_text(command, function);
    command_text(command, "1");
    command_text(command, visit->console->queue_key);
}

void
visit_fail(struct visit *visit, const char *failure)
{
    if (visit->failure[0] == '\0') {
        (void)snprintf(visit->failure, sizeof visit->failure, "%s", failure);
    }
}

/* What an error reply says to a person. */
static void
fail_with_reply(struct visit *visit, const char *error)
{
    char text[sizeof visit->failure];
    if (strstr(error, NO_LIBRARY) != NULL) {
        visit->away = true;
        visit_fail(visit, NO_LIBRARY_WHY);
        return;
    }
    const char *own = strstr(error, OWN_ERROR);
    const char *said = own != NULL ? own + strlen(OWN_ERROR) : error;
    const char *where = strstr(said, " script: "); /* Redis adds where it was raised */
    (void)snprintf(text, sizeof text, "%s%.*s", own != NULL ? "" : "Redis answered: ",
                   (int)(where != NULL ? (size_t)(where - said) : strlen(said)), said);
    visit_fail(visit, text);
}

struct question {
    struct visit *visit;
    visit_reply_cb *done;
    const void *arg;
};

static void
go_on(struct visit *visit)
{
    visit_cb *then = visit->then;
    if (visit->waiting == 0 && then != NULL) {
        visit->then = NULL;
        then(visit);
    }
}

static void
visit_on_reply(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct question question = *(struct question *)arg;
    struct visit *visit = question.visit;
    free(arg);
    if (result != REDIS_DONE) {
        visit->away = true;
        visit_fail(visit, result == REDIS_UNSENT
                              ? "Redis cannot be reached"
                              : "Redis did not answer; what it was asked last may have been done");
        reply = NULL;
    } else if (redis_reply_type(reply) == REPLY_ERROR) {
        fail_with_reply(visit, redis_reply_text(reply));
        reply = NULL;
    }
    question.done(visit, reply, question.arg);
    visit->waiting--;
    go_on(visit);
}

void
visit_command(struct visit *visit, struct command *command, visit_reply_cb *done, const void *arg)
{
    struct question *question = calloc(1, sizeof *question);
    if (question == NULL) {
        visit_fail(visit, "out of memory");
        return;
    }
    *question = (struct question){ visit, done, arg };
    visit->waiting++;
    redis_link_command(visit->console->link, ANSWER_MS, command->argc, command->argv, NULL,
                       visit_on_reply, question);
}

static void
take_json(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    const char *slot = arg;
    if (reply == NULL) {
        return;
    }
    struct json_object *answer = json_tokener_parse(redis_reply_text(reply));
    if (!json_object_is_type(answer, json_type_object)) {
        visit_fail(visit, "a newer library answers in a way that this program does not know");
        (void)json_object_put(answer);
        return;
    }
    if (slot != NULL) {
        build_set(visit->context, slot, answer);
        return;
    }
    json_object_object_foreach(answer, key, value) {
        build_set(visit->context, key, json_object_get(value));
    }
    (void)json_object_put(answer);
}

void
visit_ask(struct visit *visit, struct command *command, const char *slot)
{
    visit_command(visit, command, take_json, slot);
}

void
visit_then(struct visit *visit, visit_cb *then)
{
    visit->then = then;
    go_on(visit);
}

/* ---- The answer ---- */

void
visit_add_flash(struct visit *visit, bool good, const char *text)
{
    struct json_object *flash = json_object_new_object();
    build_text(flash, good ? "good" : "bad", text);
    build_set(visit->context, "flash", flash);
}

bool
visit_random(char *hex, size_t size)
{
    unsigned char bytes[VISIT_MOST_RANDOM];
    size_t count = size / 2;
    if (count > sizeof bytes || getrandom(bytes, count, 0) != (ssize_t)count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    return true;
}

void
visit_add_once(struct visit *visit)
{
    char hex[25];
    if (visit_random(hex, sizeof hex)) {
        build_text(visit->context, "once", hex);
    }
}

/* Nothing from elsewhere, no script or style within the page, in nobody's frame, kept by nobody. */
static void
add_headers(struct evkeyvalq *headers)
{
    static const char *const HEADERS[][2] = {
        { "Content-Security-Policy",
          "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
          "connect-src 'self'; "
          "form-action 'self'; frame-ancestors 'none'; base-uri 'none'" },
        { "X-Content-Type-Options", "nosniff" },
        { "X-Frame-Options", "DENY" },
        { "Referrer-Policy", "same-origin" },
        { "Cross-Origin-Opener-Policy", "same-origin" },
        { "Cache-Control", "no-store" },
    };
    for (size_t i = 0; i < sizeof HEADERS / sizeof HEADERS[0]; i++) {
        (void)evhttp_add_header(headers, HEADERS[i][0], HEADERS[i][1]);
    }
}

static void
send_buffer(struct visit *visit, int status, const char *type, struct evbuffer *body)
{
    struct evhttp_request *request = visit->request;
    if (request != NULL) {
        evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
        struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
        add_headers(headers);
        if (type != NULL) {
            (void)evhttp_add_header(headers, "Content-Type", type);
        }
        /* To HEAD evhttp would send the body too. */
        bool head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
        evhttp_send_reply(request, status, NULL, head ? NULL : body);
    }
    if (body != NULL) {
        evbuffer_free(body);
    }
    visit_free(visit);
}

void
visit_send(struct visit *visit, int status, const char *type, const void *bytes, size_t size)
{
    struct evbuffer *body = evbuffer_new();
    if (body != NULL) {
        (void)evbuffer_add(body, bytes, size);
    }
    send_buffer(visit, status, type, body);
}

void
visit_show(struct visit *visit, int status, const char *template)
{
    struct evbuffer *body = evbuffer_new();
    dress(visit->context, clock_wall_ms());
    if (body == NULL || !template_render(embedded_template, template, visit->context, body)) {
        log_error("a page of the console cannot be made", log_s("page", template));
        if (body != NULL) {
            evbuffer_free(body);
        }
        visit_send(visit, 500, "text/plain", "this page cannot be made\n", 25);
        return;
    }
    send_buffer(visit, status, "text/html; charset=utf-8", body);
}

void
visit_show_json(struct visit *visit, int status)
{
    dress(visit->context, clock_wall_ms());
    const char *text = json_object_to_json_string_ext(visit->context, JSON_C_TO_STRING_PLAIN);
    visit_send(visit, status, "application/json", text != NULL ? text : "{}",
               text != NULL ? strlen(text) : 2);
}

void
visit_refuse(struct visit *visit, int status, const char *text, const char *remedy)
{
    struct json_object *page = json_object_new_object();
    build_flag(page, "error", true);
    build_set(visit->context, "page", page);
    build_number(visit->context, "status", status);
    build_text(visit->context, "text", text);
    build_text(visit->context, "remedy", remedy);
    visit_show(visit, status, "error");
}

void
visit_show_failure(struct visit *visit)
{
    visit_refuse(visit, visit->away ? 503 : 400, visit->failure,
                 visit->away
                     ? "Webhooks are taken all the same. See whether Redis runs, and ask again."
                     : "Go back, correct it, and try again.");
}

void
visit_redirect(struct visit *visit, const char *location)
{
    if (visit->request != NULL) {
        (void)evhttp_add_header(evhttp_request_get_output_headers(visit->request), "Location",
                                location);
    }
    send_buffer(visit, 303, NULL, NULL);
}

static void
redirect_told(struct visit *visit)
{
    char *location = visit->data;
    visit->data = NULL;
    visit_redirect(visit, location);
    free(location);
}

void
visit_ignore(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    (void)visit, (void)reply, (void)arg;
}

void
visit_tell(struct visit *visit, bool good, const char *text, const char *location)
{
    char key[160], flash[sizeof visit->failure + 8];
    (void)snprintf(key, sizeof key, "{%s}:console:flash:%s", visit->console->config->ns,
                   visit->session);
    (void)snprintf(flash, sizeof flash, "%s %s", good ? "good" : "bad", text);
    struct command command = { .argc = 5, .argv = { "SET", key, flash, "EX", FLASH_KEPT_S } };
    free(visit->data);
    visit->data = strdup(location);
    visit_command(visit, &command, visit_ignore, NULL);
    visit_then(visit, redirect_told);
}
