/*
 * Everything there is, wired together by main.c. Only those who answer requests (api, control) see
 * it whole; the parts do not know each other through it.
 */
#ifndef FAKE_CALCOM_WORLD_H
#define FAKE_CALCOM_WORLD_H

#include "event_type.h"
#include "lifecycle.h"
#include "throttle.h"

struct world {
    struct event_base *base;
    struct delays *delays;
    struct store *store;
    struct webhooks *webhooks;
    struct lifecycle lifecycle;
    struct calls *calls;
    struct faults *faults;
    struct api *api;
    struct throttle throttle; /* of the one API key */
    struct event_types event_types;
    const char *api_key;
    int latency_ms; /* of every API call */
};

/*
 * Lets everything that waits go on at once, with webhooks muted, until nothing is under way:
 * hanging calls are cut, delayed ones are carried out and answered. Whatever is freed after this is
 * held by nobody.
 */
void world_settle(struct world *world);

#endif
