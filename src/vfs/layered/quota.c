/* Quotas while writing: what the branch's head has plus what this view adds. The commit judges
 * again, exactly; here a guest learns early, and a mount never acknowledges what its commit would
 * refuse. */
#include "vfs/layered/view.h"
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
    return 0;
}

uint64_t cis_lay_quota_bytes(const struct lay_op *op, uint64_t from, uint64_t to)
{
    const struct lay_view *v = op->v;
    if (v->quota_bytes == 0 || to <= from) {
        return to;
    }
    uint64_t have = used(v->base_bytes, v->bytes);
    uint64_t room = have < v->quota_bytes ? v->quota_bytes - have : 0;
    return to - from <= room ? to : from + room;
}
