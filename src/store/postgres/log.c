/* The log of commits, snapshots, pins. */
#include <inttypes.h>
#include "base/crypto.h"
#include "store/postgres/internal.h"

void cis_pg_commit_row(const PGresult *res, int row, struct cis_fs_commit_row *out)
{
    *out = (struct cis_fs_commit_row){.branch = cis_pg_u64(res, row, 0),
                                      .epoch = cis_pg_u64(res, row, 1),
                                      .kind = cis_pg_str(res, row, 3),
                                      .note = cis_pg_str(res, row, 4),
                                      .time_ms = cis_pg_int(res, row, 5),
                                      .files = cis_pg_u64(res, row, 6),
                                      .bytes = cis_pg_u64(res, row, 7),
                                      .keys = cis_pg_bytes(res, row, 8)};
    cis_pg_text(res, row, 2, out->run, sizeof out->run);
}

cis_code cis_pg_commit_part(const PGresult *res, struct cis_keys_cut *cut,
                            struct cis_fs_commit_row *row, cis_fs_commit_each *each, void *self,
                            bool *out_wanted, struct cis_error *err)
{
    uint64_t total = cis_pg_u64(res, 0, 9), from = cis_pg_u64(res, 0, 10);
    if (cut->from > total) {
        return cis_fail(err, CIS_E_EXPIRED, "what the commit changed is no longer kept");
    }
    if (from < cut->from) { /* again, after a lost connection */
        *out_wanted = row->keys_more = true;
        return CIS_OK;
    }
    if (from != cut->from) {
        return cis_fail(err, CIS_E_STORE, "commit %" PRIu64 ": its keys came out of order",
                        row->epoch);
    }
    return cis_keys_part(cut, row, total, each, self, out_wanted, err);
}

struct log {
    struct cis_fs_log_query next; /* from where it goes on after a lost connection */
    int64_t left;
    const char *run;
    struct cis_keys_cut cut;
    cis_fs_commit_each *each;
    void *self;
};

static cis_code commit_tell(void *self, const PGresult *res, bool *out_more, struct cis_error *err)
{
    struct log *l = self;
    struct cis_fs_commit_row row;
    cis_pg_commit_row(res, 0, &row);
    CIS_TRY(cis_pg_commit_part(res, &l->cut, &row, l->each, l->self, out_more, err));
    if (row.keys_more) {
        return CIS_OK;
    }
    if (l->next.newest) {
        l->next.upto = row.epoch != 0 ? row.epoch - 1 : 0;
    } else {
        l->next.after = row.epoch;
    }
    l->left--;
    return CIS_OK;
}

static cis_code commits(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct log *l = arg;
    enum pg_id id = l->next.newest ? PG_COMMITS_NEWEST : PG_COMMITS;
    struct pg_args args = {0};
    cis_pg_args_view(&args, conn, (struct cis_view){l->next.branch, l->next.after});
    cis_pg_arg_u64(&args, l->next.upto);
    cis_pg_arg_int(&args, l->left);
    cis_pg_arg_int(&args, l->next.keys ? CIS_KEYS_PART : 0);
    conn->goes_on = true;
    CIS_TRY(cis_pg_send(conn, id, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    return cis_pg_rows(conn, id, commit_tell, l, err);
}

cis_code cis_pg_commits(cis_store *store, struct cis_str tenant,
                        const struct cis_fs_log_query *query, cis_fs_commit_each *each, void *self,
                        const struct cis_stop *stop, struct cis_error *err)
{
    struct log l = {.next = *query,
                    .left = query->limit != 0 ? (int64_t)query->limit : INT64_MAX,
                    .each = each,
                    .self = self};
    bool absent;
    cis_code code = cis_pg_read((struct pg_store *)store, tenant, commits, &l, &absent, stop, err);
    cis_keys_cut_done(&l.cut);
    return code;
}

static cis_code of_run(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct log *l = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, cis_str_of(l->run));
    CIS_TRY(cis_pg_ask(conn, PG_COMMIT_OF_RUN, &args, &res, err));
    if (PQntuples(res) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return cis_fail(err, CIS_E_NOTFOUND, "run %s: no commit", l->run);
    }
    struct cis_fs_commit_row row;
    cis_pg_commit_row(res, 0, &row);
    conn->told = true;
    (void)l->each(l->self, &row);
    return CIS_OK;
}

cis_code cis_pg_commit_of_run(cis_store *store, struct cis_str tenant, const char *run,
                              cis_fs_commit_each *each, void *self, const struct cis_stop *stop,
                              struct cis_error *err)
{
    struct log l = {.run = run, .each = each, .self = self};
    bool absent = false;
    CIS_TRY(cis_pg_read((struct pg_store *)store, tenant, of_run, &l, &absent, stop, err));
    return absent ? cis_fail(err, CIS_E_NOTFOUND, "run %s: no commit", run) : CIS_OK;
}

/* ---- snapshots ---- */
static cis_code exists(const struct cis_fs_snapshot *s, struct cis_error *err)
{
    return cis_fail(err, CIS_E_EXISTS, "snapshot %s: exists already", s->name);
}

static cis_code put(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct cis_fs_snapshot *s = arg;
    struct pg_owner owner;
    struct pg_args tenant = {0}, name = {0}, args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *tree = NULL, *count = NULL, *same = NULL;
    cis_pg_arg_int(&tenant, conn->tenant);
    cis_pg_arg_int(&name, conn->tenant);
    cis_pg_arg_str(&name, cis_str_of(s->name));
    CIS_TRY(
        cis_pg_send(conn, PG_TREE_LOCK, &tenant, err)); /* one after the other: they are counted */
    CIS_TRY(cis_pg_send(conn, PG_SNAPSHOT_COUNT, &tenant, err));
    CIS_TRY(cis_pg_send(conn, PG_SNAPSHOTS, &name, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_next(conn, PG_TREE_LOCK, &tree, err));
    CIS_TRY(cis_pg_next(conn, PG_SNAPSHOT_COUNT, &count, err));
    CIS_TRY(cis_pg_next(conn, PG_SNAPSHOTS, &same, err));
    CIS_TRY(cis_pg_finish(conn, err));
    CIS_TRY(cis_pg_view_owner(conn, s->view, true, &owner, err));
    if (PQntuples(same) != 0) {
        return exists(s, err);
    }
    int64_t allowed = cis_pg_int(tree, 0, 1);
    if (allowed != 0 && cis_pg_int(count, 0, 0) >= allowed) {
        return cis_fail(err, CIS_E_QUOTA, "snapshots: the quota is %" PRId64, allowed);
    }
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, cis_str_of(s->name));
    cis_pg_arg_u64(&args, owner.view.branch);
    cis_pg_arg_u64(&args, owner.view.epoch);
    cis_pg_arg_u64(&args, owner.files);
    cis_pg_arg_u64(&args, owner.bytes);
    cis_pg_arg_str(&args, s->note);
    cis_pg_arg_str(&args, cis_str_of(s->id));
    return cis_pg_send(conn, PG_SNAPSHOT_PUT, &args, err);
}

cis_code cis_pg_snapshot_put(cis_store *store, struct cis_str tenant,
                             const struct cis_fs_snapshot *snapshot, const struct cis_stop *stop,
                             struct cis_error *err)
{
    struct cis_fs_snapshot copy = *snapshot;
    if (memchr(copy.name, 0, sizeof copy.name) == NULL ||
        !cis_fs_ref_valid(cis_str_of(copy.name))) {
        return cis_fail(err, CIS_E_INVALID, "\"%.*s\": not a valid name for a snapshot",
                        (int)CIS_FS_REF_MAX, copy.name);
    }
    if (copy.note.len > CIS_FS_NOTE_MAX) {
        return cis_fail(err, CIS_E_INVALID,
                        "snapshot %s: the note has %zu bytes; at most %u are allowed", copy.name,
                        copy.note.len, CIS_FS_NOTE_MAX);
    }
    if (copy.id[0] == 0) {
        cis_id_new(copy.id);
    } else if (strnlen(copy.id, sizeof copy.id) != sizeof copy.id - 1) {
        return cis_fail(err, CIS_E_INVALID, "snapshot %s: id is not 26 characters", copy.name);
    }
    struct pg_write write = {.work = put, .arg = &copy};
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}

struct snapshots {
    struct cis_str name;
    cis_fs_snapshot_each *each;
    void *self;
};

static cis_code no_snapshot(struct cis_str name, struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOTFOUND, "snapshot " CIS_STR_FMT ": no such snapshot",
                    CIS_STR_ARG(name));
}

static cis_code snapshots(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct snapshots *q = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, q->name);
    CIS_TRY(cis_pg_ask(conn, PG_SNAPSHOTS, &args, &res, err));
    if (PQntuples(res) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return q->name.len != 0 ? no_snapshot(q->name, err) : CIS_OK;
    }
    conn->told = true;
    for (int i = 0; i < PQntuples(res); i++) {
        struct cis_fs_snapshot s = {.view = {cis_pg_u64(res, i, 1), cis_pg_u64(res, i, 2)},
                                    .created_ms = cis_pg_int(res, i, 3),
                                    .files = cis_pg_u64(res, i, 4),
                                    .bytes = cis_pg_u64(res, i, 5),
                                    .note = cis_pg_str(res, i, 6)};
        cis_pg_text(res, i, 0, s.name, sizeof s.name);
        cis_pg_text(res, i, 7, s.id, sizeof s.id);
        if (!q->each(q->self, &s)) {
            break;
        }
    }
    return CIS_OK;
}

cis_code cis_pg_snapshots(cis_store *store, struct cis_str tenant, struct cis_str name,
                          cis_fs_snapshot_each *each, void *self, const struct cis_stop *stop,
                          struct cis_error *err)
{
    struct snapshots q = {name, each, self};
    bool absent = false;
    CIS_TRY(cis_pg_read((struct pg_store *)store, tenant, snapshots, &q, &absent, stop, err));
    return absent && name.len != 0 ? no_snapshot(name, err) : CIS_OK;
}

static cis_code removing(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct cis_str *name = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, *name);
    CIS_TRY(cis_pg_ask(conn, PG_SNAPSHOT_REMOVE, &args, &res, err));
    if (PQntuples(res) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return no_snapshot(*name, err);
    }
    return CIS_OK;
}

cis_code cis_pg_snapshot_remove(cis_store *store, struct cis_str tenant, struct cis_str name,
                                const struct cis_stop *stop, struct cis_error *err)
{
    struct pg_write write = {.work = removing, .arg = &name, .frees = true};
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}

/* ---- pins ---- */
static cis_code pin_drop(struct pg_conn *conn, const struct pg_pin *p, struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, p->id);
    return cis_pg_send(conn, PG_PIN_DROP, &args, err);
}

static cis_code pin_renew(struct pg_conn *conn, struct pg_pin *p, struct cis_error *err)
{
    struct pg_args args = {0}, hold = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, p->id);
    cis_pg_arg_int(&args, p->ttl_ms);
    cis_pg_arg_int(&args, p->witness);
    cis_pg_arg_int(&hold, conn->tenant);
    cis_pg_arg_u64(&hold, p->id);
    CIS_TRY(cis_pg_send(conn, PG_PIN_HOLD, &hold, err));
    CIS_TRY(cis_pg_ask(conn, PG_PIN_RENEW, &args, &res, err));
    if (PQntuples(res) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return cis_fail(err, CIS_E_EXPIRED, "pin %" PRIu64 ": it has expired", p->id);
    }
    p->witness = cis_pg_int(res, 0, 0) != 0 ? p->witness : 0;
    return CIS_OK;
}

cis_code cis_pg_pin_work(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct pg_pin *p = arg;
    p->out = p->id;
    if (p->id != 0) {
        return p->ttl_ms == 0 ? pin_drop(conn, p, err) : pin_renew(conn, p, err);
    }
    struct pg_owner owner;
    CIS_TRY(cis_pg_view_owner(conn, p->view, true, &owner, err));
    if (p->ttl_ms == 0) {
        return CIS_OK;
    }
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_args_view(&args, conn, owner.view);
    cis_pg_arg_int(&args, p->ttl_ms);
    CIS_TRY(cis_pg_ask(conn, PG_PIN_PUT, &args, &res, err));
    p->out = cis_pg_u64(res, 0, 0);
    return CIS_OK;
}

static cis_code pin_there(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct pg_pin *p = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, p->out);
    CIS_TRY(cis_pg_ask(conn, PG_PIN_THERE, &args, &res, err));
    return PQntuples(res) != 0
               ? CIS_OK
               : cis_fail(err, CIS_E_EXPIRED, "pin %" PRIu64 ": it has expired", p->out);
}

/* Its time was not over when the lock was there: so nobody saw it without either. */
static cis_code pin_hold(struct pg_store *store, struct cis_str tenant, struct pg_pin *p,
                         const struct cis_stop *stop, struct cis_error *err)
{
    if (!cis_pg_pin_hold(store, p->out, stop)) {
        return CIS_OK;
    }
    cis_code code = cis_pg_read(store, tenant, pin_there, p, NULL, stop, err);
    if (code != CIS_OK) {
        cis_pg_pin_let(store, p->out, NULL);
    }
    return code;
}

/* Done twice, a pin too many lapses by itself. */
cis_code cis_pg_pin(cis_store *store, struct cis_str tenant,
                    const struct cis_fs_pin_request *request, uint64_t *out_id,
                    const struct cis_stop *stop, struct cis_error *err)
{
    struct pg_store *s = (struct pg_store *)store;
    bool held = request->ttl_ms != CIS_FS_PIN_LASTING && (request->ttl_ms & CIS_FS_PIN_HELD) != 0;
    struct pg_pin p = {request->view, request->id,
                       held ? request->ttl_ms & ~CIS_FS_PIN_HELD : request->ttl_ms, 0, 0};
    /* A new one is on the disk at once: its number is not given again after a crash. */
    struct pg_write write = {.work = cis_pg_pin_work,
                             .arg = &p,
                             .lazy = request->id != 0,
                             .repeatable = true,
                             .frees = true};
    p.witness = held && request->id != 0 ? cis_pg_pin_witness(s, request->id, stop) : 0;
    CIS_TRY(cis_pg_write(s, tenant, &write, stop, err));
    if (request->ttl_ms == 0 && request->id != 0) {
        cis_pg_pin_let(s, request->id, stop);
    } else if (held && p.witness == 0) {
        CIS_TRY(pin_hold(s, tenant, &p, stop, err));
    }
    if (out_id != NULL) {
        *out_id = p.out;
    }
    return CIS_OK;
}

struct pins {
    cis_fs_pin_each *each;
    void *self;
};

static cis_code pins(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct pins *q = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    CIS_TRY(cis_pg_ask(conn, PG_PINS, &args, &res, err));
    if (PQntuples(res) == 0) {
        return cis_pg_alive(conn, err);
    }
    conn->told = true;
    for (int i = 0; i < PQntuples(res); i++) {
        struct cis_fs_pin one = {.id = cis_pg_u64(res, i, 0),
                                 .view = {cis_pg_u64(res, i, 1), cis_pg_u64(res, i, 2)},
                                 .until_ms = cis_pg_int(res, i, 3),
                                 .since_ms = cis_pg_int(res, i, 4)};
        if (!q->each(q->self, &one)) {
            break;
        }
    }
    return CIS_OK;
}

cis_code cis_pg_pins(cis_store *store, struct cis_str tenant, cis_fs_pin_each *each, void *self,
                     const struct cis_stop *stop, struct cis_error *err)
{
    struct pins q = {each, self};
    bool absent;
    return cis_pg_read((struct pg_store *)store, tenant, pins, &q, &absent, stop, err);
}
