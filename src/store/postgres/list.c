/* Lists of a directory at a view. Ancestors give their rows in order of the name, at most so many
 * each; what is known in full is merged here, and the attributes of a page come with one statement
 * more. */
#include "base/mem.h"
#include "store/postgres/internal.h"

struct list {
    struct cis_view at;
    uint64_t dir;
    struct cis_buf after; /* the last name that was handed out: a new connection continues there */
    uint64_t left;
    bool attributes, more;
    cis_fs_dirent_each *each;
    void *self;
    struct pg_own own;
    struct cis_fs_dirent *page; /* live entries; names are borrowed from the result */
    size_t npage;
    struct cis_str last; /* name that the page ends with, borrowed too; ptr NULL: none */
};

/* Each ancestor gave at most k rows. What comes at or after the last name of one that gave k is not
 * known in full. -1: all is known. */
static cis_code cut_of(const PGresult *res, uint64_t k, int *out_row, struct cis_error *err)
{
    int n = PQntuples(res);
    int64_t depths = 0;
    for (int i = 0; i < n; i++) {
        int64_t depth = cis_pg_int(res, i, 0) + 1;
        depths = depth > depths ? depth : depths;
    }
    *out_row = -1;
    if (depths == 0) {
        return CIS_OK;
    }
    struct tally {
        uint64_t n;
        int last;
    } *tally = cis_calloc((size_t)depths, sizeof *tally);
    if (tally == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "list: out of memory");
    }
    for (int i = 0; i < n; i++) {
        struct tally *t = &tally[cis_pg_u64(res, i, 0)];
        t->n++;
        t->last = i;
    }
    for (int64_t d = 0; d < depths; d++) {
        if (tally[d].n >= k && (*out_row < 0 || tally[d].last < *out_row)) {
            *out_row = tally[d].last; /* rows are in order of their names */
        }
    }
    cis_free(tally);
    return CIS_OK;
}

/* The newest row of the group of equal names that begins at *at, which moves behind it. */
static int group(const PGresult *res, int *at)
{
    int best = *at, n = PQntuples(res);
    struct cis_str name = cis_pg_str(res, best, 1);
    for (++*at; *at < n && cis_str_eq(cis_pg_str(res, *at, 1), name); ++*at) {
        int64_t depth = cis_pg_int(res, *at, 0), other = cis_pg_int(res, best, 0);
        if (depth < other ||
            (depth == other && cis_pg_int(res, *at, 2) > cis_pg_int(res, best, 2))) {
            best = *at;
        }
    }
    return best;
}

/* Fills the page. *out_stuck: more rows are needed to know even one name. */
static cis_code page_of(struct list *l, const PGresult *res, uint64_t k, bool *out_stuck,
                        struct cis_error *err)
{
    int cut, n = PQntuples(res);
    CIS_TRY(cut_of(res, k, &cut, err));
    struct cis_str end = cut >= 0 ? cis_pg_str(res, cut, 1) : (struct cis_str){NULL, 0};
    l->last = (struct cis_str){NULL, 0};
    l->npage = 0;
    l->more = cut >= 0;
    for (int i = 0; i < n;) {
        struct cis_str name = cis_pg_str(res, i, 1);
        if (cut >= 0 && cis_str_eq(name, end)) {
            break;
        }
        if (l->npage == l->left) {
            l->more = false;
            break;
        }
        struct cis_fs_dirent *d = &l->page[l->npage];
        int best = group(res, &i);
        *d = (struct cis_fs_dirent){.parent = l->dir, .name = name};
        CIS_TRY(cis_pg_dirent_row(res, best, 3, 2, 4, d, err));
        l->npage += d->ino != 0;
        l->last = name;
    }
    *out_stuck = cut >= 0 && l->last.ptr == NULL && l->left != 0;
    return CIS_OK;
}

static cis_code page_done(struct list *l, struct cis_error *err)
{
    l->at = l->own.view;
    if (l->last.ptr != NULL) {
        cis_buf_reset(&l->after);
        cis_buf_str(&l->after, l->last);
    }
    return cis_buf_check(&l->after, "list", err);
}

/* Numbers that were given out together lie together: then one scan of the range is enough. */
static cis_code range_ask(struct pg_conn *conn, const struct list *l, PGresult **out,
                          struct cis_error *err)
{
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < l->npage; i++) {
        uint64_t ino = l->page[i].ino;
        low = ino < low ? ino : low;
        high = ino > high ? ino : high;
    }
    if (l->own.forked || l->npage < 16 || high - low > 2 * l->npage) {
        return CIS_OK;
    }
    struct pg_args args = {0};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    cis_pg_args_view(&args, conn, l->own.view);
    cis_pg_arg_u64(&args, low);
    cis_pg_arg_u64(&args, high);
    CIS_TRY(cis_pg_send(conn, PG_INODES_RANGE, &args, err));
    CIS_TRY(cis_pg_view_send(conn, &l->own, err));
    CIS_TRY(cis_pg_next(conn, PG_INODES_RANGE, &res, err));
    CIS_TRY(cis_pg_view_valid(conn, &l->own, err));
    *out = cis_take(&res);
    return CIS_OK;
}

/* In a range, which is in descending order. */
static int find_row(const PGresult *res, uint64_t ino)
{
    int low = 0, high = PQntuples(res);
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (cis_pg_u64(res, mid, 0) > ino) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < PQntuples(res) && cis_pg_u64(res, low, 0) == ino ? low : PQntuples(res);
}

static cis_code tell_page(struct pg_conn *conn, struct list *l, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *rows = NULL;
    bool range = false;
    if (l->attributes && l->npage != 0) {
        CIS_TRY(range_ask(conn, l, &rows, err));
        range = rows != NULL;
    }
    if (l->attributes && l->npage != 0 && !range) {
        CIS_CLEANUP(cis_freep) uint64_t *inos = cis_calloc(l->npage, sizeof *inos);
        if (inos == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "list: out of memory");
        }
        for (size_t i = 0; i < l->npage; i++) {
            inos[i] = l->page[i].ino;
        }
        CIS_TRY(cis_pg_inodes_ask(conn, &l->own, inos, l->npage, &rows, err));
    }
    int next = 0;
    for (size_t i = 0; i < l->npage; i++) {
        struct cis_fs_inode inode;
        const struct cis_fs_dirent *d = &l->page[i];
        if (l->attributes) {
            int row = range                                 ? find_row(rows, d->ino)
                      : cis_pg_u64(rows, next, 0) == d->ino ? next++
                                                            : PQntuples(rows);
            CIS_TRY(cis_pg_entry_inode(rows, row, 1, d, &inode, err));
        }
        l->left--;
        if (!l->each(l->self, d, l->attributes ? &inode : NULL)) {
            l->more = false;
            return CIS_OK;
        }
    }
    l->more &= l->left != 0;
    return CIS_OK;
}

static cis_code list_page(struct pg_conn *conn, struct list *l, uint64_t *k, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    struct pg_args args = {0};
    enum pg_id id = l->own.forked ? PG_LIST_FORKED : PG_LIST;
    cis_pg_args_view(&args, conn, l->own.view);
    cis_pg_arg_u64(&args, l->dir);
    cis_pg_arg_bytes(&args, l->after.ptr, l->after.len);
    cis_pg_arg_u64(&args, *k);
    CIS_TRY(cis_pg_send(conn, id, &args, err));
    CIS_TRY(cis_pg_view_send(conn, &l->own, err));
    CIS_TRY(cis_pg_next(conn, id, &res, err));
    CIS_TRY(cis_pg_view_valid(conn, &l->own, err));
    bool stuck = false;
    l->page = cis_calloc(cis_size_add((size_t)PQntuples(res), 1), sizeof *l->page);
    cis_code code = l->page != NULL ? page_of(l, res, *k, &stuck, err)
                                    : cis_fail(err, CIS_E_NOMEM, "list: out of memory");
    if (code == CIS_OK) {
        code = tell_page(conn, l, err);
        code = code == CIS_OK ? page_done(l, err) : code;
        *k = stuck ? *k * 4 : *k;
    }
    cis_free(l->page);
    l->page = NULL;
    return code;
}

static cis_code list(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct list *l = arg;
    CIS_TRY(cis_pg_view_enter(conn, l->at, &l->own, err));
    uint64_t k = l->left < PG_ROWS_MAX ? l->left + l->left / 8 + 16 : PG_ROWS_MAX;
    do {
        CIS_TRY(list_page(conn, l, &k, err));
    } while (l->more);
    return CIS_OK;
}

cis_code cis_pg_list(cis_store *store, struct cis_str tenant, const struct cis_fs_list_query *query,
                     cis_fs_dirent_each *each, void *self, const struct cis_stop *stop,
                     struct cis_error *err)
{
    struct list l = {.at = query->at,
                     .dir = query->dir,
                     .after = CIS_BUF_INIT(65536),
                     .left = query->max,
                     .attributes = query->attributes,
                     .each = each,
                     .self = self};
    cis_buf_str(&l.after, query->after);
    cis_code code = cis_buf_check(&l.after, "list", err);
    if (code == CIS_OK && query->max != 0) {
        code = cis_pg_read((struct pg_store *)store, tenant, list, &l, NULL, stop, err);
    }
    cis_buf_done(&l.after);
    return code;
}
