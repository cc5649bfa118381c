#include "worker/lease.h"

#include <string.h>

#include "common/config.h"
#include "tests/unit/unit.h"

#define T0 1000000 /* the clock begins anywhere */

static struct lease
make_lease(int64_t calcom_timeout_ms)
{
    struct config config = { .lease_ms = 10000, .calcom_timeout_ms = calcom_timeout_ms };
    struct lease lease;
    lease_init(&lease, &config);
    return lease;
}

static void
test_begins_without_one(void **state)
{
    struct lease lease = make_lease(10000);
    (void)state;
    assert_false(lease_is_live(&lease, 0));
    assert_false(lease_is_live(&lease, T0));
}

static void
test_two_starts_have_two_names(void **state)
{
    struct lease one = make_lease(10000), other = make_lease(10000);
    (void)state;
    assert_int_equal(strlen(one.worker), 17);
    assert_string_not_equal(one.worker, other.worker);
}

static void
test_lives_for_its_time(void **state)
{
    struct lease lease = make_lease(10000);
    (void)state;
    lease_extend(&lease, T0);
    assert_true(lease_is_live(&lease, T0 + 9999));
    assert_false(lease_is_live(&lease, T0 + 10000));
    lease_extend(&lease, T0 + 3000);
    assert_true(lease_is_live(&lease, T0 + 12999));
    assert_false(lease_is_live(&lease, T0 + 13000));
}

/* Answers to a take and to a renewal may come in another order than the calls went out. */
static void
test_an_older_call_does_not_shorten_it(void **state)
{
    struct lease lease = make_lease(10000);
    (void)state;
    lease_extend(&lease, T0 + 3000);
    lease_extend(&lease, T0);
    assert_true(lease_is_live(&lease, T0 + 12999));
}

static void
test_calls_go_out_until_the_lease_or_the_booking_is_over(void **state)
{
    struct lease lease = make_lease(10000);
    (void)state;
    lease_extend(&lease, T0);
    assert_int_equal(lease_send_by_boot_ms(&lease, T0), T0 + 10000);
    assert_int_equal(lease_send_by_boot_ms(&lease, T0 - 59000), T0 + 1000);
}

static void
test_a_booking_may_be_in_hand_for_four_long_calls(void **state)
{
    (void)state;
    assert_int_equal(make_lease(500).hold_ms, 60000);
    assert_int_equal(make_lease(10000).hold_ms, 60000);
    assert_int_equal(make_lease(15000).hold_ms, 80000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins_without_one),
        cmocka_unit_test(test_two_starts_have_two_names),
        cmocka_unit_test(test_lives_for_its_time),
        cmocka_unit_test(test_an_older_call_does_not_shorten_it),
        cmocka_unit_test(test_calls_go_out_until_the_lease_or_the_booking_is_over),
        cmocka_unit_test(test_a_booking_may_be_in_hand_for_four_long_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
