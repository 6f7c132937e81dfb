/* A session of `cis shell` on a terminal: lines with history and completion, each a run of its own
 * by a process of its own. Variables, functions and the current folder go from line to line by a
 * file that the interpreter writes into the session's folder, which stands at a name of its own. */
#ifndef CIS_CLI_SHELL_H
#define CIS_CLI_SHELL_H

#include "cli/runs/program.h"

/* In the session's folder, beside `tmp`: that is /tmp where the files have none. */
#define CIS_SHELL_STATE "state"

/* Reads lines until their end. Each runs as this program with the options of cli. Returns the exit
 * code of the last one. */
int cis_shell_session(struct cis_cli *cli);
/* In the process of a line: its session's folder, and what its changes are called; false: it is
 * none. */
bool cis_shell_of_session(const char **out_folder, const char **out_branch);

#endif
