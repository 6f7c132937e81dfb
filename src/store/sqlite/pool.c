/* The pool: a bounded number of open connections, per store and per tenant. Idle ones are kept in
 * the order of last use; when the store is full the one idle longest is closed for the newcomer. */
#include <errno.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite/internal.h"

#define ABSENT_NS CIS_NS_PER_S

struct sql_tenant *cis_sql_tenant_of(struct sql_store *store, struct cis_str name)
{
    struct sql_tenant *t = cis_map_get(&store->tenants, name);
    if (t != NULL) {
        return t;
    }
    t = cis_zalloc(sizeof *t);
    if (t == NULL || cis_map_set(&store->tenants, name, t, NULL, NULL) != CIS_OK) {
        cis_free(t);
        return NULL;
    }
    memcpy(t->name, name.ptr, name.len);
    t->pins_fd = -1;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->moved, &attr);
    pthread_condattr_destroy(&attr);
    return t;
}

cis_code cis_sql_wait(struct sql_store *store, pthread_cond_t *cond, const struct cis_stop *stop,
                      const char *what, struct cis_error *err)
{
    if (stop == NULL || (stop->deadline_ns == CIS_NEVER && stop->cancel == NULL)) {
        pthread_cond_wait(cond, &store->lock);
        return CIS_OK;
    }
    CIS_TRY(cis_stop_check(stop, what, err));
    uint64_t until = stop->deadline_ns;
    if (stop->cancel != NULL) {
        /* A condition variable cannot be rung by a cancellation token: look at it in short steps.
         */
        uint64_t step = cis_clock_after(cis_clock_mono_ns(), 5 * CIS_NS_PER_MS);
        until = until < step ? until : step;
    }
    struct timespec at = {(time_t)(until / CIS_NS_PER_S), (long)(until % CIS_NS_PER_S)};
    (void)pthread_cond_timedwait(cond, &store->lock, &at);
    return CIS_OK;
}

/* Out of the idle list: the tenant's own, or with tenant NULL the one idle longest. */
static struct sql_conn *unlink_idle(struct sql_store *store, const struct sql_tenant *tenant)
{
    struct sql_conn **found = NULL;
    for (struct sql_conn **at = &store->idle; *at != NULL; at = &(*at)->next) {
        if (tenant == NULL || (*at)->tenant == tenant) {
            found = at;
            if (tenant != NULL) {
                break;
            }
        }
    }
    struct sql_conn *conn = found != NULL ? *found : NULL;
    if (conn != NULL) {
        *found = conn->next;
        conn->next = NULL;
    }
    return conn;
}

/* Somebody's idle reader, from a tenant with as few readers as may be: any. */
static struct sql_conn *steal_any(struct sql_store *store)
{
    cis_map_foreach (&store->tenants, e) {
        struct sql_conn *conn = cis_sql_reader_steal(e->value);
        if (conn != NULL) {
            return conn;
        }
    }
    return NULL;
}

/* Waits for an idle connection or for room for a new one. *out_conn NULL: room is reserved.
 * *out_evicted is to be closed outside the lock. */
static cis_code reserve(struct sql_store *store, struct sql_tenant *tenant,
                        const struct cis_stop *stop, struct sql_conn **out_conn,
                        struct sql_conn **out_evicted, struct cis_error *err)
    CIS_REQUIRES(sql_lock_store)
{
    for (;;) {
        struct sql_conn *conn = unlink_idle(store, tenant);
        if (conn == NULL && tenant->open >= SQL_TENANT_CONNECTIONS_MAX) {
            conn = cis_sql_reader_steal(tenant);
        }
        if (conn == NULL && tenant->open < SQL_TENANT_CONNECTIONS_MAX) {
            struct sql_conn *old = NULL;
            if (store->open >= SQL_CONNECTIONS_MAX &&
                ((old = unlink_idle(store, NULL)) != NULL || (old = steal_any(store)) != NULL)) {
                old->tenant->open--;
                store->open--;
                *out_evicted = old;
            }
            if (store->open < SQL_CONNECTIONS_MAX) {
                store->open++;
                tenant->open++;
                return CIS_OK;
            }
        }
        if (conn != NULL) {
            *out_conn = conn;
            return CIS_OK;
        }
        CIS_TRY(cis_sql_wait(store, &store->freed, stop, "waiting for a store connection", err));
    }
}

static void unreserve(struct sql_store *store, struct sql_tenant *tenant)
{
    cis_mutex_lock(&store->lock, sql_lock_store);
    store->open--;
    tenant->open--;
    pthread_cond_broadcast(&store->freed);
    cis_mutex_unlock(&store->lock, sql_lock_store);
}

/* Is there a file? The lock is let go while files are looked at. That nothing speaks
 * of a tenant is believed for a while: a file that another makes meanwhile is seen all the same. */
static cis_code look_for(struct sql_store *store, struct sql_tenant *t, const struct cis_stop *stop,
                         bool *out, struct cis_error *err) CIS_REQUIRES(sql_lock_store)
{
    uint64_t now = cis_clock_mono_ns();
    bool lately = t->absent_ns != 0 && now - t->absent_ns < ABSENT_NS;
    cis_mutex_unlock(&store->lock, sql_lock_store);
    cis_code code = CIS_OK;
    *out = false;
    if (!lately || cis_sql_tenant_file_there(store, t->name)) {
        code = cis_sql_tenant_exists(store, t->name, stop, out, err);
    }
    cis_mutex_lock(&store->lock, sql_lock_store);
    t->known |= *out;
    t->absent_ns = code == CIS_OK && !*out ? (lately ? t->absent_ns : now) : 0;
    return code;
}

static cis_code gone(struct cis_str name, struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOTFOUND, "tenant " CIS_STR_FMT ": the tenant is deleted",
                    CIS_STR_ARG(name));
}

/* exact: a file that is not there is not made. */
static cis_code take(struct sql_store *store, struct cis_str tenant, bool create, bool exact,
                     const struct cis_stop *stop, struct sql_conn **out_conn, struct cis_error *err)
{
    CIS_TRY(cis_store_tenant_check(tenant, err));
    if (stop != NULL) {
        CIS_TRY(cis_stop_check(stop, "store", err));
    }
    struct sql_conn *conn = NULL, *evicted = NULL;
    uint64_t life = 0;
    cis_mutex_lock(&store->lock, sql_lock_store);
    struct sql_tenant *t = cis_sql_tenant_of(store, tenant);
    cis_code code = t == NULL ? cis_fail(err, CIS_E_NOMEM, "store: out of memory") : CIS_OK;
    if (code == CIS_OK && !create && !t->known) {
        bool there = false;
        code = look_for(store, t, stop, &there, err);
        if (code == CIS_OK && !there) {
            cis_mutex_unlock(&store->lock, sql_lock_store);
            *out_conn = NULL;
            return CIS_OK;
        }
    }
    if (code == CIS_OK) {
        atomic_fetch_add(&store->waiters, 1); /* before it looks into the readers' slots */
        code = reserve(store, t, stop, &conn, &evicted, err);
        life = t->life;
        atomic_fetch_sub(&store->waiters, 1);
    }
    cis_mutex_unlock(&store->lock, sql_lock_store);
    cis_sql_conn_close(evicted);
    if (conn != NULL && conn->broken) { /* a reader whose transaction did not end */
        cis_sql_conn_close(conn);
        conn = NULL;
    }
    if (code == CIS_OK && conn == NULL) {
        bool there = true;
        code = exact ? cis_sql_tenant_exists(store, t->name, stop, &there, err) : CIS_OK;
        code = code == CIS_OK && !there ? gone(tenant, err) : code;
        code = code == CIS_OK ? cis_sql_conn_open(store, t->name, stop, &conn, err) : code;
        if (code != CIS_OK) {
            unreserve(store, t);
        }
    }
    if (code == CIS_OK) {
        if (conn->store == NULL) {
            conn->life = life;
        }
        conn->store = store;
        conn->tenant = t;
        conn->stop = stop;
        *out_conn = conn;
    }
    return code;
}

cis_code cis_sql_take(struct sql_store *store, struct cis_str tenant, bool create,
                      const struct cis_stop *stop, struct sql_conn **out_conn,
                      struct cis_error *err)
{
    struct cis_str name, instance;
    cis_fs_tenant_split(tenant, &name, &instance);
    if (instance.len == 0) {
        return take(store, tenant, create, false, stop, out_conn, err);
    }
    for (unsigned i = 0;; i++) { /* idle ones may be of a file that was deleted */
        CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
        CIS_TRY(take(store, name, false, true, stop, &conn, err));
        if (conn == NULL) {
            return gone(name, err);
        }
        cis_code code = cis_sql_instance_check(conn, instance, err);
        if (code == CIS_OK) {
            *out_conn = cis_take(&conn);
            return CIS_OK;
        }
        if (!conn->broken || i == SQL_TENANT_CONNECTIONS_MAX) {
            return code;
        }
    }
}

void cis_sql_give(struct sql_conn **conn_)
{
    struct sql_conn *conn = *conn_;
    if (conn == NULL) {
        return;
    }
    struct sql_store *store = conn->store;
    conn->stop = NULL;
    if (conn->reading) {
        cis_sql_read_end(conn);
    }
    if (!sqlite3_get_autocommit(conn->db)) {
        (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
        conn->broken |= !sqlite3_get_autocommit(conn->db);
    }
    cis_mutex_lock(&store->lock, sql_lock_store);
    if (conn->broken || conn->life != conn->tenant->life) {
        struct sql_tenant *t = conn->tenant;
        cis_mutex_unlock(&store->lock, sql_lock_store);
        cis_sql_conn_close(conn);
        unreserve(store, t);
        return;
    }
    conn->next = store->idle;
    store->idle = conn;
    pthread_cond_broadcast(&store->freed);
    cis_mutex_unlock(&store->lock, sql_lock_store);
}

void cis_sql_forget(struct sql_store *store, struct cis_str tenant)
{
    struct sql_conn *gone = NULL, *conn;
    cis_mutex_lock(&store->lock, sql_lock_store);
    struct sql_tenant *t = cis_map_get(&store->tenants, tenant);
    if (t != NULL) {
        t->known = false;
        t->life++;
        cis_sql_pins_let(t);
        while ((conn = unlink_idle(store, t)) != NULL || (conn = cis_sql_reader_steal(t)) != NULL) {
            store->open--;
            t->open--;
            conn->next = gone;
            gone = conn;
        }
        pthread_cond_broadcast(&store->freed);
    }
    cis_mutex_unlock(&store->lock, sql_lock_store);
    while ((conn = gone) != NULL) {
        gone = conn->next;
        cis_sql_conn_close(conn);
    }
}
