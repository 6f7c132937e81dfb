/* What gc and fsck of history/ stand on: rows as they are, squashing, removing branches, chunks by
 * number, the clock, and the server's own view of its files. */
#include <inttypes.h>
#include <sys/stat.h>
#include "store/postgres/internal.h"

/* ---- scan ---- */
struct scan {
    const struct cis_fs_scan_query *query;
    cis_fs_row_each *each;
    void *self;
};

static cis_code scan_send(struct pg_conn *conn, const struct scan *s, enum pg_id id,
                          struct cis_error *err)
{
    static const struct cis_fs_key start; /* below every row: inodes and parents begin with 1 */
    const struct cis_fs_key *k = s->query->after != NULL ? s->query->after : &start;
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, s->query->branch);
    cis_pg_arg_u64(&args, k->ino);
    if (s->query->table == CIS_FS_DIRENTS) {
        cis_pg_arg_str(&args, k->name);
    } else if (s->query->table == CIS_FS_EXTENTS) {
        cis_pg_arg_u64(&args, k->block);
    }
    cis_pg_arg_u64(&args, k->epoch);
    cis_pg_arg_int(&args, s->query->limit != 0 ? (int64_t)s->query->limit : INT64_MAX);
    CIS_TRY(cis_pg_send(conn, id, &args, err));
    return cis_pg_sync(conn, err);
}

/* One row to the caller; a row that no writer makes ends the scan by name. */
static cis_code scan_tell(void *self, const PGresult *r, bool *out_more, struct cis_error *err)
{
    const struct scan *s = self;
    struct cis_fs_key key = {
        .table = s->query->table, .branch = s->query->branch, .ino = cis_pg_u64(r, 0, 0)};
    struct cis_fs_dirent dirent;
    struct cis_fs_inode inode;
    struct cis_fs_extent extent;
    switch (s->query->table) {
    case CIS_FS_DIRENTS:
        key.name = cis_pg_str(r, 0, 1);
        key.epoch = cis_pg_u64(r, 0, 2);
        dirent = (struct cis_fs_dirent){.parent = key.ino,
                                        .ino = cis_pg_u64(r, 0, 3),
                                        .epoch = key.epoch,
                                        .mode = (uint32_t)cis_pg_u64(r, 0, 4) & S_IFMT,
                                        .name = key.name};
        *out_more = s->each(s->self, &key, &dirent, NULL, NULL);
        return CIS_OK;
    case CIS_FS_INODES:
        key.epoch = cis_pg_u64(r, 0, 1);
        CIS_TRY(cis_pg_inode_row(r, 0, 1, key.ino, &inode, err));
        *out_more = s->each(s->self, &key, NULL, &inode, NULL);
        return CIS_OK;
    case CIS_FS_EXTENTS:
        key.block = cis_pg_u64(r, 0, 1);
        key.epoch = cis_pg_u64(r, 0, 2);
        extent = (struct cis_fs_extent){key.block, cis_pg_u64(r, 0, 3), key.epoch};
        *out_more = s->each(s->self, &key, NULL, NULL, &extent);
        return CIS_OK;
    }
    return cis_fail(err, CIS_E_INVALID, "scan: no such table");
}

static cis_code scan(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct scan *s = arg;
    enum pg_id id = s->query->table == CIS_FS_DIRENTS  ? PG_SCAN_DIRENTS
                    : s->query->table == CIS_FS_INODES ? PG_SCAN_INODES
                                                       : PG_SCAN_EXTENTS;
    CIS_TRY(scan_send(conn, s, id, err));
    return cis_pg_rows(conn, id, scan_tell, s, err);
}

cis_code cis_pg_scan(cis_store *store, struct cis_str tenant, const struct cis_fs_scan_query *query,
                     cis_fs_row_each *each, void *self, const struct cis_stop *stop,
                     struct cis_error *err)
{
    struct scan s = {query, each, self};
    bool absent;
    return cis_pg_read((struct pg_store *)store, tenant, scan, &s, &absent, stop, err);
}

/* ---- what is held ---- */
struct holds {
    cis_fs_hold_each *each;
    void *self;
};

static cis_code hold_tell(void *self, const PGresult *row, bool *out_more, struct cis_error *err)
{
    const struct holds *q = self;
    struct cis_fs_hold hold = {.by = (enum cis_fs_holder)cis_pg_int(row, 0, 0),
                               .view = {cis_pg_u64(row, 0, 1), cis_pg_u64(row, 0, 2)},
                               .fork = cis_pg_u64(row, 0, 3)};
    (void)err;
    *out_more = q->each(q->self, &hold);
    return CIS_OK;
}

static cis_code holds(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct holds *q = arg;
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    CIS_TRY(cis_pg_send(conn, PG_HOLDS, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    return cis_pg_rows(conn, PG_HOLDS, hold_tell, q, err);
}

cis_code cis_pg_holds(cis_store *store, struct cis_str tenant, cis_fs_hold_each *each, void *self,
                      const struct cis_stop *stop, struct cis_error *err)
{
    struct holds q = {each, self};
    bool absent;
    return cis_pg_read((struct pg_store *)store, tenant, holds, &q, &absent, stop, err);
}

/* ---- squash ---- */
static cis_code squash_send(struct pg_conn *conn, const struct cis_fs_squash_request *q,
                            enum cis_fs_table table, size_t from, size_t to, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array inos = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array middle = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array epochs = PG_ARRAY_INIT;
    for (size_t i = from; i < to; i++) {
        const struct cis_fs_key *k = &q->keys[i];
        if (k->table != table || k->branch != q->branch) {
            continue;
        }
        cis_pg_array_u64(&inos, k->ino);
        cis_pg_array_u64(&epochs, k->epoch);
        if (table == CIS_FS_DIRENTS) {
            cis_pg_array_bytes(&middle, k->name.ptr, k->name.len);
        } else if (table == CIS_FS_EXTENTS) {
            cis_pg_array_u64(&middle, k->block);
        }
    }
    if (inos.n == 0) {
        return CIS_OK;
    }
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, q->branch);
    cis_pg_arg_ints(&args, &inos);
    if (table == CIS_FS_DIRENTS) {
        cis_pg_arg_blobs(&args, &middle);
    } else if (table == CIS_FS_EXTENTS) {
        cis_pg_arg_ints(&args, &middle);
    }
    cis_pg_arg_ints(&args, &epochs);
    return cis_pg_send(conn,
                       table == CIS_FS_DIRENTS  ? PG_SQUASH_DIRENTS
                       : table == CIS_FS_INODES ? PG_SQUASH_INODES
                                                : PG_SQUASH_EXTENTS,
                       &args, err);
}

/* What is held is looked at again under the lock, by a later statement than that which takes it:
 * what gc knows of it is older. */
static cis_code squash_check(struct pg_conn *conn, const struct cis_fs_squash_request *q,
                             size_t from, size_t to, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array epochs = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array untils = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    struct pg_args args = {0};
    for (size_t i = from; i < to; i++) {
        uint64_t until = q->keys[i].until;
        cis_pg_array_u64(&epochs, q->keys[i].epoch);
        cis_pg_array_u64(&untils, until < INT64_MAX ? until : INT64_MAX);
    }
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, q->branch);
    cis_pg_arg_ints(&args, &epochs);
    cis_pg_arg_ints(&args, &untils);
    CIS_TRY(cis_pg_ask(conn, PG_SQUASH_HELD, &args, &res, err));
    return PQntuples(res) == 0
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT,
                          "branch %" PRIu64 ": epoch %" PRIu64 " came into use meanwhile",
                          q->branch, cis_pg_u64(res, 0, 0));
}

static cis_code squash(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct cis_fs_squash_request *q = arg;
    struct pg_args lock = {0}, floor = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&lock, conn->tenant);
    cis_pg_arg_u64(&lock, q->branch);
    cis_pg_args_view(&floor, conn, (struct cis_view){q->branch, q->floor});
    CIS_TRY(cis_pg_send(conn, PG_BRANCH_OWN, &lock, err));
    CIS_TRY(cis_pg_ask(conn, PG_FLOOR_SET, &floor, &res, err));
    if (PQntuples(res) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return cis_fail(err, CIS_E_NOTFOUND, "branch %" PRIu64 ": no such branch", q->branch);
    }
    if (q->floor > cis_pg_u64(res, 0, 0) + 1) { /* one above: nothing of it is anybody's head */
        return cis_fail(err, CIS_E_INVALID, "branch %" PRIu64 ": a floor above its head",
                        q->branch);
    }
    for (size_t from = 0; from < q->n; from += PG_ROWS_MAX) {
        CIS_TRY(squash_check(conn, q, from, q->n - from < PG_ROWS_MAX ? q->n : from + PG_ROWS_MAX,
                             err));
    }
    for (size_t from = 0; from < q->n; from += PG_ROWS_MAX) {
        size_t to = q->n - from < PG_ROWS_MAX ? q->n : from + PG_ROWS_MAX;
        CIS_TRY(squash_send(conn, q, CIS_FS_DIRENTS, from, to, err));
        CIS_TRY(squash_send(conn, q, CIS_FS_INODES, from, to, err));
        CIS_TRY(squash_send(conn, q, CIS_FS_EXTENTS, from, to, err));
    }
    return CIS_OK;
}

static cis_code squash_memory(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct cis_fs_squash_request *q = arg;
    struct pg_args args = {0}, lock = {0};
    cis_pg_arg_int(&lock, conn->tenant);
    cis_pg_arg_u64(&lock, q->branch);
    cis_pg_args_view(&args, conn, (struct cis_view){q->branch, q->floor});
    CIS_TRY(
        cis_pg_send(conn, PG_BRANCH_OWN, &lock, err)); /* no pin lapses into a snapshot unseen */
    CIS_TRY(cis_pg_send(conn, PG_SQUASH_MEMORY, &args, err));
    return cis_pg_send(conn, PG_SQUASH_DELETED, &args, err);
}

cis_code cis_pg_squash(cis_store *store, struct cis_str tenant,
                       const struct cis_fs_squash_request *request, const struct cis_stop *stop,
                       struct cis_error *err)
{
    struct cis_fs_squash_request q = *request;
    struct pg_write write = {
        .work = squash, .arg = &q, .slow = true, .repeatable = true, .frees = true};
    CIS_TRY(cis_pg_write((struct pg_store *)store, tenant, &write, stop, err));
    /* Nothing can be made below the floor any more; what holds a view there is looked at again. */
    struct pg_write memory = {.work = squash_memory,
                              .arg = &q,
                              .slow = true,
                              .lazy = true,
                              .repeatable = true,
                              .frees = true};
    return request->floor != 0 ? cis_pg_write((struct pg_store *)store, tenant, &memory, stop, err)
                               : CIS_OK;
}

/* ---- keys that nobody needs ---- */
enum { KEYS_BATCH = 1000 }; /* epochs in one transaction */

struct keys_drop {
    uint64_t branch, upto;
    bool more;
};

static cis_code keys_drop(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct keys_drop *d = arg;
    struct pg_args first = {0}, drop = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_args_view(&first, conn, (struct cis_view){d->branch, d->upto});
    CIS_TRY(cis_pg_ask(conn, PG_KEYS_FIRST, &first, &res, err));
    d->more = PQntuples(res) != 0;
    if (!d->more) {
        return CIS_OK;
    }
    uint64_t from = cis_pg_u64(res, 0, 0);
    cis_pg_args_view(&drop, conn, (struct cis_view){d->branch, from});
    cis_pg_arg_u64(&drop, d->upto - from < KEYS_BATCH ? d->upto : from + KEYS_BATCH - 1);
    return cis_pg_send(conn, PG_KEYS_DROP, &drop, err);
}

cis_code cis_pg_keys_drop(cis_store *store, struct cis_str tenant, uint64_t branch, uint64_t upto,
                          const struct cis_stop *stop, struct cis_error *err)
{
    struct keys_drop d = {branch, upto, true};
    struct pg_write write = {.work = keys_drop,
                             .arg = &d,
                             .slow = true,
                             .lazy = true,
                             .repeatable = true,
                             .frees = true};
    while (d.more) {
        CIS_TRY(cis_pg_write((struct pg_store *)store, tenant, &write, stop, err));
    }
    return CIS_OK;
}

/* ---- branches ---- */
static cis_code branch_remove(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    static const char *const why[] = {"", "a ref", "a fork", "a snapshot", "a pin"};
    uint64_t branch = *(const uint64_t *)arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *own = NULL, *used = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, branch);
    CIS_TRY(cis_pg_send(conn, PG_BRANCH_OWN, &args, err));
    CIS_TRY(cis_pg_send(conn, PG_BRANCH_USED, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_next(conn, PG_BRANCH_OWN, &own, err));
    CIS_TRY(cis_pg_next(conn, PG_BRANCH_USED, &used, err));
    CIS_TRY(cis_pg_finish(conn, err));
    if (PQntuples(own) == 0) {
        CIS_TRY(cis_pg_alive(conn, err));
        return cis_fail(err, CIS_E_NOTFOUND, "branch %" PRIu64 ": no such branch", branch);
    }
    uint64_t by = cis_pg_u64(used, 0, 0);
    if (PQntuples(used) != 0) {
        return cis_fail(err, CIS_E_CONFLICT, "branch %" PRIu64 ": %s needs it", branch,
                        why[by <= 4 ? by : 0]);
    }
    for (int id = PG_DROP_DIRENTS; id <= PG_DROP_BRANCH; id++) {
        CIS_TRY(cis_pg_send(conn, (enum pg_id)id, &args, err));
    }
    return CIS_OK;
}

cis_code cis_pg_branch_remove(cis_store *store, struct cis_str tenant, uint64_t branch,
                              const struct cis_stop *stop, struct cis_error *err)
{
    struct pg_write write = {.work = branch_remove, .arg = &branch, .slow = true, .frees = true};
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}

/* ---- chunks ---- */
struct chunks {
    uint64_t after;
    int64_t left;
    cis_fs_chunk_each *each;
    void *self;
};

static cis_code chunk_tell(void *self, const PGresult *row, bool *out_more, struct cis_error *err)
{
    struct chunks *q = self;
    struct cis_fs_chunk_info info = {.id = cis_pg_u64(row, 0, 0),
                                     .stamp_ms = cis_pg_int(row, 0, 1),
                                     .bytes = cis_pg_u64(row, 0, 2)};
    struct cis_bytes hash = cis_pg_bytes(row, 0, 3);
    if (hash.len != sizeof info.hash) {
        return cis_fail(err, CIS_E_DAMAGED, "chunk %" PRIu64 ": a hash of %zu bytes", info.id,
                        hash.len);
    }
    memcpy(info.hash, hash.ptr, hash.len);
    *out_more = q->each(q->self, &info);
    q->after = info.id;
    q->left--;
    return CIS_OK;
}

static cis_code chunk_list(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct chunks *q = arg;
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, q->after);
    cis_pg_arg_int(&args, q->left);
    conn->goes_on = true;
    CIS_TRY(cis_pg_send(conn, PG_CHUNK_LIST, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    return cis_pg_rows(conn, PG_CHUNK_LIST, chunk_tell, q, err);
}

cis_code cis_pg_chunk_list(cis_store *store, struct cis_str tenant,
                           const struct cis_fs_chunk_query *query, cis_fs_chunk_each *each,
                           void *self, const struct cis_stop *stop, struct cis_error *err)
{
    struct chunks q = {query->after, query->limit != 0 ? (int64_t)query->limit : INT64_MAX, each,
                       self};
    bool absent;
    return cis_pg_read((struct pg_store *)store, tenant, chunk_list, &q, &absent, stop, err);
}

/* ---- clock and check ---- */
/* Of the server, for all clients. */
cis_code cis_pg_clock(cis_store *store, int64_t *out_ms, int64_t *out_stamp_ms,
                      const struct cis_stop *stop, struct cis_error *err)
{
    int64_t room;
    for (int attempt = 0;; attempt++) {
        CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(cis_pg_take_any(((struct pg_store *)store), stop, &conn, err));
        cis_code code = cis_pg_ask(conn, PG_CLOCK, NULL, &res, err);
        if (code == CIS_OK) {
            *(out_ms != NULL ? out_ms : &room) = cis_pg_int(res, 0, 0);
            *(out_stamp_ms != NULL ? out_stamp_ms : &room) = cis_pg_int(res, 0, 0);
        }
        if (code == CIS_OK || !conn->lost || attempt == PG_RETRIES) {
            return code;
        }
    }
}

/* Every page of the tenant's rows is read, which checks its checksum; a page that fails is a fault,
 * and so is a server that would not notice. */
static cis_code read_table(struct pg_conn *conn, enum pg_id id, struct cis_buf *out,
                           struct cis_error *err)
{
    struct pg_args args = {0};
    struct cis_error why = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_code code = cis_pg_ask(conn, id, &args, NULL, &why);
    if (code == CIS_E_DAMAGED) {
        cis_buf_printf(out, "%s\n", why.msg);
        return cis_pg_finish(conn, NULL) == CIS_OK || !conn->lost ? CIS_OK : CIS_E_STORE;
    }
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    return code;
}

static cis_code counted_check(struct pg_conn *conn, struct cis_buf *out, struct cis_error *err)
{
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    CIS_TRY(cis_pg_ask(conn, PG_COUNTED, &args, &res, err));
    if (cis_pg_int(res, 0, 0) != cis_pg_int(res, 0, 1)) {
        cis_buf_printf(out, "stored bytes are counted as %" PRId64 ", there are %" PRId64 "\n",
                       cis_pg_int(res, 0, 0), cis_pg_int(res, 0, 1));
    }
    return CIS_OK;
}

static cis_code lineage_check(struct pg_conn *conn, struct cis_buf *out, struct cis_error *err)
{
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    CIS_TRY(cis_pg_ask(conn, PG_LINEAGE_FAULTS, &args, &res, err));
    for (int i = 0; i < PQntuples(res); i++) {
        cis_buf_printf(out, "branch %" PRId64 ": its lineage does not match that of its parent\n",
                       cis_pg_int(res, i, 0));
    }
    return CIS_OK;
}

static cis_code check(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct cis_buf *out = arg;
    CIS_CLEANUP(cis_pg_clear) PGresult *on = NULL, *rotten = NULL;
    struct pg_args name = {0};
    cis_pg_arg_str(&name, CIS_STR("data_checksums"));
    CIS_TRY(cis_pg_ask(conn, PG_ADMIN_SETTING, &name, &on, err));
    if (!cis_str_is(cis_pg_str(on, 0, 0), "on")) {
        cis_buf_text(out, "the server keeps no checksums of its pages (pg_checksums --enable)\n");
    }
    CIS_TRY(cis_pg_ask(conn, PG_ADMIN_ROTTEN, NULL, &rotten, err));
    if (cis_pg_int(rotten, 0, 0) != 0) {
        cis_buf_printf(out, "%" PRId64 " pages of the database failed their checksum\n",
                       cis_pg_int(rotten, 0, 0));
    }
    for (int id = PG_READ_TREE; id <= PG_READ_SKILL; id++) {
        CIS_TRY(read_table(conn, (enum pg_id)id, out, err));
    }
    CIS_TRY(lineage_check(conn, out, err));
    CIS_TRY(counted_check(conn, out, err));
    return cis_buf_check(out, "check", err);
}

cis_code cis_pg_check(cis_store *store, struct cis_str tenant, struct cis_buf *out_faults,
                      const struct cis_stop *stop, struct cis_error *err)
{
    return cis_pg_read((struct pg_store *)store, tenant, check, out_faults, NULL, stop, err);
}
