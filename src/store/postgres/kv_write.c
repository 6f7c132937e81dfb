/* Memory in a commit: what each key was at the head, what all operations make of it, one row a key.
 */
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/postgres/internal.h"

struct entry {
    struct cis_str ns, key;
    bool was, is;
    size_t was_len;
    int64_t public;
    struct cis_str category; /* of an operation, or of the old rows */
    struct cis_bytes value;
};

struct pg_kv {
    const struct cis_kv_op *ops;
    size_t nops;
    size_t *index; /* of each operation's entry */
    struct entry *entries;
    size_t n;
    PGresult *old; /* borrowed from by categories */
};

void cis_pg_kv_free(struct pg_kv *kv)
{
    if (kv != NULL) {
        PQclear(kv->old);
        cis_free(kv->index);
        cis_free(kv->entries);
        cis_free(kv);
    }
}

/* Operations on one key share an entry. The map's key: length of the namespace, namespace, key. */
static cis_code index_all(struct pg_kv *kv, struct cis_map *map, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(8192);
    for (size_t i = 0; i < kv->nops; i++) {
        const struct cis_kv_op *op = &kv->ops[i];
        cis_buf_reset(&name);
        cis_buf_printf(&name, "%zu:", op->ns.len);
        cis_buf_str(&name, op->ns);
        cis_buf_str(&name, op->key);
        CIS_TRY(cis_buf_check(&name, "memory", err));
        struct entry *e = cis_map_get(map, cis_buf_view(&name));
        if (e == NULL) {
            e = &kv->entries[kv->n++];
            *e = (struct entry){.ns = op->ns, .key = op->key};
            CIS_TRY(cis_map_set(map, cis_buf_view(&name), e, NULL, err));
        }
        kv->index[i] = (size_t)(e - kv->entries);
    }
    return CIS_OK;
}

cis_code cis_pg_kv_new(const struct cis_kv_op *ops, size_t n, struct pg_kv **out_kv,
                       struct cis_error *err)
{
    struct pg_kv *kv = cis_zalloc(sizeof *kv);
    if (kv == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
    }
    kv->ops = ops;
    kv->nops = n;
    kv->index = cis_calloc(cis_size_add(n, 1), sizeof *kv->index);
    kv->entries = cis_calloc(cis_size_add(n, 1), sizeof *kv->entries);
    struct cis_map map = CIS_MAP_INIT;
    cis_code code = kv->index != NULL && kv->entries != NULL
                        ? index_all(kv, &map, err)
                        : cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
    cis_map_done(&map, NULL);
    if (code != CIS_OK) {
        cis_pg_kv_free(kv);
        return code;
    }
    *out_kv = kv;
    return CIS_OK;
}

cis_code cis_pg_kv_old_send(struct pg_conn *conn, const struct pg_kv *kv, struct cis_str ref,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array ns = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_array_done) struct pg_array keys = PG_ARRAY_INIT;
    struct pg_args args = {0};
    for (size_t i = 0; i < kv->n; i++) {
        cis_pg_array_bytes(&ns, kv->entries[i].ns.ptr, kv->entries[i].ns.len);
        cis_pg_array_bytes(&keys, kv->entries[i].key.ptr, kv->entries[i].key.len);
    }
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_str(&args, ref);
    cis_pg_arg_blobs(&args, &ns);
    cis_pg_arg_blobs(&args, &keys);
    return cis_pg_send(conn, PG_KV_OLD, &args, err);
}

cis_code cis_pg_kv_old_next(struct pg_conn *conn, struct pg_kv *kv, struct cis_error *err)
{
    cis_pg_clear(&kv->old);
    CIS_TRY(cis_pg_next(conn, PG_KV_OLD, &kv->old, err));
    for (size_t i = 0; i < kv->n; i++) {
        struct entry *e = &kv->entries[i];
        e->was = e->is = false;
    }
    for (int row = 0; row < PQntuples(kv->old); row++) {
        uint64_t i = cis_pg_u64(kv->old, row, 0);
        if (i >= 1 && i <= kv->n && cis_pg_int(kv->old, row, 1) == 0) {
            struct entry *e = &kv->entries[i - 1];
            e->was = e->is = true;
            e->was_len = (size_t)cis_pg_u64(kv->old, row, 2);
            e->public = cis_pg_int(kv->old, row, 3);
            e->category = cis_pg_str(kv->old, row, 4);
        }
    }
    return CIS_OK;
}

static void apply(struct pg_kv *kv)
{
    for (size_t i = 0; i < kv->nops; i++) {
        const struct cis_kv_op *op = &kv->ops[i];
        struct entry *e = &kv->entries[kv->index[i]];
        if (op->remove) {
            e->is = false;
            continue;
        }
        if (!e->is) {
            e->public = 0;
            e->category = (struct cis_str){"", 0};
        }
        e->is = true;
        e->value = op->value;
        e->public = op->is_public < 0 ? e->public : op->is_public;
        e->category = op->category.ptr != NULL ? op->category : e->category;
    }
}

struct rows {
    struct pg_array ns, keys, gone, public, category, updated, value;
};

static void rows_done(struct rows *r)
{
    cis_pg_array_done(&r->ns);
    cis_pg_array_done(&r->keys);
    cis_pg_array_done(&r->gone);
    cis_pg_array_done(&r->public);
    cis_pg_array_done(&r->category);
    cis_pg_array_done(&r->updated);
    cis_pg_array_done(&r->value);
}

static void row_add(struct rows *r, const struct entry *e, int64_t now)
{
    cis_pg_array_bytes(&r->ns, e->ns.ptr, e->ns.len);
    cis_pg_array_bytes(&r->keys, e->key.ptr, e->key.len);
    cis_pg_array_int(&r->gone, !e->is);
    cis_pg_array_int(&r->public, e->is ? e->public : 0);
    cis_pg_array_bytes(&r->category, e->category.ptr, e->is ? e->category.len : 0);
    cis_pg_array_int(&r->updated, now);
    cis_pg_array_bytes(&r->value, e->value.ptr, e->is ? e->value.len : 0);
}

static cis_code rows_send(struct pg_conn *conn, struct rows *r, struct cis_view at,
                          struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_args_view(&args, conn, at);
    cis_pg_arg_blobs(&args, &r->ns);
    cis_pg_arg_blobs(&args, &r->keys);
    cis_pg_arg_ints(&args, &r->gone);
    cis_pg_arg_ints(&args, &r->public);
    cis_pg_arg_blobs(&args, &r->category);
    cis_pg_arg_ints(&args, &r->updated);
    cis_pg_arg_blobs(&args, &r->value);
    cis_code code = cis_pg_send(conn, PG_KV_PUT, &args, err);
    struct pg_array *const all[] = {&r->ns,       &r->keys,    &r->gone, &r->public,
                                    &r->category, &r->updated, &r->value};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cis_pg_array_reset(all[i]);
    }
    return code;
}

cis_code cis_pg_kv_write(struct pg_conn *conn, struct pg_kv *kv, struct cis_view at,
                         int64_t *out_bytes, int64_t *out_keys, struct cis_error *err)
{
    CIS_CLEANUP(rows_done)
    struct rows r = {PG_ARRAY_INIT, PG_ARRAY_INIT, PG_ARRAY_INIT, PG_ARRAY_INIT,
                     PG_ARRAY_INIT, PG_ARRAY_INIT, PG_ARRAY_INIT};
    int64_t now = cis_clock_wall_ms();
    apply(kv);
    *out_bytes = *out_keys = 0;
    for (size_t i = 0; i < kv->n; i++) {
        const struct entry *e = &kv->entries[i];
        *out_bytes += e->is ? (int64_t)(e->key.len + e->value.len) : 0;
        *out_bytes -= e->was ? (int64_t)(e->key.len + e->was_len) : 0;
        *out_keys += (int64_t)e->is - (int64_t)e->was;
        if (e->is || e->was) {
            row_add(&r, e, now);
        }
        if (r.ns.n == PG_ROWS_MAX || r.value.buf.len + r.keys.buf.len > PG_BYTES_MAX) {
            CIS_TRY(rows_send(conn, &r, at, err));
        }
    }
    return r.ns.n != 0 ? rows_send(conn, &r, at, err) : CIS_OK;
}
