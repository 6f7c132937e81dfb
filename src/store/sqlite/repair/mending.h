/* A repair at work: repair.c looks at files and keeps copies, repair_log.c mends. For these two. */
#ifndef CIS_STORE_SQLITE_REPAIR_MENDING_H
#define CIS_STORE_SQLITE_REPAIR_MENDING_H

#include <limits.h>
#include "store/sqlite/integrity/log_check.h"
#include "store/sqlite/internal.h"
#include "store/sqlite/repair/repair.h"

#define PATH_ROOM (PATH_MAX + 512)

struct repair {
    const struct cis_store_repair *how;
    cis_store_repair_each *each;
    void *self;
    struct cis_error *err;
    char dir[PATH_MAX], path[PATH_MAX + 128];
    char aside[PATH_MAX + 256]; /* made when first needed */
    char name[CIS_TENANT_MAX + 16];
    sqlite3_vfs *vfs;
    sqlite3_filename names[2]; /* of the database and of its log */
    sqlite3_file *db, *log;    /* NULL: not open */
    sqlite3_file *room;
    struct sql_mark mark;
    bool sums, bad;
};

void cis_repair_tell(struct repair *r, bool bad, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The database's path with this at its end. */
const char *cis_repair_path(const struct repair *r, const char *end, char out[PATH_ROOM]);
/* Bytes of a file, -1: there is none. */
int64_t cis_repair_size(const char *path);
/* Copies everything aside, once: before the first change. */
cis_code cis_repair_keep(struct repair *r);
/* The file goes to where copies are. */
cis_code cis_repair_away(struct repair *r, const char *path);

/* ---- repair_log.c ---- */
cis_code cis_repair_mend(struct repair *r);

#endif
