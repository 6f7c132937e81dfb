/* Quotas while writing: what the branch's head has plus what this view adds. A run learns early
 * here, and its commit checks again, exactly; what a mount accepts here is only counted then. */
#include "vfs/layered/view.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "base/wraps.h"

CIS_WRAPS static uint64_t used(uint64_t base, int64_t growth)
{
    return growth < 0 && (uint64_t)-growth > base ? 0 : base + (uint64_t)growth;
}

/* ---- what waits for a commit ----
 * What a mount accepted is committed without being checked again: else a caller would be refused
 * what it was told is there. So the mount keeps to the quota by itself, though it does not know
 * what the tenant's other mounts have accepted and not stored. Two things bound what they have
 * above the quota together. Each accepts only as long as what it knows to be stored is below a
 * limit, and it learns what is stored after each of its commits. And each lets only a share wait.
 *
 * The share goes by the number of mounts that hold leases, which a mount asks for after it took its
 * own. The k-th of the mounts, in the order in which they asked, finds k leases at least, however
 * long ago that was; 1 / (k (k + 1)) over all k is 1. So all shares together are at most
 * WAITS_ALL, and twice of it while commits are on their way. */

/* What rows may count when they are stored (store/cost.h), rather more than less: names of full
 * length, and attributes. */
enum {
    ROW_OF_NODE = 512,
    ROW_OF_NAME = 192 + 3 * CIS_FS_NAME_MAX + 64,
    ROW_OF_EXTENT = 160,
    ROW_OF_CHUNK = 256 + 2 * CIS_CHUNK_HEAD
};
/* How far names and attributes may go when the quota is used up. With twice of what waits it is
 * half of the quota and 256 KiB. */
#define ROWS_ABOVE(quota) ((quota) / 8 + (64u << 10))
#define WAITS_ALL(quota) (ROWS_ABOVE(quota) / 2 * 3)
#define ASKED_NS CIS_NS_PER_S
#define COUNTED_NS (10 * CIS_NS_PER_S) /* the number of mounts is asked for as often */
#define ASKED_MAX 8u                   /* by one write, for one block */

static uint64_t share(const struct lay_view *v) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    uint64_t mounts = cis_size_add(v->others, 1);
    return WAITS_ALL(v->quota_stored) / cis_size_mul(mounts, cis_size_add(mounts, 1));
}

static uint64_t waits(const struct lay_view *v) CIS_REQUIRES_SHARED(lay_lock_stripes)
{
    uint64_t rows = cis_size_add(v->targets, v->weight);
    rows = cis_size_add(rows, cis_size_mul(v->nodes.count, ROW_OF_NODE));
    return cis_size_add(rows, cis_size_mul(v->names.count, ROW_OF_NAME));
}

/* ---- the view's own limit ---- */

bool cis_lay_quota_own_fits(const struct lay_view *v, uint64_t more)
{
    return v->stored_max == 0 ||
           cis_size_add(cis_size_add(v->spilled, waits(v)), more) < v->stored_max;
}

int cis_lay_quota_own_fail(const struct lay_op *op)
{
    atomic_store(&op->v->full, true);
    return cis_lay_fail(op->call, ENOSPC, "the limit of %llu bytes that one run stores is reached",
                        (unsigned long long)op->v->stored_max);
}

void cis_lay_quota_spilled(struct lay_view *v, uint64_t packed)
{
    v->stored += packed;
    v->spilled = cis_size_add(v->spilled, cis_size_add(packed, ROW_OF_CHUNK));
}

uint64_t cis_layered_stored(cis_vfs *vfs, bool *out_full)
{
    struct lay_view *v = lay_of(vfs);
    cis_lay_lock_all(v);
    uint64_t stored = cis_size_add(v->spilled, waits(v));
    cis_lay_unlock_all(v);
    *out_full = atomic_load(&v->full);
    return stored;
}

int cis_lay_quota_file(const struct lay_op *op)
{
    const struct lay_view *v = op->v;
    if (v->quota_files != 0 && used(v->base_files, v->files) >= v->quota_files) {
        return cis_lay_fail(op->call, EDQUOT, "the quota of %llu files is reached",
                            (unsigned long long)v->quota_files);
    }
    if (v->quota_stored != 0 && v->stored >= v->quota_stored) {
        return cis_lay_fail(op->call, ENOSPC, "the tenant's limit of %llu stored bytes is reached",
                            (unsigned long long)v->quota_stored);
    }
    return cis_lay_quota_own_fits(v, 0) ? 0 : cis_lay_quota_own_fail(op);
}

void cis_lay_quota_block(struct lay_view *v, struct lay_block *b)
{
    uint32_t weight = ROW_OF_EXTENT;
    if (b->buf != NULL) { /* all of the block is stored again */
        weight += ROW_OF_CHUNK + (b->buf->cap > b->under ? b->buf->cap : b->under);
    }
    v->weight += weight;
    v->weight -= b->weight;
    b->weight = weight;
}

void cis_lay_quota_cut(struct lay_view *v, struct lay_node *node)
{
    bool rest = !node->is_new && !node->gone && node->keep < node->base.size &&
                node->keep % CIS_FS_BLOCK != 0;
    uint32_t weight = rest ? ROW_OF_EXTENT + ROW_OF_CHUNK + (uint32_t)CIS_FS_BLOCK : 0;
    v->weight += weight;
    v->weight -= node->weight;
    node->weight = weight;
}

struct holders {
    const char *own;
    uint64_t others;
};

static bool count_holder(void *self, const struct cis_fs_ref *ref)
{
    struct holders *h = self;
    h->others += ref->holder[0] != 0 && strcmp(ref->name, h->own) != 0;
    return true;
}

static bool is_old(const _Atomic uint64_t *when, uint64_t ns)
{
    uint64_t at = atomic_load(when), now = cis_clock_mono_ns();
    return at == 0 || now < at || now - at > ns;
}

cis_code cis_lay_quota_again(struct lay_view *v, const struct cis_stop *stop, struct cis_error *err)
{
    const struct cis_store *store = v->fs_cache->store;
    struct cis_str tenant = v->who;
    struct holders h = {.own = v->ref};
    struct cis_tenant row;
    uint64_t asked = atomic_fetch_add(&v->stored_asked, 1) + 1, now = cis_clock_mono_ns();
    CIS_TRY(store->fs->tenant_get(v->fs_cache->store, tenant, &row, stop, err));
    cis_wipe(row.key, sizeof row.key);
    bool counts = v->auto_commit && row.quota_stored != 0 && is_old(&v->counted_ns, COUNTED_NS);
    if (counts) {
        CIS_TRY(store->fs->ref_list(v->fs_cache->store, tenant, count_holder, &h, stop, err));
        atomic_store(&v->counted_ns, now);
    }
    atomic_store(&v->stored_ns, now);
    cis_lay_lock_all(v);
    if (asked > v->stored_known) { /* not what another asked for before this one */
        v->stored_known = asked;
        v->stored = row.stored;
        v->quota_stored = row.quota_stored;
        v->quota_files = row.quota_files;
        v->quota_bytes = row.quota_bytes;
    }
    v->others = counts ? h.others : v->others;
    cis_lay_unlock_all(v);
    return CIS_OK;
}

static bool is_used_up(struct lay_view *v)
{
    struct lay_stripe *s = cis_lay_lock_one(v);
    bool used_up = v->quota_stored != 0 && v->stored >= v->quota_stored;
    cis_lay_unlock_one(s);
    return used_up;
}

int cis_lay_quota_rows(struct lay_view *v, const struct cis_vfs_call *call)
{
    struct cis_error why;
    if (!v->auto_commit) {
        return 0;
    }
    if (is_used_up(v) && is_old(&v->stored_ns, ASKED_NS)) { /* gc may have been there */
        (void)!cis_lay_quota_again(v, lay_stop(call), &why);
    }
    struct lay_stripe *s = cis_lay_lock_one(v);
    uint64_t quota = v->quota_stored, stored = v->stored;
    bool full = quota != 0 && waits(v) > share(v);
    cis_lay_unlock_one(s);
    if (quota != 0 && stored > cis_size_add(quota, ROWS_ABOVE(quota))) {
        return cis_lay_fail(call, ENOSPC, "the tenant's limit of %llu stored bytes is reached",
                            (unsigned long long)quota);
    }
    return full ? cis_lay_flush(&v->vfs, call) : 0;
}

enum lay_fits cis_lay_quota_fits(const struct lay_view *v, unsigned asked)
{
    uint64_t more = CIS_FS_BLOCK + ROW_OF_CHUNK + ROW_OF_EXTENT;
    if (!v->auto_commit || v->quota_stored == 0) {
        return LAY_FITS;
    }
    uint64_t after = cis_size_add(cis_size_add(v->stored, v->dirty), more);
    if (after > v->quota_stored) { /* what others wrote meanwhile is not what it is packed */
        return asked == 0 || (v->dirty != 0 && asked < ASKED_MAX) ? LAY_FITS_ASK : LAY_FITS_NOT;
    }
    return asked == 0 && cis_size_add(waits(v), more) > share(v) ? LAY_FITS_ASK : LAY_FITS;
}

/* A file without a name takes its space as long as somebody has it: what this view wrote of it,
 * that is, since the rest is history. */
void cis_lay_quota_nameless(struct lay_view *v, struct lay_node *node)
{
    uint64_t takes = 0;
    if (node->gone && S_ISREG(node->now.mode) && cis_lay_refs_sum(v, node->ino, NULL) > 0) {
        uint64_t base = node->is_new ? 0 : node->base.size;
        takes = node->now.size > base ? node->now.size - base : 0;
    }
    v->nameless += takes;
    v->nameless -= node->nameless;
    node->nameless = takes;
}

uint64_t cis_lay_quota_bytes(const struct lay_op *op, uint64_t from, uint64_t to)
{
    const struct lay_view *v = op->v;
    if (v->quota_bytes == 0 || to <= from) {
        return to;
    }
    uint64_t have = used(v->base_bytes, v->bytes);
    have = have > UINT64_MAX - v->nameless ? UINT64_MAX : have + v->nameless;
    uint64_t room = have < v->quota_bytes ? v->quota_bytes - have : 0;
    return to - from <= room ? to : from + room;
}
