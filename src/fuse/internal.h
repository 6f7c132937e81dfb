/* What the files of the mount share. */
#ifndef CIS_FUSE_INTERNAL_H
#define CIS_FUSE_INTERNAL_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/cancel.h"
#include "base/lock.h"
#include "fuse/fuse.h"

#define FUSE_IO_MAX (1u << 20) /* bytes of one read or write */

#define FUSE_THREADS_MAX 64u
#define FUSE_BUSY_NS (50ull * 1000000ull) /* all busy for so long: one more thread */
/* How long an operation goes on when the process that waits for it got a signal. Programs do not
 * expect EINTR of files, and nearly everything is done before this; what still waits then is stuck.
 */
#define FUSE_PATIENCE_NS (500ull * 1000000ull)
/* How long the kernel may take to write what it holds when the mount ends. */
#define FUSE_DOWN_NS (20ull * 1000000000ull)
#define FUSE_STUCK_NS (4ull * 1000000000ull) /* and how long without a single answer */

/* Locks. Neither is held while the other is taken, nor while the filesystem or the kernel is
 * called.
 *
 * | class            | lock             | guards                                    |
 * |------------------|------------------|-------------------------------------------|
 * | fuse_lock_mount  | cis_fuse.lock    | open handles, whether the mount is ending |
 * | fuse_lock_worker | fuse_worker.lock | the request at work, its token            |
 *
 * A token's own lock (base_lock_cancel) is taken within fuse_lock_worker. */
CIS_LOCK_CLASS(fuse_lock_worker, CIS_BEFORE(base_lock_cancel));
CIS_LOCK_CLASS(fuse_lock_mount);

/* A thread that serves requests, and what the one at work may be interrupted by. */
struct fuse_worker {
    struct cis_fuse *f;
    pthread_t thread;
    struct fuse_buf buf; /* libfuse's allocation */
    pthread_mutex_t lock;
    fuse_req_t req CIS_GUARDED_BY(fuse_lock_worker);    /* at work, or the last one */
    uint64_t due_ns CIS_GUARDED_BY(fuse_lock_worker);   /* when it is interrupted; 0: not */
    cis_cancel *token CIS_GUARDED_BY(fuse_lock_worker); /* fired at most once, then another */
    struct cis_stop stop;
    struct cis_error err; /* what the filesystem said of the request at work */
};

/* An open file of the kernel. In a list, because a mount may end while files are open. */
struct fuse_handle {
    cis_vfs_file *file;
    atomic_bool wrote; /* through it, so its close is asked about */
    struct fuse_handle *next, **link;
};

struct cis_fuse {
    cis_vfs *vfs;
    struct cis_fuse_options o; /* what it calls */
    struct fuse_session *session;
    bool mounted, exclusive;
    unsigned threads;
    int stop_fd;       /* eventfd: readable from cis_fuse_stop on */
    int interrupt_fd;  /* eventfd: readable when a worker's due_ns was set */
    int cancel_fd;     /* of the caller's token; -1: none */
    double keep;       /* seconds the kernel may keep names and attributes */
    atomic_int failed; /* errno that ended a worker */
    pthread_mutex_t lock;
    struct fuse_handle *handles CIS_GUARDED_BY(fuse_lock_mount); /* open files */
    struct fuse_worker *workers; /* FUSE_THREADS_MAX, of which … */
    unsigned nworkers;           /* … have a thread: it grows until the end, under the lock */
    bool ending CIS_GUARDED_BY(fuse_lock_mount);
    char *dir;                     /* as it was given */
    uint64_t mount_id;             /* the kernel's; 0: unknown */
    pthread_t end_thread;          /* takes the mount down … */
    bool ending_thread;            /* … when there is one … */
    atomic_int ender;              /* … by the kernel's number … */
    atomic_bool down;              /* … and is done */
    atomic_uint_fast64_t answered; /* requests */
    atomic_uint ended;             /* threads */
    atomic_uint idle;              /* that wait for a request */
    atomic_bool watching;          /* there was none */
};

extern const struct fuse_lowlevel_ops cis_fuse_ops;

/* The kernel's number for a node and back. The root is 1; others are moved up by one, so that none
 * meets it. */
static inline fuse_ino_t fuse_id(const struct cis_fuse *f, cis_node node)
{
    return node == f->vfs->root ? FUSE_ROOT_ID : node + 1;
}

static inline cis_node fuse_node(const struct cis_fuse *f, fuse_ino_t id)
{
    return id == FUSE_ROOT_ID ? f->vfs->root : id - 1;
}

/* Must nothing of the node be kept? */
static inline bool fuse_fickle(const struct cis_fuse *f, cis_node node)
{
    return cis_vfs_fickle(f->vfs, node);
}

static inline struct cis_fuse *fuse_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static inline struct fuse_handle *fuse_handle_of(const struct fuse_file_info *fi)
{
    return (struct fuse_handle *)(uintptr_t)fi->fh; /* libfuse keeps handles as numbers */
}

static inline cis_vfs_file *fuse_file(const struct fuse_file_info *fi)
{
    return fuse_handle_of(fi)->file;
}

/* Takes the file; ENOMEM: it was released. */
int cis_fuse_handle_add(struct cis_fuse *f, cis_vfs_file *file, struct fuse_file_info *fi);
void cis_fuse_handle_drop(struct cis_fuse *f, struct fuse_handle *handle);

/* Answers with an errno, or 0, and tells the owner of the mount of what is not the caller's fault.
 */
void cis_fuse_reply(fuse_req_t req, int rc);
/* By whom the calling worker's request is, and what ends it early. */
struct cis_vfs_call cis_fuse_call(fuse_req_t req);

void cis_fuse_entry(const struct cis_fuse *f, cis_node dir, cis_node node,
                    const struct cis_vfs_attr *attr, struct fuse_entry_param *out);
/* A worker's own buffer of FUSE_IO_MAX bytes; NULL: out of memory. */
uint8_t *cis_fuse_scratch(void);

/* Ends the wait of whoever runs the mount. */
void cis_fuse_wake(const struct cis_fuse *f);

/* end.c */
/* What was just mounted is at f->dir. */
void cis_fuse_note_place(struct cis_fuse *f);
/* A thread begins to unmount, or at least to have everything written; f->down, and a wake, when it
 * is done. It may be stuck until the session is gone. False: the mount is gone already. */
bool cis_fuse_take_down(struct cis_fuse *f);

/* io.c */
void cis_fuse_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void cis_fuse_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void cis_fuse_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                        struct fuse_file_info *fi);
void cis_fuse_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void cis_fuse_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void cis_fuse_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                      struct fuse_file_info *fi);
void cis_fuse_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                       struct fuse_file_info *fi);
void cis_fuse_op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void cis_fuse_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void cis_fuse_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                           struct fuse_file_info *fi);
void cis_fuse_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                       struct fuse_file_info *fi);

/* copy.c */
void cis_fuse_op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t off_in,
                                 struct fuse_file_info *fi_in, fuse_ino_t out, off_t off_out,
                                 struct fuse_file_info *fi_out, size_t len, int flags);

/* dir.c */
void cis_fuse_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                      struct fuse_file_info *fi);
void cis_fuse_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                          struct fuse_file_info *fi);

#endif
