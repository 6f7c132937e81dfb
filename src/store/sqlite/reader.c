/* Readers: idle connections that keep a read transaction open, so that a read at a view costs its
 * statements and no BEGIN, COMMIT or lock. They wait in slots of their tenant, which are taken and
 * given back by one atomic exchange.
 *
 * A read must see every commit that was acknowledged before it began, by whatever process. It names
 * what it wants to see, a view, and rows at a view never change: a transaction that knows the view
 * is new enough. One that does not know it is begun again and asked once more.
 *
 * An open read transaction keeps the write-ahead log from starting over. So no transaction is used
 * for longer than SQL_SNAPSHOT_NS, and a thread of the store, the keeper, ends those that lie idle;
 * it sleeps while there is none.
 *
 * A process that reads a few rows and is gone has no use for all that. The first transactions of a
 * store are ended with their operation, and their connection is the pool's again: no thread, and
 * the commit at the end opens no second connection. */
#include <inttypes.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/wraps.h"
#include "store/chunk.h"
#include "store/sqlite/read.h"

#define FIRST_READS 16u

/* ---- transactions ---- */

static void forget(struct sql_conn *conn)
{
    sqlite3_blob_close(conn->blob);
    conn->blob = NULL;
    conn->reading = false;
    if (conn->kept) {
        conn->kept = false;
        atomic_fetch_sub(&conn->store->reading, 1);
    }
}

/* What ending it answered; the connection is broken unless that is SQLITE_OK. */
static int read_end(struct sql_conn *conn)
{
    int rc = SQLITE_OK;
    sqlite3_blob_close(conn->blob); /* open, it would hold the transaction */
    conn->blob = NULL;
    if (conn->db != NULL && !sqlite3_get_autocommit(conn->db)) {
        rc = sqlite3_exec(conn->db, "COMMIT", NULL, NULL, NULL);
        conn->broken |= rc != SQLITE_OK;
    }
    forget(conn);
    return rc;
}

void cis_sql_read_end(struct sql_conn *conn)
{
    (void)read_end(conn);
}

static void keeper_wake(struct sql_store *store);

/* The keeper is to look after its transaction. */
static void keep(struct sql_conn *conn)
{
    conn->kept = true;
    if (atomic_fetch_add(&conn->store->reading, 1) == 0) {
        keeper_wake(conn->store);
    }
}

static bool new_store(struct sql_store *store)
{
    return atomic_load_explicit(&store->begun, memory_order_relaxed) < FIRST_READS;
}

static cis_code read_begin(struct sql_conn *conn, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_READ_BEGIN, &st, err));
    CIS_TRY(cis_sql_done(conn, st, "begin", err));
    if (new_store(conn->store)) {
        atomic_fetch_add(&conn->store->begun, 1);
    }
    conn->reading = true;
    conn->began_ns = cis_clock_mono_ns();
    memset(conn->seen, 0, sizeof conn->seen);
    if (!new_store(conn->store)) {
        keep(conn);
    }
    return CIS_OK;
}

/* ---- slots ---- */

/* A thread tends to find the connection it gave back, warm. */
static unsigned preferred(void)
{
    uint64_t id = (uint64_t)(uintptr_t)pthread_self();
    return (unsigned)(cis_mix(id >> 6) >> 56) % SQL_READERS;
}

static struct sql_conn *slot_take(struct sql_tenant *t)
{
    unsigned first = preferred();
    for (unsigned i = 0; i < SQL_READERS; i++) {
        struct sql_slot *slot = &t->readers[(first + i) % SQL_READERS];
        if (atomic_load_explicit(&slot->conn, memory_order_relaxed) != NULL) {
            struct sql_conn *conn = atomic_exchange(&slot->conn, NULL);
            if (conn != NULL) {
                return conn;
            }
        }
    }
    return NULL;
}

static bool slot_put(struct sql_tenant *t, struct sql_conn *conn)
{
    unsigned first = preferred();
    for (unsigned i = 0; i < SQL_READERS; i++) {
        struct sql_slot *slot = &t->readers[(first + i) % SQL_READERS];
        struct sql_conn *none = NULL;
        if (atomic_load_explicit(&slot->conn, memory_order_relaxed) == NULL &&
            atomic_compare_exchange_strong(&slot->conn, &none, conn)) {
            return true;
        }
    }
    return false;
}

struct sql_conn *cis_sql_reader_steal(struct sql_tenant *t)
{
    struct sql_conn *conn = slot_take(t);
    if (conn != NULL) {
        cis_sql_read_end(conn);
    }
    return conn;
}

CIS_WRAPS static struct sql_tenant *tenant_find(struct sql_store *store, struct cis_str name)
{
    uint64_t hash = name.len;
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ (unsigned char)name.ptr[i]) * 0x100000001b3u;
    }
    _Atomic(struct sql_tenant *) *quick = &store->quick[(hash >> 20) % SQL_QUICK];
    struct sql_tenant *t = atomic_load_explicit(quick, memory_order_acquire);
    if (t != NULL && cis_str_eq(cis_str_of(t->name), name)) {
        return t;
    }
    if (!cis_tenant_valid(name)) {
        return NULL; /* cis_sql_take says why */
    }
    cis_mutex_lock(&store->lock, sql_lock_store);
    t = cis_sql_tenant_of(store, name);
    cis_mutex_unlock(&store->lock, sql_lock_store);
    atomic_store_explicit(quick, t, memory_order_release);
    return t;
}

/* ---- the keeper ---- */

/* Into a slot; else, or when it is broken, to the pool. Who waits for a connection looks into the
 * slots again. */
static void put_back(struct sql_conn *conn)
{
    struct sql_store *store = conn->store;
    if (conn->broken || conn->life != atomic_load(&conn->tenant->life) ||
        !slot_put(conn->tenant, conn)) {
        cis_sql_give(&conn);
        return;
    }
    if (atomic_load(&store->waiters) != 0) {
        cis_mutex_lock(&store->lock, sql_lock_store);
        pthread_cond_broadcast(&store->freed);
        cis_mutex_unlock(&store->lock, sql_lock_store);
    }
}

/* Ends transactions that lie idle for too long. */
static void sweep(struct sql_tenant *t, uint64_t now)
{
    for (unsigned i = 0; i < SQL_READERS; i++) {
        struct sql_conn *conn = atomic_exchange(&t->readers[i].conn, NULL);
        if (conn == NULL) {
            continue;
        }
        if (conn->reading && now - conn->began_ns >= SQL_SNAPSHOT_NS) {
            cis_sql_read_end(conn);
        }
        put_back(conn);
    }
}

/* The tenants that have readers: no more than there are connections. */
static size_t tenants_with_readers(struct sql_store *store, struct sql_tenant **out, size_t n)
{
    size_t found = 0;
    cis_map_foreach (&store->tenants, e) {
        struct sql_tenant *t = e->value;
        bool any = false;
        for (unsigned i = 0; i < SQL_READERS && !any; i++) {
            any = atomic_load_explicit(&t->readers[i].conn, memory_order_relaxed) != NULL;
        }
        if (any && found < n) {
            out[found++] = t;
        }
    }
    return found;
}

static void *keeper_main(void *arg)
{
    struct sql_store *store = arg;
    cis_mutex_lock(&store->lock, sql_lock_store);
    while (!store->closing) {
        if (atomic_load(&store->reading) == 0) {
            pthread_cond_wait(&store->keeper_wake, &store->lock);
            continue;
        }
        uint64_t until = cis_clock_after(cis_clock_mono_ns(), SQL_SNAPSHOT_NS);
        struct timespec at = {(time_t)(until / CIS_NS_PER_S), (long)(until % CIS_NS_PER_S)};
        (void)pthread_cond_timedwait(&store->keeper_wake, &store->lock, &at);
        struct sql_tenant *tenants[SQL_CONNECTIONS_MAX];
        size_t n = tenants_with_readers(store, tenants, SQL_CONNECTIONS_MAX);
        cis_mutex_unlock(&store->lock, sql_lock_store);
        for (size_t i = 0; i < n; i++) {
            sweep(tenants[i], cis_clock_mono_ns());
        }
        cis_mutex_lock(&store->lock, sql_lock_store);
    }
    cis_mutex_unlock(&store->lock, sql_lock_store);
    return NULL;
}

/* Without a thread (none to be had) transactions are still begun anew when they are used, and the
 * log grows while readers lie idle. */
static void keeper_wake(struct sql_store *store) CIS_TAKES(sql_lock_store)
{
    cis_mutex_lock(&store->lock, sql_lock_store);
    if (!store->has_keeper && !store->closing) {
        store->has_keeper = pthread_create(&store->keeper, NULL, keeper_main, store) == 0;
    }
    pthread_cond_signal(&store->keeper_wake);
    cis_mutex_unlock(&store->lock, sql_lock_store);
}

void cis_sql_keeper_stop(struct sql_store *store)
{
    cis_mutex_lock(&store->lock, sql_lock_store);
    store->closing = true;
    pthread_cond_signal(&store->keeper_wake);
    bool has_keeper = store->has_keeper;
    cis_mutex_unlock(&store->lock, sql_lock_store);
    if (has_keeper) {
        pthread_join(store->keeper, NULL);
    }
}

/* ---- taking and giving ---- */

/* Rows at a view are those at the same epoch of the branch that owns it: a fork that has no commit
 * of its own yet costs nothing. */
static cis_code check(struct sql_reader *r, struct cis_view at, struct cis_error *err)
{
    struct sql_conn *conn = r->conn;
    struct sql_seen *seen = &conn->seen[(at.branch ^ at.epoch) % SQL_SEEN];
    if (seen->at.branch != at.branch || seen->at.epoch != at.epoch) {
        struct cis_view owner;
        CIS_TRY(cis_sql_view_owner(conn, at, &owner, err));
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_HAS_ANCESTORS, &st, err));
        sqlite3_bind_int64(st, 1, (int64_t)owner.branch);
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "reading a branch", &row, err));
        *seen = (struct sql_seen){at, owner, row};
    }
    r->at = seen->owner;
    r->forked = seen->forked;
    r->chain = r->forked ? cis_sql_chain_of(conn, r->at) : NULL;
    return CIS_OK;
}

cis_code cis_sql_reader_renew(struct sql_reader *r, struct cis_error *err)
{
    int rc = r->conn->reading ? read_end(r->conn) : SQLITE_OK;
    r->fresh = true;
    if (rc != SQLITE_OK) {
        return cis_sql_fail(r->conn, rc, "ending a read", err);
    }
    return r->conn->broken ? cis_fail(err, CIS_E_STORE, "%s: transaction lost", r->conn->path)
                           : read_begin(r->conn, err);
}

static cis_code prepare(struct sql_reader *r, struct cis_view at, struct cis_error *err)
{
    struct sql_conn *conn = r->conn;
    if (conn->stop != NULL) {
        CIS_TRY(cis_stop_check(conn->stop, "store", err));
    }
    if (!conn->reading || cis_clock_mono_ns() - conn->began_ns >= SQL_SNAPSHOT_NS) {
        CIS_TRY(cis_sql_reader_renew(r, err));
    }
    if (at.branch == 0) {
        return CIS_OK;
    }
    struct cis_error why = {0};
    cis_code code = check(r, at, &why);
    if (code != CIS_OK && !r->fresh && !conn->broken) {
        CIS_TRY(cis_sql_reader_renew(r, err));
        code = check(r, at, &why);
    }
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    return code;
}

/* Reads want a larger cache than commits do. */
static void cache_grow(struct sql_store *store, struct sql_conn *conn)
{
    cis_mutex_lock(&store->lock, sql_lock_store);
    /* Who opens a store for one guest sets cache_kib, and reads with one connection: it gets all.
     */
    unsigned most = store->base.cache_kib, all = store->reader_cache, share = most != 0 ? 1 : 2;
    all = most != 0 && most < all ? most : all;
    unsigned kib = all / (store->open > share ? store->open : share);
    cis_mutex_unlock(&store->lock, sql_lock_store);
    char text[64];
    snprintf(text, sizeof text, "PRAGMA cache_size = -%u", kib > 0 ? kib : 1);
    conn->reader = true;
    (void)sqlite3_exec(conn->db, text, NULL, NULL, NULL);
}

static cis_code take(struct sql_store *store, struct cis_str whole, struct cis_view at,
                     const struct cis_stop *stop, struct sql_reader *out, bool *out_stale,
                     struct cis_error *err)
{
    struct sql_reader r = {.conn = NULL};
    struct cis_str tenant, instance;
    cis_fs_tenant_split(whole, &tenant, &instance);
    *out_stale = false;
    struct sql_tenant *t = tenant_find(store, tenant);
    if (t != NULL) {
        r.conn = slot_take(t);
    }
    if (r.conn != NULL && r.conn->life != atomic_load(&t->life)) { /* of a deleted tenant */
        struct sql_conn *old = cis_take(&r.conn);
        cis_sql_give(&old);
    }
    if (r.conn != NULL) {
        r.conn->stop = stop;
    } else {
        CIS_TRY(cis_sql_take(store, whole, false, stop, &r.conn, err));
        if (r.conn == NULL) {
            return cis_fail(err, CIS_E_NOTFOUND, "tenant " CIS_STR_FMT ": no such tenant",
                            CIS_STR_ARG(tenant));
        }
        if (!r.conn->reader) {
            cache_grow(store, r.conn);
        }
    }
    cis_code code = prepare(&r, at, err);
    code = code != CIS_OK ? code : cis_sql_instance_check(r.conn, instance, err);
    if (code != CIS_OK) {
        *out_stale = code == CIS_E_NOTFOUND && instance.len != 0 && r.conn->broken;
        cis_sql_reader_give(&r);
        return code;
    }
    *out = r;
    return CIS_OK;
}

cis_code cis_sql_reader_take(struct sql_store *store, struct cis_str tenant, struct cis_view at,
                             const struct cis_stop *stop, struct sql_reader *out,
                             struct cis_error *err)
{
    bool stale = true;
    cis_code code = CIS_OK;
    for (unsigned i = 0; stale && i <= SQL_TENANT_CONNECTIONS_MAX; i++) {
        code = take(store, tenant, at, stop, out, &stale, err);
    }
    return code;
}

void cis_sql_reader_give(struct sql_reader *r)
{
    struct sql_conn *conn = cis_take(&r->conn);
    if (conn == NULL) {
        return;
    }
    conn->stop = NULL;
    if (conn->reading && sqlite3_get_autocommit(conn->db)) {
        forget(conn); /* an error ended it */
    }
    if (new_store(conn->store)) {
        cis_sql_give(&conn);
        return;
    }
    if (conn->reading && !conn->kept) {
        keep(conn); /* it began as one of the first */
    }
    put_back(conn);
}
