#include "worker/call_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "worker/calcom.h"

void
call_log_add(char *log, size_t size, enum calcom_call call, int64_t began_wall_ms, int64_t took_ms,
             const struct calcom_answer *answer)
{
    char line[CALCOM_DETAIL_SIZE + 120];
    size_t used = strlen(log);
    int length = snprintf(line, sizeof line, "%s%" PRId64 " %" PRId64 " %s %d %s %s",
                          used > 0 ? "\n" : "", began_wall_ms, took_ms, calcom_call_name(call),
                          answer->http_status, calcom_class_name(answer->kind), answer->detail);
    if (length <= 0 || used + (size_t)length >= size) {
        return;
    }
    for (char *c = line + (used > 0); *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\r' ? ' ' : *c;
    }
    memcpy(log + used, line, (size_t)length + 1);
}
