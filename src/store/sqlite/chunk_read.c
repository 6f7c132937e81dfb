/* Reading chunks: a row with the head, then just the bytes of the payload that the read needs. What
 * fails is the one read, with its chunk named; the others go on. */
#include <inttypes.h>
#include "base/mem.h"
#include "store/chunk.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/read.h"

struct place {
    int64_t at;
    uint32_t len; /* of the payload */
    uint8_t head[CIS_CHUNK_HEAD];
};

static cis_code find(struct sql_conn *conn, uint64_t id, struct place *out, bool *out_found,
                     struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CHUNK_AT, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(id));
    CIS_TRY(cis_sql_row(conn, st, "reading a chunk", out_found, err));
    if (!*out_found) {
        return CIS_OK;
    }
    int64_t bytes = sqlite3_column_int64(st, 1);
    struct cis_bytes head = cis_sql_bytes(st, 2);
    out->at = sqlite3_column_int64(st, 0);
    if (head.len != CIS_CHUNK_HEAD || bytes <= (int64_t)CIS_CHUNK_HEAD ||
        bytes > (int64_t)CIS_CHUNK_PACKED_MAX || out->at < SQL_NO_PLACE) {
        return cis_fail(err, CIS_E_DAMAGED, "impossible values");
    }
    out->len = (uint32_t)bytes - CIS_CHUNK_HEAD;
    memcpy(out->head, head.ptr, CIS_CHUNK_HEAD);
    return CIS_OK;
}

/* From table payload, through a handle that moves from row to row. */
static cis_code blob_read(struct sql_conn *conn, uint64_t id, const struct place *p, void *out,
                          uint32_t off, uint32_t len, struct cis_error *err)
{
    int rc = conn->blob != NULL ? sqlite3_blob_reopen(conn->blob, (sqlite3_int64)id)
                                : sqlite3_blob_open(conn->db, "main", "payload", "data",
                                                    (sqlite3_int64)id, 0, &conn->blob);
    if (rc == SQLITE_OK && sqlite3_blob_bytes(conn->blob) != (int)p->len) {
        return cis_fail(err, CIS_E_DAMAGED, "%d bytes, not %" PRIu32,
                        sqlite3_blob_bytes(conn->blob), p->len);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_blob_read(conn->blob, out, (int)len, (int)off);
    }
    if (rc == SQLITE_OK) {
        return CIS_OK;
    }
    sqlite3_blob_close(conn->blob);
    conn->blob = NULL;
    if ((rc & 0xff) == SQLITE_ERROR) { /* no such row, or it holds no blob */
        return cis_fail(err, CIS_E_DAMAGED, "its payload is missing");
    }
    return cis_sql_fail(conn, rc, "reading a chunk", err);
}

static cis_code payload_read(struct sql_conn *conn, uint64_t id, const struct place *p, void *out,
                             uint32_t off, uint32_t len, struct cis_error *err)
{
    if (p->at == SQL_NO_PLACE) {
        return blob_read(conn, id, p, out, off, len, err);
    }
    if (conn->chunk_fd < 0) {
        CIS_TRY(cis_sql_chunk_file_open(conn->path, false, &conn->chunk_fd, err));
    }
    return cis_sql_chunk_file_read(conn->chunk_fd, p->at + off, out, len, err);
}

static cis_code tools(struct sql_conn *conn, struct cis_error *err)
{
    if (conn->codec == NULL) {
        CIS_TRY(cis_chunk_codec_new(&conn->codec, err));
    }
    if (conn->payload == NULL) {
        conn->payload = cis_alloc(CIS_FS_BLOCK);
    }
    return conn->payload != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
}

static cis_code try_one(struct sql_reader *r, const struct cis_fs_read *read, struct cis_error *err)
{
    struct place p;
    bool found;
    if (read->off > UINT32_MAX - read->len) {
        return cis_fail(err, CIS_E_INVALID, "bytes beyond any chunk");
    }
    CIS_TRY(find(r->conn, read->chunk, &p, &found, err));
    if (!found && !r->fresh) { /* stored since this transaction began */
        CIS_TRY(cis_sql_reader_renew(r, err));
        CIS_TRY(find(r->conn, read->chunk, &p, &found, err));
    }
    if (!found) {
        return cis_fail(err, CIS_E_DAMAGED, "missing");
    }
    uint32_t off, len;
    cis_code code = cis_chunk_plan(p.head, p.len, read->off, read->len, &off, &len, err);
    if (code == CIS_OK && len != 0) {
        code = payload_read(r->conn, read->chunk, &p, r->conn->payload, off, len, err);
    }
    if (code == CIS_OK) {
        code = cis_chunk_unpack(r->conn->codec, p.head, cis_bytes_of(r->conn->payload, len),
                                read->off, read->len, read->dst, err);
    }
    return code;
}

/* Would it read back? Then nothing is told of why not. */
static cis_code reads_whole(struct sql_conn *conn, uint64_t id, const struct place *p,
                            struct cis_error *err)
{
    uint32_t off, len;
    uint8_t *content = conn->content;
    CIS_TRY(cis_chunk_plan(p->head, p->len, 0, CIS_FS_BLOCK, &off, &len, err));
    CIS_TRY(payload_read(conn, id, p, conn->payload, off, len, err));
    return cis_chunk_unpack(conn->codec, p->head, cis_bytes_of(conn->payload, len), 0, CIS_FS_BLOCK,
                            content, err);
}

cis_code cis_sql_chunk_whole(struct sql_conn *conn, uint64_t id, bool *out, struct cis_error *err)
{
    struct place p;
    bool found;
    struct cis_error why = {0};
    CIS_TRY(tools(conn, err));
    if (conn->content == NULL && (conn->content = cis_alloc(CIS_FS_BLOCK)) == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "chunks: out of memory");
    }
    cis_code code = find(conn, id, &p, &found, &why);
    if (code == CIS_OK && found) {
        code = reads_whole(conn, id, &p, &why);
    }
    sqlite3_blob_close(conn->blob); /* it would keep this transaction from ending */
    conn->blob = NULL;
    *out = code == CIS_OK && found;
    if (code == CIS_OK || (code == CIS_E_DAMAGED && !conn->broken)) {
        return CIS_OK;
    }
    if (err != NULL) { /* the database itself: nothing is written over that */
        *err = why;
    }
    return code;
}

static cis_code read_one(struct sql_reader *r, const struct cis_fs_read *read,
                         struct cis_error *err)
{
    cis_code code = try_one(r, read, err);
    return code == CIS_OK ? code : cis_error_prefix(err, code, "chunk %" PRIu64, read->chunk);
}

cis_code cis_sql_chunk_read(cis_store *store, struct cis_str tenant, struct cis_fs_read *reads,
                            size_t n, const struct cis_stop *stop, struct cis_error *err)
{
    struct sql_store *s = (struct sql_store *)store;
    CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
    for (size_t i = 0; i < n; i++) {
        if (r.conn == NULL || r.conn->broken) { /* it failed at a damaged page: others may do */
            cis_sql_reader_give(&r);
            CIS_TRY(cis_sql_reader_take(s, tenant, (struct cis_view){0, 0}, stop, &r, err));
            CIS_TRY(tools(r.conn, err));
        }
        struct cis_error why = {0};
        reads[i].code = read_one(&r, &reads[i], &why);
        if (reads[i].code == CIS_OK) {
            continue;
        }
        if (err != NULL) {
            *err = why; /* of the last one that failed */
        }
        if (reads[i].code != CIS_E_DAMAGED && reads[i].code != CIS_E_STORE) {
            return reads[i].code;
        }
    }
    return CIS_OK;
}
