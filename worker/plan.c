#include "worker/plan.h"

static const char *const CALL_NAMES[] = {
    [CALCOM_LOOK] = "look",     [CALCOM_CONFIRM] = "confirm", [CALCOM_DECLINE] = "decline",
    [CALCOM_CANCEL] = "cancel", [CALCOM_ME] = "me",           [CALCOM_LIST] = "list"
};

const char *
calcom_call_name(enum calcom_call call)
{
    return CALL_NAMES[call];
}

static struct plan
act(enum calcom_call call)
{
    return (struct plan){ .call = call };
}

static struct plan
settle(enum booking_status outcome)
{
    return (struct plan){ .settle = true, .outcome = outcome };
}

struct plan
plan_next(enum booking_goal goal, enum booking_status status, bool guide, bool seat, bool alone)
{
    bool undecided = status == STATUS_PENDING || (status == STATUS_ACCEPTED && seat && !guide);
    switch (goal) {
    case GOAL_ACCEPT:
        return undecided ? act(CALCOM_CONFIRM) : settle(status);
    case GOAL_REJECT:
        if (undecided) {
            return act(alone ? CALCOM_CANCEL : CALCOM_DECLINE);
        }
        return status == STATUS_ACCEPTED && guide ? act(CALCOM_CANCEL) : settle(status);
    case GOAL_WITHDRAW:
        if (status == STATUS_ACCEPTED) {
            return act(CALCOM_CANCEL);
        }
        return settle(status == STATUS_PENDING ? STATUS_CANCELLED : status);
    case GOAL_LOOK:
    case GOAL_IDENTIFY:
        break;
    }
    return settle(status);
}

enum calcom_call
plan_first(enum booking_goal goal, bool fresh, bool guide, bool alone, bool confirm_is_harmless)
{
    if (!fresh) {
        return CALCOM_LOOK;
    }
    switch (goal) {
    case GOAL_ACCEPT:
        return guide && !confirm_is_harmless ? CALCOM_LOOK : CALCOM_CONFIRM;
    case GOAL_REJECT:
        return guide || alone ? CALCOM_CANCEL : CALCOM_DECLINE;
    case GOAL_WITHDRAW:
    case GOAL_LOOK:
    case GOAL_IDENTIFY:
        break;
    }
    return CALCOM_LOOK;
}
