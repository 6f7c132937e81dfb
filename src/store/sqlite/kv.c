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

cis_code cis_sql_kv_get(cis_store *store, struct cis_str tenant, struct cis_view at,
                        struct cis_str ns, struct cis_str key, cis_kv_each *each, void *self,
                        bool *out_found, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    struct cis_view view;
    CIS_TRY(open_at(store, tenant, at, stop, &conn, &view, err));
    bool row = false;
    if (conn != NULL) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_KV_GET, &st, err));
        cis_sql_bind_view(st, view);
        cis_sql_bind_str(st, 3, ns);
        cis_sql_bind_str(st, 4, key);
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

static void range_all(struct range *r)
{
    r->nlower = 0;
    memset(r->upper, 0xff, sizeof r->upper);
    r->nupper = sizeof r->upper;
}

/* One namespace; *left (entries that are still wanted, -1: all) counts down. */
static cis_code list_one(struct sql_conn *conn, struct cis_view view, struct cis_str ns,
                         const struct range *range, bool values, int64_t *left, bool *out_more,
                         cis_kv_each *each, void *self, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_LIST, &st, err));
    cis_sql_bind_view(st, view);
    cis_sql_bind_str(st, 3, ns);
    cis_sql_bind(st, 4, range->lower, range->nlower);
    cis_sql_bind(st, 5, range->upper, range->nupper);
    sqlite3_bind_int64(st, 6, *left);
    sqlite3_bind_int(st, 7, values);
    for (*out_more = true; *out_more;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "listing memory", &row, err));
        if (!row) {
            return CIS_OK;
        }
        struct cis_kv_entry entry;
        cis_sql_kv_entry(st, &entry);
        *left -= *left > 0;
        *out_more = each(self, &entry) && *left != 0;
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

struct list_all {
    cis_kv_each *each;
    void *self;
    int64_t left;
    bool values;
};

static cis_code list_ns(struct sql_conn *conn, struct cis_view view, struct cis_str ns, void *self,
                        bool *out_more, struct cis_error *err)
{
    struct list_all *l = self;
    struct range range;
    range_all(&range);
    return list_one(conn, view, ns, &range, l->values, &l->left, out_more, l->each, l->self, err);
}

cis_code cis_sql_kv_list(cis_store *store, struct cis_str tenant, struct cis_view at,
                         const struct cis_kv_query *query, cis_kv_each *each, void *self,
                         const struct cis_stop *stop, struct cis_error *err)
{
    struct range range;
    CIS_TRY(range_of(query, &range, err));
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    struct cis_view view;
    CIS_TRY(open_at(store, tenant, at, stop, &conn, &view, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    int64_t limit = query->limit != 0 ? (int64_t)query->limit : -1;
    if (query->ns.ptr == NULL) {
        struct list_all l = {each, self, limit, query->values};
        return walk_namespaces(conn, view, list_ns, &l, err);
    }
    bool more;
    return list_one(conn, view, query->ns, &range, query->values, &limit, &more, each, self, err);
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
    struct list_all *l = self;
    struct range range;
    bool live = false, ignored;
    int64_t one = 1;
    range_all(&range);
    CIS_TRY(list_one(conn, view, ns, &range, false, &one, &ignored, note_live, &live, err));
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
    struct list_all l = {.each = each, .self = self};
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
