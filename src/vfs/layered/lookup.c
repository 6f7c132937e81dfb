/* Names and inodes as a view sees them: overlay first, then the caches of the base. All under a
 * lock; what is not there is said in op->need. */
#include "vfs/layered/view.h"

#include <inttypes.h>
#include "store/row.h"

int cis_lay_need(struct lay_op *op, enum lay_need_kind kind, uint64_t ino, uint64_t epoch)
{
    op->need.kind = kind;
    op->need.ino = ino;
    op->need.epoch = epoch;
    op->need.n = 0;
    op->need.line = NULL;
    op->need.attributes = false;
    return LAY_NEED;
}

/* The rest of the path, as far as it is plain names: they are fetched in the same trip. */
static void need_ahead(struct lay_op *op)
{
    struct cis_str rest = op->call != NULL ? op->call->ahead : (struct cis_str){NULL, 0};
    while (rest.len > 0 && op->need.n < LAY_STEPS_MAX) {
        struct cis_str name;
        cis_str_split(&rest, '/', &name);
        if (name.len == 0) {
            continue;
        }
        if (name.len > CIS_FS_NAME_MAX || cis_str_is(name, ".") || cis_str_is(name, "..") ||
            memchr(name.ptr, 0, name.len) != NULL) {
            return;
        }
        op->need.names[op->need.n++] = name;
    }
}

static bool base_entry(struct lay_op *op, struct lay_hash hash, struct lay_entry *out)
{
    struct lay_view *v = op->v;
    if (cis_lay_entry_get(v->fs_cache, v->line, v->at.epoch, hash, out)) {
        op->stripe->entry_hits++;
        return true;
    }
    unsigned n = op->nentries < LAY_BAG ? op->nentries : LAY_BAG;
    for (unsigned i = 0; i < n; i++) {
        if (op->entries[i].hash.a == hash.a && op->entries[i].hash.b == hash.b &&
            op->entries[i].line == v->line->uid && op->entries[i].to >= v->at.epoch &&
            op->entries[i].entry.epoch <= v->at.epoch) {
            *out = op->entries[i].entry;
            return true;
        }
    }
    return false;
}

int cis_lay_find(struct lay_op *op, uint64_t dir, struct cis_str name, struct lay_found *out)
{
    struct lay_view *v = op->v;
    out->hash = cis_lay_hash(&v->fs_cache->key, dir, name);
    out->name = v->names.count != 0 ? cis_lay_name_find(v, out->hash) : NULL;
    if (out->name != NULL) {
        out->ino = out->name->ino;
        out->type = out->name->type;
        out->base_ino = out->name->base_ino;
        out->base_type = out->name->base_type;
        return 0;
    }
    const struct lay_node *node = v->nodes.count != 0 ? cis_lay_table_get(&v->nodes, dir) : NULL;
    struct lay_entry entry = {0, 0, 0};
    if (node == NULL || !(node->is_new || node->gone)) {
        if (!base_entry(op, out->hash, &entry)) {
            (void)cis_lay_need(op, LAY_NEED_ENTRY, dir, 0);
            op->need.names[op->need.n++] = name;
            need_ahead(op);
            return LAY_NEED;
        }
    }
    out->ino = out->base_ino = entry.ino;
    out->type = out->base_type = entry.type;
    return 0;
}

int cis_lay_base_inode(struct lay_op *op, uint64_t ino, struct cis_fs_inode *out)
{
    struct lay_view *v = op->v;
    if (cis_lay_inode_get(v->fs_cache, v->line, v->at.epoch, ino, out)) {
        op->stripe->inode_hits++;
        return 0;
    }
    unsigned n = op->ninodes < LAY_BAG ? op->ninodes : LAY_BAG;
    for (unsigned i = 0; i < n; i++) {
        const struct cis_fs_inode *row = &op->inodes[i].row;
        if (row->ino == ino && op->inodes[i].line == v->line->uid &&
            op->inodes[i].to >= v->at.epoch && row->epoch <= v->at.epoch) {
            if (row->mode == 0) {
                return ESTALE;
            }
            *out = *row;
            return 0;
        }
    }
    return cis_lay_need(op, LAY_NEED_INODE, ino, 0);
}

int cis_lay_inode(struct lay_op *op, uint64_t ino, struct cis_fs_inode *out,
                  struct lay_node **out_node)
{
    struct lay_view *v = op->v;
    struct lay_node *node = v->nodes.count != 0 ? cis_lay_table_get(&v->nodes, ino) : NULL;
    if (out_node != NULL) {
        *out_node = node;
    }
    if (node != NULL) {
        *out = node->now;
        return 0;
    }
    return cis_lay_base_inode(op, ino, out);
}

int cis_lay_dir(struct lay_op *op, uint64_t ino, struct cis_fs_inode *out)
{
    struct lay_node *node;
    int rc = cis_lay_inode(op, ino, out, &node);
    if (rc != 0) {
        return rc;
    }
    if (!S_ISDIR(out->mode)) {
        return ENOTDIR;
    }
    return node != NULL && node->gone ? ENOENT : 0;
}

static struct timespec time_of(struct cis_fs_time t)
{
    return (struct timespec){.tv_sec = t.s, .tv_nsec = t.ns};
}

void cis_lay_attr(const struct lay_view *v, const struct cis_fs_inode *row,
                  const struct lay_node *node, struct cis_vfs_attr *out)
{
    uint64_t blocks =
        row->is_inline || S_ISLNK(row->mode) ? (row->size + 511) / 512 : row->stored / 512;
    if (node != NULL && S_ISREG(row->mode)) { /* near enough until it is committed */
        blocks += node->blocks.count * (CIS_FS_BLOCK / 512);
        blocks = blocks > (row->size + 511) / 512 ? (row->size + 511) / 512 : blocks;
    }
    *out = (struct cis_vfs_attr){
        .ino = row->ino,
        .version = node != NULL ? (v->at.epoch << 32) + node->gen : row->epoch << 32,
        .mode = row->mode,
        .nlink = row->nlink,
        .uid = row->uid,
        .gid = row->gid,
        .rdev = cis_fs_device(row->rdev),
        .size = row->size,
        .blocks = blocks,
        .atime = time_of(row->atime),
        .mtime = time_of(row->mtime),
        .ctime = time_of(row->ctime),
        .btime = time_of(row->btime),
    };
}

struct cis_view cis_lay_base_at(const struct lay_view *v, const struct lay_node *node)
{
    return node != NULL && node->gone_committed ? node->held_at : v->at;
}

/* ---- the operations ---- */
struct lookup {
    uint64_t dir;
    struct cis_str name;
    cis_node *out_node;
    struct cis_vfs_attr *out_attr;
};

static int lookup_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    const struct lookup *l = arg;
    struct lay_found found;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_find(op, l->dir, l->name, &found);
    if (rc != 0) {
        return rc;
    }
    if (found.ino == 0) {
        rc = cis_lay_dir(op, l->dir, &row);
        return rc != 0 ? rc : ENOENT;
    }
    rc = cis_lay_inode(op, found.ino, &row, &node);
    if (rc == ESTALE) {
        return cis_lay_fail(op->call, EIO, "\"" CIS_STR_FMT "\": its inode %" PRIu64 " is missing",
                            CIS_STR_ARG(l->name), found.ino);
    }
    if (rc != 0) {
        return rc;
    }
    if (!cis_lay_refs_add(&op->stripe->refs, found.ino, l->dir, 1)) {
        return ENOMEM;
    }
    *l->out_node = found.ino;
    cis_lay_attr(op->v, &row, node, l->out_attr);
    return 0;
}

int cis_lay_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir, struct cis_str name,
                   cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct lookup l = {dir, name, out_node, out_attr};
    if (name.len > CIS_FS_NAME_MAX) {
        return ENAMETOOLONG;
    }
    return cis_lay_do(lay_of(vfs), call, false, lookup_step, &l);
}

struct peek {
    uint64_t dir;
    const struct cis_str *names;
    size_t n;
    size_t *out_n;
    cis_node *out_node;
    struct cis_vfs_attr *out_attr;
};

/* All names under one lock; what lies between needs no more than its entry. */
static int peek_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    const struct peek *p = arg;
    uint64_t dir = p->dir;
    struct cis_fs_inode row;
    struct lay_node *node;
    for (size_t i = 0; i < p->n; i++) {
        struct lay_found found;
        if (cis_lay_find(op, dir, p->names[i], &found) != 0) {
            return EAGAIN;
        }
        if (found.ino == 0) {
            return cis_lay_dir(op, dir, &row) == 0 ? ENOENT : EAGAIN;
        }
        uint64_t above = dir;
        dir = found.ino;
        if (i + 1 < p->n && found.type == S_IFDIR) {
            continue;
        }
        if (cis_lay_inode(op, dir, &row, &node) != 0) {
            return EAGAIN;
        }
        op->stripe->seen[found.ino % 32].ino = found.ino;
        op->stripe->seen[found.ino % 32].dir = above;
        *p->out_n = i + 1;
        *p->out_node = dir;
        cis_lay_attr(op->v, &row, node, p->out_attr);
        return 0;
    }
    return EAGAIN;
}

int cis_lay_peek(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                 const struct cis_str *names, size_t n, size_t *out_n, cis_node *out_node,
                 struct cis_vfs_attr *out_attr)
{
    struct peek p = {dir, names, n, out_n, out_node, out_attr};
    return cis_lay_do(lay_of(vfs), call, false, peek_step, &p);
}

static void settle_refs(struct lay_view *v, uint64_t ino)
{
    cis_lay_lock_all(v);
    struct lay_node *node = cis_lay_table_get(&v->nodes, ino);
    if (node != NULL && node->gone) {
        cis_lay_node_reap(v, node);
    }
    cis_lay_unlock_all(v);
}

static void add_refs(struct lay_view *v, cis_node ino, int64_t n)
{
    if (ino == CIS_FS_ROOT) {
        return;
    }
    struct lay_stripe *s = cis_lay_lock_one(v);
    bool added = cis_lay_refs_add(&s->refs, ino, 0, n);
    bool reap = n < 0 && v->ngone > 0, untidy = cis_lay_refs_untidy(&s->refs);
    cis_lay_unlock_one(s);
    if (!added) { /* out of memory: a count that is too small reaps a file under its reader */
        cis_lay_lock_all(v);
        cis_lay_refs_put(v, ino, n);
        cis_lay_unlock_all(v);
    }
    if (reap) {
        settle_refs(v, ino);
    }
    if (untidy) {
        cis_lay_refs_tidy(v);
    }
}

void cis_lay_ref(cis_vfs *vfs, cis_node node, uint64_t n)
{
    add_refs(lay_of(vfs), node, (int64_t)n);
}

void cis_lay_forget(cis_vfs *vfs, cis_node node, uint64_t n)
{
    add_refs(lay_of(vfs), node, -(int64_t)n);
}

struct getattr {
    uint64_t ino;
    struct cis_vfs_attr *out;
};

static int getattr_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    const struct getattr *g = arg;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, g->ino, &row, &node);
    if (rc == 0) {
        cis_lay_attr(op->v, &row, node, g->out);
    }
    return rc;
}

int cis_lay_getattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node ino,
                    struct cis_vfs_attr *out)
{
    struct getattr g = {ino, out};
    return cis_lay_do(lay_of(vfs), call, false, getattr_step, &g);
}

struct readlink {
    uint64_t ino;
    struct cis_buf *out;
};

static int readlink_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    const struct readlink *r = arg;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, r->ino, &row, &node);
    if (rc != 0) {
        return rc;
    }
    if (!S_ISLNK(row.mode)) {
        return EINVAL;
    }
    if (node != NULL && node->target != NULL) {
        cis_buf_text(r->out, node->target);
    } else {
        struct lay_blob *blob;
        rc = cis_lay_inline(op, r->ino, node != NULL ? node->base.epoch : row.epoch, &blob);
        if (rc != 0) {
            return rc;
        }
        cis_buf_add(r->out, blob->data, blob->len);
        cis_lay_blob_unref(blob);
    }
    return cis_lay_errno(r->out->failed);
}

int cis_lay_readlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node ino,
                     struct cis_buf *out)
{
    struct readlink r = {ino, out};
    return cis_lay_do(lay_of(vfs), call, false, readlink_step, &r);
}
