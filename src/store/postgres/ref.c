/* Refs and branches: names that point at branches, forks, rollback, leases. */
#include "base/mem.h"
#include "store/postgres/internal.h"

static cis_code no_such(struct pg_conn *conn, struct cis_str name, struct cis_error *err)
{
    CIS_TRY(cis_pg_alive(conn, err));
    return cis_fail(err, CIS_E_NOTFOUND, "branch " CIS_STR_FMT ": no such branch",
                    CIS_STR_ARG(name));
}

static cis_code ask_named(struct pg_conn *conn, enum pg_id id, struct cis_str name, PGresult **out,
                          struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, name);
    return cis_pg_ask(conn, id, &args, out, err);
}

/* ---- reading ---- */
static void ref_of(const PGresult *res, int row, struct cis_fs_ref *out)
{
    bool leased = cis_pg_int(res, row, 11) > cis_pg_int(res, row, 12);
    *out = (struct cis_fs_ref){.head = {cis_pg_u64(res, row, 1), cis_pg_u64(res, row, 2)},
                               .files = cis_pg_u64(res, row, 3),
                               .bytes = cis_pg_u64(res, row, 4),
                               .parent = cis_pg_u64(res, row, 5),
                               .fork_epoch = cis_pg_u64(res, row, 6),
                               .created_ms = cis_pg_int(res, row, 7),
                               .current = cis_pg_int(res, row, 8) != 0,
                               .fence = leased ? cis_pg_u64(res, row, 10) : 0};
    cis_pg_text(res, row, 0, out->name, sizeof out->name);
    if (leased) {
        cis_pg_text(res, row, 9, out->holder, sizeof out->holder);
    }
}

struct query {
    enum pg_id id;
    struct cis_str name;
    struct cis_fs_ref *out;
    cis_fs_ref_each *each;
    void *self;
};

static cis_code get(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct query *q = arg;
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(ask_named(conn, PG_REF_GET, q->name, &res, err));
    if (PQntuples(res) == 0) {
        return no_such(conn, q->name, err);
    }
    ref_of(res, 0, q->out);
    return CIS_OK;
}

cis_code cis_pg_ref_get(cis_store *store, struct cis_str tenant, struct cis_str name,
                        struct cis_fs_ref *out, const struct cis_stop *stop, struct cis_error *err)
{
    struct query q = {.name = name, .out = out};
    return cis_pg_read((struct pg_store *)store, tenant, get, &q, NULL, stop, err);
}

static cis_code each_ref(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct query *q = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    CIS_TRY(cis_pg_ask(conn, q->id, &args, &res, err));
    if (PQntuples(res) == 0) {
        return cis_pg_alive(conn, err);
    }
    conn->told = true;
    for (int i = 0; i < PQntuples(res); i++) {
        struct cis_fs_ref ref;
        ref_of(res, i, &ref);
        if (!q->each(q->self, &ref)) {
            break;
        }
    }
    return CIS_OK;
}

static cis_code read_all(cis_store *store, struct cis_str tenant, enum pg_id id,
                         cis_fs_ref_each *each, void *self, const struct cis_stop *stop,
                         struct cis_error *err)
{
    struct query q = {.id = id, .each = each, .self = self};
    bool absent;
    return cis_pg_read((struct pg_store *)store, tenant, each_ref, &q, &absent, stop, err);
}

cis_code cis_pg_ref_list(cis_store *store, struct cis_str tenant, cis_fs_ref_each *each, void *self,
                         const struct cis_stop *stop, struct cis_error *err)
{
    return read_all(store, tenant, PG_REF_LIST, each, self, stop, err);
}

cis_code cis_pg_branches(cis_store *store, struct cis_str tenant, cis_fs_ref_each *each, void *self,
                         const struct cis_stop *stop, struct cis_error *err)
{
    return read_all(store, tenant, PG_BRANCHES, each, self, stop, err);
}

/* ---- forks ---- */
struct fork {
    struct cis_view from;
    const struct cis_str *names;
    size_t n;
    struct cis_str name; /* move */
    struct cis_view expect;
    uint64_t fence;
    struct cis_str why;
    struct cis_view made;
};

static cis_code taken(struct cis_str name, struct cis_error *err)
{
    return cis_fail(err, CIS_E_EXISTS, "branch " CIS_STR_FMT ": exists already", CIS_STR_ARG(name));
}

/* A name twice in one call, which the index would refuse without saying which. */
static cis_code names_distinct(const struct fork *f, struct cis_error *err)
{
    struct cis_map map = CIS_MAP_INIT;
    cis_code code = CIS_OK;
    for (size_t i = 0; i < f->n && code == CIS_OK; i++) {
        void *old = NULL;
        code = cis_map_set(&map, f->names[i], &map, &old, err);
        if (code == CIS_OK && old != NULL) {
            code = taken(f->names[i], err);
        }
    }
    cis_map_done(&map, NULL);
    return code;
}

static void args_counts(struct pg_args *args, const struct pg_owner *owner)
{
    cis_pg_arg_u64(args, owner->files);
    cis_pg_arg_u64(args, owner->bytes);
    cis_pg_arg_u64(args, owner->kv_bytes);
    cis_pg_arg_u64(args, owner->kv_keys);
}

/* Of a branch that is made of this one. */
static cis_code check_lineage(struct pg_conn *conn, uint64_t branch, bool moves,
                              struct cis_error *err)
{
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, branch);
    CIS_TRY(cis_pg_ask(conn, PG_ANCESTORS, &args, &res, err));
    return cis_fs_lineage_check(cis_pg_u64(res, 0, 0), moves, err);
}

cis_code cis_pg_fork_in(struct pg_conn *conn, struct cis_view from, const struct cis_str *of,
                        size_t n, struct cis_error *err)
{
    struct pg_owner owner;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array names = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    struct pg_args there = {0}, args = {0};
    for (size_t i = 0; i < n; i++) {
        cis_pg_array_bytes(&names, of[i].ptr, of[i].len);
    }
    CIS_TRY(cis_pg_view_owner(conn, from, true, &owner, err));
    CIS_TRY(check_lineage(conn, owner.view.branch, false, err));
    cis_pg_arg_int(&there, conn->tenant);
    cis_pg_arg_blobs(&there, &names);
    CIS_TRY(cis_pg_ask(conn, PG_REFS_TAKEN, &there, &res, err));
    if (PQntuples(res) != 0) {
        return taken(cis_pg_str(res, 0, 0), err);
    }
    cis_pg_args_view(&args, conn, owner.view);
    cis_pg_arg_blobs(&args, &names);
    args_counts(&args, &owner);
    return cis_pg_send(conn, PG_FORK, &args, err);
}

cis_code cis_pg_fork_explain(struct pg_conn *conn, struct cis_str name, struct cis_error *err)
{
    return conn->failed == PG_FORK && strcmp(conn->sqlstate, "23505") == 0 ? taken(name, err)
                                                                           : CIS_OK;
}

static cis_code fork_work(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct fork *f = arg;
    return cis_pg_fork_in(conn, f->from, f->names, f->n, err);
}

static cis_code fork_explain(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct fork *f = arg;
    return cis_pg_fork_explain(conn, f->names[0], err);
}

cis_code cis_pg_fork(cis_store *store, struct cis_str tenant, struct cis_view from,
                     const struct cis_str *names, size_t n, const struct cis_stop *stop,
                     struct cis_error *err)
{
    struct fork f = {.from = from, .names = names, .n = n};
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(cis_fs_ref_check(names[i], err));
    }
    CIS_TRY(names_distinct(&f, err));
    struct pg_write write = {.work = fork_work, .arg = &f, .explain = fork_explain};
    return n != 0 ? cis_pg_write((struct pg_store *)store, tenant, &write, stop, err) : CIS_OK;
}

/* ---- moving, switching, removing ---- */
static cis_code not_leased(const PGresult *ref, uint64_t fence, struct cis_error *err)
{
    bool leased = cis_pg_int(ref, 0, 4) > cis_pg_int(ref, 0, 5);
    return !leased || cis_pg_u64(ref, 0, 3) == fence
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT, "branch " CIS_STR_FMT ": in use by " CIS_STR_FMT,
                          CIS_STR_ARG(cis_pg_str(ref, 0, 0)), CIS_STR_ARG(cis_pg_str(ref, 0, 2)));
}

static cis_code lock_head(struct pg_conn *conn, const struct fork *f, PGresult **out_ref,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *ref = NULL, *branch = NULL;
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, f->name);
    CIS_TRY(cis_pg_send(conn, PG_REF_LOCK, &args, err));
    CIS_TRY(cis_pg_send(conn, PG_BRANCH_LOCK, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_next(conn, PG_REF_LOCK, &ref, err));
    CIS_TRY(cis_pg_next(conn, PG_BRANCH_LOCK, &branch, err));
    CIS_TRY(cis_pg_finish(conn, err));
    if (PQntuples(ref) == 0 || PQntuples(branch) == 0) {
        return no_such(conn, f->name, err);
    }
    CIS_TRY(not_leased(ref, f->fence, err));
    if (cis_pg_u64(ref, 0, 1) != f->expect.branch || cis_pg_u64(branch, 0, 0) != f->expect.branch ||
        cis_pg_u64(branch, 0, 1) != f->expect.epoch) {
        return cis_fail(err, CIS_E_CONFLICT, "branch " CIS_STR_FMT ": changed meanwhile",
                        CIS_STR_ARG(cis_pg_str(ref, 0, 0)));
    }
    *out_ref = cis_take(&ref);
    return CIS_OK;
}

static cis_code move(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct fork *f = arg;
    struct pg_owner owner, here;
    CIS_CLEANUP(cis_pg_clear) PGresult *ref = NULL, *res = NULL;
    CIS_TRY(lock_head(conn, f, &ref, err));
    CIS_TRY(cis_pg_view_owner(conn, f->from, true, &owner, err));
    if (owner.view.epoch == f->expect.epoch) {
        CIS_TRY(cis_pg_view_owner(conn, f->expect, false, &here, err));
        if (here.view.branch == owner.view.branch) {
            f->made = f->expect;
            return CIS_OK;
        }
    }
    CIS_TRY(check_lineage(conn, owner.view.branch, true, err));
    CIS_TRY(cis_pg_reflog_put(conn, cis_pg_str(ref, 0, 0), f->expect, f->why, err));
    struct pg_args args = {0};
    cis_pg_args_view(&args, conn, owner.view);
    cis_pg_arg_str(&args, cis_pg_str(ref, 0, 0));
    args_counts(&args, &owner);
    CIS_TRY(cis_pg_ask(conn, PG_MOVE, &args, &res, err));
    f->made = (struct cis_view){cis_pg_u64(res, 0, 0), owner.view.epoch};
    return CIS_OK;
}

cis_code cis_pg_ref_move(cis_store *store, struct cis_str tenant,
                         const struct cis_fs_move_request *request, struct cis_view *out_head,
                         const struct cis_stop *stop, struct cis_error *err)
{
    struct fork f = {.from = request->to,
                     .name = request->name,
                     .expect = request->expect,
                     .fence = request->fence,
                     .why = request->why};
    struct pg_write write = {.work = move, .arg = &f};
    CIS_TRY(cis_pg_write((struct pg_store *)store, tenant, &write, stop, err));
    if (out_head != NULL) {
        *out_head = f.made;
    }
    return CIS_OK;
}

/* The tree's row is locked by switching and by removing: what is current is not removed. */
static cis_code lock_tree(struct pg_conn *conn, struct cis_str name, PGresult **out_tree,
                          PGresult **out_ref, struct cis_error *err)
{
    struct pg_args tree = {0}, ref = {0};
    cis_pg_arg_int(&tree, conn->tenant);
    cis_pg_arg_int(&ref, conn->tenant);
    cis_pg_arg_str(&ref, name);
    CIS_TRY(cis_pg_send(conn, PG_TREE_LOCK, &tree, err));
    CIS_TRY(cis_pg_send(conn, PG_REF_LOCK, &ref, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_next(conn, PG_TREE_LOCK, out_tree, err));
    CIS_TRY(cis_pg_next(conn, PG_REF_LOCK, out_ref, err));
    CIS_TRY(cis_pg_finish(conn, err));
    return PQntuples(*out_tree) != 0 && PQntuples(*out_ref) != 0 ? CIS_OK
                                                                 : no_such(conn, name, err);
}

static cis_code switch_to(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct cis_str *name = arg;
    CIS_CLEANUP(cis_pg_clear) PGresult *tree = NULL, *ref = NULL;
    CIS_TRY(lock_tree(conn, *name, &tree, &ref, err));
    return ask_named(conn, PG_TREE_CURRENT, *name, NULL, err);
}

cis_code cis_pg_ref_switch(cis_store *store, struct cis_str tenant, struct cis_str name,
                           const struct cis_stop *stop, struct cis_error *err)
{
    struct pg_write write = {.work = switch_to, .arg = &name};
    CIS_TRY(cis_fs_ref_check(name, err));
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}

struct removal {
    struct cis_str name, why;
    const struct cis_view *head; /* it goes with this head alone; NULL: with any */
};

/* Of a ref that is locked; commits wait for the branch's row from here on. */
static cis_code still_at(struct pg_conn *conn, struct cis_str name, struct cis_str current,
                         const struct cis_view *head, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *branch = NULL;
    CIS_TRY(ask_named(conn, PG_BRANCH_LOCK, name, &branch, err));
    return !cis_str_eq(current, name) && PQntuples(branch) != 0 &&
                   cis_pg_u64(branch, 0, 0) == head->branch &&
                   cis_pg_u64(branch, 0, 1) == head->epoch
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT, "branch " CIS_STR_FMT ": changed meanwhile",
                          CIS_STR_ARG(name));
}

static cis_code removing(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct removal *r = arg;
    CIS_CLEANUP(cis_pg_clear) PGresult *tree = NULL, *ref = NULL, *branch = NULL;
    CIS_TRY(lock_tree(conn, r->name, &tree, &ref, err));
    if (r->head != NULL) {
        CIS_TRY(still_at(conn, r->name, cis_pg_str(tree, 0, 0), r->head, err));
    }
    if (cis_str_eq(cis_pg_str(tree, 0, 0), r->name)) {
        return cis_fail(err, CIS_E_USAGE,
                        "branch " CIS_STR_FMT ": is the current one; switch to another first",
                        CIS_STR_ARG(r->name));
    }
    CIS_TRY(not_leased(ref, 0, err));
    if (r->why.len == 0) {
        return ask_named(conn, PG_REF_REMOVE, r->name, NULL, err);
    }
    CIS_TRY(ask_named(conn, PG_BRANCH_LOCK, r->name, &branch, err));
    if (PQntuples(branch) != 0) {
        struct cis_view head = {cis_pg_u64(branch, 0, 0), cis_pg_u64(branch, 0, 1)};
        CIS_TRY(cis_pg_reflog_put(conn, r->name, head, r->why, err));
    }
    CIS_TRY(ask_named(conn, PG_REF_REMOVE, r->name, NULL, err));
    return cis_pg_reflog_cut_lost(conn, err);
}

cis_code cis_pg_ref_remove(cis_store *store, struct cis_str tenant, struct cis_str name,
                           struct cis_str why, const struct cis_stop *stop, struct cis_error *err)
{
    struct removal r = {name, why, NULL};
    struct pg_write write = {.work = removing, .arg = &r, .frees = true};
    CIS_TRY(cis_fs_ref_check(name, err));
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}

cis_code cis_pg_ref_expire(cis_store *store, struct cis_str tenant, struct cis_str name,
                           struct cis_view head, const struct cis_stop *stop, struct cis_error *err)
{
    struct removal r = {name, CIS_STR(""), &head};
    struct pg_write write = {.work = removing, .arg = &r, .frees = true};
    CIS_TRY(cis_fs_ref_check(name, err));
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}

/* ---- leases ---- */
struct lease {
    struct cis_str ref, holder;
    uint64_t fence;
    uint32_t ttl_ms;
    uint64_t out;
};

static cis_code lease_set(struct pg_conn *conn, const struct lease *l, struct cis_str holder,
                          uint64_t fence, struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, l->ref);
    cis_pg_arg_str(&args, holder);
    cis_pg_arg_u64(&args, fence);
    cis_pg_arg_int(&args, l->ttl_ms);
    return cis_pg_send(conn, PG_REF_LEASE, &args, err);
}

static cis_code lease(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct lease *l = arg;
    CIS_CLEANUP(cis_pg_clear) PGresult *ref = NULL, *next = NULL;
    CIS_TRY(ask_named(conn, PG_REF_LOCK, l->ref, &ref, err));
    if (PQntuples(ref) == 0) {
        return no_such(conn, l->ref, err);
    }
    bool mine = l->fence != 0 && cis_pg_u64(ref, 0, 3) == l->fence;
    l->out = l->fence;
    if (l->ttl_ms == 0) {
        return mine ? lease_set(conn, l, CIS_STR(""), 0, err) : CIS_OK;
    }
    if (!mine) {
        CIS_TRY(not_leased(ref, 0, err));
    }
    if (l->fence != 0 && !mine) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "branch " CIS_STR_FMT ": the lease expired, and another holder has it now",
                        CIS_STR_ARG(l->ref));
    }
    if (l->fence == 0) {
        CIS_TRY(cis_pg_ask(conn, PG_FENCE_NEXT, NULL, &next, err));
        l->out = cis_pg_u64(next, 0, 0);
    }
    return lease_set(conn, l, l->holder, l->out, err);
}

/* Not forced to the disk: a holder does not outlive the server's power either. */
cis_code cis_pg_lease(cis_store *store, struct cis_str tenant,
                      const struct cis_fs_lease_request *request, uint64_t *out_fence,
                      const struct cis_stop *stop, struct cis_error *err)
{
    struct lease l = {request->ref, cis_str_of(request->holder != NULL ? request->holder : ""),
                      request->fence, request->ttl_ms, 0};
    CIS_TRY(cis_fs_ref_check(request->ref, err));
    if (l.holder.len >= sizeof((struct cis_fs_ref *)NULL)->holder) {
        return cis_fail(err, CIS_E_INVALID, "lease: the holder's name is too long");
    }
    struct pg_write write = {.work = lease, .arg = &l, .frees = true};
    CIS_TRY(cis_pg_write((struct pg_store *)store, tenant, &write, stop, err));
    if (out_fence != NULL) {
        *out_fence = l.out;
    }
    return CIS_OK;
}
