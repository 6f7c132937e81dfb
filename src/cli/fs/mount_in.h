/* What mount.c (a mount from beginning to end) and mount_keep.c (its commits, its lease) share. */
#ifndef CIS_CLI_MOUNT_IN_H
#define CIS_CLI_MOUNT_IN_H

#include <stdatomic.h>
#include "cli/fs/mount.h"
#include "fuse/fuse.h"
#include "store/holder.h"
#include "vfs/control/control.h"
#include "vfs/layered/layered.h"

#define CIS_MOUNT_LEASE_MS 30000u

struct mount {
    cis_store *store;
    const struct cis_cli *cli;
    const struct cis_mount_options *o;
    struct cis_str tenant; /* as `exact`, unless it is another tenant's branch that is shown */
    char exact[CIS_FS_EXACT_MAX];
    char ref[CIS_FS_REF_MAX + 1]; /* "" when a snapshot is mounted */
    char holder[128];
    uint64_t fence; /* 0: no lease */
    struct cis_view at;
    struct cis_fs_cache_options caches;
    cis_fs_cache *fs_cache;
    cis_vfs *vfs; /* with control files */
    cis_fuse *fuse;
    int wake_fd; /* readable: the keeper ends */
    atomic_bool lost;
    bool unsaved;           /* lost, and what was not committed is not in a branch yet */
    struct cis_error why;   /* it was lost; these two by the keeper, and when that has ended */
    atomic_int trouble;     /* errno of the last commit; 0: it was well */
    atomic_bool doubt;      /* a request failed: of fsync(2), perhaps; the next close(2) commits */
    struct cis_error ended; /* why another tenant's branch can be read no more; by the keeper */
};

/* One call of the store by the mount itself. */
struct cis_stop cis_mount_call_stop(void);
/* The keeper's threads: of a branch of one's own, of another tenant's. */
void *cis_mount_keep(void *mount);
void *cis_mount_keep_guest(void *mount);
/* Commits what is written; told when it fails. */
void cis_mount_flush(struct mount *m);
/* Somebody else may write to the branch now: nothing of ours can go there any more. */
void cis_mount_lease_lost(struct mount *m, const struct cis_error *why);
/* Tries again to save, as a branch of its own, what a mount that lost its lease had accepted. */
void cis_mount_save(struct mount *m);
/* For struct cis_fuse_options. */
int cis_mount_on_closed(void *mount, const struct cis_vfs_call *call);
void cis_mount_on_failed(void *mount, int rc, const char *why);

#endif
