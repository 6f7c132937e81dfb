/* The mark beside the write-ahead log. */
#include "store/sqlite/integrity/logmark.h"

#include "base/clock.h"
#include "base/le.h"
#include "base/mem.h"
#include "store/sqlite/integrity/sum.h"

/* Within one sector: magic, salts, end, time, next salts, is it turning?, sum. */
#define MARK_BYTES 56
#define BEFORE_BYTES 40 /* a mark of before: magic, salts, end, time, sum */

static const char magic[8] = "cis-mrk2", magic_before[8] = "cis-mark";

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
 * be used: then nothing is checked. */
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

static int write_mark(struct sql_mark *mark, const struct sql_marked *m)
{
    uint8_t raw[MARK_BYTES];
    memcpy(raw, magic, sizeof magic);
    memcpy(raw + 8, m->salts, 8);
    cis_put_le64(raw + 16, m->end);
    cis_put_le64(raw + 24, (uint64_t)cis_clock_wall_ms());
    memcpy(raw + 32, m->next, 8);
    cis_put_le64(raw + 40, m->turning);
    cis_put_le64(raw + 48, cis_sql_page_sum(raw, 48, 0));
    memcpy(mark->salts, m->salts, sizeof mark->salts);
    mark->end = m->end;
    return mark->file->pMethods->xWrite(mark->file, raw, sizeof raw, 0);
}

/* SQLITE_NOTFOUND: it is damaged. */
static int load(struct sql_mark *mark, struct sql_marked *out)
{
    uint8_t raw[MARK_BYTES] = {0};
    int rc = mark->file->pMethods->xRead(mark->file, raw, sizeof raw, 0);
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) {
        return rc;
    }
    bool strict = memcmp(raw, magic, sizeof magic) == 0;
    size_t sum_at = (strict ? MARK_BYTES : BEFORE_BYTES) - 8;
    if ((!strict && memcmp(raw, magic_before, sizeof magic_before) != 0) ||
        cis_le64(raw + sum_at) != cis_sql_page_sum(raw, sum_at, 0)) {
        return SQLITE_NOTFOUND;
    }
    *out = (struct sql_marked){.end = cis_le64(raw + 16),
                               .turning = strict && cis_le64(raw + 40) != 0,
                               .strict = strict,
                               .ms = (int64_t)cis_le64(raw + 24)};
    memcpy(out->salts, raw + 8, sizeof out->salts);
    memcpy(out->next, raw + 32, strict ? sizeof out->next : 0);
    return SQLITE_OK;
}

bool cis_sql_mark_read(struct sql_mark *mark, struct sql_marked *out)
{
    return reach(mark, false) && load(mark, out) == SQLITE_OK;
}

void cis_sql_mark_set(struct sql_mark *mark, const uint8_t salts[8], uint64_t end)
{
    struct sql_marked m = {.end = end};
    memcpy(m.salts, salts, sizeof m.salts);
    if (reach(mark, true)) {
        (void)write_mark(mark, &m); /* the commit is durable without it */
    }
}

int cis_sql_mark_lower(struct sql_mark *mark, uint64_t at)
{
    struct sql_marked m;
    if (!cis_sql_mark_read(mark, &m) || m.end <= at) {
        return SQLITE_OK;
    }
    m.end = at;
    int rc = write_mark(mark, &m);
    return rc == SQLITE_OK ? mark->file->pMethods->xSync(mark->file, SQLITE_SYNC_NORMAL) : rc;
}

int cis_sql_mark_turn(struct sql_mark *mark, const uint8_t from[8], const uint8_t to[8])
{
    struct sql_marked was, now = {.turning = true};
    int there = 0;
    if (!reach(mark, false)) { /* one that cannot be opened now, but later, would accuse */
        int rc = mark->path != NULL
                     ? mark->vfs->xAccess(mark->vfs, mark->path, SQLITE_ACCESS_EXISTS, &there)
                     : SQLITE_OK;
        return rc == SQLITE_OK && there ? SQLITE_CANTOPEN : rc;
    }
    int rc = load(mark, &was);
    if (rc != SQLITE_OK && rc != SQLITE_NOTFOUND) {
        return rc;
    }
    memcpy(now.next, to, sizeof now.next);
    if (from != NULL) {
        memcpy(now.salts, from, sizeof now.salts);
        now.end = rc == SQLITE_OK && memcmp(was.salts, from, sizeof was.salts) == 0 ? was.end : 0;
    }
    rc = write_mark(mark, &now);
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
