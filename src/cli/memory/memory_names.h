/* Which namespace --skill NAME means, for the commands that look into memory and runs. */
#ifndef CIS_CLI_MEMORY_NAMES_H
#define CIS_CLI_MEMORY_NAMES_H

#include "cli/app.h"
#include "cli/memory/file_memory.h"

#define CIS_FILES_SHOWN 100u

/* Everything a memory command needs, opened together by cis_memory_run. */
struct cis_memory_cmd {
    const struct cis_cli *cli;
    cis_app *app;
    cis_store *store;
    struct cis_stop stop;
    struct cis_str tenant;
    const char *given;         /* by --skill; NULL: not given */
    char own[CIS_FILE_NS_MAX]; /* the namespace of an installed skill, or exactly what was given; ""
                                  none */
    char stem[CIS_FILE_NS_MAX]; /* ... and of files with this stem; "" none */
};

typedef cis_code cis_memory_verb(struct cis_memory_cmd *cmd, struct cis_error *err);
/* The whole run() of a command. */
int cis_memory_run(struct cis_cli *cli, cis_memory_verb *verb);
/* For commands on one namespace: NAME when such a skill is installed or has entries, else that of
 * the one file with this stem that has entries, else "file:NAME" (which the first file of that stem
 * will claim). CIS_E_USAGE with the paths when several files have it. Points into cmd; ptr NULL
 * when --skill was not given. */
cis_code cis_memory_cmd_ns(struct cis_memory_cmd *cmd, struct cis_str *out, struct cis_error *err);
/* For looking: each namespace that --skill may mean, one after the other. false stops. */
typedef bool cis_memory_ns_each(void *self, struct cis_str ns);
cis_code cis_memory_cmd_each(struct cis_memory_cmd *cmd, cis_memory_ns_each *each, void *self,
                             struct cis_error *err);
/* The one that has the key, an installed skill's first; CIS_E_USAGE as above. */
cis_code cis_memory_cmd_find(struct cis_memory_cmd *cmd, struct cis_str key, cis_kv_each *each,
                             void *self, struct cis_str *out_ns, struct cis_error *err);

#endif
