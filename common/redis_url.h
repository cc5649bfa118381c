/* A REDIS_URL taken apart. Pure. */
#ifndef TOLLGATE_REDIS_URL_H
#define TOLLGATE_REDIS_URL_H

#include <stdbool.h>

struct redis_url {
    char host[256];
    int port;
    char path[108]; /* unix socket; "" for TCP. 108: sun_path's size on Linux */
    char user[128];
    char password[512];
    int database;
    bool tls;
};

/*
 * Reads redis://, rediss:// and unix:// URLs: [user[:password]@]host[:port][/db],
 * unix:///path[?db=n]; user and password percent-decoded. Redis's own convention
 * `redis://:password@host` has no user. NULL when it is well formed, else what is wrong (a constant
 * text that names REDIS_URL).
 */
const char *redis_url_parse(const char *text, struct redis_url *url);

#endif
