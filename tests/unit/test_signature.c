#include "ingest/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define SECRET "s3cr3t-example"

/* HMAC-SHA256 of "hello" with SECRET and of "" with it, made by another program. */
#define HELLO "2b078eb409b5f49732fa63e25e5df199f9d62998d16e8d8a8d58f81012fdbb06"
#define EMPTY "7399ec1d2c32833ea4b109d64ddde9be3e7a768971f3f184b12055dbfa72451a"

static const char *const VERDICTS[] = { "good", "absent", "malformed", "wrong" };

static enum signature_verdict
verdict_of(const char *secrets, const char *header, const void *body, size_t size)
{
    struct signature_checker *checker = signature_checker_new(secrets);
    assert_non_null(checker);
    size_t which;
    enum signature_verdict verdict = signature_check(checker, header, body, size, &which);
    signature_checker_free(checker);
    return verdict;
}

static void
check_verdict(const char *secrets, const char *header, const char *body,
              enum signature_verdict wanted)
{
    enum signature_verdict verdict = verdict_of(secrets, header, body, strlen(body));
    check(verdict == wanted, "secrets \"%s\", header \"%s\": %s and not %s", secrets,
          header != NULL ? header : "(none)", VERDICTS[verdict], VERDICTS[wanted]);
}

/* ---- The samples, signed as Cal.com does ---- */

struct sample {
    char name[64];
    unsigned long size;
    char hex[80];
};

static size_t
read_samples(struct sample *samples, size_t room)
{
    size_t size, count = 0;
    char *text = unit_read_file("tests/samples/SIGNATURES.txt", &size);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (*line == '\0' || *line == '#') {
            continue;
        }
        assert_true(count < room);
        const char *name = strsep(&line, " "), *bytes = strsep(&line, " ");
        assert_non_null(line);
        assert_non_null(bytes);
        (void)snprintf(samples[count].name, sizeof samples[count].name, "%s", name);
        samples[count].size = strtoul(bytes, NULL, 10);
        (void)snprintf(samples[count].hex, sizeof samples[count].hex, "%s", line);
        count++;
    }
    free(text);
    return count;
}

static char *
read_body(const struct sample *sample)
{
    char path[128];
    size_t size;
    (void)snprintf(path, sizeof path, "tests/samples/%s", sample->name);
    char *body = unit_read_file(path, &size);
    assert_int_equal(size, sample->size);
    return body;
}

static void
test_samples(void **state)
{
    struct sample samples[32];
    size_t count = read_samples(samples, COUNT_OF(samples));
    (void)state;
    assert_int_equal(count, 13);
    for (size_t i = 0; i < count; i++) {
        const struct sample *sample = &samples[i];
        char *body = read_body(sample);
        enum signature_verdict verdict = verdict_of(SECRET, sample->hex, body, sample->size);
        check(verdict == SIGNATURE_GOOD, "%s: %s", sample->name, VERDICTS[verdict]);
        verdict = verdict_of("other", sample->hex, body, sample->size);
        check(verdict == SIGNATURE_WRONG, "%s, other secret: %s", sample->name, VERDICTS[verdict]);
        verdict = verdict_of(SECRET, sample->hex, body, sample->size - 1);
        check(verdict == SIGNATURE_WRONG, "%s, cut: %s", sample->name, VERDICTS[verdict]);
        body[sample->size / 2] ^= 1;
        verdict = verdict_of(SECRET, sample->hex, body, sample->size);
        check(verdict == SIGNATURE_WRONG, "%s, changed: %s", sample->name, VERDICTS[verdict]);
        free(body);
    }
}

/* One checker for all of them, in turn with wrong ones: nothing of a body stays behind. */
static void
test_one_checker_for_many(void **state)
{
    struct sample samples[32];
    size_t count = read_samples(samples, COUNT_OF(samples));
    struct signature_checker *checker = signature_checker_new("a," SECRET ",b");
    (void)state;
    check(checker != NULL && count > 0, "%zu samples", count);
    for (size_t i = 0; i < 1000; i++) {
        const struct sample *sample = &samples[i % count], *other = &samples[(i + 1) % count];
        char *body = read_body(sample);
        size_t which = 7;
        enum signature_verdict verdict =
            signature_check(checker, sample->hex, body, sample->size, &which);
        assert_int_equal(which, 1);
        check(verdict == SIGNATURE_GOOD, "round %zu: %s", i, VERDICTS[verdict]);
        verdict = signature_check(checker, other->hex, body, sample->size, &which);
        check(verdict == SIGNATURE_WRONG, "round %zu: %s", i, VERDICTS[verdict]);
        assert_int_equal(signature_check(checker, NULL, body, sample->size, &which),
                         SIGNATURE_ABSENT);
        free(body);
    }
    signature_checker_free(checker);
}

/* ---- Secrets ---- */

/* echo -n SECRET | sha256sum */
static void
test_secrets_have_names(void **state)
{
    struct signature_checker *checker = signature_checker_new("abc,,"
                                                              "a,abc");
    size_t which = 7;
    (void)state;
    assert_non_null(checker);
    assert_int_equal(signature_secret_count(checker), 4);
    assert_string_equal(signature_secret_name(checker, 0), "ba7816bf");
    assert_string_equal(signature_secret_name(checker, 2), "ca978112");
    assert_string_equal(signature_secret_name(checker, 3), "ba7816bf");
    /* Of two that are the same the first counts: openssl dgst -sha256 -hmac abc </dev/null */
    assert_int_equal(
        signature_check(checker, "e2636077506729a8f61aff2441332e40e844a8ad44489efd80210ea6d1f51088",
                        "", 0, &which),
        SIGNATURE_GOOD);
    assert_int_equal(which, 0);
    signature_checker_free(checker);
}

static void
test_secrets(void **state)
{
    static const struct {
        const char *secrets;
        enum signature_verdict verdict;
    } ROWS[] = {
        { SECRET, SIGNATURE_GOOD },
        { SECRET ",new", SIGNATURE_GOOD },
        { "new," SECRET, SIGNATURE_GOOD },
        { "a,b,c," SECRET ",d", SIGNATURE_GOOD },
        { "a,b,c", SIGNATURE_WRONG },
        { "", SIGNATURE_WRONG },
        { "S3CR3T-EXAMPLE", SIGNATURE_WRONG },
        { "s3cr3t-exampl", SIGNATURE_WRONG },
        { "s3cr3t-examplee", SIGNATURE_WRONG },
        { " " SECRET, SIGNATURE_WRONG },
        { SECRET " ", SIGNATURE_WRONG },
        { "a, " SECRET, SIGNATURE_WRONG },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        check_verdict(ROWS[i].secrets, HELLO, "hello", ROWS[i].verdict);
    }
}

/* Longer than HMAC's block of 64 bytes, and not ASCII; digests by another program. */
static void
test_unusual_secrets(void **state)
{
    (void)state;
    check_verdict("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                  "xxxxxxxxxxxxxxxxxxxx",
                  "b9da8eea8a985969e2e9e85c62d5700c6f63d0f61494baa608a98136e98addbd", "hello",
                  SIGNATURE_GOOD);
    check_verdict("schl\xc3\xbcssel \xf0\x9f\x94\x91",
                  "a1289cde18e0211dd203fc5a500fede3af683a4709ffee7042adcbd61f90fc46", "hello",
                  SIGNATURE_GOOD);
    check_verdict("k", "406e4b43f87095aa86ca6299d25e875921fefa180f02043bb29bec5681c0c2d0", "hello",
                  SIGNATURE_GOOD);
}

/* Without a secret nothing is good, not even what an empty key signs. */
static void
test_no_secret_takes_nothing(void **state)
{
    (void)state;
    check_verdict("", "4352b26e33fe0d769a8922a6ba29004109f01688e26acc9e6cb347e5a5afc4da", "hello",
                  SIGNATURE_WRONG);
    check_verdict("", NULL, "hello", SIGNATURE_ABSENT);
    check_verdict("", "no-secret-provided", "hello", SIGNATURE_ABSENT);
    check_verdict("", "", "hello", SIGNATURE_MALFORMED);
}

static void
test_empty_body(void **state)
{
    (void)state;
    check_verdict(SECRET, EMPTY, "", SIGNATURE_GOOD);
    check_verdict(SECRET, HELLO, "", SIGNATURE_WRONG);
    check_verdict(SECRET, EMPTY, "x", SIGNATURE_WRONG);
}

/* ---- Headers ---- */

static void
test_absent(void **state)
{
    (void)state;
    check_verdict(SECRET, NULL, "hello", SIGNATURE_ABSENT);
    check_verdict(SECRET, "no-secret-provided", "hello", SIGNATURE_ABSENT);
}

static void
test_malformed(void **state)
{
    static const char *const HEADERS[] = {
        "",
        " ",
        "x",
        "sha256=" HELLO,
        "sha256=",
        HELLO "0",
        "0" HELLO,
        " " HELLO,
        HELLO " ",
        HELLO "\n",
        HELLO HELLO,
        HELLO "," HELLO,
        "No-Secret-Provided",
        "no-secret-provided ",
        "no-secret-provide",
        "0x" HELLO,
        "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        "                                                                ",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(HEADERS); i++) {
        check_verdict(SECRET, HEADERS[i], "hello", SIGNATURE_MALFORMED);
    }
}

static void
test_length_of_the_header(void **state)
{
    (void)state;
    for (size_t length = 0; length <= 130; length++) {
        char header[160];
        memset(header, 'a', sizeof header);
        memcpy(header, HELLO, 64);
        header[length] = '\0';
        check_verdict(SECRET, header, "hello", length == 64 ? SIGNATURE_GOOD : SIGNATURE_MALFORMED);
    }
}

/* Each digit counts: another digit is wrong, upper case and other characters are malformed. */
static void
test_every_digit(void **state)
{
    (void)state;
    for (size_t at = 0; at < 64; at++) {
        char header[] = HELLO;
        header[at] = header[at] == '0' ? '1' : '0';
        check_verdict(SECRET, header, "hello", SIGNATURE_WRONG);
        for (const char *wrong = "ABCDEFg-/:`@ "; *wrong != '\0'; wrong++) {
            header[at] = *wrong;
            check_verdict(SECRET, header, "hello", SIGNATURE_MALFORMED);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_one_checker_for_many),
        cmocka_unit_test(test_secrets_have_names),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_unusual_secrets),
        cmocka_unit_test(test_no_secret_takes_nothing),
        cmocka_unit_test(test_empty_body),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_length_of_the_header),
        cmocka_unit_test(test_every_digit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
