#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/store_internal.h"

static void
on_info(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct store *store = arg;
    redis_check_version(result == REDIS_DONE ? redis_reply_text(reply) : "", store->check.version,
                        sizeof store->check.version);
}

/* Logs what is new about it. */
static bool
report(struct store *store, const struct redis_check *check)
{
    const char *risks[REDIS_RISKS];
    redis_check_judge(check, risks);
    bool safe = true;
    for (size_t i = 0; i < REDIS_RISKS; i++) {
        bool is_new = risks[i] != NULL && risks[i] != store->check.said[i];
        store->check.said[i] = risks[i];
        safe = safe && risks[i] == NULL;
        bool too_old = i == RISK_VERSION && check->version != NULL;
        if (is_new) {
            log_write(store->strict || too_old ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, risks[i],
                      (const struct log_field[]){ { 0 }, log_s("version", check->version) }, 2);
        }
    }
    if (safe && !store->check.said_fine) {
        log_info("redis keeps what it acknowledges", log_s("version", check->version));
    }
    store->check.said_fine = safe;
    return safe;
}

/* An answer to CONFIG GET: name, value. The last one ends the check. */
static void
on_setting(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct store *store = arg;
    struct store_check *check = &store->check;
    if (result != REDIS_DONE) {
        return;
    }
    size_t index = 0;
    bool given = redis_reply_count(reply) == 2;
    const char *name = given ? redis_reply_text(redis_reply_at(reply, 0)) : "";
    while (index < REDIS_CHECK_SETTINGS && strcmp(name, REDIS_CHECK_NAMES[index]) != 0) {
        index++;
    }
    if (index < REDIS_CHECK_SETTINGS) {
        check->known[index] = true;
        (void)snprintf(check->settings[index], sizeof check->settings[index], "%s",
                       redis_reply_text(redis_reply_at(reply, 1)));
    }
}

static void
on_last_setting(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct store *store = arg;
    on_setting(result, reply, arg);
    if (result != REDIS_DONE) {
        return;
    }
    struct redis_check check = { .version = store->check.version[0] != '\0' ? store->check.version
                                                                            : NULL };
    for (size_t i = 0; i < REDIS_CHECK_SETTINGS; i++) {
        check.settings[i] = store->check.known[i] ? store->check.settings[i] : NULL;
    }
    store->handlers.checked(report(store, &check), store->arg);
}

void
store_check_start(struct store *store)
{
    const char *info[] = { "INFO", "server" };
    store->check.version[0] = '\0';
    memset(store->check.known, 0, sizeof store->check.known);
    redis_link_command(store->link, STORE_TIMEOUT_MS, 2, info, NULL, on_info, store);
    for (size_t i = 0; i < REDIS_CHECK_SETTINGS; i++) {
        const char *get[] = { "CONFIG", "GET", REDIS_CHECK_NAMES[i] };
        redis_link_command(store->link, STORE_TIMEOUT_MS, 3, get, NULL,
                           i + 1 == REDIS_CHECK_SETTINGS ? on_last_setting : on_setting, store);
    }
}
