#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"

static const char help[] =
    "fake-calcom: a fake of Cal.com (API v1, API v2 and the sender of its webhooks). A part of the "
    "tests: it\n"
    "keeps everything in memory, guards nothing and must never be reachable from outside.\n"
    "\n"
    "usage: fake-calcom [options]\n"
    "  --listen HOST:PORT   where to listen, port 0 for any free one (default 127.0.0.1:0)\n"
    "  --webhook-url URL    where webhooks go, http only; given twice, every event goes to both; "
    "not given: nowhere\n"
    "  --secret SECRET      signs webhooks; \"\" (the default) sends the literal "
    "`no-secret-provided`\n"
    "  --api-key KEY        what API calls must show (default cal_test)\n"
    "  --event-type ID:MODE[:PRICE][:seats=N]\n"
    "                       MODE is requires-confirmation or auto, PRICE is in cents, N people "
    "share a "
    "slot; may be\n"
    "                       given several times;\n"
    "                       an event type that is not declared requires confirmation and is free\n"
    "  --seat-approval WHICH\n"
    "                       legacy (default): seats are approved with their booking; cloud: one by "
    "one\n"
    "  --help               this\n"
    "\n"
    "When ready it prints one line: `fake-calcom: listening on http://HOST:PORT`. The API is at "
    "/v1 and /v2 below\n"
    "that, the control endpoints at /control: tests/fake_calcom/README.md lists them.\n"
    "SIGTERM and SIGINT end it.\n";

/* "127.0.0.1:8080", "[::1]:0" */
static bool
read_listen(struct options *options, const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end;

    if (colon == NULL || colon == text)
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || end == colon + 1 || port > UINT16_MAX)
        return false;

    bool bracketed = *text == '[' && colon[-1] == ']';
    size_t length = (size_t)(colon - text) - (bracketed ? 2 : 0);
    free(options->host);
    options->host = xneed(strndup(text + (bracketed ? 1 : 0), length));
    options->port = (uint16_t)port;
    return true;
}

static bool
add_webhook(struct options *options, const char *url)
{
    if (options->webhook_count == WEBHOOK_OPTIONS_MAX)
        return false;
    options->webhook_urls[options->webhook_count++] = url;
    return true;
}

/* False: `value` is no good for option `letter`. */
static bool
read_option(struct options *options, int letter, const char *value)
{
    switch (letter) {
    case 'l':
        return read_listen(options, value);
    case 'w':
        return add_webhook(options, value);
    case 's':
        options->secret = value;
        return true;
    case 'k':
        options->api_key = value;
        return true;
    case 'e':
        return event_types_add(&options->event_types, value);
    case 'a':
        return seat_approval_parse(value, &options->seat_approval);
    default:
        return false;
    }
}

enum options_result
options_read(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        { "listen", required_argument, NULL, 'l' },
        { "webhook-url", required_argument, NULL, 'w' },
        { "secret", required_argument, NULL, 's' },
        { "api-key", required_argument, NULL, 'k' },
        { "event-type", required_argument, NULL, 'e' },
        { "seat-approval", required_argument, NULL, 'a' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int letter, index = 0;

    *options =
        (struct options){ .host = xstrdup("127.0.0.1"), .secret = "", .api_key = "cal_test" };
    while ((letter = getopt_long(argc, argv, "", known, &index)) != -1) {
        if (letter == 'h') {
            (void)fputs(help, stdout);
            return OPTIONS_HELP;
        }
        if (letter == '?')
            return OPTIONS_WRONG;
        if (!read_option(options, letter, optarg)) {
            log_line("--%s cannot be '%s'", known[index].name, optarg);
            return OPTIONS_WRONG;
        }
    }
    if (optind < argc) {
        log_line("'%s' is not an option, see --help", argv[optind]);
        return OPTIONS_WRONG;
    }
    return OPTIONS_RUN;
}

void
options_release(struct options *options)
{
    free(options->host);
    event_types_release(&options->event_types);
}
