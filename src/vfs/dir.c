#include "vfs/walk.h"

#include <errno.h>
#include "base/mem.h"
#include "vfs/internal.h"

/* A chain is a list that shares its upper part with other chains: a directory handle costs one link
 * for each name walked, however deep it stands. */

struct cis_dir *cis_dir_push(const struct cis_dir *up, const struct cis_mount *mount, cis_node node,
                             struct cis_str name)
{
    struct cis_dir *dir = cis_zalloc(cis_size_add(sizeof *dir, name.len));
    if (dir == NULL) {
        node_put(mount->vfs, node);
        return NULL;
    }
    atomic_init(&dir->refs, 1);
    dir->depth = up != NULL ? up->depth + 1 : 0;
    dir->up = up != NULL ? cis_dir_ref(up) : NULL;
    dir->mount = mount;
    dir->node = node;
    dir->name_len = (uint16_t)name.len;
    memcpy(dir->name, name.ptr, name.len);
    return dir;
}

/* Not recursive: a chain can be as long as a tree is deep. */
void cis_dir_free(cis_dir *dir)
{
    while (dir != NULL && atomic_fetch_sub_explicit(&dir->refs, 1, memory_order_acq_rel) == 1) {
        struct cis_dir *up = dir->up;
        node_put(dir->mount->vfs, dir->node);
        cis_free(dir->path);
        cis_free(dir);
        dir = up;
    }
}

size_t cis_dir_bytes(const cis_dir *dir, const cis_dir *from)
{
    size_t bytes = dir->path_len;
    for (const struct cis_dir *d = dir; d != NULL && d != from; d = d->up) {
        bytes += sizeof *d + d->name_len;
    }
    return bytes;
}

bool cis_dir_together(const cis_dir *a, const cis_dir *b)
{
    return a->mount->ns == b->mount->ns;
}

struct cis_str cis_dir_path(const cis_dir *dir)
{
    return (struct cis_str){dir->path_len > 0 ? dir->path : "", dir->path_len};
}

static size_t path_length(const struct cis_dir *dir)
{
    size_t len = 0;
    for (const struct cis_dir *d = dir; d->up != NULL; d = d->up) {
        len += d->name_len + 1u;
        if (len > CIS_VFS_PATH_MAX) {
            return 0;
        }
    }
    return len == 0 ? 1 : len;
}

/* Makes it one to give away: with a path. ENOMEM. Replaces *dir when that is shared. */
static int dir_name(struct cis_dir **dir)
{
    struct cis_dir *d = *dir;
    if (d->path != NULL) {
        return 0;
    }
    if (atomic_load_explicit(&d->refs, memory_order_acquire) > 1) {
        /* Part of other chains, where others read it: one of its own. */
        node_ref(d->mount->vfs, d->node);
        struct cis_dir *own =
            cis_dir_push(d->up, d->mount, d->node, (struct cis_str){d->name, d->name_len});
        if (own == NULL) {
            return ENOMEM;
        }
        cis_dir_free(d);
        *dir = d = own;
    }
    size_t len = path_length(d);
    char *path = cis_alloc(cis_size_add(len, 1));
    if (path == NULL) {
        return ENOMEM;
    }
    path[len] = '\0';
    if (len == 1) {
        path[0] = '/';
    }
    size_t at = len;
    for (const struct cis_dir *up = d; len > 1 && up->up != NULL; up = up->up) {
        at -= up->name_len;
        memcpy(path + at, up->name, up->name_len);
        path[--at] = '/';
    }
    d->path = path;
    d->path_len = len;
    return 0;
}

/* The chain of a finished walk: its base, its frames (whose references move into it), and the
 * directory that was found by its name. */
static int chain_of(struct walk *w, struct cis_found *found, struct cis_dir **out_dir)
{
    struct cis_dir *dir = cis_dir_ref(w->base);
    uint32_t taken = 0;
    while (dir != NULL && taken < w->nframes) {
        const struct walk_frame *f = &w->frames[taken++];
        struct cis_dir *next = cis_dir_push(dir, f->mount, f->node, f->name);
        cis_dir_free(dir);
        dir = next;
    }
    for (uint32_t i = taken; i < w->nframes; i++) {
        node_put(w->frames[i].mount->vfs, w->frames[i].node);
    }
    w->nframes = 0;
    if (dir != NULL && (found->dir != 0 || found->is_mount)) {
        cis_node node = found->node;
        found->node = 0;
        struct cis_dir *next =
            cis_dir_push(dir, w->end, node, (struct cis_str){found->name, found->name_len});
        cis_dir_free(dir);
        dir = next;
    }
    int rc = dir == NULL ? ENOMEM : dir_name(&dir);
    if (rc != 0) {
        cis_dir_free(dir);
        return rc;
    }
    *out_dir = dir;
    return 0;
}

int cis_at_dir(const cis_dir *from, const struct cis_vfs_call *call, struct cis_str path,
               unsigned flags, cis_dir **out_dir)
{
    struct walk w;
    struct cis_found found = {0};
    int rc = cis_walk_begin(&w, from, NULL, call, flags);
    if (rc == 0) {
        rc = cis_walk_run(&w, path, &found);
    }
    if (rc == 0) {
        rc = found.node == 0 ? ENOENT : !S_ISDIR(found.attr.mode) ? ENOTDIR : 0;
        if (rc == 0) {
            rc = chain_of(&w, &found, out_dir);
        }
        cis_found_done(&found);
    }
    cis_walk_end(&w);
    return rc;
}

/* ---- where walks begin ---- */

/* The mount that stands apart and that `path` is, or is below: the longest; NULL: none. */
static const struct cis_mount *apart_of(const struct cis_ns *ns, struct cis_str path)
{
    const struct cis_mount *found = NULL;
    for (uint32_t i = 1; i < ns->nmounts; i++) {
        const struct cis_mount *m = ns->mounts[i];
        size_t len = strlen(m->path);
        if (m->apart && path.len >= len && memcmp(path.ptr, m->path, len) == 0 &&
            (path.len == len || path.ptr[len] == '/')) {
            found = m;
        }
    }
    return found;
}

/* Through the namespace's own directories to what is mounted there, whatever covers them. */
static int apart_dir(const struct cis_mount *m, const struct cis_vfs_call *call,
                     struct cis_dir **out_dir)
{
    const struct cis_mount *base = m->ns->mounts[0];
    struct cis_dir *dir = cis_dir_push(NULL, base, base->root, CIS_STR(""));
    struct cis_str rest = cis_str_of(m->path), name;
    struct cis_vfs_attr attr;
    cis_node node = base->root;
    int rc = 0;
    for (bool more = true; more && rc == 0 && dir != NULL;) {
        more = cis_str_split(&rest, '/', &name);
        if (name.len == 0) {
            continue;
        }
        rc = cis_vfs_lookup(base->vfs, call, node, name, &node, &attr);
        if (rc == 0) {
            struct cis_dir *up = dir;
            const struct cis_mount *on = rest.len == 0 ? m : base;
            cis_node into = rest.len == 0 ? m->root : node; /* nodes of base need no reference */
            node_ref(on->vfs, into);
            dir = cis_dir_push(up, on, into, name);
            cis_dir_free(up);
        }
    }
    rc = dir == NULL ? ENOMEM : rc != 0 ? rc : dir_name(&dir);
    if (rc != 0) {
        cis_dir_free(dir);
        return rc;
    }
    *out_dir = dir;
    return 0;
}

int cis_dir_root(cis_ns *ns, const struct cis_vfs_call *call, struct cis_str path,
                 cis_dir **out_dir)
{
    if (path.len == 0 || path.ptr[0] != '/') {
        return path.len == 0 ? ENOENT : EINVAL;
    }
    const struct cis_mount *m = apart_of(ns, path);
    if (m == NULL) {
        return cis_at_dir(ns->root, call, path, CIS_WALK_CHROOT, out_dir);
    }
    struct cis_dir *dir;
    size_t len = strlen(m->path);
    int rc = apart_dir(m, call, &dir);
    if (rc != 0 || path.len == len) {
        *out_dir = rc == 0 ? dir : *out_dir;
        return rc;
    }
    rc = cis_at_dir(dir, call, (struct cis_str){path.ptr + len, path.len - len}, CIS_WALK_CHROOT,
                    out_dir);
    cis_dir_free(dir);
    return rc;
}
