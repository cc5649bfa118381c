/*
 * The body of PATCH /v1/bookings/{id}. It is strict: title, description, startTime, endTime,
 * status, userId, eventTypeId, rescheduledBy, cancelledBy, createdAt, and nothing else; `start` and
 * `end`, which the documentation names, are refused.
 */
#ifndef FAKE_CALCOM_API_V1_PATCH_H
#define FAKE_CALCOM_API_V1_PATCH_H

#include <json-c/json.h>

#include "bookings.h"

/*
 * NULL if `body` (an object) may be applied, else the message of the 400, the caller's to free().
 */
char *api_v1_patch_check(json_object *body) __attribute__((warn_unused_result));

/* Writes a checked body into the row. No mail, no calendar, no webhook, whatever the status was. */
void api_v1_patch_apply(struct booking *booking, json_object *body);

#endif
