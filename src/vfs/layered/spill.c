/* Beyond dirty_max, blocks go to the store before the commit: oldest first. While one load is
 * packed by helpers, the one before it is stored by the writer that found memory full. */
#include "vfs/layered/view.h"

/* Under all stripes: the oldest dirty blocks that are not on their way. */
static void gather(struct lay_view *v, struct lay_load *load) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    for (struct lay_block *b = v->oldest, *next; b != NULL; b = next) {
        next = b->newer;
        if (cis_lay_load_full(load)) {
            break;
        }
        if (atomic_load(&b->buf->refs) > 1 || b->stuck == b->gen) {
            continue; /* in a load, in a commit, or of no use without what is gone */
        }
        struct lay_still still = cis_lay_still(b);
        (void)cis_lay_load_add(load, &still);
    }
}

/* The blocks of a stored load give up their buffers, unless they were written to since. A store
 * that may lose them on its own (mend.c) is no place to have them alone, as far as the cache goes.
 */
static void settle(struct lay_view *v, const struct lay_load *load)
{
    for (size_t i = 0; v->fs_cache->store->ops->remote && i < load->batch.n; i++) {
        if (load->ids[i] != 0) {
            cis_lay_chunk_keep(v, load->ids[i], load->batch.jobs[i].content);
        }
    }
    cis_lay_lock_all(v);
    for (size_t i = 0; i < load->batch.n; i++) {
        const struct lay_still *s = &load->stills[i];
        struct lay_node *node = cis_lay_table_get(&v->nodes, s->ino);
        struct lay_block *b = node != NULL ? cis_lay_block_find(node, s->block) : NULL;
        if (b == NULL || b->buf != s->buf || b->gen != s->gen) {
            continue;
        }
        if (s->skipped) {
            b->stuck = b->gen;
            continue;
        }
        cis_lay_block_clear(v, b);
        b->from_base = false;
        b->chunk = load->ids[i];
        b->under = load->ids[i] != 0 ? CIS_FS_BLOCK : 0;
        cis_lay_quota_spilled(v, load->batch.jobs[i].packed_len);
    }
    cis_lay_unlock_all(v);
}

int cis_lay_spill_end(struct lay_view *v, const struct cis_vfs_call *call)
{
    struct lay_load *load = cis_take(&v->load);
    if (load == NULL) {
        return 0;
    }
    int rc = cis_lay_load_wait(v, call, load);
    rc = rc != 0 ? rc : cis_lay_load_put(v, call, load);
    if (rc == 0) {
        settle(v, load);
    }
    cis_lay_load_free(v, load);
    return rc;
}

static int begin_next(struct lay_view *v, const struct cis_vfs_call *call, struct lay_load **out)
{
    struct lay_load *load = cis_lay_load_new(v);
    if (load == NULL) {
        return ENOMEM;
    }
    cis_lay_lock_all(v);
    gather(v, load);
    cis_lay_unlock_all(v);
    int rc = load->batch.n > 0 ? cis_lay_load_begin(v, call, load, true) : 0;
    if (rc != 0 || load->batch.n == 0) {
        cis_lay_load_free(v, load);
        load = NULL;
    }
    *out = load;
    return rc;
}

/* What cannot be stored for want of what is below it. */
static uint64_t stuck_bytes(struct lay_view *v)
{
    uint64_t sum = 0;
    cis_lay_lock_all(v);
    for (const struct lay_block *b = v->oldest; b != NULL; b = b->newer) {
        sum += b->stuck == b->gen ? b->buf->cap : 0;
    }
    cis_lay_unlock_all(v);
    return sum;
}

int cis_lay_spill(struct lay_view *v, const struct cis_vfs_call *call, bool all)
{
    uint64_t limit = all ? 0 : v->dirty_max;
    int rc = 0;
    cis_vfs_waits(call);
    cis_mutex_lock(&v->spilling, lay_lock_spilling);
    if (v->pin == 0) { /* keeps what is stored now until the commit names it */
        struct cis_error why = {0};
        cis_code code = cis_lay_pin(v, v->at, lay_stop(call), &why);
        rc = cis_lay_errno_of(call, code, &why);
    }
    bool more = true;
    while (rc == 0 && more && atomic_load(&v->dirty) > limit) {
        struct lay_load *next = NULL;
        rc = begin_next(v, call, &next);
        more = next != NULL || v->load != NULL;
        int end = cis_lay_spill_end(v, call);
        v->load = next;
        rc = rc != 0 ? rc : end;
    }
    if (all && rc == 0) {
        rc = cis_lay_spill_end(v, call);
    }
    /* Parts of blocks whose rest is gone stay in memory, within a bound. */
    if (rc == 0 && !all && atomic_load(&v->dirty) / 2 > limit && stuck_bytes(v) > limit) {
        rc = cis_lay_fail(call, EIO, "content that was written is gone from the store");
    }
    cis_mutex_unlock(&v->spilling, lay_lock_spilling);
    return rc;
}
