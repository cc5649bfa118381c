/*
 * The webhook's signature: X-Cal-Signature-256 is the HMAC-SHA256 of the raw body in lower-case
 * hex, without a prefix, keyed with the secret's bytes as typed (Cal.com: createWebhookSignature in
 * sendPayload.ts). Without a secret Cal.com sends the literal `no-secret-provided`.
 *
 * One checker belongs to one thread: it reuses its libcrypto contexts.
 */
#ifndef TOLLGATE_SIGNATURE_H
#define TOLLGATE_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

struct signature_checker;

enum signature_verdict {
    SIGNATURE_GOOD,      /* signed with one of the secrets */
    SIGNATURE_ABSENT,    /* no header, or the literal no-secret-provided */
    SIGNATURE_MALFORMED, /* not 64 lower-case hex digits */
    SIGNATURE_WRONG,
};

/* secrets: comma-separated, each used byte for byte; may be "". NULL when libcrypto fails. */
__attribute__((warn_unused_result)) struct signature_checker *
signature_checker_new(const char *secrets);
void signature_checker_free(struct signature_checker *checker);

/* Compares in constant time; every secret is tried. header: NULL when there is none. *which: GOOD:
 * the position, from 0 up, of the first secret that fits. */
enum signature_verdict signature_check(struct signature_checker *checker, const char *header,
                                       const void *body, size_t size, size_t *which);

#define SIGNATURE_NAME_SIZE 9 /* of a secret: the first 8 hex digits of its SHA-256, and NUL */

/* How many secrets there are, and the name of each; a name is the checker's. */
size_t signature_secret_count(const struct signature_checker *checker);
const char *signature_secret_name(const struct signature_checker *checker, size_t position);

#endif
