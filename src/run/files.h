/* The files of one run: what the user mounted, opened as views, joined to one namespace, and at the
 * end committed, kept as a fork, or forgotten. WASI programs and skills that were granted a
 * workspace use the same.
 *
 * Kinds of mounts:
 *   workspace  a branch of the tenant (its changes are the run's commit), or a state of it,
 * read-only host       a folder of the host: written through (rw), or never written (ro) cow a
 * folder of the host that is only read: changes go to a branch of the tenant, which holds nothing
 * else and is made by the commit unless it is there already
 *
 * One commit carries the run's record and memory: that of the workspace that is written, else of
 * the first cow branch. Other cow branches are committed before it. No branch is made before its
 * commit: a run that is killed leaves nothing but chunks that nobody names, which gc collects.
 *
 * Threads: opened, committed and closed by the run's thread. No lock and no transaction is held in
 * between. */
#ifndef CIS_RUN_FILES_H
#define CIS_RUN_FILES_H

#include "base/budget.h"
#include "host/wasi_env.h"
#include "vfs/layered/layered.h"

enum cis_mount_mode { CIS_MOUNT_RW, CIS_MOUNT_RO, CIS_MOUNT_COW };

struct cis_run_mount {
    /* Where the program finds it: "/workspace"; "." and "sub" are told as they are, and stand at
     * "/" and "/sub". */
    const char *guest_path;
    const char *host; /* folder of the host; NULL: a workspace */
    enum cis_mount_mode mode;
    bool devices;       /* host: fifos, sockets and devices too */
    bool exact;         /* host was resolved before: a symlink on the way to it is CIS_E_CONFLICT */
    const char *branch; /* workspace: NULL: the current one. cow: the branch that takes the changes;
                         * NULL: "cow-RUNID" */
    struct cis_view at; /* workspace: branch not 0: this state, read-only */
    const char *from;   /* workspace: the branch is this tenant's, which publishes it to the run's:
                         * its head, read-only; when it is taken back the program gets EACCES */
};
#define CIS_RUN_MOUNTS_MAX 32u

typedef struct cis_run_files cis_run_files;

struct cis_run_files_options {
    cis_fs_cache *fs_cache; /* NULL: no store: workspace and cow mounts are CIS_E_USAGE */
    const cis_store
        *store; /* the run's, whose folder is never mounted (CIS_E_USAGE); may be NULL */
    const char *tenant, *run_id;
    const char *note; /* of commits, for the log */
    const char *fork; /* the workspace's changes become this new branch; NULL: its own */
    const struct cis_run_mount *mounts;
    size_t nmounts;
    bool read_only;            /* every mount */
    uint64_t stored_max;       /* of each mount, as in struct cis_layered_options; 0: no limit */
    struct cis_budget *budget; /* the run's: what overlays and listings hold is charged to it */
    const struct cis_stop *stop;
};

/* Names the mount in every error: CIS_E_NOTFOUND, CIS_E_USAGE (two mounts at one path, a path that
 * no program could use, a second workspace to write), CIS_E_CONFLICT (the branch is mounted: by
 * whom), CIS_E_EXPIRED, … */
cis_code cis_run_files_open(const struct cis_run_files_options *options, cis_run_files **out_files,
                            struct cis_error *err);
/* For struct cis_wasi_env; valid while the files are open, in the order of the mounts. */
const struct cis_wasi_env_dir *cis_run_files_dirs(const cis_run_files *files, size_t *out_n);

/* What the i-th mount shows, for who serves it to native programs; borrowed until _close. */
cis_vfs *cis_run_files_vfs(const cis_run_files *files, size_t i);

/* What each mount is, in the same order; text is borrowed. */
struct cis_run_mounted {
    const char *guest_path, *host; /* host: as an absolute path, NULL: a workspace */
    const char *kind;              /* "workspace", "snapshot", "published", "host", "cow" */
    const char *branch;            /* that takes the changes, or is read; NULL: none */
    const char *from;              /* published: by this tenant; else NULL */
    bool read_only, devices;
    bool committed;        /* by cis_run_files_commit, or kept by _rescue */
    bool carries;          /* the run's record is in the commit of this mount's changes */
    const char *fork;      /* kept as this branch instead; NULL */
    struct cis_view base;  /* what it began from; branch 0: a folder of the host */
    struct cis_view after; /* once it is committed */
};
const struct cis_run_mounted *cis_run_files_mounted(const cis_run_files *files, size_t *out_n);

/* What the changes take in the store, at most, until they are committed; *out_full: a write was
 * refused by stored_max. */
uint64_t cis_run_files_stored(const cis_run_files *files, bool *out_full);
/* Has anything changed that a commit would write? */
bool cis_run_files_dirty(const cis_run_files *files);
/* What it is, mount by mount: guest is where the program found it, the change's paths begin there.
 * Of a cow mount everything by which its branch differs from the folder, where that is from this
 * run or from those before it. Time and memory (charged to the budget) in proportion to the
 * changes: CIS_E_BUDGET; it ends at stop. false stops. */
typedef bool cis_run_change_each(void *self, const char *guest_path,
                                 const struct cis_layered_change *change);
cis_code cis_run_files_changes(cis_run_files *files, cis_run_change_each *each, void *self,
                               const struct cis_stop *stop, struct cis_error *err);

/* The first half of the two below, which do it themselves when nobody did: every mount that changed
 * is committed, but for the one whose commit carries the record, so that the record can name these
 * commits. memory: the record brings memory with it. rescue: to the branches that plan_rescue
 * named; a mount that cannot be kept so loses its changes and its fork, the others are kept. */
cis_code cis_run_files_beside(cis_run_files *files, bool memory, bool rescue,
                              const struct cis_stop *stop, struct cis_error *err);
/* Commits what changed, and with it what `with` brings (run record, memory, config): onto the new
 * branch when one was asked for. After CIS_E_CONFLICT, CIS_E_QUOTA and CIS_E_EXISTS nothing of
 * `with` is written and the changes are still there: rescue, or discard, them. Without files that
 * changed, `with` is committed alone. */
cis_code cis_run_files_commit(cis_run_files *files, const struct cis_store_commit *with,
                              const struct cis_stop *stop, struct cis_error *err);
/* After a commit that was refused: what it would have written becomes branches below
 * CIS_CONFLICT_PREFIX, named by the run, with `with`. */
cis_code cis_run_files_rescue(cis_run_files *files, const struct cis_store_commit *with,
                              const struct cis_stop *stop, struct cis_error *err);
/* The mounts' `fork` fields say where changes are going to be, for a record that is written with
 * them: by the option at first, as rescue would name it, nowhere. */
void cis_run_files_plan_rescue(cis_run_files *files);
void cis_run_files_plan_nothing(cis_run_files *files);
/* Forgets every change that a branch would have taken. */
void cis_run_files_discard(cis_run_files *files);

/* What is done with what a run changed, as one step after the other that is tried. */
enum cis_run_keeping {
    CIS_KEEP,         /* commit it with the record */
    CIS_KEEP_BESIDE,  /* it could not be: keep it beside, with the record of that */
    CIS_KEEP_NOTHING, /* forget it: the record alone */
};
/* One step. files: NULL for none; store: for a record alone. */
cis_code cis_run_files_write(cis_run_files *files, enum cis_run_keeping how, cis_store *store,
                             struct cis_str tenant, const struct cis_store_commit *with,
                             const struct cis_stop *stop, struct cis_error *err);
/* The step after one that failed with this code, and the mounts are told so: what could not be
 * committed because of what others did is kept beside, if anything can be; what failed otherwise is
 * forgotten. */
enum cis_run_keeping cis_run_files_next(cis_run_files *files, enum cis_run_keeping how,
                                        cis_code code);
void cis_run_files_close(cis_run_files *files); /* after the guest; NULL is allowed */

#endif
