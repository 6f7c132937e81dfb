/* Refs and branches: names that point at branches, forks, rollback, leases. One row each, whatever
 * the tree holds. */
#include <inttypes.h>
#include "base/clock.h"
#include "store/sqlite/fs_commit.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/internal.h"

static cis_code no_such(struct cis_str name, struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOTFOUND, "branch " CIS_STR_FMT ": no such branch",
                    CIS_STR_ARG(name));
}

/* ---- reading ---- */

static void text_of(sqlite3_stmt *st, int column, char *out, size_t size)
{
    struct cis_bytes b = cis_sql_bytes(st, column);
    size_t len = b.len < size ? b.len : size - 1;
    memcpy(out, b.ptr, len);
    out[len] = 0;
}

static void ref_of(sqlite3_stmt *st, struct cis_fs_ref *out)
{
    uint64_t n[8];
    for (int i = 1; i <= 7; i++) {
        n[i] = (uint64_t)sqlite3_column_int64(st, i);
    }
    *out = (struct cis_fs_ref){.head = {n[1], n[2]},
                               .files = n[3],
                               .bytes = n[4],
                               .parent = n[5],
                               .fork_epoch = n[6],
                               .created_ms = (int64_t)n[7],
                               .current = sqlite3_column_int64(st, 8) != 0,
                               .fence = (uint64_t)sqlite3_column_int64(st, 10)};
    text_of(st, 0, out->name, sizeof out->name);
    text_of(st, 9, out->holder, sizeof out->holder);
}

static cis_code ref_read(struct sql_conn *conn, struct cis_str name, struct cis_fs_ref *out,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_REF_GET, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_lease_ms(conn->store));
    cis_sql_bind_str(st, 2, name);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading a branch", &row, err));
    if (!row) {
        CIS_TRY(cis_sql_tree_check(conn, err));
        return no_such(name, err);
    }
    ref_of(st, out);
    return CIS_OK;
}

cis_code cis_sql_ref_get(cis_store *store, struct cis_str tenant, struct cis_str name,
                         struct cis_fs_ref *out, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_tenant_require((struct sql_store *)store, tenant, err));
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, true, stop, &conn, err));
    return ref_read(conn, name, out, err);
}

static cis_code ref_each(cis_store *store, struct cis_str tenant, enum sql_id id,
                         cis_fs_ref_each *each, void *self, const struct cis_stop *stop,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, id, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_lease_ms(conn->store));
    for (bool wanted = true; wanted;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "listing branches", &row, err));
        if (!row) {
            break;
        }
        struct cis_fs_ref ref;
        ref_of(st, &ref);
        wanted = each(self, &ref);
    }
    return CIS_OK;
}

cis_code cis_sql_ref_list(cis_store *store, struct cis_str tenant, cis_fs_ref_each *each,
                          void *self, const struct cis_stop *stop, struct cis_error *err)
{
    return ref_each(store, tenant, SQL_REF_LIST, each, self, stop, err);
}

cis_code cis_sql_branches(cis_store *store, struct cis_str tenant, cis_fs_ref_each *each,
                          void *self, const struct cis_stop *stop, struct cis_error *err)
{
    return ref_each(store, tenant, SQL_BRANCH_LIST, each, self, stop, err);
}

cis_code cis_sql_view_check(cis_store *store, struct cis_str tenant, struct cis_view view,
                            struct cis_view *out_owner, const struct cis_stop *stop,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_tenant_require((struct sql_store *)store, tenant, err));
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, true, stop, &conn, err));
    struct cis_view at, owner;
    CIS_TRY(cis_sql_view_open(conn, view, &at, err));
    CIS_TRY(cis_sql_view_owner(conn, at, &owner, err));
    if (out_owner != NULL) {
        *out_owner = owner;
    }
    return CIS_OK;
}

/* ---- forks ---- */

/* A branch forked from an owner's view: its row and its lineage. */
static cis_code branch_make(struct sql_conn *conn, struct cis_view from, int64_t now, bool moves,
                            uint64_t *out_branch, struct cis_error *err)
{
    struct sql_counts counts;
    CIS_TRY(cis_sql_view_counts(conn, from, &counts, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_BRANCH_PUT, &st, err));
    cis_sql_bind_view(st, from);
    const int64_t rest[5] = {now, counts.files, counts.bytes, counts.kv_bytes, counts.kv_keys};
    for (int i = 0; i < 5; i++) {
        sqlite3_bind_int64(st, 3 + i, rest[i]);
    }
    CIS_TRY(cis_sql_done(conn, st, "making a branch", err));
    int64_t id = sqlite3_last_insert_rowid(conn->db);
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *lineage = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_LINEAGE_PUT, &lineage, err));
    sqlite3_bind_int64(lineage, 1, id);
    sqlite3_bind_int64(lineage, 2, cis_sql_i64(from.branch));
    sqlite3_bind_int64(lineage, 3, cis_sql_i64(from.epoch));
    CIS_TRY(cis_sql_done(conn, lineage, "making a branch", err));
    CIS_TRY(cis_fs_lineage_check((uint64_t)sqlite3_changes64(conn->db) - 1, moves, err));
    *out_branch = (uint64_t)id;
    return CIS_OK;
}

static cis_code ref_there(struct sql_conn *conn, struct cis_str name, bool *out,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_REF_THERE, &st, err));
    cis_sql_bind_str(st, 1, name);
    return cis_sql_row(conn, st, "reading a branch", out, err);
}

struct fork {
    struct cis_view from;
    const struct cis_str *names;
    size_t n;
};

static cis_code fork_one(struct sql_conn *conn, struct cis_view owner, struct cis_str name,
                         int64_t now, struct cis_error *err)
{
    bool there;
    CIS_TRY(ref_there(conn, name, &there, err));
    if (there) {
        return cis_fail(err, CIS_E_EXISTS, "branch " CIS_STR_FMT ": exists already",
                        CIS_STR_ARG(name));
    }
    uint64_t branch;
    CIS_TRY(branch_make(conn, owner, now, false, &branch, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_REF_PUT, &st, err));
    cis_sql_bind_str(st, 1, name);
    sqlite3_bind_int64(st, 2, cis_sql_i64(branch));
    sqlite3_bind_int64(st, 3, now);
    return cis_sql_done(conn, st, "making a branch", err);
}

cis_code cis_sql_fork_in(struct sql_conn *conn, struct cis_view from, const struct cis_str *names,
                         size_t n, struct cis_error *err)
{
    struct cis_view owner;
    CIS_TRY(cis_sql_view_owner(conn, from, &owner, err));
    int64_t now = cis_clock_wall_ms();
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(fork_one(conn, owner, names[i], now, err));
    }
    return CIS_OK;
}

static cis_code fork_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct fork *f = arg;
    return cis_sql_fork_in(conn, f->from, f->names, f->n, err);
}

cis_code cis_sql_fork(cis_store *store, struct cis_str tenant, struct cis_view from,
                      const struct cis_str *names, size_t n, const struct cis_stop *stop,
                      struct cis_error *err)
{
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(cis_fs_ref_check(names[i], err));
    }
    struct fork f = {from, names, n};
    return cis_sql_write_existing((struct sql_store *)store, tenant, fork_apply, &f, true, stop,
                                  err);
}

/* ---- moving, switching, removing ---- */

struct move {
    const struct cis_fs_move_request *asked;
    struct cis_view *out;
};

static cis_code not_leased(const struct cis_fs_ref *ref, uint64_t fence, struct cis_error *err)
{
    return ref->fence == 0 || ref->fence == fence
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT, "branch %s: in use by %s", ref->name, ref->holder);
}

/* From now on the branch's time is when it lost its name: gc lets its readers finish. */
static cis_code branch_left(struct sql_conn *conn, uint64_t branch, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_BRANCH_LEFT, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(branch));
    sqlite3_bind_int64(st, 2, cis_clock_wall_ms());
    return cis_sql_done(conn, st, "leaving a branch", err);
}

static cis_code move_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct move *m = arg;
    struct cis_fs_ref ref;
    CIS_TRY(ref_read(conn, m->asked->name, &ref, err));
    CIS_TRY(not_leased(&ref, m->asked->fence, err));
    if (ref.head.branch != m->asked->expect.branch || ref.head.epoch != m->asked->expect.epoch) {
        return cis_fail(err, CIS_E_CONFLICT, "branch %s: changed meanwhile", ref.name);
    }
    struct cis_view owner, here, made = {0, m->asked->to.epoch};
    CIS_TRY(cis_sql_view_owner(conn, m->asked->to, &owner, err));
    CIS_TRY(cis_sql_view_owner(conn, ref.head, &here, err));
    if (owner.branch == here.branch && owner.epoch == here.epoch) {
        *m->out = ref.head;
        return CIS_OK;
    }
    CIS_TRY(cis_sql_reflog_put(conn, &ref, here, m->asked->why, err));
    CIS_TRY(branch_make(conn, owner, cis_clock_wall_ms(), true, &made.branch, err));
    CIS_TRY(branch_left(conn, ref.head.branch, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_REF_MOVE, &st, err));
    cis_sql_bind_str(st, 1, cis_str_of(ref.name));
    sqlite3_bind_int64(st, 2, cis_sql_i64(made.branch));
    *m->out = made;
    return cis_sql_done(conn, st, "moving a branch", err);
}

cis_code cis_sql_ref_move(cis_store *store, struct cis_str tenant,
                          const struct cis_fs_move_request *request, struct cis_view *out_head,
                          const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_view made = {0, 0};
    struct move m = {request, &made};
    CIS_TRY(
        cis_sql_write_existing((struct sql_store *)store, tenant, move_apply, &m, true, stop, err));
    if (out_head != NULL) {
        *out_head = made;
    }
    return CIS_OK;
}

static cis_code switch_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_str *name = arg;
    bool there;
    CIS_TRY(ref_there(conn, *name, &there, err));
    if (!there) {
        return no_such(*name, err);
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_TREE_SWITCH, &st, err));
    cis_sql_bind_str(st, 1, *name);
    return cis_sql_done(conn, st, "switching", err);
}

cis_code cis_sql_ref_switch(cis_store *store, struct cis_str tenant, struct cis_str name,
                            const struct cis_stop *stop, struct cis_error *err)
{
    CIS_TRY(cis_fs_ref_check(name, err));
    return cis_sql_write_existing((struct sql_store *)store, tenant, switch_apply, &name,
                                  SQL_DURABLE | SQL_HELPS, stop, err);
}

struct removal {
    struct cis_str name, why;
    const struct cis_view *head; /* it goes with this head alone; NULL: with any */
};

static cis_code remove_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct removal *r = arg;
    struct cis_fs_ref ref;
    struct cis_view here;
    CIS_TRY(ref_read(conn, r->name, &ref, err));
    if (r->head != NULL &&
        (ref.current || ref.head.branch != r->head->branch || ref.head.epoch != r->head->epoch)) {
        return cis_fail(err, CIS_E_CONFLICT, "branch %s: changed meanwhile", ref.name);
    }
    if (ref.current) {
        return cis_fail(err, CIS_E_USAGE, "branch %s: is the current one; switch to another first",
                        ref.name);
    }
    CIS_TRY(not_leased(&ref, 0, err));
    CIS_TRY(branch_left(conn, ref.head.branch, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_REF_DELETE, &st, err));
    cis_sql_bind_str(st, 1, cis_str_of(ref.name));
    CIS_TRY(cis_sql_done(conn, st, "removing a branch", err));
    if (r->why.len == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_sql_view_owner(conn, ref.head, &here, err));
    CIS_TRY(cis_sql_reflog_put(conn, &ref, here, r->why, err));
    return cis_sql_reflog_cut_lost(conn, err);
}

cis_code cis_sql_ref_remove(cis_store *store, struct cis_str tenant, struct cis_str name,
                            struct cis_str why, const struct cis_stop *stop, struct cis_error *err)
{
    struct removal r = {name, why, NULL};
    CIS_TRY(cis_fs_ref_check(name, err));
    return cis_sql_write_existing((struct sql_store *)store, tenant, remove_apply, &r,
                                  SQL_DURABLE | SQL_FREES, stop, err);
}

cis_code cis_sql_ref_expire(cis_store *store, struct cis_str tenant, struct cis_str name,
                            struct cis_view head, const struct cis_stop *stop,
                            struct cis_error *err)
{
    struct removal r = {name, CIS_STR(""), &head};
    CIS_TRY(cis_fs_ref_check(name, err));
    return cis_sql_write_existing((struct sql_store *)store, tenant, remove_apply, &r,
                                  SQL_DURABLE | SQL_FREES, stop, err);
}

/* ---- leases ---- */

struct lease {
    struct cis_str ref, holder;
    uint64_t fence;
    uint32_t ttl_ms;
    uint64_t *out;
};

static cis_code lease_set(struct sql_conn *conn, struct cis_str ref, struct cis_str holder,
                          uint64_t fence, int64_t until, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_LEASE_SET, &st, err));
    cis_sql_bind_str(st, 1, ref);
    cis_sql_bind_str(st, 2, holder);
    sqlite3_bind_int64(st, 3, cis_sql_i64(fence));
    sqlite3_bind_int64(st, 4, until);
    return cis_sql_done(conn, st, "leasing a branch", err);
}

static cis_code fence_next(struct sql_conn *conn, uint64_t *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_FENCE_NEXT, &st, err));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "leasing a branch", &row, err));
    if (!row) {
        return cis_sql_tree_check(conn, err);
    }
    *out = (uint64_t)sqlite3_column_int64(st, 0);
    return cis_sql_row(conn, st, "leasing a branch", &row, err);
}

static cis_code lease_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct lease *l = arg;
    int64_t now = cis_sql_lease_ms(conn->store);
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_LEASE_GET, &st, err));
    cis_sql_bind_str(st, 1, l->ref);
    sqlite3_bind_int64(st, 2, now);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "leasing a branch", &row, err));
    if (!row) {
        return no_such(l->ref, err);
    }
    struct cis_str other = cis_sql_str(st, 0);
    uint64_t fence = (uint64_t)sqlite3_column_int64(st, 1);
    bool held = fence != 0 && sqlite3_column_int64(st, 2) != 0;
    bool mine = l->fence != 0 && fence == l->fence;
    *l->out = l->fence;
    if (l->ttl_ms == 0) {
        return mine ? lease_set(conn, l->ref, CIS_STR(""), 0, 0, err) : CIS_OK;
    }
    if (held && !mine) {
        return cis_fail(err, CIS_E_CONFLICT, "branch " CIS_STR_FMT ": in use by " CIS_STR_FMT,
                        CIS_STR_ARG(l->ref), CIS_STR_ARG(other));
    }
    if (l->fence != 0 && !mine) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "branch " CIS_STR_FMT ": the lease expired, and another holder has it now",
                        CIS_STR_ARG(l->ref));
    }
    if (l->fence == 0) {
        CIS_TRY(fence_next(conn, l->out, err));
    }
    return lease_set(conn, l->ref, l->holder, *l->out, now + l->ttl_ms, err);
}

/* Not forced to the disk: a holder does not outlive the power either. */
cis_code cis_sql_lease(cis_store *store, struct cis_str tenant,
                       const struct cis_fs_lease_request *request, uint64_t *out_fence,
                       const struct cis_stop *stop, struct cis_error *err)
{
    CIS_TRY(cis_fs_ref_check(request->ref, err));
    struct cis_str name = cis_str_of(request->holder != NULL ? request->holder : "");
    if (name.len >= sizeof((struct cis_fs_ref *)NULL)->holder) {
        return cis_fail(err, CIS_E_INVALID, "lease: the holder's name is too long");
    }
    uint64_t got = 0;
    struct lease l = {request->ref, name, request->fence, request->ttl_ms, &got};
    CIS_TRY(cis_sql_write_existing((struct sql_store *)store, tenant, lease_apply, &l, SQL_HELPS,
                                   stop, err));
    if (out_fence != NULL) {
        *out_fence = got;
    }
    return CIS_OK;
}
