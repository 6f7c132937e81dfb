/* The rows of every tenant for a backup: one transaction at one snapshot, in which the session goes
 * from tenant to tenant. So all tenants are as of one instant, and nobody waits. */
#include "base/mem.h"
#include "store/postgres/internal.h"

#define TENANTS_MAX (1u << 20)

struct source {
    int64_t id;
    char name[CIS_TENANT_MAX + 1], instance[17];
};
struct dump {
    struct pg_conn *conn;
    const struct cis_backup_sink *sink;
    int64_t next_branch, next_fence;
    struct source *tenants;
    size_t n;
};

static void dump_done(struct dump *d)
{
    cis_free(d->tenants);
}

static const enum pg_id ids[CIS_BACKUP_TABLES] = {
#define TABLE(id, types, ...) [CIS_BACKUP_##id] = PG_DUMP_##id,
#include "store/backup.def"
#undef TABLE
};

static cis_code bind(struct dump *d, int64_t tenant, struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, tenant);
    d->conn->tenant = -1; /* the pool binds it anew */
    return cis_pg_ask(d->conn, PG_TENANT_BIND, &args, NULL, err);
}

static cis_code ask(struct dump *d, enum cis_backup_table table, int64_t tenant,
                    struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, tenant);
    if (table == CIS_BACKUP_TREE) {
        cis_pg_arg_int(&args, d->next_branch);
        cis_pg_arg_int(&args, d->next_fence);
    }
    CIS_TRY(cis_pg_send(d->conn, ids[table], &args, err));
    return cis_pg_sync(d->conn, err);
}

/* ---- who there is ---- */
static cis_code names(struct dump *d, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(d->conn, PG_TENANT_NAMES, NULL, &res, err));
    size_t n = (size_t)PQntuples(res);
    d->tenants = n <= TENANTS_MAX ? cis_calloc(n != 0 ? n : 1, sizeof *d->tenants) : NULL;
    if (d->tenants == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "backup: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        d->tenants[i].id = cis_pg_int(res, (int)i, 0);
        cis_pg_text(res, (int)i, 1, d->tenants[i].name, sizeof d->tenants[i].name);
    }
    d->n = n;
    return CIS_OK;
}

/* Which of its name each is; one that is being made has no tree and is left out. */
static cis_code instances(struct dump *d, struct cis_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->n; i++) {
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(bind(d, d->tenants[i].id, err));
        CIS_TRY(ask(d, CIS_BACKUP_TREE, d->tenants[i].id, err));
        CIS_TRY(cis_pg_next(d->conn, PG_DUMP_TREE, &res, err));
        CIS_TRY(cis_pg_finish(d->conn, err));
        struct cis_bytes key = cis_pg_bytes(res, 0, 1);
        if (PQntuples(res) == 0) {
            continue;
        }
        if (key.len != 32) {
            return cis_fail(err, CIS_E_DAMAGED, "tenant %s: its key is damaged",
                            d->tenants[i].name);
        }
        cis_store_instance_of(key.ptr, d->tenants[i].instance);
        d->tenants[kept++] = d->tenants[i];
    }
    d->n = kept;
    return CIS_OK;
}

static const char *instance_of(const struct dump *d, int64_t id)
{
    for (size_t i = 0; i < d->n; i++) {
        if (d->tenants[i].id == id) {
            return d->tenants[i].instance;
        }
    }
    return "";
}

/* ---- rows ---- */
static cis_code row(struct dump *d, enum cis_backup_table table, const PGresult *res,
                    struct cis_error *err)
{
    struct cis_backup_value v[CIS_BACKUP_COLUMNS_MAX] = {{0}};
    const char *types = cis_backup_shapes[table].types;
    for (int i = 0; types[i] != 0; i++) {
        if (types[i] == 'b') {
            v[i].b = cis_pg_bytes(res, 0, i);
        } else {
            v[i].i = cis_pg_int(res, 0, i);
        }
    }
    if (table == CIS_BACKUP_PUBLISH) {
        struct cis_str instance = cis_str_of(instance_of(d, cis_pg_int(res, 0, 4)));
        v[4].b = cis_bytes_of(instance.ptr, instance.len);
    }
    return d->sink->row(d->sink->self, table, v, err);
}

static cis_code dump_table(struct dump *d, enum cis_backup_table table, int64_t tenant,
                           struct cis_error *err)
{
    CIS_TRY(ask(d, table, tenant, err));
    for (;;) {
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(cis_pg_next_row(d->conn, ids[table], &res, err));
        if (res == NULL) {
            return cis_pg_finish(d->conn, err);
        }
        CIS_TRY(row(d, table, res, err));
    }
}

cis_code cis_pg_dump_rows(struct pg_conn *conn, const struct cis_backup_sink *sink,
                          struct cis_error *err)
{
    CIS_CLEANUP(dump_done) struct dump d = {.conn = conn, .sink = sink};
    CIS_TRY(names(&d, err)); /* the snapshot is taken; what counts on is read after it */
    {
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(cis_pg_ask(conn, PG_DUMP_NUMBERS, NULL, &res, err));
        d.next_branch = cis_pg_int(res, 0, 0);
        d.next_fence = cis_pg_int(res, 0, 1);
    }
    CIS_TRY(instances(&d, err));
    for (size_t i = 0; i < d.n; i++) {
        CIS_TRY(bind(&d, d.tenants[i].id, err));
        CIS_TRY(sink->tenant(sink->self, cis_str_of(d.tenants[i].name), err));
        for (int table = 0; table < CIS_BACKUP_TABLES; table++) {
            CIS_TRY(dump_table(&d, (enum cis_backup_table)table, d.tenants[i].id, err));
        }
    }
    return CIS_OK;
}

/* A page that the server finds damaged ends the transaction, and with it the backup. */
cis_code cis_pg_dump(cis_store *store, const struct cis_backup_sink *sink,
                     const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
    struct pg_args version = {0};
    cis_pg_arg_int(&version, cis_pg_schema_version());
    CIS_TRY(cis_pg_take_free((struct pg_store *)store, stop, &conn, err));
    CIS_TRY(cis_pg_ask(conn, PG_DUMP_BEGIN, NULL, NULL, err));
    CIS_TRY(cis_pg_ask(conn, PG_SCHEMA, &version, NULL, err));
    CIS_TRY(cis_pg_dump_rows(conn, sink, err));
    return cis_pg_ask(conn, PG_COMMIT, NULL, NULL, err);
}
