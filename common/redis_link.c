#include "common/redis_link.h"

#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/redis_tls.h"
#include "common/redis_url.h"
#include "common/resolver.h"

#define CONNECT_TIMEOUT_MS 1000 /* TCP, TLS, AUTH and SELECT, each */
#define RECONNECT_BASE_MS  50
#define RECONNECT_CAP_MS   5000

/* A link that is quiet for QUIET_MS asks whether Redis is still there. Both together are how long a
 * stopped Redis or a cut cable stays unnoticed. */
#define QUIET_MS 400
#define PING_MS  600

/*
 *   WAITING --timer--> RESOLVING --address--> CONNECTING --connected--> GREETING --answered-->
 * READY ^                   |                      |                         |                    |
 *      `-------------------'----------------------'-------------------------'--------------------'
 *
 * RESOLVING: only a host that is a name. GREETING: AUTH and SELECT.
 */
enum link_state { WAITING, RESOLVING, CONNECTING, GREETING, READY };

struct command {
    STAILQ_ENTRY(command) next;
    struct redis_link *link; /* NULL: nobody waits for it any more */
    redis_done_cb *done;
    void *arg;
    int64_t deadline_mono_ms; /* 0: none */
    bool returned;            /* hiredis has called back without an answer, and will not again */
};

STAILQ_HEAD(command_list, command);

struct redis_link {
    struct event_base *base;
    const char *name;
    struct redis_url url;
    struct redis_link_handlers handlers;
    void *arg;
    enum link_state state;
    redisAsyncContext *redis; /* NULL while WAITING and RESOLVING */
    struct resolver *resolver;
    struct command_list sent; /* oldest first: Redis answers in order */
    struct command_list unsent;
    struct event *unsent_event; /* completes `unsent` outside of redis_link_command */
    struct event *deadline_timer;
    int64_t deadline_due_mono_ms; /* when that timer fires, if it runs */
    struct event *quiet_timer;
    int64_t heard_mono_ms; /* when Redis answered last */
    struct event *reconnect_timer;
    unsigned failures; /* connections lost or refused since the link was last ready */
    unsigned
        failures_before;   /* the same when it became ready: redis_link_reset goes on from there */
    int greetings;         /* AUTH and SELECT still to be answered */
    struct redis_tls *tls; /* NULL without TLS */
};

static void
timer_start(struct event *timer, int64_t delay_ms)
{
    struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
    (void)event_add(timer, &delay);
}

static void
command_finish(struct command *command, enum redis_result result, const redisReply *reply)
{
    redis_done_cb *done = command->done;
    void *arg = command->arg;
    free(command);
    done(result, (const struct redis_reply *)reply, arg);
}

/* Every command of a list ends with the same result. The list is taken over first: a callback may
 * issue new commands. */
static void
commands_finish(struct command_list *list, enum redis_result result)
{
    struct command_list taken = STAILQ_HEAD_INITIALIZER(taken);
    STAILQ_CONCAT(&taken, list);
    while (!STAILQ_EMPTY(&taken)) {
        struct command *command = STAILQ_FIRST(&taken);
        STAILQ_REMOVE_HEAD(&taken, next);
        command_finish(command, result, NULL);
    }
}

/*
 * Empties `sent` into `pending`. hiredis may still call back for a command that it has not returned
 * (now, or later when we are inside one of its callbacks), long after our side was told: such a
 * command is cut loose, to be freed there, and a copy of it goes into `pending`.
 */
static void
commands_detach(struct command_list *sent, struct command_list *pending)
{
    while (!STAILQ_EMPTY(sent)) {
        struct command *command = STAILQ_FIRST(sent);
        STAILQ_REMOVE_HEAD(sent, next);
        if (!command->returned) {
            struct command *copy = malloc(sizeof *copy);
            if (copy == NULL) {
                abort(); /* a completion must not be lost */
            }
            *copy = *command;
            command->link = NULL;
            command = copy;
        }
        STAILQ_INSERT_TAIL(pending, command, next);
    }
}

static void
reconnect_later(struct redis_link *link)
{
    int64_t delay_ms =
        backoff_delay_ms(link->failures, RECONNECT_BASE_MS, RECONNECT_CAP_MS, arc4random());
    link->failures++;
    timer_start(link->reconnect_timer, delay_ms + RECONNECT_BASE_MS);
}

/* The one way a connection ends, whoever ends it. `context_is_freed`: hiredis does that itself
 * around its connect and disconnect callbacks. */
static void
link_close(struct redis_link *link, const char *why, bool context_is_freed)
{
    enum link_state was = link->state;
    redisAsyncContext *redis = link->redis;
    struct command_list pending = STAILQ_HEAD_INITIALIZER(pending);

    commands_detach(&link->sent, &pending);
    link->redis = NULL;
    link->state = WAITING;
    (void)event_del(link->deadline_timer);
    (void)event_del(link->quiet_timer);
    if (redis != NULL) {
        redis->data = NULL;
        if (!context_is_freed) {
            redisAsyncFree(redis);
        }
    }
    /* The first failure of a row is worth a line; the rest would flood the log. */
    if (was == READY || link->failures == 0) {
        log_warn("redis is not reachable", log_s("link", link->name), log_s("reason", why));
    }
    reconnect_later(link);
    commands_finish(&pending, REDIS_UNKNOWN);
    if (was == READY && link->handlers.down != NULL) {
        link->handlers.down(link->arg);
    }
}

static void
link_on_reply(redisAsyncContext *redis, void *reply, void *arg)
{
    struct command *command = arg;
    (void)redis;
    if (command->link == NULL) {
        free(command);
        return;
    }
    if (reply == NULL) {
        command->returned = true; /* the connection is going: link_close completes it */
        return;
    }
    command->link->heard_mono_ms = clock_mono_ms();
    STAILQ_REMOVE(&command->link->sent, command, command, next);
    command_finish(command, REDIS_DONE, reply);
}

static void
watch_deadline(struct redis_link *link, int64_t deadline_mono_ms, int64_t delay_ms)
{
    if (event_pending(link->deadline_timer, EV_TIMEOUT, NULL) &&
        link->deadline_due_mono_ms <= deadline_mono_ms) {
        return;
    }
    link->deadline_due_mono_ms = deadline_mono_ms;
    timer_start(link->deadline_timer, delay_ms);
}

static void
link_send(struct redis_link *link, int64_t timeout_ms, int argc, const char **argv,
          const size_t *lengths, redis_done_cb *done, void *arg, bool sendable)
{
    struct command *command = calloc(1, sizeof *command);
    if (command == NULL) {
        abort(); /* a completion must not be lost */
    }
    command->link = link;
    command->done = done;
    command->arg = arg;
    if (!sendable || redisAsyncCommandArgv(link->redis, link_on_reply, command, argc, argv,
                                           lengths) != REDIS_OK) {
        STAILQ_INSERT_TAIL(&link->unsent, command, next);
        event_active(link->unsent_event, EV_TIMEOUT, 1);
        return;
    }
    STAILQ_INSERT_TAIL(&link->sent, command, next);
    if (timeout_ms > 0) {
        command->deadline_mono_ms = clock_mono_ms() + timeout_ms;
        watch_deadline(link, command->deadline_mono_ms, timeout_ms);
    }
}

static void
link_on_unsent(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *link = arg;
    (void)fd, (void)what;
    commands_finish(&link->unsent, REDIS_UNSENT);
}

/* The oldest command's deadline is the one that counts, because answers come in order. The timer
 * runs lazily: it is never set for later than that deadline, and looks again when it fires. */
static void
link_on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *link = arg;
    (void)fd, (void)what;
    if (link->state == CONNECTING) {
        link_close(link, "no connection in time", false);
        return;
    }
    struct command *oldest = STAILQ_FIRST(&link->sent);
    if (oldest == NULL || oldest->deadline_mono_ms == 0) {
        return;
    }
    int64_t left_ms = oldest->deadline_mono_ms - clock_mono_ms();
    if (left_ms > 0) {
        watch_deadline(link, oldest->deadline_mono_ms, left_ms);
        return;
    }
    bool in_handshake = link->tls != NULL && link->state == GREETING;
    link_close(link,
               in_handshake ? "no answer in time; is that port one for TLS?" : "no answer in time",
               false);
}

static void
link_on_pong(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    (void)result, (void)reply, (void)arg; /* that there is an answer says it all, even NOPERM */
}

/* Where an answer is waited for anyway, that one's deadline counts; a blocking pop has its own. */
static void
link_on_quiet(evutil_socket_t fd, short what, void *arg)
{
    static const char *PING[] = { "PING" };
    struct redis_link *link = arg;
    int64_t left_ms = link->heard_mono_ms + QUIET_MS - clock_mono_ms();
    (void)fd, (void)what;
    if (left_ms <= 0 && STAILQ_EMPTY(&link->sent)) {
        link_send(link, PING_MS, 1, PING, NULL, link_on_pong, NULL, true);
    }
    timer_start(link->quiet_timer, left_ms > 0 ? left_ms : QUIET_MS);
}

static void
link_ready(struct redis_link *link)
{
    link->state = READY;
    link->failures_before = link->failures;
    link->failures = 0;
    timer_start(link->quiet_timer, QUIET_MS);
    log_info("connected to redis", log_s("link", link->name));
    link->handlers.ready(link->arg);
}

static void
link_on_greeting(enum redis_result result, const struct redis_reply *reply, void *arg)
{
    struct redis_link *link = arg;
    if (result != REDIS_DONE || link->state != GREETING) {
        return;
    }
    if (redis_reply_type(reply) == REPLY_ERROR) {
        char why[256];
        (void)snprintf(why, sizeof why, "AUTH or SELECT refused: %s", redis_reply_text(reply));
        link_close(link, why, false);
        return;
    }
    link->greetings--;
    if (link->greetings == 0) {
        link_ready(link);
    }
}

static void
link_greet(struct redis_link *link)
{
    link->state = GREETING;
    link->greetings = 1;
    if (link->url.password[0] != '\0') {
        const char *auth[] = { "AUTH", link->url.user, link->url.password };
        if (link->url.user[0] == '\0') {
            auth[1] = auth[2];
        }
        link->greetings++;
        link_send(link, CONNECT_TIMEOUT_MS, link->url.user[0] != '\0' ? 3 : 2, auth, NULL,
                  link_on_greeting, link, true);
    }
    char database[16];
    (void)snprintf(database, sizeof database, "%d", link->url.database);
    const char *select[] = { "SELECT", database };
    link_send(link, CONNECT_TIMEOUT_MS, 2, select, NULL, link_on_greeting, link, true);
}

static void
link_on_connect(const redisAsyncContext *redis, int status)
{
    struct redis_link *link = redis->data;
    if (link == NULL) {
        return;
    }
    if (status != REDIS_OK) {
        /* hiredis 0.14: err may be 0 here, the text is right; the context is freed by hiredis. */
        char why[160];
        (void)snprintf(why, sizeof why, "%s",
                       redis->errstr[0] != '\0' ? redis->errstr : "connection refused");
        link_close(link, why, true);
        return;
    }
    (void)event_del(link->deadline_timer);
    link_greet(link);
}

static void
link_on_disconnect(const redisAsyncContext *redis, int status)
{
    struct redis_link *link = redis->data;
    if (link == NULL) {
        return;
    }
    const char *trouble = link->tls != NULL ? redis_tls_trouble(link->tls) : "";
    if (trouble[0] == '\0') {
        trouble = status != REDIS_OK ? redis->errstr : "";
    }
    char why[320];
    (void)snprintf(why, sizeof why, "%s", trouble[0] != '\0' ? trouble : "closed");
    link_close(link, why, true);
}

/* address: numeric, so that hiredis has nothing to look up, which it would do on the loop. */
static void
link_connect(struct redis_link *link, const char *address)
{
    const struct redis_url *url = &link->url;
    link->redis = url->path[0] != '\0' ? redisAsyncConnectUnix(url->path)
                                       : redisAsyncConnect(address, url->port);
    link->state = CONNECTING;
    if (link->redis == NULL) {
        link_close(link, "out of memory", true);
        return;
    }
    link->redis->data = link;
    const char *trouble = NULL;
    if (link->redis->err != 0) {
        trouble = link->redis->errstr;
    } else if (redisLibeventAttach(link->redis, link->base) != REDIS_OK) {
        trouble = "out of memory";
    } else if (link->tls != NULL && !redis_tls_start(link->tls, &link->redis->c)) {
        trouble = redis_tls_trouble(link->tls);
    }
    if (trouble != NULL) {
        char why[320];
        (void)snprintf(why, sizeof why, "%s", trouble);
        link_close(link, why, false);
        return;
    }
    (void)redisAsyncSetConnectCallback(link->redis, link_on_connect);
    (void)redisAsyncSetDisconnectCallback(link->redis, link_on_disconnect);
    watch_deadline(link, clock_mono_ms() + CONNECT_TIMEOUT_MS, CONNECT_TIMEOUT_MS);
}

/* Of several addresses the next one after each failure. */
static void
link_on_resolved(const struct resolver_answer *answer, void *arg)
{
    struct redis_link *link = arg;
    if (answer->count > 0) {
        link_connect(link, answer->addresses[link->failures % answer->count]);
        return;
    }
    char why[256];
    (void)snprintf(why, sizeof why, "the name %.100s: %s", link->url.host, answer->error);
    link_close(link, why, true);
}

static void
link_on_reconnect(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *link = arg;
    (void)fd, (void)what;
    if (link->url.path[0] != '\0' || resolver_is_address(link->url.host)) {
        link_connect(link, link->url.host);
        return;
    }
    link->state = RESOLVING;
    resolver_start(link->resolver, link->url.host);
}

const char *
redis_url_problem(const char *text)
{
    struct redis_url url;
    const char *problem = redis_url_parse(text, &url);
    explicit_bzero(url.password, sizeof url.password);
    if (problem == NULL && url.tls && !redis_tls_is_built_in()) {
        return "REDIS_URL is rediss://, but the hiredis that this program was built with has no "
               "TLS (Debian 13's has); use redis:// through a tunnel, or build there";
    }
    return problem;
}

struct redis_link *
redis_link_new(struct event_base *base, const char *url, const char *name,
               const struct redis_link_handlers *handlers, void *arg)
{
    struct redis_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        return NULL;
    }
    link->base = base;
    link->name = name;
    link->handlers = *handlers;
    link->arg = arg;
    STAILQ_INIT(&link->sent);
    STAILQ_INIT(&link->unsent);
    link->unsent_event = event_new(base, -1, 0, link_on_unsent, link);
    link->deadline_timer = evtimer_new(base, link_on_deadline, link);
    link->quiet_timer = evtimer_new(base, link_on_quiet, link);
    link->reconnect_timer = evtimer_new(base, link_on_reconnect, link);
    link->resolver = resolver_new(base, link_on_resolved, link);
    if (redis_url_parse(url, &link->url) != NULL || link->unsent_event == NULL ||
        link->deadline_timer == NULL || link->quiet_timer == NULL ||
        link->reconnect_timer == NULL || link->resolver == NULL) {
        goto fail;
    }
    if (link->url.tls && (link->tls = redis_tls_new(link->url.host)) == NULL) {
        goto fail;
    }
    timer_start(link->reconnect_timer, 0);
    return link;

fail:
    redis_link_free(link);
    return NULL;
}

void
redis_link_free(struct redis_link *link)
{
    if (link == NULL) {
        return;
    }
    struct command_list pending = STAILQ_HEAD_INITIALIZER(pending);
    commands_detach(&link->sent, &pending);
    if (link->redis != NULL) {
        link->redis->data = NULL;
        redisAsyncFree(link->redis);
    }
    resolver_free(link->resolver);
    struct event *events[] = { link->unsent_event, link->deadline_timer, link->quiet_timer,
                               link->reconnect_timer };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
    commands_finish(&pending, REDIS_UNKNOWN);
    commands_finish(&link->unsent, REDIS_UNSENT);
    redis_tls_free(link->tls);
    explicit_bzero(link->url.password, sizeof link->url.password);
    free(link);
}

void
redis_link_command(struct redis_link *link, int64_t timeout_ms, int argc, const char **argv,
                   const size_t *lengths, redis_done_cb *done, void *arg)
{
    link_send(link, timeout_ms, argc, argv, lengths, done, arg, link->state == READY);
}

void
redis_link_reset(struct redis_link *link, const char *why)
{
    if (link->redis == NULL) {
        return;
    }
    if (link->state == READY) {
        link->failures = link->failures_before;
    }
    link_close(link, why, false);
}

static const redisReply *
raw(const struct redis_reply *reply)
{
    return (const redisReply *)(const void *)reply;
}

enum redis_reply_type
redis_reply_type(const struct redis_reply *reply)
{
    switch (raw(reply)->type) {
    case REDIS_REPLY_INTEGER:
        return REPLY_INTEGER;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return REPLY_TEXT;
    case REDIS_REPLY_ARRAY:
        return REPLY_ARRAY;
    case REDIS_REPLY_ERROR:
        return REPLY_ERROR;
    default:
        return REPLY_NIL;
    }
}

const char *
redis_reply_text(const struct redis_reply *reply)
{
    enum redis_reply_type type = redis_reply_type(reply);
    return type == REPLY_TEXT || type == REPLY_ERROR ? raw(reply)->str : "";
}

int64_t
redis_reply_integer(const struct redis_reply *reply)
{
    enum redis_reply_type type = redis_reply_type(reply);
    if (type == REPLY_TEXT) {
        return strtoll(raw(reply)->str, NULL, 10);
    }
    return type == REPLY_INTEGER ? raw(reply)->integer : 0;
}

size_t
redis_reply_count(const struct redis_reply *reply)
{
    return redis_reply_type(reply) == REPLY_ARRAY ? (size_t)raw(reply)->elements : 0;
}

const struct redis_reply *
redis_reply_at(const struct redis_reply *reply, size_t index)
{
    return (const struct redis_reply *)(const void *)raw(reply)->element[index];
}
