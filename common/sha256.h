/* SHA-256 of a block of bytes, for naming it without keeping it. */
#ifndef TOLLGATE_SHA256_H
#define TOLLGATE_SHA256_H

#include <stddef.h>

#define SHA256_HEX_SIZE 65

/* Lower-case hex, NUL-terminated; "" when libcrypto fails. */
void sha256_hex(const void *bytes, size_t size, char hex[SHA256_HEX_SIZE]);

#endif
