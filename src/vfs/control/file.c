/* Open files: those of a tree below, and control files. */
#include "base/mem.h"
#include "vfs/control/internal.h"

int cis_ctl_file_out(struct ctl *c, struct ctl_slot *slot, cis_node node, int flags,
                     cis_vfs_file *below, cis_vfs_file **out_file)
{
    struct ctl_file *file = cis_zalloc(sizeof *file);
    if (file == NULL) {
        cis_vfs_release(below);
        return ENOMEM;
    }
    file->base = (cis_vfs_file){.vfs = &c->vfs, .node = node, .flags = flags};
    file->below = below;
    file->slot = slot;
    *out_file = &file->base;
    return 0;
}

static struct ctl_file *file_of(cis_vfs_file *file)
{
    return (struct ctl_file *)file;
}

void cis_ctl_op_release(cis_vfs_file *base)
{
    struct ctl_file *file = file_of(base);
    if (file->below != NULL) {
        cis_vfs_release(file->below);
    }
    cis_buf_done(&file->text);
    cis_free(file);
}

static int read_text(const struct ctl_file *file, const struct iovec *iov, int niov,
                     uint64_t offset, size_t *out_n)
{
    size_t done = 0;
    if (!ctl_is_text(file->id)) {
        return cis_ctl_rows[file->id].kind == CTL_DIR ? EISDIR : EBADF;
    }
    for (int i = 0; i < niov && offset < file->text.len - done; i++) {
        size_t rest = file->text.len - done - (size_t)offset;
        size_t n = iov[i].iov_len < rest ? iov[i].iov_len : rest;
        memcpy(iov[i].iov_base, file->text.ptr + offset + done, n);
        done += n;
    }
    *out_n = done;
    return 0;
}

int cis_ctl_op_read(cis_vfs_file *base, const struct cis_vfs_call *call, const struct iovec *iov,
                    int niov, uint64_t offset, size_t *out_n)
{
    struct ctl_file *file = file_of(base);
    return file->below != NULL ? cis_vfs_read(file->below, call, iov, niov, offset, out_n)
                               : read_text(file, iov, niov, offset, out_n);
}

/* A verb acts on what one write brings, wherever the writer thinks it is in the file. */
static int write_verb(struct ctl_file *file, const struct iovec *iov, int niov, size_t *out_n,
                      uint64_t *out_end)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CTL_VERB_MAX);
    if (cis_ctl_rows[file->id].kind != CTL_VERB) {
        return EBADF;
    }
    for (int i = 0; i < niov; i++) {
        cis_buf_add(&text, iov[i].iov_base, iov[i].iov_len);
    }
    if (text.failed != CIS_OK) {
        return text.failed == CIS_E_NOMEM ? ENOMEM : E2BIG;
    }
    int rc = cis_ctl_verb(ctl_of(file->base.vfs), file->id, cis_buf_view(&text));
    if (rc == 0) {
        *out_n = text.len;
        *out_end = text.len;
    }
    return rc;
}

/* A file that was opened before a switch stays the file of its tree: it cannot be written. Holds
 * turn when it gives 0: clang cannot follow that. */
CIS_LOCK_UNCHECKED static int file_change_begin(struct ctl_file *file)
{
    struct ctl *c = ctl_of(file->base.vfs);
    cis_rwlock_read(&c->turn, ctl_lock_turn);
    if (file->slot != c->slots[atomic_load(&c->current)] || atomic_load(&c->sealed)) {
        cis_rwlock_unlock(&c->turn, ctl_lock_turn);
        return EROFS;
    }
    return 0;
}

CIS_LOCK_UNCHECKED static void file_change_end(struct ctl_file *file)
{
    cis_rwlock_unlock(&ctl_of(file->base.vfs)->turn, ctl_lock_turn);
}

int cis_ctl_op_write(cis_vfs_file *base, const struct cis_vfs_call *call, const struct iovec *iov,
                     int niov, uint64_t offset, size_t *out_n, uint64_t *out_end)
{
    struct ctl_file *file = file_of(base);
    if (file->below == NULL) {
        return write_verb(file, iov, niov, out_n, out_end);
    }
    int rc = file_change_begin(file);
    if (rc == 0) {
        rc = cis_vfs_write(file->below, call, iov, niov, offset, out_n, out_end);
        file_change_end(file);
    }
    return rc;
}

int cis_ctl_op_sync(cis_vfs_file *base, const struct cis_vfs_call *call, bool data_only)
{
    struct ctl_file *file = file_of(base);
    return file->below != NULL ? cis_vfs_sync(file->below, call, data_only) : 0;
}

int cis_ctl_op_allocate(cis_vfs_file *base, const struct cis_vfs_call *call, int mode,
                        uint64_t offset, uint64_t len)
{
    struct ctl_file *file = file_of(base);
    if (file->below == NULL) {
        return EOPNOTSUPP;
    }
    int rc = file_change_begin(file);
    if (rc == 0) {
        rc = cis_vfs_allocate(file->below, call, mode, offset, len);
        file_change_end(file);
    }
    return rc;
}

int cis_ctl_op_seek(cis_vfs_file *base, const struct cis_vfs_call *call, uint64_t offset,
                    int whence, uint64_t *out_offset)
{
    struct ctl_file *file = file_of(base);
    return file->below != NULL ? cis_vfs_seek(file->below, call, offset, whence, out_offset)
                               : EINVAL;
}

/* Entries of a snapshot's tree carry the numbers that look-ups in it give. */
struct relist {
    const struct ctl_file *file;
    cis_vfs_entry_each *each;
    void *self;
};

static bool relist(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    const struct relist *r = self;
    uint64_t slot = r->file->base.node & ~CTL_LOW;
    struct cis_vfs_entry out = *entry;
    struct cis_vfs_attr moved;
    out.ino |= slot;
    if (attr != NULL) {
        moved = *attr;
        moved.ino |= slot;
    }
    return r->each(r->self, &out, attr != NULL ? &moved : NULL);
}

int cis_ctl_op_readdir(cis_vfs_file *base, const struct cis_vfs_call *call, uint64_t cookie,
                       bool attributes, cis_vfs_entry_each *each, void *self)
{
    struct ctl_file *file = file_of(base);
    if (file->below == NULL) {
        return cis_ctl_rows[file->id].kind == CTL_DIR
                   ? cis_ctl_tree_readdir(file, cookie, attributes, each, self)
                   : ENOTDIR;
    }
    struct relist again = {file, each, self};
    return file->slot->head
               ? cis_vfs_readdir(file->below, call, cookie, attributes, each, self)
               : cis_vfs_readdir(file->below, call, cookie, attributes, relist, &again);
}
