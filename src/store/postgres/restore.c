/* A store made of a backup's rows, in one transaction of the schema's owner: it is there as a whole
 * or not at all. What was in it before goes in the same transaction. Rows go in by thousands, an
 * array a column. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/postgres/internal.h"

#define PUBLISH_MAX (64u << 20) /* bytes of rows of table publish, which come in last */

struct restored {
    int64_t id;
    char name[CIS_TENANT_MAX + 1], instance[17];
};
/* A row of publish: its reader may be a tenant that comes later. */
struct published {
    int64_t tenant, since_ms, ended_ms;
    char ref[CIS_FS_REF_MAX + 1], reader[CIS_TENANT_MAX + 1], instance[17];
};

struct filling {
    struct cis_backup_target base;
    struct pg_admin admin;
    struct pg_conn *conn;
    struct cis_buf tenants, published; /* struct restored, struct published */
    uint64_t left_out;                 /* rows of publish whose reader is no more */
    /* of the tenant at work */
    int64_t tenant, next_ino;
    enum cis_backup_table table;
    size_t rows, bytes;
    struct pg_array columns[CIS_BACKUP_COLUMNS_MAX];
    /* of all: what is given next is greater */
    int64_t branch, fence, snapshot, pin, chunk, memory, run;
};

static void filling_free(struct cis_backup_target *target)
{
    struct filling *f = (struct filling *)target;
    if (f == NULL) {
        return;
    }
    for (size_t i = 0; i < CIS_BACKUP_COLUMNS_MAX; i++) {
        cis_pg_array_done(&f->columns[i]);
    }
    cis_buf_done(&f->tenants);
    cis_buf_done(&f->published);
    cis_pg_admin_done(&f->admin); /* and with it the transaction, unless it was committed */
    cis_free(f);
}

/* ---- rows ---- */
static enum pg_id id_of(enum cis_backup_table table)
{
    static const enum pg_id ids[CIS_BACKUP_TABLES] = {
#define TABLE(id, types, ...) [CIS_BACKUP_##id] = PG_LOAD_##id,
#include "store/backup.def"
#undef TABLE
    };
    return ids[table];
}

static cis_code refused(struct filling *f, cis_code code, struct cis_error *err)
{
    return code != CIS_OK && strncmp(f->conn->sqlstate, "23", 2) == 0
               ? cis_fail(err, CIS_E_DAMAGED,
                          "the backup is damaged: two rows for one, or a row without what it needs")
               : code;
}

static cis_code flush(struct filling *f, struct cis_error *err)
{
    struct pg_args args = {0};
    const char *types = cis_backup_shapes[f->table].types;
    if (f->rows == 0) {
        return CIS_OK;
    }
    cis_pg_arg_int(&args, f->tenant);
    for (size_t i = 0; types[i] != 0; i++) {
        if (types[i] == 'b') {
            cis_pg_arg_blobs(&args, &f->columns[i]);
        } else {
            cis_pg_arg_ints(&args, &f->columns[i]);
        }
    }
    CIS_TRY(refused(f, cis_pg_ask(f->conn, id_of(f->table), &args, NULL, err), err));
    for (size_t i = 0; types[i] != 0; i++) {
        bool large = f->columns[i].buf.cap > PG_BYTES_MAX * 2;
        if (large) {
            cis_pg_array_done(&f->columns[i]);
            f->columns[i].buf = CIS_BUF_INIT(CIS_BACKUP_KEYS_MAX + PG_ARRAY_MAX);
        } else {
            cis_pg_array_reset(&f->columns[i]);
        }
    }
    f->rows = f->bytes = 0;
    return CIS_OK;
}

static cis_code put_row(struct filling *f, enum cis_backup_table table,
                        const struct cis_backup_value *v, struct cis_error *err)
{
    const char *types = cis_backup_shapes[table].types;
    if (table != f->table || f->rows >= PG_ROWS_MAX || f->bytes >= PG_BYTES_MAX) {
        CIS_TRY(flush(f, err));
        f->table = table;
    }
    for (size_t i = 0; types[i] != 0; i++) {
        if (types[i] == 'b') {
            cis_pg_array_bytes(&f->columns[i], v[i].b.ptr, v[i].b.len);
            f->bytes += v[i].b.len;
        } else {
            cis_pg_array_int(&f->columns[i], v[i].i);
        }
        CIS_TRY(cis_buf_check(&f->columns[i].buf, "restore: rows", err));
    }
    f->rows++;
    return CIS_OK;
}

static cis_code put_tree(struct filling *f, const struct cis_backup_value *v, struct cis_error *err)
{
    struct restored *t =
        (struct restored *)(void *)(f->tenants.ptr + f->tenants.len) - 1; /* this one */
    struct pg_args args = {0};
    cis_store_instance_of(v[1].b.ptr, t->instance);
    f->next_ino = v[3].i;
    f->fence = v[4].i > f->fence ? v[4].i : f->fence;
    f->branch = v[5].i > f->branch ? v[5].i : f->branch;
    cis_pg_arg_int(&args, f->tenant);
    cis_pg_arg_int(&args, v[0].i);
    cis_pg_arg_bytes(&args, v[1].b.ptr, v[1].b.len);
    cis_pg_arg_bytes(&args, v[2].b.ptr, v[2].b.len);
    for (size_t i = 6; i < 10; i++) {
        cis_pg_arg_int(&args, v[i].i);
    }
    return cis_pg_ask(f->conn, PG_LOAD_TREE, &args, NULL, err);
}

static cis_code keep_publish(struct filling *f, const struct cis_backup_value *v,
                             struct cis_error *err)
{
    struct published p = {.tenant = f->tenant, .since_ms = v[0].i, .ended_ms = v[1].i};
    if (v[2].b.len >= sizeof p.ref || v[3].b.len >= sizeof p.reader ||
        v[4].b.len >= sizeof p.instance) {
        return cis_fail(err, CIS_E_DAMAGED, "the backup is damaged: impossible values");
    }
    memcpy(p.ref, v[2].b.ptr, v[2].b.len);
    memcpy(p.reader, v[3].b.ptr, v[3].b.len);
    memcpy(p.instance, v[4].b.ptr, v[4].b.len);
    cis_buf_add(&f->published, &p, sizeof p);
    return cis_buf_check(&f->published, "restore: what is published", err);
}

/* The greatest number of each kind. */
static void note(struct filling *f, enum cis_backup_table table, int64_t number)
{
    int64_t *const kinds[CIS_BACKUP_TABLES] = {
        [CIS_BACKUP_BRANCH] = &f->branch, [CIS_BACKUP_SNAPSHOT] = &f->snapshot,
        [CIS_BACKUP_PIN] = &f->pin,       [CIS_BACKUP_CHUNK] = &f->chunk,
        [CIS_BACKUP_MEMORY] = &f->memory, [CIS_BACKUP_RUN] = &f->run};
    if (kinds[table] != NULL && *kinds[table] < number) {
        *kinds[table] = number;
    }
}

static cis_code on_row(void *self, enum cis_backup_table table, const struct cis_backup_value *v,
                       struct cis_error *err)
{
    struct filling *f = self;
    if (table == CIS_BACKUP_TREE) {
        return put_tree(f, v, err);
    }
    if (table == CIS_BACKUP_PUBLISH) {
        return keep_publish(f, v, err);
    }
    note(f, table, v[0].i);
    return put_row(f, table, v, err);
}

/* ---- tenants ---- */
static cis_code tenant_end(struct filling *f, struct cis_error *err)
{
    struct pg_args args = {0}, count = {0};
    CIS_TRY(flush(f, err));
    if (f->tenant == 0) {
        return CIS_OK;
    }
    cis_pg_arg_int(&args, f->tenant);
    cis_pg_arg_int(&args, f->next_ino);
    cis_pg_arg_int(&count, f->tenant);
    f->tenant = 0;
    CIS_TRY(cis_pg_ask(f->conn, PG_LOAD_USAGE, &args, NULL, err));
    return cis_pg_ask(f->conn, PG_LOAD_STORED, &count, NULL, err); /* whatever the quota says now */
}

static cis_code on_tenant(void *self, struct cis_str name, struct cis_error *err)
{
    struct filling *f = self;
    struct restored t = {.id = 0};
    struct pg_args args = {0}, bind = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(tenant_end(f, err));
    CIS_TRY(cis_store_tenant_check(name, err));
    cis_pg_arg_str(&args, name);
    CIS_TRY(cis_pg_ask(f->conn, PG_TENANT_MAKE, &args, &res, err));
    t.id = cis_pg_int(res, 0, 0);
    memcpy(t.name, name.ptr, name.len);
    if (t.id == 0) {
        return cis_fail(err, CIS_E_DAMAGED, "the backup is damaged: tenant %s comes twice", t.name);
    }
    f->tenant = t.id;
    f->next_ino = 0;
    cis_buf_add(&f->tenants, &t, sizeof t);
    CIS_TRY(cis_buf_check(&f->tenants, "restore: tenants", err));
    cis_pg_arg_int(&bind, t.id);
    return cis_pg_ask(f->conn, PG_TENANT_BIND, &bind, NULL, err);
}

/* ---- the end ---- */
/* 0: that tenant is not here, or another of its name is. */
static int64_t reader_of(const struct filling *f, const struct published *p)
{
    const struct restored *t = (const struct restored *)(const void *)f->tenants.ptr;
    for (size_t i = 0; i < f->tenants.len / sizeof *t; i++) {
        if (strcmp(t[i].name, p->reader) == 0 && strcmp(t[i].instance, p->instance) == 0) {
            return t[i].id;
        }
    }
    return 0;
}

static cis_code publish(struct filling *f, struct cis_error *err)
{
    const struct published *p = (const struct published *)(const void *)f->published.ptr;
    for (size_t i = 0; i < f->published.len / sizeof *p; i++) {
        struct pg_args args = {0}, bind = {0};
        int64_t reader = reader_of(f, &p[i]);
        if (reader == 0) {
            f->left_out++;
            continue;
        }
        cis_pg_arg_int(&bind, p[i].tenant);
        cis_pg_arg_int(&args, p[i].tenant);
        cis_pg_arg_int(&args, reader);
        cis_pg_arg_int(&args, p[i].since_ms);
        cis_pg_arg_int(&args, p[i].ended_ms);
        cis_pg_arg_str(&args, cis_str_of(p[i].ref));
        CIS_TRY(cis_pg_ask(f->conn, PG_TENANT_BIND, &bind, NULL, err));
        CIS_TRY(refused(f, cis_pg_ask(f->conn, PG_LOAD_PUBLISH, &args, NULL, err), err));
    }
    return CIS_OK;
}

static cis_code numbers(struct filling *f, struct cis_error *err)
{
    struct pg_args args = {0};
    const int64_t past[] = {f->branch, f->fence, f->snapshot, f->pin, f->chunk, f->memory, f->run};
    for (size_t i = 0; i < sizeof past / sizeof *past; i++) {
        cis_pg_arg_int(&args, past[i] > 0 ? past[i] : 1);
    }
    return cis_pg_ask(f->conn, PG_LOAD_NUMBERS, &args, NULL, err);
}

static cis_code source(void *self, const struct cis_backup_sink *sink, const struct cis_stop *stop,
                       struct cis_error *err)
{
    struct filling *f = self;
    (void)stop; /* the connection has it */
    return cis_pg_dump_rows(f->conn, sink, err);
}

static cis_code filling_done(struct cis_backup_target *target,
                             const struct cis_backup_counts *given, const struct cis_stop *stop,
                             struct cis_error *err)
{
    struct filling *f = (struct filling *)target;
    struct cis_backup_counts want = *given;
    CIS_TRY(tenant_end(f, err));
    CIS_TRY(publish(f, err));
    CIS_TRY(numbers(f, err));
    want.rows -= f->left_out < want.rows ? f->left_out : want.rows;
    CIS_TRY(cis_backup_prove(source, f, &want, stop, err));
    return cis_pg_ask(f->conn, PG_COMMIT, NULL, NULL, err);
}

static void filling_drop(struct filling **f)
{
    filling_free(*f != NULL ? &(*f)->base : NULL);
}

/* ---- the beginning ---- */
/* One that was closed just now is seen for a moment. */
static cis_code alone(const struct filling *f, const struct cis_stop *stop, struct cis_error *err)
{
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), 2 * CIS_NS_PER_S);
    for (;;) {
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(cis_pg_ask(f->conn, PG_LOAD_LOOK, NULL, NULL, err));
        CIS_TRY(cis_pg_ask(f->conn, PG_LOAD_OTHERS, NULL, &res, err));
        int64_t others = cis_pg_int(res, 0, 0);
        if (others == 0) {
            return CIS_OK;
        }
        if (cis_clock_mono_ns() > until) {
            return cis_fail(err, CIS_E_CONFLICT,
                            "%s: %lld other connections to the database are open; end mounts, runs "
                            "and commands first",
                            f->admin.store.place, (long long)others);
        }
        struct cis_stop nap = {cis_clock_after(cis_clock_mono_ns(), 20 * CIS_NS_PER_MS),
                               stop != NULL ? stop->cancel : NULL};
        (void)cis_stop_wait(&nap, -1, 0, "", NULL);
        if (stop != NULL) {
            CIS_TRY(cis_stop_check(stop, "restore", err));
        }
    }
}

/* Empties the store in the transaction that fills it. From here on others wait, so whoever is there
 * was there before. */
static cis_code empty(const struct filling *f, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_TRY(alone(f, stop, err));
    cis_code code = cis_pg_ask(f->conn, PG_LOAD_EMPTY, NULL, NULL, err);
    if (code != CIS_OK && strcmp(f->conn->sqlstate, "55P03") == 0) {
        return cis_fail(err, CIS_E_CONFLICT, "%s: another connection is at work in the store",
                        f->admin.store.place);
    }
    return code == CIS_OK ? alone(f, stop, err) : code;
}

cis_code cis_pg_restore(const char *url, bool replace, struct cis_backup_target **out_target,
                        const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(filling_drop) struct filling *f = cis_zalloc(sizeof *f);
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    int version;
    if (f == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "restore: out of memory");
    }
    for (size_t i = 0; i < CIS_BACKUP_COLUMNS_MAX; i++) {
        f->columns[i].buf = CIS_BUF_INIT(CIS_BACKUP_KEYS_MAX + PG_ARRAY_MAX);
    }
    f->tenants = f->published = CIS_BUF_INIT(PUBLISH_MAX);
    CIS_TRY(cis_pg_admin_init(url, NULL, &version, stop, err));
    CIS_TRY(cis_pg_admin_open(&f->admin, url, stop, err));
    f->conn = f->admin.conn;
    CIS_TRY(cis_pg_ask(f->conn, PG_BEGIN, NULL, NULL, err));
    CIS_TRY(cis_pg_ask(f->conn, PG_LOAD_ROLE, NULL, NULL, err));
    if (replace) {
        CIS_TRY(empty(f, stop, err));
    }
    CIS_TRY(cis_pg_ask(f->conn, PG_LOAD_LOCK, NULL, NULL, err));
    CIS_TRY(cis_pg_ask(f->conn, PG_TENANT_NAMES, NULL, &res, err));
    if (PQntuples(res) != 0) {
        return cis_fail(err, CIS_E_EXISTS, "%s: this store holds tenants (--replace)",
                        f->admin.store.place);
    }
    f->base = (struct cis_backup_target){
        .sink = {f, on_tenant, on_row, NULL}, .done = filling_done, .free = filling_free};
    *out_target = &cis_take(&f)->base;
    return CIS_OK;
}
