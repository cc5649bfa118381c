#include "common/program.h"

#include <link.h>
#ifdef HAVE_MIMALLOC
#include <mimalloc.h>
#else
#include <malloc.h>
#endif
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/health.h"
#include "common/log.h"

#ifndef TOLLGATE_VERSION
#define TOLLGATE_VERSION "unknown"
#endif

static void
print_help(const struct program *program)
{
    (void)printf(
        "Usage: %s [--check | --health | --version | --help]\n\n%s\n\n"
        "  --check    check the settings, say what is wrong with them, and exit\n"
        "  --health   ask the one that runs with these settings whether it is ready (/readyz\n"
        "             of its admin address), say so, and exit: 0 it is, 1 it is not\n"
        "  --version  print the version and exit\n"
        "  --help     print this and exit; --help=markdown prints the README's table\n\n"
        "Settings, from the environment (default; allowed):\n",
        program->name, program->purpose);
    config_print_help(program->id);
    (void)printf(
        "\nSignals: SIGTERM finishes what is in flight within 10 s and exits, a second one\n"
        "exits at once; SIGHUP reopens the log and reloads secrets and policy.\n"
        "Exit status: 0 done, 1 could not start or work, 2 wrong option or setting.\n");
}

static enum log_level
parse_level(const char *name)
{
    static const char *const NAMES[] = { "debug", "info", "warn", "error" };
    enum log_level level = LOG_LEVEL_DEBUG;
    while (level < LOG_LEVEL_ERROR && strcmp(name, NAMES[level]) != 0) {
        level++;
    }
    return level;
}

static bool
load_settings(const struct program *program, struct config *config)
{
    char error[CONFIG_ERROR_SIZE];
    if (!config_load(config, program->id, error)) {
        (void)fprintf(stderr, "%s: %s\n", program->name, error);
        return false;
    }
    const char *problem = program->find_problem(config);
    if (problem != NULL) {
        (void)fprintf(stderr, "%s: %s\n", program->name, problem);
        config_release(config);
        return false;
    }
    return true;
}

static int
tell_health(const struct program *program, const struct config *config)
{
    const char *asked = config->admin_listen;
    char text[HEALTH_TEXT_SIZE];
    bool ready = health_ask(*asked != '\0' ? asked : program->admin_address, text);
    (void)printf("%s: %s\n", program->name, text);
    return ready ? PROGRAM_OK : PROGRAM_FAILED;
}

bool
program_start(const struct program *program, int argc, char **argv, struct config *config,
              int *status)
{
    const char *option = argc > 1 ? argv[1] : "";
    *status = PROGRAM_OK;
    if (strcmp(option, "--help") == 0) {
        print_help(program);
        return false;
    }
    if (strcmp(option, "--help=markdown") == 0) {
        config_print_markdown();
        return false;
    }
    if (strcmp(option, "--version") == 0) {
        (void)printf("%s %s\n", program->name, TOLLGATE_VERSION);
        return false;
    }
    bool check_only = strcmp(option, "--check") == 0, health_only = strcmp(option, "--health") == 0;
    *status = PROGRAM_USAGE;
    if (argc > 2 || (argc == 2 && !check_only && !health_only)) {
        (void)fprintf(stderr, "%s: unknown option %s; --help lists what there is\n", program->name,
                      argv[argc - 1]);
        return false;
    }
    if (!load_settings(program, config)) {
        return false;
    }
    if (health_only) {
        *status = tell_health(program, config);
        config_release(config);
        return false;
    }
    enum log_format format =
        strcmp(config->log_format, "json") == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT;
    if (!log_open(program->name, parse_level(config->log_level), format, config->log_file)) {
        (void)fprintf(stderr, "%s: TOLLGATE_LOG_FILE is \"%s\", which cannot be opened\n",
                      program->name, config->log_file);
        config_release(config);
        return false;
    }
    if (check_only) {
        (void)printf("%s: the settings are fine\n", program->name);
        config_release(config);
        *status = PROGRAM_OK;
        return false;
    }
    log_info("starting", log_s("version", TOLLGATE_VERSION));
    config_log(config, program->id);
    return true;
}

/* Read-only segments of one loaded object: their pages are the file's, unchanged. */
static int
drop_code_pages(struct dl_phdr_info *object, size_t size, void *arg)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)size, (void)arg;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) {
            continue;
        }
        uintptr_t start = (object->dlpi_addr + segment->p_vaddr) / page * page;
        uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_filesz;
        /* It is only advice: where it is not taken, nothing is lost. */
        // NOLINTNEXTLINE(performance-no-int-to-ptr): an address that the loader gives as a number
        (void)madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void
program_trim(void)
{
#ifdef HAVE_MIMALLOC
    mi_collect(true);
#else
    (void)malloc_trim(0);
#endif
    (void)dl_iterate_phdr(drop_code_pages, NULL);
}
