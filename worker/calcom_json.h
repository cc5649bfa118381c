/*
 * Reads bookings as Cal.com's API writes them: rows of a list as the events that webhooks would
 * have told, and what became of one booking. Pure.
 */
#ifndef TOLLGATE_CALCOM_JSON_H
#define TOLLGATE_CALCOM_JSON_H

#include "worker/calcom.h"

struct calcom_dialect;
struct json_object;

/*
 * Hands each row of the array to `row`, each seat as a row of its own. A row that is no booking, or
 * lacks what a webhook's request needs, is left out. account_field: TOLLGATE_ACCOUNT_FIELD.
 */
void calcom_read_rows(const struct calcom_dialect *dialect, const char *account_field,
                      struct json_object *rows, calcom_row_cb *row, void *arg);

/* Fills in who cancelled the booking, what replaced it and when it was changed. */
void calcom_read_fate(const struct calcom_dialect *dialect, struct json_object *booking,
                      struct calcom_answer *answer);

#endif
