/* Listings. What the base lists is one immutable blob that all readers share; a directory that the
 * overlay changed gets a blob of its own, charged while the directory is open. Cookies are offsets
 * in the blob: 1 after ".", 2 after "..", then 2 plus the offset behind the entry. */
#include "vfs/layered/view.h"

enum { CHANGED = -5, BATCH = 64 };

struct listing {
    struct lay_file *f;
    bool attributes;
};

static int list_base(struct lay_op *op, const struct listing *l, const struct cis_fs_inode *row,
                     const struct lay_node *node, struct lay_blob **out)
{
    static const struct lay_blob_key none = {LAY_LISTING, {0, 0, 0, 0}};
    if (node != NULL && node->is_new) {
        *out = cis_lay_blob_new(&none, 0);
        return *out != NULL ? 0 : ENOMEM;
    }
    return cis_lay_base_listing(op, row->ino, node != NULL ? node->base.epoch : row->epoch,
                                l->attributes, out);
}

static uint8_t *put_listed(uint8_t *p, uint64_t ino, uint32_t type, const char *name, size_t len)
{
    memcpy(p, &ino, 8);
    memcpy(p + 8, &type, 4);
    p[12] = (uint8_t)len;
    p[13] = 0;
    memcpy(p + LAY_LISTED_HEAD, name, len);
    return p + LAY_LISTED_HEAD + len;
}

/* Under all stripes: the base's entries that are still so, then those of the overlay. */
static int merge(struct lay_op *op, struct lay_file *f, const struct lay_node *node,
                 const struct lay_blob *base)
{
    struct lay_view *v = op->v;
    size_t most = base->len;
    for (const struct lay_name *n = node->names; n != NULL; n = n->next) {
        most += n->ino != 0 ? LAY_LISTED_HEAD + n->len : 0;
    }
    int rc = cis_lay_charge(op, most);
    if (rc != 0) {
        return rc;
    }
    struct lay_blob_key none = {LAY_LISTING, {0, 0, 0, 0}};
    struct lay_blob *made = cis_lay_blob_new(&none, most);
    if (made == NULL) {
        cis_lay_release(v, most);
        return ENOMEM;
    }
    uint8_t *p = made->data;
    struct lay_listed e;
    uint64_t entries = node->nnames;
    for (size_t at = 0; at < base->len; entries++) {
        at += lay_listed_at(base->data + at, &e);
        struct lay_hash hash = cis_lay_hash(&v->fs_cache->key, node->ino, e.name);
        if (cis_lay_name_find(v, hash) == NULL) {
            p = put_listed(p, e.ino, e.type, e.name.ptr, e.name.len);
        }
    }
    for (const struct lay_name *n = node->names; n != NULL; n = n->next) {
        if (n->ino != 0) {
            p = put_listed(p, n->ino, n->type, n->name, n->len);
        }
    }
    if (op->call != NULL && op->call->entries != NULL) {
        *op->call->entries += entries;
    }
    made->len = (uint32_t)(p - made->data);
    f->charged += most;
    f->listing = made;
    return 0;
}

static int list_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    const struct listing *l = arg;
    struct lay_view *v = op->v;
    struct lay_file *f = l->f;
    struct cis_fs_inode row;
    struct lay_node *node;
    struct lay_blob *base;
    int rc = cis_lay_dir(op, f->file.node, &row);
    rc = rc != 0 ? rc : cis_lay_inode(op, f->file.node, &row, &node);
    if (rc != 0) {
        return rc;
    }
    if (node != NULL && node->names != NULL && !op->all) {
        return CHANGED;
    }
    rc = list_base(op, l, &row, node, &base);
    if (rc != 0) {
        return rc;
    }
    f->listed_changes = v->name_changes;
    f->listed_at = v->at;
    if (node == NULL || node->names == NULL) {
        f->listing = base;
        return 0;
    }
    rc = merge(op, f, node, base);
    cis_lay_blob_unref(base);
    return rc;
}

static int make_listing(struct lay_view *v, const struct cis_vfs_call *call, struct lay_file *f,
                        bool attributes)
{
    struct listing l = {f, attributes};
    if (f->charged != 0) {
        cis_lay_lock_all(v);
        cis_lay_release(v, f->charged);
        cis_lay_unlock_all(v);
        f->charged = 0;
    }
    cis_lay_blob_unref(cis_take(&f->listing));
    f->good_cookie = 0;
    int rc = cis_lay_do(v, call, false, list_step, &l);
    return rc == CHANGED ? cis_lay_do(v, call, true, list_step, &l) : rc;
}

/* ---- giving entries ---- */
struct batch {
    struct lay_file *f;
    bool attributes;
    size_t at, next; /* in the blob */
    size_t n;
    struct {
        struct lay_listed e;
        size_t behind;
        struct cis_vfs_attr attr;
    } entries[BATCH];
    uint64_t inos[BATCH * 4]; /* asked for together when one is missing */
};

static int need_inodes(struct lay_op *op, struct batch *b, size_t at)
    CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct lay_listed e;
    size_t n = 0;
    while (at < b->f->listing->len && n < BATCH * 4) {
        at += lay_listed_at(b->f->listing->data + at, &e);
        struct cis_fs_inode row;
        if (cis_lay_inode(op, e.ino, &row, NULL) == LAY_NEED) {
            b->inos[n++] = e.ino;
        }
    }
    /* The first one last: what was fetched last is sure to be there for the next try. */
    uint64_t first = b->inos[0];
    b->inos[0] = b->inos[n - 1];
    b->inos[n - 1] = first;
    (void)cis_lay_need(op, LAY_NEED_INODES, 0, 0);
    op->need.inos = b->inos;
    op->need.n = n;
    return LAY_NEED;
}

static int batch_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct batch *b = arg;
    struct lay_view *v = op->v;
    const struct lay_blob *list = b->f->listing;
    bool changed = b->f->listed_changes != v->name_changes ||
                   memcmp(&b->f->listed_at, &v->at, sizeof v->at) != 0;
    b->n = 0;
    for (b->next = b->at; b->next < list->len && b->n < BATCH;) {
        struct lay_listed *e = &b->entries[b->n].e;
        size_t behind = b->next + lay_listed_at(list->data + b->next, e);
        if (changed) {
            struct lay_found found;
            int rc = cis_lay_find(op, b->f->file.node, e->name, &found);
            if (rc != 0) {
                return rc;
            }
            e->ino = found.ino;
            e->type = found.type;
        }
        if (e->ino != 0 && b->attributes) {
            struct cis_fs_inode row;
            struct lay_node *node;
            int rc = cis_lay_inode(op, e->ino, &row, &node);
            if (rc == LAY_NEED && b->n > 0) {
                return 0; /* these first */
            }
            if (rc == LAY_NEED) {
                return need_inodes(op, b, b->next);
            }
            if (rc != 0) {
                return cis_lay_fail(op->call, EIO, "\"" CIS_STR_FMT "\": its inode is missing",
                                    CIS_STR_ARG(e->name));
            }
            cis_lay_attr(v, &row, node, &b->entries[b->n].attr);
        }
        b->entries[b->n].behind = behind;
        b->n += e->ino != 0;
        b->next = behind;
    }
    return 0;
}

static int dots(struct lay_view *v, const struct cis_vfs_call *call, const struct lay_file *f,
                uint64_t *cookie, bool attributes, cis_vfs_entry_each *each, void *self,
                bool *out_full)
{
    struct cis_vfs_attr attr;
    for (; *cookie < 2 && !*out_full; (*cookie)++) {
        uint64_t ino = f->file.node;
        int rc = *cookie == 1 ? cis_lay_parent(v, call, &ino) : 0;
        rc = rc != 0 ? rc : cis_lay_getattr(&v->vfs, call, ino, &attr);
        if (rc != 0) {
            return rc;
        }
        struct cis_vfs_entry entry = {*cookie == 0 ? CIS_STR(".") : CIS_STR(".."), ino, S_IFDIR,
                                      *cookie + 1};
        *out_full = !each(self, &entry, attributes ? &attr : NULL);
        if (*out_full) {
            break;
        }
    }
    return 0;
}

/* The first entry that begins at the cookie or behind it: a cookie is whatever a program makes of
 * it. What is behind the end is the end, as on every other filesystem. */
static size_t start_at(const struct lay_file *f, uint64_t cookie)
{
    struct lay_listed e;
    uint64_t wanted = cookie - 2;
    size_t at = 0;
    if (wanted >= f->listing->len) {
        return f->listing->len;
    }
    if (f->good_cookie != 0 && wanted == f->good_cookie) {
        return (size_t)wanted;
    }
    while (at < f->listing->len && at < wanted) {
        at += lay_listed_at(f->listing->data + at, &e);
    }
    return at;
}

static int give(struct lay_view *v, const struct cis_vfs_call *call, struct lay_file *f,
                uint64_t cookie, bool attributes, cis_vfs_entry_each *each, void *self)
{
    bool full = false;
    int rc = dots(v, call, f, &cookie, attributes, each, self, &full);
    if (rc != 0 || full) {
        return rc;
    }
    struct batch b;
    b.f = f;
    b.attributes = attributes;
    b.at = start_at(f, cookie);
    while (b.at < f->listing->len) {
        rc = cis_lay_do(v, call, false, batch_step, &b);
        if (rc != 0) {
            return rc;
        }
        for (size_t i = 0; i < b.n; i++) {
            struct cis_vfs_entry entry = {b.entries[i].e.name, b.entries[i].e.ino,
                                          b.entries[i].e.type, 2 + b.entries[i].behind};
            if (!each(self, &entry, attributes ? &b.entries[i].attr : NULL)) {
                return 0;
            }
            f->good_cookie = b.entries[i].behind;
        }
        b.at = b.next;
    }
    return 0;
}

int cis_lay_readdir(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t cookie,
                    bool attributes, cis_vfs_entry_each *each, void *self)
{
    struct lay_view *v = lay_of(file->vfs);
    struct lay_file *f = lay_file_of(file);
    if ((file->flags & O_DIRECTORY) == 0) {
        return ENOTDIR;
    }
    int rc = 0;
    cis_mutex_lock(&f->lock, lay_lock_file);
    if (cookie == 0 || f->listing == NULL) {
        rc = make_listing(v, call, f, attributes);
    }
    rc = rc != 0 ? rc : give(v, call, f, cookie, attributes, each, self);
    cis_mutex_unlock(&f->lock, lay_lock_file);
    return rc;
}
