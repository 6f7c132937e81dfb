/* The store object: open, close, the tables of operations, and URLs. */
#include <stdio.h>
#include "base/mem.h"
#include "base/url.h"
#include "store/postgres/internal.h"

bool cis_store_postgres_is_url(struct cis_str text)
{
    return cis_str_starts(text, CIS_STR("postgres://")) ||
           cis_str_starts(text, CIS_STR("postgresql://"));
}

static void tenant_free(void *tenant)
{
    cis_free(tenant);
}

static void store_close(cis_store *store)
{
    struct pg_store *s = (struct pg_store *)store;
    if (s == NULL) {
        return;
    }
    cis_lock_alone(pg_lock_store);
    while (s->idle != NULL) {
        struct pg_conn *conn = s->idle;
        s->idle = conn->next;
        cis_pg_conn_close(conn);
    }
    cis_pg_witness_close(s);
    cis_map_done(&s->tenants, tenant_free);
    pthread_cond_destroy(&s->freed);
    pthread_mutex_destroy(&s->lock);
    cis_free(s->place);
    cis_free(s->url);
    cis_free(s);
}

static cis_code store_describe(cis_store *store, struct cis_buf *out, struct cis_error *err)
{
    struct pg_store *s = (struct pg_store *)store;
    CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
    CIS_TRY(cis_pg_take_free(s, NULL, &conn, err));
    int version = PQserverVersion(conn->pg);
    cis_buf_printf(out, "postgres %d.%d, %s, schema %d, at most %u connections", version / 10000,
                   version % 10000, s->place, cis_pg_schema_version(), s->max);
    return cis_buf_check(out, "store description", err);
}

static const struct cis_store_ops ops = {
    .size = sizeof(struct cis_store_ops),
    .remote = true,
    .close = store_close,
    .kv_get = cis_pg_kv_get,
    .kv_list = cis_pg_kv_list,
    .kv_search = cis_pg_kv_search,
    .kv_namespaces = cis_pg_kv_namespaces,
    .kv_usage = cis_pg_kv_usage,
    .commit = cis_pg_commit,
    .run_get = cis_pg_run_get,
    .run_list = cis_pg_run_list,
    .run_report = cis_pg_run_report,
    .config_list = cis_pg_config_list,
    .config_apply = cis_pg_config_apply,
    .skill_change = cis_pg_skill_change,
    .skill_get = cis_pg_skill_get,
    .skill_list = cis_pg_skill_list,
    .dump = cis_pg_dump,
    .describe = store_describe,
};

static const struct cis_store_fs_ops fs_ops = {
    .size = sizeof(struct cis_store_fs_ops),
    .tenant_create = cis_pg_tenant_create,
    .tenant_get = cis_pg_tenant_get,
    .tenant_list = cis_pg_tenant_list,
    .tenant_quota = cis_pg_tenant_quota,
    .tenant_delete = cis_pg_tenant_delete,
    .walk = cis_pg_walk,
    .inodes = cis_pg_inodes,
    .list = cis_pg_list,
    .extents = cis_pg_extents,
    .chunk_read = cis_pg_chunk_read,
    .reserve_inodes = cis_pg_reserve_inodes,
    .chunk_put = cis_pg_chunk_put,
    .chunk_touch = cis_pg_chunk_touch,
    .ref_get = cis_pg_ref_get,
    .ref_list = cis_pg_ref_list,
    .fork = cis_pg_fork,
    .ref_move = cis_pg_ref_move,
    .ref_switch = cis_pg_ref_switch,
    .ref_remove = cis_pg_ref_remove,
    .ref_expire = cis_pg_ref_expire,
    .reflog = cis_pg_reflog,
    .reflog_trim = cis_pg_reflog_trim,
    .view_check = cis_pg_view_check,
    .lease = cis_pg_lease,
    .commits = cis_pg_commits,
    .commit_of_run = cis_pg_commit_of_run,
    .snapshot_put = cis_pg_snapshot_put,
    .snapshots = cis_pg_snapshots,
    .snapshot_remove = cis_pg_snapshot_remove,
    .pin = cis_pg_pin,
    .pins = cis_pg_pins,
    .publish_put = cis_pg_publish_put,
    .publish_remove = cis_pg_publish_remove,
    .published_by = cis_pg_published_by,
    .published_to = cis_pg_published_to,
    .publish_check = cis_pg_publish_check,
    .scan = cis_pg_scan,
    .holds = cis_pg_holds,
    .squash = cis_pg_squash,
    .keys_drop = cis_pg_keys_drop,
    .branch_remove = cis_pg_branch_remove,
    .branches = cis_pg_branches,
    .chunk_list = cis_pg_chunk_list,
    .chunk_remove = cis_pg_chunk_remove,
    .clock = cis_pg_clock,
    .check = cis_pg_check,
};

static cis_code version_ask(struct pg_store *s, const struct cis_stop *stop, int *out_version,
                            bool *out_lost, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_take_free(s, stop, &conn, err));
    cis_code code = cis_pg_ask(conn, PG_ADMIN_VERSION, NULL, &res, err);
    *out_lost = conn->lost;
    bool absent = code == CIS_OK && PQntuples(res) == 0;
    if (absent || (code != CIS_OK && (strcmp(conn->sqlstate, "42P01") == 0 ||
                                      strcmp(conn->sqlstate, "42501") == 0))) {
        return cis_fail(err, CIS_E_STORE,
                        "%s: no store of cis in this database (make it with: cis store init)",
                        s->place);
    }
    CIS_TRY(code);
    *out_version = (int)cis_pg_int(res, 0, 0);
    return CIS_OK;
}

static cis_code version_check(struct pg_store *s, const struct cis_stop *stop,
                              struct cis_error *err)
{
    int is = 0, ours = cis_pg_schema_version();
    cis_code code = CIS_OK;
    bool lost = true;
    for (int i = 0; lost && i < PG_RETRIES; i++) { /* the server restarts just now */
        lost = false;
        code = version_ask(s, stop, &is, &lost, err);
    }
    CIS_TRY(code);
    if (is != ours) {
        return cis_fail(err, CIS_E_STORE, "%s: schema version %d, this program needs %d: %s",
                        s->place, is, ours,
                        is > ours ? "use a newer cis" : "bring it forward with: cis store migrate");
    }
    return CIS_OK;
}

static cis_code fill(struct pg_store *s, const char *url,
                     const struct cis_store_postgres_options *options, struct cis_error *err)
{
    static const struct cis_store_postgres_options defaults = CIS_STORE_POSTGRES_OPTIONS_INIT;
    const struct cis_store_postgres_options *o = options != NULL ? options : &defaults;
    if (o->size != sizeof *o || o->connections > 256) {
        return cis_fail(err, CIS_E_USAGE, "postgres store: wrong options");
    }
    s->max = o->connections != 0 ? o->connections : 16;
    s->connect_ms = o->connect_ms != 0 ? o->connect_ms : 10000;
    s->commit_ms = o->commit_ms != 0 ? o->commit_ms : 60000;
    if (!cis_store_postgres_is_url(cis_str_of(url))) {
        return cis_fail(err, CIS_E_USAGE, "postgres store: expected a postgres:// URL");
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf place = CIS_BUF_INIT(4096);
    cis_url_redact(cis_str_of(url), &place);
    CIS_TRY(cis_buf_check(&place, "postgres store: URL", err));
    s->place = (char *)cis_buf_take(&place, NULL);
    s->url = cis_strdup(url);
    return s->url != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "store: out of memory");
}

cis_code cis_store_postgres_open(const char *url, const struct cis_store_postgres_options *options,
                                 cis_store **out_store, const struct cis_stop *stop,
                                 struct cis_error *err)
{
    struct pg_store *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "store: out of memory");
    }
    s->base.ops = &ops;
    s->base.fs = &fs_ops;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->freed, &attr);
    pthread_condattr_destroy(&attr);
    cis_code code = fill(s, url, options, err);
    if (code == CIS_OK) {
        code = version_check(s, stop, err);
    }
    if (code != CIS_OK) {
        store_close(&s->base);
        return code;
    }
    *out_store = &s->base;
    return CIS_OK;
}
