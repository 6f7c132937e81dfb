/* The last look at an edit before it is committed: what fsck would say of what it touches. Names,
 * rows and directories at the base count as whole; a base that is damaged where it is touched is
 * refused too. Whoever fills an edit finds conflicts before this: a refusal here is a fault of ours
 * or of the store, and nothing is written. */
#include "history/edit.h"

#include <inttypes.h>
#include <stdlib.h>

static cis_code broken(struct cis_error *err, const char *what, uint64_t ino)
{
    return cis_fail(err, CIS_E_DAMAGED,
                    "inode %" PRIu64 ": %s; nothing was changed (run cis fs fsck)", ino, what);
}

/* How many names the file has in the end. The root has one that is no entry. */
static int64_t names_of(const struct edit_file *f)
{
    int64_t had = f->head->ino == 0 ? 0 : is_dir(f->head->mode) ? 1 : (int64_t)f->head->nlink;
    return had + f->links;
}

static bool there(const struct edit_file *f)
{
    bool row = f->head->ino != 0 || f->put;
    return row && names_of(f) > 0 && !(is_dir(f->row->mode) && f->gone);
}

static cis_code check_name(struct edit *e, const struct cis_fs_dirent *d, struct cis_error *err)
{
    struct edit_file *dir, *child;
    CIS_TRY(cis_edit_file(e, d->parent, &dir, err));
    if (d->ino == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_edit_file(e, d->ino, &child, err));
    if (!there(dir) || !is_dir(dir->row->mode)) {
        return broken(err, "would contain a name but is not a directory", d->parent);
    }
    if (!there(child)) {
        return broken(err, "would have a name but no row", d->ino);
    }
    if ((child->row->mode & 0170000) != d->mode) {
        return broken(err, "would have a name that gives it another type", d->ino);
    }
    return is_dir(d->mode) && child->row->parent != d->parent
               ? broken(err, "would have a name in another directory than its row says", d->ino)
               : CIS_OK;
}

/* Walks up to the root or to a directory that is known to be below it. */
static cis_code check_rooted(struct edit *e, struct edit_file *dir, struct cis_error *err)
{
    struct numbers way = {.bound = &e->bound};
    struct edit_file *at = dir;
    cis_code code = CIS_OK;
    size_t steps = 0;
    while (code == CIS_OK && at->row->ino != CIS_FS_ROOT && !at->rooted) {
        if (!there(at) || !is_dir(at->row->mode)) {
            code = broken(err, "would be in a directory that does not exist", dir->row->ino);
        } else if (steps++ > e->files.live) {
            code = broken(err, "would be inside itself", dir->row->ino);
        } else {
            code = cis_numbers_add(&way, at->row->ino, err);
        }
        if (code == CIS_OK) {
            code = cis_edit_file(e, at->row->parent, &at, err);
        }
    }
    for (size_t i = 0; i < way.n && code == CIS_OK; i++) {
        struct edit_file *known = cis_ids_get(&e->files, way.at[i]);
        known->rooted = true;
    }
    cis_numbers_done(&way);
    return code;
}

static cis_code check_dir(struct edit *e, struct edit_file *dir, struct cis_error *err)
{
    uint64_t had = 0, ino = dir->row->ino;
    int64_t names = names_of(dir);
    if (there(dir)) {
        if (names != 1) {
            return broken(err, "a directory would have several names", ino);
        }
        bool moved = dir->head->ino == 0 || dir->row->parent != dir->head->parent;
        return moved ? check_rooted(e, dir, err) : CIS_OK;
    }
    if (dir->head->ino == 0) {
        return dir->entries == 0 ? CIS_OK : broken(err, "would contain names but have no row", ino);
    }
    if (names != 0) {
        return broken(err, "would be removed but keep a name", ino);
    }
    CIS_TRY(cis_edit_entries(e, dir, &had, err));
    return dir->entries == -(int64_t)had
               ? CIS_OK
               : broken(err, "would be removed although it contains names", ino);
}

static cis_code check_file(const struct edit_file *f, struct cis_error *err)
{
    int64_t names = names_of(f);
    if (names < 0 || names > UINT32_MAX || (names > 0 && !there(f))) {
        return broken(err, "would have an impossible number of names", f->row->ino);
    }
    if (there(f) && f->row->is_inline && f->row->data.len != f->row->size) {
        return broken(err, "its size would not match its content", f->row->ino);
    }
    return CIS_OK;
}

static cis_code check_extents(struct edit *e, struct cis_error *err)
{
    for (size_t i = 0; i < e->extents.n; i++) {
        const struct cis_fs_new_extent *x = &e->extents.at[i];
        const struct edit_file *f = cis_ids_get(&e->files, x->ino);
        uint64_t blocks =
            f == NULL || f->row->is_inline
                ? 0
                : f->row->size / CIS_FS_BLOCK + (f->row->size % CIS_FS_BLOCK != 0 ? 1 : 0);
        if (x->chunk != 0 && x->block >= blocks) {
            return broken(err, "would have content past its end", x->ino);
        }
    }
    return CIS_OK;
}

cis_code cis_edit_check(struct edit *e, struct cis_error *err)
{
    struct numbers inos = {.bound = &e->bound};
    cis_code code = CIS_OK;
    for (size_t i = 0; i < e->dirents.n && code == CIS_OK; i++) {
        code = check_name(e, &e->dirents.at[i], err);
    }
    cis_map_foreach (&e->files, entry) { /* walking up adds to the map */
        const struct edit_file *f = entry->value;
        code = code == CIS_OK ? cis_numbers_add(&inos, f->row->ino, err) : code;
    }
    for (size_t i = 0; i < inos.n && code == CIS_OK; i++) {
        struct edit_file *f = cis_ids_get(&e->files, inos.at[i]);
        code = is_dir(f->row->mode) ? check_dir(e, f, err) : check_file(f, err);
    }
    cis_numbers_done(&inos);
    return code == CIS_OK ? check_extents(e, err) : code;
}
