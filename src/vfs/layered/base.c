/* Content below the overlay, from the caches or the operation's bag: inline bytes, extents,
 * listings. Under a lock; what is not there is said in op->need. */
#include "vfs/layered/view.h"

static struct lay_blob *bag_blob(struct lay_op *op, const struct lay_blob_key *key)
{
    unsigned n = op->nblobs < LAY_BAG ? op->nblobs : LAY_BAG;
    for (unsigned i = 0; i < n; i++) {
        if (op->blobs[i]->key.kind == key->kind &&
            memcmp(op->blobs[i]->key.w, key->w, sizeof key->w) == 0) {
            atomic_fetch_add_explicit(&op->blobs[i]->refs, 1, memory_order_relaxed);
            return op->blobs[i];
        }
    }
    return NULL;
}

static struct lay_blob *have_blob(struct lay_op *op, const struct lay_blob_key *key)
{
    struct lay_blob *blob = cis_lay_blob_get(&op->v->fs_cache->blobs, key);
    return blob != NULL ? blob : bag_blob(op, key);
}

/* What is missing of a file is read where its base is. */
static int need_content(struct lay_op *op, enum lay_need_kind kind, uint64_t ino, uint64_t epoch)
{
    struct lay_view *v = op->v;
    const struct lay_node *node = cis_lay_table_get(&v->nodes, ino);
    (void)cis_lay_need(op, kind, ino, epoch);
    if (node != NULL && node->gone_committed) {
        op->need.line = v->line;
        op->need.at = node->held_at;
    }
    return LAY_NEED;
}

int cis_lay_inline(struct lay_op *op, uint64_t ino, uint64_t epoch, struct lay_blob **out)
{
    struct lay_blob_key key = cis_lay_inline_key(op->v->line, ino, epoch);
    *out = have_blob(op, &key);
    return *out != NULL ? 0 : need_content(op, LAY_NEED_INLINE, ino, epoch);
}

int cis_lay_base_chunk(struct lay_op *op, uint64_t ino, uint64_t epoch, uint64_t block,
                       uint64_t *out)
{
    uint64_t group = block / LAY_GROUP;
    struct lay_blob_key key = cis_lay_extents_key(op->v->line, ino, epoch, group);
    struct lay_blob *blob = have_blob(op, &key);
    if (blob == NULL) {
        (void)need_content(op, LAY_NEED_EXTENTS, ino, epoch);
        op->need.group = group;
        return LAY_NEED;
    }
    memcpy(out, blob->data + block % LAY_GROUP * 8, 8);
    cis_lay_blob_unref(blob);
    return 0;
}

int cis_lay_base_listing(struct lay_op *op, uint64_t dir, uint64_t epoch, bool attributes,
                         struct lay_blob **out)
{
    struct lay_blob_key key = cis_lay_listing_key(op->v->line, dir, epoch);
    *out = have_blob(op, &key);
    if (*out == NULL) {
        (void)cis_lay_need(op, LAY_NEED_LISTING, dir, epoch);
        op->need.attributes = attributes;
        return LAY_NEED;
    }
    return 0;
}
