/* What `cis run` is told about a program's world, from words to the structs of run/: mounts,
 * environment, streams, clock, random bytes, listening sockets. Everything lives until the struct
 * is done; texts are borrowed from the command line. */
#ifndef CIS_CLI_PROGRAM_H
#define CIS_CLI_PROGRAM_H

#include "cli/app.h"
#include "history/history.h"
#include "run/run.h"

#define CIS_PROGRAM_LISTENERS_MAX 64

struct cis_program_env {
    struct cis_run_program program;
    struct cis_run_mount mounts[CIS_RUN_MOUNTS_MAX];
    struct cis_rev revs[CIS_RUN_MOUNTS_MAX]; /* of workspaces */
    size_t nmounts;
    bool needs_store; /* a workspace or a cow mount */
    bool own_paths;   /* set by the caller: a folder without GUEST is at ".", whatever its path */
    char **texts;     /* owned pieces of options */
    size_t ntexts;
    const char **env;
    int listeners[CIS_PROGRAM_LISTENERS_MAX];
    int input; /* --stdin, -1 */
};
#define CIS_PROGRAM_WORLD_INIT                                                                     \
    {                                                                                              \
        .input = -1                                                                                \
    }

/* --dir, -w, --workspace, --snapshot, --published. CIS_E_USAGE names the option. */
cis_code cis_program_mounts(struct cis_program_env *w, const struct cis_cli *cli,
                            struct cis_error *err);
/* Which branch or state each workspace is: asks the store. */
cis_code cis_linked_resolve(struct cis_program_env *w, const struct cis_history *h,
                            struct cis_error *err);
/* --env, --stdin, --listen, --fixed-clock, --seed, --invoke; args: the program's own, its name
 * first. captured: its output is kept for the report instead of being live. */
cis_code cis_program_env(struct cis_program_env *w, const struct cis_cli *cli,
                         const char *const *args, bool captured, struct cis_error *err);
/* A key of an AI provider is nothing to hand on. */
cis_code cis_program_env_check(const struct cis_program_env *w, const char *key_env,
                               struct cis_error *err);
/* --allow, --net, --http, added to `out`; what a program has no use for is CIS_E_USAGE. */
cis_code cis_program_grants(const struct cis_cli *cli, struct cis_grants *out,
                            struct cis_error *err);
/* --memory, --time, --fuel, --files, --sockets. */
cis_code cis_program_limits(const struct cis_cli *cli, const struct cis_config *c,
                            struct cis_run_request *r, struct cis_error *err);
void cis_program_env_done(struct cis_program_env *w);

/* One more --dir, as the command line has it. */
cis_code cis_program_mount_dir(struct cis_program_env *w, const char *spec, struct cis_error *err);
/* ---- cmd_run.c: a run of a program that cis brings itself ---- */
struct cis_program_own {
    const char *module; /* its file */
    const char *label;
    const char *const *args; /* NULL-terminated, its name first; read after `prepare` */
    enum cis_tx tx;          /* when --tx is not given */
    /* Once the mounts that were given are known. */
    cis_code (*prepare)(void *self, struct cis_program_env *w, struct cis_error *err);
    void *self;
};
/* With the options of `cis run` that the command has. Returns the exit code. */
int cis_program_run(struct cis_cli *cli, const struct cis_program_own *own);
/* ---- program_end.c: the same for programs of WebAssembly and of the host ---- */
/* --tx always, commit-on-success or discard; false: another word. */
bool cis_program_tx(const char *word, enum cis_tx *out);
struct cis_program_end {
    const char *label; /* of lines; NULL: none */
    const char *id;
    const char *branch; /* with its changes; "": none */
    bool dropped;       /* changes were not kept */
    bool folder;        /* the branch is that of a folder, which was not changed */
};
/* Says what became of its changes, and writes the report where --report wants it. Returns the
 * command's exit code: `exit`, or that of a report that could not be written. */
int cis_program_end(const struct cis_cli *cli, const struct cis_program_end *end,
                    struct cis_bytes report, int exit);

#endif
