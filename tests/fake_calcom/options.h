/* The command line. */
#ifndef FAKE_CALCOM_OPTIONS_H
#define FAKE_CALCOM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event_type.h"
#include "seats.h"

#define WEBHOOK_OPTIONS_MAX 16

struct options {
    char *host;    /* owned */
    uint16_t port; /* 0: any free one */
    const char *webhook_urls[WEBHOOK_OPTIONS_MAX];
    size_t webhook_count;
    const char *secret;
    const char *api_key;
    enum seat_approval seat_approval;
    struct event_types event_types;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP,  /* help was printed to stdout: exit 0 */
    OPTIONS_WRONG, /* what is wrong was printed to stderr: exit 2 */
};

/* The texts in `options` belong to argv. Release it in every case. */
enum options_result options_read(struct options *options, int argc, char **argv);
void options_release(struct options *options);

#endif
