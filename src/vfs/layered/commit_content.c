/* Content of captured files: blocks become chunks (packed on helpers while the ones before them are
 * stored), holes, or the inline bytes of a row. A commit with few new bytes carries its chunks
 * itself; else they are stored before it. */
#include "vfs/layered/view.h"
#include "store/calls.h"

#include <stdlib.h>

static int add_extent(struct lay_captured *f, const struct cis_vfs_call *call, uint64_t ino,
                      uint64_t block, uint64_t chunk, bool had)
{
    if (f->nmaking == f->making_cap) {
        size_t cap = cis_cap_next(f->making_cap, 64, CIS_MEM_MAX);
        int rc =
            cis_lay_captured_charge(f, call, cis_size_mul(cap - f->making_cap, sizeof *f->making));
        if (rc != 0) {
            return rc;
        }
        struct lay_extent *more = cis_realloc_array(f->making, cap, sizeof *more);
        if (more == NULL) {
            return ENOMEM;
        }
        f->making = more;
        f->making_cap = cap;
    }
    f->making[f->nmaking++] = (struct lay_extent){
        .row = {.ino = ino, .block = block, .chunk = chunk, .new_chunk = -1}, .had = had};
    return 0;
}

/* ---- loads ---- */
static void take_ids(struct lay_captured *f, const struct lay_load *load)
{
    for (size_t i = 0; i < load->batch.n; i++) {
        f->making[load->stills[i].slot].row.chunk = load->ids[i];
    }
}

static int store_packing(struct lay_captured *f, const struct cis_vfs_call *call)
{
    struct lay_load *load = f->packing;
    if (load == NULL) {
        return 0;
    }
    int rc = load->begun ? cis_lay_load_wait(f->v, call, load) : 0;
    rc = rc != 0 ? rc : cis_lay_load_put(f->v, call, load);
    if (rc == 0) {
        take_ids(f, load);
        f->stored = true;
        cis_lay_load_free(f->v, cis_take(&f->packing));
    }
    return rc;
}

/* The load that was filled begins to be packed; meanwhile the one before it is stored. */
static int push_load(struct lay_captured *f, const struct cis_vfs_call *call)
{
    if (f->filling == NULL) {
        return 0;
    }
    int rc = cis_lay_load_begin(f->v, call, f->filling, false);
    rc = rc != 0 ? rc : store_packing(f, call);
    if (rc == 0) {
        f->packing = cis_take(&f->filling);
    }
    return rc;
}

static int add_job(struct lay_captured *f, const struct cis_vfs_call *call,
                   const struct lay_still *still)
{
    if (f->filling != NULL && cis_lay_load_full(f->filling)) {
        int rc = push_load(f, call);
        if (rc != 0) {
            return rc;
        }
    }
    if (f->filling == NULL) {
        f->filling = cis_lay_load_new(f->v);
        if (f->filling == NULL) {
            return ENOMEM;
        }
    }
    struct lay_still *s = cis_lay_load_add(f->filling, still);
    s->buf = still->buf != NULL ? cis_lay_buf_ref(still->buf) : NULL;
    s->slot = f->nmaking - 1;
    return 0;
}

/* ---- what the base has ---- */
struct had {
    const struct lay_captured_file *file;
    uint64_t ino, block;
    uint64_t chunk;
};

static int had_step(struct lay_op *op, void *arg)
{
    struct had *h = arg;
    return cis_lay_base_chunk(op, h->ino, h->file->base->epoch, h->block, &h->chunk);
}

static int base_had(struct lay_captured *f, const struct cis_vfs_call *call,
                    const struct lay_captured_file *file, uint64_t ino, uint64_t block, bool *out)
{
    struct had h = {file, ino, block, 0};
    *out = false;
    if (file->is_new || file->base->is_inline || block * CIS_FS_BLOCK >= file->base->size) {
        return 0;
    }
    int rc = cis_lay_do(f->v, call, false, had_step, &h);
    *out = h.chunk != 0;
    return rc;
}

struct dropped {
    struct lay_captured *f;
    const struct cis_vfs_call *call;
    const struct lay_still *stills;
    size_t n, at;
    int rc;
};

/* In order of blocks, as the stills are. */
static bool got_dropped(void *self, const struct cis_fs_extent *extent)
{
    struct dropped *d = self;
    while (d->at < d->n && d->stills[d->at].block < extent->block) {
        d->at++;
    }
    bool written = d->at < d->n && d->stills[d->at].block == extent->block;
    if (extent->chunk != 0 && !written) {
        d->rc = add_extent(d->f, d->call, d->f->dropping, extent->block, 0, true);
    }
    return d->rc == 0;
}

/* Chunks of the base that the file does not reach any more get explicit holes. */
static int drop_extents(struct lay_captured *f, const struct cis_vfs_call *call,
                        const struct lay_captured_file *file, uint64_t ino, bool all, size_t n)
{
    uint64_t first = all ? 0 : (file->keep + CIS_FS_BLOCK - 1) / CIS_FS_BLOCK;
    uint64_t end = (file->base->size + CIS_FS_BLOCK - 1) / CIS_FS_BLOCK;
    struct dropped d = {f, call, f->stills + file->first, n, 0, 0};
    struct lay_view *v = f->v;
    if (file->is_new || file->base->is_inline || first >= end) {
        return 0;
    }
    f->dropping = ino;
    cis_lay_count(v->fs_cache->counters.store_reads);
    cis_code code =
        cis_store_extents(v->fs_cache->store, v->who,
                          &(struct cis_fs_extent_query){
                              .at = f->base, .ino = ino, .first = first, .count = end - first},
                          got_dropped, &d, lay_stop(call), lay_err(call));
    return code != CIS_OK ? cis_lay_errno(code) : d.rc;
}

/* ---- files ---- */
/* The block is as the base has it. */
static bool unchanged(const struct lay_still *s)
{
    uint64_t start = s->block * CIS_FS_BLOCK;
    return s->buf == NULL && s->from_base && !s->base.is_inline &&
           s->under == lay_min32(s->base.size - start, CIS_FS_BLOCK);
}

static int commit_content_block(struct lay_captured *f, const struct cis_vfs_call *call,
                                const struct lay_captured_file *file, const struct lay_still *s)
{
    bool had;
    if (unchanged(s)) {
        return 0;
    }
    int rc = base_had(f, call, file, s->ino, s->block, &had);
    if (rc != 0) {
        return rc;
    }
    bool ready = s->buf == NULL && !s->from_base && (s->under == 0 || s->under == CIS_FS_BLOCK);
    rc = add_extent(f, call, s->ino, s->block, ready && s->under > 0 ? s->chunk : 0, had);
    return rc != 0 || ready ? rc : add_job(f, call, s);
}

static struct lay_blob *inline_new(struct cis_fs_inode *row, size_t len)
{
    struct lay_blob_key key = {LAY_INLINE, {0, row->ino, 0, 0}};
    struct lay_blob *blob = cis_lay_blob_new(&key, len);
    if (blob != NULL) {
        row->data = (struct cis_bytes){blob->data, len};
    }
    return blob;
}

struct old_data {
    uint64_t ino, epoch;
    struct lay_blob *blob;
};

static int old_step(struct lay_op *op, void *arg)
{
    struct old_data *o = arg;
    return cis_lay_inline(op, o->ino, o->epoch, &o->blob);
}

/* Rows whose content did not change: what is inline is written again with them. */
static int keep_inline(struct lay_captured *f, const struct cis_vfs_call *call, size_t i)
{
    struct lay_captured_file *file = &f->captured_files[i];
    struct cis_fs_inode *row = &f->changes[file->change].inode;
    if (file->target != NULL) {
        row->data = cis_bytes_of(file->target, strlen(file->target));
        return 0;
    }
    row->is_inline = file->base->is_inline;
    bool link = S_ISLNK(row->mode);
    if (row->size == 0 || !(link || (S_ISREG(row->mode) && file->base->is_inline))) {
        return 0;
    }
    struct old_data old = {row->ino, file->base->epoch, NULL};
    int rc = cis_lay_do(f->v, call, false, old_step, &old);
    f->inlines[i] = old.blob;
    if (rc == 0 && old.blob->len != row->size) {
        return cis_lay_fail(call, EIO, "inode %llu: its content is %u bytes, its size %llu",
                            (unsigned long long)row->ino, old.blob->len,
                            (unsigned long long)row->size);
    }
    row->data = rc == 0 ? (struct cis_bytes){old.blob->data, old.blob->len} : row->data;
    return rc;
}

static int make_inline(struct lay_captured *f, const struct cis_vfs_call *call, size_t i)
{
    struct lay_captured_file *file = &f->captured_files[i];
    struct cis_fs_inode *row = &f->changes[file->change].inode;
    row->is_inline = true;
    row->stored = 0;
    if (row->size > 0) {
        int rc = cis_lay_captured_charge(f, call, sizeof(struct lay_blob) + row->size);
        f->inlines[i] = rc == 0 ? inline_new(row, row->size) : NULL;
        if (f->inlines[i] == NULL) {
            return rc != 0 ? rc : ENOMEM;
        }
        memset(f->inlines[i]->data, 0, row->size);
        if (file->n > 0 && f->stills[file->first].block == 0) {
            struct lay_still s = f->stills[file->first];
            s.len = lay_min32(s.len, row->size);
            rc = cis_lay_still_read(f->v, call, &s, f->inlines[i]->data);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return drop_extents(f, call, file, row->ino, true, 0);
}

static int commit_content_file(struct lay_captured *f, const struct cis_vfs_call *call, size_t i)
{
    const struct lay_captured_file *file = &f->captured_files[i];
    struct cis_fs_inode *row = &f->changes[file->change].inode;
    if (!file->content) {
        return keep_inline(f, call, i);
    }
    if (row->size <= CIS_FS_INLINE_MAX) {
        return make_inline(f, call, i);
    }
    row->is_inline = false;
    for (size_t b = 0; b < file->n; b++) {
        int rc = commit_content_block(f, call, file, &f->stills[file->first + b]);
        if (rc != 0) {
            return rc;
        }
    }
    return drop_extents(f, call, file, row->ino, false, file->n);
}

/* ---- in the end ---- */
/* The last load: into the commit when it is the only one and small. */
static int last_load(struct lay_captured *f, const struct cis_vfs_call *call)
{
    int rc = push_load(f, call);
    struct lay_load *load = f->packing;
    if (rc != 0 || load == NULL) {
        return rc;
    }
    rc = cis_lay_load_wait(f->v, call, load);
    uint64_t payload = 0;
    for (size_t i = 0; i < load->batch.n && rc == 0; i++) {
        const struct lay_job *job = &load->batch.jobs[i];
        payload += job->len > 0 ? job->packed_len - CIS_CHUNK_HEAD : 0;
    }
    if (rc != 0 || f->stored || payload > CIS_FS_BLOCK) {
        return rc != 0 ? rc : store_packing(f, call);
    }
    f->chunks = cis_calloc(cis_size_add(load->batch.n, 1), sizeof *f->chunks);
    if (f->chunks == NULL) {
        return ENOMEM;
    }
    for (size_t i = 0; i < load->batch.n; i++) {
        const struct lay_job *job = &load->batch.jobs[i];
        if (job->len == 0) {
            continue;
        }
        size_t c = 0; /* few: what is the same travels once */
        while (c < f->nchunks && memcmp(f->chunks[c].hash, job->hash, sizeof job->hash) != 0) {
            c++;
        }
        if (c == f->nchunks) {
            memcpy(f->chunks[c].hash, job->hash, sizeof job->hash);
            f->chunks[f->nchunks++].packed = (struct cis_bytes){job->packed, job->packed_len};
        }
        f->making[load->stills[i].slot].row.new_chunk = (int32_t)c;
    }
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct lay_extent *x = a, *y = b;
    if (x->row.ino != y->row.ino) {
        return x->row.ino < y->row.ino ? -1 : 1;
    }
    return x->row.block < y->row.block ? -1 : x->row.block > y->row.block;
}

/* Extents in order, without holes where the base has nothing; what each file has stored. */
static int finish(struct lay_captured *f, const struct cis_vfs_call *call)
{
    int rc = cis_lay_captured_charge(f, call, f->nmaking * sizeof *f->extents);
    if (rc != 0) {
        return rc;
    }
    f->extents = cis_calloc(cis_size_add(f->nmaking, 1), sizeof *f->extents);
    if (f->extents == NULL) {
        return ENOMEM;
    }
    if (f->nmaking > 0) {
        qsort(f->making, f->nmaking, sizeof *f->making, by_place);
    }
    size_t at = 0;
    for (size_t i = 0; i < f->nfiles; i++) {
        const struct lay_captured_file *file = &f->captured_files[i];
        struct cis_fs_inode *row = &f->changes[file->change].inode;
        int64_t blocks = 0;
        for (; at < f->nmaking && f->making[at].row.ino == row->ino; at++) {
            const struct lay_extent *e = &f->making[at];
            bool data = e->row.chunk != 0 || e->row.new_chunk >= 0;
            blocks += (data ? 1 : 0) - (e->had ? 1 : 0);
            if (data || e->had) {
                f->extents[f->nextents++] = e->row;
            }
        }
        uint64_t before = file->is_new || file->base->is_inline ? 0 : file->base->stored;
        int64_t stored = (int64_t)before + blocks * (int64_t)CIS_FS_BLOCK;
        row->stored = stored > 0 ? (uint64_t)stored : 0;
    }
    return 0;
}

int cis_lay_commit_content(struct lay_captured *f, const struct cis_vfs_call *call)
{
    const struct cis_stop *stop = lay_stop(call);
    for (size_t i = 0; i < f->nfiles; i++) {
        int rc = commit_content_file(f, call, i);
        if (rc == 0 && i % 256 == 0 && stop != NULL) {
            rc = cis_lay_errno(cis_stop_check(stop, "commit", lay_err(call)));
        }
        if (rc != 0) {
            return rc;
        }
    }
    int rc = last_load(f, call);
    return rc != 0 ? rc : finish(f, call);
}
