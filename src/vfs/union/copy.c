#include "vfs/union/internal.h"

#include <stdio.h>
#include <unistd.h>
#include "base/mem.h"
#include "vfs/sparse.h"

#define COPY_BYTES 65536u
#define TIMES (CIS_VFS_SET_ATIME | CIS_VFS_SET_MTIME)

static int times_put(struct unionfs *u, const struct cis_vfs_call *call, cis_node node,
                     const struct cis_vfs_attr *attr)
{
    struct cis_vfs_set set = {.bits = TIMES, .atime = attr->atime, .mtime = attr->mtime};
    return cis_vfs_setattr(u->up, call, node, &set, NULL);
}

/* The copy looks as its original does. Owners only where they differ: not everybody may give files
 * away, and an upper filesystem that has no owners of its own gives none. */
static int attr_put(struct unionfs *u, const struct cis_vfs_call *call, cis_node node,
                    const struct cis_vfs_attr *attr)
{
    struct cis_vfs_attr now;
    int rc = cis_vfs_getattr(u->up, call, node, &now);
    struct cis_vfs_set set = {.uid = attr->uid, .gid = attr->gid, .mode = attr->mode & 07777};
    if (rc == 0 && (now.uid != attr->uid || now.gid != attr->gid)) {
        set.bits = CIS_VFS_SET_UID | CIS_VFS_SET_GID;
        rc = cis_vfs_setattr(u->up, call, node, &set, NULL);
        rc = rc == EPERM ? 0 : rc;
    }
    if (rc == 0 && !S_ISLNK(attr->mode)) {
        set.bits = CIS_VFS_SET_MODE;
        rc = cis_vfs_setattr(u->up, call, node, &set, NULL);
    }
    return rc == 0 ? times_put(u, call, node, attr) : rc;
}

static struct cis_vfs_call as_owner(const struct cis_vfs_call *call,
                                    const struct cis_vfs_attr *attr)
{
    struct cis_vfs_call own = *call;
    own.uid = attr->uid;
    own.gid = attr->gid;
    return own;
}

/* ---- folders ---- */

static int home_make(struct unionfs *u, const struct cis_vfs_call *call)
{
    struct cis_vfs_make make = {.mode = S_IFDIR | 0700};
    struct cis_vfs_attr attr;
    int rc = cis_vfs_make(u->up, call, u->up->root, CIS_STR(UNION_HOME), &make, &u->home, &attr);
    return rc == EEXIST
               ? cis_vfs_lookup(u->up, call, u->up->root, CIS_STR(UNION_HOME), &u->home, &attr)
               : rc;
}

/* The root's copy is the upper root itself. */
static int copy_root(struct unionfs *u, const struct cis_vfs_call *call)
{
    struct cis_vfs_attr attr;
    int rc = cis_vfs_getattr(u->low, call, u->low->root, &attr);
    if (rc == 0) {
        rc = home_make(u, call);
    }
    if (rc == 0) {
        rc = cis_union_mark_put(u, call, u->up->root, CIS_STR(UNION_MARK), "/", &attr);
    }
    if (rc == 0) {
        rc = attr_put(u, call, u->up->root, &attr);
    }
    if (rc == 0) {
        cis_unode_copied(u, &u->root, u->up->root);
    }
    return rc;
}

int cis_union_home_get(struct unionfs *u, const struct cis_vfs_call *call)
{
    int rc = u->root.upper == 0 ? copy_root(u, call) : 0;
    return rc != 0 || u->home != 0 ? rc : home_make(u, call);
}

struct cis_str cis_union_home_temp(struct unionfs *u, char out[32])
{
    int n = snprintf(out, 32, "w%llu", (unsigned long long)atomic_fetch_add(&u->temps, 1));
    return (struct cis_str){out, (size_t)n};
}

/* With its mark and attributes, under a name of the home folder: a folder without the mark would
 * hide what it has below. */
static int temp_folder(struct unionfs *u, const struct cis_vfs_call *call, const struct unode *dir,
                       const struct cis_vfs_attr *attr, struct cis_str temp, cis_node *out_node)
{
    struct cis_vfs_call owner = as_owner(call, attr);
    struct cis_vfs_make make = {.mode = S_IFDIR | 0700};
    struct cis_vfs_attr made;
    cis_node node = 0;
    int rc = cis_vfs_make(u->up, &owner, u->home, temp, &make, &node, &made);
    if (rc != 0) {
        return rc;
    }
    rc = cis_union_mark_put(u, &owner, node, CIS_STR(UNION_MARK), dir->lower_path, attr);
    if (rc == 0) {
        rc = attr_put(u, &owner, node, attr);
    }
    *out_node = node;
    return rc;
}

/* Its parent has an upper part. */
static int copy_one_folder(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir)
{
    char text[32];
    struct cis_str temp = cis_union_home_temp(u, text);
    struct cis_vfs_attr attr, above;
    cis_node parent = dir->parent->upper, node = 0;
    int rc = cis_vfs_getattr(u->low, call, dir->lower, &attr);
    if (rc == 0) {
        rc = cis_vfs_getattr(u->up, call, parent, &above);
    }
    if (rc == 0) {
        rc = temp_folder(u, call, dir, &attr, temp, &node);
    }
    if (rc == 0) {
        rc = cis_vfs_rename(call, cis_vfs_at(u->up, u->home), temp, cis_vfs_at(u->up, parent),
                            cis_str_of(dir->name), 0);
    }
    if (rc != 0) {
        if (node != 0) {
            (void)u->up->ops->unlink(u->up, call, node, CIS_STR(UNION_MARK));
            part_put(u->up, node);
        }
        (void)u->up->ops->rmdir(u->up, call, u->home, temp);
        return rc;
    }
    cis_mutex_lock(&u->table, union_lock_table);
    dir->parent->overlap_known = false;
    dir->overlap_known = false;
    cis_mutex_unlock(&u->table, union_lock_table);
    cis_unode_copied(u, dir, node);
    return times_put(u, call, parent, &above);
}

int cis_union_copy_folder(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir)
{
    int rc = cis_union_home_get(u, call);
    while (rc == 0 && dir->upper == 0) {
        if (dir->gone) {
            return ENOENT;
        }
        struct unode *top = dir;
        while (top->parent->upper == 0) {
            top = top->parent;
        }
        rc = copy_one_folder(u, call, top);
    }
    return rc;
}

/* ---- files ---- */

static int copy_part(const struct cis_vfs_call *call, cis_vfs_file *from, cis_vfs_file *to,
                     uint8_t *bytes, uint64_t start, uint64_t end, struct cis_digest *digest)
{
    for (uint64_t at = start; at < end;) {
        struct iovec iov = {bytes, end - at < COPY_BYTES ? end - at : COPY_BYTES};
        size_t n = 0;
        int rc = cis_vfs_read(from, call, &iov, 1, at, &n);
        if (rc != 0 || n == 0) {
            return rc; /* it became shorter meanwhile */
        }
        cis_digest_add(digest, at, bytes, n);
        rc = cis_sparse_write(to, call, bytes, n, at);
        if (rc != 0) {
            return rc;
        }
        at += n;
    }
    return 0;
}

/* Holes stay holes. */
static int copy_data(struct unionfs *u, const struct cis_vfs_call *call, cis_node from_node,
                     cis_vfs_file *to, uint64_t size, uint8_t out_digest[CIS_DIGEST_BYTES])
{
    struct cis_digest digest;
    cis_vfs_file *from = NULL;
    cis_digest_init(&digest);
    int rc = cis_vfs_open(u->low, call, from_node, O_RDONLY, &from);
    bool charged = rc == 0 && (rc = cis_union_charge(u, COPY_BYTES)) == 0;
    uint8_t *bytes = charged ? cis_alloc(COPY_BYTES) : NULL;
    if (rc == 0 && bytes == NULL) {
        rc = ENOMEM;
    }
    for (uint64_t at = 0; rc == 0 && at < size;) {
        uint64_t start = at, end = size;
        rc = cis_digest_next(from, call, at, size, &start, &end);
        if (rc == 0) {
            rc = copy_part(call, from, to, bytes, start, end, &digest);
        }
        at = end;
    }
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = size};
    if (rc == 0) {
        cis_digest_final(&digest, size, out_digest);
        rc = cis_vfs_setattr(u->up, call, to->node, &set, NULL);
    }
    cis_free(bytes);
    if (charged) {
        cis_union_uncharge(u, COPY_BYTES);
    }
    if (from != NULL) {
        cis_vfs_release(from);
    }
    return rc;
}

/* A finished copy under a name of the home folder. */
static int copy_temp(struct unionfs *u, const struct cis_vfs_call *call, struct unode *node,
                     const struct cis_vfs_attr *attr, bool data, struct cis_str temp,
                     cis_node *out_node, uint8_t out_digest[CIS_DIGEST_BYTES])
{
    struct cis_vfs_call owner = as_owner(call, attr);
    struct cis_vfs_attr made;
    cis_node copy = 0;
    int rc;
    if (S_ISREG(attr->mode)) {
        cis_vfs_file *to = NULL;
        rc = cis_vfs_create(u->up, &owner,
                            &(struct cis_vfs_create_request){u->home, temp, 0600, O_RDWR}, &to,
                            &copy, &made);
        if (rc == 0) {
            rc = data ? copy_data(u, call, node->lower, to, attr->size, out_digest)
                      : cis_union_seen_digest(u->low, call, node->lower, attr, out_digest);
            cis_vfs_release(to);
        }
    } else {
        CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
        struct cis_vfs_make make = {.mode = attr->mode, .rdev = attr->rdev};
        rc = S_ISLNK(attr->mode) ? cis_vfs_readlink(u->low, call, node->lower, &target) : 0;
        make.target = cis_buf_view(&target);
        cis_sha256(cis_buf_bytes(&target), out_digest);
        if (rc == 0) {
            rc = cis_vfs_make(u->up, &owner, u->home, temp, &make, &copy, &made);
        }
    }
    if (rc == 0) {
        rc = attr_put(u, &owner, copy, attr);
    }
    if (rc != 0 && copy != 0) {
        (void)u->up->ops->unlink(u->up, call, u->home, temp);
        part_put(u->up, copy);
    }
    *out_node = copy;
    return rc;
}

/* names held for writing: the copy goes to its place. */
static int copy_place(struct unionfs *u, const struct cis_vfs_call *call, struct unode *node,
                      const struct cis_vfs_attr *attr, struct cis_str temp, cis_node copy,
                      const uint8_t digest[CIS_DIGEST_BYTES])
{
    if (node->gone) {
        return cis_vfs_unlink(u->up, call, u->home, temp);
    }
    int seen = cis_union_seen_copy(u, call, node, attr, digest);
    if (seen != 0) {
        return seen;
    }
    if (node->key[0] != '\0') {
        struct cis_vfs_attr made;
        int rc = cis_vfs_getattr(u->up, call, copy, &made);
        return rc == 0 ? cis_union_index_add(u, call, temp, node->key, attr->nlink, made.ino) : rc;
    }
    struct cis_vfs_attr above;
    int rc = cis_union_copy_folder(u, call, node->parent);
    if (rc == 0) {
        rc = cis_vfs_getattr(u->up, call, node->parent->upper, &above);
    }
    if (rc == 0) {
        rc = cis_vfs_rename(call, cis_vfs_at(u->up, u->home), temp,
                            cis_vfs_at(u->up, node->parent->upper), cis_str_of(node->name), 0);
    }
    return rc == 0 ? times_put(u, call, node->parent->upper, &above) : rc;
}

int cis_union_copy_file(struct unionfs *u, const struct cis_vfs_call *call, struct unode *node,
                        bool data)
{
    char text[32];
    struct cis_str temp = cis_union_home_temp(u, text);
    struct cis_vfs_attr attr;
    uint8_t digest[CIS_DIGEST_BYTES];
    cis_node copy = 0;
    if (u->vfs.read_only) {
        return EROFS;
    }
    cis_mutex_lock(&u->copying, union_lock_copying);
    if (node->upper != 0) {
        cis_mutex_unlock(&u->copying, union_lock_copying);
        return 0;
    }
    cis_rwlock_write(&u->names, union_lock_names);
    int rc = cis_union_home_get(u, call);
    cis_rwlock_unlock(&u->names, union_lock_names);
    if (rc == 0) {
        rc = cis_vfs_getattr(u->low, call, node->lower, &attr);
    }
    if (rc == 0) {
        rc = copy_temp(u, call, node, &attr, data, temp, &copy, digest);
    }
    if (rc == 0) {
        cis_rwlock_write(&u->names, union_lock_names);
        rc = copy_place(u, call, node, &attr, temp, copy, digest);
        if (rc == 0) {
            cis_unode_copied(u, node, copy);
        } else {
            (void)u->up->ops->unlink(u->up, call, u->home, temp);
            part_put(u->up, copy);
        }
        cis_rwlock_unlock(&u->names, union_lock_names);
    }
    cis_mutex_unlock(&u->copying, union_lock_copying);
    return rc;
}

int cis_union_copy_any(struct unionfs *u, const struct cis_vfs_call *call, struct unode *node)
{
    if (node->upper != 0) {
        return 0;
    }
    if (node->type != S_IFDIR) {
        return cis_union_copy_file(u, call, node, true);
    }
    cis_rwlock_write(&u->names, union_lock_names);
    int rc = cis_union_copy_folder(u, call, node);
    cis_rwlock_unlock(&u->names, union_lock_names);
    return rc;
}
