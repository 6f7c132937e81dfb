/* Mending a log by its checksums, and a database by its log. What is not certain is told, and given
 * up only with the user's word. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "base/le.h"
#include "base/mem.h"
#include "store/sqlite/integrity/logfix.h"
#include "store/sqlite/integrity/pagesum.h"
#include "store/sqlite/integrity/stamp.h"
#include "store/sqlite/integrity/sum.h"
#include "store/sqlite/read.h"
#include "store/sqlite/repair/mending.h"

/* ---- the log ---- */

static cis_code looked_at(struct repair *r, int rc)
{
    return rc == SQLITE_OK || rc == SQLITE_IOERR_DATA
               ? CIS_OK
               : cis_fail(r->err, CIS_E_STORE, "%s-wal: cannot be read", r->path);
}

static int check_log(struct repair *r, struct sql_holes *holes, struct sql_loss *loss)
{
    *holes = (struct sql_holes){0};
    return cis_sql_log_check(&r->mark, r->sums ? r->db : NULL, r->log, holes, loss);
}

static cis_code put(struct repair *r, const uint8_t *bytes, int n, int64_t at)
{
    CIS_TRY(cis_repair_keep(r));
    int rc = r->log->pMethods->xWrite(r->log, bytes, n, at);
    rc = rc == SQLITE_OK ? r->log->pMethods->xSync(r->log, SQLITE_SYNC_NORMAL) : rc;
    return rc == SQLITE_OK ? CIS_OK
                           : cis_fail(r->err, CIS_E_STORE, "%s-wal: cannot be written", r->path);
}

static cis_code fix_head(struct repair *r)
{
    uint8_t head[CIS_SQL_WAL_HEAD], frame[CIS_SQL_FRAME_HEAD];
    struct sql_walk w;
    if (r->log == NULL || cis_sql_walk_begin(&w, r->log) == SQLITE_OK ||
        r->log->pMethods->xRead(r->log, head, sizeof head, 0) != SQLITE_OK ||
        r->log->pMethods->xRead(r->log, frame, sizeof frame, sizeof head) != SQLITE_OK ||
        !cis_sql_log_head_fix(head, frame + 8)) {
        return CIS_OK;
    }
    cis_repair_tell(r, false, "log", "a flipped bit of its head was put right");
    return put(r, head, sizeof head, 0);
}

struct scan {
    uint8_t *frames;  /* this one and the next */
    uint32_t *newest; /* frame by page, when the database is made anew */
    uint32_t pages, cap;
    uint64_t n, good, commit; /* frames read; right from the start; the last that ends a commit */
};

/* Every frame that can be read, until one is not right and cannot be put right. */
static cis_code fix_frames(struct repair *r, struct scan *s)
{
    struct sql_walk w;
    if (r->log == NULL || cis_sql_walk_begin(&w, r->log) != SQLITE_OK) {
        return CIS_OK;
    }
    int step = CIS_SQL_FRAME_HEAD + (int)w.page;
    uint8_t *frame = s->frames, *next = s->frames + step;
    for (;; s->n++) {
        int64_t at = CIS_SQL_WAL_HEAD + (int64_t)s->n * step;
        if (r->log->pMethods->xRead(r->log, frame, step, at) != SQLITE_OK) {
            return CIS_OK;
        }
        bool more = r->log->pMethods->xRead(r->log, next, step, at + step) == SQLITE_OK;
        struct sql_walk before = w;
        if (cis_sql_walk_frame(&w, frame, UINT32_MAX) != SQL_FRAME_RIGHT) {
            w = before;
            if (!cis_sql_frame_fix(&w, frame, more ? next : NULL) ||
                cis_sql_walk_frame(&w, frame, UINT32_MAX) != SQL_FRAME_RIGHT) {
                return CIS_OK;
            }
            cis_repair_tell(r, false, "log", "a flipped bit of frame %" PRIu64 " was put right",
                            s->n + 1);
            CIS_TRY(put(r, frame, step, at));
        }
        s->good++;
        if (cis_sql_be32(frame + 4) != 0) {
            s->commit = s->good;
            s->pages = cis_sql_be32(frame + 4);
        }
    }
}

static cis_code cut_log(struct repair *r, const struct scan *s, const struct sql_loss *loss)
{
    struct sql_walk w;
    struct sql_stamp stamp = {.frames = (uint32_t)s->commit, .none = s->commit == 0};
    char path[PATH_ROOM];
    if (cis_sql_walk_begin(&w, r->log) != SQLITE_OK) {
        return cis_fail(r->err, CIS_E_DAMAGED, "%s-wal: its head is damaged", r->path);
    }
    CIS_TRY(cis_repair_keep(r));
    memcpy(stamp.salts, w.salts, sizeof stamp.salts);
    int64_t end = CIS_SQL_WAL_HEAD + (int64_t)s->commit * (CIS_SQL_FRAME_HEAD + w.page);
    int rc = r->log->pMethods->xTruncate(r->log, end);
    rc = rc == SQLITE_OK ? r->log->pMethods->xSync(r->log, SQLITE_SYNC_NORMAL) : rc;
    rc = rc == SQLITE_OK && r->sums ? cis_sql_stamp_write(r->db, &stamp, true) : rc;
    if (rc != SQLITE_OK) {
        return cis_fail(r->err, CIS_E_STORE, "%s-wal: cannot be cut", r->path);
    }
    cis_repair_tell(r, false, "log",
                    "cut at frame %" PRIu64 ": %lld commits are given up; run cis fs fsck --data",
                    s->commit, (long long)loss->commits + 1);
    return cis_repair_away(r, cis_repair_path(r, "-mark", path));
}

static cis_code without_log(struct repair *r)
{
    char path[PATH_ROOM];
    CIS_TRY(cis_repair_keep(r));
    CIS_TRY(cis_repair_away(r, cis_repair_path(r, "-wal", path)));
    CIS_TRY(cis_repair_away(r, cis_repair_path(r, "-mark", path)));
    (void)unlink(cis_repair_path(r, "-shm", path));
    if (r->sums && cis_sql_stamp_clear(r->db) != SQLITE_OK) {
        return cis_fail(r->err, CIS_E_STORE, "%s: cannot be written", r->path);
    }
    cis_repair_tell(r, false, "log", "the database continues without it; run cis fs fsck --data");
    return CIS_OK;
}

/* The database and its log agree: they stay. */
static cis_code without_mark(struct repair *r)
{
    char path[PATH_ROOM];
    if (!r->how->accept_loss) {
        cis_repair_tell(r, true, "log",
                        "database and log are older or newer than the mark beside them: restore "
                        "files that belong together, or continue with these: --accept-loss");
        return CIS_OK;
    }
    CIS_TRY(cis_repair_away(r, cis_repair_path(r, "-mark", path)));
    cis_repair_tell(
        r, false, "log",
        "database and log continue without what was committed since; run cis fs fsck --data");
    return CIS_OK;
}

static cis_code mend_log(struct repair *r, struct scan *s)
{
    struct sql_holes holes;
    struct sql_loss loss = {0};
    int rc = check_log(r, &holes, &loss);
    CIS_TRY(looked_at(r, rc));
    if (rc == SQLITE_OK && holes.n == 0) {
        cis_repair_tell(r, false, "log", "everything is there that was synced");
        return CIS_OK;
    }
    if (rc != SQLITE_OK && loss.what == SQL_LOSS_GONE) {
        CIS_TRY(fix_head(r));
    }
    CIS_TRY(fix_frames(r, s));
    rc = check_log(r, &holes, &loss);
    CIS_TRY(looked_at(r, rc));
    if (rc == SQLITE_OK && holes.n == 0) {
        return CIS_OK;
    }
    if (rc != SQLITE_OK && loss.what == SQL_LOSS_OLD) {
        CIS_TRY(without_mark(r));
        if (holes.n == 0) {
            return CIS_OK;
        }
        rc = SQLITE_OK; /* but for pages that are damaged */
    }
    if (rc != SQLITE_OK && loss.what != SQL_LOSS_FRAME) {
        if (r->how->accept_loss) {
            return without_log(r);
        }
        cis_repair_tell(
            r, true, "log", "%s: restore it from a copy, or continue without it: --accept-loss",
            loss.what == SQL_LOSS_GONE ? "it is missing" : "it belongs to another database");
        return CIS_OK;
    }
    if (r->how->accept_loss) {
        return cut_log(r, s, &loss);
    }
    cis_repair_tell(
        r, true, "log",
        "damaged at frame %" PRIu64
        "; reading what needs it %s; --accept-loss gives up what was committed from there on",
        s->good + 1, rc == SQLITE_OK ? "fails, the rest can be read" : "may fail");
    return CIS_OK;
}

/* ---- a database that is gone ---- */

/* The newest page of each number up to the last commit. */
static cis_code gather_pages(struct repair *r, struct scan *s, const struct sql_walk *w)
{
    uint8_t head[CIS_SQL_FRAME_HEAD];
    int64_t step = CIS_SQL_FRAME_HEAD + (int64_t)w->page;
    s->newest = cis_calloc(cis_size_add((size_t)s->pages, 1), sizeof *s->newest);
    if (s->newest == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "repair: out of memory");
    }
    uint32_t found = 0;
    for (uint64_t i = 0; i < s->commit; i++) {
        int64_t at = CIS_SQL_WAL_HEAD + (int64_t)i * step;
        if (r->log->pMethods->xRead(r->log, head, sizeof head, at) != SQLITE_OK) {
            return cis_fail(r->err, CIS_E_STORE, "%s-wal: cannot be read", r->path);
        }
        uint32_t number = cis_sql_be32(head);
        if (number <= s->pages) {
            found += s->newest[number] == 0;
            s->newest[number] = (uint32_t)i + 1;
        }
    }
    return found == s->pages ? CIS_OK
                             : cis_fail(r->err, CIS_E_DAMAGED,
                                        "%s: is lost, and the log holds %" PRIu32 " of its %" PRIu32
                                        " pages: restore it from a copy",
                                        r->path, found, s->pages);
}

static cis_code write_pages(struct repair *r, const struct scan *s, const struct sql_walk *w,
                            int fd)
{
    int64_t step = CIS_SQL_FRAME_HEAD + (int64_t)w->page;
    uint8_t *page = s->frames;
    bool sums = false;
    for (uint32_t number = 1; number <= s->pages; number++) {
        int64_t at = CIS_SQL_WAL_HEAD + (s->newest[number] - 1) * step + CIS_SQL_FRAME_HEAD;
        if (r->log->pMethods->xRead(r->log, page, (int)w->page, at) != SQLITE_OK) {
            return cis_fail(r->err, CIS_E_STORE, "%s-wal: cannot be read", r->path);
        }
        sums = number == 1 ? page[20] == CIS_SQL_SUM_BYTES : sums;
        if (sums) {
            size_t n = w->page - CIS_SQL_SUM_BYTES;
            cis_put_le64(page + n, cis_sql_page_sum(page, n, number));
        }
        if (pwrite(fd, page, w->page, (off_t)(number - 1) * w->page) != (ssize_t)w->page) {
            return cis_fail_sys(r->err, CIS_E_STORE, errno, "%s: cannot write it again", r->path);
        }
    }
    return fsync(fd) == 0
               ? CIS_OK
               : cis_fail_sys(r->err, CIS_E_STORE, errno, "%s: cannot write it again", r->path);
}

/* Pages that the file's own head counts, or the log's last commit; 0: not known, -1: no database.
 */
static int64_t pages_wanted(struct repair *r, const struct scan *s, uint32_t *out_page)
{
    uint8_t head[100];
    struct sql_walk w;
    if (s->commit != 0 && cis_sql_walk_begin(&w, r->log) == SQLITE_OK) {
        *out_page = w.page;
        return s->pages;
    }
    if (r->db->pMethods->xRead(r->db, head, sizeof head, 0) != SQLITE_OK ||
        memcmp(head, "SQLite format 3", 16) != 0) {
        return -1;
    }
    *out_page = (uint32_t)head[16] << 8 | head[17];
    *out_page = *out_page == 1 ? 65536 : *out_page;
    return memcmp(head + 24, head + 92, 4) == 0 ? cis_sql_be32(head + 28) : 0;
}

/* Pages behind the end of the file, of which the log has none either. */
static cis_code count_cut(struct repair *r, struct scan *s, uint32_t page, uint32_t have,
                          uint32_t want, uint32_t *out_cut)
{
    uint8_t head[CIS_SQL_FRAME_HEAD];
    s->newest = cis_calloc(cis_size_add((size_t)want - have, 1), sizeof *s->newest);
    if (s->newest == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "repair: out of memory");
    }
    *out_cut = want - have;
    for (uint64_t i = 0; i < s->commit; i++) {
        int64_t at = CIS_SQL_WAL_HEAD + (int64_t)i * (CIS_SQL_FRAME_HEAD + (int64_t)page);
        if (r->log->pMethods->xRead(r->log, head, sizeof head, at) != SQLITE_OK) {
            return cis_fail(r->err, CIS_E_STORE, "%s-wal: cannot be read", r->path);
        }
        uint32_t number = cis_sql_be32(head);
        if (number > have && number <= want && s->newest[number - have] == 0) {
            s->newest[number - have] = 1;
            --*out_cut;
        }
    }
    return CIS_OK;
}

/* A log that is whole says nothing of a file that was cut: nothing makes its pages again. */
static cis_code look_at_length(struct repair *r, struct scan *s)
{
    char path[PATH_ROOM];
    uint32_t page = 0, cut = 0;
    *s = (struct scan){.frames = s->frames};
    if (cis_repair_size(cis_repair_path(r, "-wal", path)) > 0) {
        CIS_TRY(fix_frames(r, s));
    }
    int64_t want = pages_wanted(r, s, &page);
    if (want > 0 && page != 0) {
        int64_t have = cis_repair_size(r->path) / page;
        CIS_TRY(have < want ? count_cut(r, s, page, (uint32_t)have, (uint32_t)want, &cut) : CIS_OK);
    }
    if (want < 0) {
        cis_repair_tell(r, true, "database", "its file is not a database; restore it from a copy");
    } else if (cut != 0) {
        cis_repair_tell(r, true, "database",
                        "its file is cut: %" PRIu32 " of %" PRId64
                        " pages are missing; restore it from a copy",
                        cut, want);
    }
    return CIS_OK;
}

/* Written beside, then in its place; the log stays, and goes with it. */
static cis_code make_database(struct repair *r, struct scan *s)
{
    struct sql_walk w;
    char anew[PATH_ROOM];
    CIS_TRY(fix_head(r));
    CIS_TRY(fix_frames(r, s));
    if (r->log == NULL || cis_sql_walk_begin(&w, r->log) != SQLITE_OK || s->commit == 0) {
        return cis_fail(r->err, CIS_E_DAMAGED,
                        "%s: is lost, and so is its log: restore it from a copy", r->path);
    }
    struct sql_marked m;
    uint64_t end = CIS_SQL_WAL_HEAD + s->commit * (CIS_SQL_FRAME_HEAD + (uint64_t)w.page);
    if (cis_sql_mark_read(&r->mark, &m) &&
        (memcmp(m.salts, w.salts, 8) == 0 ? m.end > end
                                          : !m.turning || memcmp(m.next, w.salts, 8) != 0) &&
        !r->how->accept_loss) {
        return cis_fail(r->err, CIS_E_DAMAGED,
                        "%s: is lost, and the log is cut or belongs to another database: restore "
                        "it from a copy, or continue with what there is: --accept-loss",
                        r->path);
    }
    CIS_TRY(gather_pages(r, s, &w));
    CIS_TRY(cis_repair_keep(r));
    int fd = open(cis_repair_path(r, ".anew", anew),
                  O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return cis_fail_sys(r->err, CIS_E_STORE, errno, "%s", anew);
    }
    cis_code code = write_pages(r, s, &w, fd);
    close(fd);
    if (code == CIS_OK && rename(anew, r->path) != 0) {
        code = cis_fail_sys(r->err, CIS_E_STORE, errno, "%s: cannot put it in its place", r->path);
    }
    if (code != CIS_OK) {
        (void)unlink(anew);
        return code;
    }
    cis_repair_tell(r, false, "database", "made anew from the log: %" PRIu32 " pages", s->pages);
    return CIS_OK;
}

/* With the user's word: nothing is left of the tenant but what is kept aside. */
static cis_code give_up(struct repair *r)
{
    static const char *const ends[] = {"-wal", "-mark", ""};
    char path[PATH_ROOM];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        CIS_TRY(cis_repair_away(r, cis_repair_path(r, ends[i], path)));
    }
    (void)unlink(cis_repair_path(r, "-shm", path));
    CIS_CLEANUP(cis_freep) char *chunks = cis_sql_chunk_file_path(r->path);
    if (chunks != NULL && r->how->tenant != NULL) {
        CIS_TRY(cis_repair_away(r, chunks));
        struct sql_store store = {.dir = r->dir};
        CIS_TRY(cis_sql_catalogue_forget(&store, r->how->tenant, r->err));
    }
    cis_repair_tell(r, false, "database", "given up");
    return CIS_OK;
}

cis_code cis_repair_mend(struct repair *r)
{
    static const unsigned room = 2 * (65536 + CIS_SQL_FRAME_HEAD);
    struct scan s = {.frames = cis_alloc(room)};
    if (s.frames == NULL) {
        return cis_fail(r->err, CIS_E_NOMEM, "repair: out of memory");
    }
    bool derived = r->how->tenant == NULL; /* the catalogue is made again from the tenants */
    cis_code code = CIS_OK;
    if (cis_repair_size(r->path) > 0) {
        code = mend_log(r, &s);
        code = code == CIS_OK && !r->bad ? look_at_length(r, &s) : code;
        if (code == CIS_OK && r->bad && derived) {
            r->bad = false;
            code = give_up(r);
        }
    } else {
        code = make_database(r, &s);
        if (code == CIS_E_DAMAGED && (r->how->accept_loss || derived)) {
            code = give_up(r);
        }
    }
    cis_free(s.newest);
    cis_free(s.frames);
    return code;
}
