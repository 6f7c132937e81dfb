/* What is done to the files of an embedded store that nobody has open: repairing them, and putting
 * a store that was made from a backup in their place. */
#ifndef CIS_STORE_SQLITE_REPAIR_REPAIR_H
#define CIS_STORE_SQLITE_REPAIR_REPAIR_H

#include "store/backup.h"

/* ---- repair: for files that opening refuses ---- */
/* what: "log", "database", "contents"; bad: it stays as it is. */
typedef void cis_store_repair_each(void *self, bool bad, const char *what, const char *text);
struct cis_store_repair {
    uint32_t size;
    const char *tenant; /* NULL: the catalogue */
    /* Go on without what cannot be got back: commits behind damage in the log, a log that is gone
     * or is another's, commits newer than a database and a log that were put back, a tenant of
     * whose database nothing is left. */
    bool accept_loss;
};
/* Mends what can be mended: a flipped bit of the log; a missing or empty database of which the log
 * holds every page. Everything that is changed or taken away is kept in DIR/damaged/NAME-TIME. The
 * store must not be open in this process; one that another has open is CIS_E_CONFLICT.
 * CIS_E_DAMAGED: something is left that only a copy, or accept_loss, can help with, and that was
 * not touched. */
cis_code cis_store_sqlite_repair(const char *dir, const struct cis_store_repair *how,
                                 cis_store_repair_each *each, void *self, struct cis_error *err);

/* ---- restore ---- */
/* A target that fills a store in DIR, which is made when it is not there. It becomes the store of
 * DIR when it is done. CIS_E_EXISTS: there is one that holds something, and replace is false; with
 * it, that one is moved to DIR/before-restore-TIME. CIS_E_CONFLICT: another process has it open; in
 * this one it must not be. */
cis_code cis_store_sqlite_restore(const char *dir, bool replace,
                                  struct cis_backup_target **out_target, struct cis_error *err);

#endif
