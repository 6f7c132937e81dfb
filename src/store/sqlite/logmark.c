/* The mark beside the write-ahead log, and the log judged by it. */
#include "store/sqlite/logmark.h"

#include "base/clock.h"
#include "base/le.h"
#include "base/mem.h"
#include "store/sqlite/pagesum.h"

#define PAGE_MAX 65536u
#define FRAMES_AT_ONCE 8u
#define MARK_BYTES 40 /* magic, salts, end, time, sum: within one sector */

static const char magic[8] = "cis-mark";

void cis_sql_log_sum(bool swapped, const uint8_t *p, uint64_t n, uint32_t sum[2])
{
    uint32_t a = sum[0], b = sum[1];
    for (uint64_t i = 0; i < n; i += 8) {
        a += (swapped ? cis_sql_be32(p + i) : cis_le32(p + i)) + b;
        b += (swapped ? cis_sql_be32(p + i + 4) : cis_le32(p + i + 4)) + a;
    }
    sum[0] = a;
    sum[1] = b;
}

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

static bool read_mark(struct sql_mark *mark, uint8_t salts[8], uint64_t *out_end, int64_t *out_ms)
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
    if (!read_mark(mark, salts, &end, &ms) || end <= at) {
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

/* ---- the log ---- */

struct log_walk {
    sqlite3_file *file;
    uint8_t salts[8];
    bool swapped;
    uint32_t page, sum[2];
};

/* SQLITE_NOTFOUND: it is none, or a damaged one. */
static int log_head(struct log_walk *w)
{
    uint8_t head[CIS_SQL_WAL_HEAD];
    int rc = w->file->pMethods->xRead(w->file, head, sizeof head, 0);
    if (rc != SQLITE_OK) {
        return rc == SQLITE_IOERR_SHORT_READ ? SQLITE_NOTFOUND : rc;
    }
    uint32_t first = cis_sql_be32(head);
    w->swapped = (first & 1) != 0;
    w->page = cis_sql_be32(head + 8);
    memcpy(w->salts, head + 16, sizeof w->salts);
    cis_sql_log_sum(w->swapped, head, 24, w->sum);
    bool right = (first & ~1u) == 0x377f0682u && w->page >= 512 && w->page <= PAGE_MAX &&
                 (w->page & (w->page - 1)) == 0 && w->sum[0] == cis_sql_be32(head + 24) &&
                 w->sum[1] == cis_sql_be32(head + 28);
    return right ? SQLITE_OK : SQLITE_NOTFOUND;
}

/* frame: its head and page. Does it follow those before? */
static bool frame_right(struct log_walk *w, const uint8_t *frame)
{
    cis_sql_log_sum(w->swapped, frame, 8, w->sum);
    cis_sql_log_sum(w->swapped, frame + CIS_SQL_FRAME_HEAD, w->page, w->sum);
    return memcmp(frame + 8, w->salts, sizeof w->salts) == 0 &&
           w->sum[0] == cis_sql_be32(frame + 16) && w->sum[1] == cis_sql_be32(frame + 20);
}

/* Commits whose last frame is at `at` or behind it, as far as its head can be read. */
static int64_t count_commits(const struct log_walk *w, uint64_t at, uint64_t end)
{
    int64_t n = 0;
    uint8_t head[CIS_SQL_FRAME_HEAD];
    for (; at < end; at += CIS_SQL_FRAME_HEAD + w->page) {
        if (w->file->pMethods->xRead(w->file, head, sizeof head, (sqlite3_int64)at) == SQLITE_OK) {
            n += memcmp(head + 8, w->salts, sizeof w->salts) == 0 && cis_sql_be32(head + 4) != 0;
        }
    }
    return n;
}

/* The frames from `at` on that are in the piece; *out_good of them are right, until one is not. */
static int walk_piece(struct log_walk *w, uint8_t *piece, uint64_t n, uint64_t at,
                      uint64_t *out_good)
{
    uint64_t step = CIS_SQL_FRAME_HEAD + w->page;
    int rc = w->file->pMethods->xRead(w->file, piece, (int)(n * step), (sqlite3_int64)at);
    if (rc == SQLITE_IOERR_SHORT_READ) {
        sqlite3_int64 size = 0; /* what was not read is zeros now, which a page may end with */
        rc = w->file->pMethods->xFileSize(w->file, &size);
        uint64_t there = size > (sqlite3_int64)at ? ((uint64_t)size - at) / step : 0;
        n = n < there ? n : there;
    }
    *out_good = 0;
    if (rc != SQLITE_OK) {
        return rc;
    }
    while (*out_good < n && frame_right(w, piece + *out_good * step)) {
        ++*out_good;
    }
    return SQLITE_OK;
}

static int walk(struct log_walk *w, uint64_t end, struct sql_loss *out)
{
    uint64_t step = cis_size_add(CIS_SQL_FRAME_HEAD, w->page),
             frames = (end - CIS_SQL_WAL_HEAD + step - 1) / step;
    uint8_t *piece = cis_alloc(cis_size_mul(FRAMES_AT_ONCE, step));
    if (piece == NULL) {
        return SQLITE_IOERR_NOMEM;
    }
    int rc = SQLITE_OK;
    for (uint64_t done = 0, good, n; rc == SQLITE_OK && done < frames; done += good) {
        uint64_t at = CIS_SQL_WAL_HEAD + done * step;
        n = frames - done < FRAMES_AT_ONCE ? frames - done : FRAMES_AT_ONCE;
        rc = walk_piece(w, piece, n, at, &good);
        if (rc == SQLITE_OK && good < n) {
            out->frame = (int64_t)(done + good) + 1;
            out->frames = (int64_t)frames;
            out->commits = count_commits(w, at + good * step, end);
            rc = SQLITE_IOERR_DATA;
        }
    }
    cis_free(piece);
    return rc;
}

int cis_sql_mark_judge(struct sql_mark *mark, sqlite3_file *log, struct sql_loss *out_loss)
{
    struct log_walk w = {.file = log};
    struct sql_loss loss = {0};
    uint8_t salts[8];
    uint64_t end;
    if (!read_mark(mark, salts, &end, &loss.until_ms) || end <= CIS_SQL_WAL_HEAD) {
        return SQLITE_OK;
    }
    int rc = log_head(&w);
    if (rc == SQLITE_OK && memcmp(w.salts, salts, sizeof salts) != 0) {
        return SQLITE_OK; /* begun anew since: what was marked is in the database */
    }
    if (rc == SQLITE_OK) {
        rc = walk(&w, end, &loss);
    } else if (rc == SQLITE_NOTFOUND) {
        rc = SQLITE_IOERR_DATA;
    }
    if (rc == SQLITE_IOERR_DATA) {
        *out_loss = loss;
    }
    return rc;
}
