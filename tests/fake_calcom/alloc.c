#include "alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
alloc_failed(void)
{
    (void)fputs("fake-calcom: out of memory\n", stderr);
    exit(70);
}

void *
xneed(void *pointer)
{
    if (pointer == NULL)
        alloc_failed();
    return pointer;
}

void *
xcalloc(size_t count, size_t size)
{
    return xneed(calloc(count, size));
}

void *
xreallocarray(void *old, size_t count, size_t size)
{
    return xneed(reallocarray(old, count, size));
}

char *
xstrdup(const char *text)
{
    return text == NULL ? NULL : xneed(strdup(text));
}

char *
xasprintf(const char *format, ...)
{
    va_list args;
    char *text = NULL;

    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    return xneed(length < 0 ? NULL : text);
}
