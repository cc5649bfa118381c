/*
 * When each of several webhook secrets was used last, so that one can see when the old one may go:
 * noted by the threads that take webhooks, told to Redis by the main loop, of each secret at most
 * once in SECRET_USES_TELL_MS. What Redis does not take now is told later.
 */
#ifndef TOLLGATE_SECRET_USES_H
#define TOLLGATE_SECRET_USES_H

struct event_base;
struct secret_uses;
struct store;

#define SECRET_USES_TELL_MS 60000

/* The loop is the one of `store`; both must outlive what runs on it, but not the object. NULL when
 * memory is out. */
__attribute__((warn_unused_result)) struct secret_uses *secret_uses_new(struct event_base *base,
                                                                        struct store *store);

/* After the store, when no thread notes any more. Accepts NULL. */
void secret_uses_free(struct secret_uses *uses);

/* From any thread: a webhook was signed with the secret of this name just now (see signature.h).
 * Not for each webhook: it takes a lock. */
void secret_uses_note(struct secret_uses *uses, const char *name);

#endif
