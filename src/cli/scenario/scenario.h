/* A scenario and the component that runs it, for `cis scenario`. The component is foreign: what it
 * returns and prints is bounded, and made printable before anybody sees it. One thread; requests
 * made of it run on any. */
#ifndef CIS_CLI_SCENARIO_H
#define CIS_CLI_SCENARIO_H

#include "cli/app.h"
#include "cli/parts.h"
#include "run/run.h"

#define CIS_SCENARIO_FILE_MAX ((size_t)4 << 20)
#define CIS_SCENARIO_RESULT_MAX ((size_t)16 << 20)

struct cis_scenario {
    struct cis_cli *cli;
    cis_app *app;
    const char *label;     /* of the scenario's file, for messages */
    struct cis_buf invoke; /* the call, with the scenario's text in it */
    struct cis_cli_parts parts;
    cis_engine_module *module;
    struct cis_grants grants;
    struct cis_run_request request; /* without a program */
};

/* What both commands take. */
#define CIS_SCENARIO_OPTIONS                                                                       \
    {"component", 0, "FILE", false, NULL}, {"plug", 0, "FILE", true, NULL},                        \
        {"plan", 0, "PLAN", false, "a|b|bp|c"}, {"memory", 0, "SIZE", false, NULL},                \
        {"time", 0, "TIME", false, NULL}, CIS_CLI_COMPILE_OPTIONS

/* Reads the file (the first argument), finds and compiles the component. slots: instances at once.
 */
cis_code cis_scenario_open(struct cis_scenario *s, struct cis_cli *cli, uint32_t slots,
                           struct cis_error *err);
void cis_scenario_close(struct cis_scenario *s);

/* Did `run-scenario` return? A run whose function returns err has failed, too. */
static inline bool cis_scenario_answered(const struct cis_run_outcome *o)
{
    return o->code == CIS_OK || (o->code == CIS_E_FAILED && o->exited && o->output.len != 0);
}
/* Of what `run-scenario` returned: ok or err, and its text. CIS_E_INVALID: it is neither. */
cis_code cis_scenario_result(const struct cis_run_outcome *outcome, bool *out_ok,
                             struct cis_buf *out_text, struct cis_error *err);
/* An error of a scenario as compilers say it, "FILE:3:5: what": what stands before the reason is
 * left out, and the place taken from its end. Line 0: it has none. */
void cis_scenario_place(struct cis_str text, struct cis_str *out_what, unsigned *out_line,
                        unsigned *out_column);
/* CIS_E_INVALID with that. */
cis_code cis_scenario_wrong(const struct cis_scenario *s, struct cis_str text,
                            struct cis_error *err);

#endif
