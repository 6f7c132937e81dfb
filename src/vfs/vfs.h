/* One filesystem as programs see it: files, directories, links, by node. Implemented by layered/
 * (versioned, over the store) and hostdir/ (a folder of the host, beneath its root); stacked by
 * shims (read-only, union, faults). WASI, FUSE and `cis fs` use only this and walk.h.
 *
 * Results are Linux errnos, 0 for success: Linux is the oracle for what each situation gives. What
 * a number cannot say (the database's own words for an EIO) goes to call->err when the caller gave
 * one. ESTALE: the view has expired. EDQUOT: a quota; ENOSPC: the stored cap. EINTR: call->stop.
 *
 * Nodes. A cis_node names a file of one cis_vfs while a reference on it is held, whatever happens
 * to its names. Operations that give a node give one reference with it; vfs->root needs none.
 *
 * Threads: a cis_vfs is used by any number of threads at once; no lock of it is held while another
 * process or the database is waited for, unless a slot says so. An open file too.
 *
 * Names are bytes without '/' and NUL, never "." or ".."; the callers of this interface check them
 * (walk.h does), implementations may assert it. */
#ifndef CIS_VFS_VFS_H
#define CIS_VFS_VFS_H

#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include "base/buf.h"
#include "base/budget.h"
#include "base/cancel.h"

typedef struct cis_vfs cis_vfs;
typedef struct cis_vfs_file cis_vfs_file;
typedef uint64_t cis_node; /* 0: none */

#define CIS_VFS_NAME_MAX 255u
#define CIS_VFS_PATH_MAX 4096u
#define CIS_VFS_LINKS_MAX 40u     /* symlinks followed by one walk */
#define CIS_VFS_APPEND UINT64_MAX /* as an offset: at the end, whatever it is then */
/* The folder of a mount's own controls (vfs/control), which is no part of its tree. */
#define CIS_CONTROL_NAME ".tarbox"
/* Names that begin so are a union's own, at any place of its upper filesystem (vfs/union). Nothing
 * else makes them where a union may read them: a layered filesystem refuses them unless it is told
 * otherwise. */
#define CIS_VFS_KEPT ".cis-union"

/* Who asks. Permission bits are checked by whoever knows users (the kernel, for FUSE); inside the
 * sandbox only mounts and grants count. uid and gid own what is made. */
struct cis_vfs_call {
    uint32_t uid, gid;
    uint32_t umask; /* permissions that files and folders made by path (walk.h) do not get */
    const struct cis_stop *stop; /* may be NULL */
    struct cis_error *err;       /* may be NULL */
    /* A hint for lookup: the rest of the path that the walk will take below the name it asks for
     * (as text, slashes and all; it may hold "." and ".."). A filesystem whose look-ups cost a
     * round trip may fetch several at once. Borrowed during the call; empty: nothing known. */
    struct cis_str ahead;
    /* Charged for what an open file holds in memory by itself (a listing), from the caller's thread
     * until its release; must live as long. NULL: nobody counts. */
    struct cis_budget *budget;
    /* Called before the filesystem waits for a database, for another process, or for a disk to take
     * or give much: for callers who hold something that others want meanwhile. It may be called
     * many times in one operation and with locks held, so it only notes or lets go, never waits.
     * NULL: nobody asks. */
    void (*waits)(void *self);
    void *self;
    /* Entries of folders that were read to answer: what a caller charges for, as one call may read
     * a folder of any size. NULL: nobody counts. */
    uint64_t *entries;
    /* Content that this call changes keeps its set-uid and set-gid bits: whoever asks has
     * CAP_FSETID, or the kernel has checked that (FUSE). False: writing, cutting and allocating
     * clear them, as Linux does. */
    bool keeps_set_id;
    /* A hint for readdir with attributes: the caller looks up each name that it is told, so no
     * entry is to be looked at only to tell of it. */
    bool looks;
};
/* The mode of a regular file after this call changed its content. */
static inline uint32_t cis_vfs_mode_changed(const struct cis_vfs_call *call, uint32_t mode,
                                            uint32_t gid)
{
    if (!S_ISREG(mode) || (call != NULL && call->keeps_set_id)) {
        return mode;
    }
    /* Without group-execute S_ISGID makes nobody a group; its members may keep it. */
    bool group = (mode & S_IXGRP) != 0 || call == NULL || call->gid != gid;
    return mode & ~(uint32_t)(S_ISUID | (group ? S_ISGID : 0));
}
static inline void cis_vfs_waits(const struct cis_vfs_call *call)
{
    if (call != NULL && call->waits != NULL) {
        call->waits(call->self);
    }
}

struct cis_vfs_attr {
    uint64_t ino;
    uint32_t dev;     /* number of the filesystem in its namespace, from 1 on; set by walk.h, 0
                       * when nothing was walked */
    uint64_t version; /* grows with every change of content or attributes, where the filesystem has
                       * such a number; else derived from ctime */
    uint32_t mode, nlink, uid, gid;
    uint64_t rdev;         /* as makedev(3) makes it */
    uint64_t size, blocks; /* blocks: of 512 bytes */
    struct timespec atime, mtime, ctime, btime;
};

enum cis_vfs_set_bits {
    CIS_VFS_SET_MODE = 1,
    CIS_VFS_SET_UID = 2,
    CIS_VFS_SET_GID = 4,
    CIS_VFS_SET_SIZE = 8,
    CIS_VFS_SET_ATIME = 16,
    CIS_VFS_SET_MTIME = 32,
    CIS_VFS_SET_ATIME_NOW = 64,
    CIS_VFS_SET_MTIME_NOW = 128,
};
struct cis_vfs_set {
    unsigned bits;
    uint32_t mode, uid, gid; /* mode: 07777 */
    uint64_t size;
    struct timespec atime, mtime;
};

/* What to make: the type bits of mode choose. Modes are stored as given (umask is the caller's);
 * a setgid directory gives its group, and to directories its bit. */
struct cis_vfs_make {
    uint32_t mode; /* S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK | 07777 */
    uint64_t rdev; /* as makedev(3) makes it */
    struct cis_str target; /* of a symlink, 1 … 4095 bytes */
};

/* A regular file to make and to open, as one step. */
struct cis_vfs_create_request {
    cis_node dir;
    struct cis_str name;
    uint32_t mode; /* the bits of 07777, as given */
    int flags;     /* as open's */
};

struct cis_vfs_entry {
    struct cis_str name; /* borrowed during the call */
    uint64_t ino;
    uint32_t type;   /* S_IFMT bits */
    uint64_t cookie; /* where to go on after this entry; never 0 */
};
/* attr NULL unless asked for; false: does not fit, stop before it. */
typedef bool cis_vfs_entry_each(void *self, const struct cis_vfs_entry *entry,
                                const struct cis_vfs_attr *attr);

struct cis_vfs_usage {
    uint64_t bytes, bytes_free; /* UINT64_MAX: no limit known */
    uint64_t files, files_free;
};

struct cis_vfs_ops {
    uint32_t size;    /* of this struct */
    const char *name; /* "layered", "hostdir", … */

    /* Of the slots below, `out_` pointers are never NULL unless a slot says so. */

    /* Frees the filesystem; no open files and no callers are left. Uncommitted changes are lost. */
    void (*close)(cis_vfs *);

    /* ---- nodes ---- */
    int (*lookup)(cis_vfs *, const struct cis_vfs_call *, cis_node dir, struct cis_str name,
                  cis_node *out_node, struct cis_vfs_attr *out_attr);
    /* Of the root too, where they change nothing. */
    void (*ref)(cis_vfs *, cis_node, uint64_t n);
    void (*forget)(cis_vfs *, cis_node, uint64_t n);
    int (*getattr)(cis_vfs *, const struct cis_vfs_call *, cis_node, struct cis_vfs_attr *out);
    int (*setattr)(cis_vfs *, const struct cis_vfs_call *, cis_node, const struct cis_vfs_set *,
                   struct cis_vfs_attr *out); /* out may be NULL */
    int (*readlink)(cis_vfs *, const struct cis_vfs_call *, cis_node, struct cis_buf *out);

    /* ---- names. Anything that exists already is EEXIST. link and rename are called through
     * cis_vfs_link and cis_vfs_rename only ---- */
    int (*make)(cis_vfs *, const struct cis_vfs_call *, cis_node dir, struct cis_str name,
                const struct cis_vfs_make *, cis_node *out_node, struct cis_vfs_attr *out_attr);
    int (*link)(cis_vfs *, const struct cis_vfs_call *, cis_node file, cis_node dir,
                struct cis_str name, struct cis_vfs_attr *out_attr);
    int (*unlink)(cis_vfs *, const struct cis_vfs_call *, cis_node dir, struct cis_str name);
    int (*rmdir)(cis_vfs *, const struct cis_vfs_call *, cis_node dir, struct cis_str name);
    /* flags: 0, RENAME_NOREPLACE, RENAME_EXCHANGE; others EINVAL. */
    int (*rename)(cis_vfs *, const struct cis_vfs_call *, cis_node dir, struct cis_str name,
                  cis_node to_dir, struct cis_str to_name, unsigned flags);

    /* ---- open files. flags: O_RDONLY, O_WRONLY, O_RDWR, O_TRUNC, O_APPEND, O_SYNC, O_DSYNC,
     * O_DIRECTORY; others are ignored. Directories open with O_RDONLY. ---- */
    int (*open)(cis_vfs *, const struct cis_vfs_call *, cis_node, int flags,
                cis_vfs_file **out_file);
    /* As O_CREAT | O_EXCL. */
    int (*create)(cis_vfs *, const struct cis_vfs_call *, const struct cis_vfs_create_request *,
                  cis_vfs_file **out_file, cis_node *out_node, struct cis_vfs_attr *out_attr);
    void (*release)(cis_vfs_file *);
    /* Reads until iov is full or the file ends. EBADF: not open for it. EISDIR. */
    int (*read)(cis_vfs_file *, const struct cis_vfs_call *, const struct iovec *iov, int niov,
                uint64_t offset, size_t *out_n);
    /* offset CIS_VFS_APPEND, or a file opened with O_APPEND: at the end, as one step. All is
     * written or, at a quota, the part that fits (an error only when nothing did). */
    int (*write)(cis_vfs_file *, const struct cis_vfs_call *, const struct iovec *iov, int niov,
                 uint64_t offset, size_t *out_n, uint64_t *out_end);
    int (*sync)(cis_vfs_file *, const struct cis_vfs_call *, bool data_only);
    /* mode as in fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE; EOPNOTSUPP. */
    int (*allocate)(cis_vfs_file *, const struct cis_vfs_call *, int mode, uint64_t offset,
                    uint64_t len);
    int (*seek)(cis_vfs_file *, const struct cis_vfs_call *, uint64_t offset, int whence,
                uint64_t *out_offset); /* SEEK_DATA, SEEK_HOLE; ENXIO */
    /* Entries after the cookie (0: from the start), "." and ".." first. A listing shows each name
     * that exists throughout exactly once; it is fixed when read from 0 and names removed since are
     * left out, so that cookies stay valid whatever changes. A cookie behind the end gives no entry
     * and is no error. attributes: attr is given, but NULL where it would be looked at entry by
     * entry and the call says that the caller does so by itself. */
    int (*readdir)(cis_vfs_file *, const struct cis_vfs_call *, uint64_t cookie, bool attributes,
                   cis_vfs_entry_each *each, void *self);

    int (*statfs)(cis_vfs *, const struct cis_vfs_call *, struct cis_vfs_usage *out);
    /* Makes everything done so far durable, where the filesystem commits by itself (a mount, a
     * session); elsewhere checks for errors only. */
    int (*flush)(cis_vfs *, const struct cis_vfs_call *);
    /* Does this node (a directory: what is in it) change by itself, so that nobody may remember
     * what it was? NULL: none does. */
    bool (*fickle)(cis_vfs *, cis_node);

    /* May be NULL. Several look-ups at once, from memory only, without giving references: for
     * filesystems whose nodes can be named without one (they answer ESTALE once it is gone).
     * names[0] in dir, names[1] in what was found, …, up to what is no directory. *out_n: how many
     * were found; the last one is *out_node, with its attributes. ENOENT: the next one does not
     * exist. EAGAIN: something is not at hand, or anything unusual: look up one by one. */
    int (*peek)(cis_vfs *, const struct cis_vfs_call *, cis_node dir, const struct cis_str *names,
                size_t n, size_t *out_n, cis_node *out_node, struct cis_vfs_attr *out_attr);
    /* May be NULL. For filesystems that do better with several names at once than one by one:
     * `path` is plain names with one slash between them, shorter than CIS_VFS_PATH_MAX, none of
     * which is followed. Gives what the last one is, with a reference, as lookup does. ENOENT: one
     * of them does not exist. EAGAIN: anything else, a link on the way too: look up one by one. */
    int (*jump)(cis_vfs *, const struct cis_vfs_call *, cis_node dir, struct cis_str path,
                cis_node *out_node, struct cis_vfs_attr *out_attr);
};

/* Embedded first in an implementation's own struct. */
struct cis_vfs {
    const struct cis_vfs_ops *ops;
    cis_node root;
    bool read_only; /* every change is EROFS; checked by the implementation too */
    /* Numbers of directories are given once, and nobody else moves directories: one that is met
     * twice in a walk has two names, which is damage. Elsewhere it may be a mount, or was moved. */
    bool dirs_once;
};
struct cis_vfs_file {
    cis_vfs *vfs;
    cis_node node;
    int flags;
    bool read_only; /* set by walk.h: opened through a read-only mount; see cis_file_set */
    uint32_t dev;   /* set by walk.h: as in cis_vfs_attr */
};

static inline void cis_vfs_close(cis_vfs *vfs)
{
    if (vfs != NULL) {
        vfs->ops->close(vfs);
    }
}

/* ---- the operations above, for callers ---- */
static inline int cis_vfs_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                                 struct cis_str name, cis_node *out_node,
                                 struct cis_vfs_attr *out_attr)
{
    return vfs->ops->lookup(vfs, call, dir, name, out_node, out_attr);
}
static inline void cis_vfs_ref(cis_vfs *vfs, cis_node node, uint64_t n)
{
    vfs->ops->ref(vfs, node, n);
}
static inline void cis_vfs_forget(cis_vfs *vfs, cis_node node, uint64_t n)
{
    vfs->ops->forget(vfs, node, n);
}
static inline int cis_vfs_getattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                                  struct cis_vfs_attr *out)
{
    return vfs->ops->getattr(vfs, call, node, out);
}
static inline int cis_vfs_setattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                                  const struct cis_vfs_set *set, struct cis_vfs_attr *out)
{
    return vfs->ops->setattr(vfs, call, node, set, out);
}
static inline int cis_vfs_readlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                                   struct cis_buf *out)
{
    return vfs->ops->readlink(vfs, call, node, out);
}
static inline int cis_vfs_make(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                               struct cis_str name, const struct cis_vfs_make *make,
                               cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    return vfs->ops->make(vfs, call, dir, name, make, out_node, out_attr);
}
static inline int cis_vfs_unlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                                 struct cis_str name)
{
    return vfs->ops->unlink(vfs, call, dir, name);
}
static inline int cis_vfs_rmdir(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                                struct cis_str name)
{
    return vfs->ops->rmdir(vfs, call, dir, name);
}
static inline int cis_vfs_open(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                               int flags, cis_vfs_file **out_file)
{
    return vfs->ops->open(vfs, call, node, flags, out_file);
}
static inline int cis_vfs_create(cis_vfs *vfs, const struct cis_vfs_call *call,
                                 const struct cis_vfs_create_request *request,
                                 cis_vfs_file **out_file, cis_node *out_node,
                                 struct cis_vfs_attr *out_attr)
{
    return vfs->ops->create(vfs, call, request, out_file, out_node, out_attr);
}
static inline void cis_vfs_release(cis_vfs_file *file)
{
    file->vfs->ops->release(file);
}
static inline int cis_vfs_read(cis_vfs_file *file, const struct cis_vfs_call *call,
                               const struct iovec *iov, int niov, uint64_t offset, size_t *out_n)
{
    return file->vfs->ops->read(file, call, iov, niov, offset, out_n);
}
static inline int cis_vfs_write(cis_vfs_file *file, const struct cis_vfs_call *call,
                                const struct iovec *iov, int niov, uint64_t offset, size_t *out_n,
                                uint64_t *out_end)
{
    return file->vfs->ops->write(file, call, iov, niov, offset, out_n, out_end);
}
static inline int cis_vfs_sync(cis_vfs_file *file, const struct cis_vfs_call *call, bool data_only)
{
    return file->vfs->ops->sync(file, call, data_only);
}
static inline int cis_vfs_allocate(cis_vfs_file *file, const struct cis_vfs_call *call, int mode,
                                   uint64_t offset, uint64_t len)
{
    return file->vfs->ops->allocate(file, call, mode, offset, len);
}
static inline int cis_vfs_seek(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t offset,
                               int whence, uint64_t *out_offset)
{
    return file->vfs->ops->seek(file, call, offset, whence, out_offset);
}
static inline int cis_vfs_readdir(cis_vfs_file *file, const struct cis_vfs_call *call,
                                  uint64_t cookie, bool attributes, cis_vfs_entry_each *each,
                                  void *self)
{
    return file->vfs->ops->readdir(file, call, cookie, attributes, each, self);
}
static inline int cis_vfs_statfs(cis_vfs *vfs, const struct cis_vfs_call *call,
                                 struct cis_vfs_usage *out)
{
    return vfs->ops->statfs(vfs, call, out);
}
static inline int cis_vfs_flush(cis_vfs *vfs, const struct cis_vfs_call *call)
{
    return vfs->ops->flush(vfs, call);
}
static inline bool cis_vfs_fickle(cis_vfs *vfs, cis_node node)
{
    return vfs->ops->fickle != NULL && vfs->ops->fickle(vfs, node);
}

/* A node with the filesystem that it is of. What is done to two nodes goes through the functions
 * below, which refuse with EXDEV what two filesystems would have to do together: a node means
 * nothing to another filesystem, or something else. */
struct cis_vfs_place {
    cis_vfs *vfs;
    cis_node node;
};
static inline struct cis_vfs_place cis_vfs_at(cis_vfs *vfs, cis_node node)
{
    return (struct cis_vfs_place){vfs, node};
}
int cis_vfs_link(const struct cis_vfs_call *call, struct cis_vfs_place file,
                 struct cis_vfs_place dir, struct cis_str name, struct cis_vfs_attr *out_attr);
int cis_vfs_rename(const struct cis_vfs_call *call, struct cis_vfs_place dir, struct cis_str name,
                   struct cis_vfs_place to_dir, struct cis_str to_name, unsigned flags);

bool cis_vfs_name_valid(struct cis_str name);
/* Does call->err say more than errno `no`: the store's own words for an EIO, whom it
 * refuses, or whether the time or a cancel ended it? */
bool cis_vfs_told(const struct cis_error *why, int rc);
/* The code a host operation ends with when a filesystem said errno `no` about `what`. */
cis_code cis_vfs_fail(struct cis_error *err, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
