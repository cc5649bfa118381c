#include "worker/otlp_headers.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define JSON_LINE "Content-Type: application/json"

struct otlp_headers {
    const char *lines[OTLP_HEADERS_MOST + 2];
    size_t size;
    char memory[];
};

/* What the name of a header is made of (RFC 9110, 5.6.2). */
#define TOKEN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

static int
hex_digit(char c)
{
    static const char DIGITS[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = c != '\0' ? strchr(DIGITS, c) : NULL;
    return found != NULL ? (int)(found - DIGITS) % 16 : -1;
}

/* One character of a value; *at goes behind it. '\0': it is none that a header can have. */
static char
read_character(const char **at)
{
    char c = *(*at)++;
    if (c == '%') {
        int high = hex_digit((*at)[0]), low = high >= 0 ? hex_digit((*at)[1]) : -1;
        if (low < 0) {
            return '\0';
        }
        c = (char)(high * 16 + low);
        *at += 2;
    }
    return c >= ' ' && c <= '~' ? c : '\0';
}

static bool
is_end(char c)
{
    return c == ',' || c == '\0';
}

/* Reads `name=value` and writes "name: value" (out NULL: nothing). *at goes to its end. Answers how
 * long that is; 0: it is not valid. */
static size_t
read_header(const char **at, char *out)
{
    size_t name = strspn(*at, TOKEN), used = name + 2;
    if (name == 0 || (*at)[name] != '=') {
        return 0;
    }
    if (out != NULL) {
        memcpy(out, *at, name);
        memcpy(out + name, ": ", 2);
    }
    *at += name + 1;
    while (!is_end(**at)) {
        char c = read_character(at);
        if (c == '\0') {
            return 0;
        }
        if (out != NULL) {
            out[used] = c;
        }
        used++;
    }
    return used;
}

bool
otlp_headers_are_valid(const char *text)
{
    const char *at = text;
    for (size_t count = 0; *at != '\0'; count++) {
        if (count == OTLP_HEADERS_MOST || read_header(&at, NULL) == 0) {
            return false;
        }
        if (*at == ',' && *++at == '\0') {
            return false;
        }
    }
    return true;
}

struct otlp_headers *
otlp_headers_new(const char *text)
{
    size_t size = strlen(text) + 2 * (size_t)OTLP_HEADERS_MOST + 1; /* ": " where was "=" */
    struct otlp_headers *headers = calloc(1, sizeof *headers + size);
    if (headers == NULL) {
        return NULL;
    }
    headers->size = size;
    headers->lines[0] = JSON_LINE;
    char *out = headers->memory;
    size_t count = 1;
    for (const char *at = text; *at != '\0' && count <= OTLP_HEADERS_MOST; at += *at == ',') {
        size_t length = read_header(&at, out);
        if (length == 0) {
            break;
        }
        headers->lines[count++] = out;
        out += length + 1;
    }
    return headers;
}

void
otlp_headers_free(struct otlp_headers *headers)
{
    if (headers != NULL) {
        explicit_bzero(headers->memory, headers->size);
        free(headers);
    }
}

const char *const *
otlp_headers_lines(const struct otlp_headers *headers)
{
    return headers->lines;
}
