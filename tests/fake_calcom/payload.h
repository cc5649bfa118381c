/*
 * The bodies of webhooks, member by member in the order in which Cal.com writes them. There are
 * three shapes for the same booking, because three places in Cal.com's code make them, each with
 * its own spelling of times:
 * - new (requested, auto-accepted, payment initiated, rescheduled): 2026-03-12T14:00:00Z
 * - handled (confirmed, rejected, paid): 2026-03-12T14:00:00.000Z
 * - cancelled: 2026-03-12T14:00:00+00:00
 *
 * Pure but for the time and the one-time password that go into them.
 */
#ifndef FAKE_CALCOM_PAYLOAD_H
#define FAKE_CALCOM_PAYLOAD_H

#include <json-c/json.h>
#include <stdbool.h>

#include "seats.h"

enum trigger {
    TRIGGER_REQUESTED,
    TRIGGER_CREATED,
    TRIGGER_REJECTED,
    TRIGGER_CANCELLED,
    TRIGGER_RESCHEDULED,
    TRIGGER_PAYMENT_INITIATED,
    TRIGGER_PAID,
    TRIGGER_PING,
};

const char *trigger_name(enum trigger trigger); /* "BOOKING_REQUESTED" */
bool trigger_parse(const char *name, enum trigger *trigger) __attribute__((warn_unused_result));

struct occasion {
    enum trigger trigger;
    const struct booking *booking; /* NULL for PING only */
    /*
     * Whom of those in the slot it is about; NULL: all of them. While he is booking, his seat is
     * named and everybody in the slot is listed; later only he is.
     */
    const struct seat *seat;
    /*
     * BOOKING_CANCELLED only: it is sent before the row says CANCELLED, so why and by whom is not
     * in the row yet. NULL: take it from the row.
     */
    const char *reason;
    const char *by;
};

/* {"triggerEvent":…,"createdAt":…,"payload":{…}}; the caller's to put. */
json_object *payload_build(const struct occasion *occasion);

#endif
