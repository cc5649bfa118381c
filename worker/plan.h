/*
 * The table of what to do at Cal.com: pure, one row per line of the design's table.
 *
 *   goal      Cal.com says              then
 *   accept    pending                   confirm
 *   accept    anything else             settle with what it says
 *   reject    pending                   decline with the reason
 *   reject    accepted                  cancel with the reason in the guide's flow, where Cal.com
 *                                       accepts before anybody decides; else the host overrode us
 *   reject    cancelled, rejected, gone settle
 *             pending, and others that wait at Cal.com are not to be declined with it: cancel
 *   withdraw  accepted                  cancel: our confirm won the race against a cancel
 *   withdraw  pending                   settle as cancelled: Cal.com sends BOOKING_CANCELLED before
 *                                       it changes the row
 *   withdraw  anything else             settle
 *   look      anything                  settle
 *   identify  pending, accepted         (the caller joins the series)
 *
 *   a seat that was not answered yet:
 *   accept    accepted                  confirm, but in the guide's flow settle
 *   reject    accepted                  decline, but in the guide's flow cancel
 */
#ifndef TOLLGATE_PLAN_H
#define TOLLGATE_PLAN_H

#include <stdbool.h>

#include "common/booking.h"

/* The last two are about no booking: whom the key belongs to, and which bookings there are. */
enum calcom_call {
    CALCOM_LOOK,
    CALCOM_CONFIRM,
    CALCOM_DECLINE,
    CALCOM_CANCEL,
    CALCOM_ME,
    CALCOM_LIST
};

const char *calcom_call_name(enum calcom_call call);

struct plan {
    bool settle;
    enum calcom_call call;       /* when not settle: the one act to do */
    enum booking_status outcome; /* when settle; STATUS_PENDING only for what is looked at */
};

/*
 * What to do next, given how Cal.com says the booking stands. guide: the guide's flow. seat: it is
 * one seat of the booking, of which the booking's status does not tell how it stands, and it was
 * not answered yet; a seat's confirm may be repeated (Cal.com v2: already confirmed ones are
 * omitted). alone: a decline would be given to other bookings of its series as well, to which a
 * cancel is not.
 */
struct plan plan_next(enum booking_goal goal, enum booking_status status, bool guide, bool seat,
                      bool alone);

/*
 * The first call for a booking just taken. fresh: nothing can have changed since its event, so it
 * may be acted on unseen. confirm_is_harmless: this dialect's confirm of an accepted booking is
 * answered with success and does nothing (v1); otherwise the guide's flow looks first. alone: see
 * plan_next.
 */
enum calcom_call plan_first(enum booking_goal goal, bool fresh, bool guide, bool alone,
                            bool confirm_is_harmless);

#endif
