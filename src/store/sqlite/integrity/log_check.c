/* Checking a log before it is recovered.
 *
 * A frame's checksum goes on from that of the frame before and covers page number, size and page.
 * It is linear in each of its words, so what the first two would have to be for the stored checksum
 * to be right, the page taken as it is, can be worked out. Is that a possible page number and size,
 * then the head is damaged, and the page may be of any number: an older version of the right one
 * would be read without a word. Else the page is damaged and its number is right. */
#include "store/sqlite/integrity/log_check.h"

#include <string.h>
#include "base/le.h"
#include "base/mem.h"
#include "base/wraps.h"
#include "store/sqlite/integrity/stamp.h"

#define PAGE_MAX 65536u
#define FRAMES_AT_ONCE 8u

CIS_WRAPS void cis_sql_log_sum(bool swapped, const uint8_t *p, uint64_t n, uint32_t sum[2])
{
    uint32_t a = sum[0], b = sum[1];
    for (uint64_t i = 0; i < n; i += 8) {
        a += (swapped ? cis_sql_be32(p + i) : cis_le32(p + i)) + b;
        b += (swapped ? cis_sql_be32(p + i + 4) : cis_le32(p + i + 4)) + a;
    }
    sum[0] = a;
    sum[1] = b;
}

static void put_word(bool swapped, uint8_t *p, uint32_t v)
{
    if (swapped) {
        v = __builtin_bswap32(v);
    }
    cis_put_le32(p, v);
}

/* ---- frames ---- */

int cis_sql_walk_begin(struct sql_walk *w, sqlite3_file *log)
{
    uint8_t head[CIS_SQL_WAL_HEAD];
    *w = (struct sql_walk){.file = log};
    int rc = log->pMethods->xRead(log, head, sizeof head, 0);
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

/* The checksum of the page under a head of these two words. */
static void sum_under(const struct sql_walk *w, uint32_t first, uint32_t second,
                      const uint8_t *page, uint32_t sum[2])
{
    uint8_t head[8];
    put_word(w->swapped, head, first);
    put_word(w->swapped, head + 4, second);
    sum[0] = w->sum[0];
    sum[1] = w->sum[1];
    cis_sql_log_sum(w->swapped, head, sizeof head, sum);
    cis_sql_log_sum(w->swapped, page, w->page, sum);
}

/* Could another page number and size make the frame right? The equations have the determinant 1. */
static bool head_doubtful(const struct sql_walk *w, const uint8_t *frame, uint32_t limit)
{
    const uint8_t *page = frame + CIS_SQL_FRAME_HEAD;
    uint32_t none[2], a[2], b[2], d[2];
    sum_under(w, 0, 0, page, none);
    sum_under(w, 1, 0, page, a);
    sum_under(w, 0, 1, page, b);
    for (unsigned i = 0; i < 2; i++) {
        a[i] -= none[i];
        b[i] -= none[i];
        d[i] = cis_sql_be32(frame + 16 + 4 * i) - none[i];
    }
    uint8_t head[8];
    put_word(w->swapped, head, d[0] * b[1] - d[1] * b[0]);
    put_word(w->swapped, head + 4, a[0] * d[1] - a[1] * d[0]);
    uint32_t number = cis_sql_be32(head), size = cis_sql_be32(head + 4);
    return number >= 1 && number <= limit && size <= limit;
}

enum sql_frame cis_sql_walk_frame(struct sql_walk *w, const uint8_t *frame, uint32_t limit)
{
    uint32_t stored[2] = {cis_sql_be32(frame + 16), cis_sql_be32(frame + 20)};
    uint32_t sum[2] = {w->sum[0], w->sum[1]}, number = cis_sql_be32(frame);
    enum sql_frame is = SQL_FRAME_RIGHT;
    cis_sql_log_sum(w->swapped, frame, 8, sum);
    cis_sql_log_sum(w->swapped, frame + CIS_SQL_FRAME_HEAD, w->page, sum);
    if (memcmp(frame + 8, w->salts, sizeof w->salts) != 0) {
        return SQL_FRAME_HEAD;
    }
    if (sum[0] != stored[0] || sum[1] != stored[1]) {
        is = number >= 1 && number <= limit && cis_sql_be32(frame + 4) <= limit &&
                     !head_doubtful(w, frame, limit)
                 ? SQL_FRAME_PAGE
                 : SQL_FRAME_HEAD;
    }
    memcpy(w->sum, stored, sizeof stored);
    return is;
}

void cis_sql_frame_force(bool swapped, uint8_t *frame, uint32_t page, const uint32_t before[2])
{
    uint32_t sum[2] = {before[0], before[1]}, wanted[2];
    uint8_t *end = frame + CIS_SQL_FRAME_HEAD + page - 8;
    wanted[0] = cis_sql_be32(frame + 16);
    wanted[1] = cis_sql_be32(frame + 20);
    cis_sql_log_sum(swapped, frame, 8, sum);
    cis_sql_log_sum(swapped, frame + CIS_SQL_FRAME_HEAD, page - 8, sum);
    put_word(swapped, end, wanted[0] - sum[0] - sum[1]);
    put_word(swapped, end + 4, wanted[1] - sum[1] - wanted[0]);
}

/* ---- the log as far as it was synced ---- */

/* Commits whose last frame is at `at` or behind it, as far as its head can be read. */
static int64_t count_commits(const struct sql_walk *w, uint64_t at, uint64_t end)
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

/* n frames from `at` on; *n: those that are there. */
static int read_piece(const struct sql_walk *w, uint8_t *piece, uint64_t *n, uint64_t at)
{
    uint64_t step = CIS_SQL_FRAME_HEAD + w->page;
    int rc = w->file->pMethods->xRead(w->file, piece, (int)(*n * step), (sqlite3_int64)at);
    if (rc == SQLITE_IOERR_SHORT_READ) {
        sqlite3_int64 size = 0; /* what was not read is zeros now, which a page may end with */
        rc = w->file->pMethods->xFileSize(w->file, &size);
        uint64_t there = size > (sqlite3_int64)at ? ((uint64_t)size - at) / step : 0;
        *n = *n < there ? *n : there;
    }
    return rc;
}

static int walk(struct sql_walk *w, uint64_t frames, uint32_t limit, struct sql_holes *holes,
                struct sql_loss *out)
{
    uint64_t step = cis_size_add(CIS_SQL_FRAME_HEAD, w->page);
    uint8_t *piece = frames != 0 ? cis_alloc(cis_size_mul(FRAMES_AT_ONCE, step)) : NULL;
    int rc = frames != 0 && piece == NULL ? SQLITE_IOERR_NOMEM : SQLITE_OK;
    for (uint64_t done = 0; rc == SQLITE_OK && done < frames;) {
        uint64_t n = frames - done < FRAMES_AT_ONCE ? frames - done : FRAMES_AT_ONCE;
        rc = read_piece(w, piece, &n, CIS_SQL_WAL_HEAD + done * step);
        bool bad = rc == SQLITE_OK && n == 0;
        for (uint64_t i = 0; rc == SQLITE_OK && i < n && !bad; i++) {
            enum sql_frame is = cis_sql_walk_frame(w, piece + i * step, limit);
            bad = is == SQL_FRAME_HEAD || (is == SQL_FRAME_PAGE && holes->n == CIS_SQL_HOLES_MAX);
            if (is == SQL_FRAME_PAGE && !bad) {
                holes->frame[holes->n++] = (uint32_t)done + 1;
            }
            done += !bad;
        }
        if (bad) {
            out->what = SQL_LOSS_FRAME;
            out->frame = (int64_t)done + 1;
            out->frames = (int64_t)frames;
            out->commits =
                count_commits(w, CIS_SQL_WAL_HEAD + done * step, CIS_SQL_WAL_HEAD + frames * step);
            rc = SQLITE_IOERR_DATA;
        }
    }
    cis_free(piece);
    return rc;
}

/* ---- what is known of it ---- */

struct known {
    bool marked, stamped;
    struct sql_marked mark;
    struct sql_stamp stamp;
};

static bool same(const uint8_t a[8], const uint8_t b[8])
{
    return memcmp(a, b, 8) == 0;
}

/* Does the mark speak of a log with these salts that held something? */
static bool marks(const struct known *k, const uint8_t salts[8])
{
    return k->marked && k->mark.end > CIS_SQL_WAL_HEAD && same(k->mark.salts, salts);
}

/* Does the mark name other logs than the one with these salts: that of the file, or if there is no
 * file, the one that the stamp names? A mark as 0.1 wrote it names no log. */
static bool mark_differs(const struct known *k, const uint8_t salts[8])
{
    return k->marked && k->mark.strict && !same(k->mark.salts, salts) &&
           (k->mark.turning ? !same(k->mark.next, salts) : k->mark.end > CIS_SQL_WAL_HEAD);
}

/* A log without one right frame. */
static bool is_empty(const struct sql_walk *w)
{
    struct sql_walk copy = *w;
    struct sql_holes holes = {0};
    struct sql_loss loss;
    return walk(&copy, 1, UINT32_MAX, &holes, &loss) != SQLITE_OK || holes.n != 0;
}

/* How many frames the log has to hold; -1: it is the wrong one. */
static int64_t frames_needed(const struct known *k, const struct sql_walk *w)
{
    uint64_t step = CIS_SQL_FRAME_HEAD + w->page;
    int64_t marked =
        marks(k, w->salts) ? (int64_t)((k->mark.end - CIS_SQL_WAL_HEAD + step - 1) / step) : 0;
    if (!k->stamped) {
        return marked;
    }
    if (same(k->stamp.salts, w->salts)) {
        return marked > k->stamp.frames ? marked : k->stamp.frames;
    }
    if (k->stamp.frames != 0 || marks(k, k->stamp.salts)) {
        return -1;
    }
    if (cis_sql_salts_follow(w->salts, k->stamp.salts)) { /* the next one was not begun */
        return marked > k->stamp.before ? marked : k->stamp.before;
    }
    return k->stamp.none && is_empty(w) ? 0 : -1;
}

/* There is no log, or none that can be read. */
static bool needs_none(const struct known *k)
{
    return k->stamped ? k->stamp.frames == 0 && k->stamp.none && !marks(k, k->stamp.salts)
                      : !k->marked || k->mark.end <= CIS_SQL_WAL_HEAD || k->mark.turning;
}

/* It is there, and has a head. */
static int check_frames(const struct known *k, struct sql_walk *w, sqlite3_file *database,
                        struct sql_holes *holes, struct sql_loss *loss)
{
    sqlite3_int64 size = 0;
    int64_t frames = frames_needed(k, w);
    if (frames < 0) {
        loss->what = SQL_LOSS_OTHER;
        return SQLITE_IOERR_DATA;
    }
    int rc =
        database != NULL && frames > 0 ? database->pMethods->xFileSize(database, &size) : SQLITE_OK;
    uint64_t pages = (uint64_t)size / w->page + (uint64_t)frames;
    holes->swapped = w->swapped;
    return rc == SQLITE_OK ? walk(w, (uint64_t)frames,
                                  pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX, holes, loss)
                           : rc;
}

int cis_sql_log_check(struct sql_mark *mark, sqlite3_file *database, sqlite3_file *log,
                      struct sql_holes *out_holes, struct sql_loss *out_loss)
{
    struct sql_walk w;
    struct sql_loss loss = {0};
    struct known k = {.marked = false};
    k.marked = cis_sql_mark_read(mark, &k.mark);
    k.stamped = database != NULL && cis_sql_stamp_read(database, &k.stamp);
    loss.until_ms = k.marked ? k.mark.ms : 0;
    out_holes->n = 0;
    const uint8_t *salts = w.salts;
    int rc = log != NULL ? cis_sql_walk_begin(&w, log) : SQLITE_NOTFOUND;
    if (rc == SQLITE_OK) {
        rc = check_frames(&k, &w, database, out_holes, &loss);
    } else if (rc == SQLITE_NOTFOUND) {
        salts = k.stamped ? k.stamp.salts : NULL;
        loss.what = SQL_LOSS_GONE;
        rc = needs_none(&k) ? SQLITE_OK : SQLITE_IOERR_DATA;
    }
    if (rc == SQLITE_OK && salts != NULL && mark_differs(&k, salts)) {
        loss.what = SQL_LOSS_OLD;
        rc = SQLITE_IOERR_DATA;
    }
    if (rc == SQLITE_IOERR_DATA) {
        *out_loss = loss;
    }
    return rc;
}
