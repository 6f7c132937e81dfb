/* Reading key-value entries. Every statement sees one snapshot; nothing is locked against writers.
 */
#include "store/sqlite/internal.h"

void cis_sql_kv_entry(sqlite3_stmt *stmt, struct cis_kv_entry *out)
{
    struct cis_bytes value = cis_sql_bytes(stmt, 2);
    if (sqlite3_column_type(stmt, 2) == SQLITE_NULL) { /* listed without values */
        int64_t len = sqlite3_column_int64(stmt, 3);
        value = (struct cis_bytes){NULL, len > 0 ? (size_t)len : 0};
    }
    *out = (struct cis_kv_entry){.ns = cis_sql_str(stmt, 0),
                                 .key = cis_sql_str(stmt, 1),
                                 .value = value,
                                 .is_public = sqlite3_column_int64(stmt, 4) == 1,
                                 .category = cis_sql_str(stmt, 5),
                                 .updated_ms = sqlite3_column_int64(stmt, 6),
                                 .version = (uint64_t)sqlite3_column_int64(stmt, 7)};
}

cis_code cis_sql_view_is_head(struct cis_view at, struct cis_error *err)
{
    return at.branch == 0 ? CIS_OK
                          : cis_fail(err, CIS_E_UNSUPPORTED,
                                     "memory of an older state: this store keeps the newest only");
}

static cis_code each_entry(struct sql_conn *conn, sqlite3_stmt *st, const char *what,
                           cis_kv_each *each, void *self, struct cis_error *err)
{
    for (;;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, what, &row, err));
        if (!row) {
            return CIS_OK;
        }
        struct cis_kv_entry entry;
        cis_sql_kv_entry(st, &entry);
        if (!each(self, &entry)) {
            return CIS_OK;
        }
    }
}

cis_code cis_sql_kv_get(cis_store *store, struct cis_str tenant, struct cis_view at,
                        struct cis_str ns, struct cis_str key, cis_kv_each *each, void *self,
                        bool *out_found, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_TRY(cis_sql_view_is_head(at, err));
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    bool row = false;
    if (conn != NULL) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_KV_GET, &st, err));
        cis_sql_bind_str(st, 1, ns);
        cis_sql_bind_str(st, 2, key);
        CIS_TRY(cis_sql_row(conn, st, "reading memory", &row, err));
        if (row) {
            struct cis_kv_entry entry;
            cis_sql_kv_entry(st, &entry);
            (void)each(self, &entry);
        }
    }
    *out_found = row;
    return CIS_OK;
}

/* Keys with the prefix, after `after`, are lower <= key < upper. Both have room for one byte more
 * than the longest key. */
struct range {
    char lower[CIS_STORE_KEY_MAX + 1], upper[CIS_STORE_KEY_MAX + 1];
    size_t nlower, nupper;
};

static cis_code range_of(const struct cis_kv_query *q, struct range *r, struct cis_error *err)
{
    if (q->prefix.len > CIS_STORE_KEY_MAX || q->after.len > CIS_STORE_KEY_MAX) {
        return cis_fail(err, CIS_E_INVALID, "memory list: prefix or after longer than a key");
    }
    size_t n = q->prefix.len;
    if (n != 0) {
        memcpy(r->lower, q->prefix.ptr, n);
        memcpy(r->upper, q->prefix.ptr, n);
    }
    r->nlower = n;
    while (n != 0 && (unsigned char)r->upper[n - 1] == 0xff) {
        n--;
    }
    if (n != 0) {
        r->upper[n - 1] = (char)(r->upper[n - 1] + 1);
        r->nupper = n;
    } else { /* above every key there can be */
        memset(r->upper, 0xff, sizeof r->upper);
        r->nupper = sizeof r->upper;
    }
    if (q->after.ptr == NULL) {
        return CIS_OK;
    }
    size_t common = q->after.len < q->prefix.len ? q->after.len : q->prefix.len;
    int order = common != 0 ? memcmp(q->after.ptr, q->prefix.ptr, common) : 0;
    if (order > 0 || (order == 0 && q->after.len >= q->prefix.len)) {
        if (q->after.len != 0) {
            memcpy(r->lower, q->after.ptr, q->after.len);
        }
        r->lower[q->after.len] = 0; /* the next possible key */
        r->nlower = q->after.len + 1;
    }
    return CIS_OK;
}

cis_code cis_sql_kv_list(cis_store *store, struct cis_str tenant, struct cis_view at,
                         const struct cis_kv_query *query, cis_kv_each *each, void *self,
                         const struct cis_stop *stop, struct cis_error *err)
{
    CIS_TRY(cis_sql_view_is_head(at, err));
    struct range range;
    CIS_TRY(range_of(query, &range, err));
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    int64_t limit = query->limit != 0 ? (int64_t)query->limit : -1;
    bool all = query->ns.ptr == NULL;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, all ? SQL_KV_LIST_ALL : SQL_KV_LIST, &st, err));
    if (all) {
        sqlite3_bind_int64(st, 1, limit);
        sqlite3_bind_int(st, 2, query->values);
    } else {
        cis_sql_bind_str(st, 1, query->ns);
        cis_sql_bind(st, 2, range.lower, range.nlower);
        cis_sql_bind(st, 3, range.upper, range.nupper);
        sqlite3_bind_int64(st, 4, limit);
        sqlite3_bind_int(st, 5, query->values);
    }
    return each_entry(conn, st, "listing memory", each, self, err);
}

cis_code cis_sql_kv_namespaces(cis_store *store, struct cis_str tenant, struct cis_view at,
                               cis_kv_each *each, void *self, const struct cis_stop *stop,
                               struct cis_error *err)
{
    CIS_TRY(cis_sql_view_is_head(at, err));
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_NAMESPACES, &st, err));
    for (bool row = true, more = true; row && more;) {
        CIS_TRY(cis_sql_row(conn, st, "listing namespaces", &row, err));
        if (row) {
            struct cis_kv_entry entry = {.ns = cis_sql_str(st, 0)};
            more = each(self, &entry);
        }
    }
    return CIS_OK;
}

cis_code cis_sql_kv_usage(cis_store *store, struct cis_str tenant, struct cis_view at,
                          uint64_t *out_bytes, uint64_t *out_keys, const struct cis_stop *stop,
                          struct cis_error *err)
{
    CIS_TRY(cis_sql_view_is_head(at, err));
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    uint64_t bytes = 0, keys = 0;
    if (conn != NULL) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_HEAD_GET, &st, err));
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "reading the usage", &row, err));
        if (row) {
            bytes = (uint64_t)sqlite3_column_int64(st, 1);
            keys = (uint64_t)sqlite3_column_int64(st, 2);
        }
    }
    *out_bytes = bytes;
    *out_keys = keys;
    return CIS_OK;
}
