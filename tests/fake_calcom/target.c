#include "target.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "alloc.h"
#include "clock.h"
#include "log.h"

/* A connection is in one list at a time: idle, or grave; or it belongs to a post. */
struct link {
    LIST_ENTRY(link) entry;
    struct evhttp_connection *http;
};

LIST_HEAD(link_list, link);

struct post {
    TAILQ_ENTRY(post) entry;
    struct target *target;
    struct link *link; /* NULL while it waits for its turn */
    struct event *deadline;
    char *body;
    size_t length;
    char *signature;
    double started_mono_ms;
    int64_t started_wall_ms;
    void (*done)(const struct post_result *result, void *arg);
    void *arg;
};

TAILQ_HEAD(post_list, post);

struct target {
    struct event_base *base;
    char *url;
    char *host;
    char *authority; /* the Host header */
    char *path;
    uint16_t port;
    bool muted;
    bool failing; /* the last post was not answered; so that only the change is logged */
    unsigned in_flight;
    struct post_list active;
    struct post_list waiting;
    struct link_list idle;
    /*
     * libevent still touches a connection after the callback that says it has failed, so the dead
     * are buried from the event loop, by an event of their own.
     */
    struct link_list grave;
    struct event *undertaker;
};

static void
link_free(struct link *link)
{
    evhttp_connection_free(link->http);
    free(link);
}

static void
links_free(struct link_list *links)
{
    while (!LIST_EMPTY(links)) {
        struct link *link = LIST_FIRST(links);
        LIST_REMOVE(link, entry);
        link_free(link);
    }
}

static void
target_on_burial(evutil_socket_t fd, short events, void *arg)
{
    struct target *target = arg;

    (void)fd;
    (void)events;
    links_free(&target->grave);
}

static void
link_bury(struct target *target, struct link *link)
{
    LIST_INSERT_HEAD(&target->grave, link, entry);
    event_active(target->undertaker, EV_TIMEOUT, 0);
}

/* False if the receiver has closed it; libevent may not have heard of that yet. */
static bool
link_is_alive(const struct link *link)
{
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(link->http));
    char byte;

    return fd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

static struct link *
link_take(struct target *target)
{
    struct link *link;

    while ((link = LIST_FIRST(&target->idle)) != NULL) {
        LIST_REMOVE(link, entry);
        if (link_is_alive(link))
            return link;
        link_bury(target, link);
    }

    link = xcalloc(1, sizeof(*link));
    link->http = xneed(evhttp_connection_base_new(target->base, NULL, target->host, target->port));
    return link;
}

static bool
parse_url(struct target *target, const char *url)
{
    struct evhttp_uri *uri = evhttp_uri_parse(url);
    bool ok = false;

    if (uri == NULL)
        return false;
    const char *scheme = evhttp_uri_get_scheme(uri), *host = evhttp_uri_get_host(uri);
    if (scheme != NULL && strcmp(scheme, "http") == 0 && host != NULL && *host != '\0') {
        const char *path = evhttp_uri_get_path(uri), *query = evhttp_uri_get_query(uri);
        int port = evhttp_uri_get_port(uri);

        target->port = (uint16_t)(port > 0 ? port : 80);
        target->host = xstrdup(host);
        target->authority = xasprintf("%s:%d", host, target->port);
        target->path = xasprintf("%s%s%s", path == NULL || *path == '\0' ? "/" : path,
                                 query == NULL ? "" : "?", query == NULL ? "" : query);
        ok = true;
    }
    evhttp_uri_free(uri);
    return ok;
}

struct target *
target_new(struct event_base *base, const char *url)
{
    struct target *target = xcalloc(1, sizeof(*target));

    if (!parse_url(target, url)) {
        free(target);
        return NULL;
    }
    target->base = base;
    target->url = xstrdup(url);
    TAILQ_INIT(&target->active);
    TAILQ_INIT(&target->waiting);
    LIST_INIT(&target->idle);
    LIST_INIT(&target->grave);
    target->undertaker = xneed(event_new(base, -1, 0, target_on_burial, target));
    return target;
}

void
target_free(struct target *target)
{
    if (target == NULL)
        return;
    links_free(&target->idle);
    links_free(&target->grave);
    event_free(target->undertaker);
    free(target->url);
    free(target->host);
    free(target->authority);
    free(target->path);
    free(target);
}

const char *
target_url(const struct target *target)
{
    return target->url;
}

static void
log_health(struct target *target, bool failing)
{
    if (failing != target->failing)
        log_line("webhooks to %s %s", target->url,
                 failing ? "are not answered" : "are answered again");
    target->failing = failing;
}

/* Tells the owner and frees the post. Its connection must have been taken from it before. */
static void
post_finish(struct post *post, int status)
{
    struct post_result result = { .status = status };

    if (post->started_wall_ms != 0) {
        result.ms = clock_mono_ms() - post->started_mono_ms;
        result.sent_ms = post->started_wall_ms;
    }
    if (post->deadline != NULL)
        event_free(post->deadline);
    free(post->body);
    free(post->signature);
    post->done(&result, post->arg);
    free(post);
}

/* Takes an active post out of the list and gives its connection back. */
static struct link *
post_detach(struct post *post)
{
    struct link *link = post->link;

    TAILQ_REMOVE(&post->target->active, post, entry);
    post->target->in_flight--;
    post->link = NULL;
    return link;
}

static void target_pump(struct target *target);

static void
post_on_answer(struct evhttp_request *request, void *arg)
{
    struct post *post = arg;
    struct target *target = post->target;
    /* No request, or one without a status: the connection was refused or went away. */
    int status = request == NULL ? 0 : evhttp_request_get_response_code(request);
    struct link *link = post_detach(post);

    log_health(target, status == 0);
    if (status != 0)
        LIST_INSERT_HEAD(&target->idle, link, entry);
    else
        link_bury(target, link);
    post_finish(post, status);
    target_pump(target);
}

static void
post_on_deadline(evutil_socket_t fd, short events, void *arg)
{
    struct post *post = arg;
    struct target *target = post->target;

    (void)fd;
    (void)events;
    log_health(target, true);
    link_free(post_detach(post)); /* takes the request with it, without a callback */
    post_finish(post, 0);
    target_pump(target);
}

static struct evhttp_request *
request_new(struct post *post)
{
    struct evhttp_request *request = xneed(evhttp_request_new(post_on_answer, post));
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

    if (evhttp_add_header(headers, "Host", post->target->authority) != 0 ||
        evhttp_add_header(headers, "Content-Type", "application/json") != 0 ||
        evhttp_add_header(headers, "X-Cal-Signature-256", post->signature) != 0 ||
        evhttp_add_header(headers, "X-Cal-Webhook-Version", "2021-10-20") != 0 ||
        evbuffer_add(evhttp_request_get_output_buffer(request), post->body, post->length) != 0)
        alloc_failed();
    return request;
}

static void
post_start(struct post *post)
{
    static const struct timeval patience = { .tv_sec = TARGET_TIMEOUT_S };
    struct target *target = post->target;

    TAILQ_INSERT_TAIL(&target->active, post, entry);
    target->in_flight++;
    post->link = link_take(target);
    post->started_mono_ms = clock_mono_ms();
    post->started_wall_ms = clock_wall_ms();
    post->deadline = xneed(evtimer_new(target->base, post_on_deadline, post));
    evtimer_add(post->deadline, &patience);

    /* Last: libevent may call post_on_answer before it returns, and then the post is gone. */
    if (evhttp_make_request(post->link->http, request_new(post), EVHTTP_REQ_POST, target->path) !=
        0)
        alloc_failed();
}

static void
target_pump(struct target *target)
{
    while (target->in_flight < TARGET_IN_FLIGHT && !TAILQ_EMPTY(&target->waiting)) {
        struct post *post = TAILQ_FIRST(&target->waiting);
        TAILQ_REMOVE(&target->waiting, post, entry);
        post_start(post);
    }
}

void
target_post(struct target *target, const char *body, size_t length, const char *signature,
            void (*done)(const struct post_result *result, void *arg), void *arg)
{
    struct post *post = xcalloc(1, sizeof(*post));

    post->target = target;
    post->body = xcalloc(1, length + 1);
    memcpy(post->body, body, length);
    post->length = length;
    post->signature = xstrdup(signature);
    post->done = done;
    post->arg = arg;
    if (target->muted) {
        post_finish(post, 0);
        return;
    }
    TAILQ_INSERT_TAIL(&target->waiting, post, entry);
    target_pump(target);
}

void
target_mute(struct target *target, bool mute)
{
    target->muted = mute;
    if (!mute)
        return;
    while (!TAILQ_EMPTY(&target->waiting)) {
        struct post *post = TAILQ_FIRST(&target->waiting);
        TAILQ_REMOVE(&target->waiting, post, entry);
        post_finish(post, 0);
        assert(TAILQ_FIRST(&target->waiting) != post); /* what clang's analyzer does not see */
    }
    while (!TAILQ_EMPTY(&target->active)) {
        struct post *post = TAILQ_FIRST(&target->active);
        link_free(post_detach(post));
        post_finish(post, 0);
        assert(TAILQ_FIRST(&target->active) != post);
    }
}
