#include "common/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static const char *const GOOD[] = {
    "127.0.0.1:8080", "0.0.0.0:0",         "0.0.0.0:65535",
    "[::]:8080",      "[::1]:0",           "10.1.2.3:1",
    "[::1]:65535",    "[2001:db8::7]:443", "[::ffff:127.0.0.1]:8080",
};

static const char *const BAD[] = {
    "",
    ":",
    "8080",
    ":8080",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:x",
    "127.0.0.1:80x",
    "127.0.0.1: 80",
    "127.0.0.1:80 ",
    " 127.0.0.1:80",
    "127.0.0.1:-1",
    "127.0.0.1:+1",
    "127.0.0.1:65536",
    "127.0.0.1:99999999999999999999",
    "127.0.0.1:18446744073709551696",
    "127.0.0:80",
    "256.0.0.1:80",
    "127.0.0.1.1:80",
    "1.2.3.4:5:6",
    "localhost:8080",
    "example.com:80",
    "*:80",
    "[::1]",
    "[::1]:",
    "[::1]8080",
    "[::1",
    "[::1:80",
    "::1]:80",
    "[]:80",
    "[127.0.0.1]:80",
    "[::1]x:80",
    "[:::1]:80",
    "[g::1]:80",
    "http://127.0.0.1:80",
    "127.0.0.1:80/",
    "unix:/run/x",
    "[0000000000000000000000000000000000000000000000000000000000000000000000000000::1]:80",
};

/* Without brackets nobody can tell where an IPv6 address ends and the port begins. */
static const char *const BARE_IPV6[] = { "::1:8080", "::8080", "2001:db8::7:443", ":::8080", "::" };

static int
open_good(const char *address, int flags)
{
    char reason[LISTEN_ERROR_SIZE] = "";
    int fd = listen_open(address, flags, reason);
    check(fd >= 0, "%s: %s", address, reason);
    return fd;
}

/* The port a socket listens on, asked from the kernel. */
static int
port_of(int fd)
{
    struct sockaddr_in address = { 0 };
    socklen_t length = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(address.sin_family, AF_INET);
    return ntohs(address.sin_port);
}

static bool
can_connect(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool good = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return good;
}

static void
test_valid_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        check(listen_address_is_valid(GOOD[i]), "%s is refused", GOOD[i]);
    }
}

static void
check_refused(const char *address)
{
    char reason[LISTEN_ERROR_SIZE] = "";
    check(!listen_address_is_valid(address), "\"%s\" is valid", address);
    errno = 0;
    int fd = listen_open(address, 0, reason);
    check(fd == -1, "\"%s\" is opened", address);
    check(errno == EINVAL, "\"%s\": errno is %d", address, errno);
    check(reason[0] != '\0', "\"%s\": no reason", address);
}

static void
test_invalid_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        check_refused(BAD[i]);
    }
}

static void
test_ipv6_needs_brackets(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BARE_IPV6); i++) {
        check_refused(BARE_IPV6[i]);
    }
}

static void
test_free_port(void **state)
{
    char address[LISTEN_ADDRESS_SIZE], expected[LISTEN_ADDRESS_SIZE];
    (void)state;
    int fd = open_good("127.0.0.1:0", 0);
    int port = port_of(fd);
    assert_true(port > 0);
    assert_true(can_connect(port));
    listen_bound_address(fd, address);
    (void)snprintf(expected, sizeof expected, "127.0.0.1:%d", port);
    assert_string_equal(address, expected);
    assert_true(listen_address_is_valid(address));
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    (void)close(fd);
    assert_false(can_connect(port));
}

static void
test_two_free_ports_differ(void **state)
{
    (void)state;
    int first = open_good("127.0.0.1:0", 0), second = open_good("127.0.0.1:0", 0);
    assert_int_not_equal(port_of(first), port_of(second));
    (void)close(first);
    (void)close(second);
}

static void
test_busy_port(void **state)
{
    char address[LISTEN_ADDRESS_SIZE], reason[LISTEN_ERROR_SIZE] = "";
    (void)state;
    int fd = open_good("127.0.0.1:0", 0);
    listen_bound_address(fd, address);
    errno = 0;
    assert_int_equal(listen_open(address, 0, reason), -1);
    assert_int_equal(errno, EADDRINUSE);
    assert_true(reason[0] != '\0');
    /* Sharing takes both sides. */
    errno = 0;
    assert_int_equal(listen_open(address, LISTEN_SHARED, reason), -1);
    assert_int_equal(errno, EADDRINUSE);
    (void)close(fd);
    /* And the same one is free again at once. */
    fd = open_good(address, 0);
    (void)close(fd);
}

static void
test_shared_sockets(void **state)
{
    char address[LISTEN_ADDRESS_SIZE], reason[LISTEN_ERROR_SIZE] = "";
    int fds[4];
    (void)state;
    fds[0] = open_good("127.0.0.1:0", LISTEN_SHARED);
    listen_bound_address(fds[0], address);
    for (size_t i = 1; i < COUNT_OF(fds); i++) {
        fds[i] = open_good(address, LISTEN_SHARED);
        assert_int_equal(port_of(fds[i]), port_of(fds[0]));
    }
    assert_int_equal(listen_open(address, 0, reason), -1);
    assert_int_equal(errno, EADDRINUSE);
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        assert_true(can_connect(port_of(fds[i])));
        (void)close(fds[i]);
    }
}

/* An address of this form that no interface has (TEST-NET-1). */
static void
test_foreign_address(void **state)
{
    char reason[LISTEN_ERROR_SIZE] = "";
    (void)state;
    errno = 0;
    assert_int_equal(listen_open("192.0.2.1:0", 0, reason), -1);
    assert_int_equal(errno, EADDRNOTAVAIL);
    assert_true(reason[0] != '\0');
}

static void
test_ipv6_bound_address(void **state)
{
    char address[LISTEN_ADDRESS_SIZE], reason[LISTEN_ERROR_SIZE];
    (void)state;
    int fd = listen_open("[::1]:0", 0, reason);
    if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        skip(); /* no IPv6 here */
    }
    assert_true(fd >= 0);
    listen_bound_address(fd, address);
    assert_int_equal(strncmp(address, "[::1]:", 6), 0);
    assert_true(strtol(address + 6, NULL, 10) > 0);
    assert_true(listen_address_is_valid(address));
    (void)close(fd);
}

static void
test_other_port(void **state)
{
    static const struct {
        const char *address;
        int port;
        const char *changed;
    } ROWS[] = {
        { "127.0.0.1:8080", 0, "127.0.0.1:0" },
        { "127.0.0.1:0", 65535, "127.0.0.1:65535" },
        { "0.0.0.0:1", 2, "0.0.0.0:2" },
        { "[::]:9464", 0, "[::]:0" },
        { "[2001:db8::7]:443", 444, "[2001:db8::7]:444" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        char changed[LISTEN_ADDRESS_SIZE];
        listen_with_port(ROWS[i].address, ROWS[i].port, changed);
        assert_string_equal(changed, ROWS[i].changed);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_addresses),       cmocka_unit_test(test_invalid_addresses),
        cmocka_unit_test(test_ipv6_needs_brackets),   cmocka_unit_test(test_free_port),
        cmocka_unit_test(test_two_free_ports_differ), cmocka_unit_test(test_busy_port),
        cmocka_unit_test(test_shared_sockets),        cmocka_unit_test(test_foreign_address),
        cmocka_unit_test(test_ipv6_bound_address),    cmocka_unit_test(test_other_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
