/* Forgetting old versions of memory: what no view from the floor on sees, and no snapshot, fork or
 * pin below it. Branch by branch in the order of the index, in short transactions that go on where
 * the last one ended. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite/internal.h"
#include "store/text.h"

#define SCAN_MAX 10000   /* rows looked at in one transaction */
#define DROP_MAX 512     /* rows dropped in one */
#define HELD_MAX 1000000 /* views below the floor: more are not looked at, nothing is dropped */

/* A key's place in the index. */
struct place {
    char ns[CIS_STORE_NAME_MAX], key[CIS_STORE_KEY_MAX];
    size_t nns, nkey;
};

struct version {
    int64_t id, epoch;
    bool gone;
};

struct pass {
    uint64_t branch;
    int64_t floor;
    struct place from, to; /* of this transaction; to: where the next begins */
    bool more;
    int64_t *held; /* epochs, ascending */
    size_t nheld;
    int64_t drop[DROP_MAX];
    size_t ndrop;
};

static bool held_between(const struct pass *p, int64_t from, int64_t before)
{
    size_t low = 0, high = p->nheld;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (p->held[mid] < from) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < p->nheld && p->held[low] < before;
}

static cis_code held_read(struct sql_conn *conn, struct pass *p, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(HELD_MAX * sizeof(int64_t));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_VIEWS_HELD, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(p->branch));
    sqlite3_bind_int64(st, 2, cis_sql_lease_ms(conn->store));
    for (;;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "squashing memory", &row, err));
        if (!row) {
            break;
        }
        int64_t epoch = sqlite3_column_int64(st, 0);
        cis_buf_add(&out, &epoch, sizeof epoch);
    }
    CIS_TRY(cis_buf_check(&out, "squashing memory", err));
    size_t len;
    cis_free(p->held);
    p->held = (int64_t *)(void *)cis_buf_take(&out, &len);
    p->nheld = p->held != NULL ? len / sizeof *p->held : 0;
    return CIS_OK;
}

/* A deletion that hides nothing: no ancestor has the key. */
static cis_code hides_nothing(struct sql_conn *conn, const struct pass *p,
                              const struct place *place, bool *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_MEMORY_ABOVE, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(p->branch));
    cis_sql_bind(st, 2, place->ns, place->nns);
    cis_sql_bind(st, 3, place->key, place->nkey);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "squashing memory", &row, err));
    *out = !row;
    return CIS_OK;
}

static bool same(const struct place *place, struct cis_str ns, struct cis_str key)
{
    return cis_str_eq((struct cis_str){place->ns, place->nns}, ns) &&
           cis_str_eq((struct cis_str){place->key, place->nkey}, key);
}

static cis_code place_set(struct place *place, struct cis_str ns, struct cis_str key,
                          struct cis_error *err)
{
    if (ns.len > sizeof place->ns || key.len > sizeof place->key) {
        return cis_fail(err, CIS_E_DAMAGED, "memory: a key of %zu bytes", key.len);
    }
    memcpy(place->ns, ns.ptr, ns.len);
    memcpy(place->key, key.ptr, key.len);
    place->nns = ns.len;
    place->nkey = key.len;
    return CIS_OK;
}

/* Checks the version before, now that the one after it in the branch is known (NULL: none). first:
 * nothing older of the key stays. */
static cis_code check(struct sql_conn *conn, struct pass *p, const struct place *place,
                      const struct version *v, const struct version *next, bool *first,
                      struct cis_error *err)
{
    bool drop = next != NULL && next->epoch <= p->floor && !held_between(p, v->epoch, next->epoch);
    if (!drop && v->gone && *first && v->epoch <= p->floor) {
        CIS_TRY(hides_nothing(conn, p, place, &drop, err));
    }
    if (drop) {
        p->drop[p->ndrop++] = v->id;
    }
    *first = *first && drop;
    return CIS_OK;
}

static cis_code find(struct sql_conn *conn, struct pass *p, struct cis_error *err)
{
    struct place place = p->from;
    struct version before = {0, 0, false};
    bool any = false, first = true;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_MEMORY_VERSIONS, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(p->branch));
    cis_sql_bind(st, 2, p->from.ns, p->from.nns);
    cis_sql_bind(st, 3, p->from.key, p->from.nkey);
    p->ndrop = 0;
    p->more = false;
    for (int n = 0;; n++) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "squashing memory", &row, err));
        struct cis_str ns = cis_sql_str(st, 0), key = cis_sql_str(st, 1);
        bool another = !row || !any || !same(&place, ns, key);
        struct version now = {0, 0, false};
        if (row) {
            now = (struct version){sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3),
                                   sqlite3_column_int64(st, 4) != 0};
        }
        if (any) {
            CIS_TRY(check(conn, p, &place, &before, another ? NULL : &now, &first, err));
        }
        if (!row) {
            return CIS_OK;
        }
        if (another) {
            CIS_TRY(place_set(&place, ns, key, err));
            first = true;
            if (any && (n > SCAN_MAX || p->ndrop > DROP_MAX / 2)) {
                p->more = true;
                p->to = place;
                return CIS_OK;
            }
        } else if (p->ndrop == DROP_MAX - 2) { /* a key of many versions: the rest next time */
            p->more = true;
            p->to = place;
            return CIS_OK;
        }
        any = true;
        before = now;
    }
}

static cis_code drop_one(struct sql_conn *conn, int64_t id, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_MEMORY_ROW, &st, err));
    sqlite3_bind_int64(st, 1, id);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "squashing memory", &row, err));
    if (row && sqlite3_column_int64(st, 2) == 0) {
        CIS_TRY(cis_sql_text_change(conn, SQL_TEXT_REMOVE, id, cis_sql_str(st, 0),
                                    cis_text_of(cis_sql_bytes(st, 1)), err));
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *del = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_KV_DELETE, &del, err));
    sqlite3_bind_int64(del, 1, id);
    return cis_sql_done(conn, del, "squashing memory", err);
}

static cis_code pass_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    struct pass *p = *(struct pass *const *)arg;
    CIS_TRY(held_read(conn, p, err));
    CIS_TRY(find(conn, p, err));
    for (size_t i = 0; i < p->ndrop; i++) {
        CIS_TRY(drop_one(conn, p->drop[i], err));
    }
    return CIS_OK;
}

/* Not forced to the disk: what comes back after a loss of power is dropped again next time. */
cis_code cis_sql_memory_squash(struct sql_store *store, struct cis_str tenant, uint64_t branch,
                               uint64_t floor, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) struct pass *p = cis_zalloc(sizeof *p);
    if (p == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "squashing memory: out of memory");
    }
    p->branch = branch;
    p->floor = cis_sql_i64(floor);
    cis_code code;
    do {
        code = cis_sql_write(store, tenant, pass_apply, &p, SQL_FREES, stop, err);
        p->from = p->to;
    } while (code == CIS_OK && p->more);
    cis_free(p->held);
    return code;
}
