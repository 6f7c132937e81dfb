/* Paths of a tree by the folder that was walked to last, and those above it that were. A union and
 * a view look each name of a path up, so that names far down cost what they lie deep each time. The
 * folder of the host is not gone through in this way: the kernel walks there, from the root each
 * time, for somebody else may move what is on the way. */
#include <errno.h>
#include "base/mem.h"
#include "run/cow_internal.h"

struct place {
    size_t len; /* of its path, which the last one's begins with */
    cis_dir *dir;
};
struct cow_places {
    struct place *at;
    size_t n, cap;
    char path[CIS_VFS_PATH_MAX]; /* of the last one */
};

cis_code cis_cow_places_keep(struct cow_tree *tree, struct cis_error *err)
{
    tree->places = cis_zalloc(sizeof *tree->places);
    return tree->places != NULL ? CIS_OK : cow_no_memory(err);
}

void cis_cow_places_drop(const struct cow_tree *tree)
{
    struct cow_places *p = tree->places;
    while (p != NULL && p->n > 0) {
        cis_dir_free(p->at[--p->n].dir);
    }
}

void cis_cow_places_done(struct cow_tree *tree)
{
    cis_cow_places_drop(tree);
    if (tree->places != NULL) {
        cis_free(tree->places->at);
    }
    cis_free(cis_take(&tree->places));
}

/* Takes over dir. */
static int push(struct cow_places *p, const char *path, size_t len, cis_dir *dir)
{
    if (p->n == p->cap) {
        size_t cap = cis_cap_next(p->cap, 16, CIS_MEM_MAX);
        struct place *more = cis_realloc_array(p->at, cap, sizeof *more);
        if (more == NULL) {
            cis_dir_free(dir);
            return ENOMEM;
        }
        p->at = more;
        p->cap = cap;
    }
    memcpy(p->path, path, len);
    p->at[p->n++] = (struct place){len, dir};
    return 0;
}

/* The last one that the path leads through; those behind it go. */
static const struct place *shared(struct cow_places *p, const char *path, size_t len)
{
    while (p->n > 0) {
        const struct place *last = &p->at[p->n - 1];
        if (last->len <= len && path[last->len] == '/' && memcmp(p->path, path, last->len) == 0) {
            return last;
        }
        cis_dir_free(p->at[--p->n].dir);
    }
    return NULL;
}

int cis_cow_at(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
               const cis_dir **out_dir, struct cis_str *out_name)
{
    struct cow_places *p = tree->places;
    const char *slash = p != NULL ? strrchr(path, '/') : NULL;
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;
    *out_dir = tree->root;
    *out_name = cis_str_of(path);
    if (len == 0 || len >= sizeof p->path) {
        return 0;
    }
    const struct place *last = shared(p, path, len);
    if (last == NULL || last->len < len) {
        size_t from = last != NULL ? last->len + 1 : 0;
        cis_dir *dir = NULL;
        int rc = cis_at_dir(last != NULL ? last->dir : tree->root, call,
                            (struct cis_str){path + from, len - from}, COW_WALK, &dir);
        if (rc == EMFILE || rc == ENFILE) { /* as it goes without them */
            cis_cow_places_drop(tree);
            return 0;
        }
        rc = rc == 0 ? push(p, path, len, dir) : rc;
        if (rc != 0) {
            return rc;
        }
        last = &p->at[p->n - 1];
    }
    *out_dir = last->dir;
    *out_name = cis_str_of(slash + 1);
    return 0;
}

int cis_cow_stat(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                 struct cis_vfs_attr *out)
{
    const cis_dir *dir;
    struct cis_str name;
    int rc = cis_cow_at(tree, call, path, &dir, &name);
    return rc == 0 ? cis_at_stat(dir, call, name, COW_WALK, out) : rc;
}

int cis_cow_tree_file(const struct cow_tree *tree, const struct cis_vfs_call *call,
                      const char *path, int flags, cis_vfs_file **out_file,
                      struct cis_vfs_attr *out_attr)
{
    const cis_dir *dir;
    struct cis_str name;
    int rc = cis_cow_at(tree, call, path, &dir, &name);
    return rc == 0 ? cis_at_open(dir, call, name, &(struct cis_open_how){COW_WALK, flags, 0600},
                                 out_file, out_attr)
                   : rc;
}

int cis_cow_readlink(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                     struct cis_buf *out)
{
    const cis_dir *dir;
    struct cis_str name;
    int rc = cis_cow_at(tree, call, path, &dir, &name);
    return rc == 0 ? cis_at_readlink(dir, call, name, COW_WALK, out) : rc;
}

int cis_cow_make(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                 const struct cis_vfs_make *make)
{
    const cis_dir *dir;
    struct cis_str name;
    int rc = cis_cow_at(tree, call, path, &dir, &name);
    return rc == 0 ? cis_at_make(dir, call, name, COW_WALK, make) : rc;
}

int cis_cow_unlink(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path)
{
    const cis_dir *dir;
    struct cis_str name;
    int rc = cis_cow_at(tree, call, path, &dir, &name);
    return rc == 0 ? cis_at_unlink(dir, call, name, COW_WALK) : rc;
}
