/* copy_file_range(2) within the mount: through a buffer of the worker, without the bytes going to
 * the kernel and back. Holes stay holes. */
#include <errno.h>
#include <linux/falloc.h>
#include <unistd.h>
#include "fuse/internal.h"

#define COPY_MAX                                                                                   \
    (16u << 20) /* of one request: a worker is at it as long; callers go on by themselves */

struct copy {
    struct cis_vfs_call call;
    cis_vfs_file *in, *out;
    uint64_t from, to, len;
    uint64_t size; /* of out, as far as it is known */
    uint64_t done;
};

static int copy_data(struct copy *c, uint64_t len, uint8_t *buf)
{
    while (len > 0) {
        struct iovec iov = {buf, len < FUSE_IO_MAX ? len : FUSE_IO_MAX};
        size_t got = 0, put = 0;
        uint64_t end;
        int rc = cis_vfs_read(c->in, &c->call, &iov, 1, c->from, &got);
        if (rc == 0 && got == 0) {
            return ENODATA; /* it was cut meanwhile */
        }
        iov.iov_len = got;
        rc = rc != 0 ? rc : cis_vfs_write(c->out, &c->call, &iov, 1, c->to, &put, &end);
        if (rc != 0) {
            return rc;
        }
        c->from += put;
        c->to += put;
        c->done += put;
        c->size = c->to > c->size ? c->to : c->size;
        len -= put;
        if (put < got) {
            return EDQUOT; /* a part fitted */
        }
    }
    return 0;
}

/* Zeros where the source has none: a hole behind the end of out comes with its size. */
static int copy_hole(struct copy *c, uint64_t len)
{
    uint64_t end = c->to + len;
    int rc = 0;
    if (c->to < c->size) {
        uint64_t to = end < c->size ? end : c->size;
        rc = cis_vfs_allocate(c->out, &c->call, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, c->to,
                              to - c->to);
    }
    if (rc == 0 && end > c->size) {
        struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = end};
        rc = cis_vfs_setattr(c->out->vfs, &c->call, c->out->node, &set, NULL);
        c->size = rc == 0 ? end : c->size;
    }
    if (rc == 0) {
        c->from += len;
        c->to += len;
        c->done += len;
    }
    return rc;
}

/* The part that begins where the copy is: *out_data says what it is; up to its end, or c->len. */
static int next_part(const struct copy *c, bool *out_data, uint64_t *out_len)
{
    uint64_t left = c->len - c->done, at = 0;
    int rc = cis_vfs_seek(c->in, &c->call, c->from, SEEK_DATA, &at);
    if (rc == ENXIO) { /* a hole up to the end */
        *out_data = false;
        *out_len = left;
        return 0;
    }
    *out_data = rc != 0 || at == c->from; /* a file that knows no holes is data */
    if (rc == 0 && *out_data) {
        rc = cis_vfs_seek(c->in, &c->call, c->from, SEEK_HOLE, &at);
    }
    *out_len = rc != 0 || at - c->from > left ? left : at - c->from;
    return rc == EINTR ? rc : 0;
}

static int copy(struct copy *c, uint8_t *buf)
{
    int rc = 0;
    while (rc == 0 && c->done < c->len) {
        bool data = true;
        uint64_t len = 0;
        rc = next_part(c, &data, &len);
        if (rc == 0) {
            rc = data ? copy_data(c, len, buf) : copy_hole(c, len);
        }
    }
    return rc;
}

/* Ranges of one file that overlap are refused, as the kernel does before it asks. */
void cis_fuse_op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t off_in,
                                 struct fuse_file_info *fi_in, fuse_ino_t out, off_t off_out,
                                 struct fuse_file_info *fi_out, size_t len, int flags)
{
    struct copy c = {.call = cis_fuse_call(req), .in = fuse_file(fi_in), .out = fuse_file(fi_out)};
    const struct cis_fuse *f = fuse_of(req);
    struct cis_vfs_attr from, to;
    uint8_t *buf = cis_fuse_scratch();
    int rc = off_in < 0 || off_out < 0 || flags != 0 ? EINVAL : buf == NULL ? ENOMEM : 0;
    rc = rc != 0 ? rc : cis_vfs_getattr(f->vfs, &c.call, fuse_node(f, in), &from);
    rc = rc != 0 ? rc : cis_vfs_getattr(f->vfs, &c.call, fuse_node(f, out), &to);
    if (rc != 0) {
        cis_fuse_reply(req, rc);
        return;
    }
    c.from = (uint64_t)off_in;
    c.to = (uint64_t)off_out;
    c.size = to.size;
    c.len = len < COPY_MAX ? len : COPY_MAX;
    uint64_t rest = from.size > c.from ? from.size - c.from : 0;
    c.len = c.len < rest ? c.len : rest;
    if (in == out && c.from < c.to + c.len && c.to < c.from + c.len) {
        cis_fuse_reply(req, EINVAL);
        return;
    }
    rc = copy(&c, buf);
    if (rc != 0 && rc != ENODATA && c.done == 0) {
        cis_fuse_reply(req, rc);
    } else {
        atomic_store(&fuse_handle_of(fi_out)->wrote, true);
        fuse_reply_write(req, c.done);
    }
}
