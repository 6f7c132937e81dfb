/* Copying trees between two filesystems, node by node: no path is looked up twice, so renames
 * beside it lead nowhere else. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "history/internal.h"
#include "history/move.h"
#include "history/tree.h"
#include "vfs/sparse.h"
#include "vfs/way.h"

#include <stdio.h>
#include "base/crypto.h"

#define PIECE (1u << 20)

struct copy {
    cis_vfs *to;
    const struct cis_vfs_call *from_call, *to_call;
    const struct cis_copy_options *options;
    const struct cis_found *target;
    struct cis_way dirs;   /* that are being filled */
    struct cis_map linked; /* inode here → node there, with a reference */
    struct numbers nodes;  /* those references */
    uint8_t *piece;
    cis_move_progress *progress;
    void *self;
    struct cis_move_counts *counts;
    uint64_t temp; /* of the name beside */
    int unread;    /* why the source of this entry cannot be read; 0: it can */
};

static void copy_done(struct copy *c)
{
    for (size_t i = 0; i < c->nodes.n; i++) {
        cis_vfs_forget(c->to, c->nodes.at[i], 1);
    }
    cis_way_done(&c->dirs);
    cis_numbers_done(&c->nodes);
    cis_map_done(&c->linked, NULL);
    cis_free(c->piece);
}

static cis_code failed(const struct copy *c, const struct cis_tree_entry *e, int rc,
                       struct cis_error *err)
{
    return cis_tree_fail(c->from_call, rc, "", e->path, err);
}

/* Of the target: what is copied is not to blame. */
static cis_code unwritable(const struct copy *c, const struct cis_tree_entry *e, int rc,
                           struct cis_error *err)
{
    return cis_tree_fail(c->to_call, rc, ": cannot write the copy", e->path, err);
}

/* Of the source: the copy may go on without this one. */
static cis_code unreadable(struct copy *c, const struct cis_tree_entry *e, int rc,
                           struct cis_error *err)
{
    c->unread = rc;
    return failed(c, e, rc, err);
}

bool cis_move_may_skip(int rc, const struct cis_vfs_call *call, struct cis_str path,
                       struct cis_error *out_why)
{
    struct cis_error *deep = call->err;
    bool told = deep != NULL && deep->code != CIS_OK;
    bool own = !told || deep->code == CIS_E_DAMAGED || deep->code == CIS_E_DENIED;
    if (rc == EINTR || rc == ECANCELED || rc == ENOMEM || !own) {
        return false;
    }
    if (told) {
        cis_fail(out_why, deep->code, "%.*s: %s", CIS_STR_ARG(path), deep->msg);
        *deep = (struct cis_error){0};
    } else {
        cis_vfs_fail(out_why, rc, "%.*s", CIS_STR_ARG(path));
    }
    return true;
}

static bool skips(struct copy *c, const struct cis_tree_entry *e, int rc)
{
    struct cis_error why = {0};
    if (rc == 0 || c->options->skipped == NULL ||
        !cis_move_may_skip(rc, c->from_call, e->path, &why)) {
        return false;
    }
    c->options->skipped(c->self, e->path, &why);
    return true;
}

/* Where the entry goes: the directory being filled and its name, or the target itself. */
static int place(struct copy *c, const struct cis_tree_entry *e, cis_node *dir,
                 struct cis_str *name)
{
    bool top = e->depth == 0;
    *dir = c->target->dir;
    *name = top ? (struct cis_str){c->target->name, c->target->name_len} : e->name;
    return top ? 0 : cis_way_here(&c->dirs, c->to_call, dir);
}

static void attributes(const struct copy *c, const struct cis_vfs_attr *from,
                       struct cis_vfs_set *out)
{
    *out = (struct cis_vfs_set){.bits = CIS_VFS_SET_ATIME | CIS_VFS_SET_MTIME,
                                .mode = from->mode & 07777 & ~c->options->clear,
                                .uid = from->uid,
                                .gid = from->gid,
                                .atime = from->atime,
                                .mtime = from->mtime};
    if (!S_ISLNK(from->mode)) {
        out->bits |= CIS_VFS_SET_MODE;
    }
    if (c->options->owner) {
        out->bits |= CIS_VFS_SET_UID | CIS_VFS_SET_GID;
    }
}

/* ---- content ---- */
static cis_code copy_range(struct copy *c, const struct cis_tree_entry *e, cis_vfs_file *in,
                           cis_vfs_file *out, uint64_t from, uint64_t to, struct cis_error *err)
{
    while (from < to) {
        struct iovec v = {c->piece, to - from < PIECE ? (size_t)(to - from) : PIECE};
        size_t n = 0;
        int rc = cis_vfs_read(in, c->from_call, &v, 1, from, &n);
        if (rc != 0) {
            return unreadable(c, e, rc, err);
        }
        rc = cis_sparse_write(out, c->to_call, c->piece, n, from);
        if (rc != 0) {
            return unwritable(c, e, rc, err);
        }
        if (n == 0) {
            break; /* it got shorter */
        }
        from += n;
        c->counts->bytes += n;
        if (c->progress != NULL && !c->progress(c->self, c->counts, e->path)) {
            return cis_fail(err, CIS_E_CANCELLED, "cancelled");
        }
        CIS_TRY(cis_stop_check(c->to_call->stop, "copy", err));
    }
    return CIS_OK;
}

/* Holes stay holes, and zeros become them. */
static cis_code copy_content(struct copy *c, const struct cis_tree_entry *e, cis_vfs_file *in,
                             cis_vfs_file *out, struct cis_error *err)
{
    uint64_t size = e->attr->size, at = 0;
    while (at < size) {
        uint64_t data = at, hole = size;
        int rc = cis_vfs_seek(in, c->from_call, at, SEEK_DATA, &data);
        if (rc == ENXIO) {
            break;
        }
        if (rc == 0) {
            rc = cis_vfs_seek(in, c->from_call, data, SEEK_HOLE, &hole);
        }
        if (rc != 0) { /* it cannot tell */
            data = at;
            hole = size;
        }
        CIS_TRY(copy_range(c, e, in, out, data, hole < size ? hole : size, err));
        at = hole;
    }
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = size};
    int rc = cis_file_set(out, c->to_call, &set, NULL);
    return rc == 0 ? CIS_OK : unwritable(c, e, rc, err);
}

static cis_code copy_file(struct copy *c, const struct cis_tree_entry *e, cis_node dir,
                          struct cis_str name, cis_node *out_node, struct cis_error *err)
{
    cis_vfs_file *in = NULL, *out = NULL;
    struct cis_vfs_attr made;
    int rc = cis_vfs_open(e->vfs, c->from_call, e->node, O_RDONLY, &in);
    if (rc != 0) {
        return unreadable(c, e, rc, err);
    }
    rc =
        cis_vfs_create(c->to, c->to_call, &(struct cis_vfs_create_request){dir, name, 0600, O_RDWR},
                       &out, out_node, &made);
    cis_code code = rc == 0 ? copy_content(c, e, in, out, err) : unwritable(c, e, rc, err);
    cis_vfs_file_close(out);
    cis_vfs_file_close(in);
    return code;
}

/* ---- everything else ---- */
static cis_code make_other(struct copy *c, const struct cis_tree_entry *e, cis_node dir,
                           struct cis_str name, cis_node *out_node, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(65536);
    struct cis_vfs_attr made;
    struct cis_vfs_make make = {.mode = e->attr->mode & ~c->options->clear, .rdev = e->attr->rdev};
    int rc = 0;
    if (S_ISLNK(make.mode)) {
        rc = cis_vfs_readlink(e->vfs, c->from_call, e->node, &target);
        if (rc != 0) {
            return unreadable(c, e, rc, err);
        }
        make.target = cis_buf_view(&target);
    }
    if (S_ISDIR(make.mode)) {
        make.mode = S_IFDIR | 0700;
    }
    if (rc == 0) {
        rc = cis_vfs_make(c->to, c->to_call, dir, name, &make, out_node, &made);
    }
    return rc == 0 ? CIS_OK : unwritable(c, e, rc, err);
}

static bool goes_beside(const struct copy *c, const struct cis_tree_entry *e)
{
    return c->options->beside && S_ISREG(e->attr->mode) &&
           (e->attr->nlink < 2 || cis_ids_get(&c->linked, e->attr->ino) == NULL);
}

/* What stands in the way: a directory takes a directory; anything else is removed. */
static cis_code clear(struct copy *c, const struct cis_tree_entry *e, cis_node dir,
                      struct cis_str name, cis_node *out_dir, struct cis_error *err)
{
    struct cis_vfs_attr there;
    cis_node node = 0;
    *out_dir = 0;
    int rc = cis_vfs_lookup(c->to, c->to_call, dir, name, &node, &there);
    if (rc == ENOENT) {
        return CIS_OK;
    }
    if (rc != 0) {
        return unwritable(c, e, rc, err);
    }
    if (S_ISDIR(there.mode) && S_ISDIR(e->attr->mode)) {
        *out_dir = node;
        return CIS_OK;
    }
    cis_vfs_forget(c->to, node, 1);
    if (c->options->keep_devices && !S_ISREG(there.mode) && !S_ISDIR(there.mode) &&
        !S_ISLNK(there.mode)) {
        return cis_fail(err, CIS_E_EXISTS, "%.*s: a device, a pipe or a socket of that name exists",
                        CIS_STR_ARG(e->path));
    }
    if (goes_beside(c, e) && !S_ISDIR(there.mode)) {
        return CIS_OK; /* until there is what takes its place */
    }
    if (S_ISDIR(there.mode)) {
        return cis_fail(err, CIS_E_EXISTS, "%.*s: a directory of that name exists",
                        CIS_STR_ARG(e->path));
    }
    rc = cis_vfs_unlink(c->to, c->to_call, dir, name);
    return rc == 0 || rc == ENOENT ? CIS_OK : unwritable(c, e, rc, err);
}

static cis_code keep_link(struct copy *c, const struct cis_vfs_attr *attr, cis_node node,
                          struct cis_error *err)
{
    if (attr->nlink < 2) {
        return CIS_OK;
    }
    cis_vfs_ref(c->to, node, 1);
    uint64_t *slot = vec_add(&c->nodes);
    if (slot == NULL) {
        cis_vfs_forget(c->to, node, 1);
        return cis_history_nomem(err);
    }
    *slot = node;
    return cis_ids_set(&c->linked, attr->ino, (void *)(uintptr_t)node, NULL, err);
}

static cis_code set(struct copy *c, const struct cis_tree_entry *e, cis_node node,
                    struct cis_error *err)
{
    struct cis_vfs_set want;
    attributes(c, e->attr, &want);
    int rc = cis_vfs_setattr(c->to, c->to_call, node, &want, NULL);
    return rc == 0 ? CIS_OK : unwritable(c, e, rc, err);
}

static cis_code copy_one(struct copy *c, const struct cis_tree_entry *e, cis_node dir,
                         struct cis_str name, struct cis_error *err)
{
    cis_node node = (cis_node)(uintptr_t)cis_ids_get(&c->linked, e->attr->ino);
    if (node != 0 && e->attr->nlink > 1) {
        struct cis_vfs_attr attr;
        int rc =
            cis_vfs_link(c->to_call, cis_vfs_at(c->to, node), cis_vfs_at(c->to, dir), name, &attr);
        return rc == 0 ? CIS_OK : unwritable(c, e, rc, err);
    }
    node = 0;
    char text[40];
    snprintf(text, sizeof text, ".cis-copy-%llx", (unsigned long long)c->temp);
    bool beside = goes_beside(c, e);
    struct cis_str as = beside ? cis_str_of(text) : name;
    cis_code code = S_ISREG(e->attr->mode) ? copy_file(c, e, dir, as, &node, err)
                                           : make_other(c, e, dir, as, &node, err);
    if (code == CIS_OK) {
        code = set(c, e, node, err);
    }
    if (code == CIS_OK && beside) {
        int rc =
            cis_vfs_rename(c->to_call, cis_vfs_at(c->to, dir), as, cis_vfs_at(c->to, dir), name, 0);
        code = rc == 0 ? CIS_OK : unwritable(c, e, rc, err);
    }
    if (code == CIS_OK) {
        code = keep_link(c, e->attr, node, err);
    } else if (beside && node != 0) {
        (void)c->to->ops->unlink(c->to, c->to_call, dir, as);
    }
    if (node != 0) {
        cis_vfs_forget(c->to, node, 1);
    }
    return code;
}

/* Takes over the node. */
static cis_code go_into(struct copy *c, const struct cis_tree_entry *e, struct cis_str name,
                        cis_node node, struct cis_error *err)
{
    struct cis_vfs_attr attr;
    int rc = cis_vfs_getattr(c->to, c->to_call, node, &attr);
    if (rc != 0) {
        cis_vfs_forget(c->to, node, 1);
        return unwritable(c, e, rc, err);
    }
    rc = cis_way_push(&c->dirs, node, name, &attr, false);
    return rc == 0 ? CIS_OK : cis_history_nomem(err);
}

static cis_code visit(void *self, const struct cis_tree_entry *e, bool *descend,
                      struct cis_error *err)
{
    struct copy *c = self;
    cis_node dir, node = 0;
    struct cis_str name;
    int rc;
    (void)descend;
    c->unread = 0;
    if (e->rc != 0) {
        return skips(c, e, e->rc) ? CIS_OK : failed(c, e, e->rc, err);
    }
    if (e->after) { /* times last: filling it changed them */
        rc = cis_way_here(&c->dirs, c->to_call, &node);
        cis_code code = rc == 0 ? set(c, e, node, err) : unwritable(c, e, rc, err);
        cis_way_pop(&c->dirs);
        return code;
    }
    rc = place(c, e, &dir, &name);
    if (rc != 0) {
        return unwritable(c, e, rc, err);
    }
    if (e->depth == 0 && S_ISDIR(e->attr->mode) && c->target->node != 0 &&
        S_ISDIR(c->target->attr.mode)) { /* the root, too, which has no name */
        node = c->target->node;
        cis_vfs_ref(c->to, node, 1);
    } else {
        CIS_TRY(clear(c, e, dir, name, &node, err));
    }
    c->counts->files++;
    if (c->progress != NULL && !c->progress(c->self, c->counts, e->path)) {
        return cis_fail(err, CIS_E_CANCELLED, "cancelled");
    }
    if (!S_ISDIR(e->attr->mode)) {
        cis_code code = copy_one(c, e, dir, name, err);
        return code != CIS_OK && skips(c, e, c->unread) ? CIS_OK : code;
    }
    if (node == 0) {
        CIS_TRY(make_other(c, e, dir, name, &node, err));
    }
    return go_into(c, e, name, node, err);
}

cis_code cis_history_copy(const struct cis_found *from, const struct cis_vfs_call *from_call,
                          const struct cis_found *to, const struct cis_vfs_call *to_call,
                          const struct cis_copy_options *options, cis_move_progress *progress,
                          void *self, struct cis_move_counts *counts, struct cis_error *err)
{
    CIS_CLEANUP(copy_done)
    struct copy c = {.to = to->vfs,
                     .from_call = from_call,
                     .to_call = to_call,
                     .options = options,
                     .target = to,
                     .linked = CIS_MAP_INIT,
                     .progress = progress,
                     .self = self,
                     .counts = counts};
    cis_way_init(&c.dirs, to->vfs);
    cis_random_bytes(&c.temp, sizeof c.temp);
    c.piece = cis_alloc(PIECE);
    if (c.piece == NULL) {
        return cis_history_nomem(err);
    }
    if (to->read_only) {
        return cis_vfs_fail(err, EROFS, "%s", to->name);
    }
    return cis_tree_walk(
        from->vfs, from->node, &from->attr, (struct cis_str){from->name, from->name_len},
        CIS_TREE_NODES | CIS_TREE_AFTER | (options->skipped != NULL ? CIS_TREE_FAILURES : 0u),
        from_call, visit, &c, err);
}
