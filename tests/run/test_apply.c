/* Applies of random runs beside a user who edits, moves, replaces and removes meanwhile: nothing of
 * the user's is lost; what is applied is what the run made; undo brings back what was there. A seed
 * repeats a test exactly, but for what a thread does. --seed N --rounds N --only TEST. */
#include "fixture.h"
#include "apply_far.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "run/cow_internal.h"
#include "run/files.h"

static uint64_t seed_given, rounds_given = 60;

struct round {
    struct fx *fx;
    uint64_t state, tokens;
    char *folder;
    char label[64];
    struct cis_buf mine;   /* tokens that the user wrote and did not take away, each ";uN;" */
    bool meanwhile;        /* the user works between the changes of an apply */
    bool first;            /* nothing was applied yet, and the folder is as it was filled */
    bool links;            /* files have several names, and what is undone is applied again */
    bool failing;          /* calls of the host fail */
    bool far;              /* half of all happens further down than a path is long */
    bool force;            /* and this one takes what it wants, and keeps it */
    struct cis_error said; /* by the last apply */
    uint64_t done, refused, halfway, undone, forced, redone;
};

/* Those far down take longer, and fewer of them tell as much. */
static uint64_t rounds_of(const struct round *r)
{
    return r->far ? rounds_given / 5 : rounds_given;
}

static uint64_t rnd(struct round *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state;
}

static unsigned pick(struct round *r, unsigned n)
{
    return (unsigned)(rnd(r) >> 33) % n;
}

static const char *const folders[] = {"", "a/", "b/", "a/c/", "b/d/"};
static void any_path(struct round *r, char out[64])
{
    const char *folder = folders[pick(r, 5)];
    snprintf(out, 64, "%s%s%u", folder, pick(r, 6) == 0 ? "n" : "f", pick(r, 4));
}

static void any_folder(struct round *r, char out[64])
{
    static const char *const names[] = {"a", "b", "a/c", "b/d", "e", "b/e"};
    snprintf(out, 64, "%s", names[pick(r, 6)]);
}

/* ---- trees as text ---- */

struct lines {
    char **at;
    size_t n, cap;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void line_add(struct lines *l, const char *text)
{
    if (l->n == l->cap) {
        l->cap = l->cap != 0 ? l->cap * 2 : 64;
        l->at = realloc(l->at, l->cap * sizeof *l->at);
    }
    l->at[l->n++] = strdup(text);
}

static void content_of(const cis_dir *dir, const struct cis_vfs_call *call, struct cis_str name,
                       uint32_t mode, char out[2048])
{
    out[0] = '\0';
    if (S_ISREG(mode)) {
        cis_vfs_file *file = NULL;
        struct cis_vfs_attr attr;
        size_t got = 0;
        struct iovec iov = {out, 2047};
        if (cis_at_open(dir, call, name, &(struct cis_open_how){CIS_WALK_NOFOLLOW, O_RDONLY, 0},
                        &file, &attr) == 0) {
            assert_int_equal(cis_vfs_read(file, call, &iov, 1, 0, &got), 0);
            cis_vfs_file_close(file);
        }
        out[got] = '\0';
    } else if (S_ISLNK(mode)) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf target = CIS_BUF_INIT(4096);
        (void)cis_at_readlink(dir, call, name, 0, &target);
        snprintf(out, 2048, "%s", cis_buf_cstr(&target));
    }
}

/* path, mode, content or target: one line a name, long names short. The times of folders and files
 * are not compared. */
static void lines_below(const cis_dir *dir, const struct cis_vfs_call *call, const char *path,
                        struct lines *out)
{
    struct cow_tree tree = {.root = (cis_dir *)(uintptr_t)dir};
    struct cow_entries list = {0};
    if (cis_cow_list(&tree, call, ".", &list) != 0) {
        return; /* somebody moved it at that moment */
    }
    for (size_t i = 0; i < list.n; i++) {
        char child[512], line[4096], content[2048], name[64];
        uint32_t mode = list.at[i].attr.mode;
        cis_dir *sub = NULL;
        far_short(list.at[i].name, name);
        snprintf(child, sizeof child, "%s%s", path, name);
        content_of(dir, call, cis_str_of(list.at[i].name), mode, content);
        snprintf(line, sizeof line, "%s %o %s", child, mode, content);
        line_add(out, line);
        if (S_ISDIR(mode) &&
            cis_at_dir(dir, call, cis_str_of(list.at[i].name), CIS_WALK_NOFOLLOW, &sub) == 0) {
            snprintf(child, sizeof child, "%s%s/", path, name);
            lines_below(sub, call, child, out);
            cis_dir_free(sub);
        }
    }
    cis_cow_entries_done(&list);
}

static void tree_lines(const struct cow_tree *tree, const struct cis_vfs_call *call,
                       struct lines *out)
{
    lines_below(tree->root, call, "", out);
}

static char *lines_join(struct lines *l)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 24);
    if (l->n != 0) {
        qsort(l->at, l->n, sizeof *l->at, by_text);
    }
    for (size_t i = 0; i < l->n; i++) {
        cis_buf_text(&text, l->at[i]);
        cis_buf_byte(&text, '\n');
        free(l->at[i]);
    }
    free(l->at);
    return strdup(cis_buf_cstr(&text));
}

static char *host_tree(struct round *r)
{
    struct cis_error why = {0};
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct cis_vfs_call call = {.stop = &stop, .err = &why};
    struct cow_work w;
    struct lines lines = {0};
    assert_ok(cis_cow_work_open(&w, r->folder, &call, &why, err));
    tree_lines(&w.to, &call, &lines);
    cis_cow_work_done(&w);
    return lines_join(&lines);
}

static void differ(struct round *r, const char *what, const char *have, const char *want)
{
    fail_msg("%s: %s\nhave:\n%s\nwant:\n%s", r->label, what, have, want);
}

/* ---- the user ---- */

static void host_path(const struct round *r, const char *path, char out[4400])
{
    snprintf(out, 4400, "%s/%s", r->folder, path);
}

static void put_file(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd >= 0) {
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
    }
}

static void token(struct round *r, char kind, char out[32])
{
    snprintf(out, 32, ";%c%llu;", kind, (unsigned long long)++r->tokens);
}

/* Every token of the user in a text, into a list. */
static void mine_in(const char *text, struct cis_buf *out)
{
    cis_buf_reset(out);
    for (const char *at = strstr(text, ";u"); at != NULL; at = strstr(at + 1, ";u")) {
        const char *end = strchr(at + 1, ';');
        if (end != NULL) {
            cis_buf_add(out, at, (size_t)(end - at) + 1);
        }
    }
}

static unsigned far_pick(void *self, unsigned n)
{
    return pick(self, n);
}

static void far_token(void *self, char kind, char out[32])
{
    token(self, kind, out);
}

static struct far far_of(struct round *r)
{
    return (struct far){far_pick, far_token, r};
}

static void edit_unseen(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 2) {
        char c = 0; /* the case of the first letter: no token goes */
        if (pread(fd, &c, 1, 1) == 1 && (c == 'o' || c == 'O')) {
            c = (char)(c ^ 0x20);
            assert_int_equal(pwrite(fd, &c, 1, 1), 1);
        }
        struct timespec t[2] = {st.st_atim, st.st_mtim};
        futimens(fd, t);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void user_one(struct round *r)
{
    char a[64], b[64], from[4400], to[4400], text[32];
    any_path(r, a);
    any_path(r, b);
    host_path(r, a, from);
    host_path(r, b, to);
    if (r->far && pick(r, 2) == 0) {
        struct far far = far_of(r);
        far_user(&far, r->folder, a);
        return;
    }
    token(r, 'u', text);
    switch (pick(r, 10)) {
    case 0:
    case 1:
        put_file(from, text, O_TRUNC);
        break;
    case 2:
        put_file(from, text, O_APPEND);
        break;
    case 3: /* beside, and moved there, as editors do */
        host_path(r, "tmp", to);
        put_file(to, text, O_TRUNC);
        if (rename(to, from) != 0) {
            unlink(to);
        }
        break;
    case 4:
        (void)!rename(from, to);
        break;
    case 5:
        unlink(from);
        break;
    case 6: /* folders */
        any_folder(r, a);
        any_folder(r, b);
        host_path(r, a, from);
        host_path(r, b, to);
        (void)!rename(from, to);
        break;
    case 7: { /* one with files in it that are older than the run */
        char outside[4400], inside[4420];
        snprintf(outside, sizeof outside, "%s-out%u", r->folder, pick(r, 3));
        any_folder(r, b);
        host_path(r, b, to);
        if (rename(outside, to) == 0) {
            snprintf(inside, sizeof inside, "%s/moved", to);
            struct stat st;
            assert_int_equal(stat(inside, &st), 0);
        }
        break;
    }
    case 8:
        edit_unseen(from);
        break;
    default:
        any_folder(r, a);
        host_path(r, a, from);
        (void)!mkdir(from, 0755);
        break;
    }
}

/* What the user's own step took away is no loss; all else that was there has to stay. */
static void user_step(struct round *r)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf before = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf kept = CIS_BUF_INIT(1u << 20);
    char *was = host_tree(r);
    mine_in(was, &before);
    user_one(r);
    char *now = host_tree(r);
    if (getenv("APPLY_DEBUG") != NULL) {
        printf("--- user step (meanwhile %d)\nwas:\n%s\nnow:\n%s\n", r->meanwhile, was, now);
    }
    for (const char *at = cis_buf_cstr(&r->mine); *at == ';';) {
        const char *end = strchr(at + 1, ';') + 1;
        char one[32];
        snprintf(one, sizeof one, "%.*s", (int)(end - at), at);
        if (strstr(cis_buf_cstr(&before), one) == NULL && !r->force) {
            fail_msg("%s: %s was lost\n%s", r->label, one, was);
        }
        bool theirs = r->force && strstr(cis_buf_cstr(&before), one) == NULL;
        if (theirs || strstr(now, one) != NULL) {
            cis_buf_text(&kept, one);
        }
        at = end;
    }
    for (const char *at = strstr(now, ";u"); at != NULL; at = strstr(at + 1, ";u")) {
        char one[32];
        snprintf(one, sizeof one, "%.*s", (int)(strchr(at + 1, ';') + 1 - at), at);
        if (strstr(was, one) == NULL) { /* written, or moved in, by this step */
            cis_buf_text(&kept, one);
        }
    }
    cis_buf_reset(&r->mine);
    cis_buf_str(&r->mine, cis_buf_view(&kept));
    free(was);
    free(now);
}

/* What a forced apply took, and is in its record alone, is not looked for in the folder again. */
static void mine_again(struct round *r)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf rest = CIS_BUF_INIT(1u << 20);
    char *tree = host_tree(r);
    for (const char *at = cis_buf_cstr(&r->mine); *at == ';';) {
        const char *end = strchr(at + 1, ';') + 1;
        char one[32];
        snprintf(one, sizeof one, "%.*s", (int)(end - at), at);
        if (strstr(tree, one) != NULL) {
            cis_buf_text(&rest, one);
        }
        at = end;
    }
    cis_buf_reset(&r->mine);
    cis_buf_str(&r->mine, cis_buf_view(&rest));
    free(tree);
}

static void all_mine(struct round *r, const char *tree, const char *also, const char *when)
{
    for (const char *at = cis_buf_cstr(&r->mine); *at == ';';) {
        const char *end = strchr(at + 1, ';') + 1;
        char one[32];
        snprintf(one, sizeof one, "%.*s", (int)(end - at), at);
        if (strstr(tree, one) == NULL && (also == NULL || strstr(also, one) == NULL)) {
            fail_msg("%s: %s lost %s\n%s\nkept:\n%s", r->label, when, one, tree,
                     also != NULL ? also : "");
        }
        at = end;
    }
}

/* ---- the run ---- */

static void guest_write(const cis_dir *dir, const struct cis_vfs_call *call, const char *path,
                        const char *text, int flags)
{
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    size_t put;
    uint64_t end;
    if (cis_at_open(dir, call, cis_str_of(path),
                    &(struct cis_open_how){CIS_WALK_NOFOLLOW, O_WRONLY | O_CREAT | flags, 0644},
                    &file, &attr) == 0) {
        struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
        assert_int_equal(cis_vfs_write(file, call, &iov, 1,
                                       (flags & O_APPEND) != 0 ? CIS_VFS_APPEND : 0, &put, &end),
                         0);
        cis_vfs_file_close(file);
    }
}

/* The same size and time of change: only the content tells. */
static void guest_write_unseen(const cis_dir *dir, const struct cis_vfs_call *call,
                               const char *path)
{
    struct cis_vfs_attr attr;
    if (cis_at_stat(dir, call, cis_str_of(path), CIS_WALK_NOFOLLOW, &attr) == 0 &&
        S_ISREG(attr.mode) && attr.size > 2) {
        struct cis_vfs_set set = {.bits = CIS_VFS_SET_MTIME, .mtime = attr.mtime};
        guest_write(dir, call, path, "#", 0);
        assert_int_equal(cis_at_set(dir, call, cis_str_of(path), CIS_WALK_NOFOLLOW, &set), 0);
    }
}

static void guest_step(struct round *r, const cis_dir *dir, const struct cis_vfs_call *call)
{
    char a[64], b[64], text[32];
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    any_path(r, a);
    any_path(r, b);
    if (r->far && pick(r, 2) == 0) {
        struct far far = far_of(r);
        far_guest(&far, dir, call, a);
        return;
    }
    token(r, 'g', text);
    switch (pick(r, 10)) {
    case 0:
    case 1:
        guest_write(dir, call, a, text, O_TRUNC);
        break;
    case 2:
        guest_write(dir, call, a, text, O_APPEND);
        break;
    case 3:
        (void)cis_at_unlink(dir, call, cis_str_of(a), 0);
        break;
    case 4:
        if (r->links && pick(r, 2) == 0) {
            (void)cis_at_link(dir, cis_str_of(a), dir, cis_str_of(b), call, CIS_WALK_NOFOLLOW);
            break;
        }
        (void)cis_at_rename(dir, cis_str_of(a), dir, cis_str_of(b), call, 0, 0);
        break;
    case 5:
    case 6:
        any_folder(r, a);
        any_folder(r, b);
        (void)cis_at_rename(dir, cis_str_of(a), dir, cis_str_of(b), call, 0,
                            pick(r, 4) == 0 ? RENAME_EXCHANGE : 0);
        break;
    case 7:
        any_folder(r, a);
        (void)(pick(r, 2) == 0 ? cis_at_rmdir(dir, call, cis_str_of(a), 0)
                               : cis_at_make(dir, call, cis_str_of(a), 0, &make));
        break;
    case 8: {
        struct cis_vfs_make link = {.mode = S_IFLNK | 0777, .target = cis_str_of(text)};
        (void)cis_at_make(dir, call, cis_str_of(a), 0, &link);
        break;
    }
    default:
        guest_write_unseen(dir, call, a);
        break;
    }
}

/* What the run sees it may replace: only the rest is the user's alone. */
static void not_seen(struct round *r, const cis_dir *dir, const struct cis_vfs_call *call)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf rest = CIS_BUF_INIT(1u << 20);
    struct cow_tree tree = {.root = (cis_dir *)(uintptr_t)dir};
    struct lines lines = {0};
    tree_lines(&tree, call, &lines);
    char *seen = lines_join(&lines);
    for (const char *at = cis_buf_cstr(&r->mine); *at == ';';) {
        const char *end = strchr(at + 1, ';') + 1;
        char one[32];
        snprintf(one, sizeof one, "%.*s", (int)(end - at), at);
        if (strstr(seen, one) == NULL) {
            cis_buf_text(&rest, one);
        }
        at = end;
    }
    cis_buf_reset(&r->mine);
    cis_buf_str(&r->mine, cis_buf_view(&rest));
    free(seen);
}

static bool run_once(struct round *r, const char *branch, char id[27], struct cis_view *out)
{
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct cis_vfs_call call = {.stop = &stop};
    struct cis_run_mount mount = {
        .guest_path = "/d", .host = r->folder, .mode = CIS_MOUNT_COW, .branch = branch};
    cis_run_files *files = NULL;
    size_t n;
    cis_id_new(id);
    struct cis_run_files_options o = {.fs_cache = r->fx->fs_cache,
                                      .tenant = "t",
                                      .run_id = id,
                                      .mounts = &mount,
                                      .nmounts = 1,
                                      .stop = &stop};
    assert_ok(cis_run_files_open(&o, &files, err));
    const cis_dir *dir = cis_run_files_dirs(files, &n)->dir;
    not_seen(r, dir, &call);
    for (unsigned i = 1 + pick(r, 12); i > 0; i--) {
        guest_step(r, dir, &call);
    }
    bool dirty = cis_run_files_dirty(files);
    if (dirty) {
        struct cis_store_commit with = {.kind = "run"};
        assert_ok(cis_run_files_commit(files, &with, &stop, err));
        *out = cis_run_files_mounted(files, &n)->after;
    }
    cis_run_files_close(files);
    return dirty;
}

/* ---- apply and undo ---- */

static bool user_meanwhile(void *self, const struct cis_union_change *change)
{
    struct round *r = self;
    if (getenv("APPLY_DEBUG") != NULL) {
        printf("+++ %c %.*s from %.*s\n", change->what, (int)change->path.len, change->path.ptr,
               (int)change->from.len, change->from.ptr);
    }
    if (r->meanwhile && pick(r, 3) == 0) {
        user_step(r);
    }
    return true;
}

static char *made_tree(cis_cow *cow)
{
    struct lines lines = {0};
    tree_lines(&cow->above, &cow->call, &lines);
    return lines_join(&lines);
}

static void print_conflict(void *self, struct cis_str path, const char *why)
{
    (void)self;
    if (getenv("APPLY_DEBUG") != NULL) {
        printf("    conflict %.*s %s\n", (int)path.len, path.ptr, why);
    }
}

static bool print_change(void *self, const struct cis_union_change *c)
{
    (void)self;
    printf("    %c %.*s from %.*s %o\n", c->what, (int)c->path.len, c->path.ptr, (int)c->from.len,
           c->from.ptr, c->mode);
    return true;
}

static cis_code apply(struct round *r, const char *id, struct cis_view at, bool force,
                      char **out_made)
{
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct cis_error why = {0};
    struct cis_cow_options o = {
        .fs_cache = r->fx->fs_cache, .tenant = "t", .at = at, .folder = r->folder, .stop = &stop};
    struct cis_cow_apply how = {.run = id,
                                .guest_path = "/d",
                                .force = force,
                                .conflict = print_conflict,
                                .each = user_meanwhile,
                                .self = r};
    cis_cow *cow = NULL;
    uint64_t n = 0;
    assert_ok(cis_cow_open(&o, &cow, err));
    *out_made = made_tree(cow);
    if (getenv("APPLY_DEBUG") != NULL) {
        (void)!cis_cow_changes(cow, print_change, NULL, NULL);
    }
    cis_code code = cis_cow_apply(cow, &how, &n, &why);
    r->said = why;
    if (code != CIS_OK && (why.msg[0] == 0 || why.msg[0] == ';')) {
        fail_msg("%s: apply: \"%s\" does not begin with why it failed", r->label, why.msg);
    }
    bool cannot = r->far && code == CIS_E_UNSUPPORTED; /* folders are not moved down there */
    if (code != CIS_OK && code != CIS_E_CONFLICT && code != CIS_E_EXISTS && !r->failing &&
        !cannot) {
        fail_msg("%s: apply: %d %s", r->label, (int)code, why.msg);
    }
    if (getenv("APPLY_DEBUG") != NULL) {
        printf("=== apply %s (force %d): %d %s\n", id, force, (int)code,
               code != CIS_OK ? why.msg : "");
    }
    cis_cow_close(cow);
    return code;
}

struct newest {
    char ref[CIS_FS_REF_MAX + 1];
};

static bool take_newest(void *self, const struct cis_cow_applied *applied)
{
    struct newest *n = self;
    if (!applied->undone && n->ref[0] == 0) {
        memcpy(n->ref, applied->ref, sizeof n->ref);
    }
    return true;
}

/* CIS_E_NOTFOUND: nothing was applied. */
static cis_code undo(struct round *r, const char *id, char ref[CIS_FS_REF_MAX + 1])
{
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct newest newest = {""};
    struct cis_error why = {0};
    assert_ok(cis_cow_applied_list(r->fx->fs_cache, "t", id, &stop, take_newest, &newest, err));
    memcpy(ref, newest.ref, sizeof newest.ref);
    if (newest.ref[0] == 0) {
        return CIS_E_NOTFOUND;
    }
    struct cis_cow_undo how = {.fs_cache = r->fx->fs_cache,
                               .tenant = "t",
                               .ref = newest.ref,
                               .stop = &stop,
                               .conflict = print_conflict};
    uint64_t n = 0;
    cis_code code = cis_cow_undo(&how, &n, &why);
    if (code != CIS_OK && code != CIS_E_CONFLICT) {
        fail_msg("%s: undo: %d %s", r->label, (int)code, why.msg);
    }
    return code;
}

/* What the record of an apply keeps. */
static char *kept_tree(struct round *r, const char *ref)
{
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct cis_vfs_call call = {.stop = &stop};
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    struct cow_tree tree = {0};
    struct lines lines = {0};
    cis_vfs *vfs = NULL;
    o.tenant = CIS_STR("t");
    o.ref = cis_str_of(ref);
    o.read_only = true;
    assert_ok(cis_layered_open(r->fx->fs_cache, &o, &stop, &vfs, err));
    assert_ok(cis_cow_tree_open(&tree, vfs, &call, err));
    tree_lines(&tree, &call, &lines);
    cis_cow_tree_close(&tree);
    cis_vfs_close(vfs);
    return lines_join(&lines);
}

/* ---- rounds ---- */

static void fill(struct round *r)
{
    char path[64], host[4400], text[32];
    r->meanwhile = false;
    assert_int_equal(mkdir(r->folder, 0755), 0);
    for (size_t i = 1; i < 5; i++) {
        host_path(r, folders[i], host);
        assert_int_equal(mkdir(host, 0755), 0);
    }
    for (unsigned i = 0; i < 12; i++) {
        any_path(r, path);
        host_path(r, path, host);
        token(r, 'o', text);
        put_file(host, text, O_TRUNC);
    }
    if (r->far) {
        struct far far = far_of(r);
        far_fill(&far, r->folder);
    }
    for (unsigned i = r->links ? 8 : 0; i > 0; i--) { /* names of one file, one of them outside */
        char other[4400];
        any_path(r, path);
        host_path(r, path, host);
        any_path(r, path);
        host_path(r, path, other);
        (void)!link(host, other);
        if (i == 1) {
            snprintf(other, sizeof other, "%s-out", r->folder);
            (void)!link(host, other);
        }
    }
    for (unsigned i = 0; i < 3; i++) { /* what is moved in later */
        char outside[4400], inside[4420];
        snprintf(outside, sizeof outside, "%s-out%u", r->folder, i);
        snprintf(inside, sizeof inside, "%s/moved", outside);
        assert_int_equal(mkdir(outside, 0755), 0);
        token(r, 'u', text);
        put_file(inside, text, O_TRUNC);
        snprintf(inside, sizeof inside, "%s/f%u", outside, i);
        token(r, 'u', text);
        put_file(inside, text, O_TRUNC);
    }
    cis_buf_reset(&r->mine);
}

/* What was undone gives the same when it is applied again, and undone again. */
static void apply_again(struct round *r, const char *id, struct cis_view at, bool force,
                        const char *before, const char *after)
{
    for (unsigned i = 1 + pick(r, 2); i > 0; i--) {
        char ref[CIS_FS_REF_MAX + 1], *made = NULL;
        cis_code code = apply(r, id, at, force, &made);
        char *redone = host_tree(r);
        if (code != CIS_OK || strcmp(redone, after) != 0) {
            differ(r, "applied again is not what was applied", redone, after);
        }
        cis_code back = strcmp(before, after) != 0 ? undo(r, id, ref) : CIS_E_NOTFOUND;
        char *undone = host_tree(r);
        if (strcmp(undone, before) != 0) {
            differ(r, "undone again is not what was there", undone, before);
        }
        r->redone += back == CIS_OK;
        free(made);
        free(redone);
        free(undone);
    }
}

/* An apply, forced or not, and its undo, the user standing by or not. */
static void one_apply(struct round *r, const char *id, struct cis_view at)
{
    bool force = pick(r, 4) == 0, meanwhile = pick(r, 2) == 0;
    char ref[CIS_FS_REF_MAX + 1] = "", *made = NULL;
    char *before = host_tree(r);
    r->meanwhile = meanwhile;
    r->force = force && meanwhile;
    cis_code code = apply(r, id, at, force, &made);
    r->meanwhile = r->force = false;
    char *after = host_tree(r);
    r->done += code == CIS_OK;
    r->forced += force;
    if (code == CIS_E_UNSUPPORTED && !meanwhile && strcmp(before, after) != 0) {
        differ(r, "refused, but not as it was", after, before);
    }
    if (!force) {
        all_mine(r, after, NULL, "an apply");
        r->refused += code == CIS_E_CONFLICT && strcmp(before, after) == 0;
    }
    /* A folder that the run renamed, and that is there under its new name in the folder already, by
     * an apply or by the user, shows the branch's part alone. */
    if (!meanwhile && r->first && code == CIS_OK && strcmp(after, made) != 0) {
        differ(r, "applied is not what the run made", after, made);
    }
    /* Ended half-way without anybody's doing: then the undo has to be there. */
    bool half = !meanwhile && code != CIS_OK && strcmp(after, before) != 0;
    r->first = false;
    if (pick(r, 3) != 0 || force || half) {
        cis_code back = undo(r, id, ref);
        char *undone = host_tree(r);
        r->undone += back == CIS_OK;
        r->halfway += back == CIS_OK && code != CIS_OK;
        if (!meanwhile && back == CIS_OK && strcmp(undone, before) != 0) {
            differ(r, "undone is not what was there", undone, before);
        }
        if (r->links && !meanwhile && back == CIS_OK && code == CIS_OK) {
            apply_again(r, id, at, force, before, after);
        }
        if (!meanwhile && (code == CIS_OK || half) && back == CIS_E_CONFLICT) {
            differ(r, "an undo was refused", undone, before);
        }
        char *kept = ref[0] != 0 && back != CIS_OK ? kept_tree(r, ref) : NULL;
        all_mine(r, undone, kept, "an undo");
        free(kept);
        free(undone);
    }
    mine_again(r);
    free(before);
    free(after);
    free(made);
}

static void one_round(struct round *r, uint64_t number)
{
    char branch[64], name[64];
    snprintf(r->label, sizeof r->label, "seed %llu round %llu",
             (unsigned long long)(seed_given + number), (unsigned long long)number);
    r->state = (seed_given + number) * 0x9E3779B97F4A7C15ull | 1;
    rnd(r);
    snprintf(name, sizeof name, "r%llu", (unsigned long long)number);
    snprintf(branch, sizeof branch, "w%llu", (unsigned long long)number);
    r->folder = fx_path(r->fx, name);
    fill(r);
    r->first = true;
    for (unsigned runs = 1 + pick(r, 3); runs > 0; runs--) {
        char id[27];
        struct cis_view at;
        if (!run_once(r, branch, id, &at)) {
            continue;
        }
        for (unsigned i = pick(r, 2) == 0 ? 0 : pick(r, 6); i > 0; i--) {
            user_step(r);
            r->first = false;
        }
        if (pick(r, 5) != 0) {
            one_apply(r, id, at);
        }
    }
    struct cis_error ignored;
    (void)!cis_file_remove_tree(r->folder, &ignored);
    free(r->folder);
}

/* Records of earlier rounds are looked through in later ones: a new store every fifty. */
static void fresh_store(struct round *r, void **state, uint64_t number)
{
    if (number % 50 == 49) {
        void *next = r->fx;
        assert_int_equal(fx_teardown(&next), 0);
        assert_int_equal(fx_setup(&next), 0);
        r->fx = next;
        *state = next;
    }
}

static void all_rounds(struct round *r, void **state)
{
    for (uint64_t i = 0; i < rounds_of(r); i++) {
        fresh_store(r, state, i);
        one_round(r, i);
    }
    cis_buf_done(&r->mine);
}

static void nothing_of_the_users_is_lost_by_applies(void **state)
{
    struct round r = {.fx = *state, .mine = CIS_BUF_INIT(1u << 20)};
    all_rounds(&r, state);
    printf("seed %llu: %llu rounds, %llu applied, %llu forced, %llu refused, %llu undone, %llu of "
           "them half-way\n",
           (unsigned long long)seed_given, (unsigned long long)rounds_given,
           (unsigned long long)r.done, (unsigned long long)r.forced, (unsigned long long)r.refused,
           (unsigned long long)r.undone, (unsigned long long)r.halfway);
}

static void nothing_of_the_users_is_lost_further_down_than_a_path_is_long(void **state)
{
    struct round r = {.fx = *state, .mine = CIS_BUF_INIT(1u << 20), .far = true};
    all_rounds(&r, state);
    printf("seed %llu: %llu far rounds, %llu applied, %llu forced, %llu refused, %llu undone, %llu "
           "of them half-way\n",
           (unsigned long long)seed_given, (unsigned long long)rounds_of(&r),
           (unsigned long long)r.done, (unsigned long long)r.forced, (unsigned long long)r.refused,
           (unsigned long long)r.undone, (unsigned long long)r.halfway);
}

static void files_with_several_names_are_applied_undone_and_applied_again(void **state)
{
    struct round r = {.fx = *state, .mine = CIS_BUF_INIT(1u << 20), .links = true};
    all_rounds(&r, state);
    printf("seed %llu: %llu rounds with links, %llu applied, %llu forced, %llu refused, %llu "
           "undone, %llu of them again\n",
           (unsigned long long)seed_given, (unsigned long long)rounds_given,
           (unsigned long long)r.done, (unsigned long long)r.forced, (unsigned long long)r.refused,
           (unsigned long long)r.undone, (unsigned long long)r.redone);
}

/* What the records of a run's applies keep. */
static void forced_too(struct round *r, const char *id, unsigned applies, struct cis_buf *out)
{
    char ref[CIS_FS_REF_MAX + 1];
    for (unsigned k = 1; k <= applies; k++) {
        snprintf(ref, sizeof ref, CIS_APPLIED_PREFIX "%s-%u", id, k);
        if (fx_has_ref(r->fx, ref)) {
            char *one = kept_tree(r, ref);
            cis_buf_text(out, one);
            free(one);
        }
    }
}

/* What they met: a folder that comes to its old path in another folder, which the undo took for not
 * moved; folders below the old place of a renamed one that nobody told; a folder that the user
 * moved back after the apply, so that the undo thought it had not begun; a folder that lay in
 * itself. With links: a file that lost its other names before the apply, undone and applied again.
 */
static void rounds_that_failed_once_pass(void **state)
{
    static const uint64_t seeds[] = {9101220, 9300740, 50201508, 60100417, 60000356, 3183, 6820};
    struct round r = {.fx = *state, .mine = CIS_BUF_INIT(1u << 20)};
    uint64_t given = seed_given;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        seed_given = seeds[i] - i;
        r.links = seeds[i] < 10000;
        one_round(&r, i);
    }
    seed_given = given;
    cis_buf_done(&r.mine);
}

/* ---- at the very same time ---- */

struct beside {
    struct round *r;
    struct round own; /* a generator of its own */
    _Atomic bool end;
    uint64_t steps;
};

/* A user who takes nothing away: appends, moves, and puts other files in the place of files. */
static void keep_all_step(struct round *r)
{
    char a[64], b[64], from[4400], to[4400], text[32];
    any_path(r, a);
    any_path(r, b);
    host_path(r, a, from);
    host_path(r, b, to);
    if (r->far && pick(r, 2) == 0) {
        struct far far = far_of(r);
        far_user_keeps(&far, r->folder, &r->mine);
        return;
    }
    switch (pick(r, 5)) {
    case 0:
    case 1: {
        int fd = open(from, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            token(r, 'u', text);
            if (pick(r, 2) == 0) {
                usleep(50);
            }
            assert_int_equal(write(fd, text, strlen(text)), strlen(text));
            close(fd);
            cis_buf_text(&r->mine, text);
        }
        break;
    }
    case 2: { /* another file at the name; what was there goes beside it */
        char temp[4400], beside[4400];
        token(r, 'u', text);
        host_path(r, "tmp", temp);
        snprintf(b, sizeof b, "old%llu", (unsigned long long)r->tokens);
        host_path(r, b, beside);
        put_file(temp, text, O_TRUNC);
        if (renameat2(AT_FDCWD, temp, AT_FDCWD, from, RENAME_EXCHANGE) == 0) {
            assert_int_equal(rename(temp, beside), 0);
            cis_buf_text(&r->mine, text);
        } else {
            unlink(temp);
        }
        break;
    }
    case 3: { /* a symlink in the place of whatever it was, as a package manager would */
        char temp[4400], beside[4400];
        token(r, 'u', text);
        host_path(r, "link", temp);
        snprintf(b, sizeof b, "was%llu", (unsigned long long)r->tokens);
        host_path(r, b, beside);
        if (symlink("nowhere", temp) == 0) {
            if (renameat2(AT_FDCWD, temp, AT_FDCWD, from, RENAME_EXCHANGE) == 0) {
                assert_int_equal(rename(temp, beside), 0);
            } else {
                unlink(temp);
            }
        }
        break;
    }
    default:
        (void)!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
        break;
    }
}

static void *user_main(void *arg)
{
    struct beside *b = arg;
    while (!b->end) {
        keep_all_step(&b->own);
        b->steps++;
    }
    return NULL;
}

static void a_user_at_the_same_time_loses_nothing(void **state)
{
    struct round r = {.fx = *state, .mine = CIS_BUF_INIT(1u << 20)};
    uint64_t steps = 0, done = 0, refused = 0;
    for (uint64_t i = 0; i < rounds_given; i++) {
        char name[64], id[27], *made = NULL;
        struct cis_view at;
        pthread_t thread;
        fresh_store(&r, state, i);
        snprintf(r.label, sizeof r.label, "beside %llu", (unsigned long long)i);
        r.state = (seed_given + i) * 0xD1B54A32D192ED03ull | 1;
        rnd(&r);
        snprintf(name, sizeof name, "b%llu", (unsigned long long)i);
        r.folder = fx_path(r.fx, name);
        fill(&r);
        struct beside b = {.r = &r, .own = r, .end = false};
        b.own.mine = CIS_BUF_INIT(64u << 20);
        b.own.tokens += 1u << 30;
        bool ran = run_once(&r, NULL, id, &at);
        assert_int_equal(pthread_create(&thread, NULL, user_main, &b), 0);
        for (unsigned k = 0; ran && k < 3; k++) {
            cis_code code = apply(&r, id, at, pick(&r, 3) == 0, &made);
            done += code == CIS_OK;
            refused += code != CIS_OK;
            free(made);
        }
        b.end = true;
        pthread_join(thread, NULL);
        steps += b.steps;
        char *tree = host_tree(&r);
        CIS_CLEANUP(cis_buf_done) struct cis_buf kept = CIS_BUF_INIT(1u << 24); /* of forced ones */
        forced_too(&r, id, ran ? 3 : 0, &kept);
        cis_buf_reset(&r.mine);
        cis_buf_str(&r.mine, cis_buf_view(&b.own.mine));
        all_mine(&r, tree, cis_buf_cstr(&kept), "an apply at the same time");
        free(tree);
        cis_buf_done(&b.own.mine);
        struct cis_error ignored;
        (void)!cis_file_remove_tree(r.folder, &ignored);
        free(r.folder);
    }
    cis_buf_done(&r.mine);
    printf("%llu steps of the user, %llu applies done, %llu refused or ended half-way\n",
           (unsigned long long)steps, (unsigned long long)done, (unsigned long long)refused);
}

/* ---- between any two calls of the apply ---- */

/* The user's step is taken in the thread of the apply, before a call that it makes of the host: so
 * that every gap between two calls is met, and a seed repeats what happened. */
/* Calls of the host that fail. */
static struct failing {
    unsigned long at, n; /* the at-th; 0: none */
    bool on;             /* and all after it */
} failing;

static bool fails(void)
{
    if (failing.at == 0 || ++failing.n < failing.at || (!failing.on && failing.n > failing.at)) {
        return false;
    }
    errno = ENOSPC;
    return true;
}

static struct between {
    struct round *own; /* NULL: nobody works */
    bool inside;
    int held; /* a file that is open to be written to; -1: none */
    uint64_t steps;
} between = {.held = -1};

static void held_write(struct round *r)
{
    char text[32];
    token(r, 'u', text);
    assert_int_equal(write(between.held, text, strlen(text)), strlen(text));
    cis_buf_text(&r->mine, text);
    close(between.held);
    between.held = -1;
}

static void between_step(void)
{
    struct round *r = between.own;
    if (r == NULL || between.inside || pick(r, 12) != 0) {
        return;
    }
    between.inside = true;
    between.steps++;
    char a[64], b[64], from[4400], to[4400];
    switch (pick(r, 8)) {
    case 0: /* opens now, writes later */
        if (between.held >= 0) {
            held_write(r);
        } else {
            any_path(r, a);
            host_path(r, a, from);
            between.held = open(from, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
        }
        break;
    case 1:
        any_folder(r, a);
        any_folder(r, b);
        host_path(r, a, from);
        host_path(r, b, to);
        (void)!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
        break;
    case 2: { /* a file where there was none */
        char text[32];
        any_path(r, a);
        host_path(r, a, from);
        int fd = open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0) {
            token(r, 'u', text);
            assert_int_equal(write(fd, text, strlen(text)), strlen(text));
            cis_buf_text(&r->mine, text);
            close(fd);
        }
        break;
    }
    default:
        keep_all_step(r);
        break;
    }
    between.inside = false;
}

int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    between_step();
    return fails() ? -1 : __real_renameat2(from_dir, from, to_dir, to, flags);
}

int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags)
{
    between_step();
    return fails() ? -1 : __real_unlinkat(dir, name, flags);
}

int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    between_step();
    return fails() ? -1 : __real_linkat(from_dir, from, to_dir, to, flags);
}

int __real_statx(int dir, const char *name, int flags, unsigned mask, struct statx *out);
int __wrap_statx(int dir, const char *name, int flags, unsigned mask, struct statx *out);
int __wrap_statx(int dir, const char *name, int flags, unsigned mask, struct statx *out)
{
    between_step();
    return __real_statx(dir, name, flags, mask, out);
}

long __real_syscall(long number, long a, long b, long c, long d);
long __wrap_syscall(long number, long a, long b, long c, long d);
long __wrap_syscall(long number, long a, long b, long c, long d)
{
    if (number == SYS_openat2) {
        between_step();
    }
    return __real_syscall(number, a, b, c, d);
}

static void between_calls(void **state, bool far)
{
    struct round r = {.fx = *state, .mine = CIS_BUF_INIT(1u << 20), .far = far};
    uint64_t done = 0, refused = 0;
    between.steps = 0;
    for (uint64_t i = 0; i < rounds_of(&r); i++) {
        char name[64], id[27], *made = NULL;
        struct cis_view at;
        fresh_store(&r, state, i);
        snprintf(r.label, sizeof r.label, "between, seed %llu",
                 (unsigned long long)(seed_given + i));
        r.state = (seed_given + i) * 0xA24BAED4963EE407ull | 1;
        rnd(&r);
        snprintf(name, sizeof name, "t%llu", (unsigned long long)i);
        r.folder = fx_path(r.fx, name);
        fill(&r);
        struct round own = r;
        own.mine = (struct cis_buf)CIS_BUF_INIT(64u << 20);
        own.tokens += 1u << 30;
        bool ran = run_once(&r, NULL, id, &at);
        for (unsigned k = 0; ran && k < 3; k++) {
            between.own = &own;
            cis_code code = apply(&r, id, at, pick(&r, 3) == 0, &made);
            between.own = NULL;
            if (between.held >= 0) {
                held_write(&own);
            }
            done += code == CIS_OK;
            refused += code != CIS_OK;
            free(made);
        }
        char *tree = host_tree(&r);
        CIS_CLEANUP(cis_buf_done) struct cis_buf kept = CIS_BUF_INIT(1u << 24);
        forced_too(&r, id, ran ? 3 : 0, &kept);
        cis_buf_reset(&r.mine);
        cis_buf_str(&r.mine, cis_buf_view(&own.mine));
        all_mine(&r, tree, cis_buf_cstr(&kept), "an apply with a user between its calls");
        free(tree);
        cis_buf_done(&own.mine);
        struct cis_error ignored;
        (void)!cis_file_remove_tree(r.folder, &ignored);
        free(r.folder);
    }
    cis_buf_done(&r.mine);
    printf("%llu steps of the user, %llu applies done, %llu refused or ended half-way\n",
           (unsigned long long)between.steps, (unsigned long long)done,
           (unsigned long long)refused);
}

static void a_user_between_any_two_calls_loses_nothing(void **state)
{
    between_calls(state, false);
}

static void a_user_between_any_two_calls_loses_nothing_far_down(void **state)
{
    between_calls(state, true);
}

/* The n-th call that changes the folder fails, and, every second time, all after it: an apply takes
 * back what it did, or the undo does. */
/* A symlink that was tried, and that could not be removed again: it goes with the next apply. Steps
 * far down need its name. */
static void drop_trial(const struct round *r)
{
    char path[4400];
    struct stat st;
    host_path(r, ".cis-apply", path);
    if (r->far && lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        unlink(path);
    }
}

static void failing_calls(void **state, bool far)
{
    struct round r = {.fx = *state, .mine = CIS_BUF_INIT(1u << 20), .failing = true, .far = far};
    uint64_t back = 0, later = 0, done = 0;
    for (uint64_t i = 0; i < rounds_of(&r); i++) {
        char name[64], id[27], ref[CIS_FS_REF_MAX + 1];
        struct cis_view at;
        fresh_store(&r, state, i);
        snprintf(r.label, sizeof r.label, "failing, seed %llu",
                 (unsigned long long)(seed_given + i));
        r.state = (seed_given + i) * 0xA24BAED4963EE407ull | 1;
        rnd(&r);
        snprintf(name, sizeof name, "x%llu", (unsigned long long)i);
        r.folder = fx_path(r.fx, name);
        fill(&r);
        bool ran = run_once(&r, NULL, id, &at);
        char *before = host_tree(&r);
        if (ran && far) { /* some of it cannot be done there: what others have is below, too */
            char *made = NULL;
            ran = apply(&r, id, at, false, &made) == CIS_OK && undo(&r, id, ref) == CIS_OK;
            free(made);
        }
        for (unsigned long n = 1 + pick(&r, 3); ran; n += 1 + pick(&r, 5)) {
            char *made = NULL;
            failing = (struct failing){.at = n, .on = pick(&r, 2) == 0};
            cis_code code = apply(&r, id, at, false, &made);
            bool met = failing.n >= n;
            failing.at = 0;
            free(made);
            drop_trial(&r);
            char *now = host_tree(&r);
            if (code != CIS_OK && strcmp(now, before) != 0) {
                free(now);
                cis_code undone = undo(&r, id, ref);
                now = host_tree(&r);
                later++;
                if (undone != CIS_OK || strcmp(now, before) != 0) {
                    differ(&r, "not taken back after a call that failed", now, before);
                }
            } else {
                back += code != CIS_OK;
            }
            free(now);
            if (code == CIS_OK) {
                done++;
                if (!met) {
                    break;
                }
                assert_int_equal(undo(&r, id, ref), CIS_OK);
            }
        }
        free(before);
        struct cis_error ignored;
        (void)!cis_file_remove_tree(r.folder, &ignored);
        free(r.folder);
    }
    cis_buf_done(&r.mine);
    printf("%llu taken back by the apply, %llu by the undo, %llu applied\n",
           (unsigned long long)back, (unsigned long long)later, (unsigned long long)done);
}

static void a_call_that_fails_leaves_the_folder_as_it_was(void **state)
{
    failing_calls(state, false);
}

static void a_call_that_fails_far_down_leaves_the_folder_as_it_was(void **state)
{
    failing_calls(state, true);
}

/* Nobody, not even root, makes names in it; false: that cannot be had here. */
static bool lock_folder(const char *path, bool on)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), flags = 0;
    bool good = geteuid() != 0 ? fchmod(fd, on ? 0555 : 0755) == 0
                               : ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
    if (good && geteuid() == 0) {
        flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
        good = ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
    }
    close(fd);
    return good;
}

static void every_folder_is_tried_before_the_first_change(void **state)
{
    struct round r = {.fx = *state, .label = "locked", .failing = true};
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct cis_vfs_call call = {.stop = &stop};
    struct cis_run_mount mount = {.guest_path = "/d", .mode = CIS_MOUNT_COW};
    cis_run_files *files = NULL;
    char id[27], path[4400], *made = NULL;
    size_t n;
    r.folder = fx_path(r.fx, "locked");
    static const char *const made_first[] = {"", "a", "b"};
    for (size_t i = 0; i < 3; i++) {
        host_path(&r, made_first[i], path);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    cis_id_new(id);
    mount.host = r.folder;
    struct cis_run_files_options o = {.fs_cache = r.fx->fs_cache,
                                      .tenant = "t",
                                      .run_id = id,
                                      .mounts = &mount,
                                      .nmounts = 1,
                                      .stop = &stop};
    assert_ok(cis_run_files_open(&o, &files, err));
    guest_write(cis_run_files_dirs(files, &n)->dir, &call, "a/new", "1", 0);
    guest_write(cis_run_files_dirs(files, &n)->dir, &call, "b/new", "2", 0);
    struct cis_store_commit with = {.kind = "run"};
    assert_ok(cis_run_files_commit(files, &with, &stop, err));
    struct cis_view at = cis_run_files_mounted(files, &n)->after;
    cis_run_files_close(files);
    host_path(&r, "b", path);
    if (lock_folder(path, true)) {
        cis_code code = apply(&r, id, at, false, &made);
        assert_true(lock_folder(path, false));
        assert_int_not_equal(code, CIS_OK);
        assert_non_null(
            strstr(r.said.msg, "b/new: nothing was done, because its folder cannot be"));
        free(made);
        host_path(&r, "a/new", path);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    assert_int_equal(apply(&r, id, at, false, &made), CIS_OK);
    free(made);
    host_path(&r, "b/new", path);
    assert_int_equal(access(path, F_OK), 0);
    free(r.folder);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_of_the_users_is_lost_by_applies),
        T(nothing_of_the_users_is_lost_further_down_than_a_path_is_long),
        T(rounds_that_failed_once_pass),
        T(files_with_several_names_are_applied_undone_and_applied_again),
        T(a_user_at_the_same_time_loses_nothing),
        T(a_call_that_fails_leaves_the_folder_as_it_was),
        T(every_folder_is_tried_before_the_first_change),
        T(a_user_between_any_two_calls_loses_nothing),
        T(a_user_between_any_two_calls_loses_nothing_far_down),
        T(a_call_that_fails_far_down_leaves_the_folder_as_it_was),
    };
    return cmocka_run_group_tests_name("apply", tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    seed_given = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) {
            seed_given = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--rounds") == 0) {
            rounds_given = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--only") == 0) {
            cmocka_set_test_filter(argv[i + 1]);
        }
    }
    return fx_run(run_all);
}
