/* Views: which branch owns an epoch, and whether its rows are still there. */
#include <inttypes.h>
#include "store/postgres/internal.h"

void cis_pg_args_view(struct pg_args *args, const struct pg_conn *conn, struct cis_view view)
{
    cis_pg_arg_int(args, conn->tenant);
    cis_pg_arg_u64(args, view.branch);
    cis_pg_arg_u64(args, view.epoch);
}

static cis_code check_owner(struct pg_conn *conn, struct cis_view at, const PGresult *res,
                            struct pg_owner *out, struct cis_error *err)
{
    if (PQntuples(res) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return cis_fail(err, CIS_E_NOTFOUND,
                        "branch %" PRIu64 " at epoch %" PRIu64 ": no such state", at.branch,
                        at.epoch);
    }
    if (cis_pg_int(res, 0, 1) == 0) {
        return cis_fail(err, CIS_E_EXPIRED,
                        "branch %" PRIu64 " at epoch %" PRIu64
                        ": expired, the oldest state kept is epoch %" PRIu64,
                        at.branch, at.epoch, cis_pg_u64(res, 0, 8));
    }
    if (cis_pg_int(res, 0, 7) == 0 && at.epoch != 0) { /* a tree begins empty at epoch 0 */
        return cis_fail(err, CIS_E_DAMAGED, "%s: the commit of epoch %" PRIu64 " is missing",
                        conn->store->place, at.epoch);
    }
    *out = (struct pg_owner){.view = {cis_pg_u64(res, 0, 0), at.epoch},
                             .forked = cis_pg_int(res, 0, 6) != 0,
                             .files = cis_pg_u64(res, 0, 2),
                             .bytes = cis_pg_u64(res, 0, 3),
                             .kv_bytes = cis_pg_u64(res, 0, 4),
                             .kv_keys = cis_pg_u64(res, 0, 5)};
    return CIS_OK;
}

static cis_code find_owner(struct pg_conn *conn, struct cis_view at, uint64_t hold,
                           struct pg_owner *out, struct cis_error *err)
{
    struct pg_args args = {0}, branch = {0};
    cis_pg_args_view(&args, conn, at);
    if (hold != 0) { /* the look itself is a later statement: it sees what the lock waited for */
        cis_pg_arg_int(&branch, conn->tenant);
        cis_pg_arg_u64(&branch, hold);
        CIS_TRY(cis_pg_send(conn, PG_BRANCH_HOLD, &branch, err));
    }
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(conn, PG_OWNER, &args, &res, err));
    return check_owner(conn, at, res, out, err);
}

static cis_code find_head(struct pg_conn *conn, struct cis_view *out, struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(conn, PG_HEAD, &args, &res, err));
    if (PQntuples(res) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return cis_fail(err, CIS_E_DAMAGED, "%s: the current branch is missing",
                        conn->store->place);
    }
    *out = (struct cis_view){cis_pg_u64(res, 0, 0), cis_pg_u64(res, 0, 1)};
    return CIS_OK;
}

cis_code cis_pg_view_owner(struct pg_conn *conn, struct cis_view view, bool hold,
                           struct pg_owner *out, struct cis_error *err)
{
    if (view.branch == 0) {
        CIS_TRY(find_head(conn, &view, err));
    }
    CIS_TRY(find_owner(conn, view, 0, out, err));
    return hold ? find_owner(conn, view, out->view.branch, out, err) : CIS_OK;
}

cis_code cis_pg_view_enter(struct pg_conn *conn, struct cis_view at, struct pg_own *out_own,
                           struct cis_error *err)
{
    size_t slot = (at.branch ^ at.epoch) % PG_SEEN;
    if (at.branch == 0 || conn->seen[slot].at.branch != at.branch ||
        conn->seen[slot].at.epoch != at.epoch) {
        struct pg_owner owner;
        CIS_TRY(cis_pg_view_owner(conn, at, false, &owner, err));
        conn->seen[slot].at = at.branch != 0 ? at : owner.view;
        conn->seen[slot].own = (struct pg_own){owner.view, owner.forked};
    }
    *out_own = conn->seen[slot].own;
    return CIS_OK;
}

cis_code cis_pg_view_send(struct pg_conn *conn, const struct pg_own *own, struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, own->view.branch);
    CIS_TRY(cis_pg_send(conn, PG_FLOOR, &args, err));
    return cis_pg_sync(conn, err);
}

cis_code cis_pg_view_valid(struct pg_conn *conn, const struct pg_own *own, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_next(conn, PG_FLOOR, &res, err));
    CIS_TRY(cis_pg_finish(conn, err));
    return cis_pg_view_floor(conn, own, res, 0, err);
}

cis_code cis_pg_view_floor(struct pg_conn *conn, const struct pg_own *own, const PGresult *res,
                           int column, struct cis_error *err)
{
    if (PQntuples(res) != 0 && cis_pg_u64(res, 0, column) <= own->view.epoch) {
        return CIS_OK;
    }
    struct pg_owner owner; /* below the floor, or removed: something may still hold it */
    return find_owner(conn, own->view, 0, &owner, err);
}

struct check {
    struct cis_view view;
    struct pg_owner owner;
};

static cis_code check(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct check *c = arg;
    return cis_pg_view_owner(conn, c->view, false, &c->owner, err);
}

cis_code cis_pg_view_check(cis_store *store, struct cis_str tenant, struct cis_view view,
                           struct cis_view *out_owner, const struct cis_stop *stop,
                           struct cis_error *err)
{
    struct check c = {.view = view};
    CIS_TRY(cis_pg_read((struct pg_store *)store, tenant, check, &c, NULL, stop, err));
    if (out_owner != NULL) {
        *out_owner = c.owner.view;
    }
    return CIS_OK;
}
