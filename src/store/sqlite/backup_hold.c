/* One instant of all tenants, though each has a database of its own.
 *
 * The catalogue is locked, so that no tenant is made or removed. Then the write lock of every
 * tenant is taken, in the order of their names, and with all of them held a read transaction of
 * each is begun: nobody commits meanwhile, so all of them show the same instant. The write locks go
 * at once; the read transactions stay until the tenant was read. Whatever was acknowledged before a
 * backup began is in it, and of two commits, one of which began after the other was acknowledged,
 * it never has just the later, in whichever tenants they were.
 *
 * Content beside the database has no read transaction. So that gc makes no holes of what the old
 * rows name, it is held (chunk_file.c) from before the transaction begins. */
#include <sys/resource.h>
#include <sys/stat.h>
#include "base/mem.h"
#include "store/sqlite/backup.h"

#define TENANTS_MAX (1u << 20)
#define FILES_A_TENANT 12u /* descriptors, of two connections and the contents */
#define FILES_BESIDE 64u

static void conn_drop(struct sql_conn **conn)
{
    cis_sql_conn_close(*conn);
}

static void unlock(struct sql_held *held)
{
    if (held->write != NULL) {
        (void)sqlite3_exec(held->write->db, "ROLLBACK", NULL, NULL, NULL);
        cis_sql_conn_close(cis_take(&held->write));
    }
}

void cis_sql_held_let(struct sql_held *held)
{
    unlock(held);
    cis_sql_conn_close(cis_take(&held->read));
    cis_sql_chunk_file_closep(&held->chunks);
}

cis_code cis_sql_held_begin(struct sql_held *held, struct cis_error *err)
{
    return cis_sql_exec(held->read, "PRAGMA cache_size = -2048", "backup", err);
}

void cis_sql_hold_done(struct sql_hold *hold)
{
    for (size_t i = 0; i < hold->n; i++) {
        cis_sql_held_let(&hold->at[i]);
    }
    cis_free(hold->at);
    *hold = (struct sql_hold){NULL, 0, 0};
}

/* ---- who there is ---- */

static cis_code add(struct sql_hold *hold, struct cis_str name, struct cis_error *err)
{
    CIS_TRY(cis_store_tenant_check(name, err));
    if (hold->n == hold->cap) {
        size_t cap = cis_cap_next(hold->cap, 16, TENANTS_MAX);
        struct sql_held *at = cis_realloc_array(hold->at, cap, sizeof *at);
        if (at == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "backup: out of memory");
        }
        hold->at = at;
        hold->cap = cap;
    }
    hold->at[hold->n] = (struct sql_held){.chunks = -1};
    memcpy(hold->at[hold->n++].name, name.ptr, name.len);
    return CIS_OK;
}

static cis_code list(struct sql_conn *catalogue, struct sql_hold *hold, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(catalogue, SQL_TENANT_LIST, &st, err));
    for (;;) {
        bool row;
        CIS_TRY(cis_sql_row(catalogue, st, "listing tenants", &row, err));
        if (!row) {
            return CIS_OK;
        }
        CIS_TRY(add(hold, cis_sql_str(st, 0), err));
    }
}

/* As many descriptors as it takes, as far as this process may. */
static void raise_files(size_t tenants)
{
    struct rlimit files;
    rlim_t want = (rlim_t)tenants * FILES_A_TENANT + FILES_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < want) {
        files.rlim_cur = want < files.rlim_max ? want : files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* ---- one tenant, made ready ---- */

/* Many connections wait here for their turn: each keeps as little as can be. */
static cis_code lean(struct sql_conn *conn, struct cis_error *err)
{
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(conn->stmts[i]);
        conn->stmts[i] = NULL;
    }
    CIS_TRY(cis_sql_exec(conn, "PRAGMA cache_size = 2", "backup", err));
    (void)sqlite3_db_config(conn->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0);
    (void)sqlite3_db_release_memory(conn->db);
    return CIS_OK;
}

static cis_code ready(struct sql_store *store, struct sql_held *held, const struct cis_stop *stop,
                      struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_sql_tenant_path(store, held->name);
    struct stat st;
    bool there;
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", store->dir);
    }
    if (lstat(path, &st) != 0 || st.st_size == 0) { /* lost, or not made yet */
        return cis_sql_tenant_exists(store, held->name, stop, &there, err);
    }
    CIS_TRY(cis_sql_tenant_open_there(store, held->name, stop, &held->write, err));
    CIS_TRY(lean(held->write, err));
    CIS_TRY(cis_sql_chunk_file_open(path, true, &held->chunks, err));
    CIS_TRY(cis_sql_chunk_file_hold(held->chunks, stop, err));
    CIS_TRY(cis_sql_tenant_open_there(store, held->name, stop, &held->read, err));
    return lean(held->read, err);
}

/* Damage of one tenant does not hide the others: it is told, and the tenant left out. */
static cis_code told(struct sql_held *held, cis_code code, const struct cis_error *why,
                     const struct cis_backup_sink *sink, struct cis_error *err)
{
    if (code == CIS_OK) {
        return CIS_OK;
    }
    if (code != CIS_E_DAMAGED) {
        if (err != NULL) {
            *err = *why;
        }
        return code;
    }
    sink->fault(sink->self, why->msg);
    cis_sql_held_let(held);
    return CIS_OK;
}

static cis_code lock(struct sql_held *held, struct cis_error *err)
{
    return cis_sql_exec(held->write, "BEGIN IMMEDIATE", "backup: waiting for writers", err);
}

/* Begins what is read: the first look at a row is where the transaction stands. */
static cis_code look(struct sql_held *held, struct cis_error *err)
{
    bool there;
    CIS_TRY(cis_sql_exec(held->read, "BEGIN", "begin", err));
    {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(held->read, SQL_TREE_THERE, &st, err));
        CIS_TRY(cis_sql_row(held->read, st, "reading the tenant", &there, err));
    }
    if (!there) { /* it is being deleted */
        cis_sql_held_let(held);
    }
    return CIS_OK;
}

typedef cis_code step(struct sql_held *held, struct cis_error *err);

static cis_code each(struct sql_hold *hold, step *take, const struct cis_backup_sink *sink,
                     struct cis_error *err)
{
    for (size_t i = 0; i < hold->n; i++) {
        struct cis_error why = {0};
        if (hold->at[i].read != NULL) {
            CIS_TRY(told(&hold->at[i], take(&hold->at[i], &why), &why, sink, err));
        }
    }
    return CIS_OK;
}

cis_code cis_sql_hold(struct sql_store *store, const struct cis_backup_sink *sink,
                      struct sql_hold *out, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_hold_done) struct sql_hold hold = {NULL, 0, 0};
    CIS_CLEANUP(conn_drop) struct sql_conn *catalogue = NULL;
    CIS_TRY(cis_sql_catalogue_open(store, stop, &catalogue, err));
    CIS_TRY(cis_sql_catalogue_gather(catalogue, false, err)); /* it may be older than they are */
    CIS_TRY(cis_sql_exec(catalogue, "BEGIN IMMEDIATE", "backup: the catalogue", err));
    CIS_TRY(list(catalogue, &hold, err));
    raise_files(hold.n);
    for (size_t i = 0; i < hold.n; i++) {
        struct cis_error why = {0};
        CIS_TRY(told(&hold.at[i], ready(store, &hold.at[i], stop, &why), &why, sink, err));
    }
    CIS_TRY(each(&hold, lock, sink, err));
    CIS_TRY(each(&hold, look, sink, err));
    for (size_t i = 0; i < hold.n; i++) {
        unlock(&hold.at[i]);
    }
    *out = hold;
    hold = (struct sql_hold){NULL, 0, 0};
    return CIS_OK;
}
