/* The files of the VFS with checksums: a database (pagesum.c) and its log (logfile.c). For these
 * two alone. */
#ifndef CIS_STORE_SQLITE_INTEGRITY_SUMFILE_H
#define CIS_STORE_SQLITE_INTEGRITY_SUMFILE_H

#include <stddef.h>
#include "store/sqlite/integrity/log_check.h"
#include "store/sqlite/integrity/stamp.h"

struct sum_file { /* the object of the VFS below follows it */
    sqlite3_file base;
    struct sum_file *db;    /* of a log: its database */
    bool on;                /* pages carry sums */
    bool swapped;           /* of a log: its checksums are of big-endian words */
    bool known;             /* … and that was looked up */
    struct sql_holes holes; /* of a log: damaged pages that recovery goes past */
    uint32_t gone_past;     /* of a log: so many of them it went past … */
    bool ended;             /* … which was not all: nothing of the log is to be believed */
    uint32_t page;          /* bytes */
    /* Frames of the log from here on are of the transaction at work: SQLite may have written a page
     * again and puts the checksums right when it commits. */
    sqlite3_int64 own;
    sqlite3_int64 bad; /* page that failed last, 0: none; negative: it has no sum at all */
    uint8_t *scratch;
    /* of a database */
    struct sum_file *wal; /* its log, while that is open */
    struct sql_mark mark;
    struct sql_loss loss;
    bool lost; /* what loss says */
    /* Of the log, with the frame that ends the transaction at work; 0: there is none yet. */
    sqlite3_int64 commit_end;
    uint8_t salts[8]; /* of that frame */
};

static inline sqlite3_file *sum_below(sqlite3_file *file)
{
    return (sqlite3_file *)((struct sum_file *)file + 1);
}

static inline bool sum_page_sized(int amount)
{
    return amount >= 512 && amount <= 65536 && (amount & (amount - 1)) == 0;
}

/* Is this a whole page of the file? A connection that opened an empty file reads its first page by
 * another size until it has seen the head that somebody wrote meanwhile. */
static inline bool sum_whole_page(const struct sum_file *db, int amount, sqlite3_int64 at)
{
    return db->on && sum_page_sized(amount) && (uint32_t)amount == db->page && at % amount == 0;
}

/* For the stamp, NULL: the database has none. */
static inline sqlite3_file *sum_stamped(struct sum_file *db)
{
    return db->on ? sum_below(&db->base) : NULL;
}

static inline int sum_fault(struct sum_file *db, sqlite3_int64 page)
{
    db->bad = page;
    return SQLITE_IOERR_DATA;
}

/* ---- logfile.c ---- */
int cis_sql_log_read(sqlite3_file *file, void *out, int amount, sqlite3_int64 at);
int cis_sql_log_write(sqlite3_file *file, const void *data, int amount, sqlite3_int64 at);
int cis_sql_log_truncate(sqlite3_file *file, sqlite3_int64 size);
int cis_sql_log_sync(sqlite3_file *file, int flags);
/* A log (path ends in -wal) is about to be removed: its database has to do without. */
int cis_sql_log_goes(sqlite3_vfs *real, const char *log);

#endif
