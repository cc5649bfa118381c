#include "common/booking.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char *const KIND_NAMES[] = {
    [BOOKING_REQUESTED] = "requested",     [BOOKING_CREATED] = "created",
    [BOOKING_REJECTED] = "rejected",       [BOOKING_CANCELLED] = "cancelled",
    [BOOKING_RESCHEDULED] = "rescheduled", [BOOKING_PAYMENT_INITIATED] = "payment",
};

static const char *const GOAL_NAMES[] = {
    [GOAL_ACCEPT] = "accept", [GOAL_REJECT] = "reject",     [GOAL_WITHDRAW] = "withdraw",
    [GOAL_LOOK] = "look",     [GOAL_IDENTIFY] = "identify",
};

static const char *const STATUS_NAMES[] = {
    [STATUS_PENDING] = "pending",   [STATUS_ACCEPTED] = "accepted",
    [STATUS_REJECTED] = "rejected", [STATUS_CANCELLED] = "cancelled",
    [STATUS_GONE] = "gone",
};

const char *
booking_event_kind_name(enum booking_event_kind kind)
{
    return KIND_NAMES[kind];
}

const char *
booking_goal_name(enum booking_goal goal)
{
    return GOAL_NAMES[goal];
}

const char *
booking_status_name(enum booking_status status)
{
    return STATUS_NAMES[status];
}

bool
booking_goal_parse(const char *word, enum booking_goal *goal)
{
    for (enum booking_goal i = GOAL_ACCEPT; i <= GOAL_IDENTIFY; i++) {
        if (strcmp(word, GOAL_NAMES[i]) == 0) {
            *goal = i;
            return true;
        }
    }
    return false;
}

bool
booking_status_parse(const char *word, enum booking_status *status)
{
    for (enum booking_status i = STATUS_PENDING; i < STATUS_GONE; i++) {
        if (strcasecmp(word, STATUS_NAMES[i]) == 0) {
            *status = i;
            return true;
        }
    }
    *status = STATUS_PENDING;
    return strcasecmp(word, "awaiting_host") == 0;
}

bool
booking_id_is_valid(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length < BOOKING_ID_SIZE &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") ==
               length;
}

bool
booking_normalise_account(const char *text, char account[BOOKING_ACCOUNT_SIZE])
{
    static const char SPACE[] = " \t\r\n\v\f";
    text += strspn(text, SPACE);
    size_t length = strlen(text);
    account[0] = '\0';
    while (length > 0 && strchr(SPACE, text[length - 1]) != NULL) {
        length--;
    }
    if (length == 0 || length >= BOOKING_ACCOUNT_SIZE) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c == 0x7f) {
            account[0] = '\0';
            return false;
        }
        account[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : (char)c;
    }
    account[length] = '\0';
    return true;
}
