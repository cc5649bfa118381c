#include "clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t
clock_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

double
clock_mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

const char *
iso_format(int64_t wall_ms, enum iso_style style, char out[ISO_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;

    memset(&utc, 0, sizeof(utc));
    gmtime_r(&seconds, &utc);
    size_t used = strftime(out, ISO_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);

    switch (style) {
    case ISO_SECONDS_Z:
        snprintf(out + used, ISO_SIZE - used, "Z");
        break;
    case ISO_MILLIS_Z:
        snprintf(out + used, ISO_SIZE - used, ".%03dZ", (int)(wall_ms % 1000));
        break;
    case ISO_OFFSET:
        snprintf(out + used, ISO_SIZE - used, "+00:00");
        break;
    }
    return out;
}

/* "Z", "" and "+HH:MM" / "-HH:MM" are understood; the result is in minutes east of UTC. */
static bool
parse_offset(const char *text, int *minutes)
{
    int hours = 0, rest = 0, used = 0;

    *minutes = 0;
    if (strcmp(text, "Z") == 0 || *text == '\0')
        return true;
    if (*text != '+' && *text != '-')
        return false;
    if (sscanf(text + 1, "%2d:%2d%n", &hours, &rest, &used) != 2 || text[1 + used] != '\0')
        return false;
    *minutes = (hours * 60 + rest) * (*text == '-' ? -1 : 1);
    return true;
}

static const char *
parse_fraction(const char *text, int *millis)
{
    int scale = 100;

    *millis = 0;
    if (*text != '.')
        return text;
    for (text++; *text >= '0' && *text <= '9'; text++) {
        *millis += (*text - '0') * scale;
        scale /= 10;
    }
    return text;
}

bool
iso_parse(const char *text, int64_t *wall_ms)
{
    struct tm utc;
    int used = 0, millis, offset;

    memset(&utc, 0, sizeof(utc));
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &utc.tm_year, &utc.tm_mon, &utc.tm_mday,
               &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &used) != 6)
        return false;
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    if (!parse_offset(parse_fraction(text + used, &millis), &offset))
        return false;
    *wall_ms = ((int64_t)timegm(&utc) - offset * 60) * 1000 + millis;
    return true;
}
