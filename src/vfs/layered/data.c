/* Reading and writing the content of files. */
#include "vfs/layered/view.h"

enum { ROUND_BLOCKS = 16, ROUND_PARTS = 16 };

pthread_mutex_t *cis_lay_write_lock(struct lay_view *v, uint64_t ino)
{
    return &v->writes[cis_lay_mix(ino) % LAY_WRITE_LOCKS];
}

/* A place in a vector of buffers. */
struct cursor {
    const struct iovec *iov; /* NULL: zeros, when written from */
    int niov, at;
    size_t off;
};

static size_t total_of(const struct iovec *iov, int niov)
{
    size_t sum = 0;
    for (int i = 0; i < niov; i++) {
        sum = sum + iov[i].iov_len < sum ? SIZE_MAX : sum + iov[i].iov_len;
    }
    return sum;
}

/* At most len bytes at the cursor that lie together; moves it behind them. */
static uint8_t *next_part(struct cursor *c, size_t len, size_t *out_len)
{
    while (c->at < c->niov && c->off == c->iov[c->at].iov_len) {
        c->at++;
        c->off = 0;
    }
    if (c->at == c->niov) {
        *out_len = 0;
        return NULL;
    }
    uint8_t *p = (uint8_t *)c->iov[c->at].iov_base + c->off;
    size_t left = c->iov[c->at].iov_len - c->off;
    *out_len = left < len ? left : len;
    c->off += *out_len;
    return p;
}

/* Bytes in the next few buffers: what one round is for. */
static size_t round_of(const struct cursor *c, size_t len)
{
    size_t sum = 0;
    for (int i = c->at; i < c->niov && i < c->at + ROUND_PARTS && sum < len; i++) {
        sum += c->iov[i].iov_len - (i == c->at ? c->off : 0);
    }
    return sum < len ? sum : len;
}

/* ---- reading ---- */
struct read {
    uint64_t ino, off;
    size_t len; /* wanted; after the step: what this round gives */
    struct cursor at;
    bool ahead_wanted;
    uint32_t readahead;
    struct lay_piece pieces[LAY_PIECES_MAX];
    size_t n;
    struct lay_ahead ahead[LAY_READAHEAD_MAX];
    size_t nahead;
    struct cursor after;
};

/* Copies to, or plans for, len bytes of the round. src NULL and chunk 0: zeros. */
static bool give(struct read *r, const uint8_t *src, uint64_t chunk, uint32_t off, uint32_t len,
                 uint32_t span)
{
    while (len > 0) {
        size_t n;
        if (chunk != 0 && r->n == LAY_PIECES_MAX) {
            return false;
        }
        uint8_t *dst = next_part(&r->after, len, &n);
        if (dst == NULL) {
            return false;
        }
        if (src != NULL) {
            memcpy(dst, src, n);
            src += n;
        } else if (chunk == 0) {
            memset(dst, 0, n);
        } else {
            r->pieces[r->n++] = (struct lay_piece){chunk, off, (uint32_t)n, span, dst};
        }
        off += (uint32_t)n;
        len -= (uint32_t)n;
    }
    return true;
}

struct source { /* what is below a block */
    uint64_t chunk;
    struct lay_blob *blob; /* inline content */
    uint32_t len, span;    /* bytes of it that count */
};

/* The base at a block. */
static int base_source(struct lay_op *op, const struct cis_fs_inode *base, uint64_t block,
                       uint32_t len, struct source *out)
{
    out->len = len;
    out->span = (lay_min32(base->size - block * CIS_FS_BLOCK, CIS_FS_BLOCK) + 4095) & ~4095u;
    if (!base->is_inline) {
        return cis_lay_base_chunk(op, base->ino, base->epoch, block, &out->chunk);
    }
    int rc = cis_lay_inline(op, base->ino, base->epoch, &out->blob);
    if (rc == 0 && out->blob->len < len) {
        cis_lay_blob_unref(out->blob);
        return EIO;
    }
    return rc;
}

static int source_of(struct lay_op *op, const struct cis_fs_inode *row, const struct lay_node *node,
                     const struct lay_block *b, uint64_t block, struct source *out)
{
    *out = (struct source){0, NULL, 0, CIS_FS_BLOCK};
    uint64_t start = block * CIS_FS_BLOCK, keep = node != NULL ? node->keep : row->size;
    const struct cis_fs_inode *base = node != NULL ? &node->base : row;
    if (b != NULL && !b->from_base) {
        out->chunk = b->under > 0 ? b->chunk : 0;
        out->len = b->under;
        return 0;
    }
    uint32_t len = b != NULL ? b->under : keep > start ? lay_min32(keep - start, CIS_FS_BLOCK) : 0;
    return len == 0 ? 0 : base_source(op, base, block, len, out);
}

static bool give_below(struct read *r, const struct source *s, uint32_t from, uint32_t to)
{
    uint32_t mid = lay_min32(s->len > from ? s->len : from, to);
    bool more = true;
    if (mid > from) {
        more = s->blob != NULL ? give(r, s->blob->data + from, 0, 0, mid - from, 0)
                               : give(r, NULL, s->chunk, from, mid - from, s->span);
    }
    return more && (to == mid || give(r, NULL, 0, 0, to - mid, 0));
}

/* [from, to) of a block. False in *out_more: the round is full. */
static int read_block(struct lay_op *op, struct read *r, const struct cis_fs_inode *row,
                      const struct lay_node *node, uint64_t block, uint32_t from, uint32_t to,
                      bool *out_more)
{
    const struct lay_block *b = node != NULL ? cis_lay_block_find(node, block) : NULL;
    uint32_t lo = b != NULL && b->buf != NULL ? b->lo : 0;
    uint32_t hi = b != NULL && b->buf != NULL ? b->hi : 0;
    lo = lo < from ? from : lo > to ? to : lo;
    hi = hi < lo ? lo : hi > to ? to : hi;
    struct source s = {0, NULL, 0, 0};
    if (lo > from || hi < to) {
        int rc = source_of(op, row, node, b, block, &s);
        if (rc != 0) {
            return rc;
        }
    }
    if (r->n + 3 + ROUND_PARTS > LAY_PIECES_MAX) {
        *out_more = false;
    } else if (hi == lo) {
        *out_more = give_below(r, &s, from, to);
    } else {
        *out_more = give_below(r, &s, from, lo) && give(r, b->buf->data + lo, 0, 0, hi - lo, 0) &&
                    (hi == to || give_below(r, &s, hi, to));
    }
    cis_lay_blob_unref(s.blob);
    return 0;
}

/* Blocks that a sequential reader will want, as far as it costs nothing to know their chunks. */
static void plan_ahead(struct lay_op *op, struct read *r, const struct cis_fs_inode *row,
                       const struct lay_node *node, uint64_t block)
{
    const struct cis_fs_inode *base = node != NULL ? &node->base : row;
    for (; r->nahead < r->readahead && !base->is_inline && block * CIS_FS_BLOCK < base->size;
         block++) {
        struct source s;
        const struct lay_block *b = node != NULL ? cis_lay_block_find(node, block) : NULL;
        if (source_of(op, row, node, b, block, &s) != 0) {
            return;
        }
        if (s.chunk != 0 && s.len > 0) {
            r->ahead[r->nahead++] = (struct lay_ahead){s.chunk, s.span};
        }
    }
}

static int read_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct read *r = arg;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, r->ino, &row, &node);
    if (rc != 0) {
        return rc;
    }
    r->n = r->nahead = 0;
    r->after = r->at;
    uint64_t off = r->off, end = off;
    if (off < row.size) {
        end = row.size - off < r->len ? row.size : off + r->len;
    }
    bool more = true;
    for (uint64_t n = 0; off < end && more && n < ROUND_BLOCKS; n++) {
        uint64_t block = off / CIS_FS_BLOCK;
        uint32_t from = (uint32_t)(off % CIS_FS_BLOCK);
        uint32_t to = lay_min32(end - block * CIS_FS_BLOCK, CIS_FS_BLOCK);
        struct cursor before = r->after;
        size_t pieces = r->n;
        rc = read_block(op, r, &row, node, block, from, to, &more);
        if (rc != 0) {
            return rc;
        }
        if (!more && n > 0) { /* not this one then */
            r->after = before;
            r->n = pieces;
            break;
        }
        off += more ? to - from : 0;
    }
    if (!more && off == r->off) {
        return EINVAL; /* never: a round has few buffers */
    }
    if (r->ahead_wanted && r->n > 0) {
        plan_ahead(op, r, &row, node, (off + CIS_FS_BLOCK - 1) / CIS_FS_BLOCK);
    }
    r->len = off - r->off;
    return 0;
}

int cis_lay_read(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                 int niov, uint64_t offset, size_t *out_n)
{
    struct lay_view *v = lay_of(file->vfs);
    struct lay_file *f = lay_file_of(file);
    if ((file->flags & O_DIRECTORY) != 0) {
        return EISDIR;
    }
    if ((file->flags & O_ACCMODE) == O_WRONLY) {
        return EBADF;
    }
    size_t total = total_of(iov, niov), done = 0;
    if (offset > CIS_FS_SIZE_MAX) {
        *out_n = 0;
        return 0;
    }
    bool in_order = atomic_load_explicit(&f->next_off, memory_order_relaxed) == offset;
    struct read r;
    r.at = (struct cursor){iov, niov, 0, 0};
    r.ino = file->node;
    r.readahead = v->fs_cache->options.readahead;
    r.ahead_wanted = in_order;
    int rc = 0;
    while (done < total) {
        r.off = offset + done;
        r.len = round_of(&r.at, total - done);
        rc = cis_lay_do(v, call, false, read_step, &r);
        if (rc == 0 && r.len > 0 && r.n > 0) {
            rc = cis_lay_pieces_read(
                v, call, r.pieces, r.n, r.ahead, r.nahead,
                in_order || r.len > CIS_FS_BLOCK / 2 ? LAY_WHOLE : LAY_BY_PIECES, file->node);
        }
        if (rc != 0 || r.len == 0) {
            break;
        }
        done += r.len;
        r.at = r.after;
    }
    atomic_store_explicit(&f->next_off, offset + done, memory_order_relaxed);
    if (rc != 0 && done == 0) {
        return rc;
    }
    *out_n = done;
    return 0;
}

/* What is below a block, for those who have to know all of it. */
struct under {
    uint64_t ino, block;
    struct source source;
};

static int under_step(struct lay_op *op, void *arg) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    struct under *u = arg;
    struct cis_fs_inode row;
    struct lay_node *node;
    int rc = cis_lay_inode(op, u->ino, &row, &node);
    if (rc != 0) {
        return rc;
    }
    const struct lay_block *b = node != NULL ? cis_lay_block_find(node, u->block) : NULL;
    return source_of(op, &row, node, b, u->block, &u->source);
}

int cis_lay_under_read(struct lay_view *v, const struct cis_vfs_call *call, uint64_t ino,
                       uint64_t block, uint8_t *out)
{
    struct under u = {.ino = ino, .block = block};
    int rc = cis_lay_do(v, call, false, under_step, &u);
    if (rc != 0) {
        return rc;
    }
    uint32_t len = lay_min32(u.source.len, CIS_FS_BLOCK);
    memset(out, 0, CIS_FS_BLOCK);
    if (u.source.blob != NULL) {
        memcpy(out, u.source.blob->data, len);
        cis_lay_blob_unref(u.source.blob);
    } else if (u.source.chunk != 0 && len > 0) {
        struct lay_piece piece = {u.source.chunk, 0, len, CIS_FS_BLOCK, out};
        rc = cis_lay_pieces_read(v, call, &piece, 1, NULL, 0, LAY_ONCE, ino);
    }
    return rc;
}
