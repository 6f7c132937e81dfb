/* What the host would refuse is asked before anything is done: the sizes, permissions, names and
 * symlinks that its filesystem does not hold, the folders that may not be changed or are another
 * filesystem, the names that something has that nobody here is shown. Without it an apply would end
 * half-way, the folders that it moves standing aside, when a branch decides so. */
#include <errno.h>
#include "base/mem.h"
#include "run/cow_internal.h"
#include "vfs/hostdir/hostdir.h"

void cis_cow_tried_done(struct cow_tried *tried)
{
    cis_hostdir_trial_close(tried->fd - 1);
    cis_map_done(&tried->opened, NULL);
    cis_buf_done(&tried->parent);
}

static cis_code refused(struct cow_plan *p, int rc, const char *path, const char *why,
                        struct cis_error *err)
{
    return rc == EIO && p->cow->why.code != CIS_OK
               ? cis_cow_fail(p->cow, rc, path, err)
               : cis_vfs_fail(err, rc, "%.100s: nothing was done, because %s", path, why);
}

/* A name in the folder for what is tried. A dry run writes nothing there: NULL. */
static const char *trial_name(const struct cow_plan *p)
{
    return p->how->dry_run ? NULL : COW_NEW;
}

/* ---- contents ---- */

cis_code cis_cow_try_file(struct cow_plan *p, const char *path, uint32_t mode, uint64_t size,
                          struct cis_error *err)
{
    struct cow_tried *t = &p->tried;
    uint32_t bits = mode & 07777;
    if (t->fd == 0) {
        int rc = cis_hostdir_trial_open(p->cow->lower, trial_name(p), &t->fd);
        bool unknown = rc == EEXIST || /* what an earlier apply left goes first */
                       (rc == EOPNOTSUPP && p->how->dry_run);
        t->fd = rc == 0 ? t->fd + 1 : 0;
        if (rc != 0 && !unknown) {
            return refused(p, rc, path, "no file can be made in the folder", err);
        }
    }
    if (t->fd != 0 && size > t->size) {
        int rc = cis_hostdir_trial_size(t->fd - 1, size);
        if (rc != 0) {
            return refused(p, rc, path, "the folder's filesystem cannot hold a file of this size",
                           err);
        }
        t->size = size;
    }
    if (t->fd != 0 && (t->modes[bits / 8] & 1u << bits % 8) == 0) {
        int rc = cis_hostdir_trial_mode(t->fd - 1, bits);
        if (rc != 0) {
            return refused(p, rc, path,
                           "the folder's filesystem does not support these permissions", err);
        }
        t->modes[bits / 8] |= (uint8_t)(1u << bits % 8);
    }
    return CIS_OK;
}

cis_code cis_cow_try_link(struct cow_plan *p, const char *path, const char *target,
                          struct cis_error *err)
{
    size_t len = strlen(target);
    if (len <= p->tried.target) {
        return CIS_OK;
    }
    int rc = cis_hostdir_trial_link(p->cow->lower, trial_name(p), target);
    if (rc != 0) {
        return refused(p, rc, path, "the folder's filesystem does not support this symlink", err);
    }
    p->tried.target = len;
    return CIS_OK;
}

/* ---- places ---- */

/* A folder by the path that the host has it at; what is not there is made by the apply. */
static int folder_at(struct cow_plan *p, struct cis_str lower, struct cis_found *out)
{
    int rc = cis_walk(p->cow->below.root, NULL, &p->cow->call, lower, COW_WALK, out);
    if (rc == 0 && (out->node == 0 || !S_ISDIR(out->attr.mode))) {
        cis_found_done(out);
        rc = ENOENT;
    }
    return rc;
}

cis_code cis_cow_try_folder(struct cow_plan *p, const char *lower, bool goes, struct cis_error *err)
{
    struct cis_found found;
    if (folder_at(p, cis_str_of(lower), &found) != 0) {
        return CIS_OK;
    }
    int rc = cis_hostdir_changeable(found.vfs, found.node);
    bool hides = rc == 0 && goes && cis_hostdir_hides(found.vfs, found.node, NULL);
    cis_found_done(&found);
    if (rc != 0) {
        return refused(p, rc, lower, "the folder cannot be changed", err);
    }
    return hides ? cis_fail(err, CIS_E_UNSUPPORTED,
                            "%.140s: it contains something that is not a file, folder or symlink; "
                            "nothing was done",
                            lower)
                 : CIS_OK;
}

static struct cis_str parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (struct cis_str){path, (size_t)(slash - path)} : CIS_STR(".");
}

static cis_code try_parent(struct cow_plan *p, const char *path, const char *lower,
                           struct cis_error *err)
{
    struct cow_tried *t = &p->tried;
    struct cis_str parent = parent_of(lower);
    if (t->any && cis_str_eq(parent, cis_buf_view(&t->parent))) {
        return CIS_OK; /* as that of the name before */
    }
    struct cis_found found;
    if (!t->any) { /* where everything is made and goes through */
        CIS_TRY(cis_cow_try_folder(p, ".", false, err));
        t->any = true;
    }
    if (folder_at(p, parent, &found) == 0) {
        int rc = cis_hostdir_changeable(found.vfs, found.node);
        cis_found_done(&found);
        if (rc != 0 && !(rc == EACCES && cis_map_get(&t->opened, parent_of(path)) != NULL)) {
            return refused(p, rc, path, "its folder cannot be changed", err);
        }
    }
    cis_buf_reset(&t->parent);
    cis_buf_str(&t->parent, parent);
    return cis_buf_check(&t->parent, "a path", err);
}

cis_code cis_cow_try_place(struct cow_plan *p, const char *path, const char *lower, bool free,
                           struct cis_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct cis_found found;
    if (strlen(name) > cis_hostdir_name_max(p->cow->lower)) {
        return refused(p, ENAMETOOLONG, path, "the folder's filesystem does not allow this name",
                       err);
    }
    if (lower == NULL) { /* in a folder that is made */
        return CIS_OK;
    }
    CIS_TRY(try_parent(p, path, lower, err));
    if (free && folder_at(p, parent_of(lower), &found) == 0) {
        const char *last = strrchr(lower, '/');
        bool hides = cis_hostdir_hides(found.vfs, found.node, last != NULL ? last + 1 : lower);
        cis_found_done(&found);
        if (hides) {
            return cis_fail(err, CIS_E_EXISTS,
                            "%.140s: something is there that is not a file, folder or symlink; "
                            "nothing was done",
                            path);
        }
    }
    return CIS_OK;
}

cis_code cis_cow_try_opened(struct cow_plan *p, const char *path, struct cis_error *err)
{
    return cis_map_set(&p->tried.opened, cis_str_of(path), p, NULL, err);
}
