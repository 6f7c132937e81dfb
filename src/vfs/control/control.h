/* A mount's own control files: a filesystem above another one, the same but for `/.tarbox`, which
 * shows and changes the layers of the tree below (a layer is a snapshot, or the working head) and
 * shows every snapshot as a read-only tree. Only mounts put it in; guests never see it.
 *
 *   layers/current list tree diff   JSON, fixed when opened      stats/usage   JSON
 *   layers/new switch drop          text or JSON, acts on write  last_error    lines
 *   snapshots/NAME/…                read-only trees ('/' in a name is shown as ':')
 *   mount                           JSON: who serves this
 *
 * Only the exact name `.tarbox` in the root is special; listings of the root do not show it.
 *
 * Switching opens another head above the same root. What was opened or looked up before stays what
 * it was, read-only. An open file needs a reference on its node (a mount has one).
 *
 * Threads: as in vfs.h. The callbacks are called by whichever thread asks, without locks, but
 * `open` and `switched` while changes wait. */
#ifndef CIS_VFS_CONTROL_CONTROL_H
#define CIS_VFS_CONTROL_CONTROL_H

#include "store/store.h"
#include "vfs/vfs.h"

struct cis_control_options {
    uint32_t size;
    cis_store *store; /* borrowed, as all below; NULL: layers and snapshots are not there */
    struct cis_str tenant;
    struct cis_str ref; /* the branch that is mounted; empty: a snapshot is, nothing changes */
    uint64_t fence;     /* of the lease held on ref */
    uint32_t uid, gid;  /* who may write to the verbs */
    /* The tree of a snapshot, read-only; with head: of ref as it is now, to go on with. */
    cis_code (*open)(void *self, struct cis_view at, bool head, cis_vfs **out_vfs,
                     struct cis_error *err);
    /* What differs, as the JSON array of layers/diff; NULL: the file is not there. */
    cis_code (*diff)(void *self, struct cis_view from, struct cis_view to, struct cis_buf *out,
                     struct cis_error *err);
    /* After a switch: this name in `dir` (a node) may be another file now, and with an empty name
     * the directory is another one. NULL: nobody remembers. */
    void (*switched)(void *self, cis_node dir, struct cis_str name);
    void *self;
};
#define CIS_CONTROL_OPTIONS_INIT                                                                   \
    {                                                                                              \
        .size = sizeof(struct cis_control_options)                                                 \
    }

/* Takes over `head`: closed with the result, or by the caller on failure. */
cis_code cis_control_new(cis_vfs *head, const struct cis_control_options *options,
                         cis_vfs **out_vfs, struct cis_error *err);
/* From now on every change is EROFS. Returns when none is under way. */
void cis_control_seal(cis_vfs *vfs);
/* What last_error shows: the last CIS_CONTROL_NOTES things that went wrong, oldest first, each a
 * line with when it was and how often. What is right again is there no more. */
#define CIS_CONTROL_NOTES 32u
enum cis_control_topic {
    CIS_CONTROL_VERB,    /* the last verb failed */
    CIS_CONTROL_COMMIT,  /* what was written is not committed yet */
    CIS_CONTROL_LEASE,   /* why the mount only reads; the lease's renewal */
    CIS_CONTROL_REQUEST, /* an operation failed and not by its caller's fault */
};
void cis_control_note(cis_vfs *vfs, enum cis_control_topic topic, const char *text);
/* Nothing of the topic is wrong any more. */
void cis_control_well(cis_vfs *vfs, enum cis_control_topic topic);
/* The head's filesystem, borrowed until the next switch. */
cis_vfs *cis_control_head(cis_vfs *vfs);

#endif
