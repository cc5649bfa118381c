/*
 * Settings, from the environment. One table in config.c gives each setting's name, default, range,
 * unit and help; parsing, --help, the start-up line and the README's table come from it.
 *
 * A secret setting NAME can also be given as a file's path in NAME_FILE (one newline at the file's
 * end is dropped).
 */
#ifndef TOLLGATE_CONFIG_H
#define TOLLGATE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_ERROR_SIZE 512
#define CONFIG_PATH_SIZE  201 /* of TOLLGATE_ACCOUNT_FIELD, with NUL */
#define CONFIG_PATH_WORDS 8

/* Which program asks; a bit mask, since most settings belong to one of them. */
enum config_program { CONFIG_INGEST = 1, CONFIG_WORKER = 2 };

/* Strings belong to the config and are never NULL: "" is "not given". */
struct config {
    char *redis_url;
    char *ns; /* the namespace, without braces */
    char *listen;
    char *admin_listen;
    bool admin_listen_given; /* a busy address that was asked for is an error */
    char *webhook_secret;
    bool allow_unsigned;
    char *event_types;
    char *account_field; /* a path: at most CONFIG_PATH_WORDS words with dots between */
    int64_t threads;     /* 0: one per core */
    char *spool_dir;
    int64_t spool_max; /* bytes */
    int64_t spool_after_ms;
    int64_t wait_replicas;   /* 0 in the worker */
    char *console;           /* on, read-only or off */
    char *console_token;     /* "": one is made */
    char *console_passwords; /* a file; "": there is a token */
    char *calcom_api_url;
    char *calcom_api_key;
    char *calcom_api_version;
    int64_t rate_limit;    /* calls per 60 s; 0: no limit */
    bool rate_limit_given; /* the default depends on the API's version */
    int64_t calcom_timeout_ms;
    int64_t concurrency;
    int64_t fresh_ms;
    int64_t lease_ms;
    int64_t sweep_interval_s; /* 0: never */
    char *mode;
    char *policy_file;
    char *otlp_endpoint;
    char *otlp_headers; /* a secret */
    bool strict;
    int64_t keep_days;
    char *log_format;
    char *log_level;
    char *log_file;
};

/*
 * Reads the settings of one program from the environment. False with an error text that names the
 * setting, what is wrong with its value, and what is allowed; *config then needs no free.
 */
__attribute__((warn_unused_result)) bool
config_load(struct config *config, enum config_program program, char error[CONFIG_ERROR_SIZE]);

/* Frees the strings and overwrites the secrets. */
void config_release(struct config *config);

/* Prints the settings of one program for --help: name, default, range, what for. */
void config_print_help(enum config_program program);

/* Prints all settings of both programs as the README's Markdown table. */
void config_print_markdown(void);

/* Writes one log line with every setting of the program; secrets show only whether they are set. */
void config_log(const struct config *config, enum config_program program);

/* Calls `each` with every setting of the program as text; secrets show only whether they are set.
 * The value is valid during the call; name and help are constants. */
void config_each(const struct config *config, enum config_program program,
                 void (*each)(const char *name, const char *value, const char *help, void *arg),
                 void *arg);

/*
 * Whether a comma-separated list holds an item. An empty list holds everything when
 * `empty_is_all`; items are compared byte by byte.
 */
bool config_list_has(const char *list, const char *item, bool empty_is_all);

#endif
