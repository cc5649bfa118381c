#include "common/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wakeup.h"

#define HOST_SIZE 256

/* A look-up, shared by the loop and the thread. Whoever comes last frees it. */
struct lookup {
    pthread_mutex_t lock;
    struct wakeup *wakeup; /* NULL: the resolver is gone, nobody wants the answer */
    bool over;             /* the thread has done its part */
    char host[HOST_SIZE];
    struct resolver_answer answer;
};

struct resolver {
    resolver_done_cb *done;
    void *arg;
    struct wakeup *wakeup;
    struct lookup *lookup; /* under way */
};

static void
lookup_free(struct lookup *lookup)
{
    (void)pthread_mutex_destroy(&lookup->lock);
    free(lookup);
}

static void
add_addresses(struct resolver_answer *answer, const struct addrinfo *found, int family)
{
    for (; found != NULL && answer->count < RESOLVER_ADDRESSES; found = found->ai_next) {
        if (found->ai_family == family &&
            getnameinfo(found->ai_addr, found->ai_addrlen, answer->addresses[answer->count],
                        RESOLVER_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0) {
            answer->count++;
        }
    }
}

static void
look_up(struct lookup *lookup)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int error = getaddrinfo(lookup->host, NULL, &hints, &found);
    if (error != 0) {
        lookup->answer.error = gai_strerror(error);
        return;
    }
    add_addresses(&lookup->answer, found, AF_INET);
    add_addresses(&lookup->answer, found, AF_INET6);
    lookup->answer.error = "the name has no address";
    freeaddrinfo(found);
}

static void *
lookup_main(void *arg)
{
    struct lookup *lookup = arg;
    look_up(lookup);
    (void)pthread_mutex_lock(&lookup->lock);
    bool wanted = lookup->wakeup != NULL;
    lookup->over = true;
    if (wanted) {
        wakeup_ring(lookup->wakeup);
    }
    (void)pthread_mutex_unlock(&lookup->lock);
    if (!wanted) {
        lookup_free(lookup);
    }
    return NULL;
}

static void
resolver_on_rung(void *arg)
{
    struct resolver *resolver = arg;
    struct lookup *lookup = resolver->lookup;
    if (lookup == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&lookup->lock);
    bool over = lookup->over;
    (void)pthread_mutex_unlock(&lookup->lock);
    if (over) {
        resolver->lookup = NULL;
        resolver->done(&lookup->answer, resolver->arg);
        lookup_free(lookup);
    }
}

struct resolver *
resolver_new(struct event_base *base, resolver_done_cb *done, void *arg)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL) {
        return NULL;
    }
    resolver->done = done;
    resolver->arg = arg;
    resolver->wakeup = wakeup_new(base, resolver_on_rung, resolver);
    if (resolver->wakeup == NULL) {
        resolver_free(resolver);
        return NULL;
    }
    return resolver;
}

void
resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    struct lookup *lookup = resolver->lookup;
    if (lookup != NULL) {
        (void)pthread_mutex_lock(&lookup->lock);
        bool over = lookup->over;
        lookup->wakeup = NULL;
        (void)pthread_mutex_unlock(&lookup->lock);
        if (over) {
            lookup_free(lookup);
        }
    }
    wakeup_free(resolver->wakeup);
    free(resolver);
}

void
resolver_start(struct resolver *resolver, const char *host)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL) {
        abort(); /* a completion must not be lost */
    }
    (void)pthread_mutex_init(&lookup->lock, NULL);
    (void)snprintf(lookup->host, sizeof lookup->host, "%s", host);
    lookup->wakeup = resolver->wakeup;
    resolver->lookup = lookup;
    pthread_t thread;
    pthread_attr_t attributes;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, lookup_main, lookup) != 0) {
        lookup->answer.error = "no thread for it";
        lookup->over = true;
        wakeup_ring(resolver->wakeup);
    }
    (void)pthread_attr_destroy(&attributes);
}

bool
resolver_is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1 ||
           strchr(host, '%') != NULL; /* an IPv6 address with its zone */
}
