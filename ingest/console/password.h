/*
 * Who may sign in, where that is a file of names and passwords: a line each, `name:hash`, hash in a
 * form of crypt(5), as `htpasswd -B` and `mkpasswd` write it. Hashing one takes long on purpose, so
 * it is done on a thread of its own. The file is read anew each time.
 */
#ifndef TOLLGATE_PASSWORD_H
#define TOLLGATE_PASSWORD_H

#include <stdbool.h>

struct event_base;
struct password_checker;

/* `path` must outlive it. NULL when it cannot be made. */
__attribute__((warn_unused_result)) struct password_checker *
password_checker_new(struct event_base *base, const char *path);

/* Waits for a check under way, and leaves out its `done`. Accepts NULL. */
void password_checker_free(struct password_checker *checker);

typedef void password_done_cb(bool right, void *arg);

/* Copies both. `done` runs once, on the loop, never from inside the call. False, and no `done`:
 * another check is under way, or there is no thread for it. */
__attribute__((warn_unused_result)) bool password_check(struct password_checker *checker,
                                                        const char *name, const char *password,
                                                        password_done_cb *done, void *arg);

/* The same at once, for tests and for the thread. */
bool password_is_right(const char *path, const char *name, const char *password);

#endif
