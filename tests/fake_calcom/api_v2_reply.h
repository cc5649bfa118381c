/* What the files api_v2*.c share. */
#ifndef FAKE_CALCOM_API_V2_REPLY_H
#define FAKE_CALCOM_API_V2_REPLY_H

#include "api.h"

/* Answers with the error body of API v2; `call` is gone. */
void v2_fail(struct call *call, int status, const char *code, const char *message);

/* {"status":"success","data":data}; `data` is taken over. */
json_object *v2_success(json_object *data);

/* False: the path names no booking, and `call` is gone. */
bool v2_booking_exists(struct call *call) __attribute__((warn_unused_result));

/* The body, an object or NULL for none. False: it is no good, and `call` is gone. */
bool v2_read_body(struct call *call, json_object **body) __attribute__((warn_unused_result));

#endif
