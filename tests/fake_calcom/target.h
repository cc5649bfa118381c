/*
 * One webhook URL and the connections to it. A post is sent once and never again; connections are
 * kept alive and used again. At most TARGET_IN_FLIGHT posts wait for an answer at a time, more wait
 * for their turn.
 */
#ifndef FAKE_CALCOM_TARGET_H
#define FAKE_CALCOM_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TARGET_IN_FLIGHT 512
#define TARGET_TIMEOUT_S 30 /* from sending to the end of the answer */

struct event_base;
struct target;

/* NULL if `url` is not http://host[:port][/path]. */
struct target *target_new(struct event_base *base, const char *url)
    __attribute__((warn_unused_result));
void target_free(struct target *target); /* no post may be in flight: target_mute first */

const char *target_url(const struct target *target);

struct post_result {
    int status;      /* 0: refused, reset, timed out, muted */
    double ms;       /* from sending to the answer */
    int64_t sent_ms; /* wall clock */
};

/*
 * Sends `body` (copied) with Cal.com's headers. `done` runs exactly once; before this returns only
 * if the target is muted.
 */
void target_post(struct target *target, const char *body, size_t length, const char *signature,
                 void (*done)(const struct post_result *result, void *arg), void *arg);

/* Muting ends every post at once with status 0, also those still to come, until it is undone. */
void target_mute(struct target *target, bool mute);

#endif
