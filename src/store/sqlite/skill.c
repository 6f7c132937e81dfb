/* Installed skills and their config. */
#include "store/sqlite/internal.h"

/* ---- config ---- */
static cis_code config_size(struct sql_conn *conn, struct cis_str skill, int64_t *out_keys,
                            double *out_bytes, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CONFIG_SIZE, &st, err));
    cis_sql_bind_str(st, 1, skill);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading config", &row, err));
    *out_keys = row ? sqlite3_column_int64(st, 0) : 0;
    *out_bytes = row ? sqlite3_column_double(st, 1) : 0;
    return CIS_OK;
}

static cis_code config_limits(struct sql_conn *conn, struct cis_str skill, struct cis_error *err)
{
    int64_t keys;
    double bytes;
    CIS_TRY(config_size(conn, skill, &keys, &bytes, err));
    if (keys > CIS_STORE_CONFIG_KEYS_MAX || bytes > CIS_STORE_CONFIG_BYTES_MAX) {
        return cis_fail(err, CIS_E_QUOTA,
                        "config of " CIS_STR_FMT ": more than %u keys or %u bytes",
                        CIS_STR_ARG(skill), CIS_STORE_CONFIG_KEYS_MAX, CIS_STORE_CONFIG_BYTES_MAX);
    }
    return CIS_OK;
}

cis_code cis_sql_config_put(struct sql_conn *conn, const struct cis_kv_op *ops, size_t n,
                            struct cis_error *err)
{
    for (size_t i = 0; i < n; i++) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, ops[i].remove ? SQL_CONFIG_DELETE : SQL_CONFIG_PUT, &st, err));
        cis_sql_bind_str(st, 1, ops[i].ns);
        cis_sql_bind_str(st, 2, ops[i].key);
        if (!ops[i].remove) {
            cis_sql_bind(st, 3, ops[i].value.ptr, ops[i].value.len);
        }
        CIS_TRY(cis_sql_done(conn, st, "writing config", err));
    }
    for (size_t i = 0; i < n; i++) { /* once a skill: ops of one skill follow each other */
        if (i + 1 == n || !cis_str_eq(ops[i].ns, ops[i + 1].ns)) {
            CIS_TRY(config_limits(conn, ops[i].ns, err));
        }
    }
    return CIS_OK;
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

/* ---- skills ---- */
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

/* Is there still what the change was computed from? */
static cis_code still(struct sql_conn *conn, const struct cis_skill_change *c,
                      struct cis_error *err)
{
    int64_t has = 0;
    double bytes;
    bool found;
    struct cis_skill_row row;
    if (c->had >= 0) {
        CIS_TRY(config_size(conn, c->name, &has, &bytes, err));
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_SKILL_GET, &st, err));
    cis_sql_bind_str(st, 1, c->name);
    CIS_TRY(cis_sql_row(conn, st, "reading the registry", &found, err));
    if (found) {
        row_of(st, &row);
    }
    return cis_skill_change_still(c, found ? &row : NULL, has, err);
}

static cis_code drop(struct sql_conn *conn, enum sql_id id, struct cis_str name,
                     struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, id, &st, err));
    cis_sql_bind_str(st, 1, name);
    return cis_sql_done(conn, st, "writing the registry", err);
}

static cis_code put(struct sql_conn *conn, const struct cis_skill_row *row, struct cis_error *err)
{
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

static cis_code change(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_skill_change *c = arg;
    CIS_TRY(still(conn, c, err));
    if (c->remove || c->clear) {
        CIS_TRY(drop(conn, SQL_CONFIG_CLEAR, c->name, err));
    }
    if (c->remove) {
        CIS_TRY(drop(conn, SQL_SKILL_DELETE, c->name, err));
    } else if (c->row != NULL) {
        CIS_TRY(put(conn, c->row, err));
    }
    return cis_sql_config_put(conn, c->config, c->nconfig, err);
}

cis_code cis_sql_skill_change(cis_store *store, struct cis_str tenant,
                              const struct cis_skill_change *c, const struct cis_stop *stop,
                              struct cis_error *err)
{
    CIS_TRY(cis_skill_change_check(c, err));
    return cis_sql_write((struct sql_store *)store, tenant, change, c,
                         SQL_DURABLE | (c->remove ? SQL_FREES : 0), stop, err);
}
