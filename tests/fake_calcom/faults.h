/*
 * Faults on order: rules that say which API calls go wrong, how, and how often. The first rule that
 * matches a call is used; a rule that is used up disappears.
 */
#ifndef FAKE_CALCOM_FAULTS_H
#define FAKE_CALCOM_FAULTS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "calls.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_STATUS,   /* answers with a status of our choice */
    FAULT_HANG,     /* never answers */
    FAULT_RESET,    /* ends the connection with RST */
    FAULT_LATENCY,  /* waits, then all goes well */
    FAULT_THROTTLE, /* 429 as the dialect says it */
};

struct fault {
    enum fault_kind kind;
    const char *name; /* as in the request; NULL if there is none */
    bool after;       /* status, hang, reset: the call is carried out first, webhooks included */
    bool between; /* latency: wait between the check and the change of the row, not before both */
    int status;
    int ms;
    int reset_s;          /* throttle: seconds until calls are welcome again */
    int retry_after_s;    /* throttle: Retry-After; -1: no such header, as in the real one */
    json_object *body;    /* status: what to answer; NULL: the dialect's own error body */
    json_object *headers; /* status, throttle: further headers; NULL: none */
};

void fault_release(struct fault *fault);

struct faults;

struct faults *faults_new(void);
void faults_free(struct faults *faults);
void faults_clear(struct faults *faults);

/* A rule as POST /control/fault states it. NULL: added; else what is wrong with it, a constant. */
const char *faults_add(struct faults *faults, json_object *request)
    __attribute__((warn_unused_result));

/*
 * What shall go wrong with this call, FAULT_NONE mostly. The caller releases it. `booking` 0: none,
 * or unknown.
 */
struct fault faults_take(struct faults *faults, enum action action, int64_t booking);

/* The rules that are left: [{"action","booking","times","kind"}]. The caller's to put. */
json_object *faults_list(const struct faults *faults);

#endif
