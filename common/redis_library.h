/*
 * The Redis library and the default policy, as text.
 *
 * Both are generated from common/redis/ at build time (scripts/embed-lua), so that a program and
 * the Lua it was tested with cannot drift apart. The texts are constant, end with a NUL, hold no
 * other NUL, and belong to nobody: strlen() gives their length, nobody frees them.
 */
#ifndef TOLLGATE_REDIS_LIBRARY_H
#define TOLLGATE_REDIS_LIBRARY_H

/*
 * What FUNCTION LOAD takes: the parts of common/redis/ joined in the order of REDIS_LIBRARY in
 * the Makefile. The first line is the `#!lua name=…` that Redis asks for. Line numbers in errors
 * of Redis are those of build/<variant>/gen/redis_library.lua.
 */
extern const char redis_library_text[];

/* The policy in force while the operator has set none: common/redis/policy.lua. */
extern const char redis_default_policy_text[];

#endif
