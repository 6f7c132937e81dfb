/* Payloads that came inside commits move into the chunk file: the database stays small, and reads
 * of them become reads of a file. Part of gc, some megabytes a time. The file is synced before a
 * row names the new place, and the old payload goes in the same transaction: at no moment is there
 * none, and a reader with an older snapshot still has the row it saw. */
#include "base/mem.h"
#include "store/chunk.h"
#include "store/sqlite/read.h"

#define MOVE_CHUNKS 1024u
#define MOVE_BYTES (16u << 20)
#define MOVE_MIN 2048

struct moved {
    size_t n;
    int64_t ids[MOVE_CHUNKS];
    struct cis_bytes payloads[MOVE_CHUNKS];
    int64_t places[MOVE_CHUNKS];
    bool unused[MOVE_CHUNKS]; /* removed meanwhile, or moved by another */
    int fd;
    int64_t from; /* where the chunk file ends */
    struct cis_buf room;
    char *db_path;
};

static void moved_free(struct moved **m)
{
    if (*m != NULL) {
        cis_buf_done(&(*m)->room);
        cis_free((*m)->db_path);
        cis_free(*m);
    }
}

static cis_code gather(struct sql_conn *conn, struct moved *m, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PAYLOADS, &st, err));
    sqlite3_bind_int64(st, 1, MOVE_MIN);
    size_t ends[MOVE_CHUNKS];
    while (m->n < MOVE_CHUNKS && m->room.len < MOVE_BYTES) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "moving chunks", &row, err));
        if (!row) {
            break;
        }
        struct cis_bytes data = cis_sql_bytes(st, 1);
        cis_buf_add(&m->room, data.ptr, data.len);
        m->ids[m->n] = sqlite3_column_int64(st, 0);
        ends[m->n++] = m->room.len;
    }
    CIS_TRY(cis_buf_check(&m->room, "moving chunks", err));
    for (size_t i = 0, from = 0; i < m->n; from = ends[i++]) {
        m->payloads[i] = cis_bytes_of(m->room.ptr + from, ends[i] - from);
    }
    CIS_TRY(cis_sql_chunk_end(conn, &m->from, err));
    m->db_path = cis_strdup(conn->path);
    return m->db_path != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "moving chunks: out of memory");
}

static cis_code move_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct moved *m = arg;
    bool *unused = ((struct moved *)(uintptr_t)arg)->unused;
    CIS_TRY(cis_sql_chunk_file_there(m->fd, err));
    if (m->n != 0) {
        int64_t end = m->places[m->n - 1] + (int64_t)m->payloads[m->n - 1].len;
        CIS_TRY(cis_sql_chunk_end_set(conn, end, err));
    }
    for (size_t i = 0; i < m->n; i++) {
        {
            CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
            CIS_TRY(cis_sql_get(conn, SQL_CHUNK_MOVE, &st, err));
            sqlite3_bind_int64(st, 1, m->ids[i]);
            sqlite3_bind_int64(st, 2, m->places[i]);
            sqlite3_bind_int64(st, 3, (int64_t)(m->payloads[i].len + CIS_CHUNK_HEAD));
            CIS_TRY(cis_sql_done(conn, st, "moving a chunk", err));
            unused[i] = sqlite3_changes(conn->db) == 0;
        }
        if (!unused[i]) {
            CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
            CIS_TRY(cis_sql_get(conn, SQL_PAYLOAD_DELETE, &st, err));
            sqlite3_bind_int64(st, 1, m->ids[i]);
            CIS_TRY(cis_sql_done(conn, st, "moving a chunk", err));
        }
    }
    return CIS_OK;
}

cis_code cis_sql_chunks_move(struct sql_store *store, struct cis_str tenant,
                             const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(moved_free) struct moved *m = cis_zalloc(sizeof *m);
    if (m == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "moving chunks: out of memory");
    }
    m->room = CIS_BUF_INIT(MOVE_BYTES + CIS_FS_BLOCK);
    {
        CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
        CIS_TRY(cis_sql_take(store, tenant, true, stop, &conn, err));
        CIS_TRY(gather(conn, m, err));
    }
    if (m->n == 0) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_chunk_file_closep)
    int fd = -1; /* and with it the lock on bytes in flight */
    CIS_TRY(cis_sql_chunk_file_open(m->db_path, true, &fd, err));
    CIS_TRY(cis_sql_chunk_file_append(fd, m->from, m->payloads, m->n, m->places, stop, err));
    m->fd = fd;
    CIS_TRY(cis_sql_write(store, tenant, move_apply, m, true, stop, err));
    for (size_t i = 0; i < m->n; i++) {
        if (m->unused[i]) {
            cis_sql_chunk_file_punch(fd, m->places[i], (int64_t)m->payloads[i].len);
        }
    }
    return CIS_OK;
}
