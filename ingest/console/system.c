#include <event2/event.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/redis_check.h"
#include "ingest/console/build.h"
#include "ingest/console/pages.h"
#include "ingest/signature.h"
#include "ingest/spool.h"

/* What was heard of Redis; in the visit's data. */
struct heard {
    bool known[REDIS_CHECK_SETTINGS];
    char settings[REDIS_CHECK_SETTINGS][64];
    char version[64];
};

static void
add_check(struct json_object *checks, const char *verdict, const char *text, const char *remedy)
{
    struct json_object *check = json_object_new_object();
    build_text(check, "verdict", verdict);
    build_text(check, "text", text);
    build_text(check, "remedy", remedy);
    (void)json_object_array_add(checks, check);
}

static void
judge_redis(const struct heard *heard, struct json_object *checks)
{
    const char *risks[REDIS_RISKS];
    struct redis_check check = { .version = heard->version[0] != '\0' ? heard->version : NULL };
    size_t count = 0;
    for (size_t i = 0; i < REDIS_CHECK_SETTINGS; i++) {
        check.settings[i] = heard->known[i] ? heard->settings[i] : NULL;
    }
    redis_check_judge(&check, risks);
    for (size_t i = 0; i < REDIS_RISKS; i++) {
        if (risks[i] != NULL) {
            add_check(checks, "warn", risks[i], "");
            count++;
        }
    }
    if (count == 0) {
        add_check(checks, "ok", "Redis keeps what it acknowledges", "");
    }
}

/* What the overview says, as checks. */
static void
judge_numbers(struct visit *visit, struct json_object *checks)
{
    struct json_object *now = build_member(visit->context, "overview");
    struct json_object *gates = build_member(now, "gates");
    const char *trouble = spool_trouble(visit->console->spool);
    if (build_number_of(now, "workers_count") == 0) {
        add_check(checks, "fail", "No worker has a lease: nothing is decided",
                  "Start tollgate-worker, or look into its log.");
    } else {
        add_check(checks, "ok", "Workers are there", "");
    }
    for (size_t i = 0; i < build_count(gates); i++) {
        struct json_object *gate = json_object_array_get_idx(gates, i);
        char text[256];
        if (*build_text_of(gate, "cause") != '\0') {
            (void)snprintf(text, sizeof text,
                           "Nobody calls Cal.com with the key %.32s: %.32s; %.100s",
                           build_text_of(gate, "gate"), build_text_of(gate, "cause"),
                           build_text_of(gate, "note"));
            add_check(checks, "fail", text,
                      "scripts/doctor says more about the key and the address.");
        }
    }
    if (build_number_of(now, "unbalanced") > 0) {
        add_check(checks, "fail", "There are ledgers that do not add up",
                  "See Attention, Ledgers.");
    }
    if (trouble != NULL) {
        add_check(checks, "fail", trouble, "See the spool's folder and its disk.");
    } else {
        add_check(checks, "ok", "The spool takes webhooks when Redis does not", "");
    }
}

/* Bytes as people read them. */
static void
shorten_memory(struct json_object *redis)
{
    static const char *const SIZES[] = { "used_memory", "used_memory_dataset", "used_memory_peak",
                                         "maxmemory" };
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        char text[BUILD_BYTES_SIZE];
        int64_t bytes = build_number_of(redis, SIZES[i]);
        if (bytes > 0) {
            build_bytes(bytes, text);
            build_text(redis, SIZES[i], text);
        }
    }
}

static void
add_setting(const char *name, const char *value, const char *help, void *arg)
{
    struct json_object *row = json_object_new_object();
    build_text(row, "name", name);
    build_text(row, "value", value);
    build_text(row, "help", help);
    (void)json_object_array_add(arg, row);
}

static void
add_versions(struct visit *visit, const struct heard *heard)
{
    struct json_object *versions = json_object_new_array();
    build_pair(versions, "tollgate-ingest", TOLLGATE_VERSION);
    build_pair(versions, "Redis", heard->version[0] != '\0' ? heard->version : "not known");
    build_pair(versions, "Redis library",
               build_text_of(build_member(visit->context, "system"), "library"));
    build_pair(versions, "libevent", event_get_version());
    build_pair(versions, "json-c", json_c_version());
    build_set(visit->context, "versions", versions);
}

/* ---- Webhook secrets ---- */

/* When each of the secrets that are set was used last; which one is told by its name alone. */
static void
add_secrets(struct visit *visit)
{
    struct json_object *rows = json_object_new_array(),
                       *uses = build_member(visit->context, "uses");
    struct signature_checker *checker =
        signature_checker_new(visit->console->config->webhook_secret);
    size_t count = checker != NULL ? signature_secret_count(checker) : 0;
    for (size_t i = 0; i < count; i++) {
        struct json_object *row = json_object_new_object();
        const char *name = signature_secret_name(checker, i);
        int64_t used_ms = build_number_of(uses, name);
        build_number(row, "number", (int64_t)i + 1);
        build_text(row, "hash", name);
        if (used_ms > 0) {
            build_number(row, "used_ms", used_ms);
        }
        (void)json_object_array_add(rows, row);
    }
    signature_checker_free(checker);
    build_flag(visit->context, "secrets_any", count > 0);
    build_set(visit->context, "secrets", rows);
}

/* Name, ms, … */
static void
take_uses(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    struct json_object *uses = json_object_new_object();
    (void)arg;
    for (size_t i = 0; reply != NULL && i + 1 < redis_reply_count(reply); i += 2) {
        build_number(uses, redis_reply_text(redis_reply_at(reply, i)),
                     redis_reply_integer(redis_reply_at(reply, i + 1)));
    }
    build_set(visit->context, "uses", uses);
}

static void
ask_uses(struct visit *visit)
{
    char key[128];
    (void)snprintf(key, sizeof key, "{%s}:secrets", visit->console->config->ns);
    struct command command = { .argc = 2, .argv = { "HGETALL", key } };
    visit_command(visit, &command, take_uses, NULL);
}

static void
show_system(struct visit *visit)
{
    const struct heard *heard = visit->data;
    struct json_object *context = visit->context;
    struct json_object *system = build_member(context, "system"),
                       *log = build_member(context, "log");
    struct json_object *checks = json_object_new_array(), *settings = json_object_new_array();
    judge_redis(heard, checks);
    judge_numbers(visit, checks);
    config_each(visit->console->config, CONFIG_INGEST, add_setting, settings);
    build_set(context, "checks", checks);
    build_set(context, "settings", settings);
    shorten_memory(build_member(system, "redis"));
    build_set(context, "redis_rows", build_pairs(build_member(system, "redis")));
    build_set(context, "key_rows", build_pairs(build_member(system, "keys")));
    build_set(context, "changes", json_object_get(build_member(log, "rows")));
    if (build_member(log, "next") != NULL) {
        build_text(context, "next", build_text_of(log, "next"));
    }
    add_versions(visit, heard);
    add_secrets(visit);
    page_add_spool(visit);
    page_show(visit);
}

static void
take_info(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    struct heard *heard = visit->data;
    (void)arg;
    redis_check_version(reply != NULL ? redis_reply_text(reply) : "", heard->version,
                        sizeof heard->version);
}

/* What may not be asked for is a risk of its own, and no failure of the page. */
static void
take_setting(struct visit *visit, const struct redis_reply *reply, const void *arg)
{
    struct heard *heard = visit->data;
    size_t index = (size_t)((const char *const *)arg - REDIS_CHECK_NAMES);
    if (reply != NULL && redis_reply_count(reply) == 2) {
        heard->known[index] = true;
        (void)snprintf(heard->settings[index], sizeof heard->settings[index], "%s",
                       redis_reply_text(redis_reply_at(reply, 1)));
    } else if (!visit->away) {
        visit->failure[0] = '\0';
    }
}

void
page_system(struct visit *visit)
{
    struct command command = { .argc = 2, .argv = { "INFO", "server" } };
    visit->data = calloc(1, sizeof(struct heard));
    if (visit->data == NULL) {
        visit_refuse(visit, 500, "out of memory", "Try again.");
        return;
    }
    visit_command(visit, &command, take_info, NULL);
    for (size_t i = 0; i < REDIS_CHECK_SETTINGS; i++) {
        struct command get = { .argc = 3, .argv = { "CONFIG", "GET", REDIS_CHECK_NAMES[i] } };
        visit_command(visit, &get, take_setting, &REDIS_CHECK_NAMES[i]);
    }
    ask_uses(visit);
    command_function(&command, visit, "tollgate_overview");
    visit_ask(visit, &command, "overview");
    command_function(&command, visit, "tollgate_system");
    visit_ask(visit, &command, "system");
    command_function(&command, visit, "tollgate_changes");
    page_add_cursor(&command, visit);
    visit_ask(visit, &command, "log");
    visit_then(visit, show_system);
}
