/* What only holds for all changes of a merge together: a file keeps a name as long as both sides
 * have it, nobody's rename makes a second name of a first one, a directory that goes is empty here
 * too, and none ends below itself. */
#include "history/threeway.h"

static cis_code check_lost(struct threeway *t, uint64_t ino, const struct cis_fs_inode *base,
                           const struct edit_file *file, int64_t links)
{
    bool brought = file != NULL && file->put;
    return base != NULL && links > 0 && !brought
               ? cis_threeway_conflict(t, NULL, ino, "named anew there, removed here")
               : CIS_OK;
}

/* Both sides have it. meant: how many more names theirs gave it. */
static cis_code check_kept(struct threeway *t, uint64_t ino, const struct cis_fs_inode *base,
                           const struct cis_fs_inode *ours, int64_t links, int64_t meant)
{
    int64_t names = (is_dir(ours->mode) ? 1 : (int64_t)ours->nlink) + links;
    const char *why = NULL;
    if (names <= 0) {
        why = "another name of it was removed on each side";
    } else if (is_dir(ours->mode) ? names != 1 : base != NULL && links > 0 && links > meant) {
        why = "renamed on both sides";
    } else if ((base == NULL || cis_numbers_has(&t->unsure, ino)) && links != 0) {
        why = "added on both sides by other names";
    }
    return why != NULL ? cis_threeway_conflict(t, NULL, ino, why) : CIS_OK;
}

static cis_code check_names(struct threeway *t)
{
    for (size_t i = 0; i < t->inos.n; i++) {
        uint64_t ino = t->inos.at[i];
        const struct cis_fs_inode *base = cis_rows_find(t->rows[BASE], ino);
        const struct cis_fs_inode *theirs = cis_rows_find(t->rows[THEIRS], ino);
        const struct cis_fs_inode *ours = cis_rows_find(t->rows[OURS], ino);
        const struct edit_file *file = cis_ids_get(&t->edit.files, ino);
        int64_t links = file != NULL ? file->links : 0;
        if (ino == CIS_FS_ROOT || cis_numbers_has(&t->kept, ino)) {
            continue;
        }
        if (ours == NULL) {
            CIS_TRY(check_lost(t, ino, base, file, links));
        } else if (theirs != NULL) {
            CIS_TRY(check_kept(t, ino, base, ours, links, t->meant[i]));
        } else if (base != NULL && (is_dir(ours->mode) ? 1 : (int64_t)ours->nlink) + links > 0) {
            CIS_TRY(cis_threeway_conflict(t, NULL, ino, "removed there, renamed here"));
        }
    }
    return CIS_OK;
}

static cis_code check_removed(struct threeway *t)
{
    cis_numbers_sort(&t->removed);
    for (size_t i = 0; i < t->removed.n; i++) {
        struct edit_file *dir;
        uint64_t has;
        CIS_TRY(cis_edit_file(&t->edit, t->removed.at[i], &dir, t->err));
        CIS_TRY(cis_edit_entries(&t->edit, dir, &has, t->err));
        if (dir->entries != -(int64_t)has) {
            CIS_TRY(cis_threeway_conflict(t, NULL, t->removed.at[i],
                                          "removed there, has other names here"));
        }
    }
    return CIS_OK;
}

/* ---- where the parents of a directory lead ---- */
enum { WAY_UNKNOWN, WAY_NOW, WAY_ROOT, WAY_LOST, WAY_CIRCLE };

/* What moved and is part of the circle through `ino` would be below itself. */
static cis_code tell_circle(struct threeway *t, uint64_t ino)
{
    uint64_t at = ino;
    do {
        const struct edit_file *dir = cis_ids_get(&t->edit.files, at);
        if (cis_numbers_has(&t->moved, at)) {
            CIS_TRY(cis_threeway_conflict(t, NULL, at, "would be inside itself"));
        }
        at = dir->row->parent;
    } while (at != ino);
    return CIS_OK;
}

/* Up to what an earlier walk knows: each directory is walked over once. */
static cis_code way_of(struct threeway *t, uint64_t from, uint8_t *out)
{
    struct edit_file *dir;
    uint8_t end = WAY_UNKNOWN;
    for (uint64_t at = from; end == WAY_UNKNOWN; at = dir->row->parent) {
        if (at == CIS_FS_ROOT || at == 0) {
            end = at == 0 ? WAY_LOST : WAY_ROOT;
            break;
        }
        CIS_TRY(cis_edit_file(&t->edit, at, &dir, t->err));
        end = dir->way == WAY_NOW ? WAY_CIRCLE : dir->way;
        if (dir->way == WAY_NOW) {
            CIS_TRY(tell_circle(t, at));
        }
        dir->way = dir->way == WAY_UNKNOWN ? WAY_NOW : dir->way;
    }
    for (uint64_t at = from; at != CIS_FS_ROOT && at != 0; at = dir->row->parent) {
        dir = cis_ids_get(&t->edit.files, at);
        if (dir->way != WAY_NOW) {
            break;
        }
        dir->way = end;
    }
    *out = end;
    return CIS_OK;
}

static cis_code check_moved(struct threeway *t)
{
    cis_numbers_sort(&t->moved);
    for (size_t i = 0; i < t->moved.n; i++) {
        uint8_t way;
        CIS_TRY(way_of(t, t->moved.at[i], &way));
        if (way == WAY_LOST) {
            CIS_TRY(cis_threeway_conflict(t, NULL, t->moved.at[i], "would be inside itself"));
        }
    }
    return CIS_OK;
}

cis_code cis_threeway_whole(struct threeway *t)
{
    CIS_TRY(check_removed(t));
    CIS_TRY(check_names(t));
    return check_moved(t);
}
