/*
 * API v1: the generation that the guide "Allowing bookings that meet a custom internal criteria"
 * was written for. auth       ?apiKey=…; none: 401 {"message":"No apiKey provided"}; wrong: 401
 * {"error":"Your API key is not valid."} GET        /bookings/{id}, /bookings?take&page (page from
 * 1; both or everything), /me PATCH      /bookings/{id}: edits the row and nothing else: no mail,
 * no calendar, no webhook, no check of the state DELETE
 * /bookings/{id}/cancel?cancellationReason&cancelledBy (and /bookings/{id}): a real cancellation
 *   errors     {"message","url","method","data"}; a booking that does not exist is 403, as one of
 * somebody else is 429        {"message":"Rate limit exceeded"},
 * X-RateLimit-Limit/-Remaining/-Reset, no Retry-After
 */
#ifndef FAKE_CALCOM_API_V1_H
#define FAKE_CALCOM_API_V1_H

#include "api.h"

extern const struct dialect api_v1_dialect;

#endif
