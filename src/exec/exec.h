/* A native program (bash, git, make, a coding agent) on a folder or a branch, with the undo of a
 * run: the folder is not touched, what the program changes is one commit with a run's record.
 *
 * Its boundary is the kernel's (namespaces, seccomp, limits), not that of the WebAssembly sandbox.
 *
 * Threads: one calls; threads of its own serve the files meanwhile. The process starts others and
 * waits for them; when it dies, however it dies, they and the mount go with it. */
#ifndef CIS_EXEC_EXEC_H
#define CIS_EXEC_EXEC_H

#include "run/files.h"
#include "run/run.h"

struct cis_exec_options {
    cis_fs_cache *fs_cache;
    const char *tenant;
    /* A cow folder, at guest_path inside (absolute; its own path is what programs expect), or a
     * workspace. */
    const struct cis_run_mount *mount;
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH inside */
    const char *const *env;  /* "NAME=VALUE", NULL-terminated: the whole environment but for HOME */
    const char *const *shown; /* absolute paths of the host that it may read; NULL-terminated */
    const char *cwd;          /* inside; NULL: the mount's path */
    const char *program;      /* of this program: it is started as `PROGRAM __enter` */
    const char *place;        /* an empty folder that nobody else writes to: mounts stand there */
    bool net;                 /* the host's network; else none, loopback apart */
    enum cis_tx tx;           /* ALWAYS: however the program ended */
    uint64_t time_ns;         /* CIS_NEVER: none */
    uint64_t memory_bytes;    /* of all its processes together, 0: none */
    uint64_t cpu_ns;          /* of each process, 0: none */
    uint32_t processes;       /* at once, 0: none */
    uint64_t stored_bytes;    /* that its changes may take in the store, 0: no limit */
    uint64_t host_bytes;      /* memory of this process that the files may take */
    cis_cancel *cancel;
};

struct cis_exec_outcome {
    cis_code code; /* CIS_OK; _FAILED: its exit code is not 0; _DEADLINE, _LIMIT, _CANCELLED, … */
    struct cis_error error;
    bool exited; /* by itself, with exit_code (128 + N: ended by signal N) */
    int exit_code;
    char id[27];
    uint64_t stored;                 /* what its changes take in the store, at most */
    bool full;                       /* it was told that there is no room: stored_bytes */
    uint64_t special;                /* fifos, sockets and devices that it left */
    bool dropped_changes;            /* files were changed, and that is forgotten */
    char branch[CIS_FS_REF_MAX + 1]; /* with the commit; "": there is none */
    struct cis_view commit;
    struct cis_buf report; /* JSON; owned */
};

/* CIS_OK when there is an outcome, whatever it says. Else nothing ran and there is no record:
 * CIS_E_USAGE, CIS_E_NOTFOUND (the folder), CIS_E_UNSUPPORTED (no bubblewrap, no FUSE, no user
 * namespaces: says which). */
cis_code cis_exec_run(const struct cis_exec_options *options, struct cis_exec_outcome *out,
                      struct cis_error *err);
void cis_exec_outcome_done(struct cis_exec_outcome *outcome);

/* Would it run here? Does what a run does, up to the mount. program, place: as above.
 * CIS_E_UNSUPPORTED: what is missing. */
cis_code cis_exec_ready(const char *program, const char *place, struct cis_error *err);

/* `cis __enter …`, started by cis_exec_run alone, before any thread of this process. */
int cis_exec_enter(int argc, char **argv);

#endif
