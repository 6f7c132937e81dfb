/* Runs a scenario: users that come by the phases of its load, each by its own workflow, many at the
 * same time, and counts what they meet. */
#ifndef SCHEDULER_RUN_H
#define SCHEDULER_RUN_H

#include "loadtest/histogram.h"
#include "pool.h"
#include "scenario.h"
#include "text.h"

#define STEPS_MAX 10000 /* nodes of one iteration: a workflow that goes in circles ends */

struct totals {
    uint64_t users, users_completed, users_failed, users_peak;
    uint64_t actions;            /* that were answered */
    uint64_t successful, failed; /* with 2xx; all others, those without an answer too */
    uint64_t assertions, assertions_failed;
    uint64_t statuses[600];
    json_t *errors;              /* what kept actions from being answered: counts */
    struct cis_histogram ms, us; /* from when an action was due to its answer */
    struct cis_histogram late;   /* us from when it was due to when it began */
    uint64_t took;               /* ns */
};

/* The pools that are in use, in the order of the workbook. */
struct pools {
    struct pool *list;
    size_t n;
};

/* The text and the JSON of `run-scenario`. false: *out is the error. The caller frees it. */
bool run_scenario(const char *yaml, size_t n, char **out);

/* ---- its parts ---- */
bool run_load(const struct scenario *s, struct pools *pools, struct totals *out, char **out_error);
void summary_text(struct text *out, const struct scenario *s, const struct pools *pools,
                  const struct totals *t);
void summary_json(struct text *out, const struct scenario *s, const struct pools *pools,
                  const struct totals *t);

json_t *pools_json(const struct pools *pools);

/* ---- exports.c: what an action gives ---- */
struct user;
/* Names of an answer's values, "ACTION.NAME", into an object; assertions counted. A line for each
 * assertion that does not hold goes to `failures`. */
bool export_is_shared(const struct export_def *x); /* with all users */
struct answer {
    int status;
    uint64_t response_ms;
    const char *body;
    size_t body_len;
};
struct scope;
void exports_take(const struct action_def *def, const struct answer *answer,
                  const struct scope *scope, json_t *outputs, json_t *shared, struct totals *t,
                  struct text *failures);

#endif
