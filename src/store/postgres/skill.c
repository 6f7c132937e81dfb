/* Installed skills and their config. */
#include "store/postgres/internal.h"

/* ---- config ---- */
cis_code cis_pg_config_send(struct pg_conn *conn, const struct cis_kv_op *ops, size_t n,
                            struct cis_error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct pg_args args = {0}, size = {0};
        cis_pg_arg_int(&args, conn->tenant);
        cis_pg_arg_str(&args, ops[i].ns);
        cis_pg_arg_str(&args, ops[i].key);
        if (!ops[i].remove) {
            cis_pg_arg_bytes(&args, ops[i].value.ptr, ops[i].value.len);
        }
        CIS_TRY(cis_pg_send(conn, ops[i].remove ? PG_CONFIG_DELETE : PG_CONFIG_PUT, &args, err));
        if (i + 1 == n || !cis_str_eq(ops[i].ns, ops[i + 1].ns)) {
            cis_pg_arg_int(&size, conn->tenant);
            cis_pg_arg_str(&size, ops[i].ns);
            CIS_TRY(cis_pg_send(conn, PG_CONFIG_SIZE, &size, err));
        }
    }
    return CIS_OK;
}

cis_code cis_pg_config_check(struct pg_conn *conn, const struct cis_kv_op *ops, size_t n,
                             struct cis_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (i + 1 != n && cis_str_eq(ops[i].ns, ops[i + 1].ns)) {
            continue;
        }
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(cis_pg_next(conn, PG_CONFIG_SIZE, &res, err));
        if (cis_pg_int(res, 0, 0) > (int64_t)CIS_STORE_CONFIG_KEYS_MAX ||
            cis_pg_int(res, 0, 1) > (int64_t)CIS_STORE_CONFIG_BYTES_MAX) {
            return cis_fail(
                err, CIS_E_QUOTA, "config of " CIS_STR_FMT ": more than %u keys or %u bytes",
                CIS_STR_ARG(ops[i].ns), CIS_STORE_CONFIG_KEYS_MAX, CIS_STORE_CONFIG_BYTES_MAX);
        }
    }
    return CIS_OK;
}

cis_code cis_pg_config_apply(cis_store *store, struct cis_str tenant, const struct cis_kv_op *ops,
                             size_t nops, const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_store_commit commit = {.config = ops, .nconfig = nops};
    return cis_pg_commit(store, tenant, &commit, stop, err);
}

struct query {
    struct cis_str name;
    cis_kv_each *entry;
    cis_skill_each *skill;
    void *self;
    bool found;
};

static cis_code config_list(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct query *q = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, q->name);
    CIS_TRY(cis_pg_ask(conn, PG_CONFIG_LIST, &args, &res, err));
    if (PQntuples(res) == 0) {
        return cis_pg_alive(conn, err);
    }
    conn->told = true;
    for (int i = 0; i < PQntuples(res); i++) {
        struct cis_kv_entry entry = {.ns = cis_pg_str(res, i, 0),
                                     .key = cis_pg_str(res, i, 1),
                                     .value = cis_pg_bytes(res, i, 2)};
        if (!q->entry(q->self, &entry)) {
            break;
        }
    }
    return CIS_OK;
}

cis_code cis_pg_config_list(cis_store *store, struct cis_str tenant, struct cis_str skill,
                            cis_kv_each *each, void *self, const struct cis_stop *stop,
                            struct cis_error *err)
{
    struct query q = {.name = skill, .entry = each, .self = self};
    bool absent = false;
    return cis_pg_read((struct pg_store *)store, tenant, config_list, &q, &absent, stop, err);
}

/* ---- skills ---- */
static void row_of(const PGresult *res, int i, struct cis_skill_row *out)
{
    *out = (struct cis_skill_row){.name = cis_pg_str(res, i, 0),
                                  .version = cis_pg_str(res, i, 1),
                                  .source = cis_pg_str(res, i, 2),
                                  .sha256 = cis_pg_str(res, i, 3),
                                  .manifest = cis_pg_str(res, i, 4),
                                  .grants = cis_pg_str(res, i, 5),
                                  .signer = cis_pg_str(res, i, 6),
                                  .digest = cis_pg_str(res, i, 7),
                                  .installed_ms = cis_pg_int(res, i, 8)};
}

static cis_code skill_rows(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct query *q = arg;
    enum pg_id id = q->name.ptr != NULL ? PG_SKILL_GET : PG_SKILL_LIST;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    if (q->name.ptr != NULL) {
        cis_pg_arg_str(&args, q->name);
    }
    CIS_TRY(cis_pg_ask(conn, id, &args, &res, err));
    if (PQntuples(res) == 0) {
        return cis_pg_alive(conn, err);
    }
    q->found = conn->told = true;
    for (int i = 0; i < PQntuples(res); i++) {
        struct cis_skill_row row;
        row_of(res, i, &row);
        if (!q->skill(q->self, &row)) {
            break;
        }
    }
    return CIS_OK;
}

cis_code cis_pg_skill_get(cis_store *store, struct cis_str tenant, struct cis_str name,
                          cis_skill_each *each, void *self, const struct cis_stop *stop,
                          struct cis_error *err)
{
    struct query q = {.name = name, .skill = each, .self = self};
    bool absent = false;
    q.name.ptr = name.ptr != NULL ? name.ptr : "";
    CIS_TRY(cis_pg_read((struct pg_store *)store, tenant, skill_rows, &q, &absent, stop, err));
    return q.found ? CIS_OK
                   : cis_fail(err, CIS_E_NOTFOUND, "skill " CIS_STR_FMT ": not installed",
                              CIS_STR_ARG(name));
}

cis_code cis_pg_skill_list(cis_store *store, struct cis_str tenant, cis_skill_each *each,
                           void *self, const struct cis_stop *stop, struct cis_error *err)
{
    struct query q = {.skill = each, .self = self};
    bool absent = false;
    return cis_pg_read((struct pg_store *)store, tenant, skill_rows, &q, &absent, stop, err);
}

/* Locks the row, if there is one. Is it still what the change was computed from? */
static cis_code still(struct pg_conn *conn, const struct cis_skill_change *c, struct cis_error *err)
{
    int64_t has = 0;
    struct cis_skill_row row;
    struct pg_args args = {0}, size = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_CLEANUP(cis_pg_clear) PGresult *keys = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, c->name);
    CIS_TRY(cis_pg_ask(conn, PG_SKILL_LOCK, &args, &res, err));
    bool found = PQntuples(res) != 0;
    if (!found) {
        CIS_TRY(cis_pg_alive(conn, err));
    } else {
        row_of(res, 0, &row);
    }
    if (c->had >= 0) {
        cis_pg_arg_int(&size, conn->tenant);
        cis_pg_arg_str(&size, c->name);
        CIS_TRY(cis_pg_ask(conn, PG_CONFIG_SIZE, &size, &keys, err));
        has = cis_pg_int(keys, 0, 0);
    }
    return cis_skill_change_still(c, found ? &row : NULL, has, err);
}

static cis_code drop(struct pg_conn *conn, enum pg_id id, struct cis_str name,
                     struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, name);
    return cis_pg_send(conn, id, &args, err);
}

static cis_code put(struct pg_conn *conn, const struct cis_skill_change *c, struct cis_error *err)
{
    const struct cis_skill_row *row = c->row;
    const struct cis_str fields[] = {row->name,     row->version, row->source, row->sha256,
                                     row->manifest, row->grants,  row->signer, row->digest};
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    for (int i = 0; i < 8; i++) {
        cis_pg_arg_str(&args, fields[i]);
    }
    cis_pg_arg_int(&args, row->installed_ms);
    CIS_TRY(cis_pg_ask(conn, c->was[0] == 0 ? PG_SKILL_ADD : PG_SKILL_PUT, &args, &res, err));
    /* No row could be locked where there was none: another one came between. */
    return PQntuples(res) != 0
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT, "skill " CIS_STR_FMT ": was changed meanwhile",
                          CIS_STR_ARG(c->name));
}

static cis_code change(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct cis_skill_change *c = *(const struct cis_skill_change **)arg;
    CIS_TRY(still(conn, c, err));
    if (c->remove || c->clear) {
        CIS_TRY(drop(conn, PG_CONFIG_CLEAR, c->name, err));
    }
    if (c->remove) {
        CIS_TRY(drop(conn, PG_SKILL_DELETE, c->name, err));
    } else if (c->row != NULL) {
        CIS_TRY(put(conn, c, err));
    }
    if (c->nconfig == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_pg_config_send(conn, c->config, c->nconfig, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_config_check(conn, c->config, c->nconfig, err));
    return cis_pg_finish(conn, err);
}

cis_code cis_pg_skill_change(cis_store *store, struct cis_str tenant,
                             const struct cis_skill_change *c, const struct cis_stop *stop,
                             struct cis_error *err)
{
    CIS_TRY(cis_skill_change_check(c, err));
    struct pg_write write = {
        .work = change, .arg = &c, .create = c->was[0] == 0 && c->row != NULL, .frees = c->remove};
    return cis_pg_write((struct pg_store *)store, tenant, &write, stop, err);
}
