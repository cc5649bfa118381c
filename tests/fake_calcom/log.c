#include "log.h"

#include <stdarg.h>
#include <stdio.h>

void
log_line(const char *format, ...)
{
    va_list args;
    char line[512];

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    (void)fprintf(stderr, "fake-calcom: %s\n", line);
}
