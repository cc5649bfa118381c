#include "common/redis_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLICY, AOF, FSYNC, MAXMEMORY };

const char *const REDIS_CHECK_NAMES[REDIS_CHECK_SETTINGS] = {
    [POLICY] = "maxmemory-policy",
    [AOF] = "appendonly",
    [FSYNC] = "appendfsync",
    [MAXMEMORY] = "maxmemory",
};

void
redis_check_version(const char *info, char *version, size_t size)
{
    static const char FIELD[] = "redis_version:";
    const char *found = strstr(info, FIELD);
    found = found != NULL ? found + sizeof FIELD - 1 : "";
    (void)snprintf(version, size, "%.*s", (int)strcspn(found, "\r\n"), found);
}

static bool
is(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

/* redis.conf says of appendfsync: everysec may wait one second more while the disk is busy. */
static const char *
judge_fsync(const char *fsync)
{
    if (is(fsync, "always")) {
        return NULL;
    }
    return is(fsync, "everysec")
               ? "redis: appendfsync is everysec: up to 1 s (2 s under load) of acknowledged "
                 "webhooks can be lost if Redis or its machine dies; `always` loses nothing"
               : "redis: appendfsync is no: what the system has not written yet (30 s as a rule) "
                 "of acknowledged webhooks can be lost if its machine dies; `always` loses nothing";
}

static const char *
judge_eviction(const struct redis_check *check)
{
    if (is(check->settings[POLICY], "noeviction")) {
        return NULL;
    }
    return is(check->settings[MAXMEMORY], "0")
               ? "redis: maxmemory-policy is not noeviction: as soon as maxmemory is set, any "
                 "booking or account can be dropped, at any time, without a trace"
               : "redis: maxmemory-policy is not noeviction: when maxmemory is reached, any "
                 "booking or account can be dropped, at any time, without a trace";
}

void
redis_check_judge(const struct redis_check *check, const char *sentences[REDIS_RISKS])
{
    memset((void *)sentences, 0, REDIS_RISKS * sizeof *sentences);
    if (check->version == NULL || strtol(check->version, NULL, 10) < REDIS_CHECK_OLDEST) {
        sentences[RISK_VERSION] =
            check->version == NULL
                ? "redis: its version cannot be read (INFO); Tollgate needs 7 or newer, or Valkey"
                : "redis is too old: Tollgate needs 7 or newer, or Valkey";
    }
    for (size_t i = 0; i < REDIS_CHECK_SETTINGS; i++) {
        if (check->settings[i] == NULL) {
            sentences[RISK_UNKNOWN] =
                "redis: how it keeps its data cannot be read (CONFIG GET is refused): check "
                "maxmemory-policy noeviction, appendonly yes and appendfsync always by hand";
            return;
        }
    }
    sentences[RISK_EVICTION] = judge_eviction(check);
    if (!is(check->settings[AOF], "yes")) {
        sentences[RISK_NO_AOF] =
            "redis: appendonly is no: everything since the last RDB save (nothing at all is saved "
            "where `save` is empty) is lost if Redis or its machine dies";
    } else {
        sentences[RISK_FSYNC] = judge_fsync(check->settings[FSYNC]);
    }
}
