/* Content of open files: straight between guest memory and the filesystem. Offsets are kept here;
 * they are at most INT64_MAX, as Linux has them. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "wasi/p1/internal.h"

/* Bytes between two looks at the deadline. A call that moves more is several to the filesystem;
 * each of them appends as one step. */
#define STEP (32u << 20)

struct move {
    struct cis_wasi_fd *f;
    bool writes, append;
    uint64_t offset; /* where to begin; afterwards where it ended */
    uint64_t done;
    int n;
    struct iovec iov[CIS_WASI_IOVS_MAX];
};

static int move_step(struct move *m, struct cis_host_op *call, const struct iovec *iov, int n,
                     size_t *out_n)
{
    cis_vfs_file *file = m->f->file;
    if (!m->writes) {
        int rc = cis_vfs_read(file, &call->vfs, iov, n, m->offset, out_n);
        m->offset += rc == 0 ? *out_n : 0;
        return rc;
    }
    uint64_t at = m->append ? CIS_VFS_APPEND : m->offset, end = m->offset;
    int rc = cis_vfs_write(file, &call->vfs, iov, n, at, out_n, &end);
    m->offset = rc == 0 && *out_n != 0 ? end : m->offset;
    return rc;
}

/* Buffers from m->iov[*first] on, up to STEP bytes of them; the last may be cut. */
static int take_step(struct move *m, int *first, struct iovec *out_rest, size_t *out_want)
{
    struct iovec *iov = m->iov;
    size_t want = 0;
    int n = *first;
    out_rest->iov_len = 0;
    for (; n < m->n && want < STEP; n++) {
        size_t len = iov[n].iov_len;
        if (len > STEP - want) {
            out_rest->iov_base = (uint8_t *)iov[n].iov_base + (STEP - want);
            out_rest->iov_len = len - (STEP - want);
            len = iov[n].iov_len = STEP - want;
        }
        want += len;
    }
    *out_want = want;
    return n - *first;
}

/* All the buffers. What was moved before something went wrong counts; *out_no is for when nothing
 * was. */
static cis_code move(cis_engine_instance *instance, struct move *m, int *out_rc,
                     struct cis_error *err)
{
    struct cis_host_op call;
    int first = 0;
    *out_rc = 0;
    m->done = 0;
    do {
        struct iovec rest;
        size_t want, got = 0;
        int n = take_step(m, &first, &rest, &want);
        cis_host_op_begin(&call, instance);
        int rc = move_step(m, &call, m->iov + first, n, &got);
        CIS_TRY(cis_host_op_end(&call, rc, err));
        CIS_TRY(cis_engine_instance_burn(instance, got / CIS_WASI_BYTES_A_FUEL, err));
        m->done += got;
        if (rc != 0 || got < want) {
            *out_rc = m->done == 0 ? rc : 0;
            if (rc == 0 && !m->writes) { /* else nobody knows how far it came */
                cis_engine_instance_wrote(instance, m->done);
            }
            return CIS_OK;
        }
        first += n;
        if (rest.iov_len != 0) {
            m->iov[--first] = rest;
        }
        if (first < m->n) {
            CIS_TRY(cis_stop_check(cis_engine_instance_stop(instance), "files", err));
        }
    } while (first < m->n);
    return CIS_OK;
}

/* May bytes be moved through this descriptor? */
static enum cis_wasi_errno may_move(const struct cis_wasi_fd *f, bool writes)
{
    uint64_t right = writes ? CIS_WASI_RIGHT_WRITE : CIS_WASI_RIGHT_READ;
    if (f->kind == CIS_WASI_DIR) {
        return writes ? CIS_WASI_BADF : CIS_WASI_ISDIR;
    }
    if (writes ? !f->writable : !f->readable) {
        return CIS_WASI_BADF;
    }
    return cis_wasi_may(f, right) ? CIS_WASI_OK : CIS_WASI_NOTCAPABLE;
}

/* io: fd, iovs, iovs_len, …, out. */
static cis_code move_all(cis_engine_instance *instance, struct move *m, union cis_slot *io,
                         uint32_t out, struct cis_error *err)
{
    uint32_t total;
    enum cis_wasi_errno error = may_move(m->f, m->writes);
    if (error == CIS_WASI_OK) {
        error = cis_wasi_buffers(instance, io[1].u32, io[2].u32, !m->writes, m->iov, &m->n, &total);
    }
    if (error == CIS_WASI_OK && !cis_engine_instance_holds(instance, out, 4)) {
        error = CIS_WASI_FAULT;
    }
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    int rc = 0;
    m->done = 0;
    if (m->writes || m->offset <= (uint64_t)INT64_MAX - total) { /* no file reaches that far */
        CIS_TRY(move(instance, m, &rc, err));
    }
    if (rc == 0) {
        cis_wasi_put32(instance, out, (uint32_t)m->done);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(rc));
}

/* At the descriptor's own offset, which moves. */
static cis_code move_on(cis_engine_instance *instance, struct cis_wasi_fd *f, bool writes,
                        union cis_slot *io, struct cis_error *err)
{
    struct move m;
    m.f = f;
    m.writes = writes;
    m.append = writes && (f->flags & CIS_WASI_FDFLAG_APPEND) != 0;
    m.offset = f->kind == CIS_WASI_FILE ? f->offset : 0;
    m.done = 0;
    CIS_TRY(move_all(instance, &m, io, io[3].u32, err));
    if (m.done != 0) {
        f->offset = m.offset;
    }
    return CIS_OK;
}

cis_code cis_wasi_file_read(cis_engine_instance *instance, struct cis_wasi_fd *f,
                            union cis_slot *io, struct cis_error *err)
{
    return move_on(instance, f, false, io, err);
}

cis_code cis_wasi_file_write(cis_engine_instance *instance, struct cis_wasi_fd *f,
                             union cis_slot *io, struct cis_error *err)
{
    return move_on(instance, f, true, io, err);
}

static cis_code stream_at(cis_engine_instance *instance, struct cis_wasi_fd *f, bool writes,
                          union cis_slot *io, struct cis_error *err)
{
    struct iovec iov[CIS_WASI_IOVS_MAX];
    struct cis_stream_move m = {.iov = iov, .offset = io[3].u64};
    uint32_t total, out = io[4].u32;
    uint64_t at;
    if (cis_host_stream_seek(cis_wasi_std(instance, f), 0, SEEK_CUR, &at) != 0) {
        return cis_wasi_answer(io, CIS_WASI_SPIPE);
    }
    enum cis_wasi_errno error =
        m.offset > INT64_MAX
            ? CIS_WASI_INVAL
            : cis_wasi_buffers(instance, io[1].u32, io[2].u32, !writes, iov, &m.niov, &total);
    if (error == CIS_WASI_OK && !cis_engine_instance_holds(instance, out, 4)) {
        error = CIS_WASI_FAULT;
    }
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    CIS_TRY(cis_engine_instance_burn(instance, total / CIS_WASI_BYTES_A_FUEL, err));
    CIS_TRY(cis_wasi_stream_move(instance, f, writes, &m, err));
    if (m.error == 0) {
        cis_wasi_put32(instance, out, (uint32_t)m.n);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(m.error));
}

/* With append set, pwrite appends too: Linux does (and says in its manual that it should not). */
static cis_code move_at(cis_engine_instance *instance, bool writes, union cis_slot *io,
                        struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    if (f->kind != CIS_WASI_FILE && f->kind != CIS_WASI_DIR) {
        return f->kind == CIS_WASI_STREAM ? stream_at(instance, f, writes, io, err)
                                          : cis_wasi_answer(io, CIS_WASI_SPIPE);
    }
    if (io[3].u64 > INT64_MAX) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    struct move m;
    m.f = f;
    m.writes = writes;
    m.append = writes && (f->flags & CIS_WASI_FDFLAG_APPEND) != 0;
    m.offset = io[3].u64;
    return move_all(instance, &m, io, io[4].u32, err);
}

cis_code cis_wasi_fd_pread(cis_engine_instance *instance, union cis_slot *io, struct cis_error *err)
{
    return move_at(instance, false, io, err);
}

cis_code cis_wasi_fd_pwrite(cis_engine_instance *instance, union cis_slot *io,
                            struct cis_error *err)
{
    return move_at(instance, true, io, err);
}
