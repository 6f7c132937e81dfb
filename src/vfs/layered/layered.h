/* The versioned filesystem as a cis_vfs. A cis_fs_cache holds what all views of a store share:
 * caches and inode numbers. A layered filesystem is one view of a tenant's branch with an overlay
 * of its own changes above it; nothing else sees them before the commit.
 *
 * Overlay: entries, inodes and extents stay in memory, charged to options.budget; chunk bytes
 * beyond options.dirty_bytes go to the store's chunks before the commit (unnamed until then, and
 * collected by gc when the commit never comes).
 *
 * Threads: everything here by any number of threads at once; a commit freezes the overlay at an
 * operation boundary, and operations go on above it. No lock is held while the store is waited for
 * that a read from the cache needs. */
#ifndef CIS_VFS_LAYERED_LAYERED_H
#define CIS_VFS_LAYERED_LAYERED_H

#include "base/budget.h"
#include "store/store.h"
#include "vfs/vfs.h"

typedef struct cis_fs_cache cis_fs_cache;

struct cis_fs_cache_options {
    uint32_t size;
    uint32_t entries;     /* cached names, negatives included; 0: 262,144 */
    uint32_t inodes;      /* 0: 262,144 */
    uint64_t chunk_bytes; /* unpacked content; 0: 24 MiB */
    uint32_t readahead;   /* blocks read ahead of a sequential reader; 0: 16 */
};
#define CIS_FS_CACHE_OPTIONS_INIT                                                                  \
    {                                                                                              \
        .size = sizeof(struct cis_fs_cache_options)                                                \
    }

/* Borrows the store. */
cis_code cis_fs_cache_new(cis_store *store, const struct cis_fs_cache_options *options,
                          cis_fs_cache **out_fs_cache, struct cis_error *err);
void cis_fs_cache_free(cis_fs_cache *fs_cache); /* after its filesystems */
cis_store *cis_fs_cache_store(const cis_fs_cache *fs_cache);

/* What may be done here with names that a union keeps in its upper filesystem (CIS_VFS_KEPT), and
 * with those in the folder of the root that is called so. The rest is EPERM. */
enum cis_layered_kept {
    CIS_LAYERED_KEPT_REMOVE = 0, /* they can be removed, not made and not moved */
    CIS_LAYERED_KEPT_NOTHING,    /* nor removed: the files of a guest */
    CIS_LAYERED_KEPT_ALL,        /* the upper filesystem of a union, and copies of host folders */
};

struct cis_layered_options {
    uint32_t size;
    struct cis_str tenant;
    struct cis_str ref; /* empty: the current one */
    struct cis_view at; /* branch 0: the ref's head. Any other view is read-only */
    bool read_only;
    /* Not a state of the ref but the empty tree that the tenant began with: its changes can only
     * become a new branch (cis_layered_commit_fork). */
    bool empty;
    /* Commit-and-continue: sync and flush commit (kind `kind`), and the view moves on to the new
     * head. What it accepts it holds against the quotas then, and its commits are not refused for
     * them. Otherwise they only check, and cis_layered_commit ends the view's changes. */
    bool auto_commit;
    const char *kind, *note;   /* of commits, for the log */
    uint64_t fence;            /* of a lease held on the ref, 0: none */
    struct cis_budget *budget; /* of overlay metadata; NULL: a limit of 1 GiB of its own */
    uint64_t dirty_bytes;      /* content held in memory before it spills; 0: 12 MiB */
    bool no_compress;
    void (*clock)(struct timespec *out); /* NULL: the system's */
    /* The branch `ref` of this tenant, as it is published to `tenant`: its head, read-only. Empty:
     * tenant's own. CIS_E_DENIED: published no more; CIS_E_NOTFOUND: never was, or is not there. */
    struct cis_str from;
    enum cis_layered_kept kept;
    /* For the notes of an undo (cis_store_commit): the quotas of files and of what is stored refuse
     * nothing of what is written here; its commits are checked as those of an undo. */
    bool takes_back;
    uint64_t stored_max; /* that changes of this view may take in the store, counted as for the
                          * quota; what is stored ahead stays counted. ENOSPC. 0: no limit */
};
#define CIS_LAYERED_OPTIONS_INIT                                                                   \
    {                                                                                              \
        .size = sizeof(struct cis_layered_options)                                                 \
    }

/* The tenant is made when it does not exist and this is not read-only. CIS_E_NOTFOUND,
 * CIS_E_EXPIRED. Views that are not a head take a pin and renew it. */
cis_code cis_layered_open(cis_fs_cache *fs_cache, const struct cis_layered_options *options,
                          const struct cis_stop *stop, cis_vfs **out_vfs, struct cis_error *err);

/* For a view of what another tenant publishes: renews its pin, which is what notices that the
 * branch is published no more. A view does so by itself, about once a minute, whether it is used or
 * not. From then on it answers EACCES to everything, what it has cached included. CIS_E_DENIED,
 * CIS_E_NOTFOUND (the branch or the tenant went), CIS_E_EXPIRED. Other views: CIS_OK. */
cis_code cis_layered_renew(cis_vfs *vfs, const struct cis_stop *stop, struct cis_error *err);

/* The view that reads see below the overlay. */
struct cis_view cis_layered_view(cis_vfs *vfs);
/* Whose files they are, as NAME#INSTANCE: for other calls of the store that belong to the same
 * work, so that they do not go on in a later tenant of the name. Lives as long as the fs cache. */
struct cis_str cis_layered_tenant(cis_vfs *vfs);

struct cis_layered_change {
    char what;           /* 'A' added, 'M' modified, 'D' removed, 'R' renamed (from → path) */
    struct cis_str path; /* from the root, without the leading slash */
    struct cis_str from;
    cis_node node; /* 0: removed */
    uint32_t mode;
    uint64_t size, old_size;
    bool cut; /* path, or from, is the end of a longer one */
};
#define CIS_LAYERED_PATH_MAX 4096u /* bytes of a path that are told */
/* What a commit would change now, in path order: a folder, what is in it, then other names that
 * only begin as it does. Costs time in proportion to the changes and the folders that lead to them,
 * and memory, charged to the view's budget: CIS_E_BUDGET. Ends at stop: CIS_E_CANCELLED,
 * CIS_E_DEADLINE. false stops. */
typedef bool cis_layered_change_each(void *self, const struct cis_layered_change *change);
cis_code cis_layered_changes(cis_vfs *vfs, cis_layered_change_each *each, void *self,
                             const struct cis_stop *stop, struct cis_error *err);
bool cis_layered_dirty(cis_vfs *vfs);

/* Commits the overlay as one epoch, together with what `with` brings (run record, memory, config;
 * its fs, ref, base and out fields are filled in here). with NULL: the files alone. Afterwards the
 * view is the new head and the overlay is empty. CIS_E_CONFLICT and CIS_E_QUOTA leave the overlay
 * as it was, to look at, save as a fork, or discard. */
cis_code cis_layered_commit(cis_vfs *vfs, const struct cis_store_commit *with,
                            struct cis_fs_committed *out, const struct cis_stop *stop,
                            struct cis_error *err);
/* The same onto a new branch, forked from the base and made by the commit itself: it is there when
 * the commit is, even when nothing changed. The view stays at its base with its overlay. with NULL:
 * the files alone; out may be NULL. CIS_E_EXISTS. */
cis_code cis_layered_commit_fork(cis_vfs *vfs, struct cis_str ref,
                                 const struct cis_store_commit *with, struct cis_fs_committed *out,
                                 const struct cis_stop *stop, struct cis_error *err);
/* A view that commits and continues learns the tenant's quotas, and what it has stored: after each
 * of its commits, and here. Others change both. */
cis_code cis_layered_quota(cis_vfs *vfs, const struct cis_stop *stop, struct cis_error *err);
/* The last commit of a view that ends: onto the ref or, when fork is given, onto a new branch of
 * that name. Content that was stored ahead and is gone (CIS_E_IO of a commit) costs the files it
 * was written to, and nothing beside them: a new file is left out, one that was committed before
 * keeps its content from then. The commit's note says so. out_left: which file, by its path, and
 * how many more; "" when there is none. */
cis_code cis_layered_commit_rest(cis_vfs *vfs, const struct cis_str *fork,
                                 char out_left[CIS_ERROR_MSG_MAX], const struct cis_stop *stop,
                                 struct cis_error *err);
/* Forgets the overlay; open files of new inodes answer ESTALE. */
void cis_layered_discard(cis_vfs *vfs);

/* What the changes of this view take in the store, at most; *out_full: something was refused by
 * options.stored_max. */
uint64_t cis_layered_stored(cis_vfs *vfs, bool *out_full);
/* Writes all of data at offset of an open file and, with truncate, ends the file behind it; or
 * changes nothing: EDQUOT, ENOSPC and whatever else a write says. A commit meanwhile has all of it
 * or nothing: one of more than a block waits for a commit that is on its way. */
int cis_layered_write_whole(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t offset,
                            const void *data, size_t len, bool truncate);
/* Does the quota allow a new file of so many bytes? 0 or EDQUOT; the write checks again. */
int cis_layered_fits(cis_vfs *vfs, const struct cis_vfs_call *call, uint64_t bytes);

/* Counters since the fs cache was made, for tests and doctor. */
struct cis_fs_cache_stats {
    uint64_t entry_hits, entry_misses, inode_hits, inode_misses, chunk_hits, chunk_misses;
    uint64_t store_reads;                  /* calls of the store */
    uint64_t entries, inodes, chunk_bytes; /* held now */
};
void cis_fs_cache_stats(cis_fs_cache *fs_cache, struct cis_fs_cache_stats *out);

#endif
