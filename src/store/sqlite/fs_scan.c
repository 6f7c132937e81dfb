/* Maintenance by rows: scans of one branch as it is stored, squash, the clock. */
#include <inttypes.h>
#include "base/clock.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/read.h"

static const enum sql_id scans[] = {[CIS_FS_DIRENTS] = SQL_SCAN_DIRENT,
                                    [CIS_FS_INODES] = SQL_SCAN_INODE,
                                    [CIS_FS_EXTENTS] = SQL_SCAN_EXTENT};

static void bind_scan(sqlite3_stmt *st, const struct cis_fs_scan_query *q)
{
    static const struct cis_fs_key none = {.ino = 0}; /* below every key: numbers begin at 1 */
    const struct cis_fs_key *k = q->after != NULL ? q->after : &none;
    int at = 3;
    sqlite3_bind_int64(st, 1, cis_sql_i64(q->branch));
    sqlite3_bind_int64(st, 2, cis_sql_i64(k->ino));
    if (q->table == CIS_FS_DIRENTS) {
        cis_sql_bind_str(st, at++, k->name);
    } else if (q->table == CIS_FS_EXTENTS) {
        sqlite3_bind_int64(st, at++, cis_sql_i64(k->block));
    }
    sqlite3_bind_int64(st, at++, cis_sql_i64(k->epoch));
    sqlite3_bind_int64(st, at, q->limit != 0 ? (int64_t)q->limit : -1);
}

/* Columns in the order of the key, then the values. */
static cis_code scan_row(struct sql_conn *conn, sqlite3_stmt *st, struct cis_fs_key key,
                         cis_fs_row_each *each, void *self, bool *out_more, struct cis_error *err)
{
    key.ino = (uint64_t)sqlite3_column_int64(st, 0);
    if (key.table == CIS_FS_DIRENTS) {
        key.name = cis_sql_str(st, 1);
        key.epoch = (uint64_t)sqlite3_column_int64(st, 2);
        struct cis_fs_dirent d = {.parent = key.ino,
                                  .ino = (uint64_t)sqlite3_column_int64(st, 3),
                                  .epoch = key.epoch,
                                  .mode = (uint32_t)sqlite3_column_int64(st, 4),
                                  .name = key.name};
        *out_more = each(self, &key, &d, NULL, NULL);
    } else if (key.table == CIS_FS_INODES) {
        struct cis_fs_inode inode;
        CIS_TRY(cis_sql_inode_row(conn, st, 1, key.ino, &inode, err));
        key.epoch = inode.epoch;
        *out_more = each(self, &key, NULL, &inode, NULL);
    } else {
        key.block = (uint64_t)sqlite3_column_int64(st, 1);
        key.epoch = (uint64_t)sqlite3_column_int64(st, 2);
        struct cis_fs_extent x = {key.block, (uint64_t)sqlite3_column_int64(st, 3), key.epoch};
        *out_more = each(self, &key, NULL, NULL, &x);
    }
    return CIS_OK;
}

cis_code cis_sql_scan(cis_store *store, struct cis_str tenant,
                      const struct cis_fs_scan_query *query, cis_fs_row_each *each, void *self,
                      const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
    CIS_TRY(cis_sql_reader_take((struct sql_store *)store, tenant, CIS_VIEW_HEAD, stop, &r, err));
    if (!r.fresh) { /* it reads what is stored now */
        CIS_TRY(cis_sql_reader_renew(&r, err));
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(r.conn, scans[query->table], &st, err));
    bind_scan(st, query);
    for (bool more = true; more;) {
        bool row;
        CIS_TRY(cis_sql_row(r.conn, st, "scanning", &row, err));
        if (!row) {
            break;
        }
        struct cis_fs_key key = {.table = query->table, .branch = query->branch};
        CIS_TRY(scan_row(r.conn, st, key, each, self, &more, err));
    }
    return CIS_OK;
}

/* ---- squash ---- */

static cis_code squash_row(struct sql_conn *conn, uint64_t branch, const struct cis_fs_key *key,
                           struct cis_error *err)
{
    static const enum sql_id ids[] = {[CIS_FS_DIRENTS] = SQL_SQUASH_DIRENT,
                                      [CIS_FS_INODES] = SQL_SQUASH_INODE,
                                      [CIS_FS_EXTENTS] = SQL_SQUASH_EXTENT};
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, ids[key->table], &st, err));
    int at = 3;
    sqlite3_bind_int64(st, 1, cis_sql_i64(branch));
    sqlite3_bind_int64(st, 2, cis_sql_i64(key->ino));
    if (key->table == CIS_FS_DIRENTS) {
        cis_sql_bind_str(st, at++, key->name);
    } else if (key->table == CIS_FS_EXTENTS) {
        sqlite3_bind_int64(st, at++, cis_sql_i64(key->block));
    }
    sqlite3_bind_int64(st, at, cis_sql_i64(key->epoch));
    return cis_sql_done(conn, st, "squashing", err);
}

/* What is held is looked at again under the lock: what gc knows of it is older. */
static cis_code squash_check(struct sql_conn *conn, const struct cis_fs_squash_request *s,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_VIEWS_HELD, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(s->branch));
    sqlite3_bind_int64(st, 2, cis_sql_lease_ms(conn->store)); /* the clock of pins */
    for (;;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "squashing", &row, err));
        if (!row) {
            return CIS_OK;
        }
        uint64_t held = (uint64_t)sqlite3_column_int64(st, 0);
        for (size_t i = 0; i < s->n; i++) {
            if (s->keys[i].epoch <= held && held < s->keys[i].until) {
                return cis_fail(err, CIS_E_CONFLICT,
                                "branch %" PRIu64 ": epoch %" PRIu64 " came into use meanwhile",
                                s->branch, held);
            }
        }
    }
}

static cis_code squash_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_fs_squash_request *s = arg;
    {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_BRANCH_FLOOR, &st, err));
        sqlite3_bind_int64(st, 1, cis_sql_i64(s->branch));
        sqlite3_bind_int64(st, 2, cis_sql_i64(s->floor));
        CIS_TRY(cis_sql_done(conn, st, "squashing", err));
        if (sqlite3_changes(conn->db) == 0) {
            return cis_fail(err, CIS_E_NOTFOUND, "branch %" PRIu64 ": no such branch", s->branch);
        }
    }
    if (s->n != 0) {
        CIS_TRY(squash_check(conn, s, err));
    }
    for (size_t i = 0; i < s->n; i++) {
        CIS_TRY(squash_row(conn, s->branch, &s->keys[i], err));
    }
    return CIS_OK;
}

cis_code cis_sql_squash(cis_store *store, struct cis_str tenant,
                        const struct cis_fs_squash_request *request, const struct cis_stop *stop,
                        struct cis_error *err)
{
    for (size_t i = 0; i < request->n; i++) {
        if (request->keys[i].branch != request->branch || request->keys[i].table > CIS_FS_EXTENTS) {
            return cis_fail(err, CIS_E_INVALID, "squash: a row of another branch");
        }
    }
    CIS_TRY(cis_sql_tenant_require((struct sql_store *)store, tenant, err));
    CIS_TRY(cis_sql_write((struct sql_store *)store, tenant, squash_apply, request,
                          SQL_DURABLE | SQL_FREES, stop, err));
    return request->floor != 0 ? cis_sql_memory_squash((struct sql_store *)store, tenant,
                                                       request->branch, request->floor, stop, err)
                               : CIS_OK;
}

/* ---- keys that nobody needs ---- */

#define KEYS_BATCH 1000 /* epochs in one transaction */

struct keys_drop {
    uint64_t branch, upto;
    bool *more;
};

static cis_code keys_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct keys_drop *d = arg;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL, *drop = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KEYS_FIRST, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(d->branch));
    sqlite3_bind_int64(st, 2, cis_sql_i64(d->upto));
    CIS_TRY(cis_sql_row(conn, st, "forgetting keys", d->more, err));
    if (!*d->more) {
        return CIS_OK;
    }
    int64_t first = sqlite3_column_int64(st, 0), upto = cis_sql_i64(d->upto);
    sqlite3_reset(st); /* its cursor is in what is changed now */
    CIS_TRY(cis_sql_get(conn, SQL_KEYS_DROP, &drop, err));
    sqlite3_bind_int64(drop, 1, cis_sql_i64(d->branch));
    sqlite3_bind_int64(drop, 2, first);
    sqlite3_bind_int64(drop, 3, upto - first < KEYS_BATCH ? upto : first + KEYS_BATCH - 1);
    return cis_sql_done(conn, drop, "forgetting keys", err);
}

cis_code cis_sql_keys_drop(cis_store *store, struct cis_str tenant, uint64_t branch, uint64_t upto,
                           const struct cis_stop *stop, struct cis_error *err)
{
    bool more = true;
    struct keys_drop d = {branch, upto, &more};
    CIS_TRY(cis_sql_tenant_require((struct sql_store *)store, tenant, err));
    while (more) {
        CIS_TRY(cis_sql_write((struct sql_store *)store, tenant, keys_apply, &d,
                              SQL_DURABLE | SQL_FREES, stop, err));
    }
    return CIS_OK;
}

/* All its processes are on this machine. */
cis_code cis_sql_clock(cis_store *store, int64_t *out_ms, int64_t *out_stamp_ms,
                       const struct cis_stop *stop, struct cis_error *err)
{
    (void)stop;
    (void)err;
    if (out_ms != NULL) {
        *out_ms = cis_clock_wall_ms();
    }
    if (out_stamp_ms != NULL) {
        *out_stamp_ms = cis_sql_lease_ms((const struct sql_store *)store);
    }
    return CIS_OK;
}
