/*
 * API v2 with `cal-api-version: 2024-08-13` (2026-02-25 and 2026-05-01 are served alike).
 *   version    none, or an older one: another controller, which has no confirm and no decline
 * (404), and shows bookings in another shape auth       Authorization: Bearer …; wrong: 401
 * "CustomThrottlerGuard - Invalid API Key". GET one and cancel work without a key as well: whoever
 * has the uid may read and cancel GET        /bookings/{uid},
 * /bookings?status&take&skip&eventTypeId&attendeeEmail&afterCreatedAt&sortCreated, /me POST
 * /bookings/{uid}/confirm, /decline {"reason"}, /cancel {"cancellationReason"}: all answer 200 400
 * "Booking already confirmed", for decline too; cancel of a cancelled one; cancel by the host
 * without a reason. There is no guard for rejected and cancelled bookings in confirm and decline
 *   errors     {"status":"error","timestamp","path","error":{"code","message"}}
 *   429        "CustomThrottlerGuard - Too many requests. …", X-RateLimit-*-Default in seconds, no
 * Retry-After
 */
#ifndef FAKE_CALCOM_API_V2_H
#define FAKE_CALCOM_API_V2_H

#include "api.h"

extern const struct dialect api_v2_dialect;

#endif
