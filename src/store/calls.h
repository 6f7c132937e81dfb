/* Calls of a store, for everybody above it: what a backend does is said in store.h (keys, runs,
 * skills) and fs.h (files). Backends fill the tables; nobody else looks into them. */
#ifndef CIS_STORE_CALLS_H
#define CIS_STORE_CALLS_H

#include "store/fs.h"
#include "store/store.h"

/* NULL is fine. Nothing uses it any more. */
static inline void cis_store_close(cis_store *store)
{
    if (store != NULL) {
        store->ops->close(store);
    }
}

static inline cis_code cis_store_kv_get(cis_store *store, struct cis_str tenant,
                                        const struct cis_kv_get_query *query, bool *out_found,
                                        const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->kv_get(store, tenant, query, out_found, stop, err);
}

static inline cis_code cis_store_kv_list(cis_store *store, struct cis_str tenant,
                                         const struct cis_kv_query *query, cis_kv_each *each,
                                         void *self, const struct cis_stop *stop,
                                         struct cis_error *err)
{
    return store->ops->kv_list(store, tenant, query, each, self, stop, err);
}

static inline cis_code cis_store_kv_search(cis_store *store, struct cis_str tenant,
                                           const struct cis_kv_search_query *search,
                                           cis_kv_each *each, void *self,
                                           const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->kv_search(store, tenant, search, each, self, stop, err);
}

static inline cis_code cis_store_kv_namespaces(cis_store *store, struct cis_str tenant,
                                               struct cis_view at, cis_kv_each *each, void *self,
                                               const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->kv_namespaces(store, tenant, at, each, self, stop, err);
}

static inline cis_code cis_store_kv_usage(cis_store *store, struct cis_str tenant,
                                          struct cis_view at, uint64_t *out_bytes,
                                          uint64_t *out_keys, const struct cis_stop *stop,
                                          struct cis_error *err)
{
    return store->ops->kv_usage(store, tenant, at, out_bytes, out_keys, stop, err);
}

static inline cis_code cis_store_commit(cis_store *store, struct cis_str tenant,
                                        const struct cis_store_commit *commit,
                                        const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->commit(store, tenant, commit, stop, err);
}

static inline cis_code cis_store_run_get(cis_store *store, struct cis_str tenant, struct cis_str id,
                                         cis_run_each *each, void *self,
                                         const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->run_get(store, tenant, id, each, self, stop, err);
}

static inline cis_code cis_store_run_list(cis_store *store, struct cis_str tenant,
                                          const struct cis_run_query *query, cis_run_each *each,
                                          void *self, const struct cis_stop *stop,
                                          struct cis_error *err)
{
    return store->ops->run_list(store, tenant, query, each, self, stop, err);
}

static inline cis_code cis_store_run_report(cis_store *store, struct cis_str tenant,
                                            struct cis_str id, struct cis_str was,
                                            struct cis_str now, const struct cis_stop *stop,
                                            struct cis_error *err)
{
    return store->ops->run_report(store, tenant, id, was, now, stop, err);
}

static inline cis_code cis_store_config_list(cis_store *store, struct cis_str tenant,
                                             struct cis_str skill, cis_kv_each *each, void *self,
                                             const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->config_list(store, tenant, skill, each, self, stop, err);
}

static inline cis_code cis_store_config_apply(cis_store *store, struct cis_str tenant,
                                              const struct cis_kv_op *ops, size_t nops,
                                              const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->config_apply(store, tenant, ops, nops, stop, err);
}

static inline cis_code cis_store_skill_change(cis_store *store, struct cis_str tenant,
                                              const struct cis_skill_change *change,
                                              const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->skill_change(store, tenant, change, stop, err);
}

static inline cis_code cis_store_skill_get(cis_store *store, struct cis_str tenant,
                                           struct cis_str name, cis_skill_each *each, void *self,
                                           const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->skill_get(store, tenant, name, each, self, stop, err);
}

static inline cis_code cis_store_skill_list(cis_store *store, struct cis_str tenant,
                                            cis_skill_each *each, void *self,
                                            const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->skill_list(store, tenant, each, self, stop, err);
}

static inline cis_code cis_store_dump(cis_store *store, const struct cis_backup_sink *sink,
                                      const struct cis_stop *stop, struct cis_error *err)
{
    return store->ops->dump(store, sink, stop, err);
}

static inline cis_code cis_store_describe(cis_store *store, struct cis_buf *out,
                                          struct cis_error *err)
{
    return store->ops->describe(store, out, err);
}

static inline cis_code cis_store_tenant_create(cis_store *store, struct cis_str name,
                                               uint32_t root_uid, uint32_t root_gid,
                                               const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->tenant_create(store, name, root_uid, root_gid, stop, err);
}

static inline cis_code cis_store_tenant_get(cis_store *store, struct cis_str name,
                                            struct cis_tenant *out, const struct cis_stop *stop,
                                            struct cis_error *err)
{
    return store->fs->tenant_get(store, name, out, stop, err);
}

static inline cis_code cis_store_tenant_list(cis_store *store, cis_tenant_each *each, void *self,
                                             const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->tenant_list(store, each, self, stop, err);
}

static inline cis_code cis_store_tenant_quota(cis_store *store, struct cis_str name,
                                              const struct cis_tenant *in,
                                              const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->tenant_quota(store, name, in, stop, err);
}

static inline cis_code cis_store_tenant_delete(cis_store *store, struct cis_str name,
                                               const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->tenant_delete(store, name, stop, err);
}

static inline cis_code cis_store_walk(cis_store *store, struct cis_str tenant,
                                      const struct cis_fs_walk_query *query, cis_fs_step_each *each,
                                      void *self, const struct cis_stop *stop,
                                      struct cis_error *err)
{
    return store->fs->walk(store, tenant, query, each, self, stop, err);
}

static inline cis_code cis_store_inodes(cis_store *store, struct cis_str tenant,
                                        const struct cis_fs_inode_query *query,
                                        cis_fs_inode_each *each, void *self,
                                        const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->inodes(store, tenant, query, each, self, stop, err);
}

static inline cis_code cis_store_list(cis_store *store, struct cis_str tenant,
                                      const struct cis_fs_list_query *query,
                                      cis_fs_dirent_each *each, void *self,
                                      const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->list(store, tenant, query, each, self, stop, err);
}

static inline cis_code cis_store_extents(cis_store *store, struct cis_str tenant,
                                         const struct cis_fs_extent_query *query,
                                         cis_fs_extent_each *each, void *self,
                                         const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->extents(store, tenant, query, each, self, stop, err);
}

static inline cis_code cis_store_chunk_read(cis_store *store, struct cis_str tenant,
                                            struct cis_fs_read *reads, size_t n,
                                            const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->chunk_read(store, tenant, reads, n, stop, err);
}

static inline cis_code cis_store_reserve_inodes(cis_store *store, struct cis_str tenant, uint32_t n,
                                                uint64_t *out_first, const struct cis_stop *stop,
                                                struct cis_error *err)
{
    return store->fs->reserve_inodes(store, tenant, n, out_first, stop, err);
}

static inline cis_code cis_store_chunk_put(cis_store *store, struct cis_str tenant,
                                           const struct cis_fs_put_request *request,
                                           uint64_t *out_ids, const struct cis_stop *stop,
                                           struct cis_error *err)
{
    return store->fs->chunk_put(store, tenant, request, out_ids, stop, err);
}

static inline cis_code cis_store_chunk_touch(cis_store *store, struct cis_str tenant,
                                             const uint64_t *ids, size_t n, bool *out_lost,
                                             const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->chunk_touch(store, tenant, ids, n, out_lost, stop, err);
}

static inline cis_code cis_store_ref_get(cis_store *store, struct cis_str tenant,
                                         struct cis_str name, struct cis_fs_ref *out,
                                         const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->ref_get(store, tenant, name, out, stop, err);
}

static inline cis_code cis_store_ref_list(cis_store *store, struct cis_str tenant,
                                          cis_fs_ref_each *each, void *self,
                                          const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->ref_list(store, tenant, each, self, stop, err);
}

static inline cis_code cis_store_fork(cis_store *store, struct cis_str tenant, struct cis_view from,
                                      const struct cis_str *names, size_t n,
                                      const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->fork(store, tenant, from, names, n, stop, err);
}

static inline cis_code cis_store_ref_move(cis_store *store, struct cis_str tenant,
                                          const struct cis_fs_move_request *request,
                                          struct cis_view *out_head, const struct cis_stop *stop,
                                          struct cis_error *err)
{
    return store->fs->ref_move(store, tenant, request, out_head, stop, err);
}

static inline cis_code cis_store_ref_switch(cis_store *store, struct cis_str tenant,
                                            struct cis_str name, const struct cis_stop *stop,
                                            struct cis_error *err)
{
    return store->fs->ref_switch(store, tenant, name, stop, err);
}

static inline cis_code cis_store_ref_remove(cis_store *store, struct cis_str tenant,
                                            struct cis_str name, struct cis_str why,
                                            const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->ref_remove(store, tenant, name, why, stop, err);
}

static inline cis_code cis_store_ref_expire(cis_store *store, struct cis_str tenant,
                                            struct cis_str name, struct cis_view head,
                                            const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->ref_expire(store, tenant, name, head, stop, err);
}

static inline cis_code cis_store_reflog(cis_store *store, struct cis_str tenant, struct cis_str ref,
                                        cis_fs_reflog_each *each, void *self,
                                        const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->reflog(store, tenant, ref, each, self, stop, err);
}

static inline cis_code cis_store_reflog_trim(cis_store *store, struct cis_str tenant,
                                             int64_t before_ms, const struct cis_stop *stop,
                                             struct cis_error *err)
{
    return store->fs->reflog_trim(store, tenant, before_ms, stop, err);
}

static inline cis_code cis_store_view_check(cis_store *store, struct cis_str tenant,
                                            struct cis_view view, struct cis_view *out_owner,
                                            const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->view_check(store, tenant, view, out_owner, stop, err);
}

static inline cis_code cis_store_lease(cis_store *store, struct cis_str tenant,
                                       const struct cis_fs_lease_request *request,
                                       uint64_t *out_fence, const struct cis_stop *stop,
                                       struct cis_error *err)
{
    return store->fs->lease(store, tenant, request, out_fence, stop, err);
}

static inline cis_code cis_store_commits(cis_store *store, struct cis_str tenant,
                                         const struct cis_fs_log_query *query,
                                         cis_fs_commit_each *each, void *self,
                                         const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->commits(store, tenant, query, each, self, stop, err);
}

static inline cis_code cis_store_commit_of_run(cis_store *store, struct cis_str tenant,
                                               const char *run, cis_fs_commit_each *each,
                                               void *self, const struct cis_stop *stop,
                                               struct cis_error *err)
{
    return store->fs->commit_of_run(store, tenant, run, each, self, stop, err);
}

static inline cis_code cis_store_snapshot_put(cis_store *store, struct cis_str tenant,
                                              const struct cis_fs_snapshot *snapshot,
                                              const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->snapshot_put(store, tenant, snapshot, stop, err);
}

static inline cis_code cis_store_snapshots(cis_store *store, struct cis_str tenant,
                                           struct cis_str name, cis_fs_snapshot_each *each,
                                           void *self, const struct cis_stop *stop,
                                           struct cis_error *err)
{
    return store->fs->snapshots(store, tenant, name, each, self, stop, err);
}

static inline cis_code cis_store_snapshot_remove(cis_store *store, struct cis_str tenant,
                                                 struct cis_str name, const struct cis_stop *stop,
                                                 struct cis_error *err)
{
    return store->fs->snapshot_remove(store, tenant, name, stop, err);
}

static inline cis_code cis_store_pin(cis_store *store, struct cis_str tenant,
                                     const struct cis_fs_pin_request *request, uint64_t *out_id,
                                     const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->pin(store, tenant, request, out_id, stop, err);
}

static inline cis_code cis_store_pins(cis_store *store, struct cis_str tenant,
                                      cis_fs_pin_each *each, void *self,
                                      const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->pins(store, tenant, each, self, stop, err);
}

static inline cis_code cis_store_publish_put(cis_store *store, struct cis_str tenant,
                                             struct cis_str ref, const struct cis_str *to, size_t n,
                                             const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->publish_put(store, tenant, ref, to, n, stop, err);
}

static inline cis_code cis_store_publish_remove(cis_store *store, struct cis_str tenant,
                                                struct cis_str ref, const struct cis_str *to,
                                                size_t n, const struct cis_stop *stop,
                                                struct cis_error *err)
{
    return store->fs->publish_remove(store, tenant, ref, to, n, stop, err);
}

static inline cis_code cis_store_published_by(cis_store *store, struct cis_str tenant,
                                              cis_fs_publish_each *each, void *self,
                                              const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->published_by(store, tenant, each, self, stop, err);
}

static inline cis_code cis_store_published_to(cis_store *store, struct cis_str tenant,
                                              cis_fs_publish_each *each, void *self,
                                              const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->published_to(store, tenant, each, self, stop, err);
}

static inline cis_code cis_store_publish_check(cis_store *store, struct cis_str tenant,
                                               const struct cis_fs_publish_query *query,
                                               struct cis_fs_ref *out, uint64_t *out_pin,
                                               const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->publish_check(store, tenant, query, out, out_pin, stop, err);
}

static inline cis_code cis_store_scan(cis_store *store, struct cis_str tenant,
                                      const struct cis_fs_scan_query *query, cis_fs_row_each *each,
                                      void *self, const struct cis_stop *stop,
                                      struct cis_error *err)
{
    return store->fs->scan(store, tenant, query, each, self, stop, err);
}

static inline cis_code cis_store_holds(cis_store *store, struct cis_str tenant,
                                       cis_fs_hold_each *each, void *self,
                                       const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->holds(store, tenant, each, self, stop, err);
}

static inline cis_code cis_store_squash(cis_store *store, struct cis_str tenant,
                                        const struct cis_fs_squash_request *request,
                                        const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->squash(store, tenant, request, stop, err);
}

static inline cis_code cis_store_keys_drop(cis_store *store, struct cis_str tenant, uint64_t branch,
                                           uint64_t upto, const struct cis_stop *stop,
                                           struct cis_error *err)
{
    return store->fs->keys_drop(store, tenant, branch, upto, stop, err);
}

static inline cis_code cis_store_branch_remove(cis_store *store, struct cis_str tenant,
                                               uint64_t branch, const struct cis_stop *stop,
                                               struct cis_error *err)
{
    return store->fs->branch_remove(store, tenant, branch, stop, err);
}

static inline cis_code cis_store_branches(cis_store *store, struct cis_str tenant,
                                          cis_fs_ref_each *each, void *self,
                                          const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->branches(store, tenant, each, self, stop, err);
}

static inline cis_code cis_store_chunk_list(cis_store *store, struct cis_str tenant,
                                            const struct cis_fs_chunk_query *query,
                                            cis_fs_chunk_each *each, void *self,
                                            const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->chunk_list(store, tenant, query, each, self, stop, err);
}

static inline cis_code cis_store_chunk_remove(cis_store *store, struct cis_str tenant,
                                              const struct cis_fs_remove_request *request,
                                              uint64_t *out_removed, const struct cis_stop *stop,
                                              struct cis_error *err)
{
    return store->fs->chunk_remove(store, tenant, request, out_removed, stop, err);
}

static inline cis_code cis_store_clock(cis_store *store, int64_t *out_ms, int64_t *out_stamp_ms,
                                       const struct cis_stop *stop, struct cis_error *err)
{
    return store->fs->clock(store, out_ms, out_stamp_ms, stop, err);
}

static inline cis_code cis_store_check(cis_store *store, struct cis_str tenant,
                                       struct cis_buf *out_faults, const struct cis_stop *stop,
                                       struct cis_error *err)
{
    return store->fs->check(store, tenant, out_faults, stop, err);
}

#endif
