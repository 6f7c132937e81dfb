/* Walks and inodes at a view. Every row is checked before anybody acts on it: what no writer makes
 * is CIS_E_DAMAGED with the row named. */
#include <inttypes.h>
#include <sys/stat.h>
#include "store/row.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/read.h"

cis_code cis_sql_inode_row(struct sql_conn *conn, sqlite3_stmt *st, int first, uint64_t ino,
                           struct cis_fs_inode *out, struct cis_error *err)
{
    struct cis_fs_inode in = {.ino = ino,
                              .epoch = (uint64_t)sqlite3_column_int64(st, first),
                              .data = cis_sql_bytes(st, first + 2)};
    cis_code code = cis_inode_unpack(cis_sql_bytes(st, first + 1), &in, err);
    size_t want = in.is_inline || (in.mode & S_IFMT) == S_IFLNK ? (size_t)in.size : 0;
    if (code == CIS_OK && !in.gone && in.data.len != want) {
        code =
            cis_fail(err, CIS_E_DAMAGED, "inode: %zu bytes of content, not %zu", in.data.len, want);
    }
    if (code != CIS_OK) {
        return cis_error_prefix(err, code, "%s: inode %" PRIu64 " at epoch %" PRIu64, conn->path,
                                ino, in.epoch);
    }
    *out = in;
    return CIS_OK;
}

/* One inode at the reader's view, tombstones included; *out_found false: no row. inode->data is
 * valid until the next call. */
static cis_code inode_at(struct sql_reader *r, uint64_t ino, struct cis_fs_inode *out,
                         bool *out_found, struct cis_error *err)
{
    struct sql_conn *conn = r->conn;
    struct cis_view at;
    bool forked;
    sqlite3_stmt *st;
    CIS_TRY(cis_sql_chain_view(r, ino, &at, &forked, err));
    CIS_TRY(cis_sql_get(conn, forked ? SQL_INODE_AT_FORKED : SQL_INODE_AT, &st, err));
    sqlite3_reset(st); /* the last row was the caller's until now */
    cis_sql_bind_view(st, at);
    sqlite3_bind_int64(st, 3, cis_sql_i64(ino));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading an inode", &row, err));
    if (row) {
        CIS_TRY(cis_sql_inode_row(conn, st, 0, ino, out, err));
    } else {
        sqlite3_reset(st);
    }
    *out_found = row;
    return CIS_OK;
}

void cis_sql_inode_release(const struct sql_reader *r)
{
    sqlite3_reset(r->conn->stmts[SQL_INODE_AT]); /* NULL is allowed */
    sqlite3_reset(r->conn->stmts[SQL_INODE_AT_FORKED]);
}

/* One name in a directory. out->ino 0: not there. */
static cis_code dirent_at(struct sql_reader *r, uint64_t dir, struct cis_str name,
                          struct cis_fs_dirent *out, struct cis_error *err)
{
    struct sql_conn *conn = r->conn;
    *out = (struct cis_fs_dirent){.parent = dir, .name = name};
    if (name.len == 0 || name.len > CIS_FS_NAME_MAX) {
        return CIS_OK;
    }
    struct cis_view at;
    bool forked;
    CIS_TRY(cis_sql_chain_view(r, dir, &at, &forked, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, forked ? SQL_DIRENT_AT_FORKED : SQL_DIRENT_AT, &st, err));
    cis_sql_bind_view(st, at);
    sqlite3_bind_int64(st, 3, cis_sql_i64(dir));
    cis_sql_bind_str(st, 4, name);
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "looking up a name", &row, err));
    if (row) {
        int64_t ino = sqlite3_column_int64(st, 0), mode = sqlite3_column_int64(st, 1);
        if (ino < 0 || (mode & ~(int64_t)S_IFMT) != 0) {
            return cis_fail(err, CIS_E_DAMAGED,
                            "%s: entry \"" CIS_STR_FMT "\" of directory %" PRIu64
                            ": impossible values",
                            conn->path, CIS_STR_ARG(name), dir);
        }
        out->ino = (uint64_t)ino;
        out->mode = (uint32_t)mode;
        out->epoch = (uint64_t)sqlite3_column_int64(st, 2);
    }
    return CIS_OK;
}

cis_code cis_sql_entry_inode(struct sql_reader *r, const struct cis_fs_dirent *dirent,
                             struct cis_fs_inode *out, struct cis_error *err)
{
    bool found;
    CIS_TRY(inode_at(r, dirent->ino, out, &found, err));
    if (!found || out->gone || (out->mode & S_IFMT) != dirent->mode) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "%s: entry \"" CIS_STR_FMT "\" of directory %" PRIu64 ": inode %" PRIu64
                        " is %s",
                        r->conn->path, CIS_STR_ARG(dirent->name), dirent->parent, dirent->ino,
                        !found      ? "missing"
                        : out->gone ? "deleted"
                                    : "of another type");
    }
    return CIS_OK;
}

static cis_code walk(struct sql_reader *r, uint64_t dir, const struct cis_str *names, size_t n,
                     cis_fs_step_each *each, void *self, struct cis_error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct cis_fs_dirent dirent;
        CIS_TRY(dirent_at(r, dir, names[i], &dirent, err));
        if (dirent.ino == 0) {
            (void)each(self, i, &dirent, NULL);
            return CIS_OK;
        }
        struct cis_fs_inode inode;
        CIS_TRY(cis_sql_entry_inode(r, &dirent, &inode, err));
        if (!each(self, i, &dirent, &inode) || (inode.mode & S_IFMT) != S_IFDIR) {
            return CIS_OK;
        }
        dir = dirent.ino;
    }
    return CIS_OK;
}

cis_code cis_sql_walk(cis_store *store, struct cis_str tenant,
                      const struct cis_fs_walk_query *query, cis_fs_step_each *each, void *self,
                      const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
    CIS_TRY(cis_sql_reader_take((struct sql_store *)store, tenant, query->at, stop, &r, err));
    cis_code code = walk(&r, query->dir, query->names, query->n, each, self, err);
    cis_sql_inode_release(&r);
    return code;
}

static cis_code inodes(struct sql_reader *r, const uint64_t *inos, size_t n,
                       cis_fs_inode_each *each, void *self, struct cis_error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct cis_fs_inode inode;
        bool found;
        CIS_TRY(inode_at(r, inos[i], &inode, &found, err));
        if (found && !inode.gone && !each(self, &inode)) {
            return CIS_OK;
        }
    }
    return CIS_OK;
}

cis_code cis_sql_inodes(cis_store *store, struct cis_str tenant,
                        const struct cis_fs_inode_query *query, cis_fs_inode_each *each, void *self,
                        const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
    CIS_TRY(cis_sql_reader_take((struct sql_store *)store, tenant, query->at, stop, &r, err));
    cis_code code = inodes(&r, query->inos, query->n, each, self, err);
    cis_sql_inode_release(&r);
    return code;
}
