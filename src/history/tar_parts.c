#include "history/tar.h"

#include <errno.h>
#include "base/file.h"
#include "vfs/digest.h"
#include "vfs/sparse.h"

#define COARSE 65536u /* the smallest hole, of a file with very many */

/* ---- bytes ---- */
int cis_tar_flush(struct cis_tar_sink *sink)
{
    int rc = cis_fd_write_all(sink->fd, sink->bytes, sink->n);
    sink->n = 0;
    return rc;
}

int cis_tar_put(struct cis_tar_sink *sink, const void *bytes, size_t n)
{
    if (n > CIS_TAR_PIECE - sink->n) {
        int rc = cis_tar_flush(sink);
        if (rc != 0 || n >= CIS_TAR_PIECE) {
            return rc != 0 ? rc : cis_fd_write_all(sink->fd, bytes, n);
        }
    }
    memcpy(sink->bytes + sink->n, bytes, n);
    sink->n += n;
    return 0;
}

la_ssize_t cis_tar_take(struct archive *a, void *self, const void *bytes, size_t n)
{
    struct cis_tar_sink *sink = self;
    int rc = sink->deaf ? 0 : cis_tar_put(sink, bytes, n);
    if (rc != 0) {
        archive_set_error(a, rc, "Write error");
        return -1;
    }
    return (la_ssize_t)n;
}

/* ---- parts ---- */
struct finder {
    cis_vfs_file *file;
    const struct cis_vfs_call *call;
    size_t max;
    uint64_t hole; /* the smallest one that is kept */
    uint8_t *piece;
    struct cis_tar_parts *out;
};

static int add(struct finder *f, uint64_t from, uint64_t to)
{
    struct cis_tar_parts *parts = f->out;
    struct cis_tar_part *last = parts->n != 0 ? &parts->at[parts->n - 1] : NULL;
    if (last != NULL && from - last->to < f->hole) {
        last->to = to;
        return 0;
    }
    if (parts->n == f->max) {
        return E2BIG;
    }
    last = vec_add(parts);
    if (last == NULL) {
        return ENOMEM;
    }
    *last = (struct cis_tar_part){from, to};
    return 0;
}

static int look(struct finder *f, uint64_t start, uint64_t end)
{
    struct cis_error ignored;
    int rc = 0;
    for (uint64_t at = start; rc == 0 && at < end;) {
        struct iovec v = {f->piece, end - at < CIS_TAR_PIECE ? (size_t)(end - at) : CIS_TAR_PIECE};
        size_t n = 0, to = 0;
        if (f->call->stop != NULL && cis_stop_check(f->call->stop, "", &ignored) != CIS_OK) {
            return EINTR;
        }
        int unread = cis_vfs_read(f->file, f->call, &v, 1, at, &n);
        if (unread == EINTR || unread == ECANCELED) {
            return unread;
        }
        if (unread != 0 || n == 0) {
            if (f->call->err != NULL) {
                *f->call->err = (struct cis_error){0};
            }
            return add(f, at, end);
        }
        for (size_t from = 0; rc == 0 && cis_sparse_next(f->piece, n, at, &from, &to); from = to) {
            rc = add(f, at + from, at + to);
        }
        at += n;
    }
    return rc;
}

static int find(struct finder *f, uint64_t size)
{
    uint64_t data, end;
    int rc = 0;
    f->out->n = 0;
    for (uint64_t at = 0; rc == 0 && at < size; at = end) {
        rc = cis_digest_next(f->file, f->call, at, size, &data, &end);
        rc = rc == 0 ? look(f, data, end) : rc;
    }
    return rc;
}

int cis_tar_parts_find(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t size,
                       size_t max, uint8_t *piece, struct cis_tar_parts *out)
{
    struct finder f = {file, call, max, CIS_SPARSE_UNIT, piece, out};
    int rc = find(&f, size);
    if (rc == E2BIG) {
        f.hole = COARSE;
        rc = find(&f, size);
    }
    return rc;
}
