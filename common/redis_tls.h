/*
 * TLS to Redis (rediss://), where hiredis was built with it: Debian 13's is, Debian 12's is not.
 *
 * The server's certificate has to be valid for the host of the URL and to come from an authority
 * that OpenSSL trusts here: the system's, and those of SSL_CERT_FILE and SSL_CERT_DIR. hiredis by
 * itself would take any host's certificate.
 */
#ifndef TOLLGATE_REDIS_TLS_H
#define TOLLGATE_REDIS_TLS_H

#include <stdbool.h>

struct redisContext;
struct redis_tls;

/* Whether this build can. */
bool redis_tls_is_built_in(void);

/* For connections to this host (a name or a numeric address; copied). NULL when memory is out, or
 * when OpenSSL cannot be set up, which is logged. Only where it is built in. */
__attribute__((warn_unused_result)) struct redis_tls *redis_tls_new(const char *host);

/* Accepts NULL. After the connections. */
void redis_tls_free(struct redis_tls *tls);

/* Has the connection, whose connect is under way, speak TLS. The handshake goes on with its reads
 * and writes. False on failure: see redis_tls_trouble. */
__attribute__((warn_unused_result)) bool redis_tls_start(struct redis_tls *tls,
                                                         struct redisContext *redis);

/* What is wrong with the last connection that was started, which may be gone only if its start
 * failed. Empty when TLS is not what is wrong. The text lives until the next call. */
const char *redis_tls_trouble(struct redis_tls *tls);

#endif
