/* Writing: block by block, each under the lock for as long as its bytes are copied. One writer of a
 * file at a time; what has to be read first (a write that leaves a gap to what the block holds
 * already) is read with only the file's write lock held. */
#include "vfs/layered/view.h"

enum { NEED_UNDER = -3, NEED_ROOM = -4 };

struct undo { /* what a write that is whole or nothing began with */
    bool begun,
        bufs; /* bufs: more than one block is written, so an earlier one may have to go back */
    uint64_t size;
    struct cis_fs_time mtime, ctime;
    uint32_t mode;
    bool is_inline, row;
    size_t n;
    struct lay_saved *saved; /* one a block */
};

struct write {
    uint64_t ino, off, len;
    const struct iovec *iov; /* NULL: zeros */
    int niov, at;
    size_t iov_off;
    bool append, first;
    bool cut;             /* what lies behind it goes */
    struct undo *undo;    /* NULL: at a quota the part that fits is written */
    unsigned asked;       /* how often the tenant was, for the block that is next */
    uint64_t block;       /* whose lower content is missing, or was read */
    const uint8_t *under; /* of that block */
    uint64_t fits;        /* out: what of len the quota allows */
    uint64_t did;         /* out */
};

static void copy_in(struct write *w, uint8_t *dst, size_t len)
{
    if (w->iov == NULL) {
        memset(dst, 0, len);
        return;
    }
    while (len > 0) {
        const struct iovec *v = &w->iov[w->at];
        size_t n = v->iov_len - w->iov_off < len ? v->iov_len - w->iov_off : len;
        memcpy(dst, (const uint8_t *)v->iov_base + w->iov_off, n);
        dst += n;
        len -= n;
        w->iov_off += n;
        if (w->iov_off == v->iov_len) {
            w->at++;
            w->iov_off = 0;
        }
    }
}

/* Where the write begins, and how much of it fits. */
static int begin(struct lay_op *op, struct write *w, const struct lay_node *node)
    CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    w->off = w->append ? node->now.size : w->off;
    if (w->off >= CIS_FS_SIZE_MAX) {
        return EFBIG;
    }
    if (w->undo != NULL && w->len > CIS_FS_SIZE_MAX - w->off) {
        return EFBIG;
    }
    w->len = CIS_FS_SIZE_MAX - w->off < w->len ? CIS_FS_SIZE_MAX - w->off : w->len;
    uint64_t end = w->off + w->len;
    end = end > node->now.size ? cis_lay_quota_bytes(op, node->now.size, end) : end;
    if (end <= w->off || (w->undo != NULL && end < w->off + w->len)) {
        return cis_lay_fail(op->call, EDQUOT, "the quota of %llu bytes is reached",
                            (unsigned long long)op->v->quota_bytes);
    }
    w->len = end - w->off;
    return 0;
}

/* By what it could take at most it is too much: after a spill that is known exactly. A run is asked
 * once, for all of its write: whether it all fits is its commit's to say. */
static int stored_fits(struct lay_op *op, const struct write *w)
    CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    const struct lay_view *v = op->v;
    enum lay_fits fits = cis_lay_quota_fits(v, w->asked);
    if (!v->auto_commit && w->first && v->quota_stored != 0 &&
        v->stored + v->dirty + w->len + CIS_FS_BLOCK > v->quota_stored) {
        fits = w->asked == 0 ? LAY_FITS_ASK : LAY_FITS_NOT;
    }
    bool own = cis_lay_quota_own_fits(v, w->first ? w->len + CIS_FS_BLOCK : 0);
    if (!own && fits != LAY_FITS_NOT) {
        fits = w->asked == 0 ? LAY_FITS_ASK : LAY_FITS_NOT;
    }
    if (fits != LAY_FITS_NOT) {
        return fits == LAY_FITS ? 0 : NEED_ROOM;
    }
    if (!own) {
        return cis_lay_quota_own_fail(op);
    }
    return cis_lay_fail(op->call, ENOSPC, "the tenant's limit of %llu stored bytes is reached",
                        (unsigned long long)v->quota_stored);
}

static int room_check(struct lay_view *v, const struct cis_vfs_call *call, struct write *w)
    CIS_TAKES(LAY_FROM_FILE)
{
    int rc = cis_lay_spill(v, call, true);
    rc = rc != 0 ? rc : cis_lay_errno(cis_lay_quota_again(v, lay_stop(call), lay_err(call)));
    w->asked += rc == 0;
    return rc;
}

static bool has_under(const struct write *w, const struct lay_block *b)
{
    return w->under != NULL && w->block == b->block && b->lo < b->hi;
}

static uint32_t room_for(const struct write *w, const struct lay_block *b, uint32_t to)
{
    uint32_t end = b->hi > to ? b->hi : to;
    return has_under(w, b) && b->under > end ? b->under : end;
}

/* What is below was read: all of it comes up, and no later gap in the block asks for it again. The
 * buffer has the room. */
static void bring_up(const struct write *w, struct lay_block *b)
{
    if (b->lo > 0) {
        uint32_t n = lay_min32(b->lo, b->under);
        memcpy(b->buf->data, w->under, n);
        memset(b->buf->data + n, 0, b->lo - n);
        b->lo = 0;
    }
    if (b->hi < b->under) {
        memcpy(b->buf->data + b->hi, w->under + b->hi, b->under - b->hi);
        b->hi = b->under;
    }
}

/* Makes [from, to) contiguous with what the buffer holds. */
static int join(struct write *w, struct lay_block *b, uint32_t from, uint32_t to)
{
    if (has_under(w, b)) {
        bring_up(w, b);
    }
    if (b->lo == b->hi || (from <= b->hi && to >= b->lo)) {
        return 0;
    }
    uint32_t gap_from = from > b->hi ? b->hi : to, gap_to = from > b->hi ? from : b->lo;
    if (gap_from >= b->under) { /* zeros */
        memset(b->buf->data + gap_from, 0, gap_to - gap_from);
    } else {
        w->block = b->block;
        return NEED_UNDER;
    }
    if (from > b->hi) {
        b->hi = from;
    } else {
        b->lo = to;
    }
    return 0;
}

static int remember(struct lay_op *op, const struct write *w, const struct lay_node *node)
{
    struct undo *u = w->undo;
    uint64_t block = w->off / CIS_FS_BLOCK;
    if (!u->begun) {
        u->begun = true;
        u->size = node->now.size;
        u->mtime = node->now.mtime;
        u->ctime = node->now.ctime;
        u->mode = node->now.mode;
        u->is_inline = node->now.is_inline;
        u->row = node->row;
    }
    if (u->n > 0 && u->saved[u->n - 1].block == block) {
        return 0;
    }
    int rc = cis_lay_block_save(op, node, block, u->bufs, &u->saved[u->n]);
    u->n += rc == 0;
    return rc;
}

/* The end of the file is where the write ended. */
static void cut(struct lay_view *v, struct lay_node *node, uint64_t end)
    CIS_REQUIRES(lay_lock_stripes)
{
    if (node->now.size > end) {
        cis_lay_cut(v, node, end);
        v->bytes += node->gone ? 0 : -(int64_t)(node->now.size - end);
        node->now.size = end;
        cis_lay_quota_nameless(v, node);
    }
}

static int write_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    struct write *w = arg;
    struct lay_view *v = op->v;
    struct lay_node *node;
    struct lay_block *b;
    int rc = cis_lay_node_get(op, w->ino, &node);
    if (rc == 0 && w->first) {
        rc = begin(op, w, node);
    }
    rc = rc != 0 ? rc : stored_fits(op, w);
    w->first = w->first && rc != 0;
    if (rc == 0 && w->undo != NULL) {
        rc = remember(op, w, node);
    }
    if (rc != 0) {
        return rc;
    }
    uint32_t from = (uint32_t)(w->off % CIS_FS_BLOCK);
    uint32_t to = lay_min32(from + (w->len < CIS_FS_BLOCK ? w->len : CIS_FS_BLOCK), CIS_FS_BLOCK);
    rc = cis_lay_block_make(op, node, w->off / CIS_FS_BLOCK, &b);
    rc = rc != 0 ? rc : cis_lay_block_room(op, b, room_for(w, b, to));
    rc = rc != 0 ? rc : join(w, b, from, to);
    if (rc != 0) {
        return rc;
    }
    copy_in(w, b->buf->data + from, to - from);
    b->lo = b->lo == b->hi || from < b->lo ? from : b->lo;
    b->hi = to > b->hi ? to : b->hi;
    if (b->lo == 0 && b->hi >= b->under) { /* nothing below shows through */
        b->under = 0;
        b->from_base = false;
        b->chunk = 0;
    }
    uint64_t end = w->off + (to - from);
    if (end > node->now.size) {
        v->bytes += node->gone ? 0 : (int64_t)(end - node->now.size);
        node->now.size = end;
        cis_lay_quota_nameless(v, node);
    }
    cis_lay_written(op, node);
    b->gen = node->gen;
    w->did = to - from;
    if (w->cut && w->did == w->len) {
        cut(v, node, end);
    }
    node->now.is_inline = node->now.size <= CIS_FS_INLINE_MAX;
    return 0;
}

static int run(struct lay_view *v, const struct cis_vfs_call *call, struct write *w,
               uint64_t *out_done)
{
    uint8_t *under = NULL;
    uint64_t done = 0;
    int rc = 0;
    do {
        if (atomic_load_explicit(&v->dirty, memory_order_relaxed) > v->dirty_max) {
            rc = cis_lay_spill(v, call, false); /* before more is accepted */
            if (rc != 0) {
                break;
            }
        }
        rc = cis_lay_do(v, call, true, write_step, w);
        if (rc == NEED_ROOM) {
            rc = room_check(v, call, w);
            continue;
        }
        if (rc == NEED_UNDER) {
            under = under != NULL ? under : cis_alloc(CIS_FS_BLOCK);
            rc = under == NULL ? ENOMEM : cis_lay_under_read(v, call, w->ino, w->block, under);
            w->under = under;
            continue;
        }
        if (rc == 0) {
            w->asked = 0;
            done += w->did;
            w->off += w->did;
            w->len -= w->did;
        }
    } while (rc == 0 && w->len > 0);
    cis_free(under);
    *out_done = done;
    return rc;
}

int cis_lay_write_at(struct lay_view *v, const struct cis_vfs_call *call,
                     const struct lay_writing *writing, size_t *out_n, uint64_t *out_end)
{
    struct write w = {.ino = writing->ino,
                      .off = writing->offset,
                      .len = writing->len,
                      .iov = writing->iov,
                      .niov = writing->niov,
                      .append = writing->append,
                      .first = true};
    uint64_t done;
    int rc = run(v, call, &w, &done);
    if (rc != 0 && done == 0) {
        return rc;
    }
    *out_n = done;
    if (out_end != NULL) {
        *out_end = w.off;
    }
    return 0;
}

/* ---- whole or nothing ---- */
static void take_back(struct lay_view *v, uint64_t ino, struct undo *u) CIS_TAKES(LAY_FROM_STRIPES)
{
    cis_lay_lock_all(v);
    struct lay_node *node = cis_lay_table_get(&v->nodes, ino);
    if (node != NULL && u->begun) {
        v->bytes -= node->gone ? 0 : (int64_t)(node->now.size - u->size);
        node->now.size = u->size;
        cis_lay_quota_nameless(v, node);
        node->now.mtime = u->mtime;
        node->now.ctime = u->ctime;
        node->now.mode = u->mode;
        node->now.is_inline = u->is_inline;
        node->row = u->row;
        cis_lay_touch(v, node);
    }
    while (u->n > 0) {
        struct lay_saved *saved = &u->saved[--u->n];
        if (node != NULL) {
            cis_lay_block_restore(v, node, saved);
        } else {
            cis_lay_block_forget(v, saved);
        }
    }
    cis_lay_unlock_all(v);
}

static void keep(struct lay_view *v, struct undo *u) CIS_TAKES(LAY_FROM_STRIPES)
{
    cis_lay_lock_all(v);
    while (u->n > 0) {
        cis_lay_block_forget(v, &u->saved[--u->n]);
    }
    cis_lay_unlock_all(v);
}

static int run_whole(struct lay_view *v, const struct cis_vfs_call *call, struct write *w)
    CIS_TAKES(LAY_FROM_WRITES)
{
    pthread_mutex_t *lock = cis_lay_write_lock(v, w->ino);
    uint64_t done;
    cis_mutex_lock(lock, lay_lock_writes);
    int rc = run(v, call, w, &done);
    if (rc != 0) {
        take_back(v, w->ino, w->undo);
    } else {
        keep(v, w->undo);
    }
    cis_mutex_unlock(lock, lay_lock_writes);
    return rc;
}

int cis_layered_write_whole(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t offset,
                            const void *data, size_t len, bool truncate)
{
    struct lay_view *v = lay_of(file->vfs);
    if ((file->flags & O_ACCMODE) == O_RDONLY) {
        return EBADF;
    }
    if (v->vfs.read_only) {
        return EROFS;
    }
    if (offset > CIS_FS_SIZE_MAX || len > CIS_FS_SIZE_MAX - offset) {
        return EFBIG;
    }
    if (len == 0) {
        return truncate ? cis_lay_resize(v, call, file->node, offset) : 0;
    }
    uint64_t last = (offset + len - 1) / CIS_FS_BLOCK;
    uint64_t blocks = cis_size_add(last - offset / CIS_FS_BLOCK, 1);
    struct undo undo = {.bufs = blocks > 1,
                        .saved = cis_alloc(cis_size_mul(blocks, sizeof *undo.saved))};
    if (undo.saved == NULL) {
        return ENOMEM;
    }
    struct iovec iov = {.iov_len = len};
    memcpy(&iov.iov_base, &data, sizeof data); /* iovec has no const; this only reads it */
    struct write w = {.ino = file->node,
                      .off = offset,
                      .len = len,
                      .iov = &iov,
                      .niov = 1,
                      .first = true,
                      .cut = truncate,
                      .undo = &undo};
    int rc;
    if (undo.bufs) { /* a commit must not take half of it; one block is one step */
        cis_mutex_lock(&v->committing, lay_lock_committing);
        rc = run_whole(v, call, &w);
        cis_mutex_unlock(&v->committing, lay_lock_committing);
    } else {
        rc = run_whole(v, call, &w);
    }
    cis_free(undo.saved);
    return rc;
}

static int fits_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    const uint64_t *bytes = arg;
    return cis_lay_quota_bytes(op, 0, *bytes) == *bytes
               ? 0
               : cis_lay_fail(op->call, EDQUOT, "the quota of %llu bytes is reached",
                              (unsigned long long)op->v->quota_bytes);
}

int cis_layered_fits(cis_vfs *vfs, const struct cis_vfs_call *call, uint64_t bytes)
{
    return cis_lay_do(lay_of(vfs), call, false, fits_step, &bytes);
}

static uint64_t total_of(const struct iovec *iov, int niov)
{
    uint64_t sum = 0;
    for (int i = 0; i < niov; i++) {
        sum = sum + iov[i].iov_len < sum ? UINT64_MAX : sum + iov[i].iov_len;
    }
    return sum;
}

int cis_lay_write(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                  int niov, uint64_t offset, size_t *out_n, uint64_t *out_end)
{
    struct lay_view *v = lay_of(file->vfs);
    if ((file->flags & O_ACCMODE) == O_RDONLY) {
        return EBADF;
    }
    if (v->vfs.read_only) {
        return EROFS;
    }
    bool append = offset == CIS_VFS_APPEND || (file->flags & O_APPEND) != 0;
    uint64_t len = total_of(iov, niov);
    if (len == 0) {
        *out_n = 0;
        if (out_end != NULL) {
            *out_end = append ? 0 : offset;
        }
        return 0;
    }
    int rc = cis_lay_quota_rows(v, call);
    if (rc != 0) {
        return rc;
    }
    pthread_mutex_t *lock = cis_lay_write_lock(v, file->node);
    cis_mutex_lock(lock, lay_lock_writes);
    rc = cis_lay_write_at(
        v, call, &(struct lay_writing){file->node, offset, len, iov, niov, append}, out_n, out_end);
    cis_mutex_unlock(lock, lay_lock_writes);
    if (rc == 0 && (file->flags & (O_SYNC | O_DSYNC)) != 0) {
        rc = cis_lay_sync(file, call, false);
        if (rc == EINTR) { /* whoever tries again after that writes it twice */
            rc =
                cis_lay_fail(call, EIO, "written; whether it is durable is not known: interrupted");
        }
    }
    return rc;
}
