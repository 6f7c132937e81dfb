/* How a run is asked to behave beside its scenario: environment variables, which `cis scenario`
 * sets. Without them it runs and tells what users do. */
#ifndef SCHEDULER_OPTIONS_H
#define SCHEDULER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct options {
    bool check;         /* SCHEDULER_MODE=check: the scenario is read and checked, nothing runs */
    bool quiet;         /* users say nothing on stdout; failures go to stderr all the same */
    uint64_t progress;  /* SCHEDULER_PROGRESS=500ms: ns between two records on stdout; 0: none */
    unsigned share, of; /* SCHEDULER_SHARE=0/2: of this many instances this one; 0/1 */
};

/* false: *out_error is the caller's. */
bool options_read(struct options *out, char **out_error);
/* Of the run: read once when it begins. */
extern struct options options;
#define say(...) (options.quiet ? 0 : printf(__VA_ARGS__))

#endif
