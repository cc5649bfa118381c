#include "worker/calcom_json.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "common/config.h"
#include "common/timestamp.h"
#include "worker/calcom_dialect.h"

#define ANSWERS_BYTES 8192 /* as of a webhook's */

/* What reading a row needs at hand. */
struct reader {
    const struct calcom_dialect *dialect;
    const char *account_field;
    struct json_object *rows;
    calcom_row_cb *row;
    void *arg;
};

static size_t
length_of(struct json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static int64_t
read_time_ms(struct json_object *object, const char *name)
{
    const char *text = calcom_text(object, name);
    int64_t wall_ms = 0;
    return text != NULL && timestamp_parse(text, &wall_ms) ? wall_ms : 0;
}

/* A positive number as decimal text; false when there is none. */
static bool
copy_number(struct json_object *value, char *out, size_t size)
{
    if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) <= 0) {
        return false;
    }
    (void)snprintf(out, size, "%" PRId64, json_object_get_int64(value));
    return true;
}

/* A text that fits and is one word; "" for any other. */
static void
copy_word(const char *text, char *out, size_t size)
{
    bool fits = text != NULL && strlen(text) < size && strpbrk(text, " \t\r\n") == NULL;
    (void)snprintf(out, size, "%s", fits ? text : "");
}

static void
copy_account(const char *text, char account[BOOKING_ACCOUNT_SIZE])
{
    if (text == NULL || !booking_normalise_account(text, account)) {
        account[0] = '\0';
    }
}

/* ---- The account ---- */

/* Where a word of the path ends. */
static struct json_object *
enter(struct json_object *object, const char **path)
{
    char word[CONFIG_PATH_SIZE];
    size_t length = strcspn(*path, ".");
    (void)snprintf(word, sizeof word, "%.*s", (int)length, *path);
    *path += length + ((*path)[length] == '.');
    return calcom_member(object, word);
}

/* What a webhook has as responses.x.value, the API has as x among the answers; the metadata are the
 * same in both. False for any other path. */
static bool
find_account(const char *path, struct json_object *answers, struct json_object *metadata,
             struct json_object **found)
{
    struct json_object *value;
    if (strncmp(path, "responses.", 10) == 0) {
        value = answers;
        path += 10;
    } else if (strncmp(path, "metadata.", 9) == 0) {
        value = metadata;
        path += 9;
    } else {
        return false;
    }
    while (*path != '\0') {
        bool is_wrapper = strcmp(path, "value") == 0 && calcom_member(value, "value") == NULL;
        value = is_wrapper ? value : enter(value, &path);
        path += is_wrapper ? strlen(path) : 0;
    }
    *found = value;
    return true;
}

static void
read_account(const char *path, struct json_object *answers, struct json_object *metadata,
             struct calcom_row *row)
{
    struct json_object *value = NULL;
    char number[24];
    if (*path == '\0') {
        memcpy(row->event.account, row->event.email, sizeof row->event.account);
        return;
    }
    row->no_account = !find_account(path, answers, metadata, &value);
    if (json_object_is_type(value, json_type_int)) {
        (void)snprintf(number, sizeof number, "%" PRId64, json_object_get_int64(value));
        copy_account(number, row->event.account);
    } else if (json_object_is_type(value, json_type_string)) {
        copy_account(json_object_get_string(value), row->event.account);
    }
}

/* ---- A row ---- */

/* An object as JSON; "" when it is none or too large. */
static const char *
json_of(struct json_object *object)
{
    if (!json_object_is_type(object, json_type_object) || json_object_object_length(object) == 0) {
        return "";
    }
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE);
    return text != NULL && strlen(text) <= ANSWERS_BYTES ? text : "";
}

/* How many rows of this page are of the same series; at least two, for it is one of several. */
static int64_t
count_series(const struct reader *reader, const char *series)
{
    int64_t count = 0;
    for (size_t i = 0; i < length_of(reader->rows); i++) {
        const char *other =
            calcom_text(json_object_array_get_idx(reader->rows, i), reader->dialect->series_member);
        count += other != NULL && strcmp(other, series) == 0;
    }
    return count > 2 ? count : 2;
}

/* What all seats of a booking share. False when it is none that can be acted on. */
static bool
read_booking(const struct reader *reader, struct json_object *object, struct calcom_row *row)
{
    const struct calcom_row_names *names = &reader->dialect->row;
    struct booking_event *event = &row->event;
    const char *status = calcom_text(object, "status");
    const char *series = calcom_text(object, reader->dialect->series_member);
    event->kind = BOOKING_REQUESTED;
    event->requires_confirmation = true;
    event->created_wall_ms = read_time_ms(object, names->created);
    event->start_s = read_time_ms(object, names->start) / 1000;
    event->end_s = read_time_ms(object, names->end) / 1000;
    copy_word(calcom_text(object, "uid"), event->uid, sizeof event->uid);
    copy_word(calcom_text(object, names->reschedule_uid), event->reschedule_uid,
              sizeof event->reschedule_uid);
    event->occurrences = series != NULL ? count_series(reader, series) : 0;
    struct json_object *payments = calcom_member(object, "payment");
    for (size_t i = 0; i < length_of(payments); i++) {
        struct json_object *success =
            calcom_member(json_object_array_get_idx(payments, i), "success");
        row->unpaid = row->unpaid || !json_object_get_boolean(success);
        event->paid = true;
    }
    return copy_number(calcom_member(object, "id"), event->id, sizeof event->id) &&
           copy_number(calcom_member(object, names->event_type), event->event_type,
                       sizeof event->event_type) &&
           status != NULL && booking_status_parse(status, &row->status) && event->uid[0] != '\0' &&
           event->start_s != 0;
}

/* The booker, of a seat or of the booking. */
static void
hand_over(const struct reader *reader, struct json_object *holder, const char *email,
          struct calcom_row *row)
{
    struct json_object *answers = calcom_member(holder, reader->dialect->row.answers);
    struct json_object *metadata = calcom_member(holder, "metadata");
    const char *answered = calcom_text(answers, "email");
    copy_account(answered != NULL ? answered : email, row->event.email);
    read_account(reader->account_field, answers, metadata, row);
    row->event.answers = json_of(answers);
    row->event.metadata = json_of(metadata);
    row->event.attendees = "";
    if (row->event.email[0] != '\0') {
        reader->row(row, reader->arg);
    }
}

static void
read_seat(const struct reader *reader, const struct calcom_row *booking,
          struct json_object *attendee, const char *seat)
{
    struct calcom_row row = *booking;
    struct booking_event *event = &row.event;
    copy_word(seat, event->seat, sizeof event->seat);
    int length = snprintf(event->id, sizeof event->id, "%s:%s", booking->event.id, event->seat);
    event->seats = true;
    if (length > 0 && (size_t)length < sizeof event->id && booking_id_is_valid(event->id) &&
        event->seat[0] != '\0') {
        hand_over(reader, attendee, calcom_text(attendee, "email"), &row);
    }
}

static void
read_row(const struct reader *reader, struct json_object *object)
{
    struct calcom_row row = { 0 };
    if (!read_booking(reader, object, &row)) {
        return;
    }
    struct json_object *attendees = calcom_member(object, "attendees");
    bool has_seats = false;
    for (size_t i = 0; i < length_of(attendees); i++) {
        struct json_object *attendee = json_object_array_get_idx(attendees, i);
        const char *seat = calcom_text(attendee, "seatUid");
        if (seat != NULL) {
            has_seats = true;
            read_seat(reader, &row, attendee, seat);
        }
    }
    if (!has_seats) {
        struct json_object *first =
            length_of(attendees) > 0 ? json_object_array_get_idx(attendees, 0) : NULL;
        hand_over(reader, object, calcom_text(first, "email"), &row);
    }
}

void
calcom_read_rows(const struct calcom_dialect *dialect, const char *account_field,
                 struct json_object *rows, calcom_row_cb *row, void *arg)
{
    const struct reader reader = { dialect, account_field, rows, row, arg };
    for (size_t i = 0; i < length_of(rows); i++) {
        read_row(&reader, json_object_array_get_idx(rows, i));
    }
}

void
calcom_read_fate(const struct calcom_dialect *dialect, struct json_object *booking,
                 struct calcom_answer *answer)
{
    copy_account(calcom_text(booking, dialect->cancelled_by), answer->cancelled_by);
    copy_word(calcom_text(booking, dialect->rescheduled_to), answer->rescheduled_to,
              sizeof answer->rescheduled_to);
    answer->changed_wall_ms = read_time_ms(booking, dialect->changed);
}
