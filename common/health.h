/*
 * --health: whether the program that runs here with the same settings is ready, for Docker's
 * HEALTHCHECK and for scripts, in an image that has no HTTP client.
 */
#ifndef TOLLGATE_HEALTH_H
#define TOLLGATE_HEALTH_H

#include <stdbool.h>

#define HEALTH_TEXT_SIZE 200

/*
 * Asks /readyz at an admin address (see listen.h; 0.0.0.0 and [::] are asked at loopback) and waits
 * for at most 2 s. True when the answer is 200. `text` is one line, without its newline: what the
 * program said, or why it could not be asked.
 */
__attribute__((warn_unused_result)) bool health_ask(const char *address,
                                                    char text[HEALTH_TEXT_SIZE]);

#endif
