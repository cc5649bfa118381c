/*
 * What the start of both programs has in common: the command line, the settings, the log.
 */
#ifndef TOLLGATE_PROGRAM_H
#define TOLLGATE_PROGRAM_H

#include "common/config.h"

struct program {
    const char *name;    /* tollgate-ingest */
    const char *purpose; /* one line for --help */
    enum config_program id;
    const char *admin_address; /* where TOLLGATE_ADMIN_LISTEN is empty */
    /* Checks what the settings table cannot (addresses, URLs). NULL, or what is wrong. */
    const char *(*find_problem)(const struct config *config);
};

enum program_exit {
    PROGRAM_OK = 0,
    PROGRAM_FAILED = 1, /* a port is busy, memory is out, the policy does not compile; not ready */
    PROGRAM_USAGE = 2,  /* unknown option or wrong setting */
};

/*
 * Handles --help, --version, --check, --health and wrong options, loads and checks the settings,
 * opens the log and writes the settings into it. True when the program shall run; else *status is
 * its exit status.
 */
__attribute__((warn_unused_result)) bool program_start(const struct program *program, int argc,
                                                       char **argv, struct config *config,
                                                       int *status);

/*
 * Everything is set up: gives back the memory that only the start needed. Initialising libcrypto
 * and the libraries behind libcurl touches megabytes of their code once; such pages are mapped
 * files and come back from the page cache if they are needed after all.
 */
void program_trim(void);

#endif
