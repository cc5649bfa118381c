/*
 * API v2 with `cal-api-version: 2024-08-13`; 2026-02-25 and 2026-05-01 are served alike.
 *
 * - Without that header, or with an older version, another controller serves: it has no confirm and
 *   no decline (404) and shows bookings in another shape.
 * - The key is `Authorization: Bearer …`; a wrong one is 401 "CustomThrottlerGuard - Invalid API
 *   Key". GET of one booking and cancel work without a key: whoever has the uid may do that.
 * - GET /bookings/{uid}, /me, and /bookings with status, take, skip, eventTypeId, attendeeEmail,
 *   afterCreatedAt, sortCreated.
 * - POST /bookings/{uid}/confirm, /decline {"reason"}, /cancel {"cancellationReason"}; of one seat:
 *   /cancel {"seatUid"} and, see api_v2_seats.h, /seats/confirm and /seats/decline.
 * - Of a series, confirm and decline act on every PENDING occurrence and answer an array; so does
 *   GET with the series's own uid.
 * - 400 "Booking already confirmed" for confirm and decline; 400 for the cancel of a cancelled
 *   booking, and for a cancel by the host without a reason. Confirm and decline do not mind that a
 *   booking was rejected or cancelled.
 * - Errors are {"status":"error","timestamp","path","error":{"code","message"}}.
 * - 429 says "CustomThrottlerGuard - Too many requests. Please try again later." with
 *   X-RateLimit-Limit-Default, -Remaining-Default and -Reset-Default (seconds), and without
 *   Retry-After.
 */
#ifndef FAKE_CALCOM_API_V2_H
#define FAKE_CALCOM_API_V2_H

#include "api.h"

extern const struct dialect api_v2_dialect;

#endif
