/*
 * Allocation that cannot fail: a test program without memory says so in one line and exits with
 * status 70. What is returned belongs to the caller, who gives it back with free().
 */
#ifndef FAKE_CALCOM_ALLOC_H
#define FAKE_CALCOM_ALLOC_H

#include <stddef.h>

void *xcalloc(size_t count, size_t size) __attribute__((returns_nonnull));
void *xreallocarray(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text); /* NULL gives NULL */
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `pointer` itself, or the exit above if it is NULL: for constructors of libraries. */
void *xneed(void *pointer) __attribute__((returns_nonnull));
_Noreturn void alloc_failed(void);

#endif
