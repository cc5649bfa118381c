#include "ident.h"

#include <openssl/rand.h>
#include <stdio.h>

#include "alloc.h"

static void
random_bytes(unsigned char *out, int length)
{
    if (RAND_bytes(out, length) != 1)
        alloc_failed();
}

void
ident_uid(char out[UID_SIZE])
{
    static const char alphabet[] = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";
    unsigned char bytes[UID_SIZE - 1];

    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        out[i] = alphabet[bytes[i] % (sizeof(alphabet) - 1)];
    out[UID_SIZE - 1] = '\0';
}

void
ident_uuid(char out[UUID_SIZE])
{
    unsigned char b[16];

    random_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    (void)snprintf(out, UUID_SIZE,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                   b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                   b[14], b[15]);
}
