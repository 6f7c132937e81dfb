/* Files and symlinks from one tree to another, with their attributes and holes. */
#include <errno.h>
#include <fcntl.h>
#include "base/mem.h"
#include "run/cow_internal.h"
#include "vfs/sparse.h"

#define COPY_BYTES 65536u

static int copy_data(cis_vfs_file *from, cis_vfs_file *to, const struct cis_vfs_call *call,
                     uint64_t size, uint8_t *out_digest)
{
    struct cis_digest digest;
    struct cis_error ignored;
    CIS_CLEANUP(cis_freep) uint8_t *buf = cis_alloc(COPY_BYTES);
    int rc = buf != NULL ? 0 : ENOMEM;
    cis_digest_init(&digest);
    for (uint64_t at = 0, end = 0; rc == 0 && at < size;) {
        rc = cis_digest_next(from, call, at, size, &at, &end);
        for (size_t got = 1; rc == 0 && at < end && got != 0; at += got) {
            struct iovec iov = {buf, end - at < COPY_BYTES ? end - at : COPY_BYTES};
            if (cis_stop_check(call->stop, "", &ignored) != CIS_OK) {
                return EINTR;
            }
            rc = cis_vfs_read(from, call, &iov, 1, at, &got);
            cis_digest_add(&digest, at, buf, rc == 0 ? got : 0);
            rc = rc == 0 ? cis_sparse_write(to, call, buf, got, at) : rc;
        }
        at = rc == 0 && at < end ? size : at; /* it became shorter meanwhile */
    }
    if (rc == 0 && out_digest != NULL) {
        cis_digest_final(&digest, size, out_digest);
    }
    return rc;
}

/* Owners where they differ and the user may give them; modes behind them, which that clears. */
static int copy_attr(cis_vfs_file *to, const struct cis_vfs_call *call,
                     const struct cis_vfs_attr *attr, uint32_t mode,
                     const struct cis_vfs_attr *made)
{
    if (made->uid != attr->uid || made->gid != attr->gid) {
        struct cis_vfs_set own = {
            .bits = CIS_VFS_SET_UID | CIS_VFS_SET_GID, .uid = attr->uid, .gid = attr->gid};
        (void)cis_file_set(to, call, &own, NULL);
    }
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE | CIS_VFS_SET_ATIME | CIS_VFS_SET_MTIME |
                                      CIS_VFS_SET_SIZE,
                              .mode = mode & 07777,
                              .size = attr->size,
                              .atime = attr->atime,
                              .mtime = attr->mtime};
    return cis_file_set(to, call, &set, NULL);
}

static int copy_link(const struct cow_tree *from, const char *path, const struct cow_tree *to,
                     const char *name, const struct cis_vfs_call *call, uint8_t *out_digest)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    int rc = cis_cow_readlink(from, call, path, &target);
    struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = cis_buf_view(&target)};
    if (out_digest != NULL) {
        cis_sha256(cis_buf_bytes(&target), out_digest);
    }
    return rc == 0 ? cis_cow_make(to, call, name, &make) : rc;
}

int cis_cow_copy_file(cis_vfs_file *from, const struct cis_vfs_attr *attr, cis_vfs_file *to,
                      const struct cis_vfs_attr *made, uint32_t mode,
                      const struct cis_vfs_call *call, uint8_t *out_digest)
{
    int rc = copy_data(from, to, call, attr->size, out_digest);
    rc = rc == 0 ? copy_attr(to, call, attr, mode, made) : rc;
    return rc == 0 ? cis_vfs_sync(to, call, false) : rc;
}

int cis_cow_copy(const struct cow_tree *from, const char *path, const struct cow_tree *to,
                 const char *name, uint32_t mode, const struct cis_vfs_call *call,
                 uint8_t *out_digest)
{
    struct cis_vfs_attr attr, made;
    cis_vfs_file *in = NULL, *out = NULL;
    int rc = cis_cow_stat(from, call, path, &attr);
    if (rc == 0 && S_ISLNK(attr.mode)) {
        return copy_link(from, path, to, name, call, out_digest);
    }
    rc = rc == 0 ? cis_cow_tree_file(from, call, path, O_RDONLY, &in, &attr) : rc;
    rc = rc == 0 ? cis_cow_tree_file(to, call, name, O_WRONLY | O_CREAT | O_EXCL, &out, &made) : rc;
    rc = rc == 0 ? cis_cow_copy_file(in, &attr, out, &made, mode, call, out_digest) : rc;
    bool half = out != NULL && rc != 0;
    cis_vfs_file_close(in);
    cis_vfs_file_close(out);
    if (half) {
        (void)cis_cow_unlink(to, call, name);
    }
    return rc;
}
