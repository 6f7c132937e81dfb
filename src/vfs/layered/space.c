/* The space of a file: size, holes, room. */
#include "vfs/layered/view.h"
#include "base/wraps.h"
#include "store/calls.h"

#include <linux/falloc.h>
#include <unistd.h>

struct resize {
    uint64_t ino, size;
};

CIS_WRAPS static int resize_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    const struct resize *r = arg;
    struct lay_view *v = op->v;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, r->ino, &row, NULL);
    if (rc == 0 && !S_ISREG(row.mode)) {
        rc = S_ISDIR(row.mode) ? EISDIR : EINVAL;
    }
    if (rc == 0 && r->size > CIS_FS_SIZE_MAX) {
        rc = EFBIG;
    }
    if (rc == 0 && r->size > row.size && cis_lay_quota_bytes(op, row.size, r->size) < r->size) {
        rc = cis_lay_fail(op->call, EDQUOT, "the quota of %llu bytes is reached",
                          (unsigned long long)v->quota_bytes);
    }
    rc = rc != 0 ? rc : cis_lay_node_get(op, r->ino, &node);
    if (rc != 0) {
        return rc;
    }
    cis_lay_cut(v, node, r->size);
    v->bytes += node->gone ? 0 : (int64_t)(r->size - node->now.size);
    node->now.size = r->size;
    cis_lay_quota_nameless(v, node);
    node->now.is_inline = r->size <= CIS_FS_INLINE_MAX;
    cis_lay_written(op, node);
    return 0;
}

int cis_lay_resize(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino, uint64_t size)
{
    struct resize r = {ino, size};
    pthread_mutex_t *lock = cis_lay_write_lock(v, ino);
    cis_mutex_lock(lock, lay_lock_writes);
    int rc = cis_lay_do(v, call, true, resize_step, &r);
    cis_mutex_unlock(lock, lay_lock_writes);
    return rc;
}

/* ---- holes ---- */
/* A hole is a block of the overlay only where the base has content: of those as many at a time as
 * this, so that no lock is held, and nothing is deaf, for as long as the hole is large. */
enum { PUNCH_BLOCKS = 4096, MOVED = -6 };

struct punch {
    uint64_t ino, from, to; /* whole blocks: [from, to) in blocks */
    /* out of below_step: up to where the base shows, and where that is read */
    uint64_t kept, epoch;
    struct cis_view at;
    bool is_inline;
    uint64_t *below; /* blocks in [from, to) that the base has content for */
    size_t n;
};

static int below_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    struct punch *p = arg;
    struct lay_node *node;
    int rc = cis_lay_node_get(op, p->ino, &node);
    if (rc != 0) {
        return rc;
    }
    p->kept = node->is_new ? 0 : (node->keep + CIS_FS_BLOCK - 1) / CIS_FS_BLOCK;
    p->epoch = node->base.epoch;
    p->at = cis_lay_base_at(op->v, node);
    p->is_inline = node->base.is_inline;
    return 0;
}

static bool got_below(void *self, const struct cis_fs_extent *extent)
{
    struct punch *p = self;
    if (extent->chunk != 0) {
        p->below[p->n++] = extent->block;
    }
    return p->n < PUNCH_BLOCKS;
}

/* The first blocks of [p->from, p->to) that the base has content for; p->to becomes the end of what
 * is known. */
static int find_below(struct lay_view *v, const struct cis_vfs_call *call, struct punch *p)
{
    cis_fs_cache *f = v->fs_cache;
    uint64_t end = p->to < p->kept ? p->to : p->kept;
    p->n = 0;
    if (p->from >= end) {
        return 0;
    }
    if (p->is_inline) {
        p->below[p->n++] = p->from; /* it has one block */
        return 0;
    }
    cis_lay_count(f->counters.store_reads);
    lay_waits(v, call);
    cis_code code =
        cis_store_extents(f->store, v->who,
                          &(struct cis_fs_extent_query){
                              .at = p->at, .ino = p->ino, .first = p->from, .count = end - p->from},
                          got_below, p, lay_stop(call), lay_err(call));
    if (p->n == PUNCH_BLOCKS) {
        p->to = p->below[p->n - 1] + 1;
    }
    return cis_lay_errno(code);
}

static void punch_block(struct lay_view *v, struct lay_block *b) CIS_REQUIRES(lay_lock_stripes)
{
    cis_lay_block_clear(v, b);
    b->under = 0;
    b->from_base = false;
    b->chunk = 0;
    b->gen = v->gen + 1;
}

/* MOVED: the base did, since it was asked. */
static int punch_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    struct punch *p = arg;
    struct lay_view *v = op->v;
    struct lay_node *node;
    struct lay_block *b;
    int rc = cis_lay_node_get(op, p->ino, &node);
    if (rc != 0) {
        return rc;
    }
    struct cis_view at = cis_lay_base_at(v, node);
    bool moved =
        node->base.epoch != p->epoch || at.branch != p->at.branch || at.epoch != p->at.epoch;
    if (p->kept != 0 ? moved : !node->is_new && node->keep > 0) {
        return MOVED;
    }
    for (size_t i = 0; i < p->n; i++) {
        rc = cis_lay_block_make(op, node, p->below[i], &b);
        if (rc != 0) {
            return rc;
        }
    }
    if (p->to - p->from < node->blocks.cap) {
        for (uint64_t i = p->from; i < p->to; i++) {
            b = cis_lay_block_find(node, i);
            if (b != NULL) {
                punch_block(v, b);
            }
        }
    } else {
        lay_table_each(&node->blocks, s)
        {
            b = s->value;
            if (b->block >= p->from && b->block < p->to) {
                punch_block(v, b);
            }
        }
    }
    cis_lay_written(op, node);
    return 0;
}

/* Whole blocks [from, to); under the file's write lock. */
static int punch(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino, uint64_t from,
                 uint64_t to)
{
    CIS_CLEANUP(cis_freep) uint64_t *below = cis_calloc(PUNCH_BLOCKS, sizeof *below);
    int rc = below != NULL ? 0 : ENOMEM;
    while (rc == 0 && from < to) {
        struct punch p = {.ino = ino, .from = from, .to = to, .below = below};
        rc = cis_lay_do(v, call, true, below_step, &p);
        rc = rc != 0 ? rc : find_below(v, call, &p);
        int step = rc == 0 ? cis_lay_do(v, call, true, punch_step, &p) : rc;
        from = step == 0 ? p.to : from;
        rc = step == MOVED ? 0 : step;
        const struct cis_stop *stop = lay_stop(call);
        if (rc == 0 && from < to && stop != NULL) {
            rc = cis_lay_errno(cis_stop_check(stop, "hole", lay_err(call)));
        }
    }
    return rc;
}

static int size_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct resize *r = arg;
    struct cis_fs_inode row;
    int rc = cis_lay_inode(op, r->ino, &row, NULL);
    r->size = rc == 0 ? row.size : 0;
    return rc;
}

/* Room is there always; what asking for it changes all the same are the set-id bits. */
static int room_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    const uint64_t *ino = arg;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, *ino, &row, NULL);
    if (rc != 0 || cis_vfs_mode_changed(op->call, row.mode, row.gid) == row.mode) {
        return rc;
    }
    rc = cis_lay_node_get(op, *ino, &node);
    if (rc == 0) {
        cis_lay_written(op, node);
    }
    return rc;
}

/* [from, to) becomes zeros. */
static int zero(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino, uint64_t from,
                uint64_t to) CIS_REQUIRES(lay_lock_writes)
{
    uint64_t first = (from + CIS_FS_BLOCK - 1) / CIS_FS_BLOCK, last = to / CIS_FS_BLOCK;
    size_t n;
    if (first >= last) { /* no whole block: at most two parts */
        while (from < to) {
            int rc = cis_lay_write_at(
                v, call, &(struct lay_writing){.ino = ino, .offset = from, .len = to - from}, &n,
                NULL);
            if (rc != 0) {
                return rc;
            }
            from += n;
        }
        return 0;
    }
    int rc = 0;
    if (from < first * CIS_FS_BLOCK) {
        rc = zero(v, call, ino, from, first * CIS_FS_BLOCK);
    }
    if (rc == 0 && last * CIS_FS_BLOCK < to) {
        rc = zero(v, call, ino, last * CIS_FS_BLOCK, to);
    }
    return rc != 0 ? rc : punch(v, call, ino, first, last);
}

static int allocate(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino, int mode,
                    uint64_t offset, uint64_t end) CIS_REQUIRES(lay_lock_writes)
{
    struct resize r = {ino, 0};
    int rc = cis_lay_do(v, call, false, size_step, &r);
    if (rc != 0) {
        return rc;
    }
    bool keep = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    if (!keep && end > r.size) {
        struct resize grow = {ino, end};
        rc = cis_lay_do(v, call, true, resize_step, &grow);
    }
    uint64_t to = end < r.size ? end : r.size;
    if (rc == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0 && offset < to) {
        rc = zero(v, call, ino, offset, to);
    }
    return rc == 0 ? cis_lay_do(v, call, true, room_step, &ino) : rc;
}

int cis_lay_allocate(cis_vfs_file *file, const struct cis_vfs_call *call, int mode, uint64_t offset,
                     uint64_t len)
{
    struct lay_view *v = lay_of(file->vfs);
    if (len == 0) {
        return EINVAL;
    }
    if ((file->flags & O_ACCMODE) == O_RDONLY) {
        return EBADF;
    }
    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE &&
        mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) && mode != FALLOC_FL_ZERO_RANGE &&
        mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)) {
        return EOPNOTSUPP;
    }
    if (offset > CIS_FS_SIZE_MAX || len > CIS_FS_SIZE_MAX - offset) {
        return EFBIG;
    }
    if (v->vfs.read_only) {
        return EROFS;
    }
    int rc = cis_lay_quota_rows(v, call);
    if (rc != 0 && (mode & FALLOC_FL_PUNCH_HOLE) == 0) { /* removing goes on all the same */
        return rc;
    }
    pthread_mutex_t *lock = cis_lay_write_lock(v, file->node);
    cis_mutex_lock(lock, lay_lock_writes);
    rc = allocate(v, call, file->node, mode, offset, offset + len);
    cis_mutex_unlock(lock, lay_lock_writes);
    return rc;
}

/* ---- seek ---- */
struct seek {
    uint64_t ino, block; /* looked at */
    bool data;           /* wanted */
    uint64_t size;
    bool found, ask;
    unsigned passed; /* blocks, since it asked last: a step that waits for rows is begun again */
    struct cis_fs_inode base;
    uint64_t keep;
    struct cis_view at;
};

static int is_data(struct lay_op *op, const struct lay_node *node, const struct cis_fs_inode *base,
                   uint64_t keep, uint64_t block, bool *out)
{
    const struct lay_block *b = node != NULL ? cis_lay_block_find(node, block) : NULL;
    uint64_t chunk = 0;
    if (b != NULL && (b->buf != NULL || !b->from_base)) {
        *out = b->buf != NULL || (b->chunk != 0 && b->under > 0);
        return 0;
    }
    if (block * CIS_FS_BLOCK >= keep) {
        *out = false;
        return 0;
    }
    if (base->is_inline) {
        *out = true;
        return 0;
    }
    int rc = cis_lay_base_chunk(op, base->ino, base->epoch, block, &chunk);
    *out = chunk != 0;
    return rc;
}

/* Goes on block by block while what it needs is there; over a long hole of the base it asks. */
static int seek_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct seek *s = arg;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, s->ino, &row, &node);
    if (rc != 0) {
        return rc;
    }
    s->size = row.size;
    s->base = node != NULL ? node->base : row;
    s->keep = node != NULL ? node->keep : row.size;
    s->at = cis_lay_base_at(op->v, node);
    s->found = s->ask = false;
    for (; s->block * CIS_FS_BLOCK < row.size; s->block++, s->passed++) {
        bool data;
        if (s->passed >= LAY_GROUP * 2) {
            s->ask = true;
            s->passed = 0;
            return 0;
        }
        rc = is_data(op, node, &s->base, s->keep, s->block, &data);
        if (rc != 0) {
            return rc;
        }
        if (data == s->data) {
            s->found = true;
            return 0;
        }
    }
    return 0;
}

struct next_data {
    uint64_t block;
    bool found;
};

static bool got_extent(void *self, const struct cis_fs_extent *extent)
{
    struct next_data *n = self;
    n->found = extent->chunk != 0;
    n->block = extent->block;
    return !n->found;
}

static int next_step(struct lay_op *op, void *arg)
{
    struct seek *s = arg;
    struct lay_node *node = cis_lay_table_get(&op->v->nodes, s->ino);
    uint64_t best = (s->size + CIS_FS_BLOCK - 1) / CIS_FS_BLOCK;
    best = s->found && s->block < best ? s->block : best;
    if (node != NULL) {
        lay_table_each(&node->blocks, slot)
        {
            const struct lay_block *b = slot->value;
            if (b->block >= s->keep && b->block < best) { /* keep: from where, see skip_hole */
                best = b->block;
            }
        }
    }
    s->block = best;
    return 0;
}

/* Over a hole: to the next extent of the base or block of the overlay, whichever comes first. */
static int skip_hole(struct lay_view *v, const struct cis_vfs_call *call, struct seek *s)
{
    struct next_data next = {0, false};
    cis_fs_cache *f = v->fs_cache;
    uint64_t end = (s->keep + CIS_FS_BLOCK - 1) / CIS_FS_BLOCK, from = s->block;
    if (from < end && !s->base.is_inline) {
        cis_lay_count(f->counters.store_reads);
        lay_waits(v, call);
        cis_code code =
            cis_store_extents(f->store, v->who,
                              &(struct cis_fs_extent_query){
                                  .at = s->at, .ino = s->ino, .first = from, .count = end - from},
                              got_extent, &next, lay_stop(call), lay_err(call));
        if (code != CIS_OK) {
            return cis_lay_errno(code);
        }
    }
    s->found = next.found;
    s->block = next.found ? next.block : 0;
    s->keep = from;
    return cis_lay_do(v, call, false, next_step, s);
}

int cis_lay_seek(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t offset, int whence,
                 uint64_t *out_offset)
{
    struct lay_view *v = lay_of(file->vfs);
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        return EINVAL;
    }
    if ((file->flags & O_DIRECTORY) != 0) {
        return EISDIR;
    }
    struct seek s = {
        .ino = file->node, .block = offset / CIS_FS_BLOCK, .data = whence == SEEK_DATA};
    for (;;) {
        int rc = cis_lay_do(v, call, false, seek_step, &s);
        if (rc == 0 && offset >= s.size) {
            rc = ENXIO;
        }
        if (rc == 0 && s.ask && s.data) {
            rc = skip_hole(v, call, &s);
        }
        if (rc != 0) {
            return rc;
        }
        if (!s.ask) {
            break;
        }
    }
    if (!s.found && s.data) {
        return ENXIO;
    }
    uint64_t at = s.found ? s.block * CIS_FS_BLOCK : s.size;
    *out_offset = at > offset ? at : offset;
    return 0;
}
