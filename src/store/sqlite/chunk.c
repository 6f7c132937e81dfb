/* Chunks: storing, stamping and reading them. A payload of 2 KiB and more that comes by chunk_put
 * goes into the chunk file, and is on the disk before any row names it; smaller ones, and all that
 * come inside a commit, are rows of table payload: one sync then covers everything. */
#include <inttypes.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/chunk.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/read.h"

#define BATCH_CHUNKS 4096u
#define BATCH_BYTES (16u << 20)
#define FILE_MIN 2048u /* bytes of payload from which on a chunk goes into the file */

/* ---- rows, inside a transaction ---- */

cis_code cis_sql_chunk_end(struct sql_conn *conn, int64_t *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CHUNK_END, &st, err));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "looking for the end of the chunks", &row, err));
    *out = row ? sqlite3_column_int64(st, 0) : 0;
    return CIS_OK;
}

cis_code cis_sql_chunk_end_set(struct sql_conn *conn, int64_t end, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CHUNK_END_SET, &st, err));
    sqlite3_bind_int64(st, 1, end);
    return cis_sql_done(conn, st, "noting the end of the chunks", err);
}

/* *out_id 0: there is no such chunk. */
static cis_code stamp_by_hash(struct sql_conn *conn, const uint8_t hash[32], int64_t now_ms,
                              uint64_t *out_id, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CHUNK_STAMP_HASH, &st, err));
    cis_sql_bind(st, 1, hash, 32);
    sqlite3_bind_int64(st, 2, now_ms);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "stamping a chunk", &row, err));
    *out_id = row ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    return row ? cis_sql_row(conn, st, "stamping a chunk", &row, err) : CIS_OK;
}

static cis_code payload_put(struct sql_conn *conn, int64_t id, const struct cis_fs_chunk *chunk,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *put = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PAYLOAD_PUT, &put, err));
    sqlite3_bind_int64(put, 1, id);
    cis_sql_bind(put, 2, chunk->packed.ptr + CIS_CHUNK_HEAD, chunk->packed.len - CIS_CHUNK_HEAD);
    return cis_sql_done(conn, put, "storing a chunk", err);
}

static cis_code insert(struct sql_conn *conn, const struct cis_fs_chunk *chunk, int64_t place,
                       int64_t now_ms, uint64_t *out_id, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CHUNK_PUT, &st, err));
    cis_sql_bind(st, 1, chunk->hash, sizeof chunk->hash);
    sqlite3_bind_int64(st, 2, now_ms);
    sqlite3_bind_int64(st, 3, (int64_t)chunk->packed.len);
    sqlite3_bind_int64(st, 4, place);
    cis_sql_bind(st, 5, chunk->packed.ptr, CIS_CHUNK_HEAD);
    CIS_TRY(cis_sql_done(conn, st, "storing a chunk", err));
    int64_t id = sqlite3_last_insert_rowid(conn->db);
    if (place == SQL_NO_PLACE) {
        CIS_TRY(payload_put(conn, id, chunk, err));
    }
    *out_id = (uint64_t)id;
    return CIS_OK;
}

/* ---- healing: the same content comes again, and what is stored of it is damaged ---- */

static cis_code place_of(struct sql_conn *conn, uint64_t id, int64_t *out_place,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CHUNK_AT, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(id));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "healing a chunk", &row, err));
    *out_place = row ? sqlite3_column_int64(st, 0) : SQL_NO_PLACE;
    return CIS_OK;
}

/* The row keeps its id, which extents name, and gets the content that came. What it had in the
 * chunk file is left over (chunk_gc.c). */
static cis_code heal(struct sql_conn *conn, uint64_t id, const struct cis_fs_chunk *chunk,
                     int64_t place, struct cis_error *err)
{
    int64_t was;
    CIS_TRY(place_of(conn, id, &was, err));
    if (was == SQL_NO_PLACE) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *gone = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_PAYLOAD_DELETE, &gone, err));
        sqlite3_bind_int64(gone, 1, cis_sql_i64(id));
        CIS_TRY(cis_sql_done(conn, gone, "healing a chunk", err));
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CHUNK_HEAL, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(id));
    sqlite3_bind_int64(st, 2, (int64_t)chunk->packed.len);
    sqlite3_bind_int64(st, 3, place);
    cis_sql_bind(st, 4, chunk->packed.ptr, CIS_CHUNK_HEAD);
    CIS_TRY(cis_sql_done(conn, st, "healing a chunk", err));
    atomic_store(&conn->tenant->swept, false);
    return place == SQL_NO_PLACE ? payload_put(conn, (int64_t)id, chunk, err) : CIS_OK;
}

static cis_code chunk_check(const struct cis_fs_chunk *chunk, struct cis_error *err)
{
    size_t n = chunk->packed.len;
    return n > CIS_CHUNK_HEAD && n <= CIS_CHUNK_PACKED_MAX && cis_chunk_len(chunk->packed.ptr) != 0
               ? CIS_OK
               : cis_fail(err, CIS_E_INVALID, "chunk: %zu bytes that are no chunk", n);
}

cis_code cis_sql_chunk_store(struct sql_conn *conn, const struct cis_fs_chunk *chunk,
                             uint64_t *out_id, struct cis_error *err)
{
    CIS_TRY(chunk_check(chunk, err));
    int64_t now = cis_sql_lease_ms(conn->store);
    CIS_TRY(stamp_by_hash(conn, chunk->hash, now, out_id, err));
    if (*out_id != 0) {
        bool whole;
        CIS_TRY(cis_sql_chunk_whole(conn, *out_id, &whole, err));
        if (!whole) {
            CIS_TRY(heal(conn, *out_id, chunk, SQL_NO_PLACE, err));
            atomic_fetch_add(&conn->store->base.healed, 1);
        }
        return CIS_OK;
    }
    return insert(conn, chunk, SQL_NO_PLACE, now, out_id, err);
}

/* ---- chunk_put ---- */

struct put {
    const struct cis_fs_chunk **chunks; /* in hash order: neighbours in the index */
    size_t n;
    uint64_t *ids;
    int64_t *places; /* of those appended to the file, else SQL_NO_PLACE */
    int fd;          /* of the file appended to, -1: none was */
    bool *unused;    /* appended, but somebody else stored the same meanwhile */
    bool *bad;       /* there, and it does not read back */
    bool accepted;
};

static int by_hash(const void *a, const void *b)
{
    const struct cis_fs_chunk *const *x = a, *const *y = b;
    int order = memcmp((*x)->hash, (*y)->hash, 32);
    return order != 0 ? order : (*x > *y) - (*x < *y);
}

static cis_code put_one(struct sql_conn *conn, const struct put *p, size_t i, int64_t now,
                        struct cis_error *err)
{
    const struct cis_fs_chunk *chunk = p->chunks[i];
    CIS_TRY(stamp_by_hash(conn, chunk->hash, now, &p->ids[i], err));
    p->unused[i] = p->ids[i] != 0 && !p->bad[i] && p->places[i] != SQL_NO_PLACE;
    if (p->ids[i] != 0) {
        return p->bad[i] ? heal(conn, p->ids[i], chunk, p->places[i], err) : CIS_OK;
    }
    return insert(conn, chunk, p->places[i], now, &p->ids[i], err);
}

static cis_code put_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct put *p = arg;
    int64_t now = cis_sql_lease_ms(conn->store), end = 0;
    CIS_TRY(cis_sql_chunk_file_there(p->fd, err));
    for (size_t i = 0; i < p->n; i++) {
        CIS_TRY(put_one(conn, p, i, now, err));
        if (p->places[i] != SQL_NO_PLACE) {
            int64_t to = p->places[i] + (int64_t)(p->chunks[i]->packed.len - CIS_CHUNK_HEAD);
            end = to > end ? to : end;
        }
    }
    return end != 0 ? cis_sql_chunk_end_set(conn, end, err) : CIS_OK;
}

/* Is there such a chunk, and does it read back? */
static cis_code look(struct sql_conn *conn, const struct cis_fs_chunk *chunk, bool *out_whole,
                     bool *out_bad, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    bool found;
    *out_whole = *out_bad = false;
    CIS_TRY(cis_sql_get(conn, SQL_CHUNK_BY_HASH, &st, err));
    cis_sql_bind(st, 1, chunk->hash, 32);
    CIS_TRY(cis_sql_row(conn, st, "looking for a chunk", &found, err));
    if (found) {
        uint64_t id = (uint64_t)sqlite3_column_int64(st, 0);
        CIS_TRY(cis_sql_chunk_whole(conn, id, out_whole, err));
        *out_bad = !*out_whole;
    }
    return CIS_OK;
}

/* Which of the chunks are there already? The answer may be old: put_apply looks again. Also where
 * the chunk file ends, and the database's path. */
struct known {
    bool *chunks;
    int64_t end;
    char *path;
};

static void known_done(struct known *k)
{
    cis_free(k->chunks);
    cis_free(k->path);
}

static cis_code known(struct sql_store *store, struct cis_str tenant, const struct put *p,
                      struct known *out, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take(store, tenant, true, stop, &conn, err));
    CIS_TRY(cis_sql_exec(conn, "BEGIN", "begin", err)); /* cis_sql_give ends it */
    for (size_t i = 0; i < p->n; i++) {
        if (i > 0 && memcmp(p->chunks[i]->hash, p->chunks[i - 1]->hash, 32) == 0) {
            out->chunks[i] = true;
            p->bad[i] = false;
        } else {
            CIS_TRY(look(conn, p->chunks[i], &out->chunks[i], &p->bad[i], err));
        }
    }
    CIS_TRY(cis_sql_chunk_end(conn, &out->end, err));
    out->path = cis_strdup(conn->path);
    return out->path != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
}

/* Payloads that are worth a place in the file. */
static cis_code append(const struct put *p, const struct known *k, int *fd,
                       const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) struct cis_bytes *payloads = cis_calloc(p->n, sizeof *payloads);
    CIS_CLEANUP(cis_freep) int64_t *places = cis_calloc(p->n, sizeof *places);
    if (payloads == NULL || places == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
    }
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct cis_bytes all = p->chunks[i]->packed;
        p->places[i] = SQL_NO_PLACE;
        if (!k->chunks[i] && all.len - CIS_CHUNK_HEAD >= FILE_MIN) {
            payloads[n++] = cis_bytes_of(all.ptr + CIS_CHUNK_HEAD, all.len - CIS_CHUNK_HEAD);
            p->places[i] = 0;
        }
    }
    if (n == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_sql_chunk_file_open(k->path, true, fd, err));
    CIS_TRY(cis_sql_chunk_file_append(*fd, k->end, payloads, n, places, stop, err));
    for (size_t i = 0, at = 0; i < p->n; i++) {
        p->places[i] = p->places[i] == 0 ? places[at++] : SQL_NO_PLACE;
    }
    return CIS_OK;
}

static cis_code put_batch(struct sql_store *store, struct cis_str tenant, struct put *p,
                          const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(known_done) struct known k = {.chunks = cis_calloc(p->n, sizeof *k.chunks)};
    CIS_CLEANUP(cis_sql_chunk_file_closep) int fd = -1; /* and with it the lock IN_FLIGHT */
    if (k.chunks == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
    }
    CIS_TRY(cis_sql_reserve_check(store, err));
    CIS_TRY(known(store, tenant, p, &k, stop, err));
    CIS_TRY(append(p, &k, &fd, stop, err));
    p->fd = fd;
    unsigned how = p->accepted ? SQL_ACCEPTED : SQL_LAZY;
    cis_code code = cis_sql_write(store, tenant, put_apply, p, how, stop, err);
    for (size_t i = 0; i < p->n; i++) {
        if (p->bad[i] && code == CIS_OK) {
            atomic_fetch_add(&store->base.healed, 1);
        }
        if (p->places[i] != SQL_NO_PLACE && (p->unused[i] || code == CIS_E_QUOTA)) {
            cis_sql_chunk_file_punch(fd, p->places[i],
                                     (int64_t)(p->chunks[i]->packed.len - CIS_CHUNK_HEAD));
        }
    }
    return code;
}

cis_code cis_sql_chunk_put(cis_store *store, struct cis_str tenant,
                           const struct cis_fs_put_request *request, uint64_t *out_ids,
                           const struct cis_stop *stop, struct cis_error *err)
{
    size_t cap = request->n < BATCH_CHUNKS ? request->n : BATCH_CHUNKS;
    CIS_CLEANUP(cis_freep) const struct cis_fs_chunk **order = cis_calloc(cap, sizeof *order);
    CIS_CLEANUP(cis_freep) uint64_t *ids = cis_calloc(cap, sizeof *ids);
    CIS_CLEANUP(cis_freep) int64_t *places = cis_calloc(cap, sizeof *places);
    CIS_CLEANUP(cis_freep) bool *unused = cis_calloc(cap, sizeof *unused);
    CIS_CLEANUP(cis_freep) bool *bad = cis_calloc(cap, sizeof *bad);
    if (order == NULL || ids == NULL || places == NULL || unused == NULL || bad == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
    }
    for (size_t i = 0; i < request->n; i++) {
        CIS_TRY(chunk_check(&request->chunks[i], err));
    }
    for (size_t done = 0; done < request->n;) {
        struct put p = {order, 0, ids, places, -1, unused, bad, request->accepted};
        for (size_t bytes = 0; p.n < cap && done < request->n && bytes < BATCH_BYTES; done++) {
            order[p.n++] = &request->chunks[done];
            bytes += request->chunks[done].packed.len;
        }
        qsort(order, p.n, sizeof *order, by_hash);
        CIS_TRY(put_batch((struct sql_store *)store, tenant, &p, stop, err));
        for (size_t i = 0; i < p.n; i++) {
            out_ids[order[i] - request->chunks] = ids[i];
        }
    }
    return CIS_OK;
}

/* ---- chunk_touch ---- */

struct touch {
    const uint64_t *ids;
    size_t n;
    bool *lost;
};

static cis_code touch_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct touch *t = arg;
    int64_t now = cis_sql_lease_ms(conn->store);
    for (size_t i = 0; i < t->n; i++) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_CHUNK_STAMP, &st, err));
        sqlite3_bind_int64(st, 1, cis_sql_i64(t->ids[i]));
        sqlite3_bind_int64(st, 2, now);
        CIS_TRY(cis_sql_done(conn, st, "stamping a chunk", err));
        t->lost[i] = sqlite3_changes(conn->db) == 0;
    }
    return CIS_OK;
}

cis_code cis_sql_chunk_touch(cis_store *store, struct cis_str tenant, const uint64_t *ids, size_t n,
                             bool *out_lost, const struct cis_stop *stop, struct cis_error *err)
{
    for (size_t done = 0; done < n;) {
        struct touch t = {ids + done, n - done < BATCH_CHUNKS ? n - done : BATCH_CHUNKS,
                          out_lost + done};
        CIS_TRY(
            cis_sql_write((struct sql_store *)store, tenant, touch_apply, &t, false, stop, err));
        done += t.n;
    }
    return CIS_OK;
}
