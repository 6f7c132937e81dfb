/* The embedded store: one SQLite file a tenant (DIR/tenants/NAME.db) and a catalogue
 * (DIR/catalogue.db). Write-ahead log, full durability at commit. Any number of threads and
 * processes at once. */
#ifndef CIS_STORE_SQLITE_SQLITE_H
#define CIS_STORE_SQLITE_SQLITE_H

#include "store/backup.h"

/* Makes the folder (0700) and files (0600) as needed. Migrates older schemas forward; a newer
 * schema is refused (CIS_E_STORE, both versions named). */
/* CIS_E_NOTFOUND when there is no store in the folder; makes nothing. */
cis_code cis_store_sqlite_find(const char *dir, struct cis_error *err);
cis_code cis_store_sqlite_open(const char *dir, cis_store **out_store, struct cis_error *err);
/* Bytes of database pages that the readers of a store keep in memory, all together; 0: 128 MiB. For
 * connections that begin to read afterwards. */
void cis_store_sqlite_pages(cis_store *store, uint64_t bytes);

#endif
