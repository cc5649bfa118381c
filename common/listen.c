#include "common/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* `digits` as a port; -1 when it is none. */
static int
parse_port(const char *digits)
{
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || length > 5 || digits[length] != '\0') {
        return -1;
    }
    long port = strtol(digits, NULL, 10);
    return port <= 65535 ? (int)port : -1;
}

/* The length of the parsed address, 0 when malformed. */
static socklen_t
parse(const char *text, union address *address)
{
    char host[LISTEN_ADDRESS_SIZE];
    const char *colon = strrchr(text, ':');
    int port = colon != NULL ? parse_port(colon + 1) : -1;
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    memset(address, 0, sizeof *address);
    if (port < 0 || length == 0 || length >= sizeof host) {
        return 0;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons((uint16_t)port);
        return sizeof address->v4;
    }
    /* An IPv6 address stands in brackets, or its last group would be taken for the port. */
    if (host[0] != '[' || host[length - 1] != ']') {
        return 0;
    }
    host[length - 1] = '\0';
    if (inet_pton(AF_INET6, host + 1, &address->v6.sin6_addr) != 1) {
        return 0;
    }
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons((uint16_t)port);
    return sizeof address->v6;
}

bool
listen_address_is_valid(const char *address)
{
    union address parsed;
    return parse(address, &parsed) != 0;
}

int
listen_open(const char *text, int flags, char reason[LISTEN_ERROR_SIZE])
{
    union address address;
    socklen_t length = parse(text, &address);
    if (length == 0) {
        (void)snprintf(reason, LISTEN_ERROR_SIZE,
                       "it must be an IP address and a port, as in 127.0.0.1:8080 or [::]:8080");
        errno = EINVAL;
        return -1;
    }
    int on = 1;
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ((flags & LISTEN_SHARED) != 0 &&
         setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        bind(fd, &address.any, length) != 0 || listen(fd, BACKLOG) != 0) {
        int why = errno;
        (void)snprintf(reason, LISTEN_ERROR_SIZE, "%s", strerror(why));
        if (fd >= 0) {
            (void)close(fd);
        }
        errno = why;
        return -1;
    }
    return fd;
}

static void
format(const union address *address, int port, char text[LISTEN_ADDRESS_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "";
    bool v4 = address->any.sa_family == AF_INET;
    const void *bytes =
        v4 ? (const void *)&address->v4.sin_addr : (const void *)&address->v6.sin6_addr;
    (void)inet_ntop(address->any.sa_family, bytes, host, sizeof host);
    (void)snprintf(text, LISTEN_ADDRESS_SIZE, v4 ? "%s:%d" : "[%s]:%d", host, port);
}

void
listen_bound_address(int fd, char text[LISTEN_ADDRESS_SIZE])
{
    union address address;
    socklen_t length = sizeof address;
    memset(&address, 0, sizeof address);
    (void)getsockname(fd, &address.any, &length);
    bool v4 = address.any.sa_family == AF_INET;
    format(&address, ntohs(v4 ? address.v4.sin_port : address.v6.sin6_port), text);
}

int
listen_reach(const char *text, char host[LISTEN_ADDRESS_SIZE])
{
    union address address;
    (void)parse(text, &address);
    if (address.any.sa_family == AF_INET6) {
        const struct in6_addr *v6 = &address.v6.sin6_addr;
        (void)inet_ntop(AF_INET6, IN6_IS_ADDR_UNSPECIFIED(v6) ? &in6addr_loopback : v6, host,
                        LISTEN_ADDRESS_SIZE);
        return ntohs(address.v6.sin6_port);
    }
    if (address.v4.sin_addr.s_addr == htonl(INADDR_ANY)) {
        address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    (void)inet_ntop(AF_INET, &address.v4.sin_addr, host, LISTEN_ADDRESS_SIZE);
    return ntohs(address.v4.sin_port);
}

void
listen_with_port(const char *text, int port, char changed[LISTEN_ADDRESS_SIZE])
{
    union address address;
    (void)parse(text, &address);
    format(&address, port, changed);
}
