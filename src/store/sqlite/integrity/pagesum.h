/* Checksums of database pages as an SQLite VFS by the name of CIS_SQL_VFS. A database is made with
 * sums by reserving CIS_SQL_SUM_BYTES of every page (SQLITE_FCNTL_RESERVE_BYTES) before anything is
 * written; then no other program may write to it, not even to fold the log into it. Any thread. */
#ifndef CIS_STORE_SQLITE_INTEGRITY_PAGESUM_H
#define CIS_STORE_SQLITE_INTEGRITY_PAGESUM_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CIS_SQL_VFS "cis-pagesum"
#define CIS_SQL_SUM_BYTES 8

/* File controls: the page that failed last (sqlite3_int64, 0: none or not known; negative: another
 * program put it into the file, without a sum, or its end was overwritten with zeros); has the file
 * sums (int). A read that fails its check is SQLITE_IOERR_DATA. */
#define CIS_SQL_FCNTL_BAD_PAGE 0x43495301
#define CIS_SQL_FCNTL_HAS_SUMS 0x43495302
/* What of the log is missing (const struct sql_loss *, NULL: nothing); SQLITE_IOERR_DATA too. */
#define CIS_SQL_FCNTL_LOSS 0x43495303

/* Idempotent; an SQLite result code. */
int cis_sql_pagesum_register(void);

#endif
