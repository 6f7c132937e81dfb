/* Between main.c and the files around it: what is done for every command. Commands include cli.h
 * only. One thread, but for the signal thread of signals.c. */
#ifndef CIS_CLI_FRONT_H
#define CIS_CLI_FRONT_H

#include "cli/cli.h"

/* output.c. Before anything is printed: whether stdout is JSON, which a terminal gets with escapes
 * for what could steer it. */
void cis_cli_json_begins(bool json);
/* output.c. One line on stderr; with `json` the same as an object on stdout. `command` may be NULL.
 * Returns the exit code. */
int cis_cli_tell(const struct cis_cli_command *command, bool json, cis_code code, const char *text);
/* What stdout could not take is told; returns the exit code. */
int cis_cli_finish(int code);

/* options.c. Fills args and given, then checks what all commands have in common. -1: go on, else
 * the exit code. */
int cis_cli_parse(struct cis_cli *cli, int argc, char **argv);
int cis_cli_check_common(struct cis_cli *cli);

/* help.c. The command with the most words that the arguments start with; *words says how many. */
const struct cis_cli_command *cis_cli_find_command(int argc, char **argv, int *words);
int cis_cli_command_help(const struct cis_cli_command *command);
/* All commands, or those of a group ("skill"). */
void cis_cli_overview(FILE *to, const char *group);
extern const struct cis_cli_command cis_cmd_version;

/* signals.c. SIGINT and SIGTERM cancel; the second one ends the process at once. */
cis_code cis_cli_start_signals(struct cis_cli *cli, struct cis_error *err);

#endif
