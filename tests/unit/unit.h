/* What the unit tests share. Tests run from the repository's root. */
#ifndef TOLLGATE_UNIT_H
#define TOLLGATE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* Fails with a printf text: which row of a table, what came out. */
#define check(condition, ...) ((condition) ? (void)0 : unit_fail(__FILE__, __LINE__, __VA_ARGS__))

__attribute__((noreturn, format(printf, 3, 4))) void unit_fail(const char *file, int line,
                                                               const char *format, ...);

/* A whole file, NUL-terminated, owned by the caller. Fails the test when it cannot be read. */
char *unit_read_file(const char *path, size_t *size);

/* Makes an empty file and writes its path, which ends up below TMPDIR or /tmp. */
#define UNIT_PATH_SIZE 256
void unit_make_file(char path[UNIT_PATH_SIZE]);

/* Replaces the content of a file. */
void unit_write_file(const char *path, const char *bytes, size_t size);

/* The text with the first `part` replaced, owned by the caller. Fails when it is not in there. */
char *unit_replace(const char *text, const char *part, const char *replacement);

/* Whether a piece of text is in another. */
int unit_contains(const char *text, const char *part);

#endif
