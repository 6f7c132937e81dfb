#include "vfs/hostdir/internal.h"

#include <linux/falloc.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/mem.h"

#define HOST_IOV 32

int cis_hostdir_file_new(struct hostdir *fs, int fd, cis_node node, int flags,
                         cis_vfs_file **out_file)
{
    int rc = cis_hostdir_charge(fs, HOST_FILE_COST);
    struct host_file *file = rc == 0 ? cis_zalloc(sizeof *file) : NULL;
    if (file == NULL) {
        if (rc == 0) {
            cis_hostdir_release_charge(fs, HOST_FILE_COST);
        }
        close(fd);
        return ENOMEM;
    }
    file->file = (cis_vfs_file){.vfs = &fs->vfs, .node = node, .flags = flags};
    file->fd = fd;
    pthread_mutex_init(&file->lock, NULL);
    cis_hostdir_ref(&fs->vfs, node, 1);
    *out_file = &file->file;
    return 0;
}

static int open_node(const struct hostdir *fs, const struct host_node *node, int flags)
{
    int how = (flags & HOST_OPEN_PASSED) | HOST_OPEN_ALWAYS;
    if (node->type == S_IFDIR) {
        return openat(node->fd, ".", how | O_DIRECTORY);
    }
    if (node->type == S_IFLNK) {
        errno = ELOOP;
        return -1;
    }
    return cis_hostdir_reopen(fs, node->fd, how);
}

int cis_hostdir_node_open(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node, int flags,
                          cis_vfs_file **out_file)
{
    struct hostdir *fs = host_of(vfs);
    const struct host_node *own = host_node_of(node);
    bool changes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    if (own->type == S_IFDIR && changes) {
        return EISDIR;
    }
    if (own->type != S_IFDIR && (flags & O_DIRECTORY) != 0) {
        return ENOTDIR;
    }
    if (vfs->read_only && changes) {
        return EROFS;
    }
    int rc = (flags & O_TRUNC) != 0 ? cis_hostdir_set_id_clear(fs, call, own) : 0;
    if (rc != 0) {
        return rc;
    }
    int fd = open_node(fs, own, flags);
    return fd < 0 ? errno : cis_hostdir_file_new(fs, fd, node, flags, out_file);
}

void cis_hostdir_release(cis_vfs_file *file)
{
    struct host_file *own = host_file_of(file);
    close(own->fd);
    cis_lock_alone(host_lock_file);
    cis_hostdir_listing_unref(own->listing);
    pthread_mutex_destroy(&own->lock);
    cis_hostdir_forget(file->vfs, file->node, 1);
    cis_hostdir_release_charge(host_of(file->vfs), HOST_FILE_COST);
    cis_free(own);
}

/* The next pieces of iov after `done` bytes of it, at most HOST_IOV. */
static int pieces(const struct iovec *iov, int niov, size_t done, struct iovec out[HOST_IOV])
{
    int n = 0;
    for (int i = 0; i < niov && n < HOST_IOV; i++) {
        if (done >= iov[i].iov_len) {
            done -= iov[i].iov_len;
            continue;
        }
        out[n].iov_base = (char *)iov[i].iov_base + done;
        out[n++].iov_len = iov[i].iov_len - done;
        done = 0;
    }
    return n;
}

/* Fifos and the like have no positions. */
static bool has_position(const struct host_file *own)
{
    uint32_t type = host_node_of(own->file.node)->type;
    return type == S_IFREG || type == S_IFBLK || type == S_IFDIR;
}

/* Pipes never wait: they are open without blocking. */
static void say_waits(const struct cis_vfs_call *call, const struct iovec *iov, int niov)
{
    size_t sum = 0;
    for (int i = 0; i < niov && sum < HOST_MUCH; i++) {
        sum += iov[i].iov_len < HOST_MUCH ? iov[i].iov_len : HOST_MUCH;
    }
    if (sum >= HOST_MUCH) {
        cis_vfs_waits(call);
    }
}

int cis_hostdir_read(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                     int niov, uint64_t offset, size_t *out_n)
{
    say_waits(call, iov, niov);
    struct host_file *own = host_file_of(file);
    bool position = has_position(own);
    struct iovec part[HOST_IOV];
    size_t done = 0;
    char none;
    if (offset > INT64_MAX) {
        return EINVAL;
    }
    for (bool first = true;; first = false) {
        int n = pieces(iov, niov, done, part);
        if (n == 0 && !first) {
            break;
        }
        ssize_t got = n == 0     ? pread(own->fd, &none, 0, 0) /* still says EBADF and EISDIR */
                      : position ? preadv(own->fd, part, n, (off_t)(offset + done))
                                 : readv(own->fd, part, n);
        if (got < 0 && done == 0) {
            return errno;
        }
        if (got <= 0) {
            break;
        }
        done += (size_t)got;
        if (!position) {
            break;
        }
    }
    *out_n = done;
    return 0;
}

/* At the end, whatever it is then: the kernel moves the descriptor's position, which tells where
 * the end was. */
static ssize_t append(struct host_file *own, const struct iovec *part, int n, uint64_t *out_end)
{
    cis_mutex_lock(&own->lock, host_lock_file);
    ssize_t put = pwritev2(own->fd, part, n, -1, RWF_APPEND);
    int rc = errno;
    if (put >= 0) {
        off_t end = lseek(own->fd, 0, SEEK_CUR);
        *out_end = end >= 0 ? (uint64_t)end : 0;
    }
    cis_mutex_unlock(&own->lock, host_lock_file);
    errno = rc;
    return put;
}

int cis_hostdir_write(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                      int niov, uint64_t offset, size_t *out_n, uint64_t *out_end)
{
    say_waits(call, iov, niov);
    struct host_file *own = host_file_of(file);
    if (file->vfs->read_only) {
        return (file->flags & O_ACCMODE) == O_RDONLY ? EBADF : EROFS;
    }
    bool position = has_position(own);
    bool at_end = position && (offset == CIS_VFS_APPEND || (file->flags & O_APPEND) != 0);
    if (!at_end && position && offset > INT64_MAX) {
        return EINVAL;
    }
    struct iovec part[HOST_IOV];
    size_t done = 0;
    uint64_t end = 0;
    if (pieces(iov, niov, 0, part) > 0) {
        int rc = cis_hostdir_set_id_clear(host_of(file->vfs), call, host_node_of(file->node));
        if (rc != 0) {
            return rc;
        }
    }
    for (bool first = true;; first = false) {
        int n = pieces(iov, niov, done, part);
        if (n == 0 && !first) {
            break;
        }
        ssize_t put = at_end     ? append(own, part, n, &end)
                      : position ? pwritev(own->fd, part, n, (off_t)(offset + done))
                                 : writev(own->fd, part, n);
        if (put < 0 && done == 0) {
            return errno;
        }
        if (put <= 0) {
            break;
        }
        done += (size_t)put;
        if (!position) {
            break;
        }
    }
    *out_n = done;
    *out_end = at_end ? end : offset + done;
    return 0;
}

int cis_hostdir_sync(cis_vfs_file *file, const struct cis_vfs_call *call, bool data_only)
{
    cis_vfs_waits(call);
    int fd = host_file_of(file)->fd;
    return (data_only ? fdatasync(fd) : fsync(fd)) == 0 ? 0 : errno;
}

int cis_hostdir_allocate(cis_vfs_file *file, const struct cis_vfs_call *call, int mode,
                         uint64_t offset, uint64_t len)
{
    cis_vfs_waits(call);
    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE &&
        mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) && mode != FALLOC_FL_ZERO_RANGE &&
        mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)) {
        return EOPNOTSUPP;
    }
    if (offset > INT64_MAX || len > INT64_MAX) {
        return EINVAL;
    }
    if (file->vfs->read_only) {
        return (file->flags & O_ACCMODE) == O_RDONLY ? EBADF : EROFS;
    }
    int rc = cis_hostdir_set_id_clear(host_of(file->vfs), call, host_node_of(file->node));
    if (rc != 0) {
        return rc;
    }
    return fallocate(host_file_of(file)->fd, mode, (off_t)offset, (off_t)len) == 0 ? 0 : errno;
}

int cis_hostdir_seek(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t offset,
                     int whence, uint64_t *out_offset)
{
    (void)call;
    struct host_file *own = host_file_of(file);
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        return EINVAL;
    }
    if (host_node_of(file->node)->type == S_IFDIR) {
        return EISDIR;
    }
    if (offset > INT64_MAX) {
        return ENXIO;
    }
    cis_mutex_lock(&own->lock, host_lock_file);
    off_t at = lseek(own->fd, (off_t)offset, whence);
    int rc = at < 0 ? errno : 0;
    cis_mutex_unlock(&own->lock, host_lock_file);
    if (rc == 0) {
        *out_offset = (uint64_t)at;
    }
    return rc;
}

/* A read lease is given only while no descriptor that can write is open. Who opens one at that
 * moment waits, and we are told by a signal: one that nobody minds. */
bool cis_hostdir_quiet(cis_vfs_file *file)
{
    int fd = host_file_of(file)->fd;
    if (fcntl(fd, F_SETSIG, SIGURG) != 0 || fcntl(fd, F_SETLEASE, F_RDLCK) != 0) {
        return errno != EAGAIN;
    }
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return true;
}
