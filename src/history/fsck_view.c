/* One state of a tree: every name leads to a file of its type, every file has as many names as it
 * says, every directory one, and is where it says; nothing is there without a name; counts agree.
 */
#include "history/fsck.h"
#include "store/calls.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE 4096u

/* A name: what it leads to and where it is. */
struct name {
    uint64_t ino, parent;
    uint32_t type;
};
struct walk {
    struct fsck *f;
    struct cis_view view;
    struct {
        struct name *at;
        size_t n, cap;
        struct cis_bound *bound;
    } names;
    struct cis_map dirs; /* found already */
    struct numbers todo;
    uint64_t dir; /* being listed */
    uint32_t seen;
    char last[CIS_FS_NAME_MAX + 1];
    size_t last_len;
    uint64_t files, bytes;
    bool broken; /* something could not be read: what is missing is not told again */
    cis_code code;
};

static cis_code note_dir(struct walk *w, uint64_t ino)
{
    static char mark;
    if (cis_ids_get(&w->dirs, ino) != NULL) {
        return CIS_OK; /* a second name, told when names are counted */
    }
    CIS_TRY(cis_ids_set(&w->dirs, ino, &mark, NULL, w->f->err));
    return cis_numbers_add(&w->todo, ino, w->f->err);
}

static bool take_name(void *self, const struct cis_fs_dirent *dirent,
                      const struct cis_fs_inode *inode)
{
    struct walk *w = self;
    (void)inode;
    w->seen++;
    struct name *n = vec_add(&w->names);
    if (n == NULL) {
        w->code = cis_history_nomem(w->f->err);
        return false;
    }
    *n = (struct name){dirent->ino, w->dir, dirent->mode & 0170000};
    if (!cis_fs_name_valid(dirent->name)) {
        w->code = cis_fsck_found(w->f, "name", w->dir, "a name of %zu bytes that cannot be",
                                 dirent->name.len);
    }
    if (dirent->name.len <= CIS_FS_NAME_MAX) {
        memcpy(w->last, dirent->name.ptr, dirent->name.len);
        w->last_len = dirent->name.len;
    }
    if (w->code == CIS_OK && is_dir(dirent->mode)) {
        w->code = note_dir(w, dirent->ino);
    }
    return w->code == CIS_OK;
}

static cis_code list_dir(struct walk *w, uint64_t dir)
{
    const struct cis_history *h = w->f->h;
    struct cis_error why = {0};
    w->dir = dir;
    w->last_len = 0;
    do {
        w->seen = 0;
        cis_code code = cis_store_list(
            h->store, h->tenant,
            &(struct cis_fs_list_query){.at = w->view,
                                        .dir = dir,
                                        .after = (struct cis_str){w->last, w->last_len},
                                        .max = PAGE},
            take_name, w, h->stop, &why);
        CIS_TRY(w->code);
        if (cis_fsck_is_damage(code)) {
            w->broken = true;
            return cis_fsck_found(w->f, "directory", dir, "cannot be listed: %s", why.msg);
        }
        if (code != CIS_OK) {
            return cis_fail(w->f->err, code, "%s", why.msg);
        }
    } while (w->seen == PAGE);
    return cis_history_pin_keep(h, &w->f->pin, w->f->err);
}

/* ---- files, by inode ---- */
static int name_cmp(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    if (x->ino != y->ino) {
        return x->ino < y->ino ? -1 : 1;
    }
    return x->parent < y->parent ? -1 : x->parent > y->parent;
}

cis_code cis_fsck_blocks_fit(const struct cis_history *h, struct cis_view view, uint64_t ino,
                             uint64_t size, bool *out_fit, struct cis_error *err)
{
    CIS_CLEANUP(cis_extents_done) struct extents extents = {0};
    uint64_t blocks = size / CIS_FS_BLOCK + (size % CIS_FS_BLOCK != 0 ? 1 : 0);
    bool fit = true;
    CIS_TRY(cis_extents_read(h, view, ino, &extents, err));
    for (size_t i = 0; i < extents.n; i++) {
        fit = fit && (extents.at[i].chunk == 0 || extents.at[i].block < blocks);
    }
    *out_fit = fit;
    return CIS_OK;
}

static cis_code check_content(struct walk *w, const struct cis_fs_inode *row)
{
    struct cis_error why = {0};
    bool fit = true;
    if (row->is_inline) {
        return row->data.len == row->size
                   ? CIS_OK
                   : cis_fsck_found(w->f, "file", row->ino, "size %llu, content of %zu bytes",
                                    (unsigned long long)row->size, row->data.len);
    }
    if (!is_file(row->mode) || (row->size == 0 && row->stored == 0)) {
        return CIS_OK;
    }
    cis_code code = cis_fsck_blocks_fit(w->f->h, w->view, row->ino, row->size, &fit, &why);
    if (cis_fsck_is_damage(code)) {
        return cis_fsck_found(w->f, "file", row->ino, "its blocks cannot be read: %s", why.msg);
    }
    if (code != CIS_OK) {
        return cis_fail(w->f->err, code, "%s", why.msg);
    }
    return fit ? CIS_OK
               : cis_fsck_found(w->f, "file", row->ino, "content beyond its end of %llu bytes",
                                (unsigned long long)row->size);
}

/* names[0 … n): all names of one inode; subdirs: how many directories it holds. */
static cis_code check_inode(struct walk *w, const struct cis_fs_inode *row,
                            const struct name *names, size_t n, uint64_t subdirs)
{
    struct fsck *f = w->f;
    w->files += row->ino != CIS_FS_ROOT ? 1 : 0;
    w->bytes += is_file(row->mode) ? row->size : 0;
    for (size_t i = 0; i < n; i++) {
        if (names[i].type != (row->mode & 0170000)) {
            CIS_TRY(cis_fsck_found(f, "name", row->ino, "its directory entry has another type (%o)",
                                   names[i].type));
        }
    }
    if (!is_dir(row->mode)) {
        if (row->nlink != n) {
            CIS_TRY(cis_fsck_found(f, "file", row->ino, "link count %u, %zu names", row->nlink, n));
        }
        return check_content(w, row);
    }
    uint64_t parent = n != 0 ? names[0].parent : row->ino == CIS_FS_ROOT ? CIS_FS_ROOT : 0;
    if (n > 1) {
        CIS_TRY(cis_fsck_found(f, "directory", row->ino, "it has %zu names", n));
    } else if (row->parent != parent) {
        CIS_TRY(cis_fsck_found(f, "directory", row->ino,
                               "its row names another directory, inode %llu",
                               (unsigned long long)row->parent));
    }
    return row->nlink == 2 + subdirs || w->broken
               ? CIS_OK
               : cis_fsck_found(f, "directory", row->ino, "link count %u, %llu subdirectories",
                                row->nlink, (unsigned long long)subdirs);
}

static cis_code read_rows(struct walk *w, const struct numbers *inos, struct rows *rows)
{
    struct cis_error why = {0};
    cis_code code = cis_rows_read(w->f->h, w->view, inos, rows, &why);
    if (!cis_fsck_is_damage(code)) {
        return code == CIS_OK ? CIS_OK : cis_fail(w->f->err, code, "%s", why.msg);
    }
    rows->n = 0; /* one by one, to name those that are damaged */
    for (size_t i = 0; i < inos->n; i++) {
        struct numbers one = {.at = inos->at + i, .n = 1};
        code = cis_rows_read(w->f->h, w->view, &one, rows, &why);
        if (cis_fsck_is_damage(code)) {
            w->broken = true;
            CIS_TRY(
                cis_fsck_found(w->f, "file", inos->at[i], "its row cannot be read: %s", why.msg));
        } else if (code != CIS_OK) {
            return cis_fail(w->f->err, code, "%s", why.msg);
        }
    }
    return CIS_OK;
}

struct subdirs {
    uint64_t *of; /* parents of directories, ascending, with repeats */
    size_t n, cap;
    struct cis_bound *bound;
};

static int number_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t count_of(const struct subdirs *s, uint64_t dir)
{
    struct numbers v = {.at = s->of, .n = s->n};
    return cis_numbers_at(&v, dir + 1) - cis_numbers_at(&v, dir);
}

static cis_code check_page(struct walk *w, const struct numbers *inos, size_t *at,
                           const struct subdirs *subdirs)
{
    struct rows rows = {0};
    bool broken = w->broken;
    cis_code code = read_rows(w, inos, &rows);
    for (size_t i = 0; i < inos->n && code == CIS_OK; i++) {
        uint64_t ino = inos->at[i];
        size_t from = *at;
        const struct cis_fs_inode *row = cis_rows_find(&rows, ino);
        while (*at < w->names.n && w->names.at[*at].ino == ino) {
            ++*at;
        }
        if (row != NULL) {
            code = check_inode(w, row, w->names.at + from, *at - from, count_of(subdirs, ino));
        } else if (!w->broken || broken) {
            code = cis_fsck_found(w->f, "name", ino, "its file does not exist");
        }
    }
    cis_rows_done(&rows);
    return code;
}

static cis_code check_files(struct walk *w)
{
    struct subdirs subdirs = {0};
    struct numbers page = {0};
    cis_code code = CIS_OK;
    size_t at = 0;
    if (w->names.n > 1) {
        qsort(w->names.at, w->names.n, sizeof *w->names.at, name_cmp);
    }
    subdirs.of = cis_calloc(cis_size_add(w->names.n, 1), sizeof *subdirs.of);
    if (subdirs.of == NULL) {
        return cis_history_nomem(w->f->err);
    }
    for (size_t i = 0; i < w->names.n; i++) {
        if (is_dir(w->names.at[i].type)) {
            subdirs.of[subdirs.n++] = w->names.at[i].parent;
        }
    }
    qsort(subdirs.of, subdirs.n, sizeof *subdirs.of, number_cmp);
    code = cis_numbers_add(&page, CIS_FS_ROOT, w->f->err);
    for (size_t i = 0; i < w->names.n && code == CIS_OK; i++) {
        code = cis_numbers_add(&page, w->names.at[i].ino, w->f->err);
        if (code == CIS_OK && page.n == PAGE) {
            uint64_t last = page.at[--page.n]; /* it may have more names than are seen yet */
            code = check_page(w, &page, &at, &subdirs);
            page.at[0] = last;
            page.n = 1;
        }
    }
    if (code == CIS_OK) {
        code = check_page(w, &page, &at, &subdirs);
    }
    cis_numbers_done(&page);
    cis_free(subdirs.of);
    return code;
}

/* ---- files without a name ---- */
struct scan {
    struct fsck_born *born;
    struct cis_fs_key after;
    uint32_t seen;
    bool full;
};

static bool take_inode(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                       const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    struct scan *s = self;
    struct fsck_born *born = s->born;
    (void)dirent;
    (void)extent;
    s->seen++;
    s->after = *key;
    s->after.name = (struct cis_str){NULL, 0};
    bool known = born->files.n != 0 && born->files.at[born->files.n - 1].ino == key->ino;
    if (inode->gone || known) { /* epochs ascend: the first one counts */
        return true;
    }
    struct fsck_file *file = vec_add(&born->files);
    s->full = file == NULL;
    if (file != NULL) {
        *file = (struct fsck_file){key->ino, key->epoch};
    }
    return !s->full;
}

static cis_code read_born(struct fsck *f, uint64_t branch, struct fsck_born *born)
{
    struct scan s = {.born = born};
    struct cis_error why = {0};
    bool first = true;
    do {
        s.seen = 0;
        cis_code code = cis_store_scan(f->h->store, f->h->tenant,
                                       &(struct cis_fs_scan_query){.table = CIS_FS_INODES,
                                                                   .branch = branch,
                                                                   .after = first ? NULL : &s.after,
                                                                   .limit = PAGE},
                                       take_inode, &s, f->h->stop, &why);
        if (s.full) {
            return cis_history_nomem(f->err);
        }
        if (cis_fsck_is_damage(code)) {
            born->bad = true;
            snprintf(born->why, sizeof born->why, "%s", why.msg);
            break;
        }
        if (code != CIS_OK) {
            return cis_fail(f->err, code, "%s", why.msg);
        }
        first = false;
    } while (s.seen == PAGE);
    born->read = true;
    return CIS_OK;
}

/* Those that are there at the view as far as this branch tells, and have no name. */
static cis_code find_unnamed(const struct walk *w, uint64_t branch, const struct fsck_born *born,
                             uint64_t upto, struct numbers *out)
{
    size_t at = 0;
    for (size_t i = 0; i < born->files.n; i++) {
        const struct fsck_file *file = &born->files.at[i];
        while (at < w->names.n && w->names.at[at].ino < file->ino) {
            at++;
        }
        bool named =
            file->ino == CIS_FS_ROOT || (at < w->names.n && w->names.at[at].ino == file->ino);
        if (!named && file->since <= upto) {
            CIS_TRY(cis_numbers_add(out, file->ino, w->f->err));
        }
    }
    return born->bad ? cis_fsck_found(w->f, "branch", 0, "files of branch %llu cannot be read: %s",
                                      (unsigned long long)branch, born->why)
                     : CIS_OK;
}

static cis_code check_branch(const struct walk *w, uint64_t branch, const struct cis_branch *b,
                             uint64_t upto, struct numbers *out)
{
    struct fsck *f = w->f;
    struct fsck_born own = {0}; /* of a branch that was made since */
    struct fsck_born *born = b != NULL ? &f->born[b - f->branches.at] : &own;
    cis_code code = born->read ? CIS_OK : read_born(f, branch, born);
    if (code == CIS_OK) {
        code = find_unnamed(w, branch, born, upto, out);
    }
    vec_done(&own.files);
    return code;
}

static cis_code check_orphans(struct walk *w)
{
    struct numbers found = {0};
    struct rows rows = {0};
    cis_code code = CIS_OK;
    uint64_t upto = w->view.epoch;
    for (uint64_t branch = w->view.branch; branch != 0 && code == CIS_OK;) {
        const struct cis_branch *b = cis_branches_find(&w->f->branches, branch);
        code = check_branch(w, branch, b, upto, &found);
        branch = b != NULL && b->parent < b->id ? b->parent : 0;
        upto = b != NULL && b->fork_epoch < upto ? b->fork_epoch : upto;
    }
    if (code == CIS_OK && found.n != 0) {
        cis_numbers_sort(&found);
        code = read_rows(w, &found, &rows);
    }
    for (size_t i = 0; i < rows.n && code == CIS_OK; i++) {
        code = cis_fsck_found(w->f, "file", rows.at[i].ino, "it has no name");
    }
    cis_rows_done(&rows);
    cis_numbers_done(&found);
    return code;
}

cis_code cis_fsck_view(struct fsck *f, struct cis_view view, const char *label, uint64_t files,
                       uint64_t bytes)
{
    struct walk w = {.f = f, .view = view, .dirs = CIS_MAP_INIT};
    cis_code code = note_dir(&w, CIS_FS_ROOT);
    while (code == CIS_OK && w.todo.n != 0) {
        code = list_dir(&w, w.todo.at[--w.todo.n]);
    }
    if (code == CIS_OK) {
        f->counts.names += w.names.n;
        code = check_files(&w);
    }
    if (code == CIS_OK) {
        f->counts.files += w.files;
        code = check_orphans(&w);
    }
    if (code == CIS_OK && !w.broken && (w.files != files || w.bytes != bytes)) {
        code = cis_fsck_found(f, "branch", 0, "says %llu files with %llu bytes, has %llu with %llu",
                              (unsigned long long)files, (unsigned long long)bytes,
                              (unsigned long long)w.files, (unsigned long long)w.bytes);
    }
    if (code == CIS_OK) {
        code = cis_fsck_tell(f, view, label);
    }
    vec_done(&w.names);
    cis_map_done(&w.dirs, NULL);
    cis_numbers_done(&w.todo);
    return code;
}
