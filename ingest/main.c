/*
 * tollgate-ingest: takes Cal.com's webhooks in. Wires threads, admin address and signals together.
 */
#include <event2/event.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/admin_http.h"
#include "common/listen.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/program.h"
#include "common/redis_link.h"
#include "ingest/connections.h"
#include "ingest/http_server.h"
#include "ingest/ingest_metrics.h"

#define SPARE_DESCRIPTORS 256 /* beside connections: Redis, epoll, logs, admin */

struct ingest {
    struct config config;
    struct loop *loop;
    struct metrics *metrics;
    struct admin_http *admin;
    struct http_server **servers;
    size_t server_count;
    size_t drained;
    int drained_fd; /* eventfd: a server's thread has drained */
    struct event *drained_event;
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
    const uint64_t one = 1;
    ssize_t written = write(ingest->drained_fd, &one, sizeof one);
    (void)written;
}

static void
ingest_on_drained_event(evutil_socket_t fd, short what, void *arg)
{
    struct ingest *ingest = arg;
    uint64_t count = 0;
    (void)what;
    if (read(fd, &count, sizeof count) == (ssize_t)sizeof count) {
        ingest->drained += (size_t)count;
    }
    if (ingest->drained >= ingest->server_count) {
        loop_stop(ingest->loop);
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
    config_release(&fresh);
}

static const char *
ingest_why_not_ready(void *arg)
{
    struct ingest *ingest = arg;
    if (loop_is_draining(ingest->loop)) {
        return "draining\n";
    }
    for (size_t i = 0; i < ingest->server_count; i++) {
        if (!http_server_is_ready(ingest->servers[i])) {
            return "redis is away or its library is not loaded\n";
        }
    }
    return NULL;
}

static char *
ingest_metrics(void *arg)
{
    struct ingest *ingest = arg;
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
        ingest->servers[i] = http_server_start(&ingest->config, metrics_shard(ingest->metrics, i),
                                               fd, ingest_on_drained, ingest);
        if (ingest->servers[i] == NULL) {
            return false;
        }
        ingest->server_count++;
    }
    log_info("listening", log_s("address", address), log_i("threads", ingest->server_count));
    return ingest->servers != NULL;
}

static bool
ingest_start(struct ingest *ingest)
{
    static const struct loop_handlers LOOP_HANDLERS = { .drain = ingest_on_drain,
                                                        .drain_over = ingest_on_drain_over,
                                                        .reload = ingest_on_reload };
    static const struct admin_http_handlers ADMIN_HANDLERS = { .why_not_ready =
                                                                   ingest_why_not_ready,
                                                               .metrics = ingest_metrics };
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
    ingest->drained_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ingest->metrics =
        metrics_new(INGEST_METRICS, INGEST_METRIC_COUNT, (size_t)ingest->config.threads);
    ingest->loop = loop_new(&LOOP_HANDLERS, ingest);
    if (ingest->drained_fd < 0 || ingest->metrics == NULL || ingest->loop == NULL) {
        return false;
    }
    ingest->drained_event = event_new(loop_base(ingest->loop), ingest->drained_fd,
                                      EV_READ | EV_PERSIST, ingest_on_drained_event, ingest);
    if (ingest->drained_event == NULL || event_add(ingest->drained_event, NULL) != 0 ||
        !start_servers(ingest)) {
        return false;
    }
    ingest->admin = admin_http_new(loop_base(ingest->loop), ingest->config.admin_listen,
                                   "127.0.0.1:9464", &ADMIN_HANDLERS, ingest);
    program_trim();
    return ingest->admin != NULL;
}

static void
ingest_release(struct ingest *ingest)
{
    for (size_t i = 0; i < ingest->server_count; i++) {
        http_server_stop(ingest->servers[i]);
    }
    free((void *)ingest->servers);
    admin_http_free(ingest->admin);
    if (ingest->drained_event != NULL) {
        event_free(ingest->drained_event);
    }
    if (ingest->drained_fd >= 0) {
        (void)close(ingest->drained_fd);
    }
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
        .find_problem = find_problem,
    };
    struct ingest ingest = { .drained_fd = -1 };
    int status;
    if (!program_start(&PROGRAM, argc, argv, &ingest.config, &status)) {
        return status;
    }
    bool started = ingest_start(&ingest);
    if (started) {
        loop_run(ingest.loop);
        log_info("stopped");
    }
    ingest_release(&ingest);
    return started ? PROGRAM_OK : PROGRAM_FAILED;
}
