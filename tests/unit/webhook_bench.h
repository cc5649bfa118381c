/* A webhook parser, and the bodies of tests/samples to change and feed it, for the tests of
 * webhook.c.
 */
#ifndef TOLLGATE_WEBHOOK_BENCH_H
#define TOLLGATE_WEBHOOK_BENCH_H

#include "ingest/webhook.h"

/* cmocka set-up and tear-down of a parser. */
int bench_set_up(void **state);
int bench_tear_down(void **state);

/* Puts a parser with this TOLLGATE_ACCOUNT_FIELD in its place. */
void bench_use_account_field(const char *path);

/* A sample, owned by the caller. */
char *bench_sample(const char *name);

/* Parses a body; fails the test when it becomes something else. `what` names it in the failure. */
void bench_parse(const char *what, const char *body, enum webhook_result wanted,
                 struct webhook *webhook);

/* Parses a sample with one part replaced. */
void bench_parse_edited(const char *sample, const char *part, const char *replacement,
                        enum webhook_result wanted, struct webhook *webhook);

#endif
