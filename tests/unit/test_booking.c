#include "common/booking.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

/* ---- Words ---- */

static void
test_kind_names(void **state)
{
    (void)state;
    assert_string_equal(booking_event_kind_name(BOOKING_REQUESTED), "requested");
    assert_string_equal(booking_event_kind_name(BOOKING_CREATED), "created");
    assert_string_equal(booking_event_kind_name(BOOKING_REJECTED), "rejected");
    assert_string_equal(booking_event_kind_name(BOOKING_CANCELLED), "cancelled");
    assert_string_equal(booking_event_kind_name(BOOKING_RESCHEDULED), "rescheduled");
    assert_string_equal(booking_event_kind_name(BOOKING_PAYMENT_INITIATED), "payment");
}

static void
test_goals(void **state)
{
    static const char *const NAMES[] = { "accept", "reject", "withdraw", "look" };
    static const char *const NO_GOALS[] = { "",         "Accept", "ACCEPT", "accept ", " accept",
                                            "accepted", "acc",    "none",   "confirm" };
    enum booking_goal goal;
    (void)state;
    for (enum booking_goal i = GOAL_ACCEPT; i <= GOAL_IDENTIFY; i++) {
        assert_string_equal(booking_goal_name(i), NAMES[i]);
        goal = i == GOAL_LOOK ? GOAL_ACCEPT : GOAL_LOOK;
        assert_true(booking_goal_parse(NAMES[i], &goal));
        assert_int_equal(goal, i);
    }
    for (size_t i = 0; i < COUNT_OF(NO_GOALS); i++) {
        check(!booking_goal_parse(NO_GOALS[i], &goal), "\"%s\" is a goal", NO_GOALS[i]);
    }
}

static void
test_statuses(void **state)
{
    static const struct {
        const char *word;
        enum booking_status status;
    } WORDS[] = {
        { "ACCEPTED", STATUS_ACCEPTED },     { "accepted", STATUS_ACCEPTED },
        { "PENDING", STATUS_PENDING },       { "pending", STATUS_PENDING },
        { "REJECTED", STATUS_REJECTED },     { "rejected", STATUS_REJECTED },
        { "CANCELLED", STATUS_CANCELLED },   { "cancelled", STATUS_CANCELLED },
        { "AWAITING_HOST", STATUS_PENDING }, { "awaiting_host", STATUS_PENDING },
    };
    static const char *const NO_STATUSES[] = {
        "",
        " ",
        "gone",
        "GONE",
        "canceled",
        "accept",
        "accepted ",
        " accepted",
        "unconfirmed",
        "accepted,pending",
        "AWAITING",
        "awaiting host",
        "null",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(WORDS); i++) {
        enum booking_status status = STATUS_GONE;
        check(booking_status_parse(WORDS[i].word, &status) && status == WORDS[i].status, "%s: %d",
              WORDS[i].word, (int)status);
    }
    for (size_t i = 0; i < COUNT_OF(NO_STATUSES); i++) {
        enum booking_status status;
        check(!booking_status_parse(NO_STATUSES[i], &status), "\"%s\" is a status", NO_STATUSES[i]);
    }
}

static void
test_status_names(void **state)
{
    static const char *const NAMES[] = { "pending", "accepted", "rejected", "cancelled", "gone" };
    (void)state;
    for (enum booking_status i = STATUS_PENDING; i <= STATUS_GONE; i++) {
        enum booking_status status = STATUS_GONE;
        assert_string_equal(booking_status_name(i), NAMES[i]);
        if (i != STATUS_GONE) {
            assert_true(booking_status_parse(NAMES[i], &status));
            assert_int_equal(status, i);
        }
    }
}

/* ---- Names in the queue ---- */

static void
test_good_ids(void **state)
{
    static const char *const GOOD[] = {
        "1",
        "48213",
        "48213:seat-1",
        "a",
        "Z",
        "_.:-",
        "9223372036854775807:b7c1e8f0-0b1c-4f0a-9f5c-8f6c1b9f0e55"
    };
    char id[BOOKING_ID_SIZE + 8];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        check(booking_id_is_valid(GOOD[i]), "%s is refused", GOOD[i]);
    }
    memset(id, 'x', sizeof id);
    id[BOOKING_ID_SIZE - 1] = '\0';
    assert_int_equal(strlen(id), 80);
    assert_true(booking_id_is_valid(id));
}

static void
test_bad_ids(void **state)
{
    static const char *const BAD[] = { "",         " ",     "1 2",  "1\n",  "\t1",
                                       "1/2",      "1,2",   "a{b}", "a*",   "a\"b",
                                       "\xc3\xbc", "a\x7f", "a@b",  "a%41", "\x01" };
    char id[BOOKING_ID_SIZE + 8];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        check(!booking_id_is_valid(BAD[i]), "\"%s\" is taken", BAD[i]);
    }
    memset(id, 'x', sizeof id);
    id[BOOKING_ID_SIZE] = '\0';
    assert_int_equal(strlen(id), 81);
    assert_false(booking_id_is_valid(id));
}

static void
test_every_byte_in_an_id(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        const char id[] = { 'a', (char)byte, '1', '\0' };
        bool allowed = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || strchr("_.:-", byte) != NULL;
        check(booking_id_is_valid(id) == allowed, "byte %d", byte);
    }
}

/* ---- Accounts ---- */

static void
test_normalises(void **state)
{
    static const struct {
        const char *text, *account;
    } ROWS[] = {
        { "jonas.weber@example.com", "jonas.weber@example.com" },
        { "Jonas.Weber@Example.COM", "jonas.weber@example.com" },
        { "  jonas@example.com", "jonas@example.com" },
        { "jonas@example.com \t\r\n\v\f", "jonas@example.com" },
        { "\t\n a \n\t", "a" },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZ@[`{", "abcdefghijklmnopqrstuvwxyz@[`{" },
        { "a+tag@example.com", "a+tag@example.com" },
        { "a.b.c@example.com", "a.b.c@example.com" },
        { "+15551234567@sms.cal.com", "+15551234567@sms.cal.com" },
        /* Other letters stay as they are: upper-case Ü, İ, Σ. */
        { "GR\xc3\x9c\xc3\x9f"
          "E@K\xc3\xb6ln.DE",
          "gr\xc3\x9c\xc3\x9f"
          "e@k\xc3\xb6ln.de" },
        { "\xc4\xb0STANBUL@x", "\xc4\xb0stanbul@x" },
        { "\xce\xa3@x", "\xce\xa3@x" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        char account[BOOKING_ACCOUNT_SIZE] = "?";
        check(booking_normalise_account(ROWS[i].text, account), "\"%s\" is refused", ROWS[i].text);
        check(strcmp(account, ROWS[i].account) == 0, "\"%s\" became \"%s\"", ROWS[i].text, account);
        /* What is normal stays as it is. */
        char again[BOOKING_ACCOUNT_SIZE] = "?";
        assert_true(booking_normalise_account(account, again));
        assert_string_equal(again, account);
    }
}

static void
test_refuses_accounts(void **state)
{
    static const char *const BAD[] = { "",       " ",       " \t\r\n\v\f ",   "a b@example.com",
                                       "a\tb",   "a\nb@x",  "a\rb",           "a\x01",
                                       "\x1f@x", "a\x7f@x", "a@x\x0b\x0b.com" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        char account[BOOKING_ACCOUNT_SIZE];
        check(!booking_normalise_account(BAD[i], account), "\"%s\" is taken", BAD[i]);
    }
}

static void
test_every_byte_in_an_account(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        const char text[] = { 'a', (char)byte, '1', '\0' };
        char account[BOOKING_ACCOUNT_SIZE];
        bool taken = booking_normalise_account(text, account);
        check(taken == (byte > ' ' && byte != 0x7f), "byte %d", byte);
        int expected = byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
        check(!taken || (unsigned char)account[1] == expected, "byte %d", byte);
    }
}

static void
test_length_of_accounts(void **state)
{
    char text[BOOKING_ACCOUNT_SIZE + 64], account[BOOKING_ACCOUNT_SIZE];
    (void)state;
    for (size_t length = 318; length <= 330; length++) {
        memset(text, 'X', length);
        text[length] = '\0';
        bool taken = booking_normalise_account(text, account);
        check(taken == (length <= 320), "%zu characters", length);
        check(!taken || strlen(account) == length, "%zu characters", length);
    }
    /* White space around it does not count. */
    (void)snprintf(text, sizeof text, "        %0320d        ", 7);
    assert_true(booking_normalise_account(text, account));
    assert_int_equal(strlen(account), 320);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kind_names),
        cmocka_unit_test(test_goals),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_good_ids),
        cmocka_unit_test(test_bad_ids),
        cmocka_unit_test(test_every_byte_in_an_id),
        cmocka_unit_test(test_normalises),
        cmocka_unit_test(test_refuses_accounts),
        cmocka_unit_test(test_every_byte_in_an_account),
        cmocka_unit_test(test_length_of_accounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
