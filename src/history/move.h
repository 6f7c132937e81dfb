/* Trees to and from other places: tar streams and other stores. Memory is constant in the size of
 * files; it grows with the number of names that are hard-linked and of folders (tar), and with
 * directories and what is changed (other stores). */
#ifndef CIS_HISTORY_MOVE_H
#define CIS_HISTORY_MOVE_H

#include "history/history.h"
#include "vfs/walk.h"

struct cis_move_counts {
    uint64_t files, bytes;        /* entries and content bytes */
    uint64_t chunks, chunks_sent; /* to another store: named by the tree, and not there yet */
    uint64_t skipped;             /* entries that a tar cannot hold (sockets) */
};
/* Told now and then; false cancels (CIS_E_CANCELLED). */
typedef bool cis_move_progress(void *self, const struct cis_move_counts *counts,
                               struct cis_str path);

/* What could not be read, with the reason; the copy goes on without it. `self` is the progress's.
 * Failures of the target, of the store as a whole, and cancellations end it as before. */
typedef void cis_move_skipped(void *self, struct cis_str path, const struct cis_error *why);

/* Copies what `from` found (a file, or a directory with all below it) to the name of `to` that was
 * walked to with CIS_WALK_NAME: content with its holes, modes, times, symlinks, hard links, and
 * with owner also uid and gid. A directory goes into one that is there; anything else is replaced.
 */
struct cis_copy_options {
    bool owner;
    /* Files are made under another name and moved to their place when they are whole: for a target
     * that is no transaction. */
    bool beside;
    bool keep_devices; /* a device, a pipe or a socket in the way is not replaced: CIS_E_EXISTS */
    cis_move_skipped *skipped; /* NULL: the first thing that cannot be read ends it */
    uint32_t clear; /* mode bits that are not kept: 06000 where set-id bits would be dangerous */
};
cis_code cis_history_copy(const struct cis_found *from, const struct cis_vfs_call *from_call,
                          const struct cis_found *to, const struct cis_vfs_call *to_call,
                          const struct cis_copy_options *options, cis_move_progress *progress,
                          void *self, struct cis_move_counts *counts, struct cis_error *err);

/* Writes the tree below dir as a tar (pax: long names, nanoseconds, holes, hard links) to fd.
 * skipped, unless NULL: content that cannot be read is zeros in the tar, as the message says, and
 * what cannot be looked up is not in it. */
cis_code cis_history_tar_write(const cis_dir *dir, const struct cis_vfs_call *call, int fd,
                               cis_move_progress *progress, cis_move_skipped *skipped, void *self,
                               struct cis_move_counts *out, struct cis_error *err);
/* Is it a failure of this one file, which others need not have? why: of it, else only the errno. */
bool cis_move_may_skip(int rc, const struct cis_vfs_call *call, struct cis_str path,
                       struct cis_error *out_why);
/* Reads a tar (plain, gzip, zstd, xz, bzip2) from fd into dir. Names that leave dir, and entries
 * through symlinks, are refused; what is there is replaced, folders are kept, and of several
 * entries for one folder the last gives its attributes. Nothing is committed here: the caller
 * discards when this fails. */
cis_code cis_history_tar_read(const cis_dir *dir, const struct cis_vfs_call *call, int fd,
                              cis_move_progress *progress, void *self, struct cis_move_counts *out,
                              struct cis_error *err);

/* Makes branch to_ref of another store (or tenant) what `from` is, as one commit there; the branch
 * is made when it does not exist. Only content that the other tenant lacks is sent. */
cis_code cis_history_send(const struct cis_history *from, struct cis_view view,
                          const struct cis_history *to, struct cis_str to_ref, const char *note,
                          cis_move_progress *progress, void *self, struct cis_move_counts *out,
                          struct cis_error *err);

#endif
