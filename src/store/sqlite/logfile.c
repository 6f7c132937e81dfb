/* The write-ahead log as a file of the VFS with checksums: what comes out of it is held against its
 * frame's checksum, what goes into it is followed for the log's mark. */
#include "store/sqlite/sumfile.h"

#include <string.h>

/* A page out of the log: the frame's checksum goes on from that of the frame before, or from the
 * log's head. */
static int frame_check(struct sum_file *f, sqlite3_file *real, const uint8_t *page, int amount,
                       sqlite3_int64 at)
{
    uint8_t head[CIS_SQL_FRAME_HEAD], before[CIS_SQL_WAL_HEAD];
    sqlite3_int64 frame = at - CIS_SQL_FRAME_HEAD,
                  step = CIS_SQL_FRAME_HEAD + (sqlite3_int64)amount;
    bool first = frame == CIS_SQL_WAL_HEAD;
    int rc = real->pMethods->xRead(real, head, CIS_SQL_FRAME_HEAD, frame);
    if (rc == SQLITE_OK && (first || !f->known)) {
        rc = real->pMethods->xRead(real, before, CIS_SQL_WAL_HEAD, 0);
        f->swapped = (before[3] & 1) != 0;
        f->known = rc == SQLITE_OK;
    }
    uint8_t *sum_at = before + 24;
    if (rc == SQLITE_OK && !first) {
        rc = real->pMethods->xRead(real, before, CIS_SQL_FRAME_HEAD, frame - step);
        sum_at = before + 16;
    }
    if (rc != SQLITE_OK) {
        return rc;
    }
    uint32_t sum[2] = {cis_sql_be32(sum_at), cis_sql_be32(sum_at + 4)};
    cis_sql_log_sum(f->swapped, head, 8, sum);
    cis_sql_log_sum(f->swapped, page, (size_t)amount, sum);
    bool right = sum[0] == cis_sql_be32(head + 16) && sum[1] == cis_sql_be32(head + 20);
    return right ? SQLITE_OK : sum_fault(f->db, (sqlite3_int64)cis_sql_be32(head));
}

int cis_sql_log_read(sqlite3_file *file, void *out, int amount, sqlite3_int64 at)
{
    struct sum_file *f = (struct sum_file *)file;
    sqlite3_file *real = sum_below(file);
    int rc = real->pMethods->xRead(real, out, amount, at);
    bool page = sum_whole_page(f->db, amount, 0) && at >= CIS_SQL_WAL_HEAD + CIS_SQL_FRAME_HEAD &&
                (at - CIS_SQL_WAL_HEAD - CIS_SQL_FRAME_HEAD) % (CIS_SQL_FRAME_HEAD + amount) == 0;
    if (!page || at - CIS_SQL_FRAME_HEAD >= f->db->own) {
        return rc;
    }
    if (rc == SQLITE_IOERR_SHORT_READ) {
        return sum_fault(f->db, 0);
    }
    return rc == SQLITE_OK ? frame_check(f, real, out, amount, at) : rc;
}

/* The head of a frame is on its way to the log. */
static int note_frame(struct sum_file *db, const uint8_t *head, sqlite3_int64 at)
{
    sqlite3_int64 end = at + CIS_SQL_FRAME_HEAD + db->page;
    if (cis_sql_be32(head + 4) != 0 && db->page != 0 && end > db->commit_end) {
        db->commit_end = end;
        memcpy(db->salts, head + 8, sizeof db->salts);
    }
    return (uint64_t)at < db->mark.end &&
                   memcmp(db->mark.salts, head + 8, sizeof db->mark.salts) == 0
               ? cis_sql_mark_lower(&db->mark, (uint64_t)at)
               : SQLITE_OK;
}

int cis_sql_log_write(sqlite3_file *file, const void *data, int amount, sqlite3_int64 at)
{
    struct sum_file *f = (struct sum_file *)file;
    if (at < f->db->own) {
        f->db->own = at;
    }
    if (at == 0) {
        f->known = false;
        f->db->mark.end = 0; /* another log */
    } else if (amount == CIS_SQL_FRAME_HEAD) {
        int rc = note_frame(f->db, data, at);
        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    return sum_below(file)->pMethods->xWrite(sum_below(file), data, amount, at);
}

int cis_sql_log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = cis_sql_mark_lower(&((struct sum_file *)file)->db->mark, (uint64_t)size);
    return rc == SQLITE_OK ? sum_below(file)->pMethods->xTruncate(sum_below(file), size) : rc;
}

int cis_sql_log_sync(sqlite3_file *file, int flags)
{
    struct sum_file *db = ((struct sum_file *)file)->db;
    int rc = sum_below(file)->pMethods->xSync(sum_below(file), flags);
    if (rc == SQLITE_OK && db->commit_end != 0) {
        cis_sql_mark_set(&db->mark, db->salts, (uint64_t)db->commit_end);
    }
    return rc;
}
