/* The instances of a scenario while they run: each on a thread of its own, its users a share of
 * all, what it prints taken line by line. */
#ifndef CIS_CLI_SCENARIO_INSTANCES_H
#define CIS_CLI_SCENARIO_INSTANCES_H

#include <pthread.h>
#include "cli/scenario/scenario.h"
#include "loadtest/loadtest.h"

#define CIS_SCENARIO_ERRORS_SHOWN 50u  /* lines on stderr, of all instances together */
#define CIS_SCENARIO_REFUSALS_SHOWN 8u /* different ones */
#define CIS_SCENARIO_LINE_MAX 4096u    /* of what is shown */

struct cis_scenario_instances;

/* One stream of an instance, cut into lines. Its thread's alone. */
struct cis_scenario_lines {
    struct cis_scenario_instances *all;
    size_t instance;
    bool errors; /* its stderr */
    struct cis_buf line;
    bool skip; /* to the end of the line: it is too long */
};

struct cis_scenario_instance {
    struct cis_scenario_instances *all;
    pthread_t thread;
    char share[64]; /* "SCHEDULER_SHARE=0/2" */
    const char *env[5];
    struct cis_scenario_lines out, errors;
    cis_code code; /* not CIS_OK: nothing ran, and this is why */
    struct cis_error why;
    struct cis_run_outcome outcome;
};

struct cis_scenario_instances {
    struct cis_scenario *scenario;
    cis_loadtest *test;
    bool verbose, quiet; /* quiet: no progress, and refusals are in the runs' reports alone */
    uint64_t began_ns;
    size_t n;
    struct cis_scenario_instance *list;
    struct cis_log_service log;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* with the lock: */
    size_t over;               /* instances that have ended */
    uint64_t shown, not_shown; /* lines on stderr */
    char *refusals[CIS_SCENARIO_REFUSALS_SHOWN];
    size_t nrefusals;
    bool broken; /* they were ended because of what one wrote */
    struct cis_error broken_why;
};

/* Done also after a failure. */
cis_code cis_scenario_instances_init(struct cis_scenario_instances *all, struct cis_scenario *s,
                                     size_t n, struct cis_error *err);
/* Until all have ended; tells how it goes on stderr. Each instance says what became of it. */
cis_code cis_scenario_instances_run(struct cis_scenario_instances *all, struct cis_error *err);
void cis_scenario_instances_done(struct cis_scenario_instances *all);

/* lines.c: what a component prints. self: a struct cis_scenario_lines. */
int cis_scenario_write(void *self, const void *data, size_t len, size_t *out_n);
/* Behind the last: what stderr has without a line's end. A record without one is none. */
void cis_scenario_lines_end(struct cis_scenario_lines *lines);
/* A line on stderr, made printable. */
void cis_scenario_say(const struct cis_scenario_instances *all, const char *head,
                      struct cis_str text);
/* progress.c; last: the line on a terminal goes away. */
void cis_scenario_progress(struct cis_scenario_instances *all, bool last);

#endif
