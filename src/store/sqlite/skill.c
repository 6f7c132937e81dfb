/* Installed skills and their config. */
#include "store/sqlite/internal.h"

static const char *const too_long = "a field of the row is too long";

static cis_code put(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_skill_row *row = arg;
    const struct cis_str fields[] = {row->name,     row->version, row->source, row->sha256,
                                     row->manifest, row->grants,  row->signer, row->digest};
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_SKILL_PUT, &st, err));
    for (int i = 0; i < 8; i++) {
        cis_sql_bind_str(st, i + 1, fields[i]);
    }
    sqlite3_bind_int64(st, 9, row->installed_ms);
    return cis_sql_done(conn, st, "writing the registry", err);
}

cis_code cis_sql_skill_put(cis_store *store, struct cis_str tenant, const struct cis_skill_row *row,
                           const struct cis_stop *stop, struct cis_error *err)
{
    if (row->name.len == 0 || row->name.len > CIS_STORE_NAME_MAX) {
        return cis_fail(err, CIS_E_INVALID, "skill: the name has %zu bytes; 1 to %u are allowed",
                        row->name.len, CIS_STORE_NAME_MAX);
    }
    const size_t lengths[] = {row->version.len, row->source.len, row->sha256.len, row->manifest.len,
                              row->grants.len,  row->signer.len, row->digest.len};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        if (lengths[i] > 4u * 1024u * 1024u) {
            return cis_fail(err, CIS_E_INVALID, "skill " CIS_STR_FMT ": %s", CIS_STR_ARG(row->name),
                            too_long);
        }
    }
    return cis_sql_write((struct sql_store *)store, tenant, put, row, true, stop, err);
}

static void row_of(sqlite3_stmt *st, struct cis_skill_row *out)
{
    *out = (struct cis_skill_row){.name = cis_sql_str(st, 0),
                                  .version = cis_sql_str(st, 1),
                                  .source = cis_sql_str(st, 2),
                                  .sha256 = cis_sql_str(st, 3),
                                  .manifest = cis_sql_str(st, 4),
                                  .grants = cis_sql_str(st, 5),
                                  .signer = cis_sql_str(st, 6),
                                  .digest = cis_sql_str(st, 7),
                                  .installed_ms = sqlite3_column_int64(st, 8)};
}

cis_code cis_sql_skill_get(cis_store *store, struct cis_str tenant, struct cis_str name,
                           cis_skill_each *each, void *self, const struct cis_stop *stop,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn != NULL) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_SKILL_GET, &st, err));
        cis_sql_bind_str(st, 1, name);
        bool found;
        CIS_TRY(cis_sql_row(conn, st, "reading the registry", &found, err));
        if (found) {
            struct cis_skill_row row;
            row_of(st, &row);
            (void)each(self, &row);
            return CIS_OK;
        }
    }
    return cis_fail(err, CIS_E_NOTFOUND, "skill " CIS_STR_FMT ": not installed", CIS_STR_ARG(name));
}

cis_code cis_sql_skill_list(cis_store *store, struct cis_str tenant, cis_skill_each *each,
                            void *self, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_SKILL_LIST, &st, err));
    for (bool more = true, wanted = true; more && wanted;) {
        CIS_TRY(cis_sql_row(conn, st, "reading the registry", &more, err));
        if (more) {
            struct cis_skill_row row;
            row_of(st, &row);
            wanted = each(self, &row);
        }
    }
    return CIS_OK;
}

static cis_code drop(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_str *name = arg;
    for (int i = 0; i < 2; i++) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, i == 0 ? SQL_CONFIG_CLEAR : SQL_SKILL_DELETE, &st, err));
        cis_sql_bind_str(st, 1, *name);
        CIS_TRY(cis_sql_done(conn, st, "writing the registry", err));
    }
    if (sqlite3_changes(conn->db) == 0) { /* of the last statement: the skill's own row */
        return cis_fail(err, CIS_E_NOTFOUND, "skill " CIS_STR_FMT ": not installed",
                        CIS_STR_ARG(*name));
    }
    return CIS_OK;
}

cis_code cis_sql_skill_remove(cis_store *store, struct cis_str tenant, struct cis_str name,
                              const struct cis_stop *stop, struct cis_error *err)
{
    return cis_sql_write((struct sql_store *)store, tenant, drop, &name, SQL_DURABLE | SQL_FREES,
                         stop, err);
}

cis_code cis_sql_config_list(cis_store *store, struct cis_str tenant, struct cis_str skill,
                             cis_kv_each *each, void *self, const struct cis_stop *stop,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CONFIG_LIST, &st, err));
    cis_sql_bind_str(st, 1, skill);
    for (bool more = true, wanted = true; more && wanted;) {
        CIS_TRY(cis_sql_row(conn, st, "reading config", &more, err));
        if (more) {
            struct cis_kv_entry entry = {
                .ns = cis_sql_str(st, 0), .key = cis_sql_str(st, 1), .value = cis_sql_bytes(st, 2)};
            wanted = each(self, &entry);
        }
    }
    return CIS_OK;
}
