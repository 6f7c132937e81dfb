/* Quotas while writing: what the branch's head has plus what this view adds. The commit judges
 * again, exactly; here a guest learns early, and a mount never acknowledges what its commit would
 * refuse. */
#include "vfs/layered/view.h"
#include "base/mem.h"
#include "base/wraps.h"

CIS_WRAPS static uint64_t used(uint64_t base, int64_t growth)
{
    return growth < 0 && (uint64_t)-growth > base ? 0 : base + (uint64_t)growth;
}

int cis_lay_quota_file(const struct lay_op *op)
{
    const struct lay_view *v = op->v;
    if (v->quota_files != 0 && used(v->base_files, v->files) >= v->quota_files) {
        return cis_lay_fail(op->call, EDQUOT, "quota of %llu files is used up",
                            (unsigned long long)v->quota_files);
    }
    if (v->quota_stored != 0 && v->stored >= v->quota_stored) {
        return cis_lay_fail(op->call, ENOSPC, "the tenant's cap of %llu stored bytes is used up",
                            (unsigned long long)v->quota_stored);
    }
    return 0;
}

/* What the overlay's rows may count when they are stored (store/cost.h), rather more than less:
 * names of full length, and attributes. Content is counted where it is written. */
enum { ROW_OF_NODE = 512, ROW_OF_NAME = 192 + 3 * CIS_FS_NAME_MAX + 64 };
/* Of the room that a mount has above the quota (cis_stored_share: half of it, and 512 KiB): what
 * may wait for a flush, and how far names and attributes may go when the quota is used up. Three
 * mounts that do so at once fit: none knows what the others have not flushed. */
#define ROWS_WAIT(quota) ((quota) / 8 + (64u << 10))
#define ROWS_ABOVE(quota) ((quota) / 8 + (64u << 10))

int cis_lay_quota_rows(struct lay_view *v, const struct cis_vfs_call *call)
{
    if (!v->auto_commit || v->quota_stored == 0) {
        return 0;
    }
    struct lay_stripe *s = cis_lay_lock_one(v);
    uint64_t quota = v->quota_stored, stored = v->stored, rows = v->targets;
    rows = cis_size_add(rows, cis_size_mul(v->nodes.count, ROW_OF_NODE));
    rows = cis_size_add(rows, cis_size_mul(v->names.count, ROW_OF_NAME));
    pthread_mutex_unlock(&s->lock);
    if (stored > cis_size_add(quota, ROWS_ABOVE(quota))) {
        return cis_lay_fail(call, ENOSPC, "the tenant's cap of %llu stored bytes is used up",
                            (unsigned long long)quota);
    }
    return rows > ROWS_WAIT(quota) ? cis_lay_flush(&v->vfs, call) : 0;
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
