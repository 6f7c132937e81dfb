/* The newest row of each key of a range as a view sees it. One cursor an ancestor, each a scan of
 * the primary key, where versions of a key follow each other: the last one that is old enough is
 * kept here. (GROUP BY takes twice as long, a window function seven times.) The cursors are merged
 * by key; of equal keys the nearest ancestor's counts. */
#include <inttypes.h>
#include "base/mem.h"
#include "store/sqlite/read.h"

struct cursor {
    sqlite3_stmt *st; /* NULL: ended */
    int64_t max_epoch;
    bool has; /* kept is a key's row */
    struct sql_version kept;
};

static void key_of(enum sql_versions table, sqlite3_stmt *st, uint8_t block[8],
                   struct cis_bytes *out)
{
    if (table == SQL_VERSIONS_DIRENT) {
        *out = cis_sql_bytes(st, 0);
        return;
    }
    uint64_t n = (uint64_t)sqlite3_column_int64(st, 0);
    for (int i = 0; i < 8; i++) {
        block[i] = (uint8_t)(n >> (56 - 8 * i));
    }
    *out = cis_bytes_of(block, 8);
}

static int key_cmp(const uint8_t *a, size_t na, const uint8_t *b, size_t nb)
{
    int order = memcmp(a, b, na < nb ? na : nb);
    return order != 0 ? order : (na > nb) - (na < nb);
}

/* To the next key that has a row which is old enough; the statement is then on the key after it. */
static cis_code advance(struct sql_conn *conn, enum sql_versions table, struct cursor *c,
                        struct cis_error *err)
{
    c->has = false;
    while (c->st != NULL) {
        uint8_t block[8];
        struct cis_bytes key;
        key_of(table, c->st, block, &key);
        if (key.len == 0 || key.len > sizeof c->kept.key) {
            return cis_fail(err, CIS_E_DAMAGED, "%s: an entry's name has %zu bytes", conn->path,
                            key.len);
        }
        bool same = key.len == c->kept.nkey && memcmp(key.ptr, c->kept.key, key.len) == 0;
        if (c->has && !same) {
            return CIS_OK;
        }
        int64_t epoch = sqlite3_column_int64(c->st, 1);
        if (epoch <= c->max_epoch) {
            memcpy(c->kept.key, key.ptr, key.len);
            c->kept.nkey = key.len;
            c->kept.epoch = (uint64_t)epoch;
            c->kept.value = sqlite3_column_int64(c->st, 2);
            c->kept.mode = sqlite3_column_int64(c->st, 3);
            c->has = true;
        }
        bool row;
        CIS_TRY(cis_sql_row(conn, c->st, "listing", &row, err));
        if (!row) {
            sqlite3_reset(c->st);
            c->st = NULL;
        }
    }
    return CIS_OK;
}

/* The statement of the nth ancestor. */
static cis_code statement(struct sql_conn *conn, enum sql_versions table, size_t nth,
                          sqlite3_stmt **out, struct cis_error *err)
{
    if (nth >= conn->nversions[table]) {
        size_t n = cis_size_add(nth, 8);
        sqlite3_stmt **more = cis_realloc_array(conn->versions[table], n, sizeof *more);
        if (more == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "listing: out of memory");
        }
        memset(more + conn->nversions[table], 0, (n - conn->nversions[table]) * sizeof *more);
        conn->versions[table] = more;
        conn->nversions[table] = n;
    }
    sqlite3_stmt **st = &conn->versions[table][nth];
    if (*st == NULL) {
        CIS_TRY(cis_sql_prepare(
            conn, table == SQL_VERSIONS_DIRENT ? SQL_DIRENT_RANGE : SQL_EXTENT_RANGE, st, err));
    }
    *out = *st;
    return CIS_OK;
}

static cis_code cursor_open(struct sql_conn *conn, const struct sql_range *range, size_t nth,
                            int64_t branch, int64_t max_epoch, struct cursor *c,
                            struct cis_error *err)
{
    sqlite3_stmt *st = NULL;
    CIS_TRY(statement(conn, range->table, nth, &st, err));
    sqlite3_bind_int64(st, 1, branch);
    sqlite3_bind_int64(st, 2, cis_sql_i64(range->id));
    if (range->table == SQL_VERSIONS_DIRENT) {
        cis_sql_bind_str(st, 3, range->after);
    } else {
        sqlite3_bind_int64(st, 3, range->first);
        sqlite3_bind_int64(st, 4, range->end);
    }
    c->st = st;
    c->max_epoch = max_epoch;
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "listing", &row, err));
    if (!row) {
        sqlite3_reset(st);
        c->st = NULL;
    }
    return advance(conn, range->table, c, err);
}

struct cursors {
    struct cursor *at;
    size_t n;
};

static void cursors_done(struct cursors *c)
{
    for (size_t i = 0; i < c->n; i++) {
        sqlite3_reset(c->at[i].st); /* NULL is allowed */
    }
    cis_free(c->at);
}

static cis_code cursors_add(struct cursors *c, size_t *cap, struct cis_error *err)
{
    if (c->n == *cap) {
        *cap = cis_cap_next(*cap, 1, CIS_MEM_MAX);
        struct cursor *more = cis_realloc_array(c->at, *cap, sizeof *more);
        if (more == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "listing: out of memory");
        }
        c->at = more;
    }
    c->at[c->n] = (struct cursor){.st = NULL};
    c->n++;
    return CIS_OK;
}

static cis_code cursors_open(struct sql_reader *r, const struct sql_range *range, struct cursors *c,
                             struct cis_error *err)
{
    size_t cap = 0;
    struct cis_view at;
    bool forked;
    CIS_TRY(cis_sql_chain_view(r, range->id, &at, &forked, err));
    int64_t epoch = cis_sql_i64(at.epoch);
    if (!forked) {
        CIS_TRY(cursors_add(c, &cap, err));
        return cursor_open(r->conn, range, 0, cis_sql_i64(at.branch), epoch, &c->at[0], err);
    }
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(r->conn, SQL_ANCESTORS, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(at.branch));
    for (size_t nth = 0;; nth++) {
        bool row;
        CIS_TRY(cis_sql_row(r->conn, st, "reading the lineage", &row, err));
        if (!row) {
            return CIS_OK;
        }
        int64_t max = sqlite3_column_int64(st, 1);
        CIS_TRY(cursors_add(c, &cap, err));
        CIS_TRY(cursor_open(r->conn, range, nth, sqlite3_column_int64(st, 0),
                            max < epoch ? max : epoch, &c->at[c->n - 1], err));
        c->n -= !c->at[c->n - 1].has; /* most ancestors have nothing here */
    }
}

cis_code cis_sql_versions(struct sql_reader *r, const struct sql_range *range,
                          sql_version_each *each, void *self, struct cis_error *err)
{
    CIS_CLEANUP(cursors_done) struct cursors c = {NULL, 0};
    CIS_TRY(cursors_open(r, range, &c, err));
    for (;;) {
        struct cursor *least = NULL;
        for (size_t i = 0; i < c.n; i++) {
            struct cursor *x = &c.at[i];
            if (x->has && (least == NULL || key_cmp(x->kept.key, x->kept.nkey, least->kept.key,
                                                    least->kept.nkey) < 0)) {
                least = x;
            }
        }
        if (least == NULL) {
            return CIS_OK;
        }
        bool more = false;
        CIS_TRY(each(self, &least->kept, &more, err));
        if (!more) {
            return CIS_OK;
        }
        for (size_t i = c.n; i > 0;) { /* its own last: the others are compared with it */
            i--;
            struct cursor *x = &c.at[i];
            if (x != least && x->has &&
                key_cmp(x->kept.key, x->kept.nkey, least->kept.key, least->kept.nkey) == 0) {
                CIS_TRY(advance(r->conn, range->table, x, err));
            }
        }
        CIS_TRY(advance(r->conn, range->table, least, err));
    }
}
