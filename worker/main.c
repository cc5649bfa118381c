/*
 * tollgate-worker: settles bookings at Cal.com. Wires intake, settler, API client, admin address
 * and signals together.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/admin_http.h"
#include "common/listen.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/program.h"
#include "common/redis_library.h"
#include "common/redis_link.h"
#include "common/store.h"
#include "worker/calcom.h"
#include "worker/governor.h"
#include "worker/http_client.h"
#include "worker/intake.h"
#include "worker/janitor.h"
#include "worker/lease.h"
#include "worker/otlp.h"
#include "worker/settle.h"
#include "worker/sweep.h"
#include "worker/watch.h"
#include "worker/worker_metrics.h"

#define POLICY_BYTES (64 * 1024)

#define ADMIN_ADDRESS "127.0.0.1:9465"

struct worker {
    struct config config;
    struct loop *loop;
    struct metrics *metrics;
    struct admin_http *admin;
    struct store *store;
    struct http_client *http;
    struct calcom *calcom;
    struct governor *governor;
    struct lease lease;
    struct otlp *otlp; /* NULL: traces go nowhere */
    struct settler *settler;
    struct janitor *janitor;
    struct intake *intake;
    struct sweep *sweep;
    struct watch *watch;
    bool worked; /* was ready once: from then on a wrong policy file stops nothing */
    bool failed; /* stopped because it cannot work: exit status 1 */
};

static const char *
find_problem(const struct config *config)
{
    if (config->admin_listen[0] != '\0' && !listen_address_is_valid(config->admin_listen)) {
        return "TOLLGATE_ADMIN_LISTEN must be an IP address and a port, as in 127.0.0.1:9465";
    }
    const char *problem = redis_url_problem(config->redis_url);
    problem = problem != NULL ? problem : calcom_url_problem(config->calcom_api_url);
    return problem != NULL ? problem : otlp_problem(config);
}

/* The policy to bring along: the operator's file, or the default. False with the reason logged. */
static bool
give_policy(struct store *store, const char *path)
{
    if (*path == '\0') {
        return store_set_policy(store, redis_default_policy_text, "default");
    }
    FILE *file = fopen(path, "re");
    char *text = calloc(1, POLICY_BYTES + 1);
    size_t size = file != NULL && text != NULL ? fread(text, 1, POLICY_BYTES + 1, file) : 0;
    bool usable = size > 0 && size <= POLICY_BYTES && ferror(file) == 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    if (usable) {
        text[size] = '\0';
        usable = store_set_policy(store, text, "file");
    } else {
        log_error(
            "TOLLGATE_POLICY_FILE cannot be used: it must be a readable Lua file of 1 byte to "
            "64 KiB",
            log_s("path", path));
    }
    free(text);
    return usable;
}

static void
worker_on_store_ready(void *arg)
{
    struct worker *worker = arg;
    const char *error = store_policy_error(worker->store);
    if (error != NULL && worker->config.policy_file[0] != '\0' && !worker->worked) {
        log_error("TOLLGATE_POLICY_FILE does not load", log_s("error", error));
        worker->failed = true;
        loop_stop(worker->loop);
        return;
    }
    worker->worked = true;
    janitor_store_ready(worker->janitor);
    sweep_start(worker->sweep);
    watch_now(worker->watch);
}

static void
worker_on_checked(bool safe, void *arg)
{
    struct worker *worker = arg;
    if (!safe && worker->config.strict && !loop_is_draining(worker->loop)) {
        log_error("TOLLGATE_STRICT=yes: stopping because of how redis is set up");
        worker->failed = true;
        loop_drain(worker->loop);
    }
}

static void
worker_on_renewed(bool unadopted, void *arg)
{
    struct worker *worker = arg;
    if (unadopted) {
        intake_adopt(worker->intake);
    } else {
        intake_kick(worker->intake);
    }
}

static void
worker_on_put_down(void *arg)
{
    struct worker *worker = arg;
    intake_kick(worker->intake);
}

static void
worker_on_gate_changed(void *arg)
{
    struct worker *worker = arg;
    intake_recheck(worker->intake);
}

static void
worker_on_due(long delay_ms, void *arg)
{
    struct worker *worker = arg;
    intake_due_in(worker->intake, delay_ms);
}

static void
worker_on_flushed(void *arg)
{
    struct worker *worker = arg;
    loop_stop(worker->loop);
}

static void
worker_on_drained(void *arg)
{
    struct worker *worker = arg;
    if (worker->otlp != NULL) {
        otlp_flush(worker->otlp, worker_on_flushed, worker);
    } else {
        loop_stop(worker->loop);
    }
}

static void
worker_on_drain(void *arg)
{
    struct worker *worker = arg;
    sweep_stop(worker->sweep);
    intake_drain(worker->intake);
}

static void
worker_on_drain_over(void *arg)
{
    struct worker *worker = arg;
    intake_leave(worker->intake);
}

static void
worker_on_reload(void *arg)
{
    struct worker *worker = arg;
    struct config fresh;
    char error[CONFIG_ERROR_SIZE];
    if (!config_load(&fresh, CONFIG_WORKER, error)) {
        log_error("the settings stay as they are", log_s("error", error));
        return;
    }
    calcom_set_key(worker->calcom, fresh.calcom_api_key);
    governor_set_key(worker->governor, fresh.calcom_api_key);
    if (worker->otlp != NULL && otlp_problem(&fresh) == NULL) {
        otlp_set_headers(worker->otlp, fresh.otlp_headers);
    }
    if (!give_policy(worker->store, worker->config.policy_file)) {
        log_error("the policy stays as it is");
    }
    config_release(&fresh);
}

static const char *
worker_why_not_ready(void *arg)
{
    struct worker *worker = arg;
    if (loop_is_draining(worker->loop)) {
        return "draining\n";
    }
    if (!store_is_ready(worker->store)) {
        return "redis is away or its library is not loaded\n";
    }
    return governor_problem(worker->governor);
}

static char *
worker_metrics(void *arg)
{
    struct worker *worker = arg;
    return metrics_render(worker->metrics);
}

/* False when memory is out. */
static bool
make_exporter(struct worker *worker)
{
    if (worker->config.otlp_endpoint[0] == '\0') {
        return true;
    }
    const struct otlp_parts parts = { loop_base(worker->loop), &worker->config,
                                      metrics_shard(worker->metrics, 0), worker->lease.worker };
    worker->otlp = otlp_new(&parts);
    store_trace_settled(worker->store);
    return worker->otlp != NULL;
}

static bool
make_parts(struct worker *worker)
{
    static const struct store_handlers STORE_HANDLERS = { .ready = worker_on_store_ready,
                                                          .checked = worker_on_checked };
    static const struct settler_handlers SETTLER_HANDLERS = { .put_down = worker_on_put_down,
                                                              .due = worker_on_due };
    static const struct janitor_handlers JANITOR_HANDLERS = { .renewed = worker_on_renewed };
    struct event_base *base = loop_base(worker->loop);
    struct metrics_shard *metrics = metrics_shard(worker->metrics, 0);
    worker->store = store_new(base, &worker->config, &STORE_HANDLERS, worker);
    /* Two more than bookings in hand: /me and the sweep must not wait for them. */
    worker->http = http_client_new(base, (long)worker->config.concurrency + 2);
    if (worker->store == NULL || worker->http == NULL) {
        return false;
    }
    worker->calcom = calcom_new(&worker->config, worker->http);
    if (worker->calcom == NULL || !give_policy(worker->store, worker->config.policy_file)) {
        return false;
    }
    const struct governor_parts governor_parts = { &worker->config, worker->store, worker->calcom,
                                                   metrics };
    worker->governor = governor_new(&governor_parts, worker_on_gate_changed, worker);
    if (worker->governor == NULL) {
        return false;
    }
    lease_init(&worker->lease, &worker->config);
    if (!make_exporter(worker)) {
        return false;
    }
    const struct settler_parts settler_parts = { .base = base,
                                                 .store = worker->store,
                                                 .calcom = worker->calcom,
                                                 .governor = worker->governor,
                                                 .lease = &worker->lease,
                                                 .metrics = metrics,
                                                 .otlp = worker->otlp,
                                                 .ns = worker->config.ns,
                                                 .fresh_ms = worker->config.fresh_ms,
                                                 .calls_most = (size_t)worker->config.concurrency };
    worker->settler = settler_new(&settler_parts, &SETTLER_HANDLERS, worker);
    const struct janitor_parts janitor_parts = { base, worker->store, &worker->lease, metrics };
    worker->janitor = janitor_new(&janitor_parts, &JANITOR_HANDLERS, worker);
    if (worker->settler == NULL || worker->janitor == NULL) {
        return false;
    }
    const struct intake_parts intake_parts = {
        base,           &worker->config, worker->store, worker->settler, worker->governor,
        &worker->lease, worker->janitor, metrics
    };
    worker->intake = intake_new(&intake_parts, worker_on_drained, worker);
    if (worker->intake == NULL) {
        return false;
    }
    governor_set_worker(worker->governor, worker->lease.worker);
    const struct sweep_parts sweep_parts = {
        base,    &worker->config,     worker->store, worker->calcom, worker->governor,
        metrics, worker->lease.worker
    };
    worker->sweep = sweep_new(&sweep_parts);
    const struct watch_parts watch_parts = { base, worker->store, worker->governor, metrics };
    worker->watch = watch_new(&watch_parts);
    return worker->sweep != NULL && worker->watch != NULL;
}

static bool
worker_start(struct worker *worker)
{
    static const struct loop_handlers LOOP_HANDLERS = { .drain = worker_on_drain,
                                                        .drain_over = worker_on_drain_over,
                                                        .reload = worker_on_reload };
    static const struct admin_http_handlers ADMIN_HANDLERS = { .why_not_ready =
                                                                   worker_why_not_ready,
                                                               .metrics = worker_metrics };
    worker->metrics = metrics_new(WORKER_METRICS, WORKER_METRIC_COUNT, 1);
    worker->loop = loop_new(&LOOP_HANDLERS, worker);
    if (worker->metrics == NULL || worker->loop == NULL || !make_parts(worker)) {
        return false;
    }
    metrics_set(metrics_shard(worker->metrics, 0), WORKER_BUILD_INFO, 1);
    metrics_set(metrics_shard(worker->metrics, 0), WORKER_CONCURRENCY, worker->config.concurrency);
    worker->admin = admin_http_new(loop_base(worker->loop), worker->config.admin_listen,
                                   ADMIN_ADDRESS, &ADMIN_HANDLERS, worker);
    if (worker->admin == NULL) {
        return false;
    }
    log_info("working", log_s("worker", worker->lease.worker));
    if (worker->config.event_types[0] == '\0' && worker->config.sweep_interval_s > 0) {
        log_warn("TOLLGATE_EVENT_TYPES is empty: the sweep decides unconfirmed bookings of every "
                 "event type");
    }
    program_trim();
    return true;
}

/* Whoever can still be called back is freed before what it would call. */
static void
worker_release(struct worker *worker)
{
    if (worker->settler != NULL) {
        settler_close(worker->settler);
    }
    if (worker->sweep != NULL) {
        sweep_stop(worker->sweep);
    }
    admin_http_free(worker->admin);
    otlp_free(worker->otlp);
    http_client_free(worker->http);
    store_free(worker->store);
    sweep_free(worker->sweep);
    watch_free(worker->watch);
    intake_free(worker->intake);
    janitor_free(worker->janitor);
    settler_free(worker->settler);
    governor_free(worker->governor);
    calcom_free(worker->calcom);
    loop_free(worker->loop);
    metrics_free(worker->metrics);
    config_release(&worker->config);
}

int
main(int argc, char **argv)
{
    static const struct program PROGRAM = {
        .name = "tollgate-worker",
        .purpose =
            "Takes bookings from the queue, decides them by credit inside Redis, and accepts or\n"
            "rejects them through Cal.com's API.",
        .id = CONFIG_WORKER,
        .admin_address = ADMIN_ADDRESS,
        .find_problem = find_problem,
    };
    struct worker worker = { 0 };
    int status;
    if (!program_start(&PROGRAM, argc, argv, &worker.config, &status)) {
        return status;
    }
    bool started = worker_start(&worker);
    if (started) {
        loop_run(worker.loop);
    }
    worker_release(&worker);
    if (started) {
        log_info("stopped");
    }
    return started && !worker.failed ? PROGRAM_OK : PROGRAM_FAILED;
}
