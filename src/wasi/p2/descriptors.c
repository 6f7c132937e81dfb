/* wasi:filesystem: descriptors, what is opened from them, their content and attributes. */
#include <errno.h>
#include <fcntl.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/wraps.h"
#include "wasi/p2/internal.h"

/* Flags of the interface, in its order. */
enum { OPEN_CREATE = 1, OPEN_DIRECTORY = 2, OPEN_EXCLUSIVE = 4, OPEN_TRUNCATE = 8 };
enum {
    D_READ = 1,
    D_WRITE = 2,
    D_FILE_SYNC = 4,
    D_DATA_SYNC = 8,
    D_WRITE_SYNC = 16,
    D_MUTATE = 32
};
#define FILE_MODE 0644u
#define READ_MAX ((size_t)1 << 20) /* that one read gives */
#define WRITE_MAX                                                                                  \
    ((size_t)32 << 20) /* that one write takes: bytes between two looks at the deadline */

static struct p2_file *file_at(cis_engine_instance *instance, uint64_t rep)
{
    return cis_p2_at(instance, rep)->file;
}

static cis_code file_new(cis_engine_instance *instance, struct p2_file **out, struct cis_error *err)
{
    (void)instance; /* charged with the entry that names it */
    *out = cis_zalloc(sizeof **out);
    if (*out == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "descriptor: out of memory");
    }
    (*out)->refs = 1;
    return CIS_OK;
}

static cis_code give_file(cis_engine_instance *instance, struct p2_file *file,
                          struct cis_answer *out, struct cis_error *err)
{
    struct p2_thing *thing;
    cis_code code = cis_p2_give(instance, P2_DESCRIPTOR, P2_NO_PARENT, out, &thing, err);
    if (code != CIS_OK) {
        cis_p2_file_unref(file);
        return code;
    }
    thing->file = file;
    return CIS_OK;
}

/* ---- preopened directories ---- */

cis_code cis_p2_directories(cis_engine_instance *instance, const struct cis_typed *args,
                            struct cis_answer *out, struct cis_error *err)
{
    (void)args;
    const struct cis_wasi_env *wasi_env = &cis_host_of(instance)->wasi_env;
    struct cis_pair *items;
    uint32_t *numbers;
    CIS_TRY(cis_p2_pairs(instance, wasi_env->ndirs, &items, err));
    CIS_TRY(cis_p2_numbers(instance, wasi_env->ndirs, &numbers, err));
    for (size_t i = 0; i < wasi_env->ndirs; i++) {
        struct p2_file *file;
        struct cis_answer one = {0};
        CIS_TRY(file_new(instance, &file, err));
        file->dir = wasi_env->dirs[i].dir;
        file->dir_borrowed = true;
        file->readable = true;
        CIS_TRY(give_file(instance, file, &one, err));
        numbers[i] = one.rep;
        items[i].first = cis_bytes_of(wasi_env->dirs[i].path.ptr, wasi_env->dirs[i].path.len);
    }
    out->kind = P2_DESCRIPTOR;
    out->items = items;
    out->numbers = numbers;
    out->nitems = wasi_env->ndirs;
    return CIS_OK;
}

/* ---- opening ---- */

static int flags_of(uint64_t open, uint64_t flags)
{
    bool reads = (flags & D_READ) != 0, writes = (flags & D_WRITE) != 0;
    int out = !writes ? O_RDONLY : reads ? O_RDWR : O_WRONLY;
    out |= (open & OPEN_CREATE) != 0 ? O_CREAT : 0;
    out |= (open & OPEN_DIRECTORY) != 0 ? O_DIRECTORY : 0;
    out |= (open & OPEN_EXCLUSIVE) != 0 ? O_EXCL : 0;
    out |= (open & OPEN_TRUNCATE) != 0 ? O_TRUNC : 0;
    out |= (flags & D_FILE_SYNC) != 0 ? O_SYNC : (flags & D_DATA_SYNC) != 0 ? O_DSYNC : 0;
    return out;
}

/* (self, path-flags, path, open-flags, descriptor-flags). The flag mutate-directory is not asked
 * for: adapters of WASI 0.1 never set it, whatever their guest means to do. What may be changed is
 * a matter of the mount. */
cis_code cis_p2_fs_open(cis_engine_instance *instance, const struct cis_typed *args,
                        struct cis_answer *out, struct cis_error *err)
{
    struct p2_file *base = file_at(instance, args[0].n), *file;
    struct cis_str path = {(const char *)args[2].bytes.ptr, args[2].bytes.len};
    uint64_t open = args[3].n, flags = args[4].n;
    if (base->dir == NULL) {
        return p2_fails(out, ENOTDIR);
    }
    if (!cis_p2_room(instance)) { /* before anything is made by it */
        return p2_fails(out, EMFILE);
    }
    CIS_TRY(file_new(instance, &file, err));
    file->counted = cis_host_of(instance)->wasi_p2;
    file->counted->nfiles++;
    file->readable = (flags & D_READ) != 0 || (flags & D_WRITE) == 0;
    file->writable = (flags & D_WRITE) != 0;
    file->sync = (uint32_t)flags & (D_FILE_SYNC | D_DATA_SYNC | D_WRITE_SYNC);
    struct cis_host_op op;
    struct cis_vfs_attr attr;
    cis_host_op_begin(&op, instance);
    int rc = cis_at_open_any(base->dir, &op.vfs, path,
                             &(struct cis_open_how){(args[1].n & 1) != 0 ? 0 : CIS_WALK_NOFOLLOW,
                                                    flags_of(open, flags), FILE_MODE},
                             &file->file, &attr, &file->dir);
    rc = rc == 0 ? cis_p2_file_charge(file, base) : rc;
    cis_code code = cis_host_op_end(&op, rc, err);
    if (code != CIS_OK || rc != 0) {
        cis_p2_file_unref(file);
        return code != CIS_OK ? code : p2_fails(out, rc);
    }
    return give_file(instance, file, out, err);
}

/* ---- streams ---- */

static cis_code stream(cis_engine_instance *instance, uint64_t rep, enum p2_kind kind,
                       uint64_t offset, bool append, struct cis_answer *out, struct cis_error *err)
{
    struct p2_file *file = file_at(instance, rep);
    struct p2_thing *thing;
    bool allowed = kind == P2_INPUT ? file->readable : file->writable;
    int rc = file->file == NULL ? EISDIR : !allowed ? EBADF : offset > INT64_MAX ? EINVAL : 0;
    if (rc != 0) {
        return p2_fails(out, rc);
    }
    CIS_TRY(cis_p2_give(instance, kind, P2_NO_PARENT, out, &thing, err));
    file->refs++;
    thing->file = file;
    thing->offset = offset;
    thing->append = append;
    return CIS_OK;
}

cis_code cis_p2_fs_read_stream(cis_engine_instance *instance, const struct cis_typed *args,
                               struct cis_answer *out, struct cis_error *err)
{
    return stream(instance, args[0].n, P2_INPUT, args[1].n, false, out, err);
}

cis_code cis_p2_fs_write_stream(cis_engine_instance *instance, const struct cis_typed *args,
                                struct cis_answer *out, struct cis_error *err)
{
    return stream(instance, args[0].n, P2_OUTPUT, args[1].n, false, out, err);
}

cis_code cis_p2_fs_append_stream(cis_engine_instance *instance, const struct cis_typed *args,
                                 struct cis_answer *out, struct cis_error *err)
{
    return stream(instance, args[0].n, P2_OUTPUT, 0, true, out, err);
}

/* ---- content ---- */

/* (self, length, offset) */
cis_code cis_p2_fs_read(cis_engine_instance *instance, const struct cis_typed *args,
                        struct cis_answer *out, struct cis_error *err)
{
    struct p2_file *f = file_at(instance, args[0].n);
    size_t len = args[1].n < READ_MAX ? (size_t)args[1].n : READ_MAX, n = 0;
    uint8_t *at;
    if (f->file == NULL || !f->readable) {
        return p2_fails(out, f->file == NULL ? EISDIR : EBADF);
    }
    CIS_TRY(cis_p2_scratch(instance, len, &at, err));
    struct cis_host_op op;
    struct iovec iov = {at, len};
    cis_host_op_begin(&op, instance);
    int rc =
        args[2].n > INT64_MAX ? EINVAL : cis_vfs_read(f->file, &op.vfs, &iov, 1, args[2].n, &n);
    CIS_TRY(cis_host_op_end(&op, rc, err));
    CIS_TRY(cis_engine_instance_burn(instance, n / 64, err));
    out->bytes = cis_bytes_of(at, n);
    out->has = n < len;
    return p2_fails(out, rc);
}

/* (self, data, offset) */
cis_code cis_p2_fs_write(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    struct p2_file *f = file_at(instance, args[0].n);
    size_t n = 0;
    uint64_t end = 0;
    if (f->file == NULL || !f->writable) {
        return p2_fails(out, f->file == NULL ? EISDIR : EBADF);
    }
    size_t len = args[1].bytes.len < WRITE_MAX ? args[1].bytes.len : WRITE_MAX;
    CIS_TRY(cis_engine_instance_burn(instance, len / 64, err));
    struct cis_host_op op;
    struct iovec iov = {(void *)(uintptr_t)args[1].bytes.ptr, len};
    cis_host_op_begin(&op, instance);
    int rc = args[2].n > INT64_MAX ? EINVAL
                                   : cis_vfs_write(f->file, &op.vfs, &iov, 1, args[2].n, &n, &end);
    CIS_TRY(cis_host_op_end(&op, rc, err));
    out->n[0] = n;
    return p2_fails(out, rc);
}

static cis_code synced(cis_engine_instance *instance, uint64_t rep, bool data_only,
                       struct cis_answer *out, struct cis_error *err)
{
    struct p2_file *f = file_at(instance, rep);
    struct cis_host_op op;
    if (f->file == NULL) {
        return CIS_OK; /* a directory's names are as durable as the run */
    }
    cis_host_op_begin(&op, instance);
    int rc = cis_vfs_sync(f->file, &op.vfs, data_only);
    CIS_TRY(cis_host_op_end(&op, rc, err));
    return p2_fails(out, rc);
}

cis_code cis_p2_fs_sync(cis_engine_instance *instance, const struct cis_typed *args,
                        struct cis_answer *out, struct cis_error *err)
{
    return synced(instance, args[0].n, false, out, err);
}

cis_code cis_p2_fs_sync_data(cis_engine_instance *instance, const struct cis_typed *args,
                             struct cis_answer *out, struct cis_error *err)
{
    return synced(instance, args[0].n, true, out, err);
}

cis_code cis_p2_fs_advise(cis_engine_instance *instance, const struct cis_typed *args,
                          struct cis_answer *out, struct cis_error *err)
{
    (void)err;
    bool valid = args[1].n <= INT64_MAX && args[2].n <= INT64_MAX;
    return p2_fails(out, file_at(instance, args[0].n)->file == NULL ? EBADF : !valid ? EINVAL : 0);
}

/* ---- attributes ---- */

static int attr_of(struct p2_file *f, struct cis_host_op *op, struct cis_vfs_attr *out)
{
    return f->file != NULL ? cis_file_stat(f->file, &op->vfs, out)
                           : cis_at_stat(f->dir, &op->vfs, CIS_STR("."), 0, out);
}

static cis_code stat_with(cis_engine_instance *instance, const struct cis_typed *args, bool at_path,
                          struct cis_vfs_attr *out, int *out_rc, struct cis_error *err)
{
    struct p2_file *f = file_at(instance, args[0].n);
    struct cis_host_op op;
    cis_host_op_begin(&op, instance);
    *out_rc =
        !at_path ? attr_of(f, &op, out)
        : f->dir == NULL
            ? ENOTDIR
            : cis_at_stat(f->dir, &op.vfs,
                          (struct cis_str){(const char *)args[2].bytes.ptr, args[2].bytes.len},
                          (args[1].n & 1) != 0 ? 0 : CIS_WALK_NOFOLLOW, out);
    return cis_host_op_end(&op, *out_rc, err);
}

static void put_time(const struct timespec *t, uint64_t *out)
{
    bool before = t->tv_sec < 0; /* the interface's seconds are unsigned: there is no such time */
    out[0] = before ? 0 : (uint64_t)t->tv_sec;
    out[1] = before ? UINT64_MAX : (uint64_t)t->tv_nsec;
}

static cis_code give_stat(const struct cis_vfs_attr *a, int rc, struct cis_answer *out)
{
    if (rc == 0) {
        out->n[0] = cis_p2_type_of(a->mode);
        out->n[1] = a->nlink;
        out->n[2] = a->size;
        put_time(&a->atime, &out->n[3]);
        put_time(&a->mtime, &out->n[5]);
        put_time(&a->ctime, &out->n[7]);
    }
    return p2_fails(out, rc);
}

static cis_code give_hash(const struct cis_vfs_attr *a, int rc, struct cis_answer *out)
{
    if (rc == 0) { /* (filesystem and inode, version) */
        out->n[0] = cis_mix(a->ino ^ (uint64_t)a->dev << 48);
        out->n[1] = a->version;
    }
    return p2_fails(out, rc);
}

#define WITH_STAT(name, at_path, give)                                                             \
    cis_code name(cis_engine_instance *instance, const struct cis_typed *args,                     \
                  struct cis_answer *out, struct cis_error *err)                                   \
    {                                                                                              \
        struct cis_vfs_attr attr;                                                                  \
        int rc;                                                                                    \
        CIS_TRY(stat_with(instance, args, at_path, &attr, &rc, err));                              \
        return give(&attr, rc, out);                                                               \
    }
WITH_STAT(cis_p2_fs_stat, false, give_stat)
WITH_STAT(cis_p2_fs_stat_at, true, give_stat)
WITH_STAT(cis_p2_fs_hash, false, give_hash)
WITH_STAT(cis_p2_fs_hash_at, true, give_hash)

cis_code cis_p2_fs_type(cis_engine_instance *instance, const struct cis_typed *args,
                        struct cis_answer *out, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    int rc = 0;
    if (file_at(instance, args[0].n)->file == NULL) {
        out->n[0] = 3;
        return CIS_OK;
    }
    CIS_TRY(stat_with(instance, args, false, &attr, &rc, err));
    out->n[0] = rc == 0 ? cis_p2_type_of(attr.mode) : 0;
    return p2_fails(out, rc);
}

cis_code cis_p2_fs_flags(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    const struct p2_file *f = file_at(instance, args[0].n);
    struct cis_found found;
    int rc = 0;
    bool mutates = false;
    if (f->dir != NULL) { /* what a mount lets be changed */
        struct cis_host_op op;
        cis_host_op_begin(&op, instance);
        rc = cis_walk(f->dir, NULL, &op.vfs, CIS_STR("."), 0, &found);
        if (rc == 0) {
            mutates = !found.read_only;
            cis_found_done(&found);
        }
        CIS_TRY(cis_host_op_end(&op, rc, err));
    }
    out->n[0] = (f->readable ? D_READ : 0) | (f->writable ? D_WRITE : 0) |
                (mutates ? D_MUTATE : 0) | f->sync;
    return p2_fails(out, rc);
}

cis_code cis_p2_fs_same(cis_engine_instance *instance, const struct cis_typed *args,
                        struct cis_answer *out, struct cis_error *err)
{
    struct cis_vfs_attr a, b;
    const struct cis_typed other = {.n = args[1].n};
    int no_a, no_b;
    CIS_TRY(stat_with(instance, args, false, &a, &no_a, err));
    CIS_TRY(stat_with(instance, &other, false, &b, &no_b, err));
    out->has = no_a == 0 && no_b == 0 && a.dev == b.dev && a.ino == b.ino &&
               a.btime.tv_sec == b.btime.tv_sec && a.btime.tv_nsec == b.btime.tv_nsec &&
               (a.mode & S_IFMT) == (b.mode & S_IFMT);
    return CIS_OK;
}

static cis_code set_file(cis_engine_instance *instance, uint64_t rep, const struct cis_vfs_set *set,
                         struct cis_answer *out, struct cis_error *err)
{
    struct p2_file *f = file_at(instance, rep);
    struct cis_host_op op;
    cis_host_op_begin(&op, instance);
    int rc = f->file != NULL ? cis_file_set(f->file, &op.vfs, set, NULL)
                             : cis_at_set(f->dir, &op.vfs, CIS_STR("."), 0, set);
    CIS_TRY(cis_host_op_end(&op, rc, err));
    return p2_fails(out, rc);
}

cis_code cis_p2_fs_set_size(cis_engine_instance *instance, const struct cis_typed *args,
                            struct cis_answer *out, struct cis_error *err)
{
    const struct p2_file *f = file_at(instance, args[0].n);
    const struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = args[1].n};
    if (f->file == NULL || !f->writable || args[1].n > INT64_MAX) {
        return p2_fails(out, f->file == NULL ? EISDIR : EINVAL); /* as ftruncate says it */
    }
    return set_file(instance, args[0].n, &set, out, err);
}

/* Each time is three arguments: what, seconds, nanoseconds. */
static int times_of(const struct cis_typed *args, struct cis_vfs_set *out)
{
    static const unsigned now[] = {CIS_VFS_SET_ATIME_NOW, CIS_VFS_SET_MTIME_NOW},
                          exact[] = {CIS_VFS_SET_ATIME, CIS_VFS_SET_MTIME};
    struct timespec *times[] = {&out->atime, &out->mtime};
    *out = (struct cis_vfs_set){0};
    for (int i = 0; i < 2; i++) {
        const struct cis_typed *t = &args[3 * i];
        if (t[0].n == 2 && (t[1].n > INT64_MAX || t[2].n >= CIS_NS_PER_S)) {
            return EINVAL;
        }
        out->bits |= t[0].n == 1 ? now[i] : t[0].n == 2 ? exact[i] : 0;
        *times[i] = (struct timespec){(time_t)t[1].n, (long)t[2].n};
    }
    return 0;
}

cis_code cis_p2_fs_times(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    struct cis_vfs_set set;
    int rc = times_of(args + 1, &set); /* through any descriptor, as futimens does */
    return rc != 0 ? p2_fails(out, rc) : set_file(instance, args[0].n, &set, out, err);
}

/* (self, times, path-flags, path) */
cis_code cis_p2_fs_times_at(cis_engine_instance *instance, const struct cis_typed *args,
                            struct cis_answer *out, struct cis_error *err)
{
    struct p2_file *f = file_at(instance, args[0].n);
    struct cis_vfs_set set;
    int rc = f->dir == NULL ? ENOTDIR : times_of(args + 1, &set);
    if (rc != 0) {
        return p2_fails(out, rc);
    }
    struct cis_host_op op;
    struct cis_str path = {(const char *)args[8].bytes.ptr, args[8].bytes.len};
    cis_host_op_begin(&op, instance);
    rc = cis_at_set(f->dir, &op.vfs, path, (args[7].n & 1) != 0 ? 0 : CIS_WALK_NOFOLLOW, &set);
    CIS_TRY(cis_host_op_end(&op, rc, err));
    return p2_fails(out, rc);
}
