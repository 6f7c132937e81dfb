/* The store on a PostgreSQL server (13 or newer): one schema `cis` in one database, a tenant column
 * in every table, forced row-level security. Any number of threads and processes at once.
 *
 * Statements run as the role cis_app, which owns nothing; the user of the URL has to be a member of
 * it. Migrations run as the role cis_owner. A store never makes or changes its schema by itself:
 * that is what cis_pg_admin_* and `cis store init|migrate` are for. */
#ifndef CIS_STORE_POSTGRES_POSTGRES_H
#define CIS_STORE_POSTGRES_POSTGRES_H

#include "store/backup.h"

struct cis_store_postgres_options {
    uint32_t size;
    uint32_t connections; /* at most, 1 to 256; 0: 16 */
    uint32_t connect_ms;  /* for one connection, and for a server that restarts; 0: 10,000 */
    uint32_t commit_ms;   /* a commit that is under way has this long, whatever the run's own
                           * deadline says; 0: 60,000 */
};
#define CIS_STORE_POSTGRES_OPTIONS_INIT                                                            \
    {                                                                                              \
        sizeof(struct cis_store_postgres_options), 0, 0, 0                                         \
    }

/* url: postgres:// or postgresql://, as libpq reads it (its PG* variables and .pgpass apply).
 * options NULL: the defaults. Connects once: CIS_E_STORE when the server cannot be reached (and was
 * waited for, connect_ms: it may be restarting), has no schema of cis, or one of another version;
 * CIS_E_DENIED when the user may not become cis_app. */
cis_code cis_store_postgres_open(const char *url, const struct cis_store_postgres_options *options,
                                 cis_store **out_store, const struct cis_stop *stop,
                                 struct cis_error *err);
bool cis_store_postgres_is_url(struct cis_str text);

/* ---- for `cis store`: with the rights of the URL's user ---- */
/* Makes what is missing of roles, schema and tables, in one transaction; harmless when all is
 * there. login (may be NULL): an existing role that becomes a member of cis_app. */
cis_code cis_pg_admin_init(const char *url, const char *login, int *out_version,
                           const struct cis_stop *stop, struct cis_error *err);
/* Brings an existing schema forward; CIS_E_NOTFOUND without one. Writers wait meanwhile. */
cis_code cis_pg_admin_migrate(const char *url, int *out_from, int *out_to,
                              const struct cis_stop *stop, struct cis_error *err);
/* One line a finding; bad: it has to be mended before data is entrusted to the server. */
typedef void cis_pg_finding(void *self, bool bad, const char *what, const char *text);
cis_code cis_pg_admin_check(const char *url, cis_pg_finding *each, void *self,
                            const struct cis_stop *stop, struct cis_error *err);
int cis_pg_schema_version(void);
/* A target that fills the store of the database in one transaction, as cis_owner; schema and roles
 * are made when they are missing. CIS_E_EXISTS: there are tenants in it; CIS_E_DENIED: the user may
 * not do that. Nobody makes a tenant meanwhile.
 * replace: what is in it goes in the same transaction, and nobody reads meanwhile; CIS_E_CONFLICT:
 * another connection to the database is open. */
cis_code cis_pg_restore(const char *url, bool replace, struct cis_backup_target **out_target,
                        const struct cis_stop *stop, struct cis_error *err);

#endif
