/*
 * What settle.c (a booking's calls to Cal.com) and settle_steps.c (what Redis is told of it) share.
 * For these files only.
 */
#ifndef TOLLGATE_SETTLE_INTERNAL_H
#define TOLLGATE_SETTLE_INTERNAL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/booking.h"
#include "worker/calcom.h"
#include "worker/plan.h"
#include "worker/settle.h"
#include "worker/trace.h"

#define TOKEN_SIZE  80
#define REASON_SIZE 512

#define CALLS_SIZE 4096 /* of a take; a longer log keeps its beginning */

/* How a booking is put down. */
enum ending { END_SETTLE, END_REFUSE, END_RETRY, END_JOIN, END_GIVE_BACK };

/* What Redis is told, and told again until it answers. */
enum asking { ASK_BEGIN, ASK_END };

struct job {
    LIST_ENTRY(job) next;
    struct settler *settler;
    char id[BOOKING_ID_SIZE];
    char uid[BOOKING_UID_SIZE];
    char token[TOKEN_SIZE];
    char account[BOOKING_ACCOUNT_SIZE];
    char reason[REASON_SIZE];
    char seat[BOOKING_UID_SIZE];
    struct trace trace;
    enum booking_goal goal;
    int64_t cost;
    unsigned attempts;
    bool guide, series, alone, paid;
    enum calcom_call call; /* the one in flight */
    enum asking asking;
    unsigned held, late; /* how often a call was held for a moment, or was not sent in time */
    int64_t call_since_us, call_since_wall_ms, call_since_boot_ms;
    int64_t reserved_boot_ms; /* when Redis was asked for the call in `call` */
    int64_t retry_after_ms;   /* of the answer that is being judged */
    int64_t taken_boot_ms;
    int64_t act_by_boot_ms; /* what is known of the booking is good enough for an act until then */
    bool acted;             /* asked Cal.com for something in this take: no second time */
    bool by_seat_route;     /* of its seat alone */
    bool unanswered;        /* and do not know whether it was done */
    bool unfinished;        /* and it may still be at it; a connection that broke ended its call */
    int64_t busy_until_mono_ms; /* a call of an earlier take may still run until then */
    enum ending ending;
    enum booking_status outcome; /* END_SETTLE */
    char *members;               /* END_SETTLE, see store_settle */
    bool burn;                   /* END_RETRY: counts as an attempt */
    int64_t delay_ms;            /* END_RETRY */
    int64_t changed_wall_ms;     /* and these three: what Cal.com told with how it stands */
    char cancelled_by[BOOKING_ACCOUNT_SIZE], rescheduled_to[BOOKING_UID_SIZE];
    char joined[BOOKING_ID_SIZE]; /* END_JOIN */
    char detail[CALCOM_DETAIL_SIZE];
    char calls[CALLS_SIZE]; /* the log of this take's calls, see booking.lua */
    struct event *resend_timer;
    bool waits;               /* for its turn to call */
    TAILQ_ENTRY(job) in_turn; /* of settler->turn */
};

LIST_HEAD(job_list, job);
TAILQ_HEAD(job_turn, job);

struct settler {
    struct settler_parts parts;
    struct settler_handlers handlers;
    void *arg;
    struct job_list jobs;
    size_t count;
    size_t calls;         /* in flight */
    struct job_turn turn; /* have to call, but as many as may are at it */
    bool closing;         /* answers that still come find nobody */
};

#define RESEND_MS 500 /* a step that Redis did not answer */

/* ---- settle.c ---- */

/* The next call, once Redis agreed to it. */
void job_call(struct job *job, enum calcom_call call);

/* Redis agreed to the call in `call`. */
void job_go(struct job *job);

/* ---- settle_steps.c ---- */

/* It waits for its turn to call no more, if it did. */
void job_leave_turn(struct job *job);

/* Each of these ends what may be done with the job, for a later callback. */

/* Forgets it; it stays in this worker's list in Redis. */
void job_free(struct job *job);

/* The call in `call` goes out when Redis agrees. */
void job_begin(struct job *job);

/* Asks Redis the same again in delay_ms. */
void job_resend_in(struct job *job, int64_t delay_ms);

/* See store_settle. */
void job_settle(struct job *job, enum booking_status outcome, const char *members);

/* It waits for the others of its series; "": it is in none, and decided at once. */
void job_join(struct job *job, const char *series);

/* For the reason in `detail`. */
void job_refuse(struct job *job);

/* Undone, the next to be taken. */
void job_give_back(struct job *job);

/* For the reason in `detail`. burn: counts as an attempt. Redis makes it later where a call may
 * still run. */
void job_retry(struct job *job, int64_t delay_ms, bool burn);

/* `arg` is a job. */
void settler_on_resend(evutil_socket_t fd, short what, void *arg);

#endif
