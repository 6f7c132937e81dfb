/* One filesystem over another: reads fall through to the lower one, which is never written; every
 * change goes to the upper one (a layered branch over a folder of the host: `--dir …:cow`). What is
 * changed is copied up first, in constant memory.
 *
 * The upper filesystem holds, in names that the union does not show (those that begin with
 * CIS_VFS_KEPT):
 * - in each folder that continues a lower one, a symlink that names the lower folder, by its path
 *   and by what it is: a folder without it is the upper one's alone. So a lower folder is renamed
 *   by renaming its copy, and a new folder over a removed one shows nothing of it, without any
 *   mark. A lower folder that is moved as its copy was is found at its new place;
 * - in the root, a folder with the copies of lower files that have several names, and with a record
 *   of what was seen of each lower name that was hidden or copied (seen.c).
 * A lower name that is gone is a character device 0/0 of that name in the upper folder, as
 * overlayfs has it: any name that the lower one can have fits, one rename replaces it, and nobody
 * can make or open such a device here. All of it are ordinary entries: they are committed, forked,
 * and rolled back with the files.
 *
 * Changes of the lower one from outside while a union is used show where nothing is copied.
 * Inode numbers of a file change when it is copied up and opened anew.
 *
 * Threads: any. One lock keeps names together: it is held for reading while the two are asked for a
 * name, for writing while names change; content is read, written and copied without it. */
#ifndef CIS_VFS_UNION_UNION_H
#define CIS_VFS_UNION_UNION_H

#include "vfs/digest.h"
#include "vfs/vfs.h"

/* Borrows both. read_only when the upper one is. CIS_E_INVALID: the upper one has content that is
 * no union's. budget: charged for what the union itself holds (nodes, open files, buffers of
 * copies, listings whose caller names none of its own); what does not fit is ENOMEM. Borrowed until
 * the union is closed; charged by whoever calls, so all who share it are one thread. NULL: nobody
 * counts. */
cis_code cis_union_open(cis_vfs *lower, cis_vfs *upper, struct cis_budget *budget,
                        cis_vfs **out_vfs, struct cis_error *err);

struct cis_union_change {
    char what; /* 'A' added, 'M' changed, 'D' removed, 'R' a folder renamed (from → path) */
    struct cis_str path;   /* from the root, without the leading slash */
    struct cis_str from;   /* 'R': where the lower one has it */
    struct cis_str target; /* of a symlink that is there now */
    uint32_t mode;         /* 'D': of what was removed */
    uint64_t size, old_size;
    bool cut;             /* path is the end of a longer one, */
    struct cis_str whole; /* which is this */
};
#define CIS_UNION_PATH_MAX 4096u /* bytes of a path that are told */
typedef bool cis_union_change_each(void *self, const struct cis_union_change *change);
/* What the upper one makes of the lower one as it is now. A removed folder is one change; what
 * replaced something of another kind is a 'D' and then an 'A'. Changes come in the order of their
 * paths, a folder before what is in it; those of lower files with several names come last.
 * A folder that the upper one made anew over a lower one is no change by itself, but for what is in
 * it. A file that was copied and has the mode, time of change and content of the lower one is no
 * change. Not to
 * be used while names change. false stops. Costs the upper one's entries, and the whole tree when
 * lower files with several names were changed; holds the names of the folders on the way to where
 * it is, charged to call->budget or the union's (ENOMEM). Ends at call->stop (EINTR). */
int cis_union_changes(cis_vfs *vfs, const struct cis_vfs_call *call, cis_union_change_each *each,
                      void *self);

/* What the upper one's makers saw of a lower name when they hid it or changed its file. */
#define CIS_UNION_KEY 64
struct cis_union_seen {
    uint32_t mode;
    uint64_t size;
    bool hashed; /* files and symlinks */
    uint8_t digest[CIS_DIGEST_BYTES];
    char key[CIS_UNION_KEY]; /* cis_union_key of it */
};
/* path: of the lower one, without the leading slash. lower: what is there now, NULL: nothing; for
 * files with several names, which are known by themselves too. ENOENT: nothing was seen of it, or
 * by a version before 0.2, which kept no records. */
int cis_union_seen(cis_vfs *vfs, const struct cis_vfs_call *call, struct cis_str path,
                   const struct cis_vfs_attr *lower, struct cis_union_seen *out);
/* The same of a file with several names that had this key; it may be gone. ENOENT. */
int cis_union_seen_by_key(cis_vfs *vfs, const struct cis_vfs_call *call, const char *key,
                          struct cis_union_seen *out);
/* Which file it is, whatever its name and content: inode number and time of birth. */
void cis_union_key(const struct cis_vfs_attr *lower, char out[CIS_UNION_KEY]);
/* Has the upper one anything of its own? Not for ever: what it changed may be as it was again. */
bool cis_union_changed(cis_vfs *vfs);
/* The lower file that has the key `now` was put where the one with the key `was` had been, all of
 * its names: changes of that are shown of this, unless it was changed itself. Before anything is
 * looked at. */
cis_code cis_union_again(cis_vfs *vfs, const char *was, const char *now, struct cis_error *err);
/* Is the lower file with this key such a one? */
bool cis_union_is_again(cis_vfs *vfs, const char *key);

#endif
