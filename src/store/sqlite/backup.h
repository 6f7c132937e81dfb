/* A store held still for a backup (backup_hold.c), and its rows (backup.c). For these two. */
#ifndef CIS_STORE_SQLITE_BACKUP_H
#define CIS_STORE_SQLITE_BACKUP_H

#include "store/backup.h"
#include "store/sqlite/read.h"

/* One tenant as of the instant: a read transaction, and its contents kept from becoming holes. */
struct sql_held {
    char name[CIS_TENANT_MAX + 1];
    struct sql_conn *read;  /* NULL: it cannot be read, or was being made or deleted */
    struct sql_conn *write; /* until the instant was taken */
    int chunks;
};
struct sql_hold {
    struct sql_held *at; /* in byte order of the names */
    size_t n, cap;
};

/* All tenants at one instant: while it is taken, nobody commits to any of them. What cannot be
 * opened is told to the sink. */
cis_code cis_sql_hold(struct sql_store *store, const struct cis_backup_sink *sink,
                      struct sql_hold *out, const struct cis_stop *stop, struct cis_error *err);
/* Before the rows of one tenant are read, and afterwards. */
cis_code cis_sql_held_begin(struct sql_held *held, struct cis_error *err);
void cis_sql_held_let(struct sql_held *held);
void cis_sql_hold_done(struct sql_hold *hold); /* CIS_CLEANUP */

#endif
