/* Looking at a folder through the branch of a cow mount. */
#include "run/cow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "run/cow_deep.h"
#include "vfs/hostdir/hostdir.h"

cis_code cis_cow_fail(cis_cow *cow, int rc, const char *path, struct cis_error *err)
{
    if ((rc == EIO || rc == EINTR) && cow->why.code != CIS_OK) {
        return cis_fail(err, cow->why.code, "%.120s: %s", path, cow->why.msg);
    }
    return cis_vfs_fail(err, rc, "%.160s", path);
}

cis_code cis_cow_tree_open(struct cow_tree *tree, cis_vfs *vfs, const struct cis_vfs_call *call,
                           struct cis_error *err)
{
    CIS_TRY(cis_ns_new(&tree->ns, err));
    CIS_TRY(cis_ns_mount(tree->ns, CIS_STR("/"), vfs, 0, false, err));
    int rc = cis_dir_root(tree->ns, call, CIS_STR("/"), &tree->root);
    return rc == 0 ? CIS_OK : cis_vfs_fail(err, rc, "/");
}

void cis_cow_tree_close(struct cow_tree *tree)
{
    cis_cow_places_done(tree);
    cis_dir_free(cis_take(&tree->root));
    cis_ns_free(cis_take(&tree->ns));
}

void cis_cow_close(cis_cow *cow)
{
    if (cow == NULL) {
        return;
    }
    cis_cow_tree_close(&cow->above);
    cis_cow_tree_close(&cow->below);
    cis_vfs_close(cow->joined);
    cis_vfs_close(cow->upper);
    cis_vfs_close(cow->lower);
    cis_free(cow->tenant);
    cis_free(cow->folder);
    cis_free(cow);
}

static cis_code open_all(cis_cow *cow, const struct cis_cow_options *options, bool exact,
                         struct cis_error *err)
{
    struct cis_hostdir_options host = CIS_HOSTDIR_OPTIONS_INIT;
    struct cis_layered_options view = CIS_LAYERED_OPTIONS_INIT;
    host.read_only = true;
    host.exact = exact;
    view.tenant = cis_str_of(options->tenant);
    view.at = options->at;
    view.read_only = true;
    CIS_TRY(cis_hostdir_open(cow->folder, &host, &cow->lower, err));
    CIS_TRY(cis_layered_open(options->fs_cache, &view, &cow->stop, &cow->upper, err));
    CIS_TRY(cis_union_open(cow->lower, cow->upper, NULL, &cow->joined, err));
    CIS_TRY(cis_cow_record_again(cow, err));
    CIS_TRY(cis_cow_tree_open(&cow->below, cow->lower, &cow->call, err));
    CIS_TRY(cis_cow_tree_open(&cow->above, cow->joined, &cow->call, err));
    return cis_cow_places_keep(&cow->above, err);
}

cis_code cis_cow_open(const struct cis_cow_options *options, cis_cow **out_cow,
                      struct cis_error *err)
{
    char real[PATH_MAX];
    cis_cow *cow = cis_zalloc(sizeof *cow);
    bool resolved = !options->exact && realpath(options->folder, real) != NULL;
    const char *folder = resolved ? real : options->folder;
    if (cow == NULL || (cow->folder = cis_strdup(folder)) == NULL ||
        (cow->tenant = cis_strdup(options->tenant)) == NULL) {
        cis_cow_close(cow);
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    cow->fs_cache = options->fs_cache;
    cow->at = options->at;
    cow->stop = options->stop != NULL ? *options->stop : (struct cis_stop){UINT64_MAX, NULL};
    cow->call = (struct cis_vfs_call){.stop = &cow->stop, .err = &cow->why};
    cis_code code = open_all(cow, options, options->exact || resolved, err);
    if (code != CIS_OK) {
        cis_cow_close(cow);
        return code;
    }
    *out_cow = cow;
    return CIS_OK;
}

/* ---- changes ---- */

void cis_cow_change_done(struct cow_change *c)
{
    cis_free(c->path);
    cis_free(c->from);
    cis_free(c->target);
}

void cis_cow_changes_done(struct cow_changes *changes)
{
    for (size_t i = 0; i < changes->n; i++) {
        cis_cow_change_done(&changes->at[i]);
    }
    cis_free(changes->at);
    cis_free(changes->too_long);
    *changes = (struct cow_changes){0};
}

/* Takes over its texts; false: out of memory. */
static bool changes_add(struct cow_changes *list, const struct cow_change *change)
{
    if (list->n == list->cap) {
        size_t cap = cis_cap_next(list->cap, 64, CIS_MEM_MAX);
        struct cow_change *more = cis_realloc_array(list->at, cap, sizeof *more);
        if (more == NULL) {
            return false;
        }
        list->at = more;
        list->cap = cap;
    }
    list->at[list->n] = *change;
    list->at[list->n].number = list->n;
    list->n++;
    return true;
}

/* The folder that such a path is told by: its length; 0: the path is short. */
static size_t far_root(struct cis_str path)
{
    size_t len = COW_FAR;
    if (path.len <= COW_FAR_PATH) {
        return 0;
    }
    while (len < path.len && path.ptr[len] != '/') {
        len++; /* a name is not longer than what is left */
    }
    return len;
}

static bool too_long(struct cow_changes *list, const struct cis_union_change *c)
{
    list->too_long = cis_strndup(c->path.ptr, c->path.len);
    list->full = list->too_long == NULL;
    return false;
}

/* Once for those that follow each other. */
static bool add_far(struct cow_changes *list, struct cis_str path)
{
    const struct cow_change *last = list->n != 0 ? &list->at[list->n - 1] : NULL;
    if (last != NULL && last->far && cis_str_is(path, last->path)) {
        return true;
    }
    struct cow_change far = {
        .what = 'A', .path = cis_strndup(path.ptr, path.len), .mode = S_IFDIR, .far = true};
    list->bytes += sizeof *list->at + path.len;
    if (list->bytes > list->most) {
        cis_free(far.path);
        return false;
    }
    if (far.path == NULL || !changes_add(list, &far)) {
        cis_free(far.path);
        list->full = true;
        return false;
    }
    return true;
}

static bool add(void *self, const struct cis_union_change *c)
{
    struct cow_changes *list = self;
    size_t far = list->far ? far_root(c->whole) : 0;
    if (c->cut && (far == 0 || c->what == 'R')) { /* such a path leads nowhere */
        return too_long(list, c);
    }
    if (far != 0) {
        return c->what == 'R' ? too_long(list, c)
                              : add_far(list, (struct cis_str){c->whole.ptr, far});
    }
    list->bytes += sizeof *list->at + c->path.len + c->from.len + c->target.len;
    if (list->bytes > list->most) {
        return false;
    }
    struct cow_change change = {.what = c->what,
                                .path = cis_strndup(c->path.ptr, c->path.len),
                                .mode = c->mode,
                                .size = c->size,
                                .old_size = c->old_size};
    change.from = c->from.len != 0 ? cis_strndup(c->from.ptr, c->from.len) : NULL;
    change.target = c->target.len != 0 ? cis_strndup(c->target.ptr, c->target.len) : NULL;
    if (change.path == NULL || (c->from.len != 0 && change.from == NULL) ||
        (c->target.len != 0 && change.target == NULL) || !changes_add(list, &change)) {
        cis_free(change.path);
        cis_free(change.from);
        cis_free(change.target);
        list->full = true;
        return false;
    }
    return true;
}

/* Bytes in order, '/' before all others: a folder stands before what is in it, and that before
 * other names that only begin so. Of one path the removal comes first. */
static int by_path(const void *a, const void *b)
{
    const struct cow_change *x = a, *y = b;
    const unsigned char *p = (const unsigned char *)x->path, *q = (const unsigned char *)y->path;
    while (*p != 0 && *p == *q) {
        p++;
        q++;
    }
    if (*p != *q) {
        int m = *p == 0 ? 0 : *p == '/' ? 1 : *p + 1, n = *q == 0 ? 0 : *q == '/' ? 1 : *q + 1;
        return m < n ? -1 : 1;
    }
    return (x->far ? 1 : x->what != 'D' ? 2 : 0) - (y->far ? 1 : y->what != 'D' ? 2 : 0);
}

/* What is in a folder that is told as one goes into it; of the folder itself, what had its name
 * before stays. */
static void gather(struct cow_changes *list)
{
    struct cow_change *far = NULL;
    size_t n = 0, len = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct cow_change *c = &list->at[i];
        if (far != NULL && strncmp(c->path, far->path, len) == 0 &&
            (c->path[len] == '\0' || c->path[len] == '/')) {
            if (c->what == 'R' && list->too_long == NULL) {
                list->too_long = cis_take(&c->path);
            }
            cis_cow_change_done(c);
            continue;
        }
        list->at[n] = *c;
        if (c->far) {
            far = &list->at[n];
            len = strlen(far->path);
            far->cleared = n > 0 && strcmp(list->at[n - 1].path, far->path) == 0;
        }
        n++;
    }
    list->n = n;
}

/* A path that is told by its end leads nowhere, and of what is moved so far down not even where it
 * comes from. */
static cis_code fail_long(const struct cow_changes *list, struct cis_error *err)
{
    size_t len = strlen(list->too_long);
    return cis_fail(err, CIS_E_UNSUPPORTED,
                    "…%.60s: a folder that was moved to where paths have more than %u bytes, to "
                    "which an apply moves none: have a later run copy it there, or move it up",
                    list->too_long + (len > 60 ? len - 60 : 0), COW_FAR);
}

cis_code cis_cow_collect(cis_cow *cow, uint64_t most, bool far, struct cow_changes *out,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_cow_changes_done) struct cow_changes list = {.most = most, .far = far};
    int rc = cis_union_changes(cow->joined, &cow->call, add, &list);
    if (rc != 0) {
        return cis_cow_fail(cow, rc, cow->folder, err);
    }
    if (list.full) {
        return cis_fail(err, CIS_E_NOMEM, "changes: out of memory");
    }
    if (list.too_long != NULL) {
        return fail_long(&list, err);
    }
    if (list.bytes > most) {
        return cis_fail(err, CIS_E_LIMIT, "%.100s: the list of changes takes more than %u MiB",
                        cow->folder, (unsigned)(most >> 20));
    }
    if (list.n != 0) {
        qsort(list.at, list.n, sizeof *list.at, by_path);
        gather(&list);
    }
    if (list.too_long != NULL) {
        return fail_long(&list, err);
    }
    *out = list;
    list = (struct cow_changes){0};
    return CIS_OK;
}

/* In order, unless they are so many that they had better be told as they come. */
cis_code cis_cow_changes(cis_cow *cow, cis_union_change_each *each, void *self,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_cow_changes_done) struct cow_changes list = {0};
    cis_code code = cis_cow_collect(cow, COW_SORTED_BYTES, false, &list, err);
    if (code == CIS_E_LIMIT || code == CIS_E_UNSUPPORTED) {
        int rc = cis_union_changes(cow->joined, &cow->call, each, self);
        return rc == 0 ? CIS_OK : cis_cow_fail(cow, rc, cow->folder, err);
    }
    for (size_t i = 0; i < list.n && code == CIS_OK; i++) {
        const struct cow_change *c = &list.at[i];
        struct cis_union_change change = {.what = c->what,
                                          .path = cis_str_of(c->path),
                                          .from = cis_str_of(c->from != NULL ? c->from : ""),
                                          .target = cis_str_of(c->target != NULL ? c->target : ""),
                                          .mode = c->mode,
                                          .size = c->size,
                                          .old_size = c->old_size};
        if (!each(self, &change)) {
            break;
        }
    }
    return code;
}

cis_code cis_cow_read(cis_cow *cow, struct cis_str path, bool folder, struct cis_buf *out,
                      struct cis_error *err)
{
    const struct cow_tree *tree = folder ? &cow->below : &cow->above;
    CIS_CLEANUP(cis_freep) char *text = cis_strndup(path.ptr, path.len);
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    if (text == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    int rc = cis_at_open(tree->root, &cow->call, path,
                         &(struct cis_open_how){COW_WALK, O_RDONLY, 0}, &file, &attr);
    for (size_t got = 1; rc == 0 && got != 0;) {
        uint8_t *at = out->len < out->max ? cis_buf_reserve(out, 1) : NULL;
        size_t room =
            out->cap - out->len < out->max - out->len ? out->cap - out->len : out->max - out->len;
        if (at == NULL) { /* full: is there more? */
            uint8_t more;
            struct iovec one = {&more, 1};
            rc = cis_vfs_read(file, &cow->call, &one, 1, out->len, &got);
            if (rc == 0 && got != 0) {
                cis_vfs_file_close(file);
                return cis_fail(err, CIS_E_LIMIT, "%.160s: more than %zu bytes", text, out->max);
            }
            break;
        }
        struct iovec iov = {at, room};
        rc = cis_vfs_read(file, &cow->call, &iov, 1, out->len, &got);
        out->len += rc == 0 ? got : 0;
    }
    cis_vfs_file_close(file);
    return rc == 0 ? CIS_OK : cis_cow_fail(cow, rc, text, err);
}

/* ---- listings ---- */

char *cis_cow_path(const char *folder, const char *name)
{
    size_t len = cis_size_add(strlen(folder), cis_size_add(strlen(name), 2));
    char *path = cis_alloc(len);
    if (path != NULL) {
        snprintf(path, len, "%s/%s", folder, name);
    }
    return path;
}

static bool list_each(void *self, const struct cis_vfs_entry *entry,
                      const struct cis_vfs_attr *attr)
{
    struct cow_entries *list = self;
    if (cis_str_is(entry->name, ".") || cis_str_is(entry->name, "..")) {
        return true;
    }
    if (list->n == list->cap) {
        size_t cap = cis_cap_next(list->cap, 64, CIS_MEM_MAX);
        struct cow_entry *more = cis_realloc_array(list->at, cap, sizeof *more);
        if (more == NULL) {
            list->cap = SIZE_MAX;
            return false;
        }
        list->at = more;
        list->cap = cap;
    }
    char *name = cis_strndup(entry->name.ptr, entry->name.len);
    if (name == NULL) {
        list->cap = SIZE_MAX;
        return false;
    }
    list->at[list->n++] = (struct cow_entry){name, *attr};
    return true;
}

void cis_cow_entries_done(struct cow_entries *entries)
{
    for (size_t i = 0; i < entries->n; i++) {
        cis_free(entries->at[i].name);
    }
    cis_free(entries->at);
    *entries = (struct cow_entries){0};
}

int cis_cow_list(const struct cow_tree *tree, const struct cis_vfs_call *call, const char *path,
                 struct cow_entries *out)
{
    struct cow_entries list = {0};
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    int rc = cis_cow_tree_file(tree, call, path, O_RDONLY | O_DIRECTORY, &file, &attr);
    if (rc == 0) {
        rc = cis_vfs_readdir(file, call, 0, true, list_each, &list);
        cis_vfs_file_close(file);
    }
    rc = rc == 0 && list.cap == SIZE_MAX ? ENOMEM : rc;
    if (rc != 0) {
        cis_cow_entries_done(&list);
        return rc;
    }
    *out = list;
    return 0;
}
