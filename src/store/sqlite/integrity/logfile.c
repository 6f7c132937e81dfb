/* The write-ahead log as a file of the VFS with checksums: what comes out of it is held against its
 * frame's checksum, what goes into it is followed for the log's mark. */
#include "store/sqlite/integrity/sumfile.h"

#include <string.h>
#include <sys/stat.h>
#include "base/mem.h"

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

/* Recovery reads frames whole. */
static bool whole_frame(const struct sum_file *f, int amount, sqlite3_int64 at)
{
    int step = CIS_SQL_FRAME_HEAD + (int)f->db->page;
    return amount == step && at >= CIS_SQL_WAL_HEAD && (at - CIS_SQL_WAL_HEAD) % step == 0;
}

/* A frame with a damaged page, for recovery. */
static int pass_hole(struct sum_file *f, sqlite3_file *real, uint8_t *frame, sqlite3_int64 at)
{
    uint8_t before[CIS_SQL_WAL_HEAD];
    sqlite3_int64 step = CIS_SQL_FRAME_HEAD + (sqlite3_int64)f->db->page;
    uint32_t number = (uint32_t)((at - CIS_SQL_WAL_HEAD) / step) + 1, i = 0;
    while (i < f->holes.n && f->holes.frame[i] != number) {
        i++;
    }
    if (i == f->holes.n) {
        return SQLITE_OK;
    }
    bool first = number == 1;
    int rc = real->pMethods->xRead(real, before, first ? CIS_SQL_WAL_HEAD : CIS_SQL_FRAME_HEAD,
                                   first ? 0 : at - step);
    const uint8_t *sum_at = before + (first ? 24 : 16);
    uint32_t sum[2] = {cis_sql_be32(sum_at), cis_sql_be32(sum_at + 4)};
    if (rc == SQLITE_OK) {
        cis_sql_frame_force(f->holes.swapped, frame, f->db->page, sum);
        f->gone_past++;
    }
    return rc;
}

int cis_sql_log_read(sqlite3_file *file, void *out, int amount, sqlite3_int64 at)
{
    struct sum_file *f = (struct sum_file *)file;
    sqlite3_file *real = sum_below(file);
    if (f->ended) {
        return sum_fault(f->db, 0);
    }
    int rc = real->pMethods->xRead(real, out, amount, at);
    if (rc == SQLITE_OK && f->holes.n != 0 && whole_frame(f, amount, at)) {
        return pass_hole(f, real, out, at);
    }
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

/* Less of the log counts than did: durable before it is written over. */
static int lower(struct sum_file *db, uint64_t at)
{
    struct sql_stamp stamp;
    sqlite3_file *database = sum_stamped(db);
    uint64_t frames = at > CIS_SQL_WAL_HEAD && db->page != 0
                          ? (at - CIS_SQL_WAL_HEAD) / (CIS_SQL_FRAME_HEAD + db->page)
                          : 0;
    int rc = SQLITE_OK;
    if (database != NULL && cis_sql_stamp_read(database, &stamp) && stamp.frames > frames) {
        stamp.frames = (uint32_t)frames;
        stamp.before = 0;
        stamp.none = frames == 0;
        rc = cis_sql_stamp_write(database, &stamp, true);
    }
    return rc == SQLITE_OK ? cis_sql_mark_lower(&db->mark, at) : rc;
}

/* The head of a frame is on its way to the log. */
static int note_frame(struct sum_file *db, const uint8_t *head, sqlite3_int64 at)
{
    sqlite3_int64 end = at + CIS_SQL_FRAME_HEAD + db->page;
    /* A transaction that writes a page of its own anew gives the frames behind it no salts, and
     * writes all their heads again before the sync: the last time counts. */
    if (cis_sql_be32(head + 4) != 0 && db->page != 0 && end >= db->commit_end) {
        db->commit_end = end;
        memcpy(db->salts, head + 8, sizeof db->salts);
    }
    return (uint64_t)at < db->mark.end &&
                   memcmp(db->mark.salts, head + 8, sizeof db->mark.salts) == 0
               ? lower(db, (uint64_t)at)
               : SQLITE_OK;
}

/* The log that is there makes way, for another one or for none (head NULL): from here on the
 * database goes with either, and so does the mark. What is there is synced first, so that a power
 * loss leaves that and nothing older. */
static int turn_log(struct sum_file *f, const uint8_t *head)
{
    sqlite3_file *database = sum_stamped(f->db), *real = sum_below(&f->base);
    struct sql_stamp was, now = {.none = true};
    struct sql_walk old;
    int rc = real->pMethods->xSync(real, SQLITE_SYNC_NORMAL);
    rc = rc == SQLITE_OK ? cis_sql_walk_begin(&old, real) : rc;
    if (rc != SQLITE_OK && rc != SQLITE_NOTFOUND) {
        return rc;
    }
    bool there = rc == SQLITE_OK, stamped = database != NULL && cis_sql_stamp_read(database, &was);
    const uint8_t *from = there ? old.salts : stamped ? was.salts : NULL;
    if (there && stamped) {
        if (memcmp(was.salts, old.salts, sizeof was.salts) == 0) {
            now.before = was.frames;
        } else if (was.frames == 0 && cis_sql_salts_follow(old.salts, was.salts)) {
            now.before = was.before;
        }
    }
    if (head != NULL) {
        memcpy(now.salts, head + 16, sizeof now.salts);
        now.none = now.before == 0;
    } else if (from != NULL) {
        cis_sql_salts_next(from, now.salts);
    }
    rc = cis_sql_mark_turn(&f->db->mark, from, now.salts);
    f->db->mark.end = 0;
    return rc == SQLITE_OK && database != NULL ? cis_sql_stamp_write(database, &now, true) : rc;
}

int cis_sql_log_write(sqlite3_file *file, const void *data, int amount, sqlite3_int64 at)
{
    struct sum_file *f = (struct sum_file *)file;
    if (at < f->db->own) {
        f->db->own = at;
    }
    if (at == 0) {
        f->known = false;
        f->holes.n = 0;
        int rc = amount == CIS_SQL_WAL_HEAD ? turn_log(f, data) : SQLITE_OK;
        if (rc != SQLITE_OK) {
            return rc;
        }
    } else if (amount == CIS_SQL_FRAME_HEAD) {
        int rc = note_frame(f->db, data, at);
        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    return sum_below(file)->pMethods->xWrite(sum_below(file), data, amount, at);
}

/* All of the log was copied, when nothing is to be left. A second time there is nothing to cut. */
int cis_sql_log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct sum_file *f = (struct sum_file *)file, *db = f->db;
    sqlite3_file *real = sum_below(file);
    struct sql_stamp stamp;
    sqlite3_int64 has = 0;
    int rc = real->pMethods->xFileSize(real, &has);
    if (rc != SQLITE_OK || (size == 0 && has == 0)) {
        return rc;
    }
    bool stamped = sum_stamped(db) != NULL && cis_sql_stamp_read(sum_stamped(db), &stamp);
    rc = size == 0 && stamped ? turn_log(f, NULL) : lower(db, (uint64_t)size);
    return rc == SQLITE_OK ? real->pMethods->xTruncate(real, size) : rc;
}

int cis_sql_log_sync(sqlite3_file *file, int flags)
{
    struct sum_file *db = ((struct sum_file *)file)->db;
    sqlite3_file *database = sum_stamped(db);
    int rc = sum_below(file)->pMethods->xSync(sum_below(file), flags);
    if (rc == SQLITE_OK && db->commit_end != 0) {
        cis_sql_mark_set(&db->mark, db->salts, (uint64_t)db->commit_end);
    }
    if (rc == SQLITE_OK && db->commit_end != 0 && database != NULL) {
        struct sql_stamp stamp = {.frames = (uint32_t)((db->commit_end - CIS_SQL_WAL_HEAD) /
                                                       (CIS_SQL_FRAME_HEAD + db->page))};
        memcpy(stamp.salts, db->salts, sizeof stamp.salts);
        (void)cis_sql_stamp_write(database, &stamp, false); /* durable without it */
    }
    return rc;
}

/* ---- a log that is removed ---- */

/* SQLite removes one when the last connection closes (which those of a store do not ask for), and
 * when it finds a database without a page: then the log is all there is, and it stays. */
static int fold_away(sqlite3_vfs *real, const char *path)
{
    int rc = SQLITE_IOERR_NOMEM, out = 0;
    sqlite3_filename name = sqlite3_create_filename(path, "", "", 0, NULL);
    sqlite3_file *file = cis_zalloc((size_t)real->szOsFile);
    if (name != NULL && file != NULL) {
        rc = real->xOpen(real, name, file, SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READWRITE, &out);
    }
    if (rc == SQLITE_OK) {
        sqlite3_int64 size = 0;
        rc = file->pMethods->xFileSize(file, &size);
        rc = rc != SQLITE_OK ? rc : size == 0 ? SQLITE_IOERR_DELETE : cis_sql_stamp_fold(file);
    }
    if (file != NULL && file->pMethods != NULL) {
        (void)file->pMethods->xClose(file);
    }
    cis_free(file);
    sqlite3_free_filename(name);
    return rc;
}

int cis_sql_log_goes(sqlite3_vfs *real, const char *log)
{
    size_t len = strlen(log) - strlen("-wal");
    struct stat st;
    if (stat(log, &st) != 0 || st.st_size <= CIS_SQL_WAL_HEAD) {
        return SQLITE_OK;
    }
    char *path = cis_strndup(log, len);
    int rc = path != NULL ? fold_away(real, path) : SQLITE_IOERR_NOMEM;
    cis_free(path);
    return rc;
}
