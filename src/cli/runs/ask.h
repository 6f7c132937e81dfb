/* Answers of the person to questions of a run: those of --answer, and those given on the terminal.
 */
#ifndef CIS_CLI_ASK_H
#define CIS_CLI_ASK_H

#include "cli/cli.h"
#include "run/run.h"

#define CIS_CLI_ANSWERS_MAX 64u

struct cis_cli_answers {
    struct cis_ask_answer items[CIS_CLI_ANSWERS_MAX]; /* texts owned */
    size_t n;
};

/* --answer KEY=JSON. CIS_E_USAGE. */
cis_code cis_cli_answers_take(struct cis_cli_answers *a, const struct cis_cli *cli,
                              struct cis_error *err);
void cis_cli_answers_done(struct cis_cli_answers *a);
/* The run with these answers. While it asks and a person at a terminal answers, it begins anew;
 * how far it says that it is is shown there, too. As cis_run_execute. */
cis_code cis_cli_answers_run(struct cis_cli_answers *a, const struct cis_cli *cli, const char *who,
                             struct cis_run_request *request, struct cis_run_outcome *out,
                             struct cis_error *err);

#endif
