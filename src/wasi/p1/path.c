/* Paths: opened, made, linked, renamed, removed. A path is walked from the directory that its
 * descriptor is, one component at a time, and never leaves it. */
#include <errno.h>
#include <fcntl.h>
#include "wasi/p1/internal.h"

/* What is made gets these modes; WASI has no way to say others. */
#define FILE_MODE 0644u
#define DIR_MODE 0755u

cis_code cis_wasi_place(cis_engine_instance *instance, uint32_t fd, uint32_t path, uint32_t len,
                        uint64_t right, struct cis_wasi_place *out, struct cis_error *err)
{
    CIS_TRY(cis_wasi_fd(instance, fd, &out->f, err));
    out->path = (struct cis_str){cis_engine_instance_at(instance, path, len), len};
    out->error = out->f == NULL                 ? CIS_WASI_BADF
                 : out->f->kind != CIS_WASI_DIR ? CIS_WASI_NOTDIR
                 : out->path.ptr == NULL        ? CIS_WASI_FAULT
                 : !cis_wasi_may(out->f, right) ? CIS_WASI_NOTCAPABLE
                                                : CIS_WASI_OK;
    return CIS_OK;
}

/* ---- open ---- */
struct open {
    struct cis_wasi_fd fd; /* to be */
    unsigned walk;
    int flags;
};

/* Rights say how a file is opened and are told again by fd_fdstat_get; no other right that was not
 * asked for is missed later. */
static enum cis_wasi_errno read_open(const struct cis_wasi_fd *dir, uint32_t lookup,
                                     uint32_t oflags, uint64_t rights, uint64_t inheriting,
                                     uint32_t fdflags, struct open *out)
{
    const uint32_t all =
        CIS_WASI_O_CREAT | CIS_WASI_O_DIRECTORY | CIS_WASI_O_EXCL | CIS_WASI_O_TRUNC;
    if (lookup > CIS_WASI_LOOKUP_FOLLOW || oflags > all || fdflags > CIS_WASI_FDFLAGS_ALL) {
        return CIS_WASI_INVAL;
    }
    uint64_t needs = (oflags & CIS_WASI_O_CREAT) != 0 ? CIS_WASI_RIGHT_CREATE_FILE : 0;
    needs |= (oflags & CIS_WASI_O_TRUNC) != 0 ? CIS_WASI_RIGHT_PATH_SET_SIZE : 0;
    if (!cis_wasi_may(dir, needs)) {
        return CIS_WASI_NOTCAPABLE;
    }
    bool reads = (rights & CIS_WASI_RIGHT_READ) != 0, writes = (rights & CIS_WASI_RIGHT_WRITE) != 0;
    out->walk = cis_wasi_walk(lookup);
    out->flags = !writes ? O_RDONLY : reads ? O_RDWR : O_WRONLY;
    out->flags |= (oflags & CIS_WASI_O_CREAT) != 0 ? O_CREAT : 0;
    out->flags |= (oflags & CIS_WASI_O_DIRECTORY) != 0 ? O_DIRECTORY : 0;
    out->flags |= (oflags & CIS_WASI_O_EXCL) != 0 ? O_EXCL : 0;
    out->flags |= (oflags & CIS_WASI_O_TRUNC) != 0 ? O_TRUNC : 0;
    out->flags |= (fdflags & (CIS_WASI_FDFLAG_SYNC | CIS_WASI_FDFLAG_RSYNC)) != 0 ? O_SYNC
                  : (fdflags & CIS_WASI_FDFLAG_DSYNC) != 0                        ? O_DSYNC
                                                                                  : 0;
    out->fd = (struct cis_wasi_fd){.flags = (uint16_t)fdflags,
                                   .readable = reads || !writes,
                                   .writable = writes,
                                   .ns = dir->ns,
                                   .rights = rights & ~dir->inherited,
                                   .inheriting = inheriting & ~dir->inherited,
                                   .dropped = dir->inherited,
                                   .inherited = dir->inherited};
    return CIS_WASI_OK;
}

static int open_any(const struct cis_wasi_place *p, struct cis_host_op *call, struct open *o)
{
    struct cis_vfs_attr attr;
    cis_vfs_file *file;
    cis_dir *dir;
    int rc =
        cis_at_open_any(p->f->dir, &call->vfs, p->path,
                        &(struct cis_open_how){o->walk, o->flags, FILE_MODE}, &file, &attr, &dir);
    if (rc == 0 && dir != NULL) {
        size_t bytes = cis_dir_bytes(dir, p->f->dir);
        o->fd.kind = CIS_WASI_DIR;
        o->fd.rights &= ~(CIS_WASI_RIGHT_SEEK | CIS_WASI_RIGHT_TELL); /* it has no offset */
        o->fd.dir = dir;
        o->fd.charged = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    } else if (rc == 0) {
        o->fd.kind = CIS_WASI_FILE;
        o->fd.file = file;
        o->fd.type = cis_wasi_mode_type(attr.mode);
    }
    return rc;
}

static void let_go(struct cis_wasi_fd *fd)
{
    if (fd->kind == CIS_WASI_DIR) {
        cis_dir_free(fd->dir);
    } else {
        cis_vfs_file_close(fd->file);
    }
}

/* io: fd, dirflags, path, len, oflags, rights, inheriting, fdflags, out_fd. */
cis_code cis_wasi_path_open(cis_engine_instance *instance, union cis_slot *io,
                            struct cis_error *err)
{
    struct cis_wasi_place p;
    struct open o;
    uint32_t out = io[8].u32, number;
    CIS_TRY(
        cis_wasi_place(instance, io[0].u32, io[2].u32, io[3].u32, CIS_WASI_RIGHT_OPEN, &p, err));
    if (p.error == CIS_WASI_OK && !cis_engine_instance_holds(instance, out, 4)) {
        p.error = CIS_WASI_FAULT;
    }
    if (p.error == CIS_WASI_OK) {
        p.error = read_open(p.f, io[1].u32, io[4].u32, io[5].u64, io[6].u64, io[7].u32, &o);
    }
    if (p.error != CIS_WASI_OK) {
        return cis_wasi_answer(io, p.error);
    }
    struct cis_wasi *w = cis_host_of(instance)->wasi;
    if (!cis_wasi_room(w)) { /* before anything is made by it */
        return cis_wasi_answer(io, CIS_WASI_MFILE);
    }
    struct cis_host_op call;
    cis_host_op_begin(&call, instance);
    int rc = open_any(&p, &call, &o);
    cis_code code = cis_host_op_end(&call, rc, err);
    if (rc == 0 && code == CIS_OK) {
        rc = cis_wasi_add(w, &o.fd, &number);
        if (rc == 0) {
            cis_wasi_put32(instance, out, number);
            return cis_wasi_answer(io, CIS_WASI_OK);
        }
        let_go(&o.fd);
    } else if (rc == 0) {
        let_go(&o.fd);
    }
    CIS_TRY(code);
    return cis_wasi_answer(io, cis_wasi_errno_of(rc));
}

/* ---- names ---- */
static cis_code make(cis_engine_instance *instance, union cis_slot *io,
                     const struct cis_wasi_place *p, const struct cis_vfs_make *what,
                     struct cis_error *err)
{
    struct cis_host_op call;
    cis_host_op_begin(&call, instance);
    int rc = cis_at_make(p->f->dir, &call.vfs, p->path, 0, what);
    return cis_wasi_op_answer(&call, io, rc, err);
}

/* io: fd, path, len. */
cis_code cis_wasi_path_create_directory(cis_engine_instance *instance, union cis_slot *io,
                                        struct cis_error *err)
{
    struct cis_wasi_place p;
    CIS_TRY(cis_wasi_place(instance, io[0].u32, io[1].u32, io[2].u32,
                           CIS_WASI_RIGHT_CREATE_DIRECTORY, &p, err));
    if (p.error != CIS_WASI_OK) {
        return cis_wasi_answer(io, p.error);
    }
    struct cis_vfs_make what = {.mode = S_IFDIR | DIR_MODE};
    return make(instance, io, &p, &what, err);
}

/* io: target, target_len, fd, path, len. An absolute target is refused, as symlink-at of 0.2
 * refuses it: no guest can follow it, and outside it would name a place of the host. Any other
 * target is stored as it is; a walk into it is held back then. */
cis_code cis_wasi_path_symlink(cis_engine_instance *instance, union cis_slot *io,
                               struct cis_error *err)
{
    struct cis_wasi_place p;
    const char *target = cis_engine_instance_at(instance, io[0].u32, io[1].u32);
    CIS_TRY(
        cis_wasi_place(instance, io[2].u32, io[3].u32, io[4].u32, CIS_WASI_RIGHT_SYMLINK, &p, err));
    if (p.error == CIS_WASI_OK && target == NULL) {
        p.error = CIS_WASI_FAULT;
    }
    if (p.error == CIS_WASI_OK && io[1].u32 != 0 && target[0] == '/') {
        p.error = CIS_WASI_PERM;
    }
    if (p.error != CIS_WASI_OK) {
        return cis_wasi_answer(io, p.error);
    }
    struct cis_vfs_make what = {.mode = S_IFLNK | 0777, .target = {target, io[1].u32}};
    return make(instance, io, &p, &what, err);
}

/* io: fd, path, len, buf, buf_len, out. As readlink(2): cut to the buffer, without a NUL. */
cis_code cis_wasi_path_readlink(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    struct cis_wasi_place p;
    uint32_t buf = io[3].u32, len = io[4].u32, out = io[5].u32;
    CIS_TRY(cis_wasi_place(instance, io[0].u32, io[1].u32, io[2].u32, CIS_WASI_RIGHT_READLINK, &p,
                           err));
    if (p.error == CIS_WASI_OK && (!cis_engine_instance_holds(instance, buf, len) ||
                                   !cis_engine_instance_holds(instance, out, 4))) {
        p.error = CIS_WASI_FAULT;
    }
    if (p.error == CIS_WASI_OK && len == 0) {
        p.error = CIS_WASI_INVAL;
    }
    if (p.error != CIS_WASI_OK) {
        return cis_wasi_answer(io, p.error);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    struct cis_host_op call;
    cis_host_op_begin(&call, instance);
    int rc = cis_at_readlink(p.f->dir, &call.vfs, p.path, 0, &target);
    CIS_TRY(cis_host_op_end(&call, rc, err));
    if (rc == 0) {
        uint32_t n = target.len < len ? (uint32_t)target.len : len;
        memcpy(cis_engine_instance_out(instance, buf, n), target.ptr, n);
        cis_wasi_put32(instance, out, n);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(rc));
}

typedef int remove_verb(const cis_dir *, const struct cis_vfs_call *, struct cis_str, unsigned);

static cis_code remove_with(cis_engine_instance *instance, union cis_slot *io, remove_verb *verb,
                            uint64_t right, struct cis_error *err)
{
    struct cis_wasi_place p;
    CIS_TRY(cis_wasi_place(instance, io[0].u32, io[1].u32, io[2].u32, right, &p, err));
    if (p.error != CIS_WASI_OK) {
        return cis_wasi_answer(io, p.error);
    }
    struct cis_host_op call;
    cis_host_op_begin(&call, instance);
    int rc = verb(p.f->dir, &call.vfs, p.path, 0);
    return cis_wasi_op_answer(&call, io, rc, err);
}

cis_code cis_wasi_path_unlink_file(cis_engine_instance *instance, union cis_slot *io,
                                   struct cis_error *err)
{
    return remove_with(instance, io, cis_at_unlink, CIS_WASI_RIGHT_UNLINK_FILE, err);
}

cis_code cis_wasi_path_remove_directory(cis_engine_instance *instance, union cis_slot *io,
                                        struct cis_error *err)
{
    return remove_with(instance, io, cis_at_rmdir, CIS_WASI_RIGHT_REMOVE_DIRECTORY, err);
}

/* ---- two paths ---- */

/* The worse of two errors, in the order in which one path is checked. */
static enum cis_wasi_errno both(const struct cis_wasi_place *a, const struct cis_wasi_place *b)
{
    if (a->error == CIS_WASI_BADF || b->error == CIS_WASI_BADF) {
        return CIS_WASI_BADF;
    }
    return a->error != CIS_WASI_OK ? a->error : b->error;
}

/* io: old_fd, old_flags, old, old_len, new_fd, new, new_len. */
cis_code cis_wasi_path_link(cis_engine_instance *instance, union cis_slot *io,
                            struct cis_error *err)
{
    struct cis_wasi_place old, made;
    CIS_TRY(cis_wasi_place(instance, io[0].u32, io[2].u32, io[3].u32, CIS_WASI_RIGHT_LINK_SOURCE,
                           &old, err));
    CIS_TRY(cis_wasi_place(instance, io[4].u32, io[5].u32, io[6].u32, CIS_WASI_RIGHT_LINK_TARGET,
                           &made, err));
    enum cis_wasi_errno error = both(&old, &made);
    if (error == CIS_WASI_OK && io[1].u32 > CIS_WASI_LOOKUP_FOLLOW) {
        error = CIS_WASI_INVAL;
    }
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    struct cis_host_op call;
    cis_host_op_begin(&call, instance);
    int rc = cis_at_link(old.f->dir, old.path, made.f->dir, made.path, &call.vfs,
                         cis_wasi_walk(io[1].u32));
    return cis_wasi_op_answer(&call, io, rc, err);
}

/* io: fd, old, old_len, new_fd, new, new_len. */
cis_code cis_wasi_path_rename(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    struct cis_wasi_place old, made;
    CIS_TRY(cis_wasi_place(instance, io[0].u32, io[1].u32, io[2].u32, CIS_WASI_RIGHT_RENAME_SOURCE,
                           &old, err));
    CIS_TRY(cis_wasi_place(instance, io[3].u32, io[4].u32, io[5].u32, CIS_WASI_RIGHT_RENAME_TARGET,
                           &made, err));
    enum cis_wasi_errno error = both(&old, &made);
    if (error != CIS_WASI_OK) {
        return cis_wasi_answer(io, error);
    }
    struct cis_host_op call;
    cis_host_op_begin(&call, instance);
    int rc = cis_at_rename(old.f->dir, old.path, made.f->dir, made.path, &call.vfs, 0, 0);
    return cis_wasi_op_answer(&call, io, rc, err);
}
