#include "common/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>

void
sha256_hex(const void *bytes, size_t size, char hex[SHA256_HEX_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    hex[0] = '\0';
    if (EVP_Digest(bytes, size, digest, &length, EVP_sha256(), NULL) != 1) {
        return;
    }
    for (unsigned i = 0; i < length && (i * 2) + 2 < SHA256_HEX_SIZE; i++) {
        (void)snprintf(hex + (size_t)i * 2, 3, "%02x", digest[i]);
    }
}
