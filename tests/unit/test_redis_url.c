#include "common/redis_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static const struct {
    const char *text;
    struct redis_url url;
} GOOD[] = {
    { "redis://localhost", { .host = "localhost", .port = 6379 } },
    { "redis://127.0.0.1/", { .host = "127.0.0.1", .port = 6379 } },
    { "redis://127.0.0.1:6380", { .host = "127.0.0.1", .port = 6380 } },
    { "redis://127.0.0.1:6379/0", { .host = "127.0.0.1", .port = 6379 } },
    { "redis://redis:1/15", { .host = "redis", .port = 1, .database = 15 } },
    { "redis://redis:65535/7", { .host = "redis", .port = 65535, .database = 7 } },
    { "redis://redis/3", { .host = "redis", .port = 6379, .database = 3 } },
    { "rediss://redis.example.com:6390/2",
      { .host = "redis.example.com", .port = 6390, .database = 2, .tls = true } },
    { "rediss://redis.example.com", { .host = "redis.example.com", .port = 6379, .tls = true } },
    /* User and password. */
    { "redis://:pw@h", { .host = "h", .port = 6379, .password = "pw" } },
    { "redis://u:pw@h", { .host = "h", .port = 6379, .user = "u", .password = "pw" } },
    { "redis://u@h:1/2", { .host = "h", .port = 1, .user = "u", .database = 2 } },
    { "redis://u:@h", { .host = "h", .port = 6379, .user = "u" } },
    { "redis://@h", { .host = "h", .port = 6379 } },
    { "redis://u:a:b@h", { .host = "h", .port = 6379, .user = "u", .password = "a:b" } },
    { "redis://u:a@b@h", { .host = "h", .port = 6379, .user = "u", .password = "a@b" } },
    { "redis://u%40x:%3A%2f%3F%25%41@h",
      { .host = "h", .port = 6379, .user = "u@x", .password = ":/?%A" } },
    { "redis://:%c3%BC@h", { .host = "h", .port = 6379, .password = "\xc3\xbc" } },
    { "redis://:%20%01@h", { .host = "h", .port = 6379, .password = " \x01" } },
    { "redis://:pw%41@h", { .host = "h", .port = 6379, .password = "pwA" } },
    { "redis://u%41:x@h", { .host = "h", .port = 6379, .user = "uA", .password = "x" } },
    { "redis://:a+b@h", { .host = "h", .port = 6379, .password = "a+b" } },
    { "redis://%3a:%40@h", { .host = "h", .port = 6379, .user = ":", .password = "@" } },
    /* IPv6. */
    { "redis://[::1]", { .host = "::1", .port = 6379 } },
    { "redis://[::1]:6380/4", { .host = "::1", .port = 6380, .database = 4 } },
    { "rediss://u:p@[2001:db8::7]/1",
      { .host = "2001:db8::7",
        .port = 6379,
        .user = "u",
        .password = "p",
        .database = 1,
        .tls = true } },
    /* Unix sockets. */
    { "unix:///run/redis.sock", { .path = "/run/redis.sock" } },
    { "unix:///run/redis.sock?db=9", { .path = "/run/redis.sock", .database = 9 } },
    { "unix:///run/a:b@c.sock", { .path = "/run/a:b@c.sock" } },
};

static const char *const BAD[] = {
    "",
    "redis",
    "redis:",
    "redis:/",
    "redis:/h",
    "http://h",
    "REDIS://h",
    "redis:h",
    " redis://h",
    "tcp://h:6379",
    "127.0.0.1:6379",
    "valkey://h",
    "unix:/run/x",
    "rediss:h",
    /* The host. */
    "redis://",
    "redis:///",
    "redis:///0",
    "redis://:6379",
    "redis://u:p@",
    "redis://u:p@:6379",
    "redis://u:p@/0",
    "redis://[",
    "redis://[]",
    "redis://[]:1",
    "redis://[::1",
    "redis://[::1/0",
    "redis://[::1]x",
    "redis://[::1]6379",
    /* The port. */
    "redis://h:",
    "redis://h:/",
    "redis://h:0",
    "redis://h:65536",
    "redis://h:-1",
    "redis://h:+1",
    "redis://h: 1",
    "redis://h:1 ",
    "redis://h:x",
    "redis://h:1x",
    "redis://h:99999999999999999999",
    "redis://h:6379:6380",
    "redis://h:0x10",
    /* The database. */
    "redis://h/x",
    "redis://h/-1",
    "redis://h/+1",
    "redis://h/1/2",
    "redis://h/1x",
    "redis://h/ 1",
    "redis://h/99999999999999999999",
    "redis://h/65536",
    "redis://h//",
    /* What is behind it. */
    "redis://h?db=1",
    "redis://h/1?x",
    "redis://h:1?db=1",

    /* Percent encoding. */
    "redis://:%@h",
    "redis://:%4@h",
    "redis://:%4",
    "redis://:%zz@h",
    "redis://:%4z@h",
    "redis://:%z4@h",
    "redis://:%-1@h",
    "redis://:a%00b@h",
    "redis://%00@h",
    "redis://u%@h",
    "redis://u%4:x@h",
    "redis://:%%@h",
    "redis://:%+4@h",
    /* Sockets. */
    "unix://",
    "unix://run/x",
    "unix://?db=1",
    "unix:///x?",
    "unix:///x?db=",
    "unix:///x?db=x",
    "unix:///x?db=-1",
    "unix:///x?db=1&x=2",
    "unix:///x?DB=1",
    "unix:///x?db=1x",
};

static void
check_same(const char *text, const struct redis_url *got, const struct redis_url *wanted)
{
    check(strcmp(got->host, wanted->host) == 0, "%s: host \"%s\"", text, got->host);
    check(strcmp(got->path, wanted->path) == 0, "%s: path \"%s\"", text, got->path);
    check(strcmp(got->user, wanted->user) == 0, "%s: user \"%s\"", text, got->user);
    check(strcmp(got->password, wanted->password) == 0, "%s: password \"%s\"", text, got->password);
    check(got->database == wanted->database, "%s: database %d", text, got->database);
    check(got->tls == wanted->tls, "%s: tls %d", text, got->tls);
    check(wanted->path[0] != '\0' || got->port == wanted->port, "%s: port %d", text, got->port);
}

static void
test_good_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        struct redis_url url;
        memset(&url, 0x5a, sizeof url);
        const char *problem = redis_url_parse(GOOD[i].text, &url);
        check(problem == NULL, "%s: %s", GOOD[i].text, problem);
        check_same(GOOD[i].text, &url, &GOOD[i].url);
    }
}

static void
test_bad_ones_name_the_variable(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        struct redis_url url;
        const char *problem = redis_url_parse(BAD[i], &url);
        check(problem != NULL, "\"%s\" is taken", BAD[i]);
        check(strncmp(problem, "REDIS_URL", 9) == 0, "\"%s\": %s", BAD[i], problem);
    }
}

/* A problem is a constant text: nothing of a URL with a password in it reaches a log. */
static void
test_problems_hold_no_password(void **state)
{
    static const char *const URLS[] = { "redis://u:hunter2@h:x", "redis://u:hunter2@h/hunter2",
                                        "redis://u:hunter2%@h", "rediss://u:hunter2@",
                                        "hunter2://u:hunter2@h" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(URLS); i++) {
        struct redis_url url;
        const char *problem = redis_url_parse(URLS[i], &url);
        assert_non_null(problem);
        assert_false(unit_contains(problem, "hunter2"));
    }
}

/* Parses prefix, `length` times x, suffix. */
static bool
takes(const char *prefix, size_t length, const char *suffix, struct redis_url *url)
{
    char text[2048];
    size_t used = strlen(prefix);
    (void)snprintf(text, sizeof text, "%s", prefix);
    memset(text + used, 'x', length);
    (void)snprintf(text + used + length, sizeof text - used - length, "%s", suffix);
    return redis_url_parse(text, url) == NULL;
}

static void
test_lengths(void **state)
{
    struct redis_url url;
    (void)state;
    assert_true(takes("redis://", sizeof url.host - 1, ":1/2", &url));
    assert_int_equal(strlen(url.host), sizeof url.host - 1);
    assert_int_equal(url.database, 2);
    assert_false(takes("redis://", sizeof url.host, "", &url));
    assert_false(takes("redis://[", sizeof url.host, "]", &url));
    assert_true(takes("redis://", sizeof url.user - 1, "@h", &url));
    assert_int_equal(strlen(url.user), sizeof url.user - 1);
    assert_false(takes("redis://", sizeof url.user, "@h", &url));
    assert_true(takes("redis://:", sizeof url.password - 1, "@h", &url));
    assert_int_equal(strlen(url.password), sizeof url.password - 1);
    assert_false(takes("redis://:", sizeof url.password, "@h", &url));
    assert_true(takes("unix:///", sizeof url.path - 2, "?db=3", &url));
    assert_int_equal(strlen(url.path), sizeof url.path - 1);
    assert_int_equal(url.database, 3);
    assert_false(takes("unix:///", sizeof url.path - 1, "", &url));
    assert_false(takes("unix:///", sizeof url.path - 1, "?db=3", &url));
}

/* Every part of a long URL is read or refused, and nothing is read behind its end. */
static void
test_every_part(void **state)
{
    static const char WHOLE[] = "rediss://u%41:p%42w@[2001:db8::7]:6390/12";
    (void)state;
    for (size_t length = 0; length < sizeof WHOLE; length++) {
        char *part = strndup(WHOLE, length);
        struct redis_url url;
        assert_non_null(part);
        (void)redis_url_parse(part, &url);
        free(part);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_ones),
        cmocka_unit_test(test_bad_ones_name_the_variable),
        cmocka_unit_test(test_problems_hold_no_password),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_every_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
