/* Bringing the changes of a cow branch to the folder. First everything is looked at: what others
 * changed meanwhile is not overwritten. Renamed folders are then moved aside, the deepest first, so
 * that no rename meets another; then, from the root down, names are removed, moved to their place,
 * and written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/mem.h"
#include "run/cow_in.h"
#include "vfs/hostdir/hostdir.h"

#define COPY_BYTES 65536u
#define ASIDE ".cis-apply" /* names in the folder while it is changed; ASIDE-N */

struct apply {
    cis_cow *cow;
    const struct cis_cow_apply *how;
    struct cow_changes list;
    cis_vfs *vfs; /* the folder, to be written */
    struct cow_tree to;
    uint64_t conflicts, done;
    struct cis_error *err;
};

static struct cis_str text(const char *path)
{
    return cis_str_of(path);
}

/* ---- has anything changed since? ---- */

static void conflict(struct apply *a, const char *path, const char *why)
{
    a->conflicts++;
    if (a->how->conflict != NULL) {
        a->how->conflict(a->how->self, text(path), why);
    }
}

static bool later(const struct apply *a, const struct cis_vfs_attr *attr)
{
    int64_t s = a->how->since_ms / 1000;
    long ns = (long)(a->how->since_ms % 1000) * 1000000L;
    return attr->ctime.tv_sec > s || (attr->ctime.tv_sec == s && attr->ctime.tv_nsec > ns);
}

/* A folder and all below it. Directories change with their names, so only files count: what was
 * added is one that is later. */
static cis_code check_tree(struct apply *a, const char *path)
{
    struct cow_entries list = {0};
    int no = cow_list(&a->cow->below, &a->cow->call, path, &list);
    if (no != 0) {
        return cow_fail(a->cow, no, path, a->err);
    }
    cis_code code = CIS_OK;
    for (size_t i = 0; i < list.n && code == CIS_OK; i++) {
        CIS_CLEANUP(cis_freep) char *child = cow_path(path, list.at[i].name);
        if (child == NULL) {
            code = cis_fail(a->err, CIS_E_NOMEM, "out of memory");
        } else if (S_ISDIR(list.at[i].attr.mode)) {
            code = check_tree(a, child);
        } else if (later(a, &list.at[i].attr)) {
            conflict(a, child, "changed in the folder since");
        }
    }
    cow_entries_done(&list);
    return code;
}

static cis_code check_one(struct apply *a, const struct cow_change *c)
{
    struct cis_vfs_attr attr;
    const char *path = c->from != NULL ? c->from : c->path;
    uint32_t type = c->mode & S_IFMT;
    if (c->what != 'D' && type != S_IFREG && type != S_IFDIR && type != S_IFLNK) {
        return cis_fail(a->err, CIS_E_UNSUPPORTED,
                        "%.160s: only files, folders and symlinks are made", c->path);
    }
    if (cis_str_starts(text(c->path), CIS_STR(ASIDE))) {
        return cis_fail(a->err, CIS_E_UNSUPPORTED,
                        "%.160s: a name that is used while changes are made", c->path);
    }
    if (a->how->since_ms == 0) {
        return CIS_OK;
    }
    int no = cis_at_stat(a->cow->below.root, &a->cow->call, text(path), CIS_WALK_NOFOLLOW, &attr);
    if (no == ENOENT || no == ENOTDIR) {
        return CIS_OK; /* added; or nothing is left to be removed */
    }
    if (no != 0) {
        return cow_fail(a->cow, no, path, a->err);
    }
    if (S_ISDIR(attr.mode)) {
        return c->what == 'D' ? check_tree(a, path) : CIS_OK;
    }
    if (later(a, &attr)) {
        conflict(a, path,
                 c->what == 'A' ? "made in the folder since" : "changed in the folder since");
    }
    return CIS_OK;
}

static cis_code check(struct apply *a)
{
    for (size_t i = 0; i < a->list.n; i++) {
        CIS_TRY(check_one(a, &a->list.at[i]));
    }
    return a->conflicts == 0
               ? CIS_OK
               : cis_fail(a->err, CIS_E_CONFLICT,
                          "%s: %llu of the files were changed since; nothing was done",
                          a->cow->folder, (unsigned long long)a->conflicts);
}

/* ---- writing ---- */

static cis_code fail(struct apply *a, int no, const char *path)
{
    return cow_fail(a->cow, no, path, a->err);
}

static int remove_tree(struct apply *a, const char *path)
{
    const struct cis_vfs_call *call = &a->cow->call;
    struct cow_entries list = {0};
    int no = cow_list(&a->to, call, path, &list);
    for (size_t i = 0; i < list.n && no == 0; i++) {
        CIS_CLEANUP(cis_freep) char *child = cow_path(path, list.at[i].name);
        no = child == NULL                   ? ENOMEM
             : S_ISDIR(list.at[i].attr.mode) ? remove_tree(a, child)
                                             : cis_at_unlink(a->to.root, call, text(child), 0);
    }
    cow_entries_done(&list);
    return no != 0 ? no : cis_at_rmdir(a->to.root, call, text(path), 0);
}

static int remove_any(struct apply *a, const char *path)
{
    const struct cis_vfs_call *call = &a->cow->call;
    struct cis_vfs_attr attr;
    int no = cis_at_stat(a->to.root, call, text(path), CIS_WALK_NOFOLLOW, &attr);
    if (no == ENOENT || no == ENOTDIR) {
        return 0; /* it was moved away before, or by somebody else */
    }
    return no != 0              ? no
           : S_ISDIR(attr.mode) ? remove_tree(a, path)
                                : cis_at_unlink(a->to.root, call, text(path), 0);
}

static int copy_bytes(struct apply *a, cis_vfs_file *from, cis_vfs_file *to)
{
    const struct cis_vfs_call *call = &a->cow->call;
    CIS_CLEANUP(cis_freep) uint8_t *buf = cis_alloc(COPY_BYTES);
    uint64_t at = 0, end;
    size_t got = 1, put;
    int no = buf != NULL ? 0 : ENOMEM;
    while (no == 0 && got != 0) {
        struct iovec iov = {buf, COPY_BYTES};
        no = from->vfs->ops->read(from, call, &iov, 1, at, &got);
        for (size_t done = 0; no == 0 && done < got; done += put) {
            iov = (struct iovec){buf + done, got - done};
            no = to->vfs->ops->write(to, call, &iov, 1, at + done, &put, &end);
        }
        at += no == 0 ? got : 0;
    }
    return no;
}

/* Content, then mode and times. Where the file has other names in the folder it is written in its
 * place: they are all one file. */
static int write_file(struct apply *a, const char *path)
{
    const struct cis_vfs_call *call = &a->cow->call;
    struct cis_vfs_attr attr, old, made_attr;
    cis_vfs_file *from = NULL, *to = NULL;
    bool linked = cis_at_stat(a->to.root, call, text(path), CIS_WALK_NOFOLLOW, &old) == 0 &&
                  S_ISREG(old.mode) && old.nlink > 1;
    const char *name = linked ? path : ASIDE;
    int no = cis_at_open(a->cow->above.root, call, text(path), CIS_WALK_NOFOLLOW, O_RDONLY, 0,
                         &from, &attr);
    if (no == 0) {
        no = cis_at_open(a->to.root, call, text(name), CIS_WALK_NOFOLLOW,
                         O_WRONLY | O_TRUNC | (linked ? 0 : O_CREAT | O_EXCL), 0600, &to,
                         &made_attr);
    }
    no = no == 0 ? copy_bytes(a, from, to) : no;
    if (no == 0) {
        struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE | CIS_VFS_SET_ATIME | CIS_VFS_SET_MTIME,
                                  .mode = attr.mode & 07777,
                                  .atime = attr.atime,
                                  .mtime = attr.mtime};
        no = cis_file_set(to, call, &set, NULL);
    }
    no = no == 0 ? to->vfs->ops->sync(to, call, false) : no;
    bool made = to != NULL && !linked;
    cis_vfs_file_close(from);
    cis_vfs_file_close(to);
    if (no == 0 && !linked) {
        no = cis_at_rename(a->to.root, text(ASIDE), a->to.root, text(path), call, 0, 0);
    }
    if (no != 0 && made) {
        (void)cis_at_unlink(a->to.root, call, text(ASIDE), 0);
    }
    return no;
}

static int write_link(struct apply *a, const char *path)
{
    const struct cis_vfs_call *call = &a->cow->call;
    CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(CIS_VFS_PATH_MAX);
    int no = cis_at_readlink(a->cow->above.root, call, text(path), 0, &target);
    struct cis_vfs_make make = {.mode = S_IFLNK | 0777, .target = cis_buf_view(&target)};
    no = no == 0 ? cis_at_make(a->to.root, call, text(ASIDE), 0, &make) : no;
    no = no == 0 ? cis_at_rename(a->to.root, text(ASIDE), a->to.root, text(path), call, 0, 0) : no;
    return no;
}

static int write_folder(struct apply *a, const struct cow_change *c)
{
    const struct cis_vfs_call *call = &a->cow->call;
    struct cis_vfs_make make = {.mode = S_IFDIR | (c->mode & 07777)};
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = c->mode & 07777};
    int no = c->what == 'A' ? cis_at_make(a->to.root, call, text(c->path), 0, &make) : 0;
    no = no == EEXIST ? 0 : no; /* by an apply before that did not get to its end */
    return no == 0 ? cis_at_set(a->to.root, call, text(c->path), CIS_WALK_NOFOLLOW, &set) : no;
}

/* ---- renamed folders ---- */

static void aside_name(size_t number, char out[40])
{
    snprintf(out, 40, ASIDE "-%zu", number);
}

static int deepest_first(const void *a, const void *b)
{
    const struct cow_change *x = *(struct cow_change *const *)a;
    const struct cow_change *y = *(struct cow_change *const *)b;
    return -strcmp(x->from, y->from); /* what is in a folder comes after it in order */
}

static cis_code move_aside(struct apply *a)
{
    size_t n = 0;
    CIS_CLEANUP(cis_freep)
    struct cow_change **renames = cis_calloc(cis_size_add(a->list.n, 1), sizeof *renames);
    if (renames == NULL) {
        return cis_fail(a->err, CIS_E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < a->list.n; i++) {
        if (a->list.at[i].what == 'R') {
            renames[n++] = &a->list.at[i];
        }
    }
    if (n != 0) {
        qsort(renames, n, sizeof *renames, deepest_first);
    }
    for (size_t i = 0; i < n; i++) {
        char name[40];
        aside_name(renames[i]->number, name);
        int no = cis_at_rename(a->to.root, text(renames[i]->from), a->to.root, text(name),
                               &a->cow->call, 0, RENAME_NOREPLACE);
        if (no != 0) {
            cis_code code = fail(a, no, renames[i]->from);
            while (i-- > 0) { /* back to where they were, the outermost first */
                aside_name(renames[i]->number, name);
                (void)cis_at_rename(a->to.root, text(name), a->to.root, text(renames[i]->from),
                                    &a->cow->call, 0, RENAME_NOREPLACE);
            }
            return code;
        }
    }
    return CIS_OK;
}

/* What an apply left that was killed: a file half written is nothing, a folder is somebody's. */
static cis_code clear_aside(struct apply *a)
{
    struct cow_entries list = {0};
    int no = cow_list(&a->to, &a->cow->call, ".", &list);
    cis_code code = no == 0 ? CIS_OK : fail(a, no, a->cow->folder);
    for (size_t i = 0; i < list.n && code == CIS_OK; i++) {
        const char *name = list.at[i].name;
        if (strcmp(name, ASIDE) == 0) {
            no = cis_at_unlink(a->to.root, &a->cow->call, text(name), 0);
            code = no == 0 ? CIS_OK : fail(a, no, name);
        } else if (cis_str_starts(text(name), CIS_STR(ASIDE "-"))) {
            code = cis_fail(a->err, CIS_E_EXISTS,
                            "%.100s/%.60s: a folder that an interrupted apply was moving; move it "
                            "to where it belongs",
                            a->cow->folder, name);
        }
    }
    cow_entries_done(&list);
    return code;
}

static int write_one(struct apply *a, const struct cow_change *c)
{
    char name[40];
    if (c->what == 'D') {
        return remove_any(a, c->path);
    }
    if (c->what == 'R') {
        aside_name(c->number, name);
        int no = cis_at_rename(a->to.root, text(name), a->to.root, text(c->path), &a->cow->call, 0,
                               RENAME_NOREPLACE);
        return no == 0 ? write_folder(a, c) : no;
    }
    return S_ISDIR(c->mode)   ? write_folder(a, c)
           : S_ISLNK(c->mode) ? write_link(a, c->path)
                              : write_file(a, c->path);
}

static bool told(struct apply *a, const struct cow_change *c)
{
    struct cis_union_change change = {.what = c->what,
                                      .path = text(c->path),
                                      .from = text(c->from != NULL ? c->from : ""),
                                      .mode = c->mode,
                                      .size = c->size,
                                      .old_size = c->old_size};
    a->done++;
    return a->how->each == NULL || a->how->each(a->how->self, &change);
}

static cis_code write_all(struct apply *a)
{
    struct cis_hostdir_options o = CIS_HOSTDIR_OPTIONS_INIT;
    CIS_TRY(cis_hostdir_open(a->cow->folder, &o, &a->vfs, a->err));
    CIS_TRY(cow_tree_open(&a->to, a->vfs, &a->cow->call, a->err));
    CIS_TRY(clear_aside(a));
    CIS_TRY(move_aside(a));
    for (size_t i = 0; i < a->list.n; i++) {
        const struct cow_change *c = &a->list.at[i];
        int no = write_one(a, c);
        if (no != 0) {
            return fail(a, no, c->path);
        }
        if (!told(a, c)) {
            break;
        }
    }
    return CIS_OK;
}

static void apply_done(struct apply *a)
{
    cow_tree_close(&a->to);
    cis_vfs_close(a->vfs);
    cow_changes_done(&a->list);
}

cis_code cis_cow_apply(cis_cow *cow, const struct cis_cow_apply *how, uint64_t *out_n,
                       struct cis_error *err)
{
    CIS_CLEANUP(apply_done) struct apply a = {.cow = cow, .how = how, .err = err};
    CIS_TRY(cow_collect(cow, &a.list, err));
    CIS_TRY(check(&a));
    if (!how->dry_run) {
        CIS_TRY(write_all(&a));
    } else {
        for (size_t i = 0; i < a.list.n && told(&a, &a.list.at[i]); i++) {
        }
    }
    *out_n = a.done;
    return CIS_OK;
}
