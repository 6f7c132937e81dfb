/* A cis_vfs as a mount of the host, through libfuse's low-level interface. The kernel checks
 * permissions (default_permissions) and keeps advisory locks; everything else is the filesystem's.
 *
 * Nodes: a node of the filesystem is the kernel's while it holds look-ups on it. Inode numbers are
 * never reused, so generations are not needed.
 *
 * Threads: requests are answered by worker threads, some at first, one more whenever all are stuck;
 * cis_fuse_stop may be called from any thread, and from a signal handler. A request whose process
 * got a signal and that still waits half a second later ends with EINTR. */
#ifndef CIS_FUSE_FUSE_H
#define CIS_FUSE_FUSE_H

#include "base/cancel.h"
#include "vfs/vfs.h"

typedef struct cis_fuse cis_fuse;

struct cis_fuse_options {
    uint32_t size;
    bool read_only;
    bool allow_other; /* users beside the one who mounts; the system may refuse it */
    bool exclusive;   /* nobody else changes what is mounted: the kernel may keep what it knows */
    unsigned keep_ms; /* not exclusive: how long it may keep names and attributes */
    /* A descriptor of /dev/fuse on which somebody has mounted already, in a namespace of his own;
     * 0: mounts itself. It is the mount's from then on. Whoever mounted also ends the mount. */
    int mounted_fd;
    const char *fsname; /* what mount(8) shows; NULL: "cis" */
    unsigned threads;   /* at first; 0: 4 */
    cis_cancel *cancel; /* fired: the same as cis_fuse_stop; borrowed, may be NULL */
    /* Called by the threads that serve, any number at once; may be NULL. An operation failed for
     * what is not its caller's fault (EIO, ENOSPC, EDQUOT, ESTALE); why: what is known of it. */
    void (*failed)(void *self, int rc, const char *why);
    /* A file that was written to is closed: the errno that close(2) answers. */
    int (*closed)(void *self, const struct cis_vfs_call *call);
    void *self;
};
#define CIS_FUSE_OPTIONS_INIT                                                                      \
    {                                                                                              \
        .size = sizeof(struct cis_fuse_options)                                                    \
    }

/* Mounts vfs on an existing directory; borrowed until cis_fuse_free. When it returns the mount is
 * there and waits for cis_fuse_run. CIS_E_NOTFOUND, CIS_E_DENIED, CIS_E_UNSUPPORTED (no /dev/fuse).
 */
cis_code cis_fuse_mount(cis_vfs *vfs, const char *dir, const struct cis_fuse_options *options,
                        cis_fuse **out_fuse, struct cis_error *err);
/* Answers requests until the mount is gone (umount) or cis_fuse_stop. */
cis_code cis_fuse_run(cis_fuse *fuse, struct cis_error *err);
/* Ends cis_fuse_run, now or when it begins. The mount goes first, while requests are still
 * answered, so that what mappings changed arrives; that takes at most FUSE_DOWN_NS.
 * Async-signal-safe. */
void cis_fuse_stop(cis_fuse *fuse);
/* The kernel forgets what it knows of a name in a directory that it may hold (an empty name: of the
 * directory itself). Waits for the kernel, which may wait for other requests: not from every worker
 * at once. */
void cis_fuse_invalidate(cis_fuse *fuse, cis_node dir, struct cis_str name);
/* Ends the mount of whoever serves it, with what the kernel still holds written first.
 * CIS_E_CONFLICT: files are open in it. Nothing happens to what is open. */
cis_code cis_fuse_unmount(const char *dir, struct cis_error *err);
/* Unmounts (files still open elsewhere answer an error from then on) and frees. */
void cis_fuse_free(cis_fuse *fuse);

#endif
