/* The table of the filesystem's operations. */
#include "store/sqlite/fs_ops.h"

/* Operations that are still to come; the list shrinks to nothing. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define MISSING(name, ...)                                                                         \
    cis_code cis_sql_##name(cis_store *store, struct cis_str tenant, __VA_ARGS__,                  \
                            const struct cis_stop *stop, struct cis_error *err)                    \
    {                                                                                              \
        return cis_fail(err, CIS_E_UNSUPPORTED, #name ": not in this build");                      \
    }
#define MISSING_PLAIN(name, ...)                                                                   \
    cis_code cis_sql_##name(cis_store *store, __VA_ARGS__, const struct cis_stop *stop,            \
                            struct cis_error *err)                                                 \
    {                                                                                              \
        return cis_fail(err, CIS_E_UNSUPPORTED, #name ": not in this build");                      \
    }

MISSING(walk, struct cis_view at, uint64_t dir, const struct cis_str *names, size_t n,
        cis_fs_step_each *each, void *self)
MISSING(inodes, struct cis_view at, const uint64_t *inos, size_t n, cis_fs_inode_each *each,
        void *self)
MISSING(list, struct cis_view at, uint64_t dir, struct cis_str after, uint32_t max, bool attributes,
        cis_fs_dirent_each *each, void *self)
MISSING(extents, struct cis_view at, uint64_t ino, uint64_t first, uint64_t count,
        cis_fs_extent_each *each, void *self)

MISSING(chunk_read, struct cis_fs_read *reads, size_t n)
MISSING(chunk_put, const struct cis_fs_chunk *chunks, size_t n, uint64_t *out_ids)
MISSING(chunk_touch, const uint64_t *ids, size_t n, bool *out_lost)
MISSING(chunk_list, uint64_t after, uint32_t limit, cis_fs_chunk_each *each, void *self)
MISSING(chunk_remove, const uint64_t *ids, size_t n, int64_t before_ms, uint64_t *out_removed)

MISSING(scan, enum cis_fs_table table, uint64_t branch, const struct cis_fs_key *after,
        uint32_t limit, cis_fs_row_each *each, void *self)
MISSING(squash, uint64_t branch, uint64_t floor, const struct cis_fs_key *keys, size_t n)
MISSING(branch_remove, uint64_t branch)
MISSING(check, struct cis_buf *out_faults)
MISSING_PLAIN(clock, int64_t *out_ms)

#define ROW(name) .name = cis_sql_##name
const struct cis_store_fs_ops cis_sql_fs_ops = {
    .size = sizeof(struct cis_store_fs_ops),
    ROW(tenant_create),
    ROW(tenant_get),
    ROW(tenant_list),
    ROW(tenant_quota),
    ROW(tenant_delete),
    ROW(walk),
    ROW(inodes),
    ROW(list),
    ROW(extents),
    ROW(chunk_read),
    ROW(reserve_inodes),
    ROW(chunk_put),
    ROW(chunk_touch),
    ROW(ref_get),
    ROW(ref_list),
    ROW(fork),
    ROW(ref_move),
    ROW(ref_switch),
    ROW(ref_remove),
    ROW(view_check),
    ROW(lease),
    ROW(commits),
    ROW(commit_of_run),
    ROW(snapshot_put),
    ROW(snapshots),
    ROW(snapshot_remove),
    ROW(pin),
    ROW(pins),
    ROW(scan),
    ROW(squash),
    ROW(branch_remove),
    ROW(branches),
    ROW(chunk_list),
    ROW(chunk_remove),
    ROW(clock),
    ROW(check),
};
