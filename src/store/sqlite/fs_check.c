/* The store's own check of a tenant: SQLite's of the database, then what SQLite cannot know: chunk
 * heads, payloads, what names what. One line a fault; nothing is changed. What the rows mean to
 * each other as a tree is fsck's, above the stores. */
#include <inttypes.h>
#include <sys/stat.h>
#include "store/chunk.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/integrity/pagesum.h"
#include "store/sqlite/read.h"

#define FAULTS_MAX "100" /* of one kind */

/* Every row of the statement is a fault, its first column the text. */
static const char *const faults[] = {
    "PRAGMA integrity_check(" FAULTS_MAX ")",
    "SELECT 'ref '||name||': branch '||branch||' is missing' FROM ref "
    "WHERE branch NOT IN (SELECT id FROM branch) LIMIT " FAULTS_MAX,
    "SELECT 'the current ref is missing' FROM tree WHERE current NOT IN (SELECT name FROM ref)",
    "SELECT 'branch '||id||': its parent is missing' FROM branch "
    "WHERE parent <> 0 AND parent NOT IN (SELECT id FROM branch) LIMIT " FAULTS_MAX,
    /* The branch itself, and below it what its parent has. */
    "WITH has AS MATERIALIZED (SELECT b.id, b.parent, count(l.branch) AS n, total(CASE l.depth "
    "WHEN 0 THEN l.ancestor <> b.id OR l.max_epoch <> 9223372036854775807 ELSE p.ancestor IS NOT "
    "l.ancestor OR min(p.max_epoch, b.fork_epoch) IS NOT l.max_epoch END) AS wrong FROM branch b "
    "LEFT JOIN lineage l ON l.branch = b.id LEFT JOIN lineage p ON p.branch = b.parent "
    "AND p.depth = l.depth - 1 GROUP BY b.id) "
    "SELECT 'branch '||h.id||': its lineage does not match that of its parent' FROM has h "
    "LEFT JOIN has up ON up.id = h.parent WHERE h.wrong <> 0 OR h.n <> 1 + ifnull(up.n, 0) "
    "LIMIT " FAULTS_MAX,
    "SELECT CASE WHEN substr(name, 1, 1) = x'40' THEN 'reflog ' ELSE 'snapshot ' END||name||"
    "': branch '||branch||' is missing' FROM snapshot "
    "WHERE branch NOT IN (SELECT id FROM branch) LIMIT " FAULTS_MAX,
    "SELECT 'inode '||ino||' block '||block||' of branch '||branch||': chunk '||chunk||"
    "' is missing' FROM extent x WHERE chunk <> 0 "
    "AND NOT EXISTS (SELECT 1 FROM chunk WHERE id = x.chunk) LIMIT " FAULTS_MAX,
    "SELECT 'chunk '||id||': its payload is missing' FROM chunk c WHERE place = -1 "
    "AND NOT EXISTS (SELECT 1 FROM payload WHERE id = c.id) LIMIT " FAULTS_MAX,
    cis_sql_count_fault,
};

static cis_code ask(struct sql_conn *conn, const char *text, struct cis_buf *out,
                    struct cis_error *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(conn->db, text, -1, &st, NULL);
    if (rc == SQLITE_OK) {
        while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
            struct cis_str line = cis_sql_str(st, 0);
            if (!cis_str_is(line, "ok")) {
                cis_buf_str(out, line);
                cis_buf_byte(out, '\n');
            }
        }
    }
    cis_code code = rc == SQLITE_DONE ? CIS_OK : cis_sql_fail(conn, rc, "check", err);
    sqlite3_finalize(st);
    return code;
}

static cis_code sums(struct sql_conn *conn, const char *text, struct cis_buf *out,
                     struct cis_error *err)
{
    (void)text;
    (void)err;
    int on = 0;
    (void)sqlite3_file_control(conn->db, NULL, CIS_SQL_FCNTL_HAS_SUMS, &on);
    if (!on) {
        cis_buf_printf(out, "%s: made without page checksums; flipped bits may go unnoticed\n",
                       conn->path);
    }
    return CIS_OK;
}

static cis_code chunks(struct sql_conn *conn, const char *text, struct cis_buf *out,
                       struct cis_error *err)
{
    (void)text;
    CIS_CLEANUP(cis_sql_chunk_file_closep) int fd = -1;
    struct stat st = {.st_size = 0};
    CIS_TRY(cis_sql_chunk_file_open(conn->path, false, &fd, err));
    if (fd >= 0 && fstat(fd, &st) != 0) {
        return cis_fail(err, CIS_E_STORE, "%s: cannot examine the chunk file", conn->path);
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *rows = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_CHUNK_HEADS, &rows, err));
    for (int n = 0; n < 100;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, rows, "check", &row, err));
        if (!row) {
            break;
        }
        int64_t id = sqlite3_column_int64(rows, 0), bytes = sqlite3_column_int64(rows, 1);
        int64_t place = sqlite3_column_int64(rows, 2), len = bytes - (int64_t)CIS_CHUNK_HEAD;
        struct cis_bytes head = cis_sql_bytes(rows, 3);
        const char *what = NULL;
        if (head.len != CIS_CHUNK_HEAD || cis_chunk_len(head.ptr) == 0) {
            what = "its head is damaged";
        } else if (len <= 0 || len > (int64_t)CIS_FS_BLOCK || place < SQL_NO_PLACE) {
            what = "impossible values";
        } else if (place != SQL_NO_PLACE && place > (int64_t)st.st_size - len) {
            what = "the chunk file ends before it";
        }
        if (what != NULL) {
            cis_buf_printf(out, "chunk %" PRId64 ": %s\n", id, what);
            n++;
        }
    }
    return CIS_OK;
}

typedef cis_code question(struct sql_conn *conn, const char *text, struct cis_buf *out,
                          struct cis_error *err);

/* A question that fails is a fault, and the next one is asked through another connection: this one
 * may have ended at a damaged page. */
static cis_code put(struct sql_store *s, struct cis_str tenant, question *asked, const char *text,
                    struct cis_buf *out, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    struct cis_error why = {0};
    cis_code code = cis_sql_take(s, tenant, false, stop, &conn, &why);
    if (code == CIS_OK && conn == NULL) {
        return cis_fail(err, CIS_E_NOTFOUND, "tenant " CIS_STR_FMT ": no such tenant",
                        CIS_STR_ARG(tenant));
    }
    if (code == CIS_OK) {
        code = asked(conn, text, out, &why);
    }
    if (code == CIS_E_DAMAGED || code == CIS_E_STORE) {
        bool told = out->len != 0 && memmem(out->ptr, out->len, why.msg, strlen(why.msg)) != NULL;
        if (!told) { /* a file that cannot be opened fails every question alike */
            cis_buf_printf(out, "%s\n", why.msg);
        }
        return CIS_OK;
    }
    if (code != CIS_OK && err != NULL) {
        *err = why;
    }
    return code;
}

cis_code cis_sql_check(cis_store *store, struct cis_str tenant, struct cis_buf *out_faults,
                       const struct cis_stop *stop, struct cis_error *err)
{
    struct sql_store *s = (struct sql_store *)store;
    CIS_TRY(put(s, tenant, sums, NULL, out_faults, stop, err));
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        CIS_TRY(put(s, tenant, ask, faults[i], out_faults, stop, err));
    }
    CIS_TRY(put(s, tenant, chunks, NULL, out_faults, stop, err));
    return cis_buf_check(out_faults, "the list of faults", err);
}
