#include "tests/unit/webhook_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static const char *const RESULTS[] = { "event", "ping", "ignored", "malformed" };

static struct webhook_parser *parser;

void
bench_use_account_field(const char *path)
{
    webhook_parser_free(parser);
    parser = webhook_parser_new(path);
    assert_non_null(parser);
}

int
bench_set_up(void **state)
{
    (void)state;
    bench_use_account_field("");
    return 0;
}

int
bench_tear_down(void **state)
{
    (void)state;
    webhook_parser_free(parser);
    parser = NULL;
    return 0;
}

char *
bench_sample(const char *name)
{
    char path[128];
    size_t size;
    (void)snprintf(path, sizeof path, "tests/samples/%s", name);
    return unit_read_file(path, &size);
}

void
bench_parse(const char *what, const char *body, enum webhook_result wanted, struct webhook *webhook)
{
    memset(webhook, 0x5a, sizeof *webhook);
    enum webhook_result result = webhook_parse(parser, body, strlen(body), webhook);
    check(result == wanted, "%s: %s and not %s (%s)", what, RESULTS[result], RESULTS[wanted],
          result == WEBHOOK_MALFORMED ? webhook->reason : "");
    check(result != WEBHOOK_MALFORMED || webhook->reason != NULL, "%s: no reason", what);
}

void
bench_parse_edited(const char *sample, const char *part, const char *replacement,
                   enum webhook_result wanted, struct webhook *webhook)
{
    char *body = bench_sample(sample);
    char *edited = unit_replace(body, part, replacement);
    bench_parse(replacement, edited, wanted, webhook);
    free(edited);
    free(body);
}
