/* The filesystem's operations on SQLite, one line each; what they do is said in store/fs.h. Not for
 * other rooms. */
#ifndef CIS_STORE_SQLITE_FS_OPS_H
#define CIS_STORE_SQLITE_FS_OPS_H

#include "store/store.h"

extern const struct cis_store_fs_ops cis_sql_fs_ops;

#define OP(name, ...)                                                                              \
    cis_code cis_sql_##name(cis_store *store, struct cis_str tenant, __VA_ARGS__,                  \
                            const struct cis_stop *stop, struct cis_error *err)

/* ---- fs_tenant.c ---- */
OP(tenant_create, uint32_t root_uid, uint32_t root_gid);
OP(tenant_get, struct cis_tenant *out);
OP(tenant_quota, const struct cis_tenant *in);
cis_code cis_sql_tenant_list(cis_store *store, cis_tenant_each *each, void *self,
                             const struct cis_stop *stop, struct cis_error *err);
cis_code cis_sql_tenant_delete(cis_store *store, struct cis_str tenant, const struct cis_stop *stop,
                               struct cis_error *err);

/* ---- fs_read.c, fs_list.c, fs_extent.c: reads at a view ---- */
OP(walk, const struct cis_fs_walk_query *query, cis_fs_step_each *each, void *self);
OP(inodes, const struct cis_fs_inode_query *query, cis_fs_inode_each *each, void *self);
OP(list, const struct cis_fs_list_query *query, cis_fs_dirent_each *each, void *self);
OP(extents, const struct cis_fs_extent_query *query, cis_fs_extent_each *each, void *self);

/* ---- chunk.c, chunk_read.c, chunk_gc.c ---- */
OP(chunk_read, struct cis_fs_read *reads, size_t n);
OP(chunk_put, const struct cis_fs_put_request *request, uint64_t *out_ids);
OP(chunk_touch, const uint64_t *ids, size_t n, bool *out_lost);
OP(chunk_list, const struct cis_fs_chunk_query *query, cis_fs_chunk_each *each, void *self);
OP(chunk_remove, const struct cis_fs_remove_request *request, uint64_t *out_removed);

/* ---- fs_commit.c ---- */
OP(reserve_inodes, uint32_t n, uint64_t *out_first);
OP(commits, const struct cis_fs_log_query *query, cis_fs_commit_each *each, void *self);
OP(commit_of_run, const char *run, cis_fs_commit_each *each, void *self);

/* ---- fs_ref.c ---- */
OP(ref_get, struct cis_str name, struct cis_fs_ref *out);
OP(ref_list, cis_fs_ref_each *each, void *self);
OP(branches, cis_fs_ref_each *each, void *self);
OP(fork, struct cis_view from, const struct cis_str *names, size_t n);
OP(ref_move, const struct cis_fs_move_request *request, struct cis_view *out_head);
OP(ref_switch, struct cis_str name);
OP(ref_remove, struct cis_str name, struct cis_str why);
OP(ref_expire, struct cis_str name, struct cis_view head);
OP(view_check, struct cis_view view, struct cis_view *out_owner);
OP(lease, const struct cis_fs_lease_request *request, uint64_t *out_fence);

/* ---- fs_reflog.c ---- */
OP(reflog, struct cis_str ref, cis_fs_reflog_each *each, void *self);
OP(reflog_trim, int64_t before_ms);

/* ---- fs_snapshot.c ---- */
OP(snapshot_put, const struct cis_fs_snapshot *snapshot);
OP(snapshots, struct cis_str name, cis_fs_snapshot_each *each, void *self);
OP(snapshot_remove, struct cis_str name);
OP(pin, const struct cis_fs_pin_request *request, uint64_t *out_id);
cis_code cis_sql_pins(cis_store *store, struct cis_str tenant, cis_fs_pin_each *each, void *self,
                      const struct cis_stop *stop, struct cis_error *err);

/* ---- fs_publish.c ---- */
OP(publish_put, struct cis_str ref, const struct cis_str *to, size_t n);
OP(publish_remove, struct cis_str ref, const struct cis_str *to, size_t n);
OP(published_by, cis_fs_publish_each *each, void *self);
OP(published_to, cis_fs_publish_each *each, void *self);
OP(publish_check, const struct cis_fs_publish_query *query, struct cis_fs_ref *out,
   uint64_t *out_pin);

/* ---- fs_scan.c, fs_remove.c, fs_check.c: maintenance ---- */
OP(scan, const struct cis_fs_scan_query *query, cis_fs_row_each *each, void *self);
OP(holds, cis_fs_hold_each *each, void *self);
OP(squash, const struct cis_fs_squash_request *request);
OP(keys_drop, uint64_t branch, uint64_t upto);
OP(branch_remove, uint64_t branch);
OP(check, struct cis_buf *out_faults);
cis_code cis_sql_clock(cis_store *store, int64_t *out_ms, int64_t *out_stamp_ms,
                       const struct cis_stop *stop, struct cis_error *err);
#undef OP

#endif
