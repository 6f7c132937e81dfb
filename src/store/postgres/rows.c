/* Files at a view: walks, inodes, extents. Every row is checked before anybody acts on it:
 * what no writer makes is CIS_E_DAMAGED with the row named. Callers are told when all rows are
 * there. */
#include <inttypes.h>
#include <sys/stat.h>
#include "base/mem.h"
#include "store/postgres/internal.h"
#include "store/row.h"

cis_code cis_pg_inode_row(const PGresult *res, int row, int first, uint64_t ino,
                          struct cis_fs_inode *out, struct cis_error *err)
{
    struct cis_fs_inode in = {.ino = ino,
                              .epoch = cis_pg_u64(res, row, first),
                              .data = cis_pg_bytes(res, row, first + 2)};
    cis_code code = cis_inode_unpack(cis_pg_bytes(res, row, first + 1), &in, err);
    size_t want = in.is_inline || S_ISLNK(in.mode) ? (size_t)in.size : 0;
    if (code == CIS_OK && !in.gone && in.data.len != want) {
        code =
            cis_fail(err, CIS_E_DAMAGED, "inode: %zu bytes of content, not %zu", in.data.len, want);
    }
    if (code != CIS_OK) {
        return cis_error_prefix(err, code, "inode %" PRIu64 " at epoch %" PRIu64, ino, in.epoch);
    }
    *out = in;
    return CIS_OK;
}

cis_code cis_pg_dirent_row(const PGresult *res, int row, int ino, int epoch, int mode,
                           struct cis_fs_dirent *out, struct cis_error *err)
{
    int64_t number = cis_pg_int(res, row, ino), bits = cis_pg_int(res, row, mode);
    if (number < 0 || (bits & ~(int64_t)S_IFMT) != 0 || out->name.len > CIS_FS_NAME_MAX) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "entry \"" CIS_STR_FMT "\" of directory %" PRIu64 ": impossible values",
                        CIS_STR_ARG(out->name), out->parent);
    }
    out->ino = (uint64_t)number;
    out->epoch = cis_pg_u64(res, row, epoch);
    out->mode = (uint32_t)bits;
    return CIS_OK;
}

static cis_code not_whole(const struct cis_fs_dirent *d, const char *why, struct cis_error *err)
{
    return cis_fail(err, CIS_E_DAMAGED,
                    "entry \"" CIS_STR_FMT "\" of directory %" PRIu64 ": inode %" PRIu64 " is %s",
                    CIS_STR_ARG(d->name), d->parent, d->ino, why);
}

/* What an entry names is there, alive and of the type the entry says. */
cis_code cis_pg_entry_inode(const PGresult *res, int row, int first, const struct cis_fs_dirent *d,
                            struct cis_fs_inode *out, struct cis_error *err)
{
    if (row >= PQntuples(res) || PQgetisnull(res, row, first + 1)) {
        return not_whole(d, "missing", err);
    }
    CIS_TRY(cis_pg_inode_row(res, row, first, d->ino, out, err));
    if (out->gone || (out->mode & S_IFMT) != d->mode) {
        return not_whole(d, out->gone ? "deleted" : "of another type", err);
    }
    return CIS_OK;
}

/* ---- walks ---- */
struct walk {
    struct cis_view at;
    uint64_t dir;
    const struct cis_str *names;
    size_t n;
    cis_fs_step_each *each;
    void *self;
};

static cis_code walk_send(struct pg_conn *conn, const struct walk *w, const struct pg_own *own,
                          enum pg_id id, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array names = PG_ARRAY_INIT;
    struct pg_args args = {0};
    cis_pg_args_view(&args, conn, own->view);
    cis_pg_arg_u64(&args, w->dir);
    if (w->n == 1) {
        cis_pg_arg_str(&args, w->names[0]);
    } else {
        for (size_t i = 0; i < w->n; i++) {
            cis_pg_array_bytes(&names, w->names[i].ptr, w->names[i].len);
        }
        cis_pg_arg_blobs(&args, &names);
    }
    CIS_TRY(cis_pg_send(conn, id, &args, err));
    return cis_pg_sync(conn, err);
}

/* Rows of steps; of a walk the first row is the directory it begins in. */
static cis_code walk_tell(const struct walk *w, const PGresult *res, struct cis_error *err)
{
    uint64_t dir = w->dir;
    int skip = w->n == 1 ? 0 : 1;
    size_t n = (size_t)PQntuples(res) - (size_t)skip;
    bool is_dir = true;
    if (w->n == 1 && PQgetisnull(res, 0, 1)) {
        n = 0;
    }
    for (size_t i = 0; i < n && i < w->n; i++) {
        int at = (int)i + skip;
        struct cis_fs_dirent d = {.parent = dir, .name = w->names[i]};
        struct cis_fs_inode inode;
        CIS_TRY(cis_pg_dirent_row(res, at, 1, 2, 3, &d, err));
        if (d.ino != 0) {
            CIS_TRY(cis_pg_entry_inode(res, at, 4, &d, &inode, err));
        }
        if (!w->each(w->self, i, &d, d.ino != 0 ? &inode : NULL) || d.ino == 0) {
            return CIS_OK;
        }
        is_dir = S_ISDIR(d.mode);
        dir = d.ino;
    }
    if (n < w->n && is_dir) { /* the name after the last row never was */
        struct cis_fs_dirent d = {.parent = dir, .name = w->names[n]};
        (void)w->each(w->self, n, &d, NULL);
    }
    return CIS_OK;
}

static cis_code walk(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    const struct walk *w = arg;
    struct pg_own own;
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_view_enter(conn, w->at, &own, err));
    enum pg_id one = own.forked ? PG_LOOKUP_FORKED : PG_LOOKUP;
    enum pg_id id = w->n == 1 ? one : own.forked ? PG_WALK_FORKED : PG_WALK;
    CIS_TRY(walk_send(conn, w, &own, id, err));
    CIS_TRY(cis_pg_next(conn, id, &res, err));
    CIS_TRY(cis_pg_finish(conn, err));
    CIS_TRY(cis_pg_view_floor(conn, &own, res, 7, err));
    if (PQntuples(res) == 0) { /* removed between the two looks */
        return cis_fail(err, CIS_E_NOTFOUND, "branch %" PRIu64 ": no such branch", own.view.branch);
    }
    conn->told = true;
    return walk_tell(w, res, err);
}

cis_code cis_pg_walk(cis_store *store, struct cis_str tenant, const struct cis_fs_walk_query *query,
                     cis_fs_step_each *each, void *self, const struct cis_stop *stop,
                     struct cis_error *err)
{
    struct walk w = {query->at, query->dir, query->names, query->n, each, self};
    return query->n == 0 ? CIS_OK
                         : cis_pg_read((struct pg_store *)store, tenant, walk, &w, NULL, stop, err);
}

/* ---- inodes ---- */
struct inodes {
    struct cis_view at;
    const uint64_t *inos;
    size_t n, next; /* next: where it goes on after a lost connection */
    cis_fs_inode_each *each;
    void *self;
};

cis_code cis_pg_inodes_ask(struct pg_conn *conn, const struct pg_own *own, const uint64_t *inos,
                           size_t n, PGresult **out, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array array = PG_ARRAY_INIT;
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    struct pg_args args = {0};
    enum pg_id id = own->forked ? PG_INODES_FORKED : PG_INODES;
    for (size_t i = 0; i < n; i++) {
        cis_pg_array_u64(&array, inos[i]);
    }
    cis_pg_args_view(&args, conn, own->view);
    cis_pg_arg_ints(&args, &array);
    CIS_TRY(cis_pg_send(conn, id, &args, err));
    CIS_TRY(cis_pg_view_send(conn, own, err));
    CIS_TRY(cis_pg_next(conn, id, &res, err));
    CIS_TRY(cis_pg_view_valid(conn, own, err));
    *out = cis_take(&res);
    return CIS_OK;
}

static cis_code inodes(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct inodes *q = arg;
    struct pg_own own;
    CIS_TRY(cis_pg_view_enter(conn, q->at, &own, err));
    while (q->next < q->n) {
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        size_t n = q->n - q->next < PG_ROWS_MAX ? q->n - q->next : PG_ROWS_MAX;
        CIS_TRY(cis_pg_inodes_ask(conn, &own, q->inos + q->next, n, &res, err));
        q->at = own.view;
        q->next += n;
        for (int i = 0; i < PQntuples(res); i++) {
            struct cis_fs_inode inode;
            CIS_TRY(cis_pg_inode_row(res, i, 1, cis_pg_u64(res, i, 0), &inode, err));
            if (!inode.gone && !q->each(q->self, &inode)) {
                return CIS_OK;
            }
        }
    }
    return CIS_OK;
}

cis_code cis_pg_inodes(cis_store *store, struct cis_str tenant,
                       const struct cis_fs_inode_query *query, cis_fs_inode_each *each, void *self,
                       const struct cis_stop *stop, struct cis_error *err)
{
    struct inodes q = {query->at, query->inos, query->n, 0, each, self};
    return cis_pg_read((struct pg_store *)store, tenant, inodes, &q, NULL, stop, err);
}

/* ---- extents ---- */
#define WINDOW 65536u /* blocks of one trip */

struct extents {
    struct cis_view at;
    uint64_t ino, first, end; /* first: where it goes on after a lost connection */
    cis_fs_extent_each *each;
    void *self;
};

static cis_code extents_page(struct pg_conn *conn, struct extents *q, const struct pg_own *own,
                             bool *out_more, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    struct pg_args args = {0};
    cis_pg_args_view(&args, conn, own->view);
    cis_pg_arg_u64(&args, q->ino);
    cis_pg_arg_u64(&args, q->first);
    cis_pg_arg_u64(&args, q->end);
    cis_pg_arg_int(&args, WINDOW);
    CIS_TRY(cis_pg_send(conn, PG_EXTENTS, &args, err));
    CIS_TRY(cis_pg_view_send(conn, own, err));
    CIS_TRY(cis_pg_next(conn, PG_EXTENTS, &res, err));
    CIS_TRY(cis_pg_view_valid(conn, own, err));
    int n = PQntuples(res);
    *out_more = n != 0;
    q->at = own->view;
    for (int i = 0; i < n && *out_more; i++) {
        struct cis_fs_extent x = {cis_pg_u64(res, i, 0), cis_pg_u64(res, i, 1),
                                  cis_pg_u64(res, i, 2)};
        q->first = x.block + 1;
        *out_more = q->each(q->self, &x);
    }
    *out_more &= q->first < q->end;
    return CIS_OK;
}

static cis_code extents(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct extents *q = arg;
    struct pg_own own;
    CIS_TRY(cis_pg_view_enter(conn, q->at, &own, err));
    for (bool more = true; more;) {
        CIS_TRY(extents_page(conn, q, &own, &more, err));
    }
    return CIS_OK;
}

cis_code cis_pg_extents(cis_store *store, struct cis_str tenant,
                        const struct cis_fs_extent_query *query, cis_fs_extent_each *each,
                        void *self, const struct cis_stop *stop, struct cis_error *err)
{
    uint64_t most = (uint64_t)INT64_MAX - WINDOW; /* far beyond the last block of any file */
    if (query->first >= most || query->count == 0) {
        return CIS_OK;
    }
    struct extents q = {
        query->at,    query->ino,
        query->first, query->count < most - query->first ? query->first + query->count : most,
        each,         self};
    return cis_pg_read((struct pg_store *)store, tenant, extents, &q, NULL, stop, err);
}
