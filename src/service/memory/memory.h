/* Memory of one run: an overlay of the run's own writes and of what it has read, over a memory
 * service. Reads repeat; over the store's service they all see one state, that of the first read,
 * whatever this or other processes commit meanwhile. Writes are seen by the run at once and by
 * nobody else before the commit.
 * One thread (the run's). Everything held is charged to the run's budget. */
#ifndef CIS_SERVICE_MEMORY_MEMORY_H
#define CIS_SERVICE_MEMORY_MEMORY_H

#include "base/budget.h"
#include "base/map.h"
#include "cis/service.h"
#include "store/store.h"

typedef struct cis_memory_view cis_memory_view;

/* service NULL: every call is CIS_E_PROVIDER "no memory service". call outlives the view. */
cis_code cis_memory_view_new(const struct cis_memory_service *service, const struct cis_call *call,
                             struct cis_budget *budget, cis_memory_view **out_view,
                             struct cis_error *err);
void cis_memory_view_free(cis_memory_view *view);
/* Around each call of a service that is not the store's: it is not our code, and may wait, or run
 * other guests. Copied; what end answers ends the call. */
struct cis_memory_pause {
    void *self;
    void (*begin)(void *self);
    cis_code (*end)(void *self, struct cis_error *err);
    /* Fuel for bytes that a search looked at; NULL: for nothing. */
    cis_code (*burn)(void *self, uint64_t units, struct cis_error *err);
};
void cis_memory_view_pause(cis_memory_view *view, struct cis_memory_pause pause);
/* Forgets what was read and written, as if the view were new. NULL is allowed. */
void cis_memory_view_forget(cis_memory_view *view);
/* *out borrowed until the next call that changes this key; found false: absent. A key "@SKILL/KEY"
 * that is absent in the own namespace reads the public entry KEY of SKILL (the store's service does
 * this). CIS_E_INVALID: as set. CIS_E_BUDGET: what was read no longer fits the run's budget. */
cis_code cis_memory_view_get(cis_memory_view *view, struct cis_str key, struct cis_bytes *out_value,
                             bool *out_found, struct cis_error *err);
/* CIS_E_INVALID: key empty or > 1024 bytes, value > 10 MiB. */
cis_code cis_memory_view_set(cis_memory_view *view, struct cis_str key, struct cis_bytes value,
                             struct cis_error *err);
cis_code cis_memory_view_delete(cis_memory_view *view, struct cis_str key, struct cis_error *err);
/* JSON [{"key","value","domain","category"}]: the service's hits merged with the run's own writes.
 */
cis_code cis_memory_view_search(cis_memory_view *view, struct cis_str query, uint32_t limit,
                                struct cis_buf *out_json, struct cis_error *err);
/* The run's net changes in order of first write; borrowed. NULL when there are none. */
cis_code cis_memory_view_ops(cis_memory_view *view, const struct cis_memory_op **out_ops,
                             size_t *out_n, struct cis_error *err);

/* The memory service over a store. Borrows the store. commit() applies the ops alone; a run on this
 * service commits through cis_store_commit instead, together with its record. */
struct cis_store_memory {
    struct cis_memory_service service;
    cis_store *store;
    uint64_t quota_bytes, quota_keys;
    struct cis_view at; /* what reads see; CIS_VIEW_HEAD: what is there at each read */
    bool empty;         /* there is nothing to read: no such tenant when it was looked at */
};
void cis_store_memory_init(struct cis_store_memory *memory, cis_store *store, uint64_t quota_bytes,
                           uint64_t quota_keys);
/* A copy of a memory whose reads all see what is there now. */
cis_code cis_store_memory_now(const struct cis_store_memory *memory, const struct cis_call *call,
                              struct cis_store_memory *out, struct cis_error *err);
/* The store behind a service made by cis_store_memory_init, NULL for an embedder's own. */
struct cis_store_memory *cis_store_memory_of(const struct cis_memory_service *service);

/* Export and import of namespaces as JSON lines:
 * {"schema":1,"ns","key","value","public","category", "updated_ms"}; binary values are "base64"
 * instead of "value", binary keys "key_base64". Export is one snapshot (ns ptr NULL: the whole
 * tenant). Import is one transaction under the quota; a damaged line is CIS_E_INVALID "line N: …"
 * and nothing is changed. into_ns ptr NULL: where it came from. */
/* "ns":…,"key":…,"value":…,"public":…,"category":…,"updated_ms":… without braces; an entry listed
 * without its value has "bytes":N instead. */
void cis_memory_entry_json(struct cis_buf *out, const struct cis_kv_entry *entry);
#define CIS_MEMORY_IMPORT_MAX (256u * 1024u * 1024u)
cis_code cis_memory_export(cis_store *store, struct cis_str tenant, struct cis_str ns,
                           struct cis_sink *out, const struct cis_stop *stop,
                           struct cis_error *err);
cis_code cis_memory_import(const struct cis_store_memory *memory, struct cis_str tenant,
                           struct cis_str into_ns, struct cis_str text, uint64_t *out_count,
                           const struct cis_stop *stop, struct cis_error *err);

#endif
