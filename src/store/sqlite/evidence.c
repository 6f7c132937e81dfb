/* Is a tenant whose database is missing or empty a new one? What lies beside it and the catalogue
 * say: a log, a mark, contents or a tenant that was made mean that the database is lost. It is then
 * refused and nothing is changed. Looked at only for a file that holds nothing. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/mem.h"
#include "store/sqlite/internal.h"
#include "store/sqlite/integrity/logmark.h"
#include "store/sqlite/read.h"

static void conn_drop(struct sql_conn **conn)
{
    cis_sql_conn_close(*conn);
}

/* Bytes of a file, -1: there is none. */
static cis_code size_of(const char *path, int64_t *out, struct cis_error *err)
{
    struct stat st;
    if (lstat(path, &st) == 0) {
        *out = (int64_t)st.st_size;
        return CIS_OK;
    }
    *out = -1;
    return errno == ENOENT ? CIS_OK : cis_fail_sys(err, CIS_E_STORE, errno, "%s", path);
}

static cis_code beside(const char *db, struct cis_buf *out, struct cis_error *err)
{
    static const struct {
        const char *end;
        int64_t more_than; /* bytes that say nothing */
    } ends[] = {{"-wal", CIS_SQL_WAL_HEAD}, {"-mark", 0}};
    for (size_t i = 0; i <= sizeof ends / sizeof *ends; i++) {
        bool chunks = i == sizeof ends / sizeof *ends;
        size_t room = cis_size_add(strlen(db), 16);
        CIS_CLEANUP(cis_freep) char *path = chunks ? cis_sql_chunk_file_path(db) : cis_alloc(room);
        if (path == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", db);
        }
        if (!chunks) {
            snprintf(path, room, "%s%s", db, ends[i].end);
        }
        int64_t bytes = -1;
        CIS_TRY(size_of(path, &bytes, err));
        if (bytes > (chunks ? 0 : ends[i].more_than)) {
            cis_buf_printf(out, "%s%s", out->len != 0 ? ", " : "", strrchr(path, '/') + 1);
        }
    }
    return CIS_OK;
}

cis_code cis_sql_database_holds(const char *db, bool *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(1024);
    int64_t bytes = -1;
    CIS_TRY(size_of(db, &bytes, err));
    *out = bytes > 0;
    if (*out) {
        return CIS_OK;
    }
    CIS_TRY(beside(db, &names, err));
    if (names.len == 0) {
        return CIS_OK;
    }
    CIS_TRY(size_of(db, &bytes, err)); /* made by another process meanwhile? */
    *out = bytes > 0;
    return *out ? CIS_OK
                : cis_fail(err, CIS_E_DAMAGED,
                           "%s: the database is %s, but there is %s: restore it from a copy, or "
                           "run: cis store repair",
                           db, bytes < 0 ? "missing" : "empty", cis_buf_cstr(&names));
}

static cis_code is_made(struct sql_conn *catalogue, struct cis_str tenant, bool *out,
                        struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(catalogue, SQL_TENANT_MADE_GET, &st, err));
    cis_sql_bind_str(st, 1, tenant);
    return cis_sql_row(catalogue, st, "looking for the tenant", out, err);
}

cis_code cis_sql_catalogue_made(const struct sql_store *store, const char *tenant,
                                const struct cis_stop *stop, bool *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(store->dir, "catalogue.db");
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", store->dir);
    }
    bool there;
    *out = false;
    CIS_TRY(cis_sql_database_holds(path, &there, err));
    if (!there) {
        return CIS_OK;
    }
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_catalogue_open(store, stop, &conn, err));
    return is_made(conn, cis_str_of(tenant), out, err);
}

cis_code cis_sql_tenant_exists(const struct sql_store *store, const char *tenant,
                               const struct cis_stop *stop, bool *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_sql_tenant_path(store, tenant);
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", store->dir);
    }
    bool holds, made;
    int64_t bytes = -1;
    CIS_TRY(cis_sql_database_holds(path, &holds, err));
    if (holds) {
        *out = true;
        return CIS_OK;
    }
    CIS_TRY(cis_sql_catalogue_made(store, tenant, stop, &made, err));
    CIS_TRY(size_of(path, &bytes, err));
    if (made && bytes <= 0) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "%s: the database is %s, but the catalogue has the tenant: restore it from "
                        "a copy, or run: cis store repair",
                        path, bytes < 0 ? "missing" : "empty");
    }
    *out = bytes >= 0;
    return CIS_OK;
}

bool cis_sql_tenant_file_there(const struct sql_store *store, const char *tenant)
{
    CIS_CLEANUP(cis_freep) char *path = cis_sql_tenant_path(store, tenant);
    struct stat st;
    return path == NULL || lstat(path, &st) == 0;
}

/* ---- the catalogue, made anew beside tenants that are there ---- */

static cis_code enter(struct sql_conn *conn, enum sql_id id, struct cis_str a, struct cis_str b,
                      struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, id, &st, err));
    cis_sql_bind_str(st, 1, a);
    if (id == SQL_PUBLISHED_PUT) {
        cis_sql_bind_str(st, 2, b);
    }
    return cis_sql_done(conn, st, "making the catalogue", err);
}

/* To whom it publishes: the catalogue's hints. */
static cis_code hints(struct sql_conn *catalogue, const char *db, struct cis_str name,
                      struct cis_error *err)
{
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_tenant_file_open(db, &conn, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PUBLISH_READERS, &st, err));
    for (;;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "making the catalogue", &row, err));
        if (!row) {
            return CIS_OK;
        }
        CIS_TRY(enter(catalogue, SQL_PUBLISHED_PUT, cis_sql_str(st, 0), name, err));
    }
}

static cis_code enter_file(struct sql_conn *conn, const char *dir, const char *file, bool readers,
                           struct cis_error *err)
{
    struct cis_str name = cis_str_of(file);
    CIS_CLEANUP(cis_freep) char *db = cis_path_join(dir, file);
    int64_t bytes = -1;
    bool made;
    if (name.len <= 3 || strcmp(file + name.len - 3, ".db") != 0) {
        return CIS_OK;
    }
    name.len -= 3;
    if (db == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", dir);
    }
    CIS_TRY(size_of(db, &bytes, err));
    if (bytes <= 0 || !cis_tenant_valid(name)) {
        return CIS_OK;
    }
    CIS_TRY(is_made(conn, name, &made, err));
    if (made) {
        return CIS_OK;
    }
    CIS_TRY(enter(conn, SQL_TENANT_FOUND, name, (struct cis_str){NULL, 0}, err));
    return readers ? hints(conn, db, name, err) : CIS_OK;
}

static void dir_close(DIR **dir)
{
    if (*dir != NULL) {
        closedir(*dir);
    }
}

cis_code cis_sql_catalogue_gather(struct sql_conn *conn, bool readers, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep)
    char *home = cis_strndup(conn->path, (size_t)(strrchr(conn->path, '/') - conn->path));
    CIS_CLEANUP(cis_freep) char *tenants = home != NULL ? cis_path_join(home, "tenants") : NULL;
    if (tenants == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", conn->path);
    }
    CIS_CLEANUP(dir_close) DIR *dir = opendir(tenants);
    if (dir == NULL) {
        return errno == ENOENT ? CIS_OK : cis_fail_sys(err, CIS_E_STORE, errno, "%s", tenants);
    }
    for (struct dirent *e; (errno = 0, e = readdir(dir)) != NULL;) {
        CIS_TRY(enter_file(conn, tenants, e->d_name, readers, err));
    }
    return errno == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_STORE, errno, "%s", tenants);
}
