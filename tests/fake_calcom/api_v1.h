/*
 * API v1: the generation that the guide "Allowing bookings that meet a custom internal criteria"
 * was written for.
 *
 * - The key is ?apiKey=…; none is 401 {"message":"No apiKey provided"}, a wrong one is 401
 *   {"error":"Your API key is not valid."}.
 * - GET /bookings/{id}, /bookings?take&page (both or everything; pages count from 1), /me.
 * - PATCH /bookings/{id} edits the row and nothing else: no mail, no calendar, no webhook, and no
 *   look at the state.
 * - DELETE /bookings/{id}/cancel?cancellationReason&cancelledBy, also without /cancel, is a real
 *   cancellation.
 * - Errors are {"message","url","method","data"}. A booking that does not exist is 403, as one of
 *   somebody else is.
 * - 429 is {"message":"Rate limit exceeded"} with X-RateLimit-Limit, -Remaining and -Reset, and
 *   without Retry-After.
 */
#ifndef FAKE_CALCOM_API_V1_H
#define FAKE_CALCOM_API_V1_H

#include "api.h"

extern const struct dialect api_v1_dialect;

#endif
