#include "vfs/union/union.h"

#include "base/mem.h"
#include "vfs/union/internal.h"

static void union_ref(cis_vfs *vfs, cis_node node, uint64_t n)
{
    struct unionfs *u = union_of(vfs);
    if (unode_of(node) != &u->root) {
        cis_mutex_lock(&u->table, union_lock_table);
        unode_of(node)->refs += n;
        cis_mutex_unlock(&u->table, union_lock_table);
    }
}

static void union_forget(cis_vfs *vfs, cis_node node, uint64_t n)
{
    cis_unode_put(union_of(vfs), unode_of(node), n);
}

static int union_getattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                         struct cis_vfs_attr *out)
{
    struct unionfs *u = union_of(vfs);
    cis_rwlock_read(&u->names, union_lock_names);
    int rc = cis_union_attr(u, call, unode_of(node), out);
    cis_rwlock_unlock(&u->names, union_lock_names);
    return rc;
}

/* What no file takes is refused before it is copied. */
static int set_check(const struct unode *node, const struct cis_vfs_set *set)
{
    if ((set->bits & CIS_VFS_SET_SIZE) != 0 && node->type != S_IFREG) {
        return node->type == S_IFDIR ? EISDIR : EINVAL;
    }
    if ((set->bits & CIS_VFS_SET_SIZE) != 0 && set->size > INT64_MAX) {
        return EINVAL;
    }
    return (set->bits & CIS_VFS_SET_MODE) != 0 && node->type == S_IFLNK ? EOPNOTSUPP : 0;
}

static int union_setattr(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node id,
                         const struct cis_vfs_set *set, struct cis_vfs_attr *out)
{
    struct unionfs *u = union_of(vfs);
    struct unode *node = unode_of(id);
    if (vfs->read_only) {
        return EROFS;
    }
    int rc = set_check(node, set);
    if (rc == 0 && (set->bits & CIS_VFS_SET_SIZE) != 0 && set->size == 0) {
        rc = cis_union_copy_file(u, call, node, false);
    }
    if (rc == 0) {
        rc = cis_union_copy_any(u, call, node);
    }
    if (rc == 0) {
        rc = cis_vfs_setattr(u->up, call, node->upper, set, NULL);
    }
    return rc == 0 && out != NULL ? union_getattr(vfs, call, id, out) : rc;
}

static int union_readlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node id,
                          struct cis_buf *out)
{
    struct unionfs *u = union_of(vfs);
    struct unode *node = unode_of(id);
    if (node->type != S_IFLNK) {
        return EINVAL;
    }
    return node->upper != 0 ? cis_vfs_readlink(u->up, call, node->upper, out)
                            : cis_vfs_readlink(u->low, call, node->lower, out);
}

static int union_statfs(cis_vfs *vfs, const struct cis_vfs_call *call, struct cis_vfs_usage *out)
{
    struct unionfs *u = union_of(vfs);
    return cis_vfs_statfs(u->up, call, out);
}

static int union_flush(cis_vfs *vfs, const struct cis_vfs_call *call)
{
    struct unionfs *u = union_of(vfs);
    return cis_vfs_flush(u->up, call);
}

static void union_close(cis_vfs *vfs)
{
    struct unionfs *u = union_of(vfs);
    cis_unode_drop_kept(u);
    cis_unode_free_all(u);
    part_put(u->up, u->home);
    pthread_rwlock_destroy(&u->names);
    pthread_mutex_destroy(&u->copying);
    pthread_mutex_destroy(&u->table);
    cis_free(u->root.lower_path);
    cis_map_done(&u->again, cis_free);
    cis_free(u);
}

bool cis_union_changed(cis_vfs *vfs)
{
    return union_of(vfs)->home != 0;
}

bool cis_union_is_again(cis_vfs *vfs, const char *key)
{
    return cis_map_get(&union_of(vfs)->again, cis_str_of(key)) != NULL;
}

cis_code cis_union_again(cis_vfs *vfs, const char *was, const char *now, struct cis_error *err)
{
    struct unionfs *u = union_of(vfs);
    void *old = NULL;
    char *copy = strlen(was) < UNION_KEY ? cis_strdup(was) : NULL;
    if (copy == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "union: out of memory");
    }
    cis_code code = cis_map_set(&u->again, cis_str_of(now), copy, &old, err);
    cis_free(code == CIS_OK ? old : copy);
    return code;
}

static const struct cis_vfs_ops union_ops = {
    .size = sizeof(struct cis_vfs_ops),
    .name = "union",
    .close = union_close,
    .lookup = cis_union_lookup,
    .ref = union_ref,
    .forget = union_forget,
    .getattr = union_getattr,
    .setattr = union_setattr,
    .readlink = union_readlink,
    .make = cis_union_make,
    .link = cis_union_link,
    .unlink = cis_union_unlink,
    .rmdir = cis_union_rmdir,
    .rename = cis_union_rename,
    .open = cis_union_open_file,
    .create = cis_union_create,
    .release = cis_union_release,
    .read = cis_union_read,
    .write = cis_union_write,
    .sync = cis_union_sync,
    .allocate = cis_union_allocate,
    .seek = cis_union_seek,
    .readdir = cis_union_readdir,
    .statfs = union_statfs,
    .flush = union_flush,
};

static bool any_entry(void *self, const struct cis_vfs_entry *entry,
                      const struct cis_vfs_attr *attr)
{
    (void)attr;
    bool *any = self;
    *any = *any || (!cis_str_is(entry->name, ".") && !cis_str_is(entry->name, "..") &&
                    !is_reserved(entry->name));
    return !*any;
}

/* The upper root is a union's when it carries the mark, and fresh when it is empty. */
static cis_code upper_begin(struct unionfs *u, struct cis_error *err)
{
    struct cis_vfs_call call = {.err = err};
    struct cis_vfs_attr attr;
    cis_node mark = 0;
    bool any = false;
    int rc = cis_vfs_lookup(u->up, &call, u->up->root, CIS_STR(UNION_HOME), &u->home, &attr);
    if (rc == 0 || rc == ENOENT) {
        rc = cis_vfs_lookup(u->up, &call, u->up->root, CIS_STR(UNION_MARK), &mark, &attr);
    }
    if (rc == 0) {
        part_put(u->up, mark);
        u->root.upper = u->up->root;
        return CIS_OK;
    }
    if (rc == ENOENT) {
        rc = cis_union_part_list(u->up, &call, u->up->root, any_entry, &any);
    }
    if (rc != 0) {
        return cis_vfs_fail(err, rc, "union: upper filesystem");
    }
    return any ? cis_fail(err, CIS_E_INVALID,
                          "union: the upper filesystem contains files that no union made; use an "
                          "empty branch")
               : CIS_OK;
}

/* Changes of names do not wait for ever behind those who look. */
static void locks_init(struct unionfs *u)
{
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&u->names, &fair);
    pthread_rwlockattr_destroy(&fair);
    pthread_mutex_init(&u->copying, NULL);
    pthread_mutex_init(&u->table, NULL);
}

cis_code cis_union_open(cis_vfs *lower, cis_vfs *upper, struct cis_budget *budget,
                        cis_vfs **out_vfs, struct cis_error *err)
{
    struct unionfs *u = cis_zalloc(sizeof *u);
    char *path = cis_strdup("/");
    struct cis_vfs_call call = {.err = err};
    struct cis_vfs_attr attr;
    if (u == NULL || path == NULL) {
        cis_free(path);
        cis_free(u);
        return cis_fail(err, CIS_E_NOMEM, "union: out of memory");
    }
    u->vfs = (cis_vfs){
        .ops = &union_ops, .root = (cis_node)(uintptr_t)&u->root, .read_only = upper->read_only};
    u->up = upper;
    u->low = lower;
    u->budget = budget;
    u->root = (struct unode){.refs = 1, .lower = lower->root, .type = S_IFDIR, .lower_path = path};
    locks_init(u);
    int rc = cis_vfs_getattr(lower, &call, lower->root, &attr);
    cis_code code =
        rc == 0 ? upper_begin(u, err) : cis_vfs_fail(err, rc, "union: lower filesystem");
    if (code != CIS_OK) {
        union_close(&u->vfs);
        return code;
    }
    u->root.ino = cis_union_ino(attr.ino, true);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    u->temps = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
    *out_vfs = &u->vfs;
    return CIS_OK;
}
