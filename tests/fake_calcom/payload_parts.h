/*
 * The pieces that the shapes of payload.c are put together from. "new" is how the code behind the
 * booking page writes them, "later" how everything after it does: other members, in another order.
 * Each json_object that is returned is the caller's; each put adds one member to `p`.
 */
#ifndef FAKE_CALCOM_PAYLOAD_PARTS_H
#define FAKE_CALCOM_PAYLOAD_PARTS_H

#include <json-c/json.h>

#include "seats.h"

#define PART_BOOKER_URL "https://cal.example.com"
#define PART_LOCATION   "integrations:daily"

json_object *part_responses_new(const struct booker *who);
json_object *part_responses_later(const struct booker *who);
json_object *part_organizer_new(void);
json_object *part_organizer_later(void);
/*
 * The booker and his guests, or everybody in the slot, the first holder first; `later`, if `seat`
 * is not NULL, only him.
 */
json_object *part_attendees_new(const struct booking *b);
json_object *part_attendees_later(const struct booking *b, const struct seat *seat);
json_object *part_locale(const char *locale);

json_object *part_video_call(const struct booking *b);
json_object *part_apps_status(void);
json_object *part_conference(void);
json_object *part_calendar(void);

void part_put_slug(json_object *p, const struct booking *b);
void part_put_seats(json_object *p, const struct booking *b);      /* seatsPerTimeSlot */
void part_put_recurrence(json_object *p, const struct booking *b); /* recurringEvent, if it is */
void part_put_event_title(json_object *p, const struct booking *b);
void part_put_ical_uid(json_object *p, const struct booking *b);
void part_put_video_url(json_object *metadata, const struct booking *b);

#endif
