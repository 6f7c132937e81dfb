/* The files of one run: what the user mounted, opened as views, joined to one namespace, and at the
 * end committed, kept as a fork, or forgotten. WASI programs and skills that were granted a
 * workspace use the same.
 *
 * Kinds of mounts:
 *   workspace  a branch of the tenant (its changes are the run's commit), or a state of it,
 * read-only host       a folder of the host: written through (rw), never written (ro), or cow:
 * reads fall through, changes go to a branch of the tenant, made for this run unless it is named
 *
 * One branch at most is written by the commit that also holds the run's record and memory; the
 * branches of cow mounts are committed before it and are nobody else's.
 *
 * Threads: opened and closed by the run's thread. No lock and no transaction is held in between. */
#ifndef CIS_RUN_FILES_H
#define CIS_RUN_FILES_H

#include "base/budget.h"
#include "host/world.h"
#include "vfs/layered/layered.h"

enum cis_mount_mode { CIS_MOUNT_RW, CIS_MOUNT_RO, CIS_MOUNT_COW };

struct cis_run_mount {
    const char *guest; /* absolute path in the program's tree, "/workspace" */
    const char *host;  /* folder of the host; NULL: a workspace */
    enum cis_mount_mode mode;
    bool devices;       /* host: fifos, sockets and devices too */
    const char *branch; /* workspace: NULL: the current one. cow: the branch that takes the changes;
                         * NULL: "cow-RUNID" */
    const char *state;  /* workspace: a snapshot or other state (history's grammar, resolved by the
                         * caller into `at`); read-only */
    struct cis_view at; /* of state */
};
#define CIS_RUN_MOUNTS_MAX 32u

typedef struct cis_run_files cis_run_files;

struct cis_run_files_options {
    cis_forest *forest; /* NULL: no store: workspace and cow mounts are CIS_E_USAGE */
    const char *tenant, *run_id;
    const struct cis_run_mount *mounts;
    size_t nmounts;
    bool read_only;            /* every mount */
    struct cis_budget *budget; /* the run's: what overlays and listings hold is charged to it */
    const struct cis_stop *stop;
};

/* Names the mount in every error: CIS_E_NOTFOUND, CIS_E_USAGE (two mounts at one path, a path that
 * is not absolute, a second workspace to write), CIS_E_CONFLICT (the branch is mounted: by whom),
 * CIS_E_EXPIRED, … */
cis_code cis_run_files_open(const struct cis_run_files_options *options, cis_run_files **out_files,
                            struct cis_error *err);
/* For struct cis_world; valid while the files are open. */
const struct cis_world_dir *cis_run_files_dirs(const cis_run_files *files, size_t *out_n);
/* Is there a branch whose commit is the run's commit (else the record is committed alone)? */
bool cis_run_files_commits(const cis_run_files *files);
/* What would be committed, path as the guest knows it. */
cis_code cis_run_files_changes(cis_run_files *files, cis_layered_change_each *each, void *self,
                               const struct cis_stop *stop, struct cis_error *err);

struct cis_run_files_kept {
    struct cis_view view; /* of the workspace after the run; branch 0: there is none */
    uint64_t base_epoch;
    bool changed;
    struct cis_str fork; /* where the changes went instead; empty: nowhere. Owned by the files */
};
/* Commits cow branches, then the workspace with what `with` brings (run record, memory, config).
 * fork not NULL: the workspace's changes become the first commit of this new branch, and `with` is
 * committed without files. CIS_E_CONFLICT and CIS_E_QUOTA: the changes were saved as the branch
 * out->fork where that was possible, nothing of `with` is written. */
cis_code cis_run_files_commit(cis_run_files *files, const char *fork,
                              const struct cis_store_commit *with, struct cis_run_files_kept *out,
                              struct cis_error *err);
/* Forgets every change that a branch would have taken. */
void cis_run_files_discard(cis_run_files *files);
void cis_run_files_close(cis_run_files *files); /* after the guest; NULL is allowed */

#endif
