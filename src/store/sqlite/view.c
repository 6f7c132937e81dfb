/* Views: which branch owns an epoch, and whether its rows are still there. */
#include <inttypes.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "store/sqlite/internal.h"

static cis_code deleted(struct sql_conn *conn, struct cis_error *err)
{
    conn->broken = true; /* the name may come to stand for another file */
    return cis_fail(err, CIS_E_NOTFOUND, "%s: the tenant is being deleted", conn->path);
}

cis_code cis_sql_tree_check(struct sql_conn *conn, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_TREE_THERE, &st, err));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading the tenant", &row, err));
    return row ? CIS_OK : deleted(conn, err);
}

cis_code cis_sql_instance_check(struct sql_conn *conn, struct cis_str instance,
                                struct cis_error *err)
{
    if (instance.len == 0) {
        return CIS_OK;
    }
    if (conn->instance[0] == 0) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_TREE_GET, &st, err));
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "reading the tenant", &row, err));
        struct cis_bytes key = row ? cis_sql_bytes(st, 1) : cis_bytes_of(NULL, 0);
        if (key.len != 32) {
            return row ? cis_fail(err, CIS_E_DAMAGED, "%s: the tenant's key is damaged", conn->path)
                       : deleted(conn, err);
        }
        cis_store_instance_of(key.ptr, conn->instance);
    }
    if (cis_str_is(instance, conn->instance)) {
        return CIS_OK;
    }
    CIS_TRY(cis_sql_tree_check(conn, err)); /* or is it the file that is of the past? */
    return cis_fail(err, CIS_E_NOTFOUND, "%s: the tenant is deleted, the name is another's",
                    conn->path);
}

cis_code cis_sql_tenant_require(struct sql_store *store, struct cis_str tenant,
                                struct cis_error *err)
{
    struct cis_str whole = tenant, instance;
    cis_fs_tenant_split(whole, &tenant, &instance);
    CIS_TRY(cis_store_tenant_check(tenant, err));
    char name[CIS_TENANT_MAX + 1] = {0};
    memcpy(name, tenant.ptr, tenant.len);
    bool there;
    CIS_TRY(cis_sql_tenant_exists(store, name, NULL, &there, err));
    return there ? CIS_OK : cis_fail(err, CIS_E_NOTFOUND, "tenant %s: no such tenant", name);
}

static cis_code head_of(struct sql_conn *conn, struct cis_view *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_VIEW_HEAD, &st, err));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading the head", &row, err));
    if (!row) {
        return deleted(conn, err);
    }
    out->branch = (uint64_t)sqlite3_column_int64(st, 0);
    out->epoch = (uint64_t)sqlite3_column_int64(st, 1);
    return CIS_OK;
}

cis_code cis_sql_view_kept(struct sql_conn *conn, struct cis_view owner, bool *out,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_VIEW_KEPT, &st, err));
    cis_sql_bind_view(st, owner);
    sqlite3_bind_int64(st, 3, cis_sql_lease_ms(conn->store));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading a view", &row, err));
    *out = row && sqlite3_column_int64(st, 0) != 0;
    return CIS_OK;
}

cis_code cis_sql_view_owner(struct sql_conn *conn, struct cis_view at, struct cis_view *out_owner,
                            struct cis_error *err)
{
    struct cis_view owner = {0, at.epoch};
    int64_t head = -1, floor = 0;
    {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_VIEW_OWNER, &st, err));
        cis_sql_bind_view(st, at);
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "reading a view", &row, err));
        if (row) {
            owner.branch = (uint64_t)sqlite3_column_int64(st, 0);
            head = sqlite3_column_int64(st, 1);
            floor = sqlite3_column_int64(st, 2);
        }
    }
    if (head < 0 || at.epoch > (uint64_t)head) {
        CIS_TRY(cis_sql_tree_check(conn, err));
        return cis_fail(err, CIS_E_NOTFOUND,
                        "branch %" PRIu64 " at epoch %" PRIu64 ": no such state", at.branch,
                        at.epoch);
    }
    if (at.epoch < (uint64_t)floor) {
        bool kept;
        CIS_TRY(cis_sql_view_kept(conn, owner, &kept, err));
        if (!kept) {
            return cis_fail(err, CIS_E_EXPIRED,
                            "branch %" PRIu64 " at epoch %" PRIu64
                            ": expired, the oldest state kept is epoch %" PRId64,
                            at.branch, at.epoch, floor);
        }
    }
    *out_owner = owner;
    return CIS_OK;
}

cis_code cis_sql_view_open(struct sql_conn *conn, struct cis_view at, struct cis_view *out_view,
                           struct cis_error *err)
{
    CIS_TRY(cis_sql_exec(conn, "BEGIN", "reading", err));
    if (at.branch == 0) {
        return head_of(conn, out_view, err);
    }
    struct cis_view owner;
    CIS_TRY(cis_sql_view_owner(conn, at, &owner, err));
    *out_view = at;
    return CIS_OK;
}

cis_code cis_sql_view_counts(struct sql_conn *conn, struct cis_view owner, struct sql_counts *out,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_VIEW_COUNTS, &st, err));
    cis_sql_bind_view(st, owner);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading a commit", &row, err));
    *out = (struct sql_counts){0, 0, 0, 0}; /* a tree begins empty at epoch 0 */
    if (row) {
        *out = (struct sql_counts){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
                                   sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3)};
    } else if (owner.epoch != 0) {
        return cis_fail(err, CIS_E_DAMAGED, "%s: the commit of epoch %" PRIu64 " is missing",
                        conn->path, owner.epoch);
    }
    return CIS_OK;
}
