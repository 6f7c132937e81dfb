/* A log held against what is known of it: the database's stamp (stamp.h) and the mark beside it
 * (logmark.h). Used under the locks of a recovery, before SQLite decides where the log ends. */
#ifndef CIS_STORE_SQLITE_INTEGRITY_LOG_CHECK_H
#define CIS_STORE_SQLITE_INTEGRITY_LOG_CHECK_H

#include "store/sqlite/integrity/logmark.h"

/* Frames whose page is damaged while the page's number is certain: the page cannot be read, all
 * others can. More of them, and the log is refused. */
#define CIS_SQL_HOLES_MAX 256u
struct sql_holes {
    uint32_t n;
    bool swapped;                      /* the log's checksums are of big-endian words */
    uint32_t frame[CIS_SQL_HOLES_MAX]; /* ascending, from 1 */
};

/* Why a log is refused. */
struct sql_loss {
    enum {
        SQL_LOSS_GONE,  /* there is none, or its head is damaged */
        SQL_LOSS_OTHER, /* it is not the one that goes with the database */
        SQL_LOSS_FRAME, /* it is cut or damaged at a frame */
        SQL_LOSS_OLD,   /* database and log agree, the mark is of another time */
    } what;
    int64_t frame, frames; /* the first bad one of so many, from 1 */
    int64_t commits;       /* that are still to be seen behind it */
    int64_t until_ms;      /* when the last of them was answered; 0: not known */
};

/* Is everything there that was synced? SQLITE_OK and the damaged pages among it, or
 * SQLITE_IOERR_DATA and why not. Reads the log as far as that; nobody may write to it meanwhile.
 * database NULL: it has no stamp; log NULL: there is none. */
int cis_sql_log_check(struct sql_mark *mark, sqlite3_file *database, sqlite3_file *log,
                      struct sql_holes *out_holes, struct sql_loss *out_loss);
/* Makes a frame with a damaged page pass for whole: SQLite looks at no page in recovery, and is
 * refused this one when it reads it. before: the checksum that the frame goes on from. */
void cis_sql_frame_force(bool swapped, uint8_t *frame, uint32_t page, const uint32_t before[2]);

/* The checksum of the log as the file format of SQLite defines it, over n bytes (a multiple of 8).
 */
void cis_sql_log_sum(bool swapped, const uint8_t *p, uint64_t n, uint32_t sum[2]);

/* ---- reading a log by itself (also for repair) ---- */
struct sql_walk {
    sqlite3_file *file;
    uint8_t salts[8];
    bool swapped;
    uint32_t page, sum[2]; /* sum: stored with the frame before */
};
/* SQLITE_NOTFOUND: it is none, or its head is damaged. */
int cis_sql_walk_begin(struct sql_walk *walk, sqlite3_file *log);
enum sql_frame {
    SQL_FRAME_RIGHT,
    SQL_FRAME_PAGE, /* its page is damaged, or its checksum; the head is right */
    SQL_FRAME_HEAD, /* which page this was is not certain */
};
/* The next frame, head and page. limit: no database has had more pages. On to the one after it. */
enum sql_frame cis_sql_walk_frame(struct sql_walk *walk, const uint8_t *frame, uint32_t limit);

#endif
