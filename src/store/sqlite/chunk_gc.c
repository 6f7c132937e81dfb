/* Chunks that nobody names: listing them, removing them, and giving their bytes back. A payload
 * becomes a hole only after the removal of its row is on the disk: a row that power loss brought
 * back would otherwise stand for content that is gone, and new writes would be told it is there. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/chunk.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/read.h"

#define BATCH 4096u

cis_code cis_sql_chunk_list(cis_store *store, struct cis_str tenant,
                            const struct cis_fs_chunk_query *query, cis_fs_chunk_each *each,
                            void *self, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
    CIS_TRY(cis_sql_reader_take((struct sql_store *)store, tenant, CIS_VIEW_HEAD, stop, &r, err));
    if (!r.fresh) {
        CIS_TRY(cis_sql_reader_renew(&r, err));
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(r.conn, SQL_CHUNK_LIST, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(query->after));
    sqlite3_bind_int64(st, 2, query->limit != 0 ? (int64_t)query->limit : -1);
    for (bool more = true; more;) {
        bool row;
        CIS_TRY(cis_sql_row(r.conn, st, "listing chunks", &row, err));
        if (!row) {
            break;
        }
        struct cis_fs_chunk_info info = {(uint64_t)sqlite3_column_int64(st, 0),
                                         sqlite3_column_int64(st, 1),
                                         (uint64_t)sqlite3_column_int64(st, 2),
                                         {0}};
        struct cis_bytes hash = cis_sql_bytes(st, 3);
        if (hash.len != sizeof info.hash) {
            return cis_fail(err, CIS_E_DAMAGED, "chunk %" PRIu64 ": impossible values", info.id);
        }
        memcpy(info.hash, hash.ptr, sizeof info.hash);
        more = each(self, &info);
    }
    return CIS_OK;
}

/* ---- removing ---- */

struct hole {
    int64_t at, len;
};

struct removed {
    uint64_t count;
    size_t nholes;
    struct hole *holes; /* room for one a chunk */
};

struct removal {
    const uint64_t *ids;
    size_t n;
    int64_t before_ms;
    struct removed *out;
};

static cis_code remove_one(struct sql_conn *conn, uint64_t id, int64_t before_ms,
                           struct removed *out, struct cis_error *err)
{
    int64_t bytes, place;
    {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_CHUNK_DELETE, &st, err));
        sqlite3_bind_int64(st, 1, cis_sql_i64(id));
        sqlite3_bind_int64(st, 2, before_ms);
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "removing a chunk", &row, err));
        if (!row) {
            return CIS_OK;
        }
        bytes = sqlite3_column_int64(st, 0);
        place = sqlite3_column_int64(st, 1);
        CIS_TRY(cis_sql_row(conn, st, "removing a chunk", &row, err));
    }
    out->count++;
    if (place != SQL_NO_PLACE) {
        out->holes[out->nholes++] = (struct hole){place, bytes - (int64_t)CIS_CHUNK_HEAD};
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PAYLOAD_DELETE, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(id));
    return cis_sql_done(conn, st, "removing a chunk", err);
}

static cis_code remove_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct removal *r = arg;
    r->out->count = 0;
    r->out->nholes = 0;
    for (size_t i = 0; i < r->n; i++) {
        CIS_TRY(remove_one(conn, r->ids[i], r->before_ms, r->out, err));
    }
    return CIS_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct hole *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static void punch_all(int fd, struct removed *r)
{
    qsort(r->holes, r->nholes, sizeof *r->holes, by_place);
    for (size_t i = 0; i < r->nholes; i++) {
        cis_sql_chunk_file_punch(fd, r->holes[i].at, r->holes[i].len);
    }
}

/* ---- what a killed writer left ---- */

/* Bytes that no row names and no writer has in flight. Once a store and tenant: it reads all rows.
 */
static cis_code leftovers(struct sql_reader *r, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_chunk_file_closep) int fd = -1;
    CIS_TRY(cis_sql_chunk_file_open(r->conn->path, false, &fd, err));
    struct stat st;
    if (fd < 0 || !cis_sql_chunk_file_alone(fd) || !cis_sql_chunk_file_let(fd) ||
        fstat(fd, &st) != 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_sql_reader_renew(r, err)); /* rows of whoever had the lock are seen */
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *rows = NULL;
    CIS_TRY(cis_sql_get(r->conn, SQL_CHUNK_PLACES, &rows, err));
    int64_t at = 0;
    for (bool row = true; row;) {
        CIS_TRY(cis_sql_row(r->conn, rows, "looking for left over bytes", &row, err));
        int64_t next = row ? sqlite3_column_int64(rows, 0) : (int64_t)st.st_size;
        if (next > at) {
            cis_sql_chunk_file_punch(fd, at, next - at);
        }
        if (row) {
            int64_t end = next + sqlite3_column_int64(rows, 1) - (int64_t)CIS_CHUNK_HEAD;
            at = cis_sql_chunk_file_aligned(end > at ? end : at);
        }
    }
    return CIS_OK;
}

/* Besides: bytes that killed writers left become holes, once; and payloads move into the file. */
static cis_code besides(struct sql_store *s, struct cis_str tenant, const struct cis_stop *stop,
                        struct cis_error *err)
{
    {
        CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
        CIS_TRY(cis_sql_reader_take(s, tenant, CIS_VIEW_HEAD, stop, &r, err));
        if (!atomic_exchange(&r.conn->tenant->swept, true)) {
            CIS_TRY(leftovers(&r, err));
        }
    }
    return cis_sql_chunks_move(s, tenant, stop, err);
}

/* *out_let false: a backup reads what older rows name (backup_hold.c), and nothing is removed. */
static cis_code remove_batch(struct sql_store *s, struct cis_str tenant, const struct removal *r,
                             bool *out_let, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_chunk_file_closep) int fd = -1;
    {
        CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
        CIS_TRY(cis_sql_take(s, tenant, true, stop, &conn, err));
        CIS_TRY(cis_sql_chunk_file_open(conn->path, false, &fd, err));
    }
    *out_let = fd < 0 || cis_sql_chunk_file_let(fd);
    if (!*out_let) {
        r->out->count = 0;
        return CIS_OK;
    }
    CIS_TRY(cis_sql_write(s, tenant, remove_apply, r, SQL_DURABLE | SQL_FREES, stop, err));
    if (fd >= 0) {
        punch_all(fd, r->out);
    }
    return CIS_OK;
}

/* Between two batches: a backup that waits for its turn gets it. */
static cis_code pause_for_others(const struct cis_stop *stop, struct cis_error *err)
{
    static const struct cis_stop never = {CIS_NEVER, NULL};
    struct cis_stop nap = stop != NULL ? *stop : never;
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), 2 * CIS_NS_PER_MS);
    if (stop != NULL) {
        CIS_TRY(cis_stop_check(stop, "chunks", err));
    }
    nap.deadline_ns = nap.deadline_ns < until ? nap.deadline_ns : until;
    (void)cis_stop_wait(&nap, -1, 0, "", NULL);
    return CIS_OK;
}

cis_code cis_sql_chunk_remove(cis_store *store, struct cis_str tenant,
                              const struct cis_fs_remove_request *request, uint64_t *out_removed,
                              const struct cis_stop *stop, struct cis_error *err)
{
    struct sql_store *s = (struct sql_store *)store;
    CIS_TRY(cis_sql_tenant_require(s, tenant, err));
    size_t cap = request->n < BATCH ? request->n : BATCH;
    CIS_CLEANUP(cis_freep) struct hole *holes = cis_calloc(cap, sizeof *holes);
    if (holes == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
    }
    uint64_t total = 0;
    bool let = true;
    for (size_t done = 0; done < request->n && let;) {
        if (done != 0) {
            CIS_TRY(pause_for_others(stop, err));
        }
        struct removed removed = {0, 0, holes};
        struct removal r = {request->ids + done, request->n - done < cap ? request->n - done : cap,
                            request->before_ms, &removed};
        CIS_TRY(remove_batch(s, tenant, &r, &let, stop, err));
        total += removed.count;
        done += r.n;
    }
    CIS_TRY(besides(s, tenant, stop, err));
    *out_removed = total;
    return CIS_OK;
}
