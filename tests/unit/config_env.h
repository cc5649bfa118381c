/* Settings in the environment, for the tests of config.c. */
#ifndef TOLLGATE_CONFIG_ENV_H
#define TOLLGATE_CONFIG_ENV_H

#include "common/config.h"

/* Leaves only what must be set; a cmocka setup function. */
int env_set_up(void **state);

void env_set(const char *name, const char *value);

/* Sets every setting, but not the required WEBHOOK_SECRET, to "". */
void env_set_all_empty(void);

/* Loads; fails the test when that fails. */
void env_load(struct config *config, enum config_program program);

/* Loads, expects a failure, and that its text holds all of the parts (ended by NULL). */
void env_check_fails(enum config_program program, const char *const *parts);

#define FAILS(program, ...) env_check_fails((program), (const char *const[]){ __VA_ARGS__, NULL })

#endif
