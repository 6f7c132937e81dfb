/* Inodes, extents and content at a view. */
#include "history/internal.h"
#include "store/calls.h"

#include <stdlib.h>

void cis_rows_done(struct rows *rows)
{
    vec_done(rows);
    cis_arena_done(&rows->arena);
}

void cis_rows_bind(struct rows *rows, struct cis_bound *bound)
{
    rows->bound = bound;
    rows->arena.bound = bound;
}

struct reading_rows {
    struct rows *out;
    cis_code code;
    struct cis_error *err;
};

static bool take_row(void *self, const struct cis_fs_inode *inode)
{
    struct reading_rows *r = self;
    struct cis_str data;
    struct cis_fs_inode *row = vec_add(r->out);
    if (row == NULL) {
        r->code = cis_history_nomem(r->err);
        return false;
    }
    *row = *inode;
    row->data = (struct cis_bytes){NULL, 0};
    if (inode->data.len == 0) {
        return true;
    }
    r->code = cis_arena_str(&r->out->arena,
                            (struct cis_str){(const char *)inode->data.ptr, inode->data.len}, &data,
                            r->err);
    row->data = (struct cis_bytes){(const uint8_t *)data.ptr, data.len};
    return r->code == CIS_OK;
}

#define PAGE 2048u

cis_code cis_rows_read(const struct cis_history *h, struct cis_view view,
                       const struct numbers *inos, struct rows *out, struct cis_error *err)
{
    struct reading_rows r = {.out = out, .err = err};
    for (size_t i = 0; i < inos->n; i += PAGE) {
        size_t n = inos->n - i < PAGE ? inos->n - i : PAGE;
        CIS_TRY(
            cis_store_inodes(h->store, h->tenant,
                             &(struct cis_fs_inode_query){.at = view, .inos = inos->at + i, .n = n},
                             take_row, &r, h->stop, err));
        CIS_TRY(r.code);
    }
    return CIS_OK;
}

const struct cis_fs_inode *cis_rows_find(const struct rows *rows, uint64_t ino)
{
    size_t low = 0, high = rows->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (rows->at[mid].ino < ino) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < rows->n && rows->at[low].ino == ino ? &rows->at[low] : NULL;
}

static bool take_one(void *self, const struct cis_fs_inode *inode)
{
    struct cis_fs_inode *out = self;
    *out = *inode;
    out->data = (struct cis_bytes){NULL, 0};
    return false;
}

cis_code cis_history_row_read(const struct cis_history *h, struct cis_view view, uint64_t ino,
                              struct cis_fs_inode *out, struct cis_error *err)
{
    *out = (struct cis_fs_inode){0};
    return cis_store_inodes(h->store, h->tenant,
                            &(struct cis_fs_inode_query){.at = view, .inos = &ino, .n = 1},
                            take_one, out, h->stop, err);
}

bool cis_history_row_same(const struct cis_branches *branches, struct cis_view x,
                          const struct cis_fs_inode *a, struct cis_view y,
                          const struct cis_fs_inode *b)
{
    struct cis_view p = {x.branch, a->epoch}, q = {y.branch, b->epoch};
    return a->ino == b->ino && a->epoch == b->epoch &&
           cis_branches_owner(branches, p).branch == cis_branches_owner(branches, q).branch;
}

void cis_extents_done(struct extents *v)
{
    vec_done(v);
}

struct reading_extents {
    struct extents *out;
    bool full;
};

static bool take_extent(void *self, const struct cis_fs_extent *extent)
{
    struct reading_extents *r = self;
    struct cis_fs_extent *slot = vec_add(r->out);
    r->full = slot == NULL;
    if (slot != NULL) {
        *slot = *extent;
    }
    return slot != NULL;
}

cis_code cis_extents_read(const struct cis_history *h, struct cis_view view, uint64_t ino,
                          struct extents *out, struct cis_error *err)
{
    struct reading_extents r = {.out = out};
    /* Blocks behind the end, which only damage leaves, are wanted too. */
    CIS_TRY(
        cis_store_extents(h->store, h->tenant,
                          &(struct cis_fs_extent_query){
                              .at = view, .ino = ino, .count = CIS_FS_SIZE_MAX / CIS_FS_BLOCK + 1},
                          take_extent, &r, h->stop, err));
    return r.full ? cis_history_nomem(err) : CIS_OK;
}

bool cis_extents_same(const struct extents *a, const struct extents *b)
{
    size_t i = 0, k = 0;
    for (;;) {
        while (i < a->n && a->at[i].chunk == 0) {
            i++;
        }
        while (k < b->n && b->at[k].chunk == 0) {
            k++;
        }
        if (i == a->n || k == b->n || a->at[i].block != b->at[k].block ||
            a->at[i].chunk != b->at[k].chunk) {
            return i == a->n && k == b->n;
        }
        i++;
        k++;
    }
}

cis_code cis_history_content_same(const struct cis_history *h, struct cis_view x, uint64_t a,
                                  struct cis_view y, uint64_t b, struct cis_bound *bound, bool *out,
                                  struct cis_error *err)
{
    CIS_CLEANUP(cis_extents_done) struct extents p = {.bound = bound};
    CIS_CLEANUP(cis_extents_done) struct extents q = {.bound = bound};
    CIS_TRY(cis_extents_read(h, x, a, &p, err));
    CIS_TRY(cis_extents_read(h, y, b, &q, err));
    *out = cis_extents_same(&p, &q);
    return CIS_OK;
}

#define READS 16u
struct read_plan {
    struct cis_fs_read reads[READS];
    size_t n;
    uint64_t off, len; /* of the file, what is wanted */
    uint8_t *dst;
};

static bool plan_read(void *self, const struct cis_fs_extent *extent)
{
    struct read_plan *p = self;
    if (extent->chunk == 0) {
        return true;
    }
    uint64_t begin = extent->block * CIS_FS_BLOCK, end = begin + CIS_FS_BLOCK;
    uint64_t from = begin > p->off ? begin : p->off;
    uint64_t to = end < p->off + p->len ? end : p->off + p->len;
    if (from < to && p->n < READS) {
        p->reads[p->n++] = (struct cis_fs_read){.chunk = extent->chunk,
                                                .off = (uint32_t)(from - begin),
                                                .len = (uint32_t)(to - from),
                                                .dst = p->dst + (from - p->off)};
    }
    return true;
}

static cis_code read_span(const struct cis_history *h, struct cis_view view, uint64_t ino,
                          struct read_plan *p, struct cis_error *err)
{
    uint64_t first = p->off / CIS_FS_BLOCK, last = (p->off + p->len - 1) / CIS_FS_BLOCK;
    CIS_TRY(
        cis_store_extents(h->store, h->tenant,
                          &(struct cis_fs_extent_query){
                              .at = view, .ino = ino, .first = first, .count = last - first + 1},
                          plan_read, p, h->stop, err));
    if (p->n == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_store_chunk_read(h->store, h->tenant, p->reads, p->n, h->stop, err));
    for (size_t i = 0; i < p->n; i++) {
        if (p->reads[i].code != CIS_OK) {
            return cis_fail(err, p->reads[i].code, "inode %llu: chunk %llu cannot be read",
                            (unsigned long long)ino, (unsigned long long)p->reads[i].chunk);
        }
    }
    return CIS_OK;
}

cis_code cis_history_read(const struct cis_history *h, struct cis_view view,
                          const struct cis_fs_inode *inode, uint64_t off, uint8_t *dst, size_t len,
                          struct cis_error *err)
{
    memset(dst, 0, len);
    if (off >= inode->size) {
        return CIS_OK;
    }
    len = inode->size - off < len ? (size_t)(inode->size - off) : len;
    if (inode->is_inline) {
        size_t have = inode->data.len > off ? inode->data.len - (size_t)off : 0;
        if (have != 0) {
            memcpy(dst, inode->data.ptr + off, have < len ? have : len);
        }
        return CIS_OK;
    }
    while (len != 0) {
        size_t span = (READS - 1) * CIS_FS_BLOCK < len ? (READS - 1) * CIS_FS_BLOCK : len;
        struct read_plan p = {.off = off, .len = span, .dst = dst};
        CIS_TRY(read_span(h, view, inode->ino, &p, err));
        off += span;
        dst += span;
        len -= span;
    }
    return CIS_OK;
}
