/*
 * One line per event, to stderr or a file, as logfmt or JSON:
 *
 *   time=2026-03-12T14:00:00.000Z level=info program=ingest msg="listening" address=0.0.0.0:8080
 *
 * Values are escaped, so that nothing from a webhook can forge a line or a field. Never pass a
 * secret, an API key, a URL with either in it, or a body: bodies can hold a oneTimePassword.
 * Safe to call from any thread: a line is written by one write(2) and is at most LOG_LINE_SIZE
 * bytes long; a longer one is cut.
 */
#ifndef TOLLGATE_LOG_H
#define TOLLGATE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_SIZE 4096

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log_field {
    const char *key;
    const char *text; /* NULL: `number` is the value */
    int64_t number;
};

/*
 * path: "" for stderr. Before the first call lines go to stderr as logfmt from level info up.
 * False when the file cannot be opened; the log then stays as it was.
 */
__attribute__((warn_unused_result)) bool log_open(const char *program, enum log_level level,
                                                  enum log_format format, const char *path);

/* Opens the file anew after it was moved away (SIGHUP). Nothing for stderr. */
void log_reopen(void);

/* fields[0] is skipped, so that the macros below work with no field. */
void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t count);

#define LOG_EVENT(level, message, ...)                                                             \
    log_write((level), (message), (const struct log_field[]){ { 0 }, ##__VA_ARGS__ },              \
              sizeof((const struct log_field[]){ { 0 }, ##__VA_ARGS__ }) /                         \
                  sizeof(struct log_field))

#define log_debug(message, ...) LOG_EVENT(LOG_LEVEL_DEBUG, message, ##__VA_ARGS__)
#define log_info(message, ...)  LOG_EVENT(LOG_LEVEL_INFO, message, ##__VA_ARGS__)
#define log_warn(message, ...)  LOG_EVENT(LOG_LEVEL_WARN, message, ##__VA_ARGS__)
#define log_error(message, ...) LOG_EVENT(LOG_LEVEL_ERROR, message, ##__VA_ARGS__)

/* A text field (NULL is written as empty) and a number field. */
#define log_s(name, value)                                                                         \
    {                                                                                              \
        .key = (name), .text = log_text(value)                                                     \
    }
#define log_i(name, value)                                                                         \
    {                                                                                              \
        .key = (name), .number = (int64_t)(value)                                                  \
    }

static inline const char *
log_text(const char *value)
{
    return value != NULL ? value : "";
}

#endif
