/*
 * The control endpoints: how a test plays the people around Cal.com, orders faults and reads what
 * happened. They need no key; the listen address is what keeps strangers out. README.md lists them.
 */
#ifndef FAKE_CALCOM_CONTROL_H
#define FAKE_CALCOM_CONTROL_H

#include <event2/http.h>
#include <stdbool.h>

#include "world.h"

/*
 * Takes over a request whose path begins with /control/. False: it does not, and nothing happened.
 */
bool control_serve(struct world *world, struct evhttp_request *request)
    __attribute__((warn_unused_result));

#endif
