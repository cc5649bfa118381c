/*
 * tollgate-ingest: takes Cal.com's webhooks in. Wires threads, admin address and signals together.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/admin_http.h"
#include "common/listen.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/program.h"
#include "common/redis_link.h"
#include "common/wakeup.h"
#include "ingest/connections.h"
#include "ingest/console/console.h"
#include "ingest/drainer.h"
#include "ingest/http_server.h"
#include "ingest/ingest_metrics.h"
#include "ingest/secret_uses.h"
#include "ingest/spool.h"

#define SPARE_DESCRIPTORS 256 /* beside connections: Redis, epoll, logs, admin */

#define ADMIN_ADDRESS "127.0.0.1:9464"

#define CONSOLE_MAX_BODY_BYTES (1024 * 1024) /* a policy's text, a list of members */

struct ingest {
    struct config config;
    struct loop *loop;
    struct metrics *metrics;
    struct admin_http *admin;
    struct spool *spool;
    struct drainer *drainer;
    struct console *console;  /* NULL: TOLLGATE_CONSOLE=off */
    struct secret_uses *uses; /* of webhook secrets */
    struct http_server **servers;
    size_t server_count;
    atomic_size_t drained; /* servers that have */
    struct wakeup *drained_wakeup;
    bool failed; /* stopped because Redis is unsafe: exit status 1 */
};

static const char *
find_problem(const struct config *config)
{
    if (!listen_address_is_valid(config->listen)) {
        return "TOLLGATE_LISTEN must be an IP address and a port, as in 0.0.0.0:8080 or [::]:8080";
    }
    if (config->admin_listen[0] != '\0' && !listen_address_is_valid(config->admin_listen)) {
        return "TOLLGATE_ADMIN_LISTEN must be an IP address and a port, as in 127.0.0.1:9464";
    }
    return redis_url_problem(config->redis_url);
}

/* Runs on a server's thread. */
static void
ingest_on_drained(void *arg)
{
    struct ingest *ingest = arg;
    (void)atomic_fetch_add(&ingest->drained, 1);
    wakeup_ring(ingest->drained_wakeup);
}

static void
ingest_on_drained_wakeup(void *arg)
{
    struct ingest *ingest = arg;
    if (atomic_load(&ingest->drained) >= ingest->server_count) {
        loop_stop(ingest->loop);
    }
}

static void
ingest_on_checked(bool safe, void *arg)
{
    struct ingest *ingest = arg;
    if (!safe && ingest->config.strict && !loop_is_draining(ingest->loop)) {
        log_error("TOLLGATE_STRICT=yes: stopping because of how redis is set up");
        ingest->failed = true;
        loop_drain(ingest->loop);
    }
}

static void
ingest_on_drain(void *arg)
{
    struct ingest *ingest = arg;
    for (size_t i = 0; i < ingest->server_count; i++) {
        http_server_drain(ingest->servers[i]);
    }
}

static void
ingest_on_drain_over(void *arg)
{
    struct ingest *ingest = arg;
    /* Requests that are still open are cut off: Cal.com never saw a 2xx for them. */
    loop_stop(ingest->loop);
}

static void
ingest_on_reload(void *arg)
{
    struct ingest *ingest = arg;
    struct config fresh;
    char error[CONFIG_ERROR_SIZE];
    if (!config_load(&fresh, CONFIG_INGEST, error)) {
        log_error("the settings stay as they are", log_s("error", error));
        return;
    }
    for (size_t i = 0; i < ingest->server_count; i++) {
        http_server_set_secrets(ingest->servers[i], fresh.webhook_secret);
    }
    /* The console shows which are set. No thread reads it any more: each has a copy. */
    char *before = ingest->config.webhook_secret;
    ingest->config.webhook_secret = fresh.webhook_secret;
    fresh.webhook_secret = before;
    config_release(&fresh);
}

/* Whether webhooks go to Redis directly, on every thread. */
static bool
redis_takes_webhooks(const struct ingest *ingest)
{
    bool ready = drainer_is_ready(ingest->drainer) && spool_count(ingest->spool) == 0;
    for (size_t i = 0; i < ingest->server_count; i++) {
        ready = ready && http_server_is_ready(ingest->servers[i]);
    }
    return ready;
}

/* Whoever sends webhooks here must go on while they are safe. */
static const char *
ingest_why_not_ready(void *arg)
{
    struct ingest *ingest = arg;
    if (loop_is_draining(ingest->loop)) {
        return "draining\n";
    }
    if (!redis_takes_webhooks(ingest) && spool_trouble(ingest->spool) != NULL) {
        return "neither redis nor the spool takes webhooks\n";
    }
    return NULL;
}

static const char *
ingest_how_ready(void *arg)
{
    struct ingest *ingest = arg;
    if (!redis_takes_webhooks(ingest)) {
        return "ready, but redis is away or behind: webhooks go into the spool\n";
    }
    return spool_trouble(ingest->spool) != NULL
               ? "ready, but the spool would not take webhooks if redis went away\n"
               : "ready\n";
}

static char *
ingest_metrics(void *arg)
{
    struct ingest *ingest = arg;
    spool_publish(ingest->spool);
    return metrics_render(ingest->metrics);
}

/* Each connection is a descriptor; the usual soft limit of 1024 is below CONNECTIONS_MAX. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    const rlim_t wanted = CONNECTIONS_MAX + SPARE_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
        log_warn("fewer connections than could be: the limit of open files is low",
                 log_i("limit", limit.rlim_cur));
    }
}

/*
 * Sockets of several threads share one address. Sharing is allowed to any process of the same user,
 * so the first socket is opened without it once, to find out about somebody else on the port.
 */
static int
open_listener(const char *address, size_t index)
{
    char reason[LISTEN_ERROR_SIZE];
    int fd = index == 0 ? listen_open(address, 0, reason) : -1;
    if (index == 0 && fd >= 0) {
        (void)close(fd);
    }
    if (index > 0 || fd >= 0) {
        fd = listen_open(address, LISTEN_SHARED, reason);
    }
    if (fd < 0) {
        log_error("TOLLGATE_LISTEN cannot be used", log_s("address", address),
                  log_s("reason", reason));
    }
    return fd;
}

static bool
start_servers(struct ingest *ingest)
{
    char address[LISTEN_ADDRESS_SIZE];
    size_t wanted = (size_t)ingest->config.threads;
    ingest->servers = calloc(wanted, sizeof(struct http_server *));
    for (size_t i = 0; ingest->servers != NULL && i < wanted; i++) {
        int fd = open_listener(i == 0 ? ingest->config.listen : address, i);
        if (fd < 0) {
            return false;
        }
        if (i == 0) {
            listen_bound_address(fd, address);
        }
        const struct http_server_parts parts = { &ingest->config, ingest->spool, ingest->uses,
                                                 metrics_shard(ingest->metrics, i) };
        ingest->servers[i] = http_server_start(&parts, fd, ingest_on_drained, ingest);
        if (ingest->servers[i] == NULL) {
            return false;
        }
        ingest->server_count++;
    }
    log_info("listening", log_s("address", address), log_i("threads", ingest->server_count));
    return ingest->servers != NULL;
}

static bool
start_console(struct ingest *ingest)
{
    const struct console_of of = { &ingest->config, ingest->metrics, ingest->spool };
    if (strcmp(ingest->config.console, "off") == 0) {
        return true;
    }
    ingest->console = console_new(loop_base(ingest->loop), &of);
    if (ingest->console != NULL) {
        admin_http_serve(ingest->admin, CONSOLE_MAX_BODY_BYTES, console_serve, ingest->console);
    }
    return ingest->console != NULL;
}

static bool
ingest_start(struct ingest *ingest)
{
    static const struct loop_handlers LOOP_HANDLERS = { .drain = ingest_on_drain,
                                                        .drain_over = ingest_on_drain_over,
                                                        .reload = ingest_on_reload };
    static const struct admin_http_handlers ADMIN_HANDLERS = {
        .why_not_ready = ingest_why_not_ready,
        .how_ready = ingest_how_ready,
        .metrics = ingest_metrics,
    };
    if (ingest->config.threads == 0) {
        ingest->config.threads = sysconf(_SC_NPROCESSORS_ONLN);
    }
    if (ingest->config.allow_unsigned) {
        log_warn("TOLLGATE_ALLOW_UNSIGNED=yes: whoever reaches the port can book with any member's "
                 "credit");
    }
    if (ingest->config.event_types[0] == '\0') {
        log_warn("TOLLGATE_EVENT_TYPES is empty: bookings of every event type are decided");
    }
    raise_descriptor_limit();
    /* A shard more than servers: the spool's. */
    const size_t threads = (size_t)ingest->config.threads;
    ingest->metrics = metrics_new(INGEST_METRICS, INGEST_METRIC_COUNT, threads + 1);
    ingest->loop = loop_new(&LOOP_HANDLERS, ingest);
    if (ingest->metrics == NULL || ingest->loop == NULL) {
        return false;
    }
    metrics_set(metrics_shard(ingest->metrics, threads), INGEST_BUILD_INFO, 1);
    struct event_base *base = loop_base(ingest->loop);
    ingest->drained_wakeup = wakeup_new(base, ingest_on_drained_wakeup, ingest);
    ingest->spool = spool_open(&ingest->config, metrics_shard(ingest->metrics, threads));
    if (ingest->drained_wakeup == NULL || ingest->spool == NULL) {
        return false;
    }
    ingest->drainer = drainer_new(base, &ingest->config, ingest->spool, ingest_on_checked, ingest);
    if (ingest->drainer == NULL) {
        return false;
    }
    ingest->uses = secret_uses_new(base, drainer_store(ingest->drainer));
    if (ingest->uses == NULL || !start_servers(ingest)) {
        return false;
    }
    ingest->admin = admin_http_new(loop_base(ingest->loop), ingest->config.admin_listen,
                                   ADMIN_ADDRESS, &ADMIN_HANDLERS, ingest);
    if (ingest->admin == NULL || !start_console(ingest)) {
        return false;
    }
    program_trim();
    return true;
}

static void
ingest_release(struct ingest *ingest)
{
    for (size_t i = 0; i < ingest->server_count; i++) {
        http_server_stop(ingest->servers[i]);
    }
    spool_stop(ingest->spool);
    for (size_t i = 0; i < ingest->server_count; i++) {
        http_server_free(ingest->servers[i]);
    }
    free((void *)ingest->servers);
    console_free(ingest->console);
    admin_http_free(ingest->admin);
    drainer_free(ingest->drainer);
    secret_uses_free(ingest->uses);
    spool_free(ingest->spool);
    wakeup_free(ingest->drained_wakeup);
    loop_free(ingest->loop);
    metrics_free(ingest->metrics);
    config_release(&ingest->config);
}

int
main(int argc, char **argv)
{
    static const struct program PROGRAM = {
        .name = "tollgate-ingest",
        .purpose =
            "Takes Cal.com's booking webhooks in: verifies, records and queues them in Redis,\n"
            "and answers.",
        .id = CONFIG_INGEST,
        .admin_address = ADMIN_ADDRESS,
        .find_problem = find_problem,
    };
    struct ingest ingest = { 0 };
    int status;
    if (!program_start(&PROGRAM, argc, argv, &ingest.config, &status)) {
        return status;
    }
    bool started = ingest_start(&ingest);
    if (started) {
        loop_run(ingest.loop);
    }
    ingest_release(&ingest);
    if (started) {
        log_info("stopped"); /* not before the servers' threads have ended: they log as well */
    }
    return started && !ingest.failed ? PROGRAM_OK : PROGRAM_FAILED;
}
