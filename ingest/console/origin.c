#include "ingest/console/origin.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Whether an origin (scheme://host[:port]) is of this host[:port]. */
static bool
is_of(const char *origin, const char *host)
{
    const char *at = strstr(origin, "://");
    return host != NULL && *host != '\0' && at != NULL && strcasecmp(at + 3, host) == 0;
}

bool
origin_is_own(const struct origin_headers *headers)
{
    if (headers->fetch_site != NULL) {
        return strcmp(headers->fetch_site, "same-origin") == 0;
    }
    return headers->origin != NULL && (is_of(headers->origin, headers->host) ||
                                       is_of(headers->origin, headers->forwarded_host));
}
