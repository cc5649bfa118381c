/* What API v2 does with single seats of a booking. */
#ifndef FAKE_CALCOM_API_V2_SEATS_H
#define FAKE_CALCOM_API_V2_SEATS_H

#include "api.h"

/*
 * POST /bookings/{uid}/seats/confirm and /seats/decline {"seatUids":[…],"reason"}: only where seats
 * are approved one by one. 200 with data.confirmedSeatUids or data.declinedSeatUids: those that
 * this call changed. What was confirmed (declined) already, or has left the slot, is left out.
 */
void v2_seats_confirm(struct call *call);
void v2_seats_decline(struct call *call);

/* POST /bookings/{uid}/cancel {"seatUid"}: frees the seat. `step` is the cancel's. */
void v2_seat_cancel(struct call *call, struct step step, const char *uid);

#endif
