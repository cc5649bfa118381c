#include "ingest/signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "common/sha256.h"

#define DIGEST_BYTES 32

struct signature_checker {
    EVP_MAC *hmac;
    EVP_MAC_CTX **contexts; /* one per secret, keyed once */
    char (*names)[SIGNATURE_NAME_SIZE];
    size_t count;
};

static EVP_MAC_CTX *
make_context(EVP_MAC *hmac, const char *secret, size_t length)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                            OSSL_PARAM_construct_end() };
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);
    if (context != NULL &&
        EVP_MAC_init(context, (const unsigned char *)secret, length, params) != 1) {
        EVP_MAC_CTX_free(context);
        context = NULL;
    }
    return context;
}

static size_t
count_items(const char *list)
{
    size_t count = *list != '\0';
    for (const char *comma = strchr(list, ','); comma != NULL; comma = strchr(comma + 1, ',')) {
        count++;
    }
    return count;
}

struct signature_checker *
signature_checker_new(const char *secrets)
{
    struct signature_checker *checker = calloc(1, sizeof *checker);
    if (checker == NULL) {
        return NULL;
    }
    size_t wanted = count_items(secrets);
    checker->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    checker->contexts = calloc(wanted + 1, sizeof(EVP_MAC_CTX *));
    checker->names = calloc(wanted + 1, sizeof *checker->names);
    if (checker->hmac == NULL || checker->contexts == NULL || checker->names == NULL) {
        goto fail;
    }
    for (const char *at = secrets; checker->count < wanted; checker->count++) {
        size_t length = strcspn(at, ",");
        checker->contexts[checker->count] = make_context(checker->hmac, at, length);
        if (checker->contexts[checker->count] == NULL) {
            goto fail;
        }
        char hash[SHA256_HEX_SIZE];
        sha256_hex(at, length, hash);
        memcpy(checker->names[checker->count], hash, SIGNATURE_NAME_SIZE - 1);
        at += length + (at[length] == ',');
    }
    return checker;

fail:
    signature_checker_free(checker);
    return NULL;
}

void
signature_checker_free(struct signature_checker *checker)
{
    if (checker == NULL) {
        return;
    }
    for (size_t i = 0; i < checker->count; i++) {
        EVP_MAC_CTX_free(checker->contexts[i]);
    }
    free((void *)checker->contexts);
    free(checker->names);
    EVP_MAC_free(checker->hmac);
    free(checker);
}

/* Exactly 64 lower-case hex digits. */
static bool
read_hex(const char *text, unsigned char bytes[DIGEST_BYTES])
{
    static const char DIGITS[] = "0123456789abcdef";
    if (strlen(text) != (size_t)DIGEST_BYTES * 2) {
        return false;
    }
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        const char *high = strchr(DIGITS, text[i * 2]);
        const char *low = strchr(DIGITS, text[i * 2 + 1]);
        if (high == NULL || low == NULL) {
            return false;
        }
        bytes[i] = (unsigned char)((high - DIGITS) * 16 + (low - DIGITS));
    }
    return true;
}

static bool
digest_body(EVP_MAC_CTX *context, const void *body, size_t size, unsigned char out[DIGEST_BYTES])
{
    size_t length = 0;
    /* A NULL key keeps the one that the context was made with. */
    return EVP_MAC_init(context, NULL, 0, NULL) == 1 && EVP_MAC_update(context, body, size) == 1 &&
           EVP_MAC_final(context, out, &length, DIGEST_BYTES) == 1 && length == DIGEST_BYTES;
}

enum signature_verdict
signature_check(struct signature_checker *checker, const char *header, const void *body,
                size_t size, size_t *which)
{
    unsigned char given[DIGEST_BYTES], computed[DIGEST_BYTES];
    if (header == NULL || strcmp(header, "no-secret-provided") == 0) {
        return SIGNATURE_ABSENT;
    }
    if (!read_hex(header, given)) {
        return SIGNATURE_MALFORMED;
    }
    bool good = false;
    for (size_t i = 0; i < checker->count; i++) {
        bool fits = digest_body(checker->contexts[i], body, size, computed) &&
                    CRYPTO_memcmp(given, computed, DIGEST_BYTES) == 0;
        *which = fits && !good ? i : *which;
        good |= fits;
    }
    return good ? SIGNATURE_GOOD : SIGNATURE_WRONG;
}

size_t
signature_secret_count(const struct signature_checker *checker)
{
    return checker->count;
}

const char *
signature_secret_name(const struct signature_checker *checker, size_t position)
{
    return checker->names[position];
}
