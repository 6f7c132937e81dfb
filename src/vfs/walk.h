/* Paths: mounts joined to one tree, and the walk through it, one component at a time beneath a
 * root. There is no look-up by string: a walk holds a reference on every directory it stands in, so
 * renames beside it change where it goes but never let it out. Absolute symlinks and ".." stop at
 * the place the walk began beneath (policy below). Verbs with the meaning of their *at(2) calls are
 * what WASI and `cis fs` use.
 *
 * A namespace is built by one thread and then used by any number at once. It borrows its
 * filesystems. */
#ifndef CIS_VFS_WALK_H
#define CIS_VFS_WALK_H

#include "vfs/vfs.h"

typedef struct cis_ns cis_ns;
#define CIS_NS_MOUNTS_MAX 64u

/* An empty namespace: its root is a read-only directory that shows the mount points. */
cis_code cis_ns_new(cis_ns **out_ns, struct cis_error *err);
void cis_ns_free(cis_ns *ns);
/* Mounts the directory `root` of vfs (0: vfs->root) at an absolute path. "/" covers everything; a
 * path below a mounted filesystem must be a directory there (as in mount(2)); elsewhere it is made
 * in the namespace. read_only: every change through this mount is EROFS. Longest prefix wins;
 * rename and link between mounts are EXDEV; removing or renaming a mount point is EBUSY.
 * CIS_E_INVALID, CIS_E_EXISTS (mounted already), CIS_E_LIMIT. */
cis_code cis_ns_mount(cis_ns *ns, struct cis_str path, cis_vfs *vfs, cis_node root, bool read_only,
                      struct cis_error *err);
/* The same, but where what is mounted above the path has no such folder the mount stands apart:
 * walks from other directories do not meet it, cis_dir_root at its path starts in it. So nothing
 * has to be made in somebody's folder for a program that begins with both. */
cis_code cis_ns_mount_anyway(cis_ns *ns, struct cis_str path, cis_vfs *vfs, bool read_only,
                             struct cis_error *err);

/* A directory that a walk may start from and must stay beneath. It holds references on itself and
 * on the directories it was reached through: ".." goes back along them. Any threads at once. */
typedef struct cis_dir cis_dir;
/* The directory at an absolute path of the namespace; in or below a mount that stands apart when
 * the path is one's. */
int cis_dir_root(cis_ns *ns, const struct cis_vfs_call *call, struct cis_str path,
                 cis_dir **out_dir);
void cis_dir_free(cis_dir *dir);
/* Bytes of memory that the directory holds and `from`, which it was reached through, does not. */
size_t cis_dir_bytes(const cis_dir *dir, const cis_dir *from);
/* Are they of one namespace? Device numbers of others have nothing to do with each other. */
bool cis_dir_together(const cis_dir *a, const cis_dir *b);
/* Borrowed: "/" and the names walked through; for messages and for a process's own idea of it.
 * Empty when longer than CIS_VFS_PATH_MAX. */
struct cis_str cis_dir_path(const cis_dir *dir);

enum cis_walk_flags {
    CIS_WALK_NOFOLLOW = 1, /* the last component is not followed when it is a symlink */
    /* Absolute paths and symlinks start again at `beneath` (FUSE-less `cis fs`, chroot-like);
     * without it they are EPERM, as is ".." above it (WASI). With it ".." there stays there. */
    CIS_WALK_CHROOT = 2,
    /* The last component is a name to make, remove or rename: never followed, not even before a
     * slash, and what it names may be anything; must_be_dir tells of the slash. */
    CIS_WALK_NAME = 4,
    CIS_WALK_STRAIGHT = 8, /* no symlink is followed on the way: ENOTDIR, as below a file */
};

/* What a walk found. done() it. */
struct cis_found {
    cis_vfs *vfs;
    bool read_only;                /* by the mount, or the filesystem is */
    const struct cis_mount *mount; /* that the last name stands in; the mount itself is its
                                    * identity, also between namespaces */
    cis_node dir; /* of the last name; holds a reference; 0 when the path ended in "." or
                   * ".." or at a mount point */
    char name[CIS_VFS_NAME_MAX + 1]; /* of dir; also ".", "..", or "/" for a path of slashes */
    size_t name_len;                 /* 0: longer than any name may be (only with CIS_WALK_NAME) */
    bool borrowed;                   /* by verbs that need no references: node has none */
    bool must_be_dir;                /* a trailing slash, or "." */
    bool is_mount;                   /* the path names a mount point */
    cis_node node;                   /* 0: the last name does not exist; holds a reference */
    struct cis_vfs_attr attr;        /* of node */
};
/* beneath: NULL is start itself; else a directory that start was reached through (EINVAL). Missing
 * intermediate directories are ENOENT; a missing last name is success with node 0. Empty path
 * ENOENT, NUL inside EINVAL, too long ENAMETOOLONG, too many symlinks ELOOP. */
int cis_walk(const cis_dir *start, const cis_dir *beneath, const struct cis_vfs_call *call,
             struct cis_str path, unsigned flags, struct cis_found *out);
void cis_found_done(struct cis_found *found);

/* ---- verbs (flags: enum cis_walk_flags) ---- */
int cis_at_stat(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                unsigned flags, struct cis_vfs_attr *out);
struct cis_open_how {
    unsigned walk; /* enum cis_walk_flags */
    int flags; /* O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, those of cis_vfs_ops.open */
    uint32_t mode; /* of a file that is made; the umask is the call's */
};
int cis_at_open(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                const struct cis_open_how *how, cis_vfs_file **out_file,
                struct cis_vfs_attr *out_attr);
/* A directory to walk from, beneath which further walks stay. */
int cis_at_dir(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
               unsigned flags, cis_dir **out_dir);
/* The one that the path names: an open file with its attributes, or a directory to walk from. Of
 * *out_file and *out_dir one is set, the other NULL. */
int cis_at_open_any(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                    const struct cis_open_how *how, cis_vfs_file **out_file,
                    struct cis_vfs_attr *out_attr, cis_dir **out_dir);
/* Directories, symlinks, fifos, …: see struct cis_vfs_make. */
int cis_at_make(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                unsigned flags, const struct cis_vfs_make *make);
int cis_at_set(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
               unsigned flags, const struct cis_vfs_set *set);
int cis_at_readlink(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                    unsigned flags, struct cis_buf *out);
/* flags: of the source (linkat's AT_SYMLINK_FOLLOW is the absence of CIS_WALK_NOFOLLOW). */
int cis_at_link(const cis_dir *from, struct cis_str path, const cis_dir *to, struct cis_str to_path,
                const struct cis_vfs_call *call, unsigned flags);
int cis_at_unlink(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                  unsigned flags);
int cis_at_rmdir(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str path,
                 unsigned flags);
int cis_at_rename(const cis_dir *from, struct cis_str path, const cis_dir *to,
                  struct cis_str to_path, const struct cis_vfs_call *call, unsigned flags,
                  unsigned rename_flags);

/* ---- open files, whose mount may be read-only where their filesystem is not ---- */
int cis_file_set(cis_vfs_file *file, const struct cis_vfs_call *call, const struct cis_vfs_set *set,
                 struct cis_vfs_attr *out); /* out may be NULL */
int cis_file_stat(cis_vfs_file *file, const struct cis_vfs_call *call, struct cis_vfs_attr *out);
static inline void cis_vfs_file_close(cis_vfs_file *file)
{
    if (file != NULL) {
        cis_vfs_release(file);
    }
}

#endif
