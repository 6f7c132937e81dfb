/* Changes of a union whose branch is at its quota of files, with room for 0, 1, 2, … more: each is
 * done, or refused and nothing of it shows. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "vfs/backend_layered.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/ops.h"
#include "vfs/union/union.h"
#include "vfs/walk.h"
#include "store/calls.h"

#define ROOM_MAX 24u

struct act {
    const char *name;
    const char *before[3]; /* what was done already: "rm PATH", "write PATH" */
    const char *what;      /* "mv A B", "swap A B", "rm PATH", "write PATH", "ln A B" */
};

static struct layered_place *place;
static cis_vfs *joined;
static cis_ns *ns;
static cis_dir *root;
static const struct cis_vfs_call nobody = {0};

static void lower_dir(const char *name)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s", place->folder, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void lower_file(const char *name, const char *other)
{
    char path[4400], second[4400];
    snprintf(path, sizeof path, "%s/%s", place->folder, name);
    assert_ok(cis_file_write(path, cis_bytes_of("text", 4), 0644, err));
    if (other != NULL) {
        snprintf(second, sizeof second, "%s/%s", place->folder, other);
        assert_int_equal(link(path, second), 0);
    }
}

static void quota(uint64_t files)
{
    struct cis_tenant limits = {.quota_files = files};
    assert_ok(cis_store_tenant_quota(place->store, LAYERED_TENANT, &limits, NULL, err));
}

static void open_union(const char *ref)
{
    struct cis_hostdir_options options = CIS_HOSTDIR_OPTIONS_INIT;
    options.read_only = true;
    assert_ok(cis_hostdir_open(place->folder, &options, &place->lower, err));
    place->upper = layered_open(place, ref, (struct cis_view){0, 0}, false);
    assert_ok(cis_union_open(place->lower, place->upper, NULL, &joined, err));
    assert_ok(cis_ns_new(&ns, err));
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), joined, 0, false, err));
    assert_int_equal(cis_dir_root(ns, &nobody, CIS_STR("/"), &root), 0);
}

static void close_union(void)
{
    cis_dir_free(root);
    cis_ns_free(ns);
    cis_vfs_close(joined);
    cis_vfs_close(place->upper);
    cis_vfs_close(place->lower);
    place->upper = place->lower = NULL;
}

static int act(const char *text)
{
    char verb[16], a[64], b[64] = "";
    struct cis_vfs_attr attr;
    assert_true(sscanf(text, "%15s %63s %63s", verb, a, b) >= 2);
    struct cis_str x = cis_str_of(a), y = cis_str_of(b);
    if (strcmp(verb, "mv") == 0) {
        return cis_at_rename(root, x, root, y, &nobody, 0, 0);
    }
    if (strcmp(verb, "swap") == 0) {
        return cis_at_rename(root, x, root, y, &nobody, 0, 2);
    }
    if (strcmp(verb, "ln") == 0) {
        return cis_at_link(root, x, root, y, &nobody, 0);
    }
    if (strcmp(verb, "rm") == 0) {
        return cis_at_unlink(root, &nobody, x, 0);
    }
    cis_vfs_file *file = NULL;
    int no = cis_at_open(root, &nobody, x, &(struct cis_open_how){0, O_CREAT | O_WRONLY, 0644},
                         &file, &attr);
    if (no == 0) {
        struct iovec iov = {a, 3};
        size_t n = 0;
        uint64_t end;
        no = cis_vfs_write(file, &nobody, &iov, 1, 0, &n, &end);
        cis_vfs_file_close(file);
    }
    return no;
}

/* ---- what is shown ---- */
struct shown {
    struct cis_buf *out;
    const char *dir;
};

static void show(const char *dir, struct cis_buf *out);

static bool show_each(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *none)
{
    struct shown *s = self;
    struct cis_vfs_attr attr;
    char path[400];
    (void)none;
    if (cis_str_is(e->name, ".") || cis_str_is(e->name, "..")) {
        return true;
    }
    snprintf(path, sizeof path, "%s%s%.*s", s->dir, s->dir[0] != 0 ? "/" : "", (int)e->name.len,
             e->name.ptr);
    assert_int_equal(cis_at_stat(root, &nobody, cis_str_of(path), CIS_WALK_NOFOLLOW, &attr), 0);
    cis_buf_printf(s->out, "%s %o %llu", path, attr.mode,
                   (unsigned long long)(S_ISDIR(attr.mode) ? 0 : attr.size));
    cis_buf_printf(s->out, " %u\n", S_ISDIR(attr.mode) ? 0 : attr.nlink);
    if (S_ISDIR(attr.mode)) {
        show(path, s->out);
    }
    return true;
}

static int line_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show(const char *dir, struct cis_buf *out)
{
    struct shown s = {out, dir};
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    const char *path = dir[0] != 0 ? dir : ".";
    assert_int_equal(cis_at_open(root, &nobody, cis_str_of(path),
                                 &(struct cis_open_how){0, O_RDONLY | O_DIRECTORY, 0}, &file,
                                 &attr),
                     0);
    assert_int_equal(cis_vfs_readdir(file, &nobody, 0, false, show_each, &s), 0);
    cis_vfs_file_close(file);
}

/* In order, as listings of unions have none that stays. */
static char *all(void)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(1u << 20);
    char *lines[200], *text, *sorted = calloc(1, 1 << 20), *rest = NULL;
    size_t n = 0;
    show("", &out);
    text = strdup(cis_buf_cstr(&out));
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && n < 200;
         line = strtok_r(NULL, "\n", &rest)) {
        lines[n++] = line;
    }
    qsort((void *)lines, n, sizeof *lines, line_cmp);
    for (size_t i = 0, at = 0; i < n; i++) {
        at += (size_t)snprintf(sorted + at, (1u << 20) - at, "%s\n", lines[i]);
    }
    free(text);
    return sorted;
}

static int acted(const struct act *a, uint64_t room, char **out_before, char **out_after)
{
    struct cis_vfs_usage usage;
    static unsigned forks;
    char ref[32] = "";
    quota(0);
    open_union("");
    for (size_t i = 0; i < 3 && a->before[i] != NULL; i++) {
        assert_int_equal(act(a->before[i]), 0);
    }
    assert_int_equal(cis_vfs_statfs(place->upper, &nobody, &usage), 0);
    if (a->before[0] != NULL) {
        snprintf(ref, sizeof ref, "kept%u", forks++);
        assert_ok(cis_layered_commit_fork(place->upper, cis_str_of(ref), NULL, NULL, NULL, err));
    }
    close_union(); /* a quota is read when a view is opened */
    quota(room != UINT64_MAX ? usage.files + room : 0);
    open_union(ref);
    *out_before = all();
    int no = act(a->what);
    *out_after = all();
    close_union();
    return no;
}

static void at_the_quota_of_files_a_change_is_whole_or_refused(void **state)
{
    (void)state;
    static const struct act acts[] = {
        {"a folder", {NULL}, "mv d new"},
        {"a folder into another", {NULL}, "mv d/deep e/new"},
        {"a folder that was copied", {"write d/f"}, "mv d new"},
        {"a folder onto an empty one", {NULL}, "mv d empty"},
        {"a folder onto one that was emptied", {"rm e/g"}, "mv d e"},
        {"a file", {NULL}, "mv d/f new"},
        {"a file onto a file", {NULL}, "mv d/f e/g"},
        {"a file of several names", {NULL}, "mv two new"},
        {"a file onto one of several names", {NULL}, "mv d/f two"},
        {"a new file onto one of several names", {"write n"}, "mv n two"},
        {"a copy of several names onto a file", {"write two"}, "mv two e/g"},
        {"a file onto a copy of several names", {"write two"}, "mv d/f one"},
        {"two folders", {NULL}, "swap d e"},
        {"two files", {NULL}, "swap one d/f"},
        {"a file goes", {NULL}, "rm d/f"},
        {"a name of several goes", {NULL}, "rm two"},
        {"a name of a copy of several goes", {"write two"}, "rm one"},
        {"a changed file goes", {"write d/f"}, "rm d/f"},
        {"another name", {NULL}, "ln one e/new"},
        {"a file is changed", {NULL}, "write d/deep/h"},
    };
    place = layered_begin();
    place->folder = test_dir_new();
    lower_dir("d");
    lower_dir("d/deep");
    lower_dir("e");
    lower_dir("empty");
    lower_file("d/f", NULL);
    lower_file("d/deep/h", NULL);
    lower_file("e/g", NULL);
    lower_file("one", "two");
    cis_vfs_close(layered_open(place, "", (struct cis_view){0, 0}, false));
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        char *before, *after, *whole;
        bool refused = false;
        assert_int_equal(acted(&acts[i], UINT64_MAX, &before, &whole), 0);
        free(before);
        uint64_t room = acts[i].before[0] == NULL; /* 0 as a quota is none */
        for (int no = EDQUOT; no != 0; room++) {
            if (room > ROOM_MAX) {
                fail_msg("%s: refused with room for %u", acts[i].name, ROOM_MAX);
            }
            no = acted(&acts[i], room, &before, &after);
            refused = refused || no != 0;
            if ((no != 0 && no != EDQUOT) || strcmp(after, no == 0 ? whole : before) != 0) {
                fail_msg("%s with room for %u: %s\nbefore:\n%s\nafter:\n%s", acts[i].name,
                         (unsigned)room, strerror(no), before, after);
            }
            free(before);
            free(after);
        }
        free(whole);
    }
    layered_end(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_the_quota_of_files_a_change_is_whole_or_refused),
    };
    stores_start();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
