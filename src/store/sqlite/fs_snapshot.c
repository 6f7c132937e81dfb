/* Snapshots, which name a view for good, and pins, which hold one for a time. Both keep the view of
 * the branch that owns the epoch. */
#include <inttypes.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/internal.h"

static cis_code snapshot_quota(struct sql_conn *conn, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_TREE_GET, &st, err));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading the tenant", &row, err));
    int64_t allowed = row ? sqlite3_column_int64(st, 5) : 0;
    if (allowed != 0 && sqlite3_column_int64(st, 7) >= allowed) {
        return cis_fail(err, CIS_E_QUOTA, "snapshots: the quota is %" PRId64, allowed);
    }
    return CIS_OK;
}

static cis_code put_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_fs_snapshot *s = arg;
    struct cis_view owner;
    struct sql_counts counts;
    CIS_TRY(cis_sql_view_owner(conn, s->view, &owner, err));
    CIS_TRY(cis_sql_view_counts(conn, owner, &counts, err));
    CIS_TRY(snapshot_quota(conn, err));
    char id[27];
    if (s->id[0] != 0) {
        memcpy(id, s->id, sizeof id);
    } else {
        cis_id_new(id);
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_SNAPSHOT_PUT, &st, err));
    cis_sql_bind_str(st, 1, cis_str_of(s->name));
    cis_sql_bind_str(st, 2, cis_str_of(id));
    const int64_t rest[5] = {cis_sql_i64(owner.branch), cis_sql_i64(owner.epoch),
                             s->created_ms != 0 ? s->created_ms : cis_clock_wall_ms(), counts.files,
                             counts.bytes};
    for (int i = 0; i < 5; i++) {
        sqlite3_bind_int64(st, 3 + i, rest[i]);
    }
    cis_sql_bind_str(st, 8, s->note);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_CONSTRAINT_UNIQUE) {
        return cis_fail(err, CIS_E_EXISTS, "snapshot %s: exists already", s->name);
    }
    return rc == SQLITE_DONE ? CIS_OK : cis_sql_fail(conn, rc, "making a snapshot", err);
}

cis_code cis_sql_snapshot_put(cis_store *store, struct cis_str tenant,
                              const struct cis_fs_snapshot *snapshot, const struct cis_stop *stop,
                              struct cis_error *err)
{
    struct cis_str name = {snapshot->name, strnlen(snapshot->name, sizeof snapshot->name)};
    if (!cis_fs_ref_valid(name)) {
        return cis_fail(err, CIS_E_INVALID, "\"" CIS_STR_FMT "\": not a valid name for a snapshot",
                        CIS_STR_ARG(name));
    }
    if (snapshot->note.len > CIS_FS_NOTE_MAX) {
        return cis_fail(err, CIS_E_INVALID,
                        "snapshot %s: the note has %zu bytes; at most %u are allowed",
                        snapshot->name, snapshot->note.len, CIS_FS_NOTE_MAX);
    }
    size_t id = strnlen(snapshot->id, sizeof snapshot->id);
    if (id != 0 && id != sizeof snapshot->id - 1) {
        return cis_fail(err, CIS_E_INVALID, "snapshot %s: id is not 26 characters", snapshot->name);
    }
    return cis_sql_write_existing((struct sql_store *)store, tenant, put_apply, snapshot, true,
                                  stop, err);
}

static void snapshot_of(sqlite3_stmt *st, struct cis_fs_snapshot *out)
{
    *out = (struct cis_fs_snapshot){
        .view = {(uint64_t)sqlite3_column_int64(st, 2), (uint64_t)sqlite3_column_int64(st, 3)},
        .created_ms = sqlite3_column_int64(st, 4),
        .files = (uint64_t)sqlite3_column_int64(st, 5),
        .bytes = (uint64_t)sqlite3_column_int64(st, 6),
        .note = cis_sql_str(st, 7)};
    struct cis_bytes name = cis_sql_bytes(st, 0), id = cis_sql_bytes(st, 1);
    memcpy(out->name, name.ptr, name.len < sizeof out->name ? name.len : sizeof out->name - 1);
    memcpy(out->id, id.ptr, id.len < sizeof out->id ? id.len : sizeof out->id - 1);
}

cis_code cis_sql_snapshots(cis_store *store, struct cis_str tenant, struct cis_str name,
                           cis_fs_snapshot_each *each, void *self, const struct cis_stop *stop,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    size_t n = 0;
    if (conn != NULL) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, name.len != 0 ? SQL_SNAPSHOT_GET : SQL_SNAPSHOT_LIST, &st, err));
        if (name.len != 0) {
            cis_sql_bind_str(st, 1, name);
        }
        for (bool wanted = true; wanted; n++) {
            bool row;
            CIS_TRY(cis_sql_row(conn, st, "listing snapshots", &row, err));
            if (!row) {
                break;
            }
            struct cis_fs_snapshot snapshot;
            snapshot_of(st, &snapshot);
            wanted = each(self, &snapshot);
        }
    }
    return n != 0 || name.len == 0
               ? CIS_OK
               : cis_fail(err, CIS_E_NOTFOUND, "snapshot " CIS_STR_FMT ": no such snapshot",
                          CIS_STR_ARG(name));
}

static cis_code remove_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_str *name = arg;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_SNAPSHOT_DELETE, &st, err));
    cis_sql_bind_str(st, 1, *name);
    CIS_TRY(cis_sql_done(conn, st, "removing a snapshot", err));
    return sqlite3_changes(conn->db) == 1
               ? CIS_OK
               : cis_fail(err, CIS_E_NOTFOUND, "snapshot " CIS_STR_FMT ": no such snapshot",
                          CIS_STR_ARG(*name));
}

cis_code cis_sql_snapshot_remove(cis_store *store, struct cis_str tenant, struct cis_str name,
                                 const struct cis_stop *stop, struct cis_error *err)
{
    return cis_sql_write_existing((struct sql_store *)store, tenant, remove_apply, &name,
                                  SQL_DURABLE | SQL_FREES, stop, err);
}

/* ---- pins ---- */

static cis_code pin_make(struct sql_conn *conn, const struct sql_pin *p, int64_t now,
                         struct cis_error *err)
{
    struct cis_view owner;
    CIS_TRY(cis_sql_view_owner(conn, p->view, &owner, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *lapsed = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PIN_LAPSED, &lapsed, err));
    sqlite3_bind_int64(lapsed, 1, now);
    CIS_TRY(cis_sql_done(conn, lapsed, "pinning", err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PIN_PUT, &st, err));
    bool lasting = p->ttl_ms == CIS_FS_PIN_LASTING;
    cis_sql_bind_view(st, owner);
    sqlite3_bind_int64(st, 3, lasting ? INT64_MAX : now + (p->ttl_ms & ~CIS_FS_PIN_HELD));
    sqlite3_bind_int64(st, 4, lasting ? INT64_MAX : now);
    CIS_TRY(cis_sql_done(conn, st, "pinning", err));
    *p->out = (uint64_t)sqlite3_last_insert_rowid(conn->db);
    if (!lasting && (p->ttl_ms & CIS_FS_PIN_HELD) != 0) {
        cis_sql_pin_hold(conn, *p->out);
    }
    return CIS_OK;
}

cis_code cis_sql_pin_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct sql_pin *p = arg;
    int64_t now = cis_sql_lease_ms(conn->store);
    CIS_TRY(cis_sql_instance_check(conn, p->instance, err));
    if (*p->out != p->id) { /* of an attempt that was rolled back */
        cis_sql_pin_let(conn->store, cis_str_of(conn->tenant->name), *p->out);
    }
    *p->out = p->id;
    if (p->id == 0) {
        return p->ttl_ms != 0 ? pin_make(conn, p, now, err) : CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, p->ttl_ms != 0 ? SQL_PIN_RENEW : SQL_PIN_DELETE, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(p->id));
    bool mine = cis_sql_pin_mine(conn, p->id);
    if (p->ttl_ms != 0) {
        sqlite3_bind_int64(st, 2, now + (p->ttl_ms & ~CIS_FS_PIN_HELD));
        sqlite3_bind_int64(st, 3, now);
        sqlite3_bind_int(st, 4, mine);
    }
    CIS_TRY(cis_sql_done(conn, st, "pinning", err));
    if (p->ttl_ms == 0) {
        cis_sql_pin_let(conn->store, cis_str_of(conn->tenant->name), p->id);
        return CIS_OK;
    }
    if (sqlite3_changes(conn->db) != 1) {
        return cis_fail(err, CIS_E_EXPIRED, "pin %" PRIu64 ": it has expired", p->id);
    }
    if (!mine && (p->ttl_ms & CIS_FS_PIN_HELD) != 0) {
        cis_sql_pin_hold(conn, p->id);
    }
    return CIS_OK;
}

/* Not forced to the disk: a reader does not outlive the power either. */
cis_code cis_sql_pin(cis_store *store, struct cis_str tenant,
                     const struct cis_fs_pin_request *request, uint64_t *out_id,
                     const struct cis_stop *stop, struct cis_error *err)
{
    uint64_t got = request->id;
    struct cis_str name;
    struct sql_pin p = {request->view, request->id, request->ttl_ms, &got, {NULL, 0}};
    cis_fs_tenant_split(tenant, &name, &p.instance);
    cis_code code = cis_sql_write_existing((struct sql_store *)store, name, cis_sql_pin_apply, &p,
                                           SQL_FREES, stop, err);
    if (code != CIS_OK) {
        if (got != request->id) {
            cis_sql_pin_let((struct sql_store *)store, name, got);
        }
        return code;
    }
    if (out_id != NULL) {
        *out_id = got;
    }
    return CIS_OK;
}

cis_code cis_sql_pins(cis_store *store, struct cis_str tenant, cis_fs_pin_each *each, void *self,
                      const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PIN_LIST, &st, err));
    int64_t now = cis_sql_lease_ms(conn->store), wall = cis_clock_wall_ms();
    sqlite3_bind_int64(st, 1, now);
    for (bool wanted = true; wanted;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "listing pins", &row, err));
        if (!row) {
            break;
        }
        int64_t until = sqlite3_column_int64(st, 3);
        struct cis_fs_pin pin = {
            .id = (uint64_t)sqlite3_column_int64(st, 0),
            .view = {(uint64_t)sqlite3_column_int64(st, 1), (uint64_t)sqlite3_column_int64(st, 2)},
            .until_ms = until == INT64_MAX ? until : wall + (until - now),
            .since_ms = sqlite3_column_int64(st, 4)};
        wanted = each(self, &pin);
    }
    return CIS_OK;
}

/* ---- all of them, and forks ---- */

cis_code cis_sql_holds(cis_store *store, struct cis_str tenant, cis_fs_hold_each *each, void *self,
                       const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_HOLDS, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_lease_ms(conn->store));
    for (bool wanted = true; wanted;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "listing what is held", &row, err));
        if (!row) {
            break;
        }
        struct cis_fs_hold hold = {
            .by = (enum cis_fs_holder)sqlite3_column_int(st, 0),
            .view = {(uint64_t)sqlite3_column_int64(st, 1), (uint64_t)sqlite3_column_int64(st, 2)},
            .fork = (uint64_t)sqlite3_column_int64(st, 3)};
        wanted = each(self, &hold);
    }
    return CIS_OK;
}
