/* A file's extents at a view. */
#include <inttypes.h>
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/read.h"

struct extents {
    const struct sql_reader *reader;
    uint64_t ino;
    cis_fs_extent_each *each;
    void *self;
};

static cis_code extent(void *self, const struct sql_version *v, bool *out_more,
                       struct cis_error *err)
{
    const struct extents *x = self;
    uint64_t block = 0;
    for (size_t i = 0; i < v->nkey; i++) {
        block = block << 8 | v->key[i];
    }
    if (v->value < 0) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "%s: block %" PRIu64 " of inode %" PRIu64 ": impossible values",
                        x->reader->conn->path, block, x->ino);
    }
    struct cis_fs_extent e = {block, (uint64_t)v->value, v->epoch};
    *out_more = x->each(x->self, &e);
    return CIS_OK;
}

cis_code cis_sql_extents(cis_store *store, struct cis_str tenant,
                         const struct cis_fs_extent_query *query, cis_fs_extent_each *each,
                         void *self, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
    CIS_TRY(cis_sql_reader_take((struct sql_store *)store, tenant, query->at, stop, &r, err));
    struct extents x = {&r, query->ino, each, self};
    struct sql_range range = {.table = SQL_VERSIONS_EXTENT,
                              .id = query->ino,
                              .first = cis_sql_i64(query->first),
                              .end = cis_sql_i64(query->count > UINT64_MAX - query->first
                                                     ? UINT64_MAX
                                                     : query->first + query->count)};
    return cis_sql_versions(&r, &range, extent, &x, err);
}
