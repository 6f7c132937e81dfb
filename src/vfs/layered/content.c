/* Chunks through the cache. Whole blocks for those who read in order, together with what they will
 * want next; pieces of 4 KiB for those who jump about, until a chunk is asked for again soon. */
#include "vfs/layered/view.h"
#include "base/wraps.h"
#include "store/calls.h"

#include <inttypes.h>

enum { READS_MAX = 128, PIECE_MOST = 16384 };

struct reading {
    struct lay_view *v;
    const struct cis_vfs_call *call;
    uint64_t ino;
    enum lay_reading how;
    struct cis_fs_read reads[READS_MAX];
    struct lay_blob *blobs[READS_MAX];
    size_t n;
};

static struct lay_blob_key chunk_key(const struct lay_view *v, enum lay_kind kind, uint64_t chunk,
                                     uint32_t part)
{
    return (struct lay_blob_key){kind, {v->tenant->uid, chunk, part, 0}};
}

static int want(struct reading *r, enum lay_kind kind, uint64_t chunk, uint32_t off, uint32_t len)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->reads[i].chunk == chunk && r->reads[i].off == off && r->blobs[i]->key.kind == kind) {
            return 0;
        }
    }
    struct lay_blob_key key = chunk_key(r->v, kind, chunk, off);
    struct lay_blob *blob = r->n < READS_MAX ? cis_lay_blob_new(&key, len) : NULL;
    if (blob == NULL) {
        return ENOMEM;
    }
    r->blobs[r->n] = blob;
    r->reads[r->n++] =
        (struct cis_fs_read){.chunk = chunk, .off = off, .len = len, .dst = blob->data};
    return 0;
}

static int read_wanted(struct reading *r)
{
    cis_fs_cache *f = r->v->fs_cache;
    if (r->n == 0) {
        return 0;
    }
    lay_waits(r->v, r->call);
    int rc = cis_lay_alive(r->v, r->call);
    if (rc != 0) {
        return rc;
    }
    cis_lay_count(f->counters.store_reads);
    atomic_fetch_add_explicit(&f->counters.chunk_misses, r->n, memory_order_relaxed);
    cis_code code = cis_store_chunk_read(f->store, r->v->who, r->reads, r->n, lay_stop(r->call),
                                         lay_err(r->call));
    for (size_t i = 0; code == CIS_OK && i < r->n; i++) {
        if (r->reads[i].code == CIS_OK && r->how != LAY_ONCE) {
            cis_lay_blob_put(&f->blobs, r->blobs[i]);
        }
    }
    return cis_lay_errno(code);
}

static void forget(struct reading *r)
{
    for (size_t i = 0; i < r->n; i++) {
        cis_lay_blob_unref(r->blobs[i]);
    }
    r->n = 0;
}

/* From what was read just now. */
CIS_WRAPS static int take_read(struct reading *r, const struct lay_piece *p)
{
    uint32_t done = 0;
    for (size_t i = 0; i < r->n && done < p->len; i++) {
        const struct cis_fs_read *rd = &r->reads[i];
        uint32_t at = p->off + done;
        if (rd->chunk != p->chunk || at < rd->off || at >= rd->off + rd->len) {
            continue;
        }
        if (rd->code != CIS_OK) {
            return cis_lay_fail(r->call, EIO,
                                "inode %" PRIu64 ": chunk %" PRIu64 " of its content is damaged",
                                r->ino, p->chunk);
        }
        uint32_t n = lay_min32(rd->off + rd->len - at, p->len - done);
        memcpy(p->dst + done, rd->dst + (at - rd->off), n);
        done += n;
        i = SIZE_MAX; /* from the first again: pieces need not be in order */
    }
    return done == p->len ? 0 : EIO;
}

static bool take_blob(struct lay_view *v, enum lay_kind kind, uint64_t chunk, uint32_t part,
                      uint32_t off, uint32_t len, uint8_t *dst)
{
    struct lay_blob_key key = chunk_key(v, kind, chunk, part);
    struct lay_blob *blob = cis_lay_blob_get(&v->fs_cache->blobs, &key);
    bool good = blob != NULL && blob->len >= off - part + len;
    if (good) {
        memcpy(dst, blob->data + (off - part), len);
    }
    cis_lay_blob_unref(blob);
    return good;
}

/* All of a piece from the cache. */
static bool take_cached(struct lay_view *v, const struct lay_piece *p, bool whole)
{
    if (take_blob(v, LAY_CHUNK, p->chunk, 0, p->off, p->len, p->dst)) {
        return true;
    }
    if (whole || p->len > PIECE_MOST) {
        return false;
    }
    for (uint32_t done = 0; done < p->len;) {
        uint32_t at = p->off + done, part = at & ~(CIS_CHUNK_PIECE - 1);
        uint32_t n = lay_min32(part + CIS_CHUNK_PIECE - at, p->len - done);
        if (!take_blob(v, LAY_PIECE, p->chunk, part, at, n, p->dst + done)) {
            return false;
        }
        done += n;
    }
    return true;
}

struct lay_blob *cis_lay_chunk_known(struct lay_view *v, uint64_t chunk)
{
    struct lay_blob_key key = chunk_key(v, LAY_CHUNK, chunk, 0);
    return cis_lay_blob_get(&v->fs_cache->blobs, &key);
}

void cis_lay_chunk_keep(struct lay_view *v, uint64_t chunk, struct cis_bytes content)
{
    struct lay_blob_key key = chunk_key(v, LAY_CHUNK, chunk, 0);
    struct lay_blob *blob =
        content.len <= CIS_FS_BLOCK ? cis_lay_blob_new(&key, CIS_FS_BLOCK) : NULL;
    if (blob != NULL) {
        memcpy(blob->data, content.ptr, content.len);
        memset(blob->data + content.len, 0, CIS_FS_BLOCK - content.len);
        cis_lay_blob_put(&v->fs_cache->blobs, blob);
        cis_lay_blob_unref(blob);
    }
}

/* Was another piece of it read a moment ago? */
static bool again_soon(cis_fs_cache *fs_cache, uint64_t chunk)
{
    _Atomic uint64_t *slot = &fs_cache->recent[cis_lay_mix(chunk) & 255];
    return atomic_exchange_explicit(slot, chunk, memory_order_relaxed) == chunk;
}

static int want_piece(struct reading *r, const struct lay_piece *p)
{
    if (r->how != LAY_BY_PIECES || p->len > PIECE_MOST || again_soon(r->v->fs_cache, p->chunk)) {
        return want(r, LAY_CHUNK, p->chunk, 0, p->span);
    }
    uint32_t part = p->off & ~(CIS_CHUNK_PIECE - 1);
    int rc = 0;
    for (; rc == 0 && part < p->off + p->len; part += CIS_CHUNK_PIECE) {
        rc = want(r, LAY_PIECE, p->chunk, part, CIS_CHUNK_PIECE);
    }
    return rc;
}

static int read_missing(struct reading *r, const struct lay_piece *pieces, const bool *missing,
                        size_t n, const struct lay_ahead *ahead, size_t nahead)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = missing[i] ? want_piece(r, &pieces[i]) : 0;
    }
    for (size_t i = 0; i < nahead && rc == 0 && r->n < READS_MAX; i++) {
        struct lay_blob_key key = chunk_key(r->v, LAY_CHUNK, ahead[i].chunk, 0);
        struct lay_blob *blob = cis_lay_blob_get(&r->v->fs_cache->blobs, &key);
        rc = blob == NULL ? want(r, LAY_CHUNK, ahead[i].chunk, 0, ahead[i].span) : 0;
        cis_lay_blob_unref(blob);
    }
    rc = rc != 0 ? rc : read_wanted(r);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = missing[i] ? take_read(r, &pieces[i]) : 0;
    }
    return rc;
}

int cis_lay_pieces_read(struct lay_view *v, const struct cis_vfs_call *call,
                        const struct lay_piece *pieces, size_t n, const struct lay_ahead *ahead,
                        size_t nahead, enum lay_reading how, uint64_t ino)
{
    bool missing[LAY_PIECES_MAX], any = false;
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) {
        missing[i] = !take_cached(v, &pieces[i], how != LAY_BY_PIECES);
        any |= missing[i];
        hits += !missing[i];
    }
    atomic_fetch_add_explicit(&v->fs_cache->counters.chunk_hits, hits, memory_order_relaxed);
    if (!any) {
        return 0;
    }
    struct reading r;
    r.v = v;
    r.call = call;
    r.ino = ino;
    r.how = how;
    r.n = 0;
    int rc = read_missing(&r, pieces, missing, n, ahead, nahead);
    forget(&r);
    return rc;
}
