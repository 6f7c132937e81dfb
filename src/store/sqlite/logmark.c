/* The mark beside the write-ahead log. */
#include "store/sqlite/logmark.h"

#include "base/clock.h"
#include "base/le.h"
#include "base/mem.h"
#include "store/sqlite/pagesum.h"

#define MARK_BYTES 40 /* magic, salts, end, time, sum: within one sector */

static const char magic[8] = "cis-mark";

/* ---- the file ---- */

int cis_sql_mark_init(struct sql_mark *mark, sqlite3_vfs *vfs, sqlite3_file *room,
                      const char *database)
{
    static const char suffix[] = "-mark";
    size_t len = strlen(database);
    *mark = (struct sql_mark){.vfs = vfs, .file = room};
    /* SQLite wants more than one NUL. */
    mark->path = cis_zalloc(cis_size_add(len, sizeof suffix + 4));
    if (mark->path == NULL) {
        return SQLITE_IOERR_NOMEM;
    }
    memcpy(mark->path, database, len);
    memcpy(mark->path + len, suffix, sizeof suffix);
    return SQLITE_OK;
}

static void shut(struct sql_mark *mark)
{
    if (mark->open) {
        (void)mark->file->pMethods->xClose(mark->file);
        mark->open = false;
    }
}

void cis_sql_mark_done(struct sql_mark *mark)
{
    shut(mark);
    cis_free(mark->path);
    mark->path = NULL;
}

/* With the rights of the database, which a log gets by its flag. False: there is none, or it cannot
 * be used: then nothing is judged. */
static bool reach(struct sql_mark *mark, bool make)
{
    int flags = SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0), out = 0;
    if (mark->open || mark->path == NULL) {
        return mark->open;
    }
    memset(mark->file, 0, sizeof *mark->file);
    int rc = mark->vfs->xOpen(mark->vfs, mark->path, mark->file, flags, &out);
    mark->open = mark->file->pMethods != NULL;
    if (rc != SQLITE_OK || (out & SQLITE_OPEN_READONLY) != 0) {
        shut(mark);
    }
    return mark->open;
}

static int write_mark(struct sql_mark *mark, const uint8_t salts[8], uint64_t end)
{
    uint8_t raw[MARK_BYTES];
    memcpy(raw, magic, sizeof magic);
    memcpy(raw + 8, salts, 8);
    cis_put_le64(raw + 16, end);
    cis_put_le64(raw + 24, (uint64_t)cis_clock_wall_ms());
    cis_put_le64(raw + 32, cis_sql_page_sum(raw, 32, 0));
    memcpy(mark->salts, salts, sizeof mark->salts);
    mark->end = end;
    return mark->file->pMethods->xWrite(mark->file, raw, sizeof raw, 0);
}

bool cis_sql_mark_read(struct sql_mark *mark, uint8_t salts[8], uint64_t *out_end, int64_t *out_ms)
{
    uint8_t raw[MARK_BYTES];
    if (!reach(mark, false) ||
        mark->file->pMethods->xRead(mark->file, raw, sizeof raw, 0) != SQLITE_OK ||
        memcmp(raw, magic, sizeof magic) != 0 ||
        cis_le64(raw + 32) != cis_sql_page_sum(raw, 32, 0)) {
        return false;
    }
    memcpy(salts, raw + 8, 8);
    *out_end = cis_le64(raw + 16);
    *out_ms = (int64_t)cis_le64(raw + 24);
    return true;
}

void cis_sql_mark_set(struct sql_mark *mark, const uint8_t salts[8], uint64_t end)
{
    if (reach(mark, true)) {
        (void)write_mark(mark, salts, end); /* the commit is durable without it */
    }
}

int cis_sql_mark_lower(struct sql_mark *mark, uint64_t at)
{
    uint8_t salts[8];
    uint64_t end;
    int64_t ms;
    if (!cis_sql_mark_read(mark, salts, &end, &ms) || end <= at) {
        return SQLITE_OK;
    }
    int rc = write_mark(mark, salts, at);
    return rc == SQLITE_OK ? mark->file->pMethods->xSync(mark->file, SQLITE_SYNC_NORMAL) : rc;
}

int cis_sql_mark_remove(sqlite3_vfs *vfs, const char *log)
{
    size_t len = strlen(log) - strlen("wal");
    char *path = cis_zalloc(cis_size_add(len, sizeof "mark" + 4));
    if (path == NULL) {
        return SQLITE_IOERR_NOMEM;
    }
    memcpy(path, log, len);
    memcpy(path + len, "mark", sizeof "mark");
    int rc = vfs->xDelete(vfs, path, 1);
    cis_free(path);
    return rc == SQLITE_IOERR_DELETE_NOENT ? SQLITE_OK : rc;
}
