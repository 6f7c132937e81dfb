/* Directories as descriptors: what they are preopened as, what is in them. */
#include <errno.h>
#include <fcntl.h>
#include "wasi/p1/internal.h"

/* ---- preopened ---- */
static const struct cis_wasi_env_dir *preopen_of(const struct cis_wasi_fd *f)
{
    return f != NULL && f->kind == CIS_WASI_DIR ? f->preopen : NULL;
}

/* Asked for descriptors from 3 on, until EBADF says that there are no more. */
cis_code cis_wasi_fd_prestat_get(cis_engine_instance *instance, union cis_slot *io,
                                 struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    const struct cis_wasi_env_dir *dir = preopen_of(f);
    if (dir == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    uint8_t *out = cis_engine_instance_out(instance, io[1].u32, sizeof(struct cis_wasi_prestat));
    if (out == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    memset(out, 0, sizeof(struct cis_wasi_prestat)); /* tag 0: a directory */
    cis_put_le32(out + offsetof(struct cis_wasi_prestat, name_len), (uint32_t)dir->path.len);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

cis_code cis_wasi_fd_prestat_dir_name(cis_engine_instance *instance, union cis_slot *io,
                                      struct cis_error *err)
{
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    const struct cis_wasi_env_dir *dir = preopen_of(f);
    if (dir == NULL) {
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    if (io[2].u32 < dir->path.len) {
        return cis_wasi_answer(io, CIS_WASI_NAMETOOLONG);
    }
    void *out = cis_engine_instance_out(instance, io[1].u32, dir->path.len);
    if (out == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    memcpy(out, dir->path.ptr, dir->path.len);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

/* ---- numbers ---- */
cis_code cis_wasi_fd_close(cis_engine_instance *instance, union cis_slot *io, struct cis_error *err)
{
    struct cis_wasi *w;
    CIS_TRY(cis_wasi_of(instance, &w, err));
    return cis_wasi_answer(io, cis_wasi_errno_of(cis_wasi_close(w, io[0].u32)));
}

/* The target must be open too: a guest cannot choose the numbers of new descriptors. */
cis_code cis_wasi_fd_renumber(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    struct cis_wasi *w;
    CIS_TRY(cis_wasi_of(instance, &w, err));
    return cis_wasi_answer(io, cis_wasi_errno_of(cis_wasi_renumber(w, io[0].u32, io[1].u32)));
}

/* ---- entries ---- */
int cis_wasi_listing(struct cis_host_op *call, struct cis_wasi_fd *f, cis_vfs_file **out)
{
    struct cis_vfs_attr attr;
    int rc = 0;
    if (f->listing == NULL) {
        rc = cis_at_open(f->dir, &call->vfs, CIS_STR("."),
                         &(struct cis_open_how){0, O_RDONLY | O_DIRECTORY, 0}, &f->listing, &attr);
    }
    *out = f->listing;
    return rc;
}

/* A guest's buffer while entries are put into it: the last one may be cut anywhere, which tells the
 * guest that there are more. */
struct listing {
    uint8_t *buf;
    uint32_t len, used;
};

static bool put(struct listing *l, const void *bytes, size_t len)
{
    size_t room = l->len - l->used, n = len < room ? len : room;
    memcpy(l->buf + l->used, bytes, n);
    l->used += (uint32_t)n;
    return n == len;
}

static bool put_entry(void *self, const struct cis_vfs_entry *entry,
                      const struct cis_vfs_attr *attr)
{
    (void)attr;
    struct listing *l = self;
    uint8_t head[sizeof(struct cis_wasi_dirent)] = {0}; /* its padding goes to the guest too */
    cis_put_le64(head + offsetof(struct cis_wasi_dirent, next), entry->cookie);
    cis_put_le64(head + offsetof(struct cis_wasi_dirent, ino), entry->ino);
    cis_put_le32(head + offsetof(struct cis_wasi_dirent, namlen), (uint32_t)entry->name.len);
    head[offsetof(struct cis_wasi_dirent, filetype)] = cis_wasi_mode_type(entry->type);
    return put(l, head, sizeof head) && put(l, entry->name.ptr, entry->name.len) &&
           l->used < l->len;
}

/* io: fd, buf, len, cookie, out. */
cis_code cis_wasi_fd_readdir(cis_engine_instance *instance, union cis_slot *io,
                             struct cis_error *err)
{
    uint32_t out = io[4].u32;
    struct listing l = {.len = io[2].u32};
    struct cis_wasi_fd *f;
    CIS_TRY(cis_wasi_fd(instance, io[0].u32, &f, err));
    if (f == NULL || f->kind != CIS_WASI_DIR) { /* Linux says ENOTDIR; programs know EBADF */
        return cis_wasi_answer(io, CIS_WASI_BADF);
    }
    l.buf = cis_engine_instance_out(instance, io[1].u32, l.len);
    if (l.buf == NULL || !cis_engine_instance_holds(instance, out, 4)) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    if (!cis_wasi_may(f, CIS_WASI_RIGHT_READDIR)) {
        return cis_wasi_answer(io, CIS_WASI_NOTCAPABLE);
    }
    struct cis_host_op call;
    cis_vfs_file *file;
    cis_host_op_begin(&call, instance);
    int rc = cis_wasi_listing(&call, f, &file);
    if (rc == 0 && l.len != 0) {
        rc = cis_vfs_readdir(file, &call.vfs, io[3].u64, false, put_entry, &l);
    }
    CIS_TRY(cis_host_op_end(&call, rc, err));
    CIS_TRY(cis_engine_instance_burn(instance, l.used / CIS_WASI_BYTES_A_FUEL, err));
    cis_engine_instance_wrote(instance, l.used);
    if (rc == 0) {
        cis_wasi_put32(instance, out, l.used);
    }
    return cis_wasi_answer(io, cis_wasi_errno_of(rc));
}
