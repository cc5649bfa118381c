/* Whether a request that changes something comes from the console's own pages. Pure. */
#ifndef TOLLGATE_ORIGIN_H
#define TOLLGATE_ORIGIN_H

#include <stdbool.h>

/* Headers of a request; NULL: it has none of this name. */
struct origin_headers {
    const char *fetch_site;     /* Sec-Fetch-Site */
    const char *origin;         /* Origin */
    const char *host;           /* Host */
    const char *forwarded_host; /* X-Forwarded-Host: what the browser asked a reverse proxy for */
};

/*
 * Browsers tell by Sec-Fetch-Site, to addresses that they trust (https, localhost); else the host
 * of Origin must be the one that was asked for. With neither it is no browser's form, and is
 * refused: programs have the scripts.
 */
bool origin_is_own(const struct origin_headers *headers);

#endif
