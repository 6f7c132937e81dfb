/* Blocks of a file that differ from the base. A block reads as: its buffer in [lo, hi); elsewhere
 * what is below it up to `under`; zeros beyond. So a partial write keeps only what was written, and
 * what is below is read when something else has to know it. All functions run under all stripes. */
#include "vfs/layered/view.h"

struct lay_block *cis_lay_block_find(const struct lay_node *node, uint64_t block)
{
    return cis_lay_table_get(&node->blocks, block);
}

struct lay_buf *cis_lay_buf_ref(struct lay_buf *buf)
{
    atomic_fetch_add_explicit(&buf->refs, 1, memory_order_relaxed);
    return buf;
}

void cis_lay_buf_unref(struct lay_buf *buf)
{
    if (buf != NULL && atomic_fetch_sub_explicit(&buf->refs, 1, memory_order_acq_rel) == 1) {
        cis_free(buf);
    }
}

static uint32_t under_of(const struct lay_node *node, uint64_t block)
{
    uint64_t start = block * CIS_FS_BLOCK;
    return node->keep > start ? lay_min32(node->keep - start, CIS_FS_BLOCK) : 0;
}

/* Of one block beside its content, until it is committed: its record, and what a commit has of it.
 */
#define HOLDS                                                                                      \
    (sizeof(struct lay_block) + sizeof(struct lay_still) + sizeof(struct cis_fs_new_extent))

int cis_lay_block_make(struct lay_op *op, struct lay_node *node, uint64_t block,
                       struct lay_block **out)
{
    struct lay_block *b = cis_lay_block_find(node, block);
    if (b != NULL) {
        *out = b;
        return 0;
    }
    int rc = cis_lay_charge(op, sizeof *b);
    if (rc != 0) {
        return rc;
    }
    b = cis_zalloc(sizeof *b);
    if (b == NULL || !cis_lay_table_ready(&node->blocks)) {
        cis_free(b);
        cis_lay_release(op->v, sizeof *b);
        return ENOMEM;
    }
    cis_lay_blobs_hold(&op->v->fs_cache->blobs, HOLDS, true);
    b->block = block;
    b->node = node;
    b->under = under_of(node, block);
    b->from_base = b->under > 0;
    cis_lay_table_put(&node->blocks, block, b);
    cis_lay_quota_block(op->v, b);
    *out = b;
    return 0;
}

static void unlist(struct lay_view *v, struct lay_block *b)
{
    if (!b->listed) {
        return;
    }
    *(b->newer != NULL ? &b->newer->older : &v->newest) = b->older;
    *(b->older != NULL ? &b->older->newer : &v->oldest) = b->newer;
    b->newer = b->older = NULL;
    b->listed = false;
}

static void list(struct lay_view *v, struct lay_block *b) CIS_REQUIRES(lay_lock_stripes)
{
    if (b->listed) {
        return;
    }
    b->older = v->newest;
    *(v->newest != NULL ? &v->newest->newer : &v->oldest) = b;
    v->newest = b;
    b->listed = true;
}

/* What fits into its inode's row is never worth a chunk: like the row it stays in memory until the
 * commit, charged to the budget, and does not count as content that could be spilled. */
static bool stays(uint64_t block, uint32_t cap)
{
    return block == 0 && cap <= CIS_FS_INLINE_MAX;
}

static void buf_drop(struct lay_view *v, struct lay_block *b)
{
    if (b->buf == NULL) {
        return;
    }
    if (stays(b->block, b->buf->cap)) {
        cis_lay_release(v, b->buf->cap);
    } else {
        v->dirty -= b->buf->cap;
    }
    cis_lay_buf_unref(b->buf);
    b->buf = NULL;
}

void cis_lay_block_clear(struct lay_view *v, struct lay_block *b)
{
    unlist(v, b);
    buf_drop(v, b);
    b->lo = b->hi = 0;
    cis_lay_quota_block(v, b);
}

static void block_free(struct lay_view *v, struct lay_block *b) CIS_REQUIRES(lay_lock_stripes)
{
    cis_lay_block_clear(v, b);
    v->weight -= b->weight;
    cis_lay_blobs_hold(&v->fs_cache->blobs, HOLDS, false);
    cis_lay_release(v, sizeof *b);
    cis_free(b);
}

void cis_lay_block_drop(struct lay_view *v, struct lay_block *b)
{
    (void)cis_lay_table_remove(&b->node->blocks, b->block);
    block_free(v, b);
}

void cis_lay_blocks_drop(struct lay_view *v, struct lay_node *node)
{
    lay_table_each(&node->blocks, s)
    {
        block_free(v, s->value);
    }
    cis_lay_table_done(&node->blocks);
}

int cis_lay_block_room(struct lay_op *op, struct lay_block *b, uint32_t cap)
{
    struct lay_view *v = op->v;
    if (b->buf != NULL && b->buf->cap >= cap && atomic_load(&b->buf->refs) == 1) {
        return 0;
    }
    uint32_t room = 1024;
    while (room < cap) {
        room = (uint32_t)cis_size_mul(room, 4);
    }
    room = b->buf != NULL && b->buf->cap > room ? b->buf->cap : room;
    int rc = stays(b->block, room) ? cis_lay_charge(op, room) : 0;
    if (rc != 0) {
        return rc;
    }
    struct lay_buf *buf = cis_alloc(cis_size_add(sizeof *buf, room));
    if (buf == NULL) {
        if (stays(b->block, room)) {
            cis_lay_release(v, room);
        }
        return ENOMEM;
    }
    atomic_init(&buf->refs, 1);
    buf->cap = room;
    if (b->buf != NULL) {
        memcpy(buf->data + b->lo, b->buf->data + b->lo, b->hi - b->lo);
        buf_drop(v, b);
    }
    b->buf = buf;
    if (!stays(b->block, room)) {
        v->dirty += room;
        list(v, b);
    }
    cis_lay_quota_block(v, b);
    return 0;
}

/* ---- taking back ---- */
int cis_lay_block_save(struct lay_op *op, const struct lay_node *node, uint64_t block,
                       bool with_buf, struct lay_saved *out)
{
    const struct lay_block *b = cis_lay_block_find(node, block);
    *out = (struct lay_saved){.block = block, .existed = b != NULL};
    if (b == NULL || !with_buf) {
        return 0;
    }
    if (b->buf != NULL && stays(b->block, b->buf->cap)) {
        int rc = cis_lay_charge(op, b->buf->cap);
        if (rc != 0) {
            return rc;
        }
    }
    *out = (struct lay_saved){.block = block,
                              .chunk = b->chunk,
                              .buf = b->buf != NULL ? cis_lay_buf_ref(b->buf) : NULL,
                              .lo = b->lo,
                              .hi = b->hi,
                              .under = b->under,
                              .from_base = b->from_base,
                              .existed = true,
                              .whole = true};
    return 0;
}

void cis_lay_block_forget(struct lay_view *v, struct lay_saved *saved)
{
    struct lay_buf *buf = cis_take(&saved->buf);
    if (buf != NULL && stays(saved->block, buf->cap)) {
        cis_lay_release(v, buf->cap);
    }
    cis_lay_buf_unref(buf);
}

void cis_lay_block_restore(struct lay_view *v, struct lay_node *node, struct lay_saved *saved)
{
    struct lay_block *b = cis_lay_block_find(node, saved->block);
    if (b != NULL && !saved->existed) {
        cis_lay_block_drop(v, b);
    }
    if (b == NULL || !saved->whole) {
        cis_lay_block_forget(v, saved);
        return;
    }
    cis_lay_block_clear(v, b);
    b->chunk = saved->chunk;
    b->lo = saved->lo;
    b->hi = saved->hi;
    b->under = saved->under;
    b->from_base = saved->from_base;
    b->buf = cis_take(&saved->buf); /* with its charge */
    b->gen = ++v->gen;
    if (b->buf != NULL && !stays(b->block, b->buf->cap)) {
        v->dirty += b->buf->cap;
        list(v, b);
    }
    cis_lay_quota_block(v, b);
}

void cis_lay_cut(struct lay_view *v, struct lay_node *node, uint64_t size)
{
    uint64_t first = (size + CIS_FS_BLOCK - 1) / CIS_FS_BLOCK; /* that goes altogether */
    for (size_t i = 0; size < node->now.size && i < node->blocks.cap;) {
        struct lay_block *b = node->blocks.slots[i].value;
        if (b == NULL || b->block < first) {
            i++;
            continue;
        }
        cis_lay_block_drop(v, b); /* another one may have moved to this slot */
        i = 0 < i ? i - 1 : 0;
    }
    node->keep = node->keep < size ? node->keep : size;
    node->cut = node->cut < size ? node->cut : size;
    cis_lay_quota_cut(v, node);
    struct lay_block *b =
        size % CIS_FS_BLOCK != 0 ? cis_lay_block_find(node, size / CIS_FS_BLOCK) : NULL;
    if (b != NULL) {
        uint32_t end = (uint32_t)(size % CIS_FS_BLOCK);
        b->under = lay_min32(b->under, end);
        b->hi = lay_min32(b->hi, end);
        b->gen = ++v->gen;
        if (b->hi <= b->lo) {
            cis_lay_block_clear(v, b);
        }
    }
}
