/*
 * What a program was built as: the labels of tollgate_build_info, which is always 1.
 */
#ifndef TOLLGATE_BUILD_INFO_H
#define TOLLGATE_BUILD_INFO_H

#ifndef TOLLGATE_VERSION
#define TOLLGATE_VERSION "unknown"
#endif

#ifdef HAVE_MIMALLOC
#define BUILD_INFO_MALLOC "mimalloc"
#else
#define BUILD_INFO_MALLOC "libc"
#endif

#ifdef HAVE_HIREDIS_SSL
#define BUILD_INFO_REDIS_TLS "yes"
#else
#define BUILD_INFO_REDIS_TLS "no"
#endif

#define BUILD_INFO_LABELS                                                                          \
    "version=\"" TOLLGATE_VERSION "\",malloc=\"" BUILD_INFO_MALLOC                                 \
    "\",redis_tls=\"" BUILD_INFO_REDIS_TLS "\""

#define BUILD_INFO_HELP "What this program was built as; always 1."

#endif
