/* What the files of this room share: the folder, its live nodes, its open files. */
#ifndef CIS_VFS_HOSTDIR_INTERNAL_H
#define CIS_VFS_HOSTDIR_INTERNAL_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include "base/lock.h"
#include "vfs/hostdir/hostdir.h"

#define HOST_BUCKETS 1024u

/* One file of the host, held by an O_PATH descriptor: while that is open its inode number is not
 * given to another file, so (mount, device, inode) names it. */
struct host_node {
    struct host_node *next;
    uint64_t ino, mnt, refs;
    dev_t dev;
    uint32_t type; /* S_IFMT bits; never changes */
    int fd;
};

/* Locks, outermost first; house_thread_safety checks it. */
CIS_LOCK_CLASS(host_lock_table);
CIS_LOCK_CLASS(host_lock_file, CIS_BEFORE(host_lock_table));

struct hostdir {
    cis_vfs vfs;
    bool devices, fsetid; /* fsetid: the kernel leaves set-id bits to this process (CAP_FSETID) */
    uint32_t nodes_max, nnodes CIS_GUARDED_BY(host_lock_table); /* the root is not counted */
    struct cis_budget *budget; /* may be NULL; used under the lock */
    int proc;                  /* the root of procfs: the way from O_PATH to an open file */
    struct host_node root;
    pthread_mutex_t lock; /* of the table and all refs; no system call is made under it */
    struct host_node *buckets[HOST_BUCKETS] CIS_GUARDED_BY(host_lock_table);
};

struct host_listing;
struct host_file {
    cis_vfs_file file;
    int fd;
    pthread_mutex_t lock; /* of the descriptor's position and of `listing` */
    struct host_listing *listing CIS_GUARDED_BY(host_lock_file);
};

static inline struct hostdir *host_of(cis_vfs *vfs)
{
    return (struct hostdir *)vfs;
}

static inline struct host_file *host_file_of(cis_vfs_file *file)
{
    return (struct host_file *)file;
}

static inline struct host_node *host_node_of(cis_node node)
{
    return (struct host_node *)(uintptr_t)node;
}

/* Room for a name and its NUL; names come without one. */
struct host_name {
    char text[CIS_VFS_NAME_MAX + 1];
};
static inline int host_name_set(struct host_name *out, struct cis_str name)
{
    if (name.len > CIS_VFS_NAME_MAX) {
        return ENAMETOOLONG;
    }
    memcpy(out->text, name.ptr, name.len);
    out->text[name.len] = '\0';
    return 0;
}

/* ---- node.c ---- */
/* What a node and an open file cost, with their descriptors. */
#define HOST_NODE_COST (sizeof(struct host_node) + 256u)
#define HOST_FILE_COST (sizeof(struct host_file) + 256u)
int cis_hostdir_charge(struct hostdir *fs, uint64_t bytes);
void cis_hostdir_release_charge(struct hostdir *fs, uint64_t bytes);
/* What the host says of a descriptor (name "") or of a name below it; links are not followed. */
int cis_hostdir_stat(const struct hostdir *fs, int fd, const char *name, struct cis_vfs_attr *out,
                     struct host_node *out_id);
uint64_t cis_hostdir_shown_ino(const struct hostdir *fs, uint64_t ino, dev_t dev);
bool cis_hostdir_shown(const struct hostdir *fs, uint32_t mode);
/* One component, or several without "..", beneath dir: a descriptor. -1 and errno. */
int cis_hostdir_open_name(int dir, const char *name, uint64_t flags, uint32_t mode);
/* The same file through another descriptor: O_PATH → open, open → O_PATH. -1 and errno. */
int cis_hostdir_reopen(const struct hostdir *fs, int fd, int flags);
/* The node of an O_PATH descriptor, which is taken over (closed when it fails). */
int cis_hostdir_node_take(struct hostdir *fs, int fd, cis_node *out_node,
                          struct cis_vfs_attr *out_attr);
int cis_hostdir_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                       struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr);
int cis_hostdir_jump(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str path, cis_node *out_node, struct cis_vfs_attr *out_attr);
void cis_hostdir_ref(cis_vfs *vfs, cis_node node, uint64_t n);
void cis_hostdir_forget(cis_vfs *vfs, cis_node node, uint64_t n);
int cis_hostdir_getattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                        struct cis_vfs_attr *out);
int cis_hostdir_setattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                        const struct cis_vfs_set *set, struct cis_vfs_attr *out);
/* Before the content of a file is changed. The kernel clears the set-id bits of what is changed by
 * a process without CAP_FSETID; whether a caller of ours has that is not what this process has. */
int cis_hostdir_set_id_clear(struct hostdir *fs, const struct cis_vfs_call *call,
                             const struct host_node *node);
int cis_hostdir_readlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                         struct cis_buf *out);

/* ---- name.c ---- */
int cis_hostdir_make(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name, const struct cis_vfs_make *make, cis_node *out_node,
                     struct cis_vfs_attr *out_attr);
int cis_hostdir_link(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node file, cis_node dir,
                     struct cis_str name, struct cis_vfs_attr *out_attr);
int cis_hostdir_unlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                       struct cis_str name);
int cis_hostdir_rmdir(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                      struct cis_str name);
int cis_hostdir_rename(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                       struct cis_str name, cis_node to_dir, struct cis_str to_name,
                       unsigned flags);
int cis_hostdir_create(cis_vfs *vfs, const struct cis_vfs_call *call,
                       const struct cis_vfs_create_request *request, cis_vfs_file **out_file,
                       cis_node *out_node, struct cis_vfs_attr *out_attr);

/* ---- file.c ---- */
#define HOST_MUCH (1u << 20) /* bytes in one call that a disk may take its time for */
#define HOST_OPEN_ALWAYS (O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define HOST_OPEN_PASSED (O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC | O_DSYNC)
/* Takes over fd (closed when it fails); takes a reference of its own on node. */
int cis_hostdir_file_new(struct hostdir *fs, int fd, cis_node node, int flags,
                         cis_vfs_file **out_file);
int cis_hostdir_node_open(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node, int flags,
                          cis_vfs_file **out_file);
void cis_hostdir_release(cis_vfs_file *file);
int cis_hostdir_read(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                     int niov, uint64_t offset, size_t *out_n);
int cis_hostdir_write(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                      int niov, uint64_t offset, size_t *out_n, uint64_t *out_end);
int cis_hostdir_sync(cis_vfs_file *file, const struct cis_vfs_call *call, bool data_only);
int cis_hostdir_allocate(cis_vfs_file *file, const struct cis_vfs_call *call, int mode,
                         uint64_t offset, uint64_t len);
int cis_hostdir_seek(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t offset,
                     int whence, uint64_t *out_offset);

/* ---- listing.c ---- */
int cis_hostdir_readdir(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t cookie,
                        bool attributes, cis_vfs_entry_each *each, void *self);
void cis_hostdir_listing_unref(struct host_listing *listing);

#endif
