#include "common/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define BOTH (CONFIG_INGEST | CONFIG_WORKER)

enum setting_type {
    TEXT,
    NUMBER,
    YES_NO,
    SECRET,    /* may come from NAME_FILE; never shown */
    REDIS_URL, /* may come from NAME_FILE; shown without its password */
};

struct setting {
    const char *name;
    unsigned programs;
    enum setting_type type;
    size_t offset;
    const char *fallback; /* NULL: required */
    int64_t min, max;     /* NUMBER */
    const char *unit;     /* NUMBER: what one is; TEXT: the allowed words as a|b|c, or NULL */
    const char *help;
};

#define AT(field) offsetof(struct config, field)

static const struct setting SETTINGS[] = {
    { "REDIS_URL", BOTH, REDIS_URL, AT(redis_url), "redis://127.0.0.1:6379/0", 0, 0, NULL,
      "redis://[user:password@]host[:port][/db], rediss:// (TLS) or unix:///path[?db=n]" },
    { "TOLLGATE_NAMESPACE", BOTH, TEXT, AT(ns), "tollgate", 0, 0, NULL,
      "all keys begin with {namespace}:" },
    { "TOLLGATE_LISTEN", CONFIG_INGEST, TEXT, AT(listen), "0.0.0.0:8080", 0, 0, NULL,
      "address of POST /webhook" },
    { "TOLLGATE_ADMIN_LISTEN", BOTH, TEXT, AT(admin_listen), "", 0, 0, NULL,
      "address of /healthz, /readyz and /metrics; empty: 127.0.0.1:9464 (ingest), 127.0.0.1:9465 "
      "(worker), or a free port when that is busy" },
    { "WEBHOOK_SECRET", CONFIG_INGEST, SECRET, AT(webhook_secret), "", 0, 0, NULL,
      "the webhook's secret as typed into Cal.com; several, comma-separated, while changing it; "
      "required unless TOLLGATE_ALLOW_UNSIGNED=yes" },
    { "TOLLGATE_ALLOW_UNSIGNED", CONFIG_INGEST, YES_NO, AT(allow_unsigned), "no", 0, 0, NULL,
      "take webhooks without a signature: anybody who can reach the port can then book" },
    { "TOLLGATE_EVENT_TYPES", BOTH, TEXT, AT(event_types), "", 0, 0, NULL,
      "comma-separated event type IDs that this gate decides; empty: all" },
    { "TOLLGATE_ACCOUNT_FIELD", BOTH, TEXT, AT(account_field), "", 0, 0, NULL,
      "where the account's name stands in a webhook's payload, for instance metadata.memberId or "
      "responses.member_number.value; empty: the booker's e-mail" },
    { "TOLLGATE_THREADS", CONFIG_INGEST, NUMBER, AT(threads), "0", 0, 256, "threads",
      "0: one per core" },
    { "TOLLGATE_SPOOL_DIR", CONFIG_INGEST, TEXT, AT(spool_dir), "./spool", 0, 0, NULL,
      "a folder, for this ingest alone, that keeps webhooks while Redis does not take them" },
    { "TOLLGATE_SPOOL_MAX", CONFIG_INGEST, NUMBER, AT(spool_max), "1073741824", 1048576,
      1099511627776, "bytes", "how large the spool may become; past it the answer is 503" },
    { "TOLLGATE_SPOOL_AFTER_MS", CONFIG_INGEST, NUMBER, AT(spool_after_ms), "250", 10, 1000, "ms",
      "how long Redis may take with a webhook before it is spooled" },
    { "TOLLGATE_WAIT_REPLICAS", CONFIG_INGEST, NUMBER, AT(wait_replicas), "0", 0, 9, "replicas",
      "how many replicas of Redis must have a webhook before it is acknowledged; else it is "
      "spooled" },
    { "TOLLGATE_CONSOLE", CONFIG_INGEST, TEXT, AT(console), "on", 0, 0, "on|read-only|off",
      "the operator's page at /console/ of the admin address; read-only: nothing can be changed "
      "there" },
    { "TOLLGATE_CONSOLE_TOKEN", CONFIG_INGEST, SECRET, AT(console_token), "", 0, 0, NULL,
      "what one signs in to the console with; empty: it is made at the first start and shown once, "
      "in the log" },
    { "TOLLGATE_CONSOLE_PASSWORDS", CONFIG_INGEST, TEXT, AT(console_passwords), "", 0, 0, NULL,
      "instead of the token: a file with a line `name:hash` for each person, as htpasswd -B writes "
      "it" },
    { "CALCOM_API_URL", CONFIG_WORKER, TEXT, AT(calcom_api_url), NULL, 0, 0, NULL,
      "ends in /v2 (today's API) or /v1, for instance https://api.cal.com/v2" },
    { "CALCOM_API_KEY", CONFIG_WORKER, SECRET, AT(calcom_api_key), NULL, 0, 0, NULL,
      "an API key of the host, cal_..." },
    { "CALCOM_API_VERSION", CONFIG_WORKER, TEXT, AT(calcom_api_version), "2024-08-13", 0, 0, NULL,
      "the header cal-api-version (v2)" },
    { "CALCOM_RATE_LIMIT", CONFIG_WORKER, NUMBER, AT(rate_limit), "100", 0, 100000, "calls",
      "to Cal.com in any 60 seconds, by all workers with this key together; 25 with .../v1, unless "
      "given; 0: as many as you like" },
    { "CALCOM_TIMEOUT_MS", CONFIG_WORKER, NUMBER, AT(calcom_timeout_ms), "10000", 500, 300000, "ms",
      "how long one API call may take" },
    { "TOLLGATE_CONCURRENCY", CONFIG_WORKER, NUMBER, AT(concurrency), "64", 1, 1000, "bookings",
      "bookings in flight per worker: so many calls to Cal.com at a time; a quarter more are in "
      "hand" },
    { "TOLLGATE_FRESH_MS", CONFIG_WORKER, NUMBER, AT(fresh_ms), "1000", 0, 60000, "ms",
      "a booking younger than this is acted on without looking at it first; 0: always look" },
    { "TOLLGATE_LEASE_MS", CONFIG_WORKER, NUMBER, AT(lease_ms), "10000", 1000, 600000, "ms",
      "a worker's lease on what it has in hand" },
    { "TOLLGATE_SWEEP_INTERVAL", CONFIG_WORKER, NUMBER, AT(sweep_interval_s), "300", 0, 86400,
      "seconds",
      "how often one worker asks Cal.com for bookings that no webhook told of, and looks again at "
      "known ones; 0: never" },
    { "TOLLGATE_MODE", CONFIG_WORKER, TEXT, AT(mode), "decide", 0, 0, "decide|observe",
      "observe: decides and records, but touches neither credit nor Cal.com" },
    { "TOLLGATE_POLICY_FILE", CONFIG_WORKER, TEXT, AT(policy_file), "", 0, 0, NULL,
      "a Lua file that replaces the default policy" },
    { "OTEL_EXPORTER_OTLP_ENDPOINT", CONFIG_WORKER, TEXT, AT(otlp_endpoint), "", 0, 0, NULL,
      "where a trace of each booking is sent (OTLP over HTTP), for instance "
      "http://collector:4318; empty: nowhere" },
    { "OTEL_EXPORTER_OTLP_HEADERS", CONFIG_WORKER, SECRET, AT(otlp_headers), "", 0, 0, NULL,
      "headers to send with it, name=value with commas between" },
    { "TOLLGATE_STRICT", BOTH, YES_NO, AT(strict), "no", 0, 0, NULL,
      "yes: stop when Redis is set up so that it can lose what was acknowledged; no: warn" },
    { "TOLLGATE_KEEP_DAYS", BOTH, NUMBER, AT(keep_days), "30", 1, 3650, "days",
      "how long a settled booking's record is kept after its end" },
    { "TOLLGATE_LOG_FORMAT", BOTH, TEXT, AT(log_format), "logfmt", 0, 0, "logfmt|json",
      "the form of log lines" },
    { "TOLLGATE_LOG_LEVEL", BOTH, TEXT, AT(log_level), "info", 0, 0, "debug|info|warn|error",
      "the least important lines to write" },
    { "TOLLGATE_LOG_FILE", BOTH, TEXT, AT(log_file), "", 0, 0, NULL,
      "a file for the log, opened again on SIGHUP; empty: stderr" },
};

#define SETTING_COUNT (sizeof SETTINGS / sizeof SETTINGS[0])

/* Where a setting is kept, to write and to read. */
static void *
field_of(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static const void *
value_of(const struct config *config, const struct setting *setting)
{
    return (const char *)config + setting->offset;
}

static const char *
text_value(const struct config *config, const struct setting *setting)
{
    return *(char *const *)value_of(config, setting);
}

static bool
is_text(const struct setting *setting)
{
    return setting->type != NUMBER && setting->type != YES_NO;
}

static bool
is_secret(const struct setting *setting)
{
    return setting->type == SECRET || setting->type == REDIS_URL;
}

/* The whole file without one final newline; NULL with an error text. */
static char *
read_secret_file(const char *variable, const char *path, char error[CONFIG_ERROR_SIZE])
{
    enum { SECRET_MAX = 65536 };
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%s: cannot read %s: %s", variable, path,
                       strerror(errno));
        return NULL;
    }
    char *text = calloc(1, SECRET_MAX + 1);
    size_t length = text != NULL ? fread(text, 1, SECRET_MAX, file) : 0;
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    if (text == NULL || failed || strlen(text) != length || length == SECRET_MAX) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%s: %s is not a text of less than 64 KiB",
                       variable, path);
        free(text);
        return NULL;
    }
    if (length > 0 && text[length - 1] == '\n') {
        text[length - 1] = '\0';
    }
    if (text[0] == '\0') {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%s: %s is empty", variable, path);
        free(text);
        return NULL;
    }
    return text;
}

/* The value as given, owned by the caller; NULL with an error text, or without when not given. */
static char *
read_value(const struct setting *setting, char error[CONFIG_ERROR_SIZE])
{
    const char *direct = getenv(setting->name);
    if (direct != NULL && *direct == '\0') {
        direct = NULL; /* compose hands on unset variables as empty ones */
    }
    if (is_secret(setting)) {
        char variable[64];
        (void)snprintf(variable, sizeof variable, "%s_FILE", setting->name);
        const char *path = getenv(variable);
        if (path != NULL && *path != '\0') {
            if (direct != NULL) {
                (void)snprintf(error, CONFIG_ERROR_SIZE, "%s and %s are both set; keep one",
                               setting->name, variable);
                return NULL;
            }
            return read_secret_file(variable, path, error);
        }
    }
    return direct != NULL ? strdup(direct) : NULL;
}

static bool
parse_number(const struct setting *setting, const char *text, int64_t *number,
             char error[CONFIG_ERROR_SIZE])
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < setting->min || value > setting->max) {
        (void)snprintf(error, CONFIG_ERROR_SIZE,
                       "%s is \"%.100s\"; it must be a whole number of %s from %" PRId64
                       " to %" PRId64,
                       setting->name, text, setting->unit, setting->min, setting->max);
        return false;
    }
    *number = value;
    return true;
}

static bool
parse_yes_no(const struct setting *setting, const char *text, bool *flag,
             char error[CONFIG_ERROR_SIZE])
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%s is \"%.100s\"; it must be yes or no",
                       setting->name, text);
        return false;
    }
    *flag = strcmp(text, "yes") == 0;
    return true;
}

static bool
is_one_of(const char *words, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = words; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        size_t word = strcspn(at, "|");
        if (word == length && strncmp(at, text, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool
store_value(struct config *config, const struct setting *setting, const char *text,
            char error[CONFIG_ERROR_SIZE])
{
    if (setting->type == NUMBER) {
        return parse_number(setting, text, field_of(config, setting), error);
    }
    if (setting->type == YES_NO) {
        return parse_yes_no(setting, text, field_of(config, setting), error);
    }
    if (setting->unit != NULL && !is_one_of(setting->unit, text)) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%s is \"%.100s\"; it must be one of %s",
                       setting->name, text, setting->unit);
        return false;
    }
    char **copy = field_of(config, setting);
    *copy = strdup(text);
    if (*copy == NULL) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%s: out of memory", setting->name);
        return false;
    }
    return true;
}

static bool
load_setting(struct config *config, const struct setting *setting, char error[CONFIG_ERROR_SIZE])
{
    char *given = read_value(setting, error);
    if (given == NULL && error[0] != '\0') {
        return false;
    }
    const char *text = given != NULL ? given : setting->fallback;
    if (text == NULL) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%s is not set; %s", setting->name, setting->help);
        return false;
    }
    bool stored = store_value(config, setting, text, error);
    if (setting->offset == AT(admin_listen)) {
        config->admin_listen_given = given != NULL;
    }
    if (setting->offset == AT(rate_limit)) {
        config->rate_limit_given = given != NULL;
    }
    if (given != NULL) {
        explicit_bzero(given, strlen(given));
        free(given);
    }
    return stored;
}

static bool
is_namespace(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length <= 64 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
               length;
}

/* Secrets are used byte for byte; white space around one is a slip of the hand that would end as
 * 401 for every webhook. */
static bool
are_secrets(const char *list)
{
    for (const char *at = list;; at++) {
        size_t length = strcspn(at, ",");
        if (length == 0 || strchr(" \t\r\n", at[0]) != NULL ||
            strchr(" \t\r\n", at[length - 1]) != NULL) {
            return false;
        }
        at += length;
        if (*at == '\0') {
            return true;
        }
    }
}

/* Goes into a header as it is: a line break in it would end the header. */
static bool
is_header_word(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static bool
are_event_types(const char *list)
{
    return strspn(list, "0123456789,") == strlen(list) && strstr(list, ",,") == NULL &&
           list[0] != ',' && (list[0] == '\0' || list[strlen(list) - 1] != ',');
}

/* Words with dots between. */
static bool
is_path(const char *text)
{
    size_t words = 1;
    for (const char *at = text; words <= CONFIG_PATH_WORDS; words++) {
        size_t length =
            strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
        at += length;
        if (length == 0 || (*at != '.' && *at != '\0')) {
            return false;
        }
        if (*at++ == '\0') {
            return strlen(text) < CONFIG_PATH_SIZE;
        }
    }
    return false;
}

/* What holds between settings, and forms that have a checker of their own. */
static const char *
find_conflict(const struct config *config, enum config_program program)
{
    if (!is_namespace(config->ns)) {
        return "TOLLGATE_NAMESPACE must be 1 to 64 letters, digits, '_', '.' or '-'";
    }
    if (config->rate_limit == 1) {
        return "CALCOM_RATE_LIMIT must be 0 or at least 2: to look at a booking and then to act "
               "takes "
               "two calls";
    }
    if (!are_event_types(config->event_types)) {
        return "TOLLGATE_EVENT_TYPES must be numbers with commas between, for instance 1207,1208";
    }
    if (config->account_field[0] != '\0' && !is_path(config->account_field)) {
        return "TOLLGATE_ACCOUNT_FIELD must be up to 8 words of letters, digits, '_' and '-' with "
               "dots between (200 bytes at most), for instance metadata.memberId";
    }
    if (strstr(config->account_field, "oneTimePassword") != NULL) {
        return "TOLLGATE_ACCOUNT_FIELD must not name the oneTimePassword: who has it can accept "
               "the booking, so it is never kept";
    }
    if (program == CONFIG_WORKER) {
        return is_header_word(config->calcom_api_key)
                   ? NULL
                   : "CALCOM_API_KEY must be the key alone, without white space or other signs "
                     "around it";
    }
    if (config->webhook_secret[0] == '\0' && !config->allow_unsigned) {
        return "WEBHOOK_SECRET is not set; give the secret that you typed into Cal.com's webhook "
               "form (or TOLLGATE_ALLOW_UNSIGNED=yes to take webhooks from anybody)";
    }
    if (config->webhook_secret[0] != '\0' && !are_secrets(config->webhook_secret)) {
        return "WEBHOOK_SECRET must be one secret, or several with a comma between and no white "
               "space around them";
    }
    return NULL;
}

bool
config_load(struct config *config, enum config_program program, char error[CONFIG_ERROR_SIZE])
{
    memset(config, 0, sizeof *config);
    error[0] = '\0';
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if ((SETTINGS[i].programs & program) != 0 && !load_setting(config, &SETTINGS[i], error)) {
            config_release(config);
            return false;
        }
    }
    const char *conflict = find_conflict(config, program);
    if (conflict != NULL) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%s", conflict);
        config_release(config);
        return false;
    }
    return true;
}

void
config_release(struct config *config)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (!is_text(&SETTINGS[i])) {
            continue;
        }
        char **text = field_of(config, &SETTINGS[i]);
        if (*text != NULL) {
            explicit_bzero(*text, strlen(*text));
        }
        free(*text);
        *text = NULL;
    }
}

/* What a value may be, for people. */
static void
describe_range(const struct setting *setting, char *text, size_t size)
{
    if (setting->type == NUMBER) {
        (void)snprintf(text, size, "%" PRId64 " to %" PRId64 " %s", setting->min, setting->max,
                       setting->unit);
    } else if (setting->type == YES_NO) {
        (void)snprintf(text, size, "yes or no");
    } else if (is_secret(setting)) {
        (void)snprintf(text, size, "or %s_FILE", setting->name);
    } else {
        (void)snprintf(text, size, "%s", setting->unit != NULL ? setting->unit : "");
    }
}

static const char *
describe_default(const struct setting *setting)
{
    if (setting->fallback == NULL) {
        return "required";
    }
    return setting->fallback[0] != '\0' ? setting->fallback : "empty";
}

void
config_print_help(enum config_program program)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        char range[128];
        if ((setting->programs & program) != 0) {
            describe_range(setting, range, sizeof range);
            (void)printf("  %s (%s%s%s)\n      %s\n", setting->name, describe_default(setting),
                         range[0] != '\0' ? "; " : "", range, setting->help);
        }
    }
}

void
config_print_markdown(void)
{
    (void)printf("| setting | program | default | allowed | what for |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        char range[128];
        describe_range(setting, range, sizeof range);
        for (char *bar = strchr(range, '|'); bar != NULL; bar = strchr(bar, '|')) {
            *bar = '/';
        }
        (void)printf("| `%s` | %s | %s | %s | %s |\n", setting->name,
                     setting->programs == BOTH            ? "both"
                     : setting->programs == CONFIG_INGEST ? "ingest"
                                                          : "worker",
                     describe_default(setting), range, setting->help);
    }
}

/* user:password@ becomes user:***@. */
static void
redact_url(const char *url, char *text, size_t size)
{
    const char *scheme = strstr(url, "://");
    const char *at = scheme != NULL ? strrchr(scheme, '@') : NULL;
    const char *colon = at != NULL ? strchr(scheme + 3, ':') : NULL;
    if (at != NULL && colon != NULL && colon < at) {
        (void)snprintf(text, size, "%.*s:***%s", (int)(colon - url), url, at);
    } else {
        (void)snprintf(text, size, "%s", url);
    }
}

/* As people read it; a number is written into `number`, an address without its password into `url`.
 */
static const char *
shown_value(const struct config *config, const struct setting *setting, char number[24], char *url,
            size_t url_size)
{
    switch (setting->type) {
    case NUMBER:
        (void)snprintf(number, 24, "%" PRId64, *(const int64_t *)value_of(config, setting));
        return number;
    case YES_NO:
        return *(const bool *)value_of(config, setting) ? "yes" : "no";
    case SECRET:
        return *text_value(config, setting) != '\0' ? "(set)" : "(not set)";
    case REDIS_URL:
        redact_url(config->redis_url, url, url_size);
        return url;
    case TEXT:
        break;
    }
    return text_value(config, setting);
}

void
config_each(const struct config *config, enum config_program program,
            void (*each)(const char *name, const char *value, const char *help, void *arg),
            void *arg)
{
    char number[24], url[512];
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if ((SETTINGS[i].programs & program) != 0) {
            each(SETTINGS[i].name, shown_value(config, &SETTINGS[i], number, url, sizeof url),
                 SETTINGS[i].help, arg);
        }
    }
}

void
config_log(const struct config *config, enum config_program program)
{
    struct log_field fields[SETTING_COUNT + 1] = { { 0 } };
    char number[24], url[512];
    size_t count = 1;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if ((SETTINGS[i].programs & program) == 0) {
            continue;
        }
        struct log_field *field = &fields[count++];
        field->key = SETTINGS[i].name;
        if (SETTINGS[i].type == NUMBER) {
            field->number = *(const int64_t *)value_of(config, &SETTINGS[i]);
        } else {
            field->text = shown_value(config, &SETTINGS[i], number, url, sizeof url);
        }
    }
    log_write(LOG_LEVEL_INFO, "settings", fields, count);
}

bool
config_list_has(const char *list, const char *item, bool empty_is_all)
{
    if (*list == '\0') {
        return empty_is_all;
    }
    size_t length = strlen(item);
    for (const char *at = list;; at++) {
        size_t word = strcspn(at, ",");
        if (word == length && strncmp(at, item, length) == 0) {
            return true;
        }
        at += word;
        if (*at == '\0') {
            return false;
        }
    }
}
