#include "ingest/console/embedded.h"

#include <stddef.h>
#include <string.h>

const char *
embedded_template(const char *name)
{
    size_t length = strlen(name);
    for (const struct asset *asset = console_templates; asset->name != NULL; asset++) {
        if (strncmp(asset->name, name, length) == 0 && strcmp(asset->name + length, ".html") == 0) {
            return asset->text;
        }
    }
    return NULL;
}

const char *
embedded_file(const char *name)
{
    for (const struct asset *asset = console_assets; asset->name != NULL; asset++) {
        if (strcmp(asset->name, name) == 0) {
            return asset->text;
        }
    }
    return NULL;
}
