#include "common/redis_tls.h"

#include <stddef.h>

#ifdef HAVE_HIREDIS_SSL

#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/resolver.h"

struct redis_tls {
    SSL_CTX *context;
    SSL *connection; /* of the last one that was started; belongs to hiredis */
    char *host;
    char trouble[320];
};

bool
redis_tls_is_built_in(void)
{
    return true;
}

struct redis_tls *
redis_tls_new(const char *host)
{
    struct redis_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        return NULL;
    }
    tls->host = strdup(host);
    tls->context = SSL_CTX_new(TLS_client_method());
    if (tls->host == NULL || tls->context == NULL ||
        SSL_CTX_set_default_verify_paths(tls->context) != 1 ||
        SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1) {
        const char *error = ERR_reason_error_string(ERR_peek_last_error());
        log_error("TLS to redis cannot be set up",
                  log_s("error", error != NULL ? error : "no memory"));
        redis_tls_free(tls);
        return NULL;
    }
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    /* hiredis repeats a write from a buffer that has grown and moved since. */
    (void)SSL_CTX_set_mode(tls->context,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return tls;
}

void
redis_tls_free(struct redis_tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->context);
        free(tls->host);
        free(tls);
    }
}

/* An address stands in a certificate as an address, and is not told to the server beforehand. */
static bool
expect_host(SSL *connection, const char *host)
{
    if (resolver_is_address(host)) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), host) == 1;
    }
    return SSL_set1_host(connection, host) == 1 && SSL_set_tlsext_host_name(connection, host) == 1;
}

/* hiredis has only errno for most of these, which is 0: "Success". */
static void
explain(struct redis_tls *tls, const SSL *connection)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_reason_error_string(error) : NULL;
    long verdict = SSL_get_verify_result(connection);
    tls->trouble[0] = '\0';
    if (verdict != X509_V_OK) {
        (void)snprintf(tls->trouble, sizeof tls->trouble,
                       "the certificate of %.100s is refused: %s (SSL_CERT_FILE may name an "
                       "authority of your own)",
                       tls->host, X509_verify_cert_error_string(verdict));
    } else if (reason != NULL) {
        (void)snprintf(tls->trouble, sizeof tls->trouble, "TLS: %s%s", reason,
                       ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER
                           ? "; is that port one for TLS?"
                           : "");
    }
}

bool
redis_tls_start(struct redis_tls *tls, redisContext *redis)
{
    SSL *connection = SSL_new(tls->context);
    tls->connection = NULL;
    (void)snprintf(tls->trouble, sizeof tls->trouble, "out of memory");
    if (connection == NULL || !expect_host(connection, tls->host)) {
        SSL_free(connection);
        return false;
    }
    ERR_clear_error();
    if (redisInitiateSSL(redis, connection) != REDIS_OK) {
        explain(tls, connection);
        SSL_free(connection); /* hiredis 1.2 has not taken it over */
        return false;
    }
    tls->connection = connection;
    return true;
}

const char *
redis_tls_trouble(struct redis_tls *tls)
{
    if (tls->connection != NULL) {
        explain(tls, tls->connection);
    }
    return tls->trouble;
}

#else

bool
redis_tls_is_built_in(void)
{
    return false;
}

struct redis_tls *
redis_tls_new(const char *host)
{
    (void)host;
    return NULL;
}

void
redis_tls_free(struct redis_tls *tls)
{
    (void)tls;
}

bool
redis_tls_start(struct redis_tls *tls, struct redisContext *redis)
{
    (void)tls, (void)redis;
    return false;
}

const char *
redis_tls_trouble(struct redis_tls *tls)
{
    (void)tls;
    return "";
}

#endif
