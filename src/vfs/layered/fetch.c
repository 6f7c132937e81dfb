/* What an operation missed, from the store into the caches (and the operation's bag). No lock of
 * the view is held here. */
#include "vfs/layered/view.h"
#include "store/calls.h"

#include <inttypes.h>

enum { LIST_BATCH = 8192 };
#define LISTING_MAX (256u << 20)

struct fetch {
    struct lay_op *op;
    const struct lay_need *need;
    uint64_t dir; /* of the next step */
    bool found;
    uint64_t inline_epoch; /* of a row with content */
};

static void bag_entry(struct lay_op *op, struct lay_hash hash, const struct lay_entry *entry)
{
    unsigned i = op->nentries++ % LAY_BAG;
    op->entries[i].hash = hash;
    op->entries[i].line = op->need.line->uid;
    op->entries[i].to = op->need.at.epoch;
    op->entries[i].entry = *entry;
}

static void bag_inode(struct lay_op *op, const struct cis_fs_inode *row)
{
    unsigned i = op->ninodes++ % LAY_BAG;
    op->inodes[i].line = op->need.line->uid;
    op->inodes[i].to = op->need.at.epoch;
    op->inodes[i].row = *row;
    op->inodes[i].row.data = (struct cis_bytes){NULL, 0};
}

static void bag_blob(struct lay_op *op, struct lay_blob *blob)
{
    unsigned i = op->nblobs % LAY_BAG;
    if (op->nblobs >= LAY_BAG) {
        cis_lay_blob_unref(op->blobs[i]);
    }
    op->blobs[i] = blob;
    op->nblobs++;
}

static bool got_inode(void *self, const struct cis_fs_inode *row)
{
    struct fetch *f = self;
    struct lay_op *op = f->op;
    f->found = true;
    cis_lay_inode_put(op->v->fs_cache, f->need->line, f->need->at.epoch, row);
    bag_inode(op, row);
    if (row->data.len > 0) {
        f->inline_epoch = row->epoch;
        struct lay_blob_key key = cis_lay_inline_key(f->need->line, row->ino, row->epoch);
        struct lay_blob *blob = cis_lay_blob_new(&key, row->data.len);
        if (blob != NULL) {
            memcpy(blob->data, row->data.ptr, row->data.len);
            bag_blob(op, blob);
        }
    }
    return true;
}

static bool got_step(void *self, size_t index, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode)
{
    struct fetch *f = self;
    struct lay_op *op = f->op;
    if (index >= f->need->n) {
        return false;
    }
    struct lay_hash hash = cis_lay_hash(&op->v->fs_cache->key, f->dir, f->need->names[index]);
    struct lay_entry entry = {dirent->ino, dirent->epoch, dirent->mode & S_IFMT};
    f->found = true;
    cis_lay_entry_put(op->v->fs_cache, f->need->line, f->need->at.epoch, hash, &entry);
    bag_entry(op, hash, &entry);
    if (dirent->ino == 0 || inode == NULL) {
        return false;
    }
    (void)got_inode(f, inode);
    f->dir = dirent->ino;
    return true;
}

static cis_code fetch_names(struct fetch *f)
{
    struct lay_op *op = f->op;
    const struct lay_need *need = f->need;
    f->dir = need->ino;
    struct cis_error *err = lay_err(op->call);
    cis_code code =
        cis_store_walk(op->v->fs_cache->store, op->v->who,
                       &(struct cis_fs_walk_query){
                           .at = need->at, .dir = need->ino, .names = need->names, .n = need->n},
                       got_step, f, lay_stop(op->call), err);
    if (code == CIS_OK && !f->found) {
        /* Not a directory: then there is no such name either. */
        struct lay_hash hash = cis_lay_hash(&op->v->fs_cache->key, need->ino, need->names[0]);
        struct lay_entry entry = {0, 0, 0};
        bag_entry(op, hash, &entry);
    }
    return code;
}

static cis_code fetch_inode(struct fetch *f)
{
    struct lay_op *op = f->op;
    const struct lay_need *need = f->need;
    cis_code code =
        cis_store_inodes(op->v->fs_cache->store, op->v->who,
                         &(struct cis_fs_inode_query){.at = need->at, .inos = &need->ino, .n = 1},
                         got_inode, f, lay_stop(op->call), lay_err(op->call));
    if (code == CIS_OK && !f->found) {
        struct cis_fs_inode none = {.ino = need->ino};
        bag_inode(op, &none);
    }
    return code;
}

static cis_code fetch_inodes(struct fetch *f)
{
    struct lay_op *op = f->op;
    const struct lay_need *need = f->need;
    cis_code code = cis_store_inodes(
        op->v->fs_cache->store, op->v->who,
        &(struct cis_fs_inode_query){.at = need->at, .inos = need->inos, .n = need->n}, got_inode,
        f, lay_stop(op->call), lay_err(op->call));
    if (code == CIS_OK && !f->found) {
        struct cis_fs_inode none = {.ino = need->inos[need->n - 1]};
        bag_inode(op, &none);
    }
    return code;
}

struct extents {
    uint64_t first;
    struct lay_blob *blob;
    bool damaged;
};

static bool got_extent(void *self, const struct cis_fs_extent *extent)
{
    struct extents *e = self;
    uint64_t at = extent->block - e->first;
    if (extent->block < e->first || at >= LAY_GROUP) {
        e->damaged = true;
        return false;
    }
    memcpy(e->blob->data + at * 8, &extent->chunk, 8);
    return true;
}

static cis_code fetch_extents(struct fetch *f)
{
    struct lay_op *op = f->op;
    const struct lay_need *need = f->need;
    struct lay_blob_key key = cis_lay_extents_key(need->line, need->ino, need->epoch, need->group);
    struct extents e = {need->group * LAY_GROUP, cis_lay_blob_new(&key, LAY_GROUP * 8), false};
    if (e.blob == NULL) {
        return cis_fail(lay_err(op->call), CIS_E_NOMEM, "extents: out of memory");
    }
    memset(e.blob->data, 0, LAY_GROUP * 8);
    cis_code code = cis_store_extents(
        op->v->fs_cache->store, op->v->who,
        &(struct cis_fs_extent_query){
            .at = need->at, .ino = need->ino, .first = e.first, .count = LAY_GROUP},
        got_extent, &e, lay_stop(op->call), lay_err(op->call));
    if (code == CIS_OK && e.damaged) {
        code = cis_fail(lay_err(op->call), CIS_E_DAMAGED, "inode %" PRIu64 ": extents out of range",
                        need->ino);
    }
    if (code != CIS_OK) {
        cis_lay_blob_unref(e.blob);
        return code;
    }
    cis_lay_blob_put(&op->v->fs_cache->blobs, e.blob);
    bag_blob(op, e.blob);
    return CIS_OK;
}

/* ---- listings ---- */
struct listing {
    struct fetch *f;
    struct cis_buf buf;
    char last[CIS_FS_NAME_MAX];
    size_t last_len;
    uint32_t n;
    bool full;
};

static bool got_listed(void *self, const struct cis_fs_dirent *dirent,
                       const struct cis_fs_inode *inode)
{
    struct listing *l = self;
    struct fetch *f = l->f;
    if (dirent->name.len == 0 || dirent->name.len > CIS_FS_NAME_MAX || dirent->ino == 0) {
        return true; /* nothing that a program could ask for */
    }
    uint8_t *p = cis_buf_reserve(&l->buf, LAY_LISTED_HEAD + dirent->name.len);
    if (p == NULL) {
        return false;
    }
    uint32_t type = dirent->mode & S_IFMT;
    memcpy(p, &dirent->ino, 8);
    memcpy(p + 8, &type, 4);
    p[12] = (uint8_t)dirent->name.len;
    p[13] = 0;
    memcpy(p + LAY_LISTED_HEAD, dirent->name.ptr, dirent->name.len);
    l->buf.len += LAY_LISTED_HEAD + dirent->name.len;
    memcpy(l->last, dirent->name.ptr, dirent->name.len);
    l->last_len = dirent->name.len;
    l->n++;
    if (inode != NULL) {
        cis_lay_inode_put(f->op->v->fs_cache, f->need->line, f->need->at.epoch, inode);
    }
    return true;
}

static cis_code fetch_listing(struct fetch *f)
{
    struct lay_op *op = f->op;
    const struct lay_need *need = f->need;
    struct listing l = {.f = f, .buf = CIS_BUF_INIT(LISTING_MAX)};
    cis_code code;
    do {
        l.n = 0;
        struct cis_str after = {l.last, l.last_len};
        code = cis_store_list(op->v->fs_cache->store, op->v->who,
                              &(struct cis_fs_list_query){.at = need->at,
                                                          .dir = need->ino,
                                                          .after = after,
                                                          .max = LIST_BATCH,
                                                          .attributes = need->attributes},
                              got_listed, &l, lay_stop(op->call), lay_err(op->call));
        code = code != CIS_OK ? code : cis_buf_check(&l.buf, "listing", lay_err(op->call));
    } while (code == CIS_OK && l.n == LIST_BATCH);
    struct lay_blob_key key = cis_lay_listing_key(need->line, need->ino, need->epoch);
    struct lay_blob *blob = code == CIS_OK ? cis_lay_blob_new(&key, l.buf.len) : NULL;
    if (blob != NULL) {
        if (l.buf.len > 0) {
            memcpy(blob->data, l.buf.ptr, l.buf.len);
        }
        cis_lay_blob_put(&op->v->fs_cache->blobs, blob);
        bag_blob(op, blob);
    } else if (code == CIS_OK) {
        code = cis_fail(lay_err(op->call), CIS_E_NOMEM, "listing: out of memory");
    }
    cis_buf_done(&l.buf);
    return code;
}

int cis_lay_fetch(struct lay_op *op)
{
    struct fetch f = {op, &op->need, 0, false, 0};
    struct lay_counters *c = &op->v->fs_cache->counters;
    lay_waits(op->v, op->call);
    int rc = cis_lay_alive(op->v, op->call);
    if (rc != 0) {
        return rc;
    }
    cis_code code = CIS_E_INTERNAL;
    cis_lay_count(c->store_reads);
    switch (op->need.kind) {
    case LAY_NEED_ENTRY:
        cis_lay_count(c->entry_misses);
        code = fetch_names(&f);
        break;
    case LAY_NEED_INODE:
        cis_lay_count(c->inode_misses);
        code = fetch_inode(&f);
        break;
    case LAY_NEED_INLINE:
        cis_lay_count(c->inode_misses);
        code = fetch_inode(&f);
        if (code == CIS_OK && f.inline_epoch != op->need.epoch) {
            code = cis_fail(lay_err(op->call), CIS_E_DAMAGED,
                            "inode %" PRIu64 ": its row holds no content", op->need.ino);
        }
        break;
    case LAY_NEED_INODES:
        atomic_fetch_add_explicit(&c->inode_misses, op->need.n, memory_order_relaxed);
        code = fetch_inodes(&f);
        break;
    case LAY_NEED_EXTENTS:
        code = fetch_extents(&f);
        break;
    case LAY_NEED_LISTING:
        code = fetch_listing(&f);
        break;
    }
    if (code == CIS_E_EXPIRED) {
        atomic_store(&op->v->ended, ESTALE);
    }
    return cis_lay_errno(code);
}
