/* Where a descriptor stands, how long its file is, and whether that is durable. */
#include <errno.h>
#include <unistd.h>
#include "wasi/p1/internal.h"

/* ---- offsets ---- */

/* Directories have no offset: their entries have cookies. */
static enum cis_wasi_errno seekable(const struct cis_wasi_fd *f)
{
    if (f == NULL || f->kind == CIS_WASI_DIR) {
        return CIS_WASI_BADF;
    }
    return f->kind == CIS_WASI_FILE || f->kind == CIS_WASI_STREAM ? CIS_WASI_OK : CIS_WASI_SPIPE;
}

static cis_code seek_file(cis_engine_instance *instance, struct cis_wasi_fd *f, int64_t by,
                          int whence, int *out_rc, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    uint64_t base = whence == SEEK_SET ? 0 : f->offset;
    int rc = 0;
    if (whence == SEEK_END) {
        struct cis_host_op call;
        cis_host_op_begin(&call, instance);
        rc = cis_file_stat(f->file, &call.vfs, &attr);
        base = rc == 0 ? attr.size : 0;
        CIS_TRY(cis_host_op_end(&call, rc, err));
    }
    int64_t to;
    if (rc == 0 && (base > INT64_MAX || __builtin_add_overflow((int64_t)base, by, &to) || to < 0)) {
        rc = EINVAL;
    }
    if (rc == 0) {
        f->offset = (uint64_t)to;
    }
    *out_rc = rc;
    return CIS_OK;
}

/* origins: what the numbers of the module mean. */
static cis_code seek(cis_engine_instance *instance, union cis_slot *io, const int origins[3],
                     struct cis_error *err)
{
    uint32_t whence = io[2].u32, out = io[3].u32;
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    enum cis_wasi_errno error = seekable(f);
    if (error != CIS_WASI_BADF && whence > 2) {
        error = CIS_WASI_INVAL;
    }
    uint64_t at = 0;
    if (error == CIS_WASI_OK && f->kind == CIS_WASI_STREAM &&
        cis_host_stream_seek(cis_wasi_std(instance, f), 0, SEEK_CUR, &at) != 0) {
        error = CIS_WASI_SPIPE;
    } else if (error == CIS_WASI_OK && !cis_engine_instance_holds(instance, out, 8)) {
        error = CIS_WASI_FAULT;
    } else if (error == CIS_WASI_OK && !cis_wasi_may(f, CIS_WASI_RIGHT_SEEK)) {
        error = CIS_WASI_NOTCAPABLE;
    }
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    int rc;
    if (f->kind == CIS_WASI_STREAM) {
        rc = cis_host_stream_seek(cis_wasi_std(instance, f), io[1].i64, origins[whence], &at);
    } else {
        CIS_TRY(seek_file(instance, f, io[1].i64, origins[whence], &rc, err));
        at = f->offset;
    }
    if (rc == 0) {
        cis_wasi_put64(instance, out, at);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(rc));
}

cis_code cis_wasi_fd_seek(cis_engine_instance *instance, union cis_slot *io, struct cis_error *err)
{
    static const int origins[3] = {SEEK_SET, SEEK_CUR, SEEK_END};
    return seek(instance, io, origins, err);
}

cis_code cis_wasi_fd_seek_old(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    static const int origins[3] = {SEEK_CUR, SEEK_END, SEEK_SET};
    return seek(instance, io, origins, err);
}

cis_code cis_wasi_fd_tell(cis_engine_instance *instance, union cis_slot *io, struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    enum cis_wasi_errno error = seekable(f);
    uint64_t at = 0;
    if (error == CIS_WASI_OK && f->kind == CIS_WASI_FILE) {
        at = f->offset;
    } else if (error == CIS_WASI_OK &&
               cis_host_stream_seek(cis_wasi_std(instance, f), 0, SEEK_CUR, &at) != 0) {
        error = CIS_WASI_SPIPE;
    }
    if (error == CIS_WASI_OK && !cis_wasi_may(f, CIS_WASI_RIGHT_TELL)) {
        error = CIS_WASI_NOTCAPABLE;
    }
    if (error == CIS_WASI_OK && !cis_wasi_put64(instance, io[1].u32, at)) {
        error = CIS_WASI_FAULT;
    }
    return cis_wasi_answer(io, error);
}

/* ---- space ---- */

/* A standard stream in which nothing can be sought is a pipe to all who ask for space. */
static enum cis_wasi_errno has_space(cis_engine_instance *instance, const struct cis_wasi_fd *f)
{
    uint64_t at;
    enum cis_wasi_errno error = seekable(f);
    if (error == CIS_WASI_OK && f->kind == CIS_WASI_STREAM &&
        cis_host_stream_seek(cis_wasi_std(instance, f), 0, SEEK_CUR, &at) != 0) {
        error = CIS_WASI_SPIPE;
    }
    return error;
}

/* Nothing here reads ahead by advice. */
cis_code cis_wasi_fd_advise(cis_engine_instance *instance, union cis_slot *io,
                            struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    enum cis_wasi_errno error = has_space(instance, f);
    bool valid = io[3].u32 <= 5 && io[1].u64 <= INT64_MAX && io[2].u64 <= INT64_MAX;
    if (error != CIS_WASI_BADF && !valid) {
        error = CIS_WASI_INVAL;
    }
    if (error == CIS_WASI_OK && !cis_wasi_may(f, CIS_WASI_RIGHT_ADVISE)) {
        error = CIS_WASI_NOTCAPABLE;
    }
    return cis_wasi_answer(io, error);
}

cis_code cis_wasi_fd_allocate(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    struct cis_wasi_fd *f;
    uint64_t offset = io[1].u64, len = io[2].u64;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    enum cis_wasi_errno error = has_space(instance, f);
    if (error == CIS_WASI_OK && (offset > INT64_MAX || len > INT64_MAX || len == 0)) {
        error = CIS_WASI_INVAL;
    } else if (error == CIS_WASI_OK && f->kind == CIS_WASI_STREAM) {
        error = CIS_WASI_NOTSUP;
    } else if (error == CIS_WASI_OK && !f->writable) {
        error = CIS_WASI_BADF;
    } else if (error == CIS_WASI_OK && !cis_wasi_may(f, CIS_WASI_RIGHT_ALLOCATE)) {
        error = CIS_WASI_NOTCAPABLE;
    }
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    struct cis_host_op call;
    cis_host_op_begin(&call, instance);
    int rc = cis_vfs_allocate(f->file, &call.vfs, 0, offset, len);
    return cis_wasi_op_answer(&call, io, rc, err);
}

cis_code cis_wasi_fd_filestat_set_size(cis_engine_instance *instance, union cis_slot *io,
                                       struct cis_error *err)
{
    struct cis_wasi_fd *f;
    uint64_t size = io[1].u64;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    bool stream = f->kind == CIS_WASI_STREAM, file = f->kind == CIS_WASI_FILE;
    if (size > INT64_MAX || (!stream && !(file && f->writable))) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    if (!cis_wasi_may(f, CIS_WASI_RIGHT_SET_SIZE)) {
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    if (stream) {
        int rc = cis_host_stream_resize(cis_wasi_std(instance, f), size);
        return cis_wasi_answer(io, cis_wasi_errno_of(rc));
    }
    struct cis_host_op call;
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = size};
    cis_host_op_begin(&call, instance);
    int rc = cis_file_set(f->file, &call.vfs, &set, NULL);
    return cis_wasi_op_answer(&call, io, rc, err);
}

/* ---- durability ---- */
static cis_code sync_it(cis_engine_instance *instance, union cis_slot *io, bool data_only,
                        struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL || f->kind == CIS_WASI_LISTENER || f->kind == CIS_WASI_SOCKET) {
        return cis_wasi_answer(io, f == NULL ? CIS_WASI_BADF : CIS_WASI_INVAL);
    }
    if (!cis_wasi_may(f, data_only ? CIS_WASI_RIGHT_DATASYNC : CIS_WASI_RIGHT_SYNC)) {
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    int rc = 0;
    if (f->kind == CIS_WASI_STREAM) {
        CIS_TRY(cis_host_stream_sync(instance, cis_wasi_std(instance, f), data_only, &rc, err));
        return cis_wasi_answer(io, cis_wasi_errno_of(rc));
    }
    struct cis_host_op call;
    cis_host_op_begin(&call, instance);
    cis_vfs_file *file = NULL;
    if (f->kind == CIS_WASI_DIR) {
        rc = cis_wasi_listing(&call, f, &file);
    } else {
        file = f->file;
    }
    if (rc == 0) {
        rc = cis_vfs_sync(file, &call.vfs, data_only);
    }
    return cis_wasi_op_answer(&call, io, rc, err);
}

cis_code cis_wasi_fd_sync(cis_engine_instance *instance, union cis_slot *io, struct cis_error *err)
{
    return sync_it(instance, io, false, err);
}

cis_code cis_wasi_fd_datasync(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    return sync_it(instance, io, true, err);
}
