#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
unit_fail(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_error("%s\n", text);
    _fail(file, line); /* fail() of that line; it jumps */
    abort();
}

char *
unit_read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        unit_fail(__FILE__, __LINE__, "cannot read %s", path);
    }
    char *text = NULL;
    size_t used = 0, got = 0;
    do {
        char *grown = realloc(text, used + 65536 + 1);
        if (grown == NULL) {
            abort();
        }
        text = grown;
        got = fread(text + used, 1, 65536, file);
        used += got;
    } while (got > 0);
    (void)fclose(file);
    text[used] = '\0';
    *size = used;
    return text;
}

void
unit_make_file(char path[UNIT_PATH_SIZE])
{
    const char *folder = getenv("TMPDIR");
    (void)snprintf(path, UNIT_PATH_SIZE, "%s/tollgate-unit-XXXXXX",
                   folder != NULL && *folder != '\0' ? folder : "/tmp");
    int fd = mkstemp(path);
    check(fd >= 0, "cannot make %s", path);
    (void)close(fd);
}

void
unit_write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        unit_fail(__FILE__, __LINE__, "cannot write %s", path);
    }
    size_t written = fwrite(bytes, 1, size, file);
    check(fclose(file) == 0 && written == size, "cannot write %s", path);
}

char *
unit_replace(const char *text, const char *part, const char *replacement)
{
    const char *at = strstr(text, part);
    if (at == NULL) {
        unit_fail(__FILE__, __LINE__, "there is no %s", part);
    }
    size_t size = strlen(text) - strlen(part) + strlen(replacement) + 1;
    char *changed = malloc(size);
    if (changed == NULL) {
        abort();
    }
    (void)snprintf(changed, size, "%.*s%s%s", (int)(at - text), text, replacement,
                   at + strlen(part));
    return changed;
}

int
unit_contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}
