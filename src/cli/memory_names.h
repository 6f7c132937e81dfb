/* Which namespace --skill NAME means, for the commands that look into memory and runs. */
#ifndef CIS_CLI_MEMORY_NAMES_H
#define CIS_CLI_MEMORY_NAMES_H

#include "cli/app.h"

#define CIS_NS_TEXT_MAX (CIS_STORE_NAME_MAX + sizeof "file:")

/* Everything a memory command needs, opened together; cis_memory_cmd_done. */
struct cis_memory_cmd {
    const struct cis_cli *cli;
    cis_app *app;
    cis_store *store;
    struct cis_stop stop;
    struct cis_str tenant;
    char own[CIS_NS_TEXT_MAX];  /* as given by --skill, "" when not given */
    char file[CIS_NS_TEXT_MAX]; /* "file:NAME", "" when NAME has a colon itself */
};

cis_code cis_memory_cmd_open(struct cis_cli *cli, struct cis_memory_cmd *out,
                             struct cis_error *err);
void cis_memory_cmd_done(struct cis_memory_cmd *cmd);
/* For commands on a whole namespace: NAME when such a skill is installed or has entries, else
 * "file:NAME" (a bare file's). Points into cmd; ptr NULL when --skill was not given. */
cis_code cis_memory_cmd_ns(struct cis_memory_cmd *cmd, struct cis_str *out, struct cis_error *err);
/* One of the two that has the key, NAME first. */
cis_code cis_memory_cmd_find(struct cis_memory_cmd *cmd, struct cis_str key, cis_kv_each *each,
                             void *self, struct cis_str *out_ns, struct cis_error *err);

#endif
