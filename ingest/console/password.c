#include "ingest/console/password.h"

#include <crypt.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/wakeup.h"

#define MOST_LINE 1024

/* What somebody unknown is hashed with, so that he waits as long as somebody known. */
#define NOBODYS_HASH "$2b$10$abcdefghijklmnopqrstuu5LqJkiKrVEwyeC0A5dOB0kDnN8yDMUK"

struct password_checker {
    const char *path;
    struct wakeup *wakeup;
    pthread_t thread;
    bool busy;
    char *name, *password;
    bool right;
    password_done_cb *done;
    void *arg;
};

/* How much of it is right does not show in how long it takes. */
static bool
same(const char *a, const char *b)
{
    size_t length = strlen(a);
    if (strlen(b) != length) {
        return false;
    }
    unsigned differs = 0;
    for (size_t i = 0; i < length; i++) {
        differs |= (unsigned)(unsigned char)a[i] ^ (unsigned)(unsigned char)b[i];
    }
    return differs == 0;
}

/* The hash of this name; false: there is none. */
static bool
find_hash(const char *path, const char *name, char hash[MOST_LINE])
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        log_error("TOLLGATE_CONSOLE_PASSWORDS cannot be read", log_s("path", path),
                  log_s("error", strerror(errno)));
        return false;
    }
    size_t length = strlen(name);
    bool found = false;
    char line[MOST_LINE];
    while (!found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        found = strncmp(line, name, length) == 0 && line[length] == ':' && line[0] != '#';
    }
    (void)fclose(file);
    if (found) {
        (void)snprintf(hash, MOST_LINE, "%s", line + length + 1);
    }
    explicit_bzero(line, sizeof line);
    return found;
}

bool
password_is_right(const char *path, const char *name, const char *password)
{
    char hash[MOST_LINE];
    bool known = *name != '\0' && find_hash(path, name, hash);
    struct crypt_data *data = calloc(1, sizeof *data);
    const char *made = data != NULL ? crypt_r(password, known ? hash : NOBODYS_HASH, data) : NULL;
    /* What crypt cannot read it answers with "*0" or "*1", which is no hash of anything. */
    bool right = known && made != NULL && made[0] != '*' && same(made, hash);
    if (data != NULL) {
        explicit_bzero(data, sizeof *data);
    }
    free(data);
    explicit_bzero(hash, sizeof hash);
    return right;
}

static void *
run(void *arg)
{
    struct password_checker *checker = arg;
    checker->right = password_is_right(checker->path, checker->name, checker->password);
    wakeup_ring(checker->wakeup);
    return NULL;
}

static void
forget(struct password_checker *checker)
{
    if (checker->password != NULL) {
        explicit_bzero(checker->password, strlen(checker->password));
    }
    free(checker->password);
    free(checker->name);
    checker->name = checker->password = NULL;
    checker->busy = false;
}

static void
password_on_checked(void *arg)
{
    struct password_checker *checker = arg;
    if (!checker->busy) {
        return;
    }
    (void)pthread_join(checker->thread, NULL);
    forget(checker);
    checker->done(checker->right, checker->arg);
}

struct password_checker *
password_checker_new(struct event_base *base, const char *path)
{
    struct password_checker *checker = calloc(1, sizeof *checker);
    if (checker == NULL) {
        return NULL;
    }
    checker->path = path;
    checker->wakeup = wakeup_new(base, password_on_checked, checker);
    if (checker->wakeup == NULL) {
        free(checker);
        return NULL;
    }
    return checker;
}

void
password_checker_free(struct password_checker *checker)
{
    if (checker == NULL) {
        return;
    }
    if (checker->busy) {
        (void)pthread_join(checker->thread, NULL);
        forget(checker);
    }
    wakeup_free(checker->wakeup);
    free(checker);
}

bool
password_check(struct password_checker *checker, const char *name, const char *password,
               password_done_cb *done, void *arg)
{
    if (checker->busy) {
        return false;
    }
    checker->name = strdup(name);
    checker->password = strdup(password);
    checker->done = done;
    checker->arg = arg;
    checker->busy = checker->name != NULL && checker->password != NULL &&
                    pthread_create(&checker->thread, NULL, run, checker) == 0;
    if (!checker->busy) {
        forget(checker);
    }
    return checker->busy;
}
