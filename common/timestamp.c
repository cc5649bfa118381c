#include "common/timestamp.h"

#include <stdio.h>

/* Days since 1970-01-01 of a civil date, and back: Howard Hinnant, "chrono-compatible low-level
 * date algorithms", for years from 0 up. */
static int64_t
days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void
civil_from_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = days / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

/* Reads exactly `digits` digits and moves *at behind them. */
static bool
read_number(const char **at, int digits, int64_t *number)
{
    int64_t value = 0;
    for (int i = 0; i < digits; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *at += digits;
    *number = value;
    return true;
}

static bool
read_char(const char **at, char wanted)
{
    if (**at != wanted) {
        return false;
    }
    (*at)++;
    return true;
}

/* `.` and any number of digits; finer than a millisecond is cut off. */
static bool
read_fraction(const char **at, int64_t *milliseconds)
{
    *milliseconds = 0;
    if (!read_char(at, '.')) {
        return true;
    }
    int64_t scale = 100, digit = 0;
    if (!read_number(at, 1, &digit)) {
        return false;
    }
    do {
        *milliseconds += digit * scale;
        scale /= 10;
    } while (read_number(at, 1, &digit));
    return true;
}

static bool
read_offset(const char **at, int64_t *minutes)
{
    if (read_char(at, 'Z')) {
        *minutes = 0;
        return true;
    }
    int64_t sign = **at == '-' ? -1 : 1, hour = 0, minute = 0;
    if (!read_char(at, '+') && !read_char(at, '-')) {
        return false;
    }
    if (!read_number(at, 2, &hour) || !read_char(at, ':') || !read_number(at, 2, &minute)) {
        return false;
    }
    *minutes = sign * (hour * 60 + minute);
    return hour <= 23 && minute <= 59;
}

static bool
is_civil_date(int64_t year, int64_t month, int64_t day)
{
    if (year < 1970 || month < 1 || month > 12 || day < 1) {
        return false;
    }
    int64_t next_month = month == 12 ? 1 : month + 1;
    int64_t length =
        days_from_civil(year + (month == 12), next_month, 1) - days_from_civil(year, month, 1);
    return day <= length;
}

bool
timestamp_parse(const char *text, int64_t *wall_ms)
{
    const char *at = text;
    int64_t year, month, day, hour, minute, second, milliseconds, offset;
    if (!read_number(&at, 4, &year) || !read_char(&at, '-') || !read_number(&at, 2, &month) ||
        !read_char(&at, '-') || !read_number(&at, 2, &day) || !read_char(&at, 'T') ||
        !read_number(&at, 2, &hour) || !read_char(&at, ':') || !read_number(&at, 2, &minute) ||
        !read_char(&at, ':') || !read_number(&at, 2, &second) ||
        !read_fraction(&at, &milliseconds) || !read_offset(&at, &offset) || *at != '\0') {
        return false;
    }
    if (!is_civil_date(year, month, day) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    int64_t minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute - offset;
    if (minutes < 0 || minutes >= days_from_civil(10000, 1, 1) * 24 * 60) {
        return false; /* the offset leads out of the years that can be written back */
    }
    *wall_ms = (minutes * 60 + second) * 1000 + milliseconds;
    return true;
}

void
timestamp_format(int64_t wall_ms, char text[TIMESTAMP_SIZE])
{
    int year, month, day;
    int64_t days = wall_ms / 86400000;
    int in_day = (int)(wall_ms % 86400000);
    civil_from_days(days, &year, &month, &day);
    /* The masks tell the compiler what the contract says: nothing here is wider than its field. */
    (void)snprintf(text, TIMESTAMP_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   (unsigned)year % 10000, (unsigned)month % 100, (unsigned)day % 100,
                   (unsigned)in_day / 3600000 % 100, (unsigned)in_day / 60000 % 60,
                   (unsigned)in_day / 1000 % 60, (unsigned)in_day % 1000);
}
