/* UTF-8 (RFC 3629). Pure. */
#ifndef TOLLGATE_UTF8_H
#define TOLLGATE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length in bytes of the character that `text` begins with, of `size` > 0 bytes; 0 when it
 * begins with none: a stray or missing continuation, an overlong form, a surrogate, beyond
 * U+10FFFF. */
size_t utf8_length(const char *text, size_t size);

/* Whether all of it is UTF-8. */
bool utf8_is_valid(const char *text, size_t size);

#endif
