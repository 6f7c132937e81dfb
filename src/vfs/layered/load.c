/* Blocks as they were at one moment, on their way to the store: made whole, packed by helpers, put.
 * Buffers are shared with the overlay, which copies before it writes to one. */
#include "vfs/layered/view.h"
#include "store/calls.h"

enum { LOAD_JOBS = 1024, LOAD_BYTES = 4 << 20 };

struct lay_load *cis_lay_load_new(struct lay_view *v)
{
    struct lay_load *load = cis_zalloc(sizeof *load);
    if (load == NULL) {
        return NULL;
    }
    load->batch.jobs = cis_calloc(LOAD_JOBS, sizeof *load->batch.jobs);
    load->stills = cis_calloc(LOAD_JOBS, sizeof *load->stills);
    load->made = cis_calloc(LOAD_JOBS, sizeof(struct lay_buf *));
    load->ids = cis_calloc(LOAD_JOBS, sizeof *load->ids);
    load->batch.compress = v->compress;
    memcpy(load->batch.key, v->tenant->key, sizeof load->batch.key);
    if (load->batch.jobs == NULL || load->stills == NULL || load->made == NULL ||
        load->ids == NULL) {
        cis_lay_load_free(v, load);
        return NULL;
    }
    return load;
}

/* Is its buffer all its content, up to where it ends? */
static bool is_whole(const struct lay_still *s)
{
    return s->buf != NULL && s->lo == 0 && lay_min32(s->hi, s->len) >= lay_min32(s->under, s->len);
}

bool cis_lay_load_full(const struct lay_load *load)
{
    return load->batch.n == LOAD_JOBS || load->bytes >= LOAD_BYTES;
}

struct lay_still *cis_lay_load_add(struct lay_load *load, const struct lay_still *still)
{
    struct lay_still *s = &load->stills[load->batch.n++];
    *s = *still;
    load->bytes += is_whole(s) ? s->hi : 2ull * s->len;
    return s;
}

void cis_lay_load_free(struct lay_view *v, struct lay_load *load)
{
    if (load == NULL) {
        return;
    }
    if (load->begun) {
        cis_lay_pack_wait(v->fs_cache->pack, &load->batch);
    }
    for (size_t i = 0; i < load->batch.n; i++) {
        cis_lay_buf_unref(load->stills[i].buf);
        cis_lay_buf_unref(load->made[i]);
        cis_free(load->batch.jobs[i].packed);
    }
    cis_free(load->batch.jobs);
    cis_free(load->stills);
    cis_free((void *)load->made);
    cis_free(load->ids);
    cis_free(load);
}

struct lay_still cis_lay_still(const struct lay_block *b)
{
    uint64_t start = b->block * CIS_FS_BLOCK, size = b->node->now.size;
    return (struct lay_still){
        .ino = b->node->ino,
        .block = b->block,
        .gen = b->gen,
        .buf = b->buf != NULL ? cis_lay_buf_ref(b->buf) : NULL,
        .lo = b->lo,
        .hi = b->hi,
        .under = b->under,
        .from_base = b->from_base,
        .chunk = b->chunk,
        .base = lay_base_of(&b->node->base),
        .len = size > start ? lay_min32(size - start, CIS_FS_BLOCK) : 0,
    };
}

struct below {
    const struct lay_still *s;
    uint64_t chunk;
    struct lay_blob *blob;
};

static int below_step(struct lay_op *op, void *arg)
{
    struct below *b = arg;
    const struct lay_still *s = b->s;
    if (s->base.is_inline) {
        return cis_lay_inline(op, s->ino, s->base.epoch, &b->blob);
    }
    return cis_lay_base_chunk(op, s->ino, s->base.epoch, s->block, &b->chunk);
}

int cis_lay_still_read(struct lay_view *v, const struct cis_vfs_call *call,
                       const struct lay_still *s, uint8_t *out)
{
    uint32_t under = lay_min32(s->under, s->len);
    struct below b = {s, s->from_base ? 0 : s->chunk, NULL};
    int rc = 0;
    memset(out, 0, s->len);
    if (under > 0 && s->from_base) {
        rc = cis_lay_do(v, call, false, below_step, &b);
    }
    if (rc == 0 && b.blob != NULL) {
        memcpy(out, b.blob->data, lay_min32(under, b.blob->len));
    } else if (rc == 0 && under > 0 && b.chunk != 0) {
        struct lay_piece piece = {b.chunk, 0, under, CIS_FS_BLOCK, out};
        rc = cis_lay_pieces_read(v, call, &piece, 1, NULL, 0, LAY_ONCE, s->ino);
    }
    cis_lay_blob_unref(b.blob);
    uint32_t hi = lay_min32(s->hi, s->len);
    if (rc == 0 && s->buf != NULL && hi > s->lo) {
        memcpy(out + s->lo, s->buf->data + s->lo, hi - s->lo);
    }
    return rc;
}

/* The still's content: its buffer as it is when that is all there is, else put together. */
static int make_whole(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load,
                      size_t i)
{
    const struct lay_still *s = &load->stills[i];
    struct cis_bytes *content = &load->batch.jobs[i].content;
    if (is_whole(s)) {
        *content = (struct cis_bytes){s->buf->data, lay_min32(s->hi, s->len)}; /* then zeros */
        return 0;
    }
    struct lay_buf *made = cis_alloc(cis_size_add(sizeof *made, s->len));
    if (made == NULL) {
        return ENOMEM;
    }
    atomic_init(&made->refs, 1);
    made->cap = s->len;
    load->made[i] = made;
    *content = (struct cis_bytes){made->data, s->len};
    return cis_lay_still_read(v, call, s, made->data);
}

int cis_lay_load_begin(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load,
                       bool skip)
{
    for (size_t i = 0; i < load->batch.n; i++) {
        struct cis_error why = {0};
        struct cis_vfs_call own = call != NULL ? *call : (struct cis_vfs_call){.err = NULL};
        own.err = &why;
        int rc = make_whole(v, &own, load, i);
        if (rc != 0 && skip && why.code == CIS_E_DAMAGED) {
            load->stills[i].skipped = true;
            load->batch.jobs[i].content = (struct cis_bytes){NULL, 0};
        } else if (rc != 0) {
            if (lay_err(call) != NULL) {
                *call->err = why;
            }
            return rc;
        }
    }
    load->begun = true;
    cis_lay_pack_begin(v->fs_cache->pack, &load->batch);
    return 0;
}

int cis_lay_load_wait(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load)
{
    cis_lay_pack_wait(v->fs_cache->pack, &load->batch);
    load->begun = false;
    for (size_t i = 0; i < load->batch.n; i++) {
        if (load->batch.jobs[i].code != CIS_OK) {
            return cis_lay_fail(call, cis_lay_errno(load->batch.jobs[i].code), "packing failed");
        }
    }
    return 0;
}

int cis_lay_load_put(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load *load)
{
    CIS_CLEANUP(cis_freep)
    struct cis_fs_chunk *chunks = cis_calloc(load->batch.n, sizeof *chunks);
    CIS_CLEANUP(cis_freep) uint64_t *ids = cis_calloc(load->batch.n, sizeof *ids);
    size_t n = 0;
    if (chunks == NULL || ids == NULL) {
        return ENOMEM;
    }
    for (size_t i = 0; i < load->batch.n; i++) {
        const struct lay_job *job = &load->batch.jobs[i];
        if (job->len > 0) {
            memcpy(chunks[n].hash, job->hash, sizeof job->hash);
            chunks[n++].packed = (struct cis_bytes){job->packed, job->packed_len};
        }
    }
    if (n > 0) {
        struct cis_error why = {0};
        cis_code code = cis_store_chunk_put(
            v->fs_cache->store, v->who,
            &(struct cis_fs_put_request){
                .chunks = chunks, .n = n, .accepted = v->auto_commit || v->takes_back},
            ids, lay_stop(call), &why);
        if (code != CIS_OK) {
            return cis_lay_errno_of(call, code, &why);
        }
    }
    n = 0;
    for (size_t i = 0; i < load->batch.n; i++) {
        load->ids[i] = load->batch.jobs[i].len > 0 ? ids[n++] : 0;
    }
    return 0;
}
