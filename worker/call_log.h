/*
 * The log of a take's calls to Cal.com that the booking keeps, one line each; see `calls` in
 * common/redis/booking.lua. Pure.
 */
#ifndef TOLLGATE_CALL_LOG_H
#define TOLLGATE_CALL_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "worker/plan.h"

struct calcom_answer;

/* Adds a call that was answered; nothing when the log is full. */
void call_log_add(char *log, size_t size, enum calcom_call call, int64_t began_wall_ms,
                  int64_t took_ms, const struct calcom_answer *answer);

#endif
