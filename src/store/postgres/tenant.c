/* Tenants: a row in the directory of names, and a tree of their own with a random key. */
#include <inttypes.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "store/postgres/internal.h"
#include "store/row.h"

static cis_code send_root(struct pg_conn *conn, uint32_t uid, uint32_t gid, struct cis_error *err)
{
    int64_t now = cis_clock_wall_ms();
    struct cis_fs_time at = {now / 1000, (uint32_t)(now % 1000) * 1000000u};
    struct cis_fs_inode root = {.ino = CIS_FS_ROOT,
                                .mode = 040755,
                                .nlink = 2,
                                .uid = uid,
                                .gid = gid,
                                .parent = CIS_FS_ROOT,
                                .atime = at,
                                .mtime = at,
                                .ctime = at,
                                .btime = at};
    uint8_t attr[CIS_ROW_MAX];
    size_t n = cis_inode_pack(&root, attr);
    CIS_CLEANUP(cis_pg_array_done) struct pg_array ino = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array attrs = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array data = PG_ARRAY_INIT;
    cis_pg_array_int(&ino, CIS_FS_ROOT);
    cis_pg_array_bytes(&attrs, attr, n);
    cis_pg_array_bytes(&data, NULL, 0);
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_int(&args, 1);
    cis_pg_arg_int(&args, 0);
    cis_pg_arg_ints(&args, &ino);
    cis_pg_arg_blobs(&args, &attrs);
    cis_pg_arg_blobs(&args, &data);
    return cis_pg_send(conn, PG_INODES_PUT, &args, err);
}

static cis_code send_tree(struct pg_conn *conn, uint32_t uid, uint32_t gid, struct cis_error *err)
{
    uint8_t key[32];
    cis_random_bytes(key, sizeof key);
    struct pg_args args = {0}, tree = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_int(&tree, conn->tenant);
    cis_pg_arg_bytes(&tree, key, sizeof key);
    static const enum pg_id rows[] = {PG_USAGE_PUT, PG_MAIN_PUT, PG_ROOT_BRANCH, PG_ROOT_LINEAGE};
    CIS_TRY(cis_pg_send(conn, PG_TENANT_BIND, &args, err));
    CIS_TRY(cis_pg_send(conn, PG_TREE_PUT, &tree, err));
    cis_wipe(key, sizeof key);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CIS_TRY(cis_pg_send(conn, rows[i], &args, err));
    }
    CIS_TRY(send_root(conn, uid, gid, err));
    struct pg_args room = {0};
    cis_pg_arg_int(&room, 0);
    cis_pg_arg_int(&room, 0);
    CIS_TRY(cis_pg_send(conn, PG_SETTLE, &room, err));
    CIS_TRY(cis_pg_send(conn, PG_COMMIT, NULL, err));
    CIS_TRY(cis_pg_sync(conn, err));
    return cis_pg_finish(conn, err);
}

cis_code cis_pg_tenant_make(struct pg_conn *conn, const char *name, uint32_t uid, uint32_t gid,
                            int64_t *out_id, struct cis_error *err)
{
    struct pg_args args = {0}, version = {0};
    cis_pg_arg_str(&args, cis_str_of(name));
    cis_pg_arg_int(&version, cis_pg_schema_version());
    CIS_TRY(cis_pg_send(conn, PG_BEGIN, NULL, err));
    CIS_TRY(cis_pg_send(conn, PG_SCHEMA, &version, err));
    CIS_TRY(cis_pg_send(conn, PG_TENANT_MAKE, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_next(conn, PG_TENANT_MAKE, &res, err));
    CIS_TRY(cis_pg_finish(conn, err));
    *out_id = cis_pg_int(res, 0, 0);
    if (*out_id == 0) { /* it was there already, or has just been made by another */
        CIS_TRY(cis_pg_send(conn, PG_COMMIT, NULL, err));
        CIS_TRY(cis_pg_sync(conn, err));
        return cis_pg_finish(conn, err);
    }
    conn->tenant = *out_id;
    cis_code code = send_tree(conn, uid, gid, err);
    if (code != CIS_OK) {
        conn->tenant = 0; /* rolled back with everything else */
    }
    return code;
}

cis_code cis_pg_tenant_create(cis_store *store, struct cis_str name, uint32_t uid, uint32_t gid,
                              const struct cis_stop *stop, struct cis_error *err)
{
    struct pg_store *s = (struct pg_store *)store;
    CIS_TRY(cis_store_tenant_check(name, err));
    char text[CIS_TENANT_MAX + 1] = {0};
    memcpy(text, name.ptr, name.len);
    CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
    CIS_TRY(cis_pg_take_free(s, stop, &conn, err));
    int64_t id;
    CIS_TRY(cis_pg_tenant_make(conn, text, uid, gid, &id, err));
    return id != 0 ? CIS_OK : cis_fail(err, CIS_E_EXISTS, "tenant %s: exists already", text);
}

/* ---- reading ---- */
static cis_code send_get(struct pg_conn *conn, int64_t id, struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, id);
    return cis_pg_send(conn, PG_TREE_GET, &args, err);
}

static bool row_of(const PGresult *res, int64_t id, struct cis_str name, struct cis_tenant *out)
{
    struct cis_bytes key = cis_pg_bytes(res, 0, 7);
    if (PQntuples(res) == 0 || key.len != sizeof out->key || name.len > CIS_TENANT_MAX) {
        return false;
    }
    *out = (struct cis_tenant){.created_ms = cis_pg_int(res, 0, 0),
                               .quota_files = cis_pg_u64(res, 0, 1),
                               .quota_bytes = cis_pg_u64(res, 0, 2),
                               .quota_stored = cis_pg_u64(res, 0, 3),
                               .quota_snapshots = cis_pg_u64(res, 0, 4),
                               .stored = cis_pg_u64(res, 0, 5),
                               .snapshots = cis_pg_u64(res, 0, 6)};
    memcpy(out->name, name.ptr, name.len);
    memcpy(out->key, key.ptr, key.len);
    snprintf(out->instance, sizeof out->instance, "%" PRId64, id);
    return true;
}

struct get {
    struct cis_str name;
    struct cis_tenant *out;
};

static cis_code get(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct get *g = arg;
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(send_get(conn, conn->tenant, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_next(conn, PG_TREE_GET, &res, err));
    CIS_TRY(cis_pg_finish(conn, err));
    return row_of(res, conn->tenant, g->name, g->out) ? CIS_OK : cis_pg_alive(conn, err);
}

cis_code cis_pg_tenant_get(cis_store *store, struct cis_str name, struct cis_tenant *out,
                           const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_str plain, instance;
    cis_fs_tenant_split(name, &plain, &instance);
    struct get g = {plain, out};
    return cis_pg_read((struct pg_store *)store, name, get, &g, NULL, stop, err);
}

/* The session goes from tenant to tenant; the pool binds it anew afterwards. *out_found false: it
 * was deleted meanwhile. */
static cis_code show(struct pg_conn *conn, int64_t id, struct cis_str name, struct cis_tenant *out,
                     bool *out_found, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    struct pg_args args = {0};
    cis_pg_arg_int(&args, id);
    CIS_TRY(cis_pg_send(conn, PG_TENANT_BIND, &args, err));
    CIS_TRY(send_get(conn, id, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_next(conn, PG_TREE_GET, &res, err));
    CIS_TRY(cis_pg_finish(conn, err));
    *out_found = row_of(res, id, name, out);
    return CIS_OK;
}

struct listing {
    PGresult *names; /* NULL: not asked yet */
    int at;          /* whose turn it is */
    bool more;
};

static cis_code list_on(struct pg_conn *conn, struct listing *l, cis_tenant_each *each, void *self,
                        struct cis_error *err)
{
    if (l->names == NULL) {
        CIS_TRY(cis_pg_ask(conn, PG_TENANT_NAMES, NULL, &l->names, err));
    }
    conn->tenant = -1; /* nobody's, until it is bound again */
    while (l->more && l->at < PQntuples(l->names)) {
        struct cis_tenant tenant;
        bool found;
        CIS_TRY(show(conn, cis_pg_int(l->names, l->at, 0), cis_pg_str(l->names, l->at, 1), &tenant,
                     &found, err));
        l->at++;
        if (found) {
            l->more = each(self, &tenant);
            cis_wipe(tenant.key, sizeof tenant.key);
        }
    }
    return CIS_OK;
}

cis_code cis_pg_tenant_list(cis_store *store, cis_tenant_each *each, void *self,
                            const struct cis_stop *stop, struct cis_error *err)
{
    struct listing l = {.more = true};
    cis_code code;
    for (int attempt = 0;; attempt++) {
        CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
        code = cis_pg_take_free((struct pg_store *)store, stop, &conn, err);
        if (code != CIS_OK) {
            break;
        }
        code = list_on(conn, &l, each, self, err);
        if (code == CIS_OK || !conn->lost || conn->ended || attempt == PG_RETRIES) {
            break;
        }
    }
    PQclear(l.names);
    return code;
}

/* ---- changing ---- */
static cis_code quota(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct cis_tenant *in = arg;
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_u64(&args, in->quota_files);
    cis_pg_arg_u64(&args, in->quota_bytes);
    cis_pg_arg_u64(&args, in->quota_stored);
    cis_pg_arg_u64(&args, in->quota_snapshots);
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(conn, PG_TREE_QUOTA, &args, &res, err));
    return PQntuples(res) != 0 ? CIS_OK : cis_pg_alive(conn, err);
}

cis_code cis_pg_tenant_quota(cis_store *store, struct cis_str name, const struct cis_tenant *in,
                             const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_tenant copy = *in;
    struct pg_write write = {.work = quota, .arg = &copy, .repeatable = true};
    return cis_pg_write((struct pg_store *)store, name, &write, stop, err);
}

/* arg: whether it was sent before, on a connection that was lost. */
static cis_code wipe(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    bool *tried = arg;
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *tree = NULL;
    cis_pg_arg_int(&args, conn->tenant);
    /* The tree is locked first: whoever commits meanwhile finds it gone afterwards. */
    CIS_TRY(cis_pg_ask(conn, PG_TREE_LOCK, &args, &tree, err));
    if (PQntuples(tree) == 0) { /* then it happened; else another of that name may be there */
        return *tried ? CIS_OK : cis_pg_alive(conn, err);
    }
    *tried = true;
    for (int id = PG_WIPE_USAGE; id <= PG_WIPE_TREE; id++) {
        CIS_TRY(cis_pg_send(conn, (enum pg_id)id, &args, err));
    }
    return cis_pg_send(conn, PG_TENANT_DROP, NULL, err);
}

cis_code cis_pg_tenant_delete(cis_store *store, struct cis_str name, const struct cis_stop *stop,
                              struct cis_error *err)
{
    /* Deleting twice deletes once; its token would be deleted with the rest. */
    bool tried = false;
    struct pg_write write = {.work = wipe,
                             .arg = &tried,
                             .repeatable = true,
                             .slow = true,
                             .closes = true,
                             .frees = true};
    struct pg_store *s = (struct pg_store *)store;
    cis_code code = cis_pg_write(s, name, &write, stop, err);
    if (code != CIS_OK && (code != CIS_E_NOTFOUND || !tried)) {
        return code;
    }
    cis_mutex_lock(&s->lock, pg_lock_store);
    struct pg_tenant *t = cis_map_get(&s->tenants, name);
    if (t != NULL) {
        t->id = 0;
        t->ino_left = 0;
    }
    cis_mutex_unlock(&s->lock, pg_lock_store);
    return CIS_OK;
}
