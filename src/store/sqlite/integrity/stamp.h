/* The stamp: what a database says of its log. A log whose frames were all copied into the database
 * is begun anew under other salts, so a database and a log of different days look sound each by
 * itself, and SQLite lays one over the other. The stamp names the log by its salts, and says how
 * many of its frames were synced when a commit was last answered. It lies in the bytes of page 1
 * that SQLite's file format keeps free, so it goes where the database goes; the page's own sum does
 * not cover it, it has one of its own. It is one write within a sector.
 *
 * It is synced before a log begins and before one is cut. After commits it is not: a power loss may
 * leave an older count, never one that the log does not have. */
#ifndef CIS_STORE_SQLITE_INTEGRITY_STAMP_H
#define CIS_STORE_SQLITE_INTEGRITY_STAMP_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define CIS_SQL_STAMP_AT 72
#define CIS_SQL_STAMP_BYTES 20

struct sql_stamp {
    uint8_t salts[8]; /* of the log that goes with the database */
    uint32_t frames;  /* of it that were synced for a commit */
    /* While frames is 0, the log may not have been begun: */
    uint32_t before; /* then the log before it is there, with so many frames … */
    bool none;       /* … or there need not be any */
};

/* database: the file of the VFS below. False: there is none (a file of before), or it is damaged;
 * then the mark alone tells. */
bool cis_sql_stamp_read(sqlite3_file *database, struct sql_stamp *out);
/* Result codes of SQLite. */
int cis_sql_stamp_write(sqlite3_file *database, const struct sql_stamp *stamp, bool sync);
/* No log is needed any more: it was copied, and is about to be removed. Synced. */
int cis_sql_stamp_fold(sqlite3_file *database);
/* The salts of a stamp that takes the place of that log's, while there is no other log. */
void cis_sql_salts_next(const uint8_t salts[8], uint8_t out[8]);
/* As in a file of before: any log is right, or none. Synced. */
int cis_sql_stamp_clear(sqlite3_file *database);
/* Is the log with these salts the one before that with the others? SQLite counts up. */
bool cis_sql_salts_follow(const uint8_t before[8], const uint8_t after[8]);

#endif
