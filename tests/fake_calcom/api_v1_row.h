/*
 * A booking as API v1 shows it: upper-case status, flat `responses` (responses.email is a string).
 */
#ifndef FAKE_CALCOM_API_V1_ROW_H
#define FAKE_CALCOM_API_V1_ROW_H

#include <json-c/json.h>

#include "bookings.h"

json_object *api_v1_row(const struct booking *booking); /* the caller's to put */

#endif
