/* The real calcom.c and http_client.c against a stub server, on one event loop. */
#ifndef TOLLGATE_CALCOM_BENCH_H
#define TOLLGATE_CALCOM_BENCH_H

#include "common/config.h"
#include "tests/unit/stub_server.h"
#include "worker/calcom.h"

#define BENCH_KEY    "cal_live_0123456789"
#define BENCH_ID     "48213"
#define BENCH_UID    "kWq3uXfT7hPn2sVb9dRmZa"
#define BENCH_REASON "No credit."

struct event_base;
struct http_client;

struct calcom_bench {
    struct event_base *base;
    struct stub_server *server;
    struct http_client *http;
    struct calcom *calcom;
    struct config config;
    char url[128], key[64], version[32];
    const char *seat;            /* that the calls are about; NULL: none */
    int64_t send_by_boot_ms;     /* of the calls to come; 0: at any time */
    struct calcom_answer answer; /* the last one */
    char members[512];           /* of it */
    int answers;
};

/* dialect: "v1" or "v2". */
void bench_open(struct calcom_bench *bench, const char *dialect);

/* The same with another address, for instance of nobody. bench is all zeros, or has a loop. */
void bench_open_at(struct calcom_bench *bench, const char *url);

void bench_close(struct calcom_bench *bench);

/* Sends without waiting; its answer is counted. */
void bench_send(struct calcom_bench *bench, enum calcom_call call);

/* Runs the loop until there are that many answers; fails after some seconds. */
void bench_wait(struct calcom_bench *bench, int answers);

/* Runs the loop for a while. */
void bench_idle(struct calcom_bench *bench, int milliseconds);

/* Sends and waits for the answer. */
const struct calcom_answer *bench_call(struct calcom_bench *bench, enum calcom_call call);

#endif
