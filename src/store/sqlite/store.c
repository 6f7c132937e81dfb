/* The store object: open, close, and the table of operations. */
#include "base/mem.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/internal.h"

static void tenant_free(void *tenant) CIS_REQUIRES(sql_lock_store)
{
    struct sql_tenant *t = tenant;
    cis_sql_pins_let(t);
    pthread_cond_destroy(&t->moved);
    cis_free(t);
}

static void store_close(cis_store *store)
{
    struct sql_store *s = (struct sql_store *)store;
    if (s == NULL) {
        return;
    }
    cis_sql_keeper_stop(s);
    cis_map_foreach (&s->tenants, e) {
        struct sql_conn *conn;
        while ((conn = cis_sql_reader_steal(e->value)) != NULL) {
            cis_sql_conn_close(conn);
        }
    }
    cis_lock_alone(sql_lock_store);
    while (s->idle != NULL) {
        struct sql_conn *conn = s->idle;
        s->idle = conn->next;
        cis_sql_conn_close(conn);
    }
    cis_map_done(&s->tenants, tenant_free);
    pthread_cond_destroy(&s->freed);
    pthread_cond_destroy(&s->keeper_wake);
    pthread_mutex_destroy(&s->lock);
    cis_free(s->dir);
    cis_free(s);
}

static cis_code store_describe(cis_store *store, struct cis_buf *out, struct cis_error *err)
{
    const struct sql_store *s = (const struct sql_store *)store;
    cis_buf_printf(out, "sqlite %s, %s, journal wal, schema %d", sqlite3_libversion(), s->dir,
                   cis_sql_tenant_schema.version);
    return cis_buf_check(out, "store description", err);
}

static const struct cis_store_ops ops = {
    .size = sizeof(struct cis_store_ops),
    .close = store_close,
    .kv_get = cis_sql_kv_get,
    .kv_list = cis_sql_kv_list,
    .kv_search = cis_sql_kv_search,
    .kv_namespaces = cis_sql_kv_namespaces,
    .kv_usage = cis_sql_kv_usage,
    .commit = cis_sql_commit,
    .run_get = cis_sql_run_get,
    .run_list = cis_sql_run_list,
    .run_report = cis_sql_run_report,
    .config_list = cis_sql_config_list,
    .config_apply = cis_sql_config_apply,
    .skill_change = cis_sql_skill_change,
    .skill_get = cis_sql_skill_get,
    .skill_list = cis_sql_skill_list,
    .dump = cis_sql_dump,
    .describe = store_describe,
};

cis_code cis_store_sqlite_open(const char *dir, cis_store **out_store, struct cis_error *err)
{
    struct sql_store *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "store: out of memory");
    }
    cis_code code = cis_sql_dir_prepare(dir, &s->dir, err);
    if (code != CIS_OK) {
        cis_free(s);
        return code;
    }
    cis_sql_lease_begin(s);
    s->base.ops = &ops;
    s->base.fs = &cis_sql_fs_ops;
    s->base.folder = s->dir;
    s->reader_cache = SQL_READER_CACHE;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->freed, &attr);
    pthread_cond_init(&s->keeper_wake, &attr);
    pthread_condattr_destroy(&attr);
    *out_store = &s->base;
    return CIS_OK;
}

void cis_store_sqlite_pages(cis_store *store, uint64_t bytes)
{
    struct sql_store *s = (struct sql_store *)store;
    uint64_t kib = bytes >> 10;
    cis_mutex_lock(&s->lock, sql_lock_store);
    s->reader_cache = bytes == 0            ? SQL_READER_CACHE
                      : kib > SQL_PAGES_MAX ? SQL_PAGES_MAX
                      : kib < 1             ? 1
                                            : (unsigned)kib;
    cis_mutex_unlock(&s->lock, sql_lock_store);
}
