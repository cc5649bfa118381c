#include "common/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/timestamp.h"
#include "common/utf8.h"

static const char *const LEVEL_NAMES[] = { "debug", "info", "warn", "error" };

/* One log per process. Only the descriptor changes after the start, by dup2 in log_reopen, so a
 * thread that is writing meanwhile writes to the old file or to the new one. */
static struct {
    const char *program;
    enum log_level level;
    enum log_format format;
    char path[1024];
    int fd;
} log_state = { .program = "tollgate", .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO };

struct line {
    char text[LOG_LINE_SIZE];
    size_t used;
    bool full; /* something did not fit: the line ends there */
};

/* What must still fit behind a value that was cut: a closing quote, a brace, a newline. */
#define LINE_END 3

/* All of it, or nothing more at all: a cut never falls into an escape or a character. */
static void
line_bytes(struct line *line, const char *bytes, size_t count)
{
    if (line->full || line->used + count > sizeof line->text - LINE_END) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->used, bytes, count);
    line->used += count;
}

static void
line_raw(struct line *line, const char *text)
{
    line_bytes(line, text, strlen(text));
}

static void
line_escaped(struct line *line, const char *text)
{
    size_t left = strlen(text), length;
    for (; left > 0; text += length, left -= length) {
        char code[8];
        length = utf8_length(text, left);
        if (length == 0) {
            line_raw(line, "\xef\xbf\xbd"); /* U+FFFD, the replacement character */
            length = 1;
        } else if (*text == '"' || *text == '\\') {
            code[0] = '\\';
            code[1] = *text;
            line_bytes(line, code, 2);
        } else if (length == 1 && (*text < 0x20 || *text == 0x7f)) {
            (void)snprintf(code, sizeof code, "\\u%04x", (unsigned)*text);
            line_raw(line, code);
        } else {
            line_bytes(line, text, length);
        }
    }
}

static bool
is_plain(const char *text)
{
    return *text != '\0' && strpbrk(text, " =\"\\") == NULL &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "-_.:/@+,*{}[]()%#!?;&~$|<>^'") == strlen(text);
}

static void
line_text(struct line *line, const char *key, const char *value)
{
    bool json = log_state.format == LOG_FORMAT_JSON;
    bool quoted = json || !is_plain(value);
    char start[128]; /* one piece, so that it is there whole or not at all */
    if (json) {
        (void)snprintf(start, sizeof start, "%c\"%s\":\"", line->used == 0 ? '{' : ',', key);
    } else {
        (void)snprintf(start, sizeof start, "%s%s=%s", line->used == 0 ? "" : " ", key,
                       quoted ? "\"" : "");
    }
    line_raw(line, start);
    if (line->full) {
        return;
    }
    if (!quoted) {
        line_raw(line, value);
        return;
    }
    line_escaped(line, value);
    line->text[line->used++] = '"';
}

static void
line_number(struct line *line, const char *key, int64_t value)
{
    char field[160], digits[24];
    bool json = log_state.format == LOG_FORMAT_JSON;
    (void)snprintf(digits, sizeof digits, "%" PRId64, value);
    (void)snprintf(field, sizeof field, "%s%s%s%s", json ? ",\"" : " ", key, json ? "\":" : "=",
                   digits);
    line_raw(line, field);
}

static int
open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

bool
log_open(const char *program, enum log_level level, enum log_format format, const char *path)
{
    int fd = STDERR_FILENO;
    if (*path != '\0') {
        if (strlen(path) >= sizeof log_state.path) {
            return false;
        }
        fd = open_file(path);
        if (fd < 0) {
            return false;
        }
    }
    (void)snprintf(log_state.path, sizeof log_state.path, "%s", path);
    log_state.program = program;
    log_state.level = level;
    log_state.format = format;
    log_state.fd = fd;
    return true;
}

void
log_reopen(void)
{
    if (log_state.path[0] == '\0') {
        return;
    }
    int fd = open_file(log_state.path);
    if (fd < 0 || dup3(fd, log_state.fd, O_CLOEXEC) < 0) {
        log_error("the log file cannot be opened again; the old one stays in use",
                  log_s("path", log_state.path));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

void
log_write(enum log_level level, const char *message, const struct log_field *fields, size_t count)
{
    if (level < log_state.level) {
        return;
    }
    struct line line;
    line.used = 0;
    line.full = false;
    char now[TIMESTAMP_SIZE];
    timestamp_format(clock_wall_ms(), now);
    line_text(&line, "time", now);
    line_text(&line, "level", LEVEL_NAMES[level]);
    line_text(&line, "program", log_state.program);
    line_text(&line, "msg", message);
    for (size_t i = 1; i < count; i++) {
        if (fields[i].text != NULL) {
            line_text(&line, fields[i].key, fields[i].text);
        } else {
            line_number(&line, fields[i].key, fields[i].number);
        }
    }
    if (log_state.format == LOG_FORMAT_JSON) {
        line.text[line.used++] = '}';
    }
    line.text[line.used++] = '\n';
    /* A log that cannot be written (a full disk, a closed pipe) must not stop the work. */
    ssize_t written = write(log_state.fd, line.text, line.used);
    (void)written;
}
