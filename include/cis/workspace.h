/* The versioned filesystem of a tenant: files by path, every change one commit or none, snapshots,
 * forks, rollback, diff, log, merge, restore, undo.
 *
 *   cis_tenant      who owns branches and their history: a name in a runtime's store, checked once.
 *                   Any number of threads at once; closed before its runtime
 *   cis_workspace   one state of one branch, with changes of its own that nobody else sees before
 *                   cis_workspace_commit. Any number of threads at once; opened from a tenant,
 *                   which may be closed before it, and closed before the runtime
 *
 * States are named as on the command line: "" the current branch, "main", "main@12" (its epoch 12),
 * "snapshot:NAME" or NAME, "run:ID" or ID, "REV~3". Paths are UTF-8 or any bytes without NUL, from
 * the root of the tree, with or without a leading slash; ".." and symlinks stay inside the tree.
 *
 * Errors: CIS_E_NOTFOUND (no such path or state), CIS_E_EXISTS, CIS_E_DENIED (a read-only state),
 * CIS_E_USAGE (a directory where a file is needed and the like), CIS_E_QUOTA, CIS_E_CONFLICT
 * (another commit changed the same name or file first, or the branch is mounted), CIS_E_EXPIRED (a
 * state that is no longer kept), CIS_E_DAMAGED, CIS_E_STORE. Nothing is half done: a write that
 * does not fit writes nothing, and a commit beside it has all of it or nothing. */
#ifndef CIS_WORKSPACE_H
#define CIS_WORKSPACE_H

#include "cis/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cis_tenant_handle cis_tenant;
typedef struct cis_workspace cis_workspace;

/* name NULL: "default". A tenant comes to be with the first thing that it keeps; opening asks
 * nothing of the store. CIS_E_USAGE: not a valid name, or the runtime keeps nothing (no data_dir).
 */
CIS_API enum cis_code cis_tenant_open(cis_runtime *runtime, const char *name,
                                      cis_tenant **out_tenant, struct cis_error *err);
CIS_API void cis_tenant_close(cis_tenant *tenant); /* NULL is allowed */
CIS_API const char *cis_tenant_name(const cis_tenant *tenant);

struct cis_workspace_options {
    uint32_t size;
    const char *state; /* NULL: the current branch's head. Anything but a head is read-only */
    bool read_only;
    cis_cancel *cancel; /* ends what waits; borrowed, may be NULL */
    /* Another tenant's branch, which it publishes to this one (cis_tenant_publish): state is the
     * branch's name, the workspace is its head as it is now, read-only. CIS_E_DENIED: published no
     * more; CIS_E_NOTFOUND: it never was, whether or not it exists. A workspace that is open when
     * it is taken back fails with CIS_E_DENIED within about a minute, for good. */
    const char *from_tenant;
};
#define CIS_WORKSPACE_OPTIONS_INIT                                                                 \
    {                                                                                              \
        .size = sizeof(struct cis_workspace_options)                                               \
    }

/* options NULL: the defaults. */
CIS_API enum cis_code cis_workspace_open(cis_tenant *tenant,
                                         const struct cis_workspace_options *options,
                                         cis_workspace **out_workspace, struct cis_error *err);
/* Uncommitted changes are lost. NULL is allowed. */
CIS_API void cis_workspace_close(cis_workspace *workspace);

/* ---- files ---- */
struct cis_file_info {
    uint32_t size;                  /* of this struct */
    uint32_t mode, nlink, uid, gid; /* mode: type and permission bits as in stat(2) */
    uint32_t mtime_ns;
    int64_t mtime_s;
    uint64_t inode, length; /* length: bytes of the file */
};
#define CIS_FILE_INFO_INIT                                                                         \
    {                                                                                              \
        .size = sizeof(struct cis_file_info)                                                       \
    }
/* Symlinks are followed. */
CIS_API enum cis_code cis_workspace_stat(cis_workspace *workspace, const char *path,
                                         struct cis_file_info *out_info, struct cis_error *err);
/* Up to len bytes from offset; *out_n less than len: the end of the file. */
CIS_API enum cis_code cis_workspace_read(cis_workspace *workspace, const char *path,
                                         uint64_t offset, void *buf, size_t len, size_t *out_n,
                                         struct cis_error *err);
/* At offset; the file is made (mode 0644) when it does not exist. truncate: it ends where this
 * ends.
 */
CIS_API enum cis_code cis_workspace_write(cis_workspace *workspace, const char *path,
                                          uint64_t offset, const void *data, size_t len,
                                          bool truncate, struct cis_error *err);
CIS_API enum cis_code cis_workspace_mkdir(cis_workspace *workspace, const char *path,
                                          struct cis_error *err);
CIS_API enum cis_code cis_workspace_symlink(cis_workspace *workspace, const char *target,
                                            const char *path, struct cis_error *err);
/* A file, a symlink or an empty directory. */
CIS_API enum cis_code cis_workspace_remove(cis_workspace *workspace, const char *path,
                                           struct cis_error *err);
/* Replaces what is at `to` as rename(2) does. */
CIS_API enum cis_code cis_workspace_rename(cis_workspace *workspace, const char *from,
                                           const char *to, struct cis_error *err);
/* Callbacks of this header: a code other than CIS_E_OK ends the function that calls them, which
 * returns it. */
/* Without "." and "..". name: NUL-terminated, valid for the call; the callback may not use the
 * workspace. */
typedef enum cis_code cis_workspace_entry_fn(void *self, const char *name,
                                             const struct cis_file_info *info);
CIS_API enum cis_code cis_workspace_list(cis_workspace *workspace, const char *path,
                                         cis_workspace_entry_fn *each, void *self,
                                         struct cis_error *err);

/* ---- committing ---- */
/* All changes so far as one durable commit; the workspace goes on at the new head. note: one line
 * for the log, at most 1,024 bytes, may be NULL. *out_epoch (may be NULL): of the commit, or of the
 * state when nothing had changed. After CIS_E_CONFLICT or CIS_E_QUOTA the changes are still here.
 */
CIS_API enum cis_code cis_workspace_commit(cis_workspace *workspace, const char *note,
                                           uint64_t *out_epoch, struct cis_error *err);
/* The changes become the first commit of a new branch instead: what to do after a conflict. */
CIS_API enum cis_code cis_workspace_save(cis_workspace *workspace, const char *branch,
                                         struct cis_error *err);
CIS_API void cis_workspace_discard(cis_workspace *workspace);

/* ---- what changed ---- */
/* what: 'A' added, 'M' changed, 'D' removed, 'R' renamed (from → path). Texts NUL-terminated. */
typedef enum cis_code cis_change_fn(void *self, char what, const char *path, const char *from);
/* Not committed yet. */
CIS_API enum cis_code cis_workspace_changes(cis_workspace *workspace, cis_change_fn *each,
                                            void *self, struct cis_error *err);

/* ---- history of a tenant ---- */
/* note: at most 1,024 bytes, may be NULL. */
CIS_API enum cis_code cis_tenant_snapshot(cis_tenant *tenant, const char *state, const char *name,
                                          const char *note, struct cis_error *err);
CIS_API enum cis_code cis_tenant_snapshot_remove(cis_tenant *tenant, const char *name,
                                                 struct cis_error *err);
/* One small durable write, whatever the tree holds. */
CIS_API enum cis_code cis_tenant_fork(cis_tenant *tenant, const char *state, const char *branch,
                                      struct cis_error *err);
CIS_API enum cis_code cis_tenant_switch(cis_tenant *tenant, const char *branch,
                                        struct cis_error *err);
/* The branch (NULL: the current one) is what it was at state; what it was before is "BRANCH@{1}",
 * and what came after the state stays reachable by its epoch until the branch has another one. */
CIS_API enum cis_code cis_tenant_rollback(cis_tenant *tenant, const char *branch, const char *state,
                                          struct cis_error *err);
/* Of a path of more than 4,096 bytes its end is told, behind "…/". */
CIS_API enum cis_code cis_tenant_diff(cis_tenant *tenant, const char *from, const char *to,
                                      cis_change_fn *each, void *self, struct cis_error *err);
/* Newest first. */
typedef enum cis_code cis_commit_fn(void *self, uint64_t epoch, int64_t time_ms, const char *kind,
                                    const char *note, const char *run);
CIS_API enum cis_code cis_tenant_log(cis_tenant *tenant, const char *state, uint32_t limit,
                                     cis_commit_fn *each, void *self, struct cis_error *err);
/* Takes what changed in `from` into the branch (NULL: the current one). CIS_E_CONFLICT names the
 * first path that changed on both sides. */
CIS_API enum cis_code cis_tenant_merge(cis_tenant *tenant, const char *branch, const char *from,
                                       struct cis_error *err);
/* The inverse of what the state's last commit did, as a new commit. state NULL: of the newest
 * commit of the branch that is not taken back yet, so that each call goes further back.
 * CIS_E_NOTFOUND: there is none. */
CIS_API enum cis_code cis_tenant_undo(cis_tenant *tenant, const char *branch, const char *state,
                                      struct cis_error *err);
/* Brings back what the newest undo took, each call one further. CIS_E_NOTFOUND: nothing was undone,
 * or something else was committed since. */
CIS_API enum cis_code cis_tenant_redo(cis_tenant *tenant, const char *branch,
                                      struct cis_error *err);
/* path is again what it was at state, with everything below it. */
CIS_API enum cis_code cis_tenant_restore(cis_tenant *tenant, const char *branch, const char *state,
                                         const char *path, struct cis_error *err);

/* ---- branches for other tenants to read ---- */
/* branch NULL: the current one, by its name. What others read is the branch's head, as it is when
 * they open it: nothing of its history, no other branch. It goes with the branch's name and with
 * either tenant. Again is fine. CIS_E_NOTFOUND: no such branch, or no such tenant `to`. */
CIS_API enum cis_code cis_tenant_publish(cis_tenant *tenant, const char *branch, const char *to,
                                         struct cis_error *err);
/* to NULL: from everybody. CIS_E_NOTFOUND: it was not published. */
CIS_API enum cis_code cis_tenant_unpublish(cis_tenant *tenant, const char *branch, const char *to,
                                           struct cis_error *err);
/* What the tenant publishes, then what is published to it. */
typedef enum cis_code cis_published_fn(void *self, const char *from, const char *branch,
                                       const char *to, int64_t since_ms);
CIS_API enum cis_code cis_tenant_published(cis_tenant *tenant, cis_published_fn *each, void *self,
                                           struct cis_error *err);

#ifdef __cplusplus
}
#endif
#endif
