/* Directories at a view: live entries in byte order, with their attributes when asked for. */
#include <inttypes.h>
#include <sys/stat.h>
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/read.h"

struct list {
    struct sql_reader *reader;
    uint64_t dir;
    uint32_t left;
    bool attributes;
    cis_fs_dirent_each *each;
    void *self;
};

static cis_code entry(void *self, const struct sql_version *v, bool *out_more,
                      struct cis_error *err)
{
    struct list *l = self;
    *out_more = true;
    if (v->value == 0) { /* a whiteout */
        return CIS_OK;
    }
    struct cis_fs_dirent d = {.parent = l->dir,
                              .ino = (uint64_t)v->value,
                              .epoch = v->epoch,
                              .mode = (uint32_t)v->mode,
                              .name = {(const char *)v->key, v->nkey}};
    if (v->value < 0 || (v->mode & ~(int64_t)S_IFMT) != 0) {
        return cis_fail(err, CIS_E_DAMAGED,
                        "%s: entry \"" CIS_STR_FMT "\" of directory %" PRIu64 ": impossible values",
                        l->reader->conn->path, CIS_STR_ARG(d.name), l->dir);
    }
    struct cis_fs_inode inode;
    if (l->attributes) {
        CIS_TRY(cis_sql_entry_inode(l->reader, &d, &inode, err));
    }
    l->left--;
    *out_more = l->each(l->self, &d, l->attributes ? &inode : NULL) && l->left != 0;
    return CIS_OK;
}

cis_code cis_sql_list(cis_store *store, struct cis_str tenant,
                      const struct cis_fs_list_query *query, cis_fs_dirent_each *each, void *self,
                      const struct cis_stop *stop, struct cis_error *err)
{
    if (query->max == 0) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_sql_reader_give) struct sql_reader r = {.conn = NULL};
    CIS_TRY(cis_sql_reader_take((struct sql_store *)store, tenant, query->at, stop, &r, err));
    struct list l = {&r, query->dir, query->max, query->attributes, each, self};
    struct sql_range range = {
        .table = SQL_VERSIONS_DIRENT, .id = query->dir, .after = query->after};
    cis_code code = cis_sql_versions(&r, &range, entry, &l, err);
    cis_sql_inode_release(&r);
    return code;
}
