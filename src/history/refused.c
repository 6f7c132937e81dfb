/* Which file a quota is about, when it refuses an edit: the store adds up rows and knows no paths.
 */
#include "history/edit.h"

#include <stdio.h>

#define PATH_SHOWN 90u /* bytes of a path that a message has room for */

struct most {
    const struct edit_file *file; /* one of the new ones, or the one that grew the most */
    uint64_t files, more;
};

static bool comes(const struct edit_file *f)
{
    int64_t had = f->head->ino == 0 ? 0 : is_dir(f->head->mode) ? 1 : (int64_t)f->head->nlink;
    return !f->gone && had + f->links > 0;
}

static void look(struct edit *e, bool by_files, struct most *m)
{
    cis_map_foreach (&e->files, entry) {
        const struct edit_file *f = entry->value;
        if (!comes(f)) {
            continue;
        }
        bool is_new = f->head->ino == 0;
        uint64_t before = is_new ? 0 : f->head->size;
        uint64_t more = is_file(f->row->mode) && f->row->size > before ? f->row->size - before : 0;
        m->files += is_new;
        if (by_files ? is_new && (m->file == NULL || f->row->ino < m->file->row->ino)
                     : more > m->more) {
            m->file = f;
            m->more = more;
        }
    }
}

static const struct cis_fs_dirent *new_name(const struct edit *e, uint64_t ino)
{
    for (size_t i = 0; i < e->dirents.n; i++) {
        if (e->dirents.at[i].ino == ino) {
            return &e->dirents.at[i];
        }
    }
    return NULL;
}

/* Before what `path` holds. */
static void put_before(struct cis_str text, bool slash, struct cis_buf *path)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf all = CIS_BUF_INIT(4 * CIS_HISTORY_PATH_MAX);
    cis_buf_str(&all, text);
    cis_buf_text(&all, slash ? "/" : "");
    cis_buf_str(&all, cis_buf_view(path));
    struct cis_buf old = *path;
    *path = all;
    all = old;
}

/* From the name to the root: through what the edit makes, then at the base. Only the end is shown:
 * as many folders as that has room for are looked up. */
static cis_code path_of(struct edit *e, uint64_t ino, struct cis_buf *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_arena_done) struct arena arena = {0};
    CIS_CLEANUP(cis_places_done) struct places places;
    CIS_CLEANUP(cis_buf_done) struct cis_buf folder = CIS_BUF_INIT(2 * CIS_HISTORY_PATH_MAX);
    const struct cis_fs_dirent *d = new_name(e, ino);
    struct links found = {0};
    uint64_t parent = 0;
    cis_places_init(&places, e->h, e->base);
    if (d == NULL) {
        struct numbers one = {.at = &ino, .n = 1};
        cis_code code = cis_places_find(e->h, e->base, &one, &found, &arena, err);
        if (code == CIS_OK && found.n != 0) {
            parent = found.at[0].parent;
            put_before(found.at[0].name, false, out);
        }
        vec_done(&found);
        CIS_TRY(code);
    }
    for (; d != NULL && out->len <= PATH_SHOWN; d = new_name(e, parent)) {
        parent = d->parent;
        put_before(d->name, out->len != 0, out);
    }
    if (parent == 0 || parent == CIS_FS_ROOT || out->len > PATH_SHOWN) {
        return cis_buf_check(out, "path", err);
    }
    CIS_TRY(cis_places_path(&places, parent, CIS_STR(""), &folder, NULL, err));
    put_before(cis_buf_view(&folder), false, out);
    return cis_buf_check(out, "path", err);
}

void cis_edit_refused(struct edit *e, enum cis_quota quota, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(4 * CIS_HISTORY_PATH_MAX);
    struct most m = {0};
    struct cis_error ignored;
    look(e, quota == CIS_QUOTA_FILES, &m);
    if (err == NULL || quota == CIS_QUOTA_MEMORY || m.file == NULL ||
        path_of(e, m.file->row->ino, &path, &ignored) != CIS_OK || path.len == 0) {
        return; /* the message stands without it */
    }
    size_t at = strlen(err->msg), room = sizeof err->msg - at;
    size_t cut = path.len > PATH_SHOWN ? path.len - PATH_SHOWN : 0;
    while (cut != 0 && cut < path.len && (path.ptr[cut] & 0xc0) == 0x80) {
        cut++; /* not within a character */
    }
    const char *end = cis_buf_cstr(&path) + cut, *before = cut != 0 ? "…" : "";
    if (quota == CIS_QUOTA_FILES) {
        snprintf(err->msg + at, room, "; %s%s is one of %llu new ones", before, end,
                 (unsigned long long)m.files);
    } else {
        snprintf(err->msg + at, room, "; %s%s grew the most, by %llu bytes", before, end,
                 (unsigned long long)m.more);
    }
}
