/*
 * A booking as API v2 (2024-08-13) shows it: lower-case status, `start` and `end`,
 * `bookingFieldsResponses`.
 */
#ifndef FAKE_CALCOM_API_V2_DATA_H
#define FAKE_CALCOM_API_V2_DATA_H

#include <json-c/json.h>

#include "bookings.h"

json_object *api_v2_data(const struct booking *booking); /* the caller's to put */

#endif
