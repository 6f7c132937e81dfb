/* Reading key-value entries at a view, in one snapshot of the database; nothing is locked against
 * writers. */
#include "base/mem.h"
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

/* A connection with a read transaction at the view; NULL when there is no such tenant. */
static cis_code open_at(cis_store *store, struct cis_str tenant, struct cis_view at,
                        const struct cis_stop *stop, struct sql_conn **out_conn,
                        struct cis_view *out_view, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn != NULL) {
        CIS_TRY(cis_sql_view_open(conn, at, out_view, err));
    }
    *out_conn = cis_take(&conn);
    return CIS_OK;
}

cis_code cis_sql_kv_get(cis_store *store, struct cis_str tenant,
                        const struct cis_kv_get_query *query, bool *out_found,
                        const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    struct cis_view view;
    CIS_TRY(open_at(store, tenant, query->at, stop, &conn, &view, err));
    bool row = false;
    if (conn != NULL) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_KV_GET, &st, err));
        cis_sql_bind_view(st, view);
        cis_sql_bind_str(st, 3, query->ns);
        cis_sql_bind_str(st, 4, query->key);
        CIS_TRY(cis_sql_row(conn, st, "reading memory", &row, err));
        if (row) {
            struct cis_kv_entry entry;
            cis_sql_kv_entry(st, &entry);
            (void)query->each(query->self, &entry);
        }
    }
    *out_found = row;
    return CIS_OK;
}

struct list {
    struct cis_kv_range range;
    bool values;
    int64_t left; /* entries that are still wanted, -1: all */
    cis_kv_each *each;
    void *self;
};

/* One namespace. */
static cis_code list_ns(struct sql_conn *conn, struct cis_view view, struct cis_str ns, void *self,
                        bool *out_more, struct cis_error *err)
{
    struct list *l = self;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_LIST, &st, err));
    cis_sql_bind_view(st, view);
    cis_sql_bind_str(st, 3, ns);
    cis_sql_bind(st, 4, l->range.lower, l->range.nlower);
    cis_sql_bind(st, 5, l->range.upper, l->range.nupper);
    sqlite3_bind_int64(st, 6, l->left);
    sqlite3_bind_int(st, 7, l->values);
    for (*out_more = true; *out_more;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "listing memory", &row, err));
        if (!row) {
            return CIS_OK;
        }
        struct cis_kv_entry entry;
        cis_sql_kv_entry(st, &entry);
        l->left -= l->left > 0;
        *out_more = l->each(l->self, &entry) && l->left != 0;
    }
    return CIS_OK;
}

typedef cis_code each_ns(struct sql_conn *conn, struct cis_view view, struct cis_str ns, void *self,
                         bool *out_more, struct cis_error *err);

/* Every namespace that has, or had, a row in the view's branches. */
static cis_code walk_namespaces(struct sql_conn *conn, struct cis_view view, each_ns *each,
                                void *self, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_NAMESPACES, &st, err));
    cis_sql_bind_view(st, view);
    for (bool more = true; more;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "listing namespaces", &row, err));
        if (!row) {
            break;
        }
        CIS_TRY(each(conn, view, cis_sql_str(st, 0), self, &more, err));
    }
    return CIS_OK;
}

cis_code cis_sql_kv_list(cis_store *store, struct cis_str tenant, const struct cis_kv_query *query,
                         cis_kv_each *each, void *self, const struct cis_stop *stop,
                         struct cis_error *err)
{
    struct list l = {.values = query->values,
                     .left = query->limit != 0 ? (int64_t)query->limit : -1,
                     .each = each,
                     .self = self};
    CIS_TRY(cis_kv_range_of(query, &l.range, err));
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    struct cis_view view;
    CIS_TRY(open_at(store, tenant, query->at, stop, &conn, &view, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    if (query->ns.ptr == NULL) {
        return walk_namespaces(conn, view, list_ns, &l, err);
    }
    bool more;
    return list_ns(conn, view, query->ns, &l, &more, err);
}

static bool note_live(void *self, const struct cis_kv_entry *entry)
{
    (void)entry;
    *(bool *)self = true;
    return false;
}

static cis_code tell_ns(struct sql_conn *conn, struct cis_view view, struct cis_str ns, void *self,
                        bool *out_more, struct cis_error *err)
{
    const struct list *l = self;
    bool live = false, ignored;
    struct list first = {.left = 1, .each = note_live, .self = &live};
    CIS_TRY(cis_kv_range_of(&(struct cis_kv_query){.values = false}, &first.range, err));
    CIS_TRY(list_ns(conn, view, ns, &first, &ignored, err));
    struct cis_kv_entry entry = {.ns = ns};
    *out_more = !live || l->each(l->self, &entry);
    return CIS_OK;
}

cis_code cis_sql_kv_namespaces(cis_store *store, struct cis_str tenant, struct cis_view at,
                               cis_kv_each *each, void *self, const struct cis_stop *stop,
                               struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    struct cis_view view;
    CIS_TRY(open_at(store, tenant, at, stop, &conn, &view, err));
    struct list l = {.each = each, .self = self};
    return conn == NULL ? CIS_OK : walk_namespaces(conn, view, tell_ns, &l, err);
}

cis_code cis_sql_kv_usage(cis_store *store, struct cis_str tenant, struct cis_view at,
                          uint64_t *out_bytes, uint64_t *out_keys, const struct cis_stop *stop,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    struct cis_view view;
    struct sql_counts counts = {0, 0, 0, 0};
    CIS_TRY(open_at(store, tenant, at, stop, &conn, &view, err));
    if (conn != NULL) {
        struct cis_view owner;
        CIS_TRY(cis_sql_view_owner(conn, view, &owner, err));
        CIS_TRY(cis_sql_view_counts(conn, owner, &counts, err));
    }
    *out_bytes = (uint64_t)counts.kv_bytes;
    *out_keys = (uint64_t)counts.kv_keys;
    return CIS_OK;
}
