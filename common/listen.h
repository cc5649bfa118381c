/* Listening TCP sockets, made before any library sees them. */
#ifndef TOLLGATE_LISTEN_H
#define TOLLGATE_LISTEN_H

#include <stdbool.h>

#define LISTEN_ERROR_SIZE   160
#define LISTEN_ADDRESS_SIZE 64 /* "[IPv6]:port" */

/* Several sockets of this process share the address; the kernel spreads connections over them. */
#define LISTEN_SHARED 1

/*
 * Listens on "127.0.0.1:8080", "[::]:8080" or "0.0.0.0:0" (any free port), non-blocking and
 * close-on-exec. -1 with a reason, and errno set to why (EINVAL for a malformed address).
 */
__attribute__((warn_unused_result)) int listen_open(const char *text, int flags,
                                                    char reason[LISTEN_ERROR_SIZE]);

/* Whether the address is well formed (host names are not: an address is bound, not looked up). */
bool listen_address_is_valid(const char *address);

/* The address that a socket is bound to, as text. */
void listen_bound_address(int fd, char text[LISTEN_ADDRESS_SIZE]);

/*
 * Where a program on this machine reaches whoever listens on that valid address: its host, without
 * brackets, 0.0.0.0 and [::] being loopback, and its port, which is answered.
 */
int listen_reach(const char *text, char host[LISTEN_ADDRESS_SIZE]);

/* The same valid address with another port. */
void listen_with_port(const char *text, int port, char changed[LISTEN_ADDRESS_SIZE]);

#endif
