/* Attributes: of descriptors (type, flags, rights), of files, by descriptor and by path. */
#include <errno.h>
#include "base/clock.h"
#include "wasi/p1/internal.h"

static uint8_t type_of(const struct cis_host *host, const struct cis_wasi_fd *f)
{
    return f->kind == CIS_WASI_DIR    ? CIS_WASI_FILETYPE_DIRECTORY
           : f->kind == CIS_WASI_FILE ? f->type
                                      : cis_wasi_stream_type(host, f);
}

/* ---- of a descriptor ---- */
cis_code cis_wasi_fd_fdstat_get(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    uint8_t *out = cis_engine_instance_out(instance, io[1].u32, sizeof(struct cis_wasi_fdstat));
    if (out == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    memset(out, 0, sizeof(struct cis_wasi_fdstat));
    out[offsetof(struct cis_wasi_fdstat, filetype)] = type_of(cis_host_of(instance), f);
    cis_put_le16(out + offsetof(struct cis_wasi_fdstat, flags), f->flags);
    cis_put_le64(out + offsetof(struct cis_wasi_fdstat, rights_base), f->rights);
    cis_put_le64(out + offsetof(struct cis_wasi_fdstat, rights_inheriting), f->inheriting);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

/* Append and non-blocking can be changed; how a file is synchronised is settled when it is opened.
 */
cis_code cis_wasi_fd_fdstat_set_flags(cis_engine_instance *instance, union cis_slot *io,
                                      struct cis_error *err)
{
    const uint32_t settled = CIS_WASI_FDFLAG_DSYNC | CIS_WASI_FDFLAG_RSYNC | CIS_WASI_FDFLAG_SYNC;
    uint32_t flags = io[1].u32;
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    if (flags > CIS_WASI_FDFLAGS_ALL) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    if (!cis_wasi_may(f, CIS_WASI_RIGHT_SET_FLAGS)) {
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    if (((flags ^ f->flags) & settled) != 0) {
        return cis_wasi_answer(io, CIS_WASI_NOTSUP);
    }
    f->flags = (uint16_t)flags;
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_fd_fdstat_set_rights(cis_engine_instance *instance, union cis_slot *io,
                                       struct cis_error *err)
{
    uint64_t base = io[1].u64, inheriting = io[2].u64;
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    if ((base & ~f->rights) != 0 || (inheriting & ~f->inheriting) != 0) { /* only ever dropped */
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    f->dropped |= f->rights & ~base;
    f->inherited |= f->inheriting & ~inheriting;
    f->rights = base;
    f->inheriting = inheriting;
    return cis_wasi_answer(io, CIS_WASI_OK);
}

/* ---- of a file ---- */

/* Where the two modules put what; nlink has 4 bytes in the older one. */
struct layout {
    size_t size, nlink, length, atim;
    bool narrow;
};
static const struct layout layout_new = {
    sizeof(struct cis_wasi_filestat), offsetof(struct cis_wasi_filestat, nlink),
    offsetof(struct cis_wasi_filestat, size), offsetof(struct cis_wasi_filestat, atim), false};
static const struct layout layout_old = {sizeof(struct cis_wasi_filestat_old),
                                         offsetof(struct cis_wasi_filestat_old, nlink),
                                         offsetof(struct cis_wasi_filestat_old, size),
                                         offsetof(struct cis_wasi_filestat_old, atim), true};
_Static_assert(offsetof(struct cis_wasi_filestat, filetype) ==
                   offsetof(struct cis_wasi_filestat_old, filetype),
               "the same in both");

/* Nanoseconds without a sign: what was before 1970 shows as 1970, what is after 2554 as then. */
static uint64_t time_out(const struct timespec *t)
{
    uint64_t s = (uint64_t)t->tv_sec, ns;
    if (t->tv_sec < 0) {
        return 0;
    }
    bool over = __builtin_mul_overflow(s, CIS_NS_PER_S, &ns) ||
                __builtin_add_overflow(ns, (uint64_t)t->tv_nsec, &ns);
    return over ? UINT64_MAX : ns;
}

static struct timespec time_in(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / CIS_NS_PER_S), (long)(ns % CIS_NS_PER_S)};
}

static void put_filestat(uint8_t *out, const struct layout *l, uint32_t ns,
                         const struct cis_vfs_attr *attr)
{
    memset(out, 0, l->size);
    cis_put_le64(out + offsetof(struct cis_wasi_filestat, dev), (uint64_t)ns << 32 | attr->dev);
    cis_put_le64(out + offsetof(struct cis_wasi_filestat, ino), attr->ino);
    out[offsetof(struct cis_wasi_filestat, filetype)] = cis_wasi_mode_type(attr->mode);
    if (l->narrow) {
        cis_put_le32(out + l->nlink, attr->nlink);
    } else {
        cis_put_le64(out + l->nlink, attr->nlink);
    }
    cis_put_le64(out + l->length, attr->size);
    cis_put_le64(out + l->atim, time_out(&attr->atime));
    cis_put_le64(out + l->atim + 8, time_out(&attr->mtime));
    cis_put_le64(out + l->atim + 16, time_out(&attr->ctime));
}

/* Streams and sockets have a type, and size and times where they are files of the host. */
static void put_stream(cis_engine_instance *instance, const struct cis_wasi_fd *f, uint8_t *out,
                       const struct layout *l)
{
    struct cis_vfs_attr attr = {0};
    if (f->kind == CIS_WASI_STREAM) {
        struct stat st;
        cis_host_stream_stat(cis_host_of(instance), cis_wasi_std(instance, f), &st);
        attr = (struct cis_vfs_attr){.dev = (uint32_t)st.st_dev,
                                     .ino = st.st_ino,
                                     .nlink = (uint32_t)st.st_nlink,
                                     .size = (uint64_t)st.st_size,
                                     .atime = st.st_atim,
                                     .mtime = st.st_mtim,
                                     .ctime = st.st_ctim};
    }
    put_filestat(out, l, 0, &attr);
    out[offsetof(struct cis_wasi_filestat, filetype)] = type_of(cis_host_of(instance), f);
}

static cis_code filestat_fd(cis_engine_instance *instance, union cis_slot *io,
                            const struct layout *l, struct cis_error *err)
{
    struct cis_wasi_fd *f;
    uint32_t at = io[1].u32;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL || !cis_engine_instance_holds(instance, at, l->size)) {
        return cis_wasi_answer(io, f == NULL ? CIS_WASI_BADF : CIS_WASI_FAULT);
    }
    if (!cis_wasi_may(f, CIS_WASI_RIGHT_FILESTAT_GET)) {
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    if (f->kind != CIS_WASI_FILE && f->kind != CIS_WASI_DIR) {
        put_stream(instance, f, cis_engine_instance_out(instance, at, l->size), l);
        return cis_wasi_answer(io, CIS_WASI_OK);
    }
    struct cis_host_op call;
    struct cis_vfs_attr attr;
    cis_host_op_begin(&call, instance);
    int rc = f->kind == CIS_WASI_FILE ? cis_file_stat(f->file, &call.vfs, &attr)
                                      : cis_at_stat(f->dir, &call.vfs, CIS_STR("."), 0, &attr);
    CIS_TRY(cis_host_op_end(&call, rc, err));
    if (rc == 0) {
        put_filestat(cis_engine_instance_out(instance, at, l->size), l, f->ns, &attr);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(rc));
}

cis_code cis_wasi_fd_filestat_get(cis_engine_instance *instance, union cis_slot *io,
                                  struct cis_error *err)
{
    return filestat_fd(instance, io, &layout_new, err);
}

cis_code cis_wasi_fd_filestat_get_old(cis_engine_instance *instance, union cis_slot *io,
                                      struct cis_error *err)
{
    return filestat_fd(instance, io, &layout_old, err);
}

/* io: fd, flags, path, len, out. */
static cis_code filestat_path(cis_engine_instance *instance, union cis_slot *io,
                              const struct layout *l, struct cis_error *err)
{
    struct cis_wasi_place p;
    uint32_t flags = io[1].u32, at = io[4].u32;
    CIS_TRY(cis_wasi_place(instance, io[0].u32, io[2].u32, io[3].u32,
                           CIS_WASI_RIGHT_PATH_FILESTAT_GET, &p, err));
    if (p.error == CIS_WASI_OK && flags > CIS_WASI_LOOKUP_FOLLOW) {
        p.error = CIS_WASI_INVAL;
    }
    if (p.error == CIS_WASI_OK && !cis_engine_instance_holds(instance, at, l->size)) {
        p.error = CIS_WASI_FAULT;
    }
    if (p.error != CIS_WASI_OK) {
        return cis_wasi_answer(io, p.error);
    }
    struct cis_host_op call;
    struct cis_vfs_attr attr;
    cis_host_op_begin(&call, instance);
    int rc = cis_at_stat(p.f->dir, &call.vfs, p.path, cis_wasi_walk(flags), &attr);
    CIS_TRY(cis_host_op_end(&call, rc, err));
    if (rc == 0) {
        put_filestat(cis_engine_instance_out(instance, at, l->size), l, p.f->ns, &attr);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(rc));
}

cis_code cis_wasi_path_filestat_get(cis_engine_instance *instance, union cis_slot *io,
                                    struct cis_error *err)
{
    return filestat_path(instance, io, &layout_new, err);
}

cis_code cis_wasi_path_filestat_get_old(cis_engine_instance *instance, union cis_slot *io,
                                        struct cis_error *err)
{
    return filestat_path(instance, io, &layout_old, err);
}

/* ---- times ---- */

/* False: flags that contradict each other, or that do not exist. */
static bool read_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct cis_vfs_set *out)
{
    const uint32_t both_a = CIS_WASI_FST_ATIM | CIS_WASI_FST_ATIM_NOW;
    const uint32_t both_m = CIS_WASI_FST_MTIM | CIS_WASI_FST_MTIM_NOW;
    if (flags > (both_a | both_m) || (flags & both_a) == both_a || (flags & both_m) == both_m) {
        return false;
    }
    *out = (struct cis_vfs_set){.atime = time_in(atim), .mtime = time_in(mtim)};
    out->bits |= (flags & CIS_WASI_FST_ATIM) != 0 ? CIS_VFS_SET_ATIME : 0;
    out->bits |= (flags & CIS_WASI_FST_MTIM) != 0 ? CIS_VFS_SET_MTIME : 0;
    out->bits |= (flags & CIS_WASI_FST_ATIM_NOW) != 0 ? CIS_VFS_SET_ATIME_NOW : 0;
    out->bits |= (flags & CIS_WASI_FST_MTIM_NOW) != 0 ? CIS_VFS_SET_MTIME_NOW : 0;
    return true;
}

/* Of the host's file behind a standard stream. */
static enum cis_wasi_errno set_stream_times(struct cis_host_stream *stream,
                                            const struct cis_vfs_set *set)
{
    const struct timespec now = {.tv_nsec = UTIME_NOW}, same = {.tv_nsec = UTIME_OMIT};
    const struct timespec times[2] = {(set->bits & CIS_VFS_SET_ATIME) != 0       ? set->atime
                                      : (set->bits & CIS_VFS_SET_ATIME_NOW) != 0 ? now
                                                                                 : same,
                                      (set->bits & CIS_VFS_SET_MTIME) != 0       ? set->mtime
                                      : (set->bits & CIS_VFS_SET_MTIME_NOW) != 0 ? now
                                                                                 : same};
    return cis_wasi_errno_of(cis_host_stream_times(stream, times));
}

/* io: fd, atim, mtim, flags. */
cis_code cis_wasi_fd_filestat_set_times(cis_engine_instance *instance, union cis_slot *io,
                                        struct cis_error *err)
{
    struct cis_wasi_fd *f;
    struct cis_vfs_set set;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    bool stream = f->kind == CIS_WASI_STREAM && cis_wasi_std(instance, f)->kind == CIS_STREAM_FD;
    if (f->kind != CIS_WASI_FILE && f->kind != CIS_WASI_DIR && !stream) {
        return cis_wasi_answer(io, CIS_WASI_NOTSUP);
    }
    if (!read_times(io[1].u64, io[2].u64, io[3].u32, &set)) {
        return cis_wasi_answer(io, CIS_WASI_INVAL);
    }
    if (!cis_wasi_may(f, CIS_WASI_RIGHT_SET_TIMES)) {
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    if (stream) {
        return cis_wasi_answer(io, set_stream_times(cis_wasi_std(instance, f), &set));
    }
    struct cis_host_op call;
    cis_host_op_begin(&call, instance);
    int rc = 0;
    if (set.bits != 0) { /* as utimensat(2): nothing to change is no change, also where none is
                          * allowed */
        rc = f->kind == CIS_WASI_FILE ? cis_file_set(f->file, &call.vfs, &set, NULL)
                                      : cis_at_set(f->dir, &call.vfs, CIS_STR("."), 0, &set);
    }
    return cis_wasi_op_answer(&call, io, rc, err);
}

/* io: fd, flags, path, len, atim, mtim, fstflags. */
cis_code cis_wasi_path_filestat_set_times(cis_engine_instance *instance, union cis_slot *io,
                                          struct cis_error *err)
{
    struct cis_wasi_place p;
    struct cis_vfs_set set;
    uint32_t flags = io[1].u32;
    CIS_TRY(cis_wasi_place(instance, io[0].u32, io[2].u32, io[3].u32, CIS_WASI_RIGHT_PATH_SET_TIMES,
                           &p, err));
    if (p.error == CIS_WASI_OK &&
        (flags > CIS_WASI_LOOKUP_FOLLOW || !read_times(io[4].u64, io[5].u64, io[6].u32, &set))) {
        p.error = CIS_WASI_INVAL;
    }
    if (p.error != CIS_WASI_OK) {
        return cis_wasi_answer(io, p.error);
    }
    struct cis_host_op call;
    struct cis_vfs_attr attr;
    cis_host_op_begin(&call, instance);
    unsigned walk = cis_wasi_walk(flags);
    int rc = set.bits != 0 ? cis_at_set(p.f->dir, &call.vfs, p.path, walk, &set)
                           : cis_at_stat(p.f->dir, &call.vfs, p.path, walk, &attr);
    return cis_wasi_op_answer(&call, io, rc, err);
}
