/* What the build makes beside the program: components of the scheduler, the shell's interpreter. */
#ifndef CIS_CLI_BESIDE_H
#define CIS_CLI_BESIDE_H

#include "cli/cli.h"

/* The path of FOLDER/FILE where it was built (beside the program's folder), or where `make install`
 * puts it (below share/cis there). CIS_E_NOTFOUND ends with `how`, which says how to have it. Free
 * with cis_free. */
cis_code cis_cli_beside(const struct cis_cli *cli, const char *folder, const char *file,
                        const char *how, char **out_path, struct cis_error *err);
/* The interpreter of `cis shell`. */
cis_code cis_cli_shell_module(const struct cis_cli *cli, char **out_path, struct cis_error *err);

#endif
