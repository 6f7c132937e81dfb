/* The pool: a bounded number of connections, each bound to one tenant while it is in use. A
 * connection goes to another tenant only after DISCARD ALL, and until the new one is set every
 * statement on rows fails: the policies compare with a setting that is then not there. */
#include <sys/stat.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/postgres/internal.h"

/* Every access is by key: no plan may depend on what the statistics say today. Names are
 * qualified: they are looked up before the search path is set, which DISCARD ALL took back. */
static const char settings[] =
    "SELECT pg_catalog.set_config('search_path', '" PG_SEARCH_PATH "', false), "
    "pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', false), "
    "pg_catalog.set_config('enable_seqscan', 'off', false), "
    "pg_catalog.set_config('enable_bitmapscan', 'off', false), "
    "pg_catalog.set_config('enable_hashjoin', 'off', false), "
    "pg_catalog.set_config('enable_mergejoin', 'off', false), "
    "pg_catalog.set_config('jit', 'off', false), "
    "pg_catalog.set_config('client_min_messages', 'error', false), "
    "pg_catalog.set_config('default_transaction_isolation', 'read committed', false), "
    "pg_catalog.set_config('default_transaction_read_only', 'off', false), "
    "pg_catalog.set_config('synchronous_commit', 'on', false), "
    "pg_catalog.set_config('row_security', 'on', false), "
    "pg_catalog.set_config('lock_timeout', '30000', false), "
    "pg_catalog.set_config('statement_timeout', '0', false), "
    "pg_catalog.set_config('idle_in_transaction_session_timeout', '60000', false)";

struct pg_tenant *cis_pg_tenant_of(struct pg_store *store, struct cis_str name)
{
    struct pg_tenant *t = cis_map_get(&store->tenants, name);
    if (t == NULL) {
        t = cis_zalloc(sizeof *t);
        if (t == NULL || cis_map_set(&store->tenants, name, t, NULL, NULL) != CIS_OK) {
            cis_free(t);
            return NULL;
        }
        memcpy(t->name, name.ptr, name.len);
    }
    return t;
}

void cis_pg_tenant_forget(struct pg_store *store, struct cis_str name, int64_t id)
{
    cis_mutex_lock(&store->lock, pg_lock_store);
    struct pg_tenant *t = cis_map_get(&store->tenants, name);
    if (t != NULL && t->id == id) {
        t->id = 0;
        t->ino_left = 0;
    }
    cis_mutex_unlock(&store->lock, pg_lock_store);
}

cis_code cis_pg_wait(struct pg_store *store, const struct cis_stop *stop, const char *what,
                     struct cis_error *err)
{
    if (stop == NULL || (stop->deadline_ns == CIS_NEVER && stop->cancel == NULL)) {
        pthread_cond_wait(&store->freed, &store->lock);
        return CIS_OK;
    }
    CIS_TRY(cis_stop_check(stop, what, err));
    uint64_t until = stop->deadline_ns;
    if (stop->cancel != NULL) { /* it cannot ring a condition variable */
        uint64_t step = cis_clock_after(cis_clock_mono_ns(), 5 * CIS_NS_PER_MS);
        until = until < step ? until : step;
    }
    struct timespec at = {(time_t)(until / CIS_NS_PER_S), (long)(until % CIS_NS_PER_S)};
    (void)pthread_cond_timedwait(&store->freed, &store->lock, &at);
    return CIS_OK;
}

/* The tenant's own, or with `any` the one that is idle longest. */
static struct pg_conn *unlink_idle(struct pg_store *store, int64_t tenant, bool any)
{
    struct pg_conn **found = NULL;
    for (struct pg_conn **at = &store->idle; *at != NULL; at = &(*at)->next) {
        if (any || (*at)->tenant == tenant || (tenant == 0 && (*at)->tenant < 0)) {
            found = at;
            if (!any) {
                break;
            }
        }
    }
    struct pg_conn *conn = found != NULL ? *found : NULL;
    if (conn != NULL) {
        *found = conn->next;
        conn->next = NULL;
    }
    return conn;
}

static void unreserve(struct pg_store *store)
{
    cis_mutex_lock(&store->lock, pg_lock_store);
    store->open--;
    pthread_cond_broadcast(&store->freed);
    cis_mutex_unlock(&store->lock, pg_lock_store);
}

/* An idle connection, or NULL and room for a new one. */
static cis_code reserve(struct pg_store *store, int64_t tenant, const struct cis_stop *stop,
                        struct pg_conn **out_conn, struct cis_error *err)
{
    cis_code code = CIS_OK;
    struct pg_conn *conn = NULL;
    cis_mutex_lock(&store->lock, pg_lock_store);
    while (code == CIS_OK) {
        conn = unlink_idle(store, tenant, false);
        if (conn == NULL && store->open >= store->max) {
            conn = unlink_idle(store, 0, true);
        }
        if (conn == NULL && store->open < store->max) {
            store->open++;
            break;
        }
        if (conn == NULL) {
            code = cis_pg_wait(store, stop, "waiting for a store connection", err);
        } else if (cis_pg_conn_alive(conn)) {
            break;
        } else { /* the server was restarted meanwhile: drop it and look on */
            store->open--;
            cis_pg_conn_close(conn);
            conn = NULL;
        }
    }
    cis_mutex_unlock(&store->lock, pg_lock_store);
    *out_conn = conn;
    return code;
}

/* Is there a place for this server's socket, if it has one? */
static bool has_place(const char *url)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    bool has = true;
    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
        struct stat st;
        if (strcmp(o->keyword, "host") == 0 && o->val != NULL && o->val[0] == '/') {
            has = stat(o->val, &st) == 0;
        }
    }
    PQconninfoFree(options);
    return has;
}

/* A server that answered what we asked will answer the same again; one that is silent, or says that
 * it takes nobody now, may be restarting. libpq does not tell which it was. One that takes
 * connections now may have come up since: *well, and the answer is the next one. */
static bool may_restart(const char *url, bool *well)
{
    static const char *const keys[] = {"dbname", "connect_timeout", NULL};
    const char *const values[] = {url, "2", NULL};
    PGPing answer = has_place(url) ? PQpingParams(keys, values, 1) : PQPING_NO_ATTEMPT;
    bool first = !*well;
    *well = answer == PQPING_OK;
    return *well ? first : answer == PQPING_REJECT || answer == PQPING_NO_RESPONSE;
}

/* A server that restarts is waited for: also by a command that begins meanwhile. */
static cis_code open_patiently(struct pg_store *store, const struct cis_stop *stop,
                               struct pg_conn **out_conn, struct cis_error *err)
{
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), store->connect_ms * CIS_NS_PER_MS);
    bool well = false;
    for (uint64_t nap_ms = 10;; nap_ms = nap_ms < 160 ? nap_ms * 2 : nap_ms) {
        cis_code code = cis_pg_conn_open(store, store->url, stop, out_conn, err);
        uint64_t next = cis_clock_after(cis_clock_mono_ns(), nap_ms * CIS_NS_PER_MS);
        if (code == CIS_OK) {
            atomic_store(&store->reached, true);
        }
        if (code != CIS_E_STORE || next > until ||
            (!atomic_load(&store->reached) && !may_restart(store->url, &well))) {
            return code;
        }
        struct cis_stop nap = {next, stop != NULL ? stop->cancel : NULL};
        if (stop != NULL && stop->deadline_ns < next) {
            return code;
        }
        (void)cis_stop_wait(&nap, -1, 0, "store", NULL);
    }
}

static cis_code bind_failed(const struct pg_conn *conn, cis_code code, struct cis_error *err)
{
    if (conn->lost || conn->failed != PG_COUNT) {
        return code;
    }
    if (strcmp(conn->sqlstate, "22023") == 0) {
        return cis_fail(err, CIS_E_STORE,
                        "%s: no store of cis in this database (make it with: cis store init)",
                        conn->store->place);
    }
    if (strcmp(conn->sqlstate, "42501") == 0) {
        return cis_fail(err, CIS_E_DENIED,
                        "%s: this user is no member of the role cis_app (cis store init --login "
                        "USER, or GRANT cis_app TO USER)",
                        conn->store->place);
    }
    return code;
}

cis_code cis_pg_bind(struct pg_conn *conn, int64_t tenant, struct cis_error *err)
{
    conn->tenant = 0;
    memset(conn->prepared, 0, sizeof conn->prepared);
    memset(conn->seen, 0, sizeof conn->seen);
    CIS_TRY(cis_pg_send_text(conn, "DISCARD ALL", err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_send_text(conn, "SET ROLE cis_app", err));
    CIS_TRY(cis_pg_send_text(conn, settings, err));
    if (tenant != 0) {
        struct pg_args args = {0};
        cis_pg_arg_int(&args, tenant);
        CIS_TRY(cis_pg_send(conn, PG_TENANT_BIND, &args, err));
    }
    CIS_TRY(cis_pg_sync(conn, err));
    cis_code code = cis_pg_finish(conn, err);
    if (code != CIS_OK) {
        return bind_failed(conn, code, err);
    }
    conn->tenant = tenant;
    return CIS_OK;
}

/* *out_lost: it failed because the connection went away under it, not because there is no server.
 */
static cis_code take_once(struct pg_store *store, int64_t tenant, const struct cis_stop *stop,
                          struct pg_conn **out_conn, bool *out_lost, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
    *out_lost = false;
    CIS_TRY(reserve(store, tenant, stop, &conn, err));
    bool fresh = conn == NULL;
    if (fresh) {
        cis_code code = open_patiently(store, stop, &conn, err);
        if (code != CIS_OK) {
            unreserve(store);
            return code;
        }
    }
    conn->stop = stop;
    conn->told = conn->goes_on = conn->again = false;
    if (fresh || conn->tenant != tenant) {
        cis_code code = cis_pg_bind(conn, tenant, err);
        *out_lost = conn->lost;
        CIS_TRY(code);
    }
    *out_conn = cis_take(&conn);
    return CIS_OK;
}

static cis_code take(struct pg_store *store, int64_t tenant, const struct cis_stop *stop,
                     struct pg_conn **out_conn, struct cis_error *err)
{
    bool lost = true;
    cis_code code = CIS_OK;
    for (int i = 0; lost && i < PG_RETRIES; i++) {
        if (stop != NULL) {
            CIS_TRY(cis_stop_check(stop, "store", err));
        }
        code = take_once(store, tenant, stop, out_conn, &lost, err);
    }
    return code;
}

cis_code cis_pg_take_free(struct pg_store *store, const struct cis_stop *stop,
                          struct pg_conn **out_conn, struct cis_error *err)
{
    return take(store, 0, stop, out_conn, err);
}

cis_code cis_pg_take_any(struct pg_store *store, const struct cis_stop *stop,
                         struct pg_conn **out_conn, struct cis_error *err)
{
    cis_mutex_lock(&store->lock, pg_lock_store);
    int64_t tenant = store->idle != NULL ? store->idle->tenant : 0;
    cis_mutex_unlock(&store->lock, pg_lock_store);
    return take(store, tenant > 0 ? tenant : 0, stop, out_conn, err);
}

static cis_code find_tenant(struct pg_conn *conn, const char *name, bool create, int64_t *out_id,
                            struct cis_error *err)
{
    for (int i = 0; i < 2; i++) {
        struct pg_args args = {0};
        cis_pg_arg_str(&args, cis_str_of(name));
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(cis_pg_ask(conn, PG_TENANT_ID, &args, &res, err));
        *out_id = cis_pg_int(res, 0, 0);
        if (*out_id != 0 || !create) {
            return CIS_OK;
        }
        CIS_TRY(cis_pg_tenant_make(conn, name, 0, 0, out_id, err));
        if (*out_id != 0) {
            return CIS_OK;
        } /* else another was faster: look again */
    }
    return cis_fail(err, CIS_E_CONFLICT, "tenant %s: made and deleted at the same time", name);
}

static cis_code take_bound(struct pg_store *store, struct pg_tenant *t, int64_t id, bool create,
                           const struct cis_stop *stop, struct pg_conn **out_conn, bool *out_lost,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
    *out_lost = false;
    CIS_TRY(take(store, id, stop, &conn, err));
    if (id == 0) {
        cis_code code = find_tenant(conn, t->name, create, &id, err);
        if (code == CIS_OK && id != 0 && conn->tenant != id) {
            code = cis_pg_bind(conn, id, err);
        }
        *out_lost = conn->lost;
        CIS_TRY(code);
        cis_mutex_lock(&store->lock, pg_lock_store);
        t->id = id;
        t->ino_left = 0;
        cis_mutex_unlock(&store->lock, pg_lock_store);
    }
    if (id != 0) {
        *out_conn = cis_take(&conn);
    } else {
        *out_conn = NULL;
    }
    return CIS_OK;
}

cis_code cis_pg_tenant_split(struct cis_str tenant, struct cis_str *out_name, int64_t *out_instance,
                             struct cis_error *err)
{
    struct cis_str instance;
    uint64_t number = 0;
    cis_fs_tenant_split(tenant, out_name, &instance);
    CIS_TRY(cis_store_tenant_check(*out_name, err));
    if (instance.len != 0 &&
        (!cis_str_u64(instance, &number) || number == 0 || number > INT64_MAX)) {
        return cis_fail(err, CIS_E_INVALID, "tenant " CIS_STR_FMT ": not an instance",
                        CIS_STR_ARG(tenant));
    }
    *out_instance = (int64_t)number;
    return CIS_OK;
}

cis_code cis_pg_take(struct pg_store *store, struct cis_str tenant, bool create,
                     const struct cis_stop *stop, struct pg_conn **out_conn, struct cis_error *err)
{
    struct cis_str name;
    int64_t instance;
    CIS_TRY(cis_pg_tenant_split(tenant, &name, &instance, err));
    if (instance != 0) {
        return take(store, instance, stop, out_conn, err);
    }
    cis_mutex_lock(&store->lock, pg_lock_store);
    struct pg_tenant *t = cis_pg_tenant_of(store, name);
    int64_t id = t != NULL ? t->id : 0;
    cis_mutex_unlock(&store->lock, pg_lock_store);
    if (t == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "store: out of memory");
    }
    bool lost = true;
    cis_code code = CIS_OK;
    for (int i = 0; lost && i < PG_RETRIES; i++) {
        code = take_bound(store, t, id, create, stop, out_conn, &lost, err);
    }
    return code;
}

void cis_pg_give(struct pg_conn **conn_)
{
    struct pg_conn *conn = *conn_;
    if (conn == NULL) {
        return;
    }
    struct pg_store *store = conn->store;
    cis_pg_settle(conn);
    if (conn->lost) {
        cis_pg_conn_close(conn);
        unreserve(store);
        return;
    }
    cis_mutex_lock(&store->lock, pg_lock_store);
    conn->next = store->idle;
    store->idle = conn;
    pthread_cond_broadcast(&store->freed);
    cis_mutex_unlock(&store->lock, pg_lock_store);
}
