#include "common/redis_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decodes text[0..length) into out; false when it does not fit or is malformed. */
static bool
decode(const char *text, size_t length, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (used + 1 >= size) {
            return false;
        }
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

static bool
parse_number(const char *text, int max, int *number)
{
    char *end;
    if (*text < '0' || *text > '9') {
        return false;
    }
    long value = strtol(text, &end, 10);
    *number = (int)value;
    return *end == '\0' && value <= max;
}

/* `[user[:password]@]`; moves *at behind it. */
static const char *
parse_userinfo(const char **at, struct redis_url *url)
{
    size_t authority = strcspn(*at, "/?");
    const char *sign = memrchr(*at, '@', authority);
    if (sign == NULL) {
        return NULL;
    }
    size_t length = (size_t)(sign - *at);
    const char *colon = memchr(*at, ':', length);
    size_t user = colon != NULL ? (size_t)(colon - *at) : length;
    if (!decode(*at, user, url->user, sizeof url->user)) {
        return "REDIS_URL: the user is too long or badly percent-encoded";
    }
    if (colon != NULL &&
        !decode(colon + 1, length - user - 1, url->password, sizeof url->password)) {
        return "REDIS_URL: the password is too long or badly percent-encoded";
    }
    *at = sign + 1;
    return NULL;
}

/* `host[:port][/db]`, the host in brackets when it is an IPv6 address. */
static const char *
parse_server(const char *at, struct redis_url *url)
{
    bool bracket = *at == '[';
    at += bracket;
    size_t length = strcspn(at, bracket ? "]" : ":/?");
    if (length == 0 || length >= sizeof url->host || (bracket && at[length] != ']')) {
        return "REDIS_URL: the host is missing or too long";
    }
    memcpy(url->host, at, length);
    at += length + bracket;
    if (*at == ':') {
        char port[8] = "";
        size_t digits = strcspn(at + 1, "/");
        if (digits < sizeof port) {
            memcpy(port, at + 1, digits);
        }
        if (!parse_number(port, 65535, &url->port) || url->port == 0) {
            return "REDIS_URL: the port must be 1 to 65535";
        }
        at += 1 + digits;
    }
    if (*at == '/' && at[1] != '\0' && !parse_number(at + 1, 65535, &url->database)) {
        return "REDIS_URL: the database behind the last / must be a number";
    }
    if (*at != '/' && *at != '\0') {
        return "REDIS_URL: unexpected text behind the port";
    }
    return NULL;
}

static const char *
parse_socket(const char *at, struct redis_url *url)
{
    size_t length = strcspn(at, "?");
    if (length == 0 || length >= sizeof url->path || *at != '/') {
        return "REDIS_URL: the socket's path must begin with / and be shorter than 108 bytes";
    }
    memcpy(url->path, at, length);
    if (at[length] == '?' && (strncmp(at + length, "?db=", 4) != 0 ||
                              !parse_number(at + length + 4, 65535, &url->database))) {
        return "REDIS_URL: behind the socket's path only ?db=NUMBER is known";
    }
    return NULL;
}

const char *
redis_url_parse(const char *text, struct redis_url *url)
{
    memset(url, 0, sizeof *url);
    url->port = 6379;
    bool unix_socket = strncmp(text, "unix://", 7) == 0;
    url->tls = strncmp(text, "rediss://", 9) == 0;
    if (!unix_socket && !url->tls && strncmp(text, "redis://", 8) != 0) {
        return "REDIS_URL must begin with redis://, rediss:// or unix://";
    }
    const char *at = strstr(text, "://") + 3;
    const char *problem = parse_userinfo(&at, url);
    if (problem != NULL) {
        return problem;
    }
    return unix_socket ? parse_socket(at, url) : parse_server(at, url);
}
