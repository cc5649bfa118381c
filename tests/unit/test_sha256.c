#include "common/sha256.h"

#include <string.h>

#include "tests/unit/unit.h"

/* FIPS 180-2's examples. */
static void
test_known_digests(void **state)
{
    static const struct {
        const char *text, *hex;
    } ROWS[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        char hex[SHA256_HEX_SIZE] = "";
        sha256_hex(ROWS[i].text, strlen(ROWS[i].text), hex);
        assert_string_equal(hex, ROWS[i].hex);
    }
}

static void
test_nul_is_a_byte(void **state)
{
    char hex[SHA256_HEX_SIZE];
    (void)state;
    sha256_hex("\0", 1, hex);
    assert_string_equal(hex, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_digests),
        cmocka_unit_test(test_nul_is_a_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
