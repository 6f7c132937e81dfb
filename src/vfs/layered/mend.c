/* Content that was stored ahead of its commit and is gone. gc removes what nobody names or holds;
 * what holds it goes by its time when the store has forgotten the process (a server that was
 * restarted) and the process cannot renew it (a host that slept). What memory still knows becomes
 * content to be written again; a file of which something is lost is named, and left out when the
 * view ends (rest.c). */
#include "vfs/layered/view.h"
#include "store/calls.h"

#include <stdlib.h>

struct mend {
    struct lay_captured *f;
    const struct cis_vfs_call *call;
    uint64_t *ids; /* that the commit names, each once, in order */
    bool *gone;
    size_t n;
    bool any;
    const struct lay_still **lost; /* whose content nobody knows */
    size_t nlost;
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = cis_lay_word(a), y = cis_lay_word(b);
    return x < y ? -1 : x > y;
}

/* The chunk below a block, not the base's; 0: there is none. */
static uint64_t below(const struct lay_still *s)
{
    return s->from_base || lay_min32(s->under, s->len) == 0 ? 0 : s->chunk;
}

static int collect(struct mend *m)
{
    struct lay_captured *f = m->f;
    size_t most = cis_size_add(cis_size_add(f->nstills, f->nmaking), 1);
    size_t each = sizeof *m->ids + sizeof *m->gone + sizeof(struct lay_still *);
    int rc = cis_lay_captured_charge(f, m->call, cis_size_mul(most, each));
    m->ids = rc == 0 ? cis_calloc(most, sizeof *m->ids) : NULL;
    m->gone = rc == 0 ? cis_calloc(most, sizeof *m->gone) : NULL;
    m->lost = rc == 0 ? cis_calloc(most, sizeof(struct lay_still *)) : NULL;
    if (m->ids == NULL || m->gone == NULL || m->lost == NULL) {
        return rc != 0 ? rc : ENOMEM;
    }
    for (size_t i = 0; i < f->nstills; i++) {
        m->ids[m->n] = below(&f->stills[i]);
        m->n += m->ids[m->n] != 0;
    }
    for (size_t i = 0; i < f->nmaking; i++) {
        m->ids[m->n] = f->making[i].row.chunk;
        m->n += m->ids[m->n] != 0;
    }
    qsort(m->ids, m->n, sizeof *m->ids, by_value);
    size_t distinct = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (distinct == 0 || m->ids[distinct - 1] != m->ids[i]) {
            m->ids[distinct++] = m->ids[i];
        }
    }
    m->n = distinct;
    return 0;
}

static int ask(struct mend *m)
{
    const struct lay_view *v = m->f->v;
    cis_store *store = v->fs_cache->store;
    if (m->n == 0) {
        return 0;
    }
    cis_code code =
        cis_store_chunk_touch(store, v->who, m->ids, m->n, m->gone, lay_stop(m->call), NULL);
    for (size_t i = 0; code == CIS_OK && i < m->n; i++) {
        m->any |= m->gone[i];
    }
    return cis_lay_errno(code);
}

static bool is_gone(const struct mend *m, uint64_t chunk)
{
    const uint64_t *at =
        chunk == 0 || m->n == 0 ? NULL : bsearch(&chunk, m->ids, m->n, sizeof *m->ids, by_value);
    return at != NULL && m->gone[at - m->ids];
}

/* ---- a block ---- */
struct repair {
    const struct lay_still *s;
    const struct lay_blob *known; /* NULL: nobody knows it */
    bool lost;
};

/* The block, while it stands on that chunk; NULL: removed, or written over since. */
static struct lay_block *block_of(const struct lay_view *v, const struct lay_still *s,
                                  uint32_t *out_need) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    const struct lay_node *node = cis_lay_table_get(&v->nodes, s->ino);
    struct lay_block *b = node != NULL ? cis_lay_block_find(node, s->block) : NULL;
    if (b == NULL || node->gone || b->from_base || b->chunk != s->chunk) {
        return NULL;
    }
    uint64_t start = b->block * CIS_FS_BLOCK, size = node->now.size;
    *out_need = lay_min32(b->under, size > start ? size - start : 0);
    return b;
}

static int repair_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
    CIS_REQUIRES(lay_lock_committing)
{
    struct repair *r = arg;
    uint32_t need = 0;
    struct lay_block *b = block_of(op->v, r->s, &need);
    if (b == NULL) {
        return 0;
    }
    if (need != 0 && (r->known == NULL || r->known->len < need)) {
        r->lost = true;
        return 0;
    }
    uint32_t end = b->hi > need ? b->hi : need;
    int rc = end != 0 ? cis_lay_block_room(op, b, end) : 0;
    if (rc != 0) {
        return rc;
    }
    if (need != 0) {
        uint8_t *data = b->buf->data;
        memcpy(data, r->known->data, lay_min32(b->lo, need));
        if (b->lo > need) {
            memset(data + need, 0, b->lo - need);
        }
        if (need > b->hi) {
            memcpy(data + b->hi, r->known->data + b->hi, need - b->hi);
        }
        b->lo = 0;
        b->hi = end;
    }
    b->under = 0;
    b->chunk = 0;
    b->gen = ++op->v->gen;
    return 0;
}

static int repair_all(struct mend *m) CIS_REQUIRES(lay_lock_committing)
{
    struct lay_captured *f = m->f;
    uint64_t last = 0; /* stills of one file lie together */
    int rc = 0;
    for (size_t i = 0; i < f->nstills && rc == 0; i++) {
        const struct lay_still *s = &f->stills[i];
        if (!is_gone(m, below(s))) {
            continue;
        }
        struct lay_blob *known = cis_lay_chunk_known(f->v, s->chunk);
        struct repair r = {s, known, false};
        rc = cis_lay_do(f->v, m->call, true, repair_step, &r);
        cis_lay_blob_unref(known);
        if (r.lost && f->v->ending) {
            m->lost[m->nlost++] = s;
        } else if (r.lost) {
            f->lost = f->lost == 0 ? s->ino : f->lost;
            f->nlost += s->ino != last;
            last = s->ino;
        }
    }
    return rc;
}

/* All of them at once, those that still stand on what is lost. */
static int leave_out_step(struct lay_op *op, void *arg) CIS_REQUIRES(lay_lock_stripes)
{
    struct mend *m = arg;
    size_t n = 0;
    uint64_t *inos = m->ids; /* they are as many at least, and not asked for again */
    for (size_t i = 0; i < m->nlost; i++) {
        const struct lay_still *s = m->lost[i];
        uint32_t need = 0;
        bool still = block_of(op->v, s, &need) != NULL && need != 0;
        if (still && (n == 0 || inos[n - 1] != s->ino)) {
            inos[n++] = s->ino;
        }
    }
    return cis_lay_leave_out(op, inos, n);
}

bool cis_lay_mend(struct lay_captured *f, const struct cis_vfs_call *call, cis_code *code)
{
    struct mend m = {.f = f, .call = &(struct cis_vfs_call){.stop = lay_stop(call)}};
    if (*code != CIS_E_EXPIRED && *code != CIS_E_DAMAGED && *code != CIS_E_IO) {
        return false;
    }
    int rc = collect(&m);
    rc = rc != 0 ? rc : ask(&m);
    rc = rc == 0 && m.any ? repair_all(&m) : rc;
    rc = rc == 0 && m.nlost != 0 ? cis_lay_do(f->v, m.call, true, leave_out_step, &m) : rc;
    cis_free(m.ids);
    cis_free(m.gone);
    cis_free((void *)m.lost);
    if (f->lost != 0) {
        *code =
            cis_fail(lay_err(call), CIS_E_IO, "content that was written is gone from the store");
    }
    return rc == 0 && m.any && f->lost == 0;
}
