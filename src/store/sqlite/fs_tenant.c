/* Tenants: making, listing, quotas, deleting. A tenant is its file; the catalogue lists the names.
 */
#include <errno.h>
#include "base/clock.h"
#include "store/row.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/internal.h"

#define NAMES_MAX (64u * 1024u * 1024u)

static void conn_drop(struct sql_conn **conn)
{
    cis_sql_conn_close(*conn);
}

struct name {
    char text[CIS_TENANT_MAX + 1];
};

static cis_code name_of(struct cis_str tenant, struct name *out, struct cis_error *err)
{
    CIS_TRY(cis_store_tenant_check(tenant, err));
    memset(out, 0, sizeof *out);
    memcpy(out->text, tenant.ptr, tenant.len);
    return CIS_OK;
}

/* ---- making ---- */

static cis_code own_root(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const uint32_t *owner = arg;
    struct cis_fs_inode root;
    cis_sql_root(&root, owner[0], owner[1]);
    uint8_t attr[CIS_ROW_MAX];
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_ROOT_SET, &st, err));
    cis_sql_bind(st, 1, attr, cis_inode_pack(&root, attr));
    return cis_sql_done(conn, st, "making the tenant", err);
}

static cis_code tenant_end(struct sql_store *s, const char *name, bool marked,
                           const struct cis_stop *stop, struct cis_error *err);

/* Is this the file of a tenant whose deletion was cut short? */
static bool is_marked(cis_store *store, struct cis_str tenant, const struct cis_stop *stop)
{
    struct cis_tenant there;
    return cis_sql_tenant_get(store, tenant, &there, stop, NULL) == CIS_E_NOTFOUND;
}

static cis_code make(struct sql_store *store, const char *name, const struct cis_stop *stop,
                     struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_gate_leave) struct sql_gate gate = SQL_GATE_INIT;
    CIS_TRY(cis_sql_gate_enter(cis_sql_tenant_path(store, name), stop, &gate, err));
    /* Entered first: a name without a file is nothing, a file without a name is not listed. */
    bool there; /* or it was: CIS_E_DAMAGED */
    CIS_TRY(cis_sql_tenant_exists(store, name, stop, &there, err));
    CIS_TRY(cis_sql_catalogue_enter(store, name, stop, err));
    return cis_sql_tenant_make(store, name, err);
}

cis_code cis_sql_tenant_create(cis_store *store, struct cis_str tenant, uint32_t root_uid,
                               uint32_t root_gid, const struct cis_stop *stop,
                               struct cis_error *err)
{
    struct sql_store *s = (struct sql_store *)store;
    struct name name;
    CIS_TRY(name_of(tenant, &name, err));
    cis_code code = make(s, name.text, stop, err);
    if (code == CIS_E_EXISTS && is_marked(store, tenant, stop)) {
        code = tenant_end(s, name.text, true, stop, err);
        if (code == CIS_OK || code == CIS_E_NOTFOUND) { /* NOTFOUND: another did */
            code = make(s, name.text, stop, err);
        }
    }
    CIS_TRY(code);
    const uint32_t owner[2] = {root_uid, root_gid};
    return cis_sql_write(s, tenant, own_root, owner, true, stop, err);
}

/* ---- reading ---- */

static cis_code tree_read(struct sql_conn *conn, struct cis_tenant *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_TREE_GET, &st, err));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading the tenant", &row, err));
    if (!row) {
        return cis_sql_tree_check(conn, err);
    }
    struct cis_bytes key = cis_sql_bytes(st, 1);
    if (key.len != sizeof out->key) {
        return cis_fail(err, CIS_E_DAMAGED, "%s: the tenant's key is damaged", conn->path);
    }
    memcpy(out->key, key.ptr, sizeof out->key);
    cis_store_instance_of(out->key, out->instance);
    out->created_ms = sqlite3_column_int64(st, 0);
    uint64_t *const fields[6] = {&out->quota_files,     &out->quota_bytes, &out->quota_stored,
                                 &out->quota_snapshots, &out->stored,      &out->snapshots};
    for (int i = 0; i < 6; i++) {
        *fields[i] = (uint64_t)sqlite3_column_int64(st, 2 + i);
    }
    return CIS_OK;
}

cis_code cis_sql_tenant_get(cis_store *store, struct cis_str tenant, struct cis_tenant *out,
                            const struct cis_stop *stop, struct cis_error *err)
{
    struct name name;
    struct cis_str plain, instance;
    cis_fs_tenant_split(tenant, &plain, &instance);
    CIS_TRY(name_of(plain, &name, err));
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_tenant_require((struct sql_store *)store, tenant, err));
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, true, stop, &conn, err));
    struct cis_tenant got = {.name = ""};
    CIS_TRY(tree_read(conn, &got, err));
    memcpy(got.name, name.text, sizeof got.name);
    *out = got;
    return CIS_OK;
}

static cis_code names_read(const struct sql_store *store, struct cis_buf *out,
                           const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_catalogue_open(store, stop, &conn, err));
    CIS_TRY(cis_sql_catalogue_gather(conn, false, err)); /* it may be older than they are */
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_TENANT_LIST, &st, err));
    for (;;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "listing tenants", &row, err));
        if (!row) {
            return cis_buf_check(out, "listing tenants", err);
        }
        struct name name;
        CIS_TRY(name_of(cis_sql_str(st, 0), &name, err));
        cis_buf_add(out, &name, sizeof name);
    }
}

cis_code cis_sql_tenant_list(cis_store *store, cis_tenant_each *each, void *self,
                             const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(NAMES_MAX);
    CIS_TRY(names_read((struct sql_store *)store, &names, stop, err));
    cis_code first = CIS_OK; /* a damaged tenant does not hide the others */
    for (size_t at = 0; at < names.len; at += sizeof(struct name)) {
        struct cis_tenant tenant;
        struct cis_error why;
        const char *name = (const char *)names.ptr + at;
        cis_code code = cis_sql_tenant_get(store, cis_str_of(name), &tenant, stop, &why);
        if (code == CIS_OK) {
            if (!each(self, &tenant)) {
                break;
            }
        } else if (code != CIS_E_NOTFOUND && first == CIS_OK) { /* else: not made, or going */
            first = code;
            if (err != NULL) {
                *err = why;
            }
        }
    }
    return first;
}

/* ---- quotas ---- */

static cis_code quota_set(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_tenant *in = arg;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_TREE_QUOTA, &st, err));
    const uint64_t quotas[4] = {in->quota_files, in->quota_bytes, in->quota_stored,
                                in->quota_snapshots};
    for (int i = 0; i < 4; i++) {
        sqlite3_bind_int64(st, 1 + i, cis_sql_i64(quotas[i]));
    }
    return cis_sql_done(conn, st, "setting quotas", err);
}

cis_code cis_sql_tenant_quota(cis_store *store, struct cis_str tenant, const struct cis_tenant *in,
                              const struct cis_stop *stop, struct cis_error *err)
{
    return cis_sql_write_existing((struct sql_store *)store, tenant, quota_set, in, true, stop,
                                  err);
}

/* ---- deleting ---- */

/* From here on every use of the file by whatever process answers that the tenant is deleted. */
static cis_code mark(struct sql_store *store, struct cis_str tenant, const struct cis_stop *stop,
                     struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take(store, tenant, true, stop, &conn, err));
    conn->broken = true; /* it is not used again */
    CIS_TRY(cis_sql_exec(conn,
                         "BEGIN IMMEDIATE; DELETE FROM tree; DELETE FROM lineage;"
                         "DELETE FROM branch; COMMIT",
                         "deleting the tenant", err));
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(conn->db, "PRAGMA wal_checkpoint(TRUNCATE)", -1, &st, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
    }
    bool busy = rc == SQLITE_ROW && sqlite3_column_int(st, 0) != 0;
    sqlite3_finalize(st);
    if (rc != SQLITE_ROW) {
        return cis_sql_fail(conn, rc, "deleting the tenant", err);
    }
    return busy ? cis_fail(err, CIS_E_CONFLICT,
                           "tenant " CIS_STR_FMT ": deleted, but somebody still reads its files;"
                           " delete it again to free them",
                           CIS_STR_ARG(tenant))
                : CIS_OK;
}

/* Out of the catalogue before the file goes: from then on the name is free, and its row would be
 * another's. */
static cis_code strike(const struct sql_store *store, struct cis_str tenant,
                       const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_catalogue_open(store, stop, &conn, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_TENANT_DELETE, &st, err));
    cis_sql_bind_str(st, 1, tenant);
    CIS_TRY(cis_sql_done(conn, st, "deleting the tenant", err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *hints = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PUBLISHED_FORGET, &hints, err));
    cis_sql_bind_str(hints, 1, tenant);
    return cis_sql_done(conn, hints, "deleting the tenant", err);
}

/* What tells a tenant from the next one of its name; zeros: it is marked, or not to be read. */
struct instance {
    char text[sizeof((struct cis_tenant *)0)->instance];
};

static struct instance instance_of(cis_store *store, struct cis_str tenant,
                                   const struct cis_stop *stop)
{
    struct cis_tenant there;
    struct instance out = {""};
    if (cis_sql_tenant_get(store, tenant, &there, stop, NULL) == CIS_OK) {
        memcpy(out.text, there.instance, sizeof out.text);
    }
    return out;
}

/* marked: only one whose deletion was cut short; another is CIS_E_EXISTS. */
static cis_code tenant_end(struct sql_store *s, const char *name, bool marked,
                           const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_str tenant = cis_str_of(name);
    cis_sql_forget(s, tenant);
    struct instance meant = instance_of(&s->base, tenant, stop), there;
    CIS_CLEANUP(cis_sql_gate_leave) struct sql_gate gate = SQL_GATE_INIT;
    CIS_TRY(cis_sql_gate_enter(cis_sql_tenant_path(s, name), stop, &gate, err));
    cis_sql_forget(s, tenant); /* connections to files that another unlinked */
    CIS_TRY(cis_sql_tenant_require(s, tenant, err)); /* another may have deleted it meanwhile */
    bool fresh = cis_sql_tenant_is_fresh(s, name); /* to be made by who opens it, behind the gate */
    if (marked && (fresh || !is_marked(&s->base, tenant, stop))) {
        return cis_fail(err, CIS_E_EXISTS, "tenant %s: exists already", name);
    }
    there = fresh ? meant : instance_of(&s->base, tenant, stop);
    if (fresh || (there.text[0] != '\0' && memcmp(&meant, &there, sizeof meant) != 0)) {
        return cis_fail(err, CIS_E_NOTFOUND,
                        "tenant " CIS_STR_FMT ": deleted meanwhile, and made anew",
                        CIS_STR_ARG(tenant));
    }
    CIS_TRY(cis_sql_publish_forget(s, tenant, stop, err));
    struct cis_error why = {0};
    cis_code code;
    do {
        code = mark(s, tenant, stop, &why);
        cis_sql_forget(s, tenant);
        code = code == CIS_OK ? strike(s, tenant, stop, &why) : code;
    } while (code != CIS_OK && why.sys == ENOSPC && cis_sql_reserve_spend(s, SQL_SPEND_GC));
    if (code != CIS_OK) {
        if (err != NULL) {
            *err = why;
        }
        return code;
    }
    CIS_TRY(cis_sql_tenant_unlink(s, name, err));
    cis_sql_forget(s, tenant); /* who opened the marked file in between */
    return CIS_OK;
}

cis_code cis_sql_tenant_delete(cis_store *store, struct cis_str tenant, const struct cis_stop *stop,
                               struct cis_error *err)
{
    struct sql_store *s = (struct sql_store *)store;
    struct name name;
    CIS_TRY(name_of(tenant, &name, err));
    CIS_TRY(cis_sql_tenant_require(s, tenant, err));
    return tenant_end(s, name.text, false, stop, err);
}
