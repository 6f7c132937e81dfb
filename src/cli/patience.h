/* A line on a terminal that says what a command is waiting for, when that takes longer than two
 * seconds: compiling a large module. Nothing is said elsewhere, nor with --json. One thread more
 * while it lasts. */
#ifndef CIS_CLI_PATIENCE_H
#define CIS_CLI_PATIENCE_H

#include "cli/app.h"

typedef struct cis_patience cis_patience;

/* "compiling" NAME. NULL when there is nobody to tell, or no memory for it. */
cis_patience *cis_patience_begin(const struct cis_cli *cli, const char *doing, const char *name);
/* The line is gone when this returns. NULL is fine. */
void cis_patience_end(cis_patience *patience);

#endif
