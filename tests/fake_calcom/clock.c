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
        (void)snprintf(out + used, ISO_SIZE - used, "Z");
        break;
    case ISO_MILLIS_Z:
        (void)snprintf(out + used, ISO_SIZE - used, ".%03dZ", (int)(wall_ms % 1000));
        break;
    case ISO_OFFSET:
        (void)snprintf(out + used, ISO_SIZE - used, "+00:00");
        break;
    }
    return out;
}

/* Reads exactly `count` digits and the character `after` (NUL: none) behind them. */
static bool
read_digits(const char **text, int count, char after, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        *value = *value * 10 + (**text - '0');
    }
    if (after == '\0')
        return true;
    return *(*text)++ == after;
}

/* ".5" is 500; further digits are dropped, and no fraction is 0. */
static int
read_millis(const char **text)
{
    int millis = 0, scale = 100;

    if (**text != '.')
        return 0;
    for ((*text)++; **text >= '0' && **text <= '9'; (*text)++) {
        millis += (**text - '0') * scale;
        scale /= 10;
    }
    return millis;
}

/* "Z", "", "+HH:MM" and "-HH:MM", and nothing behind them; the result is in minutes east of UTC. */
static bool
read_offset(const char *text, int *minutes)
{
    int sign = *text == '-' ? -1 : 1, hours, rest;

    *minutes = 0;
    if (*text == '\0' || strcmp(text, "Z") == 0)
        return true;
    if (*text != '+' && *text != '-')
        return false;
    text++;
    if (!read_digits(&text, 2, ':', &hours) || !read_digits(&text, 2, '\0', &rest))
        return false;
    *minutes = sign * (hours * 60 + rest);
    return *text == '\0';
}

bool
iso_parse(const char *text, int64_t *wall_ms)
{
    int year, month, day, hour, minute, second, offset;

    if (!read_digits(&text, 4, '-', &year) || !read_digits(&text, 2, '-', &month) ||
        !read_digits(&text, 2, 'T', &day) || !read_digits(&text, 2, ':', &hour) ||
        !read_digits(&text, 2, ':', &minute) || !read_digits(&text, 2, '\0', &second))
        return false;
    int millis = read_millis(&text);
    if (!read_offset(text, &offset) || month < 1 || month > 12 || day < 1 || day > 31 ||
        hour > 23 || minute > 59 || second > 60)
        return false;

    struct tm utc = {
        .tm_year = year - 1900,
        .tm_mon = month - 1,
        .tm_mday = day,
        .tm_hour = hour,
        .tm_min = minute - offset,
        .tm_sec = second,
    };
    *wall_ms = (int64_t)timegm(&utc) * 1000 + millis;
    return true;
}
