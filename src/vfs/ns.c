#include "vfs/walk.h"

#include <errno.h>
#include "base/mem.h"
#include "vfs/internal.h"

/* Mounts are kept in order of their paths' length and joined anew whenever one is added, so that
 * the order in which they are given does not matter: "/" may come last.
 *
 * A mount stands in the mount whose path is the longest above its own. One that may stand apart and
 * finds no folder there is put into the namespace's own directories instead, at the same path.
 * Those directories lie below what covers them, so no walk from the root meets it; cis_dir_root
 * starts there. It is a mount of this namespace like any other. */

static int root_renew(struct cis_ns *ns);

cis_code cis_ns_new(cis_ns **out_ns, struct cis_error *err)
{
    struct cis_ns *ns = cis_zalloc(sizeof *ns);
    struct cis_mount *m = cis_zalloc(sizeof *m);
    char *path = cis_strdup("");
    if (ns == NULL || m == NULL || path == NULL || cis_rootfs_new(&ns->base) != 0) {
        cis_free(path);
        cis_free(m);
        cis_free(ns);
        return cis_fail(err, CIS_E_NOMEM, "namespace");
    }
    *m = (struct cis_mount){.ns = ns,
                            .dev = 1,
                            .vfs = ns->base,
                            .root = ns->base->root,
                            .read_only = true,
                            .path = path};
    ns->mounts[0] = m;
    ns->nmounts = 1;
    if (root_renew(ns) != 0) {
        cis_ns_free(ns);
        return cis_fail(err, CIS_E_NOMEM, "namespace");
    }
    *out_ns = ns;
    return CIS_OK;
}

static void mounts_part(struct cis_ns *ns)
{
    for (uint32_t i = 0; i < ns->nmounts; i++) {
        struct cis_mount *m = ns->mounts[i];
        if (m->covered != 0) {
            node_put(m->parent->vfs, m->covered);
        }
        m->covered = 0;
        m->apart = false;
        m->parent = m->children = m->sibling = NULL;
    }
}

static void mount_free(struct cis_mount *m)
{
    node_put(m->vfs, m->root);
    cis_free(m->path);
    cis_free(m);
}

void cis_ns_free(cis_ns *ns)
{
    if (ns == NULL) {
        return;
    }
    cis_dir_free(ns->root);
    mounts_part(ns);
    for (uint32_t i = ns->nmounts; i > 0;) {
        i--;
        mount_free(ns->mounts[i]);
    }
    cis_vfs_close(ns->base);
    cis_free(ns);
}

/* The canonical form of an absolute path without ".", "..": "/a/b", "" for the root. */
static cis_code path_canonical(struct cis_str path, char **out, struct cis_error *err)
{
    if (path.len == 0 || path.ptr[0] != '/' || path.len >= CIS_VFS_PATH_MAX) {
        return cis_fail(err, CIS_E_INVALID, "mount point " CIS_STR_FMT ": not an absolute path",
                        CIS_STR_ARG(path));
    }
    char *text = cis_alloc(cis_size_add(path.len, 1));
    if (text == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "mount point");
    }
    size_t n = 0;
    struct cis_str rest = path, name;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '/', &name);
        if (name.len == 0) {
            continue;
        }
        if (!cis_vfs_name_valid(name)) {
            cis_free(text);
            return cis_fail(err, CIS_E_INVALID,
                            "mount point " CIS_STR_FMT
                            ": its path must not contain \".\", \"..\" or invalid names",
                            CIS_STR_ARG(path));
        }
        text[n++] = '/';
        memcpy(text + n, name.ptr, name.len);
        n += name.len;
    }
    text[n] = '\0';
    *out = text;
    return CIS_OK;
}

/* One step down from *node of m: the name below it, made where the namespace owns the directory.
 * Takes over and gives a reference; after an error there is none. */
static int step_down(struct cis_ns *ns, const struct cis_mount *m, cis_node *node,
                     struct cis_str name)
{
    struct cis_vfs_call call = {0};
    struct cis_vfs_attr attr;
    cis_vfs *vfs = m->vfs;
    cis_node next = 0;
    int rc = cis_vfs_lookup(vfs, &call, *node, name, &next, &attr);
    if (rc == ENOENT && m == ns->mounts[0]) {
        rc = cis_rootfs_mkdir(vfs, *node, name, &next);
        attr.mode = S_IFDIR;
    }
    if (rc == 0 && !S_ISDIR(attr.mode)) {
        node_put(vfs, next);
        rc = ENOTDIR;
    }
    node_put(vfs, *node);
    *node = rc == 0 ? next : 0;
    return rc;
}

/* The directory that `path` names below the root of m, referenced. */
static int folder_of(struct cis_ns *ns, const struct cis_mount *m, const char *path,
                     cis_node *out_node)
{
    struct cis_str rest = cis_str_of(path), name;
    cis_node node = m->root;
    int rc = 0;
    node_ref(m->vfs, node);
    for (bool more = rest.len > 0; more && rc == 0;) {
        more = cis_str_split(&rest, '/', &name);
        rc = name.len > 0 ? step_down(ns, m, &node, name) : 0;
    }
    if (rc == 0) {
        *out_node = node;
    }
    return rc;
}

static bool lies_below(const char *path, const char *above)
{
    size_t len = strlen(above);
    return strncmp(path, above, len) == 0 && path[len] == '/';
}

/* What the i-th mount stands in. */
static struct cis_mount *above(const struct cis_ns *ns, uint32_t i)
{
    struct cis_mount *m = ns->mounts[0];
    for (uint32_t k = 1; k < i; k++) {
        if (lies_below(ns->mounts[i]->path, ns->mounts[k]->path)) {
            m = ns->mounts[k]; /* in order of length: the last one is the longest */
        }
    }
    return m;
}

/* Is it that there is no such folder, or that nobody can say? */
static bool no_folder(int rc)
{
    return rc == ENOENT || rc == ENOTDIR || rc == EACCES;
}

static int mount_join(struct cis_ns *ns, uint32_t i)
{
    struct cis_mount *mount = ns->mounts[i], *m = above(ns, i);
    cis_node node = 0;
    int rc = folder_of(ns, m, mount->path + strlen(m->path), &node);
    if (no_folder(rc) && mount->may_part) {
        m = ns->mounts[0];
        mount->apart = true;
        rc = folder_of(ns, m, mount->path, &node);
    }
    if (rc != 0) {
        return rc;
    }
    mount->parent = m;
    mount->covered = node; /* with the reference */
    mount->sibling = m->children;
    m->children = mount;
    return 0;
}

/* Walks from the namespace's root begin on what covers "/". */
static int root_renew(struct cis_ns *ns)
{
    struct cis_mount *m = ns->mounts[0];
    struct cis_mount *top = mount_on(m, m->root);
    m = top != NULL ? top : m;
    node_ref(m->vfs, m->root);
    struct cis_dir *root = cis_dir_push(NULL, m, m->root, CIS_STR(""));
    if (root == NULL) {
        return ENOMEM;
    }
    cis_dir_free(ns->root);
    ns->root = root;
    return 0;
}

/* Short paths first: a parent is joined before what stands in it. */
static int mounts_join(struct cis_ns *ns, uint32_t *out_failed)
{
    mounts_part(ns);
    for (uint32_t i = 1; i < ns->nmounts; i++) {
        int rc = mount_join(ns, i);
        if (rc != 0) {
            *out_failed = i;
            return rc;
        }
    }
    *out_failed = 0;
    return root_renew(ns);
}

static uint32_t dev_of(const struct cis_ns *ns, const cis_vfs *vfs)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < ns->nmounts; i++) {
        if (ns->mounts[i]->vfs == vfs) {
            return ns->mounts[i]->dev;
        }
        most = ns->mounts[i]->dev > most ? ns->mounts[i]->dev : most;
    }
    return most + 1;
}

static cis_code root_check(cis_vfs *vfs, cis_node root, const char *path, struct cis_error *err)
{
    struct cis_vfs_call call = {.err = err};
    struct cis_vfs_attr attr;
    int rc = cis_vfs_getattr(vfs, &call, root, &attr);
    if (rc == 0 && !S_ISDIR(attr.mode)) {
        rc = ENOTDIR;
    }
    return rc == 0 ? CIS_OK : cis_vfs_fail(err, rc, "mount at %s/", path);
}

/* Where a mount at this path comes in the list; 0: one is there. */
static uint32_t index_for(const struct cis_ns *ns, const char *path)
{
    uint32_t at = 1;
    size_t len = strlen(path);
    while (at < ns->nmounts && strlen(ns->mounts[at]->path) <= len) {
        if (strcmp(ns->mounts[at]->path, path) == 0) {
            return 0;
        }
        at++;
    }
    return at;
}

static cis_code join_failed(const struct cis_ns *ns, uint32_t failed, int rc, struct cis_error *err)
{
    const char *path = ns->mounts[failed]->path;
    return rc == ENOENT || rc == ENOTDIR
               ? cis_fail(err, CIS_E_INVALID,
                          "mount point %s/: what is mounted above it has no such directory", path)
               : cis_vfs_fail(err, rc, "mount point %s/", path);
}

/* Takes over m; frees it on failure. */
static cis_code mount_add(struct cis_ns *ns, struct cis_mount *m, uint32_t at,
                          struct cis_error *err)
{
    memmove(&ns->mounts[at + 1], &ns->mounts[at], (ns->nmounts - at) * sizeof *ns->mounts);
    ns->mounts[at] = m;
    ns->nmounts++;
    uint32_t failed = 0;
    int rc = mounts_join(ns, &failed);
    if (rc == 0) {
        return CIS_OK;
    }
    cis_code code = join_failed(ns, failed, rc, err);
    mounts_part(ns);
    memmove(&ns->mounts[at], &ns->mounts[at + 1], (ns->nmounts - at - 1) * sizeof *ns->mounts);
    ns->nmounts--;
    mount_free(m);
    (void)mounts_join(ns, &failed); /* as it was, which worked */
    return code;
}

static cis_code mount_new(struct cis_ns *ns, struct cis_str path, cis_vfs *vfs, cis_node root,
                          const struct cis_mount *how, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *canonical = NULL;
    CIS_TRY(path_canonical(path, &canonical, err));
    root = root != 0 ? root : vfs->root;
    CIS_TRY(root_check(vfs, root, canonical, err));
    uint32_t at = index_for(ns, canonical);
    if (at == 0) {
        return cis_fail(err, CIS_E_EXISTS, "mount point %s/: something is mounted there already",
                        canonical);
    }
    if (ns->nmounts > CIS_NS_MOUNTS_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "mount point %s/: more than %u mounts", canonical,
                        CIS_NS_MOUNTS_MAX);
    }
    struct cis_mount *m = cis_zalloc(sizeof *m);
    if (m == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "mount");
    }
    node_ref(vfs, root);
    *m = (struct cis_mount){.ns = ns,
                            .dev = dev_of(ns, vfs),
                            .vfs = vfs,
                            .root = root,
                            .read_only = how->read_only,
                            .may_part = how->may_part,
                            .path = cis_take(&canonical)};
    return mount_add(ns, m, at, err);
}

cis_code cis_ns_mount(cis_ns *ns, struct cis_str path, cis_vfs *vfs, cis_node root, bool read_only,
                      struct cis_error *err)
{
    const struct cis_mount how = {.read_only = read_only};
    return mount_new(ns, path, vfs, root, &how, err);
}

cis_code cis_ns_mount_anyway(cis_ns *ns, struct cis_str path, cis_vfs *vfs, bool read_only,
                             struct cis_error *err)
{
    const struct cis_mount how = {.read_only = read_only, .may_part = true};
    return mount_new(ns, path, vfs, 0, &how, err);
}
