#include "worker/plan.h"

#include "tests/unit/unit.h"

static const char *const GOALS[] = { "accept", "reject", "withdraw", "look", "identify" };

/* What a row says: an act, or the outcome to settle with. */
enum then { CONFIRM, DECLINE, CANCEL, ACCEPTED, REJECTED, CANCELLED, GONE, PENDING };

static const struct {
    enum booking_goal goal;
    enum booking_status status;
    enum then today, guide;
} NEXT[] = {
    { GOAL_ACCEPT, STATUS_PENDING, CONFIRM, CONFIRM },
    { GOAL_ACCEPT, STATUS_ACCEPTED, ACCEPTED, ACCEPTED },
    { GOAL_ACCEPT, STATUS_REJECTED, REJECTED, REJECTED },
    { GOAL_ACCEPT, STATUS_CANCELLED, CANCELLED, CANCELLED },
    { GOAL_ACCEPT, STATUS_GONE, GONE, GONE },
    { GOAL_REJECT, STATUS_PENDING, DECLINE, DECLINE },
    { GOAL_REJECT, STATUS_ACCEPTED, ACCEPTED, CANCEL },
    { GOAL_REJECT, STATUS_REJECTED, REJECTED, REJECTED },
    { GOAL_REJECT, STATUS_CANCELLED, CANCELLED, CANCELLED },
    { GOAL_REJECT, STATUS_GONE, GONE, GONE },
    { GOAL_WITHDRAW, STATUS_PENDING, CANCELLED, CANCELLED },
    { GOAL_WITHDRAW, STATUS_ACCEPTED, CANCEL, CANCEL },
    { GOAL_WITHDRAW, STATUS_REJECTED, REJECTED, REJECTED },
    { GOAL_WITHDRAW, STATUS_CANCELLED, CANCELLED, CANCELLED },
    { GOAL_WITHDRAW, STATUS_GONE, GONE, GONE },
    /* Settle; with pending only here. */
    { GOAL_LOOK, STATUS_PENDING, PENDING, PENDING },
    { GOAL_LOOK, STATUS_ACCEPTED, ACCEPTED, ACCEPTED },
    { GOAL_LOOK, STATUS_REJECTED, REJECTED, REJECTED },
    { GOAL_LOOK, STATUS_CANCELLED, CANCELLED, CANCELLED },
    { GOAL_LOOK, STATUS_GONE, GONE, GONE },
};

static enum then
then_of(struct plan plan)
{
    static const enum then OUTCOMES[] = { [STATUS_PENDING] = PENDING,
                                          [STATUS_ACCEPTED] = ACCEPTED,
                                          [STATUS_REJECTED] = REJECTED,
                                          [STATUS_CANCELLED] = CANCELLED,
                                          [STATUS_GONE] = GONE };
    static const enum then ACTS[] = {
        [CALCOM_CONFIRM] = CONFIRM, [CALCOM_DECLINE] = DECLINE, [CALCOM_CANCEL] = CANCEL
    };
    if (plan.settle) {
        return OUTCOMES[plan.outcome];
    }
    assert_int_not_equal(plan.call, CALCOM_LOOK);
    return ACTS[plan.call];
}

static void
test_next(void **state)
{
    (void)state;
    assert_int_equal(COUNT_OF(NEXT), 4 * 5);
    for (size_t i = 0; i < COUNT_OF(NEXT); i++) {
        const char *goal = GOALS[NEXT[i].goal], *status = booking_status_name(NEXT[i].status);
        enum then today = then_of(plan_next(NEXT[i].goal, NEXT[i].status, false, false, false));
        enum then guide = then_of(plan_next(NEXT[i].goal, NEXT[i].status, true, false, false));
        check(today == NEXT[i].today, "%s, %s: %d", goal, status, (int)today);
        check(guide == NEXT[i].guide, "%s, %s, guide: %d", goal, status, (int)guide);
    }
}

/* The table has each pair once. */
static void
test_next_table_is_whole(void **state)
{
    unsigned seen = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NEXT); i++) {
        seen |= 1U << ((unsigned)NEXT[i].goal * 5 + (unsigned)NEXT[i].status);
    }
    assert_int_equal(seen, (1U << 20) - 1);
}

/* The booking's status tells nothing about an open seat: it is asked for; an answered one is
 * believed. */
static void
test_next_of_a_seat(void **state)
{
    (void)state;
    assert_int_equal(plan_next(GOAL_ACCEPT, STATUS_ACCEPTED, false, true, false).call,
                     CALCOM_CONFIRM);
    assert_false(plan_next(GOAL_ACCEPT, STATUS_ACCEPTED, false, true, false).settle);
    assert_int_equal(plan_next(GOAL_REJECT, STATUS_ACCEPTED, false, true, false).call,
                     CALCOM_DECLINE);
    assert_int_equal(plan_next(GOAL_REJECT, STATUS_ACCEPTED, true, true, false).call,
                     CALCOM_CANCEL);
    assert_true(plan_next(GOAL_ACCEPT, STATUS_ACCEPTED, true, true, false).settle);
    assert_true(plan_next(GOAL_ACCEPT, STATUS_CANCELLED, false, true, false).settle);
    assert_int_equal(plan_next(GOAL_WITHDRAW, STATUS_ACCEPTED, false, true, false).call,
                     CALCOM_CANCEL);
}

/* Where others of its series wait for another answer, a "no" is a cancel; the rest is as ever. */
static void
test_next_of_one_alone(void **state)
{
    (void)state;
    for (enum booking_goal goal = GOAL_ACCEPT; goal <= GOAL_IDENTIFY; goal++) {
        for (enum booking_status status = STATUS_PENDING; status <= STATUS_GONE; status++) {
            struct plan beside = plan_next(goal, status, false, false, true);
            struct plan ever = plan_next(goal, status, false, false, false);
            bool declines = goal == GOAL_REJECT && status == STATUS_PENDING;
            assert_int_equal(then_of(beside), declines ? CANCEL : then_of(ever));
        }
        bool rejects = goal == GOAL_REJECT;
        assert_int_equal(plan_first(goal, true, false, true, false),
                         rejects ? CALCOM_CANCEL : plan_first(goal, true, false, false, false));
        assert_int_equal(plan_first(goal, false, false, true, false), CALCOM_LOOK);
    }
}

/* By goal, then by fresh, guide, harmless as the bits 4, 2, 1. */
static const enum calcom_call FIRST[5][8] = {
    [GOAL_ACCEPT] = { CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_CONFIRM,
                      CALCOM_CONFIRM, CALCOM_LOOK, CALCOM_CONFIRM },
    [GOAL_REJECT] = { CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_DECLINE,
                      CALCOM_DECLINE, CALCOM_CANCEL, CALCOM_CANCEL },
    [GOAL_WITHDRAW] = { CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK,
                        CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK },
    [GOAL_IDENTIFY] = { CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK,
                        CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK },
    [GOAL_LOOK] = { CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK, CALCOM_LOOK,
                    CALCOM_LOOK, CALCOM_LOOK },
};

static void
test_first(void **state)
{
    (void)state;
    for (enum booking_goal goal = GOAL_ACCEPT; goal <= GOAL_IDENTIFY; goal++) {
        for (unsigned bits = 0; bits < 8; bits++) {
            bool fresh = (bits & 4) != 0, guide = (bits & 2) != 0, harmless = (bits & 1) != 0;
            enum calcom_call call = plan_first(goal, fresh, guide, false, harmless);
            check(call == FIRST[goal][bits], "%s, fresh %d, guide %d, harmless %d: %s", GOALS[goal],
                  fresh, guide, harmless, calcom_call_name(call));
        }
    }
}

static void
test_call_names(void **state)
{
    (void)state;
    assert_string_equal(calcom_call_name(CALCOM_LOOK), "look");
    assert_string_equal(calcom_call_name(CALCOM_CONFIRM), "confirm");
    assert_string_equal(calcom_call_name(CALCOM_DECLINE), "decline");
    assert_string_equal(calcom_call_name(CALCOM_CANCEL), "cancel");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),           cmocka_unit_test(test_next_table_is_whole),
        cmocka_unit_test(test_next_of_a_seat), cmocka_unit_test(test_next_of_one_alone),
        cmocka_unit_test(test_first),          cmocka_unit_test(test_call_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
