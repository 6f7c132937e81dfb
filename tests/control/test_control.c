/* `/.tarbox`: what it shows, what its verbs do, and that nothing else is special. The trees are
 * folders of the host; layers are a real store's. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include "base/crypto.h"
#include "base/file.h"
#include "store/sqlite/sqlite.h"
#include "vfs/control/control.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/walk.h"
#include "store/calls.h"

#define T CIS_STR("default")

/* Folders: head (what is mounted first), next (what a switch opens), snap (every snapshot). */
static struct world {
    char *dir;
    cis_store *store;
    cis_vfs *vfs;
    cis_ns *ns;
    cis_dir *root;
    struct cis_vfs_call call;
    int invalidated, opened;
    bool refuse_open;
} w;

static void host_path(const char *name, char out[512])
{
    snprintf(out, 512, "%s/%s", w.dir, name);
}

static void host_write(const char *name, const char *text)
{
    char path[512];
    host_path(name, path);
    assert_ok(cis_file_write(path, cis_bytes_of(text, strlen(text)), 0644, err));
}

static cis_vfs *host_open(const char *name)
{
    struct cis_hostdir_options options = CIS_HOSTDIR_OPTIONS_INIT;
    char path[512];
    cis_vfs *vfs = NULL;
    host_path(name, path);
    assert_ok(cis_hostdir_open(path, &options, &vfs, err));
    return vfs;
}

static cis_code open_tree(void *self, struct cis_view at, bool head, cis_vfs **out_vfs,
                          struct cis_error *err)
{
    (void)self;
    assert_int_not_equal(at.branch, 0);
    w.opened++;
    if (w.refuse_open) {
        return cis_fail(err, CIS_E_STORE, "the tree cannot be opened");
    }
    *out_vfs = host_open(head ? "next" : "snap");
    return CIS_OK;
}

static cis_code diff_text(void *self, struct cis_view from, struct cis_view to, struct cis_buf *out,
                          struct cis_error *err)
{
    (void)self;
    (void)err;
    cis_buf_printf(out, "[{\"from\":%d,\"to\":%d}]\n", (int)from.epoch, (int)to.epoch);
    return CIS_OK;
}

static void switched(void *self, cis_node dir, struct cis_str name)
{
    (void)self;
    (void)name;
    assert_true(dir == w.vfs->root);
    w.invalidated++;
}

static int setup(void **state)
{
    (void)state;
    char path[512];
    memset(&w, 0, sizeof w);
    w.dir = test_dir_new();
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = {"head", "next", "snap", "store"};
        host_path(names[i], path);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    host_write("head/file", "of the head");
    host_write("next/file", "of the next");
    host_write("snap/file", "of the snapshot");
    assert_ok(cis_store_sqlite_open(path, &w.store, err));
    assert_ok(cis_store_tenant_create(w.store, T, 0, 0, NULL, err));
    struct cis_control_options options = CIS_CONTROL_OPTIONS_INIT;
    options.store = w.store;
    options.tenant = T;
    options.ref = CIS_STR("main");
    options.open = open_tree;
    options.diff = diff_text;
    options.switched = switched;
    assert_ok(cis_control_new(host_open("head"), &options, &w.vfs, err));
    assert_ok(cis_ns_new(&w.ns, err));
    assert_ok(cis_ns_mount(w.ns, CIS_STR("/"), w.vfs, 0, false, err));
    assert_int_equal(cis_dir_root(w.ns, &w.call, CIS_STR("/"), &w.root), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cis_dir_free(w.root);
    cis_ns_free(w.ns);
    cis_vfs_close(w.vfs);
    cis_store_close(w.store);
    assert_ok(cis_file_remove_tree(w.dir, err));
    free(w.dir);
    return 0;
}

/* ---- short forms ---- */

static int at_open(const char *path, int flags, cis_vfs_file **out)
{
    struct cis_vfs_attr attr;
    return cis_at_open(w.root, &w.call, cis_str_of(path), &(struct cis_open_how){0, flags, 0644},
                       out, &attr);
}

/* The content; NULL: it cannot be opened. free it. */
static char *at_read(const char *path)
{
    cis_vfs_file *file;
    if (at_open(path, O_RDONLY, &file) != 0) {
        return NULL;
    }
    char *text = calloc(1, 65536);
    struct iovec iov = {text, 65535};
    size_t n = 0;
    assert_int_equal(cis_vfs_read(file, &w.call, &iov, 1, 0, &n), 0);
    cis_vfs_file_close(file);
    return text;
}

static void assert_text(const char *path, const char *expected)
{
    char *text = at_read(path);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static int put(cis_vfs_file *file, const char *text)
{
    char copy[8192];
    struct iovec iov = {copy, strlen(text)};
    size_t n = 0;
    uint64_t end;
    snprintf(copy, sizeof copy, "%s", text);
    int no = cis_vfs_write(file, &w.call, &iov, 1, 0, &n, &end);
    assert_true(no != 0 || n == iov.iov_len);
    return no;
}

/* As a shell's `echo TEXT > /.tarbox/layers/VERB`. */
static int verb(const char *name, const char *text)
{
    char path[64];
    cis_vfs_file *file;
    snprintf(path, sizeof path, ".tarbox/layers/%s", name);
    int no = at_open(path, O_WRONLY | O_TRUNC, &file);
    if (no == 0) {
        no = put(file, text);
        cis_vfs_file_close(file);
    }
    return no;
}

static bool note_entry(void *self, const struct cis_vfs_entry *entry,
                       const struct cis_vfs_attr *attr)
{
    assert_true(attr == NULL || (attr->mode & S_IFMT) == entry->type);
    cis_buf_str(self, entry->name);
    cis_buf_byte(self, ' ');
    return true;
}

static void assert_listing(const char *path, const char *expected)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(4096);
    cis_vfs_file *file;
    assert_int_equal(at_open(path, O_RDONLY | O_DIRECTORY, &file), 0);
    assert_int_equal(cis_vfs_readdir(file, &w.call, 0, true, note_entry, &out), 0);
    cis_vfs_file_close(file);
    assert_string_equal(cis_buf_cstr(&out), expected);
}

static json_t *json_at(const char *path)
{
    char *text = at_read(path);
    assert_non_null(text);
    json_t *json = json_loads(text, 0, NULL);
    if (json == NULL) {
        fail_msg("%s: not JSON: %s", path, text);
    }
    free(text);
    return json;
}

static void assert_last_error(const char *part)
{
    char *text = at_read(".tarbox/last_error");
    assert_non_null(text);
    if (part[0] == 0 ? text[0] != 0 : strstr(text, part) == NULL) {
        fail_msg("last_error is \"%s\"", text);
    }
    free(text);
}

/* ---- tests ---- */

static void what_went_wrong_is_a_list_until_it_is_right_again(void **state)
{
    (void)state;
    char text[64];
    cis_control_note(w.vfs, CIS_CONTROL_COMMIT, "no space");
    cis_control_note(w.vfs, CIS_CONTROL_REQUEST, "damaged");
    cis_control_note(w.vfs, CIS_CONTROL_COMMIT, "no space");
    char *have = at_read(".tarbox/last_error");
    assert_non_null(strstr(have, "Z damaged\n"));
    assert_non_null(strstr(have, "Z no space (2 times)\n"));
    assert_true(strstr(have, "damaged") < strstr(have, "no space"));
    free(have);
    cis_control_well(w.vfs, CIS_CONTROL_COMMIT);
    have = at_read(".tarbox/last_error");
    assert_null(strstr(have, "no space"));
    assert_non_null(strstr(have, "damaged"));
    free(have);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "fault %d.", i);
        cis_control_note(w.vfs, CIS_CONTROL_REQUEST, text);
    }
    have = at_read(".tarbox/last_error");
    size_t lines = 0;
    for (const char *at = have; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines, CIS_CONTROL_NOTES);
    assert_null(strstr(have, "fault 67."));
    assert_non_null(strstr(have, "fault 68."));
    assert_non_null(strstr(have, "fault 99."));
    free(have);
    cis_control_well(w.vfs, CIS_CONTROL_REQUEST);
    assert_last_error("");
}

static void a_name_with_a_line_break_forges_no_fault(void **state)
{
    (void)state;
    cis_control_note(w.vfs, CIS_CONTROL_COMMIT,
                     "f\n2026-01-01T00:00:00Z all is well\033[2J: is lost");
    char *have = at_read(".tarbox/last_error");
    assert_non_null(strstr(have, "Z f?2026-01-01T00:00:00Z all is well?[2J: is lost\n"));
    assert_ptr_equal(strchr(have, '\n'), have + strlen(have) - 1);
    free(have);
    cis_control_well(w.vfs, CIS_CONTROL_COMMIT);
}

static void the_folder_is_there_and_no_listing_of_the_root_shows_it(void **state)
{
    (void)state;
    assert_listing(".", ". .. file ");
    assert_listing(".tarbox", ". .. layers stats snapshots last_error mount ");
    assert_listing(".tarbox/layers", ". .. current list tree diff new switch drop ");
    assert_listing(".tarbox/stats", ". .. usage ");
    assert_listing(".tarbox/snapshots", ". .. ");
    assert_null(at_read(".tarbox/none"));
    assert_null(at_read(".tarbox/snapshots/none"));
    assert_null(at_read(".tarbox/last_error/x"));
}

static void only_that_very_name_in_the_root_is_special(void **state)
{
    (void)state;
    struct cis_vfs_make dir = {.mode = S_IFDIR | 0755};
    cis_vfs_file *file;
    assert_int_equal(at_open(".tarboxfoo", O_CREAT | O_WRONLY, &file), 0);
    assert_int_equal(put(file, "plain"), 0);
    cis_vfs_file_close(file);
    assert_text(".tarboxfoo", "plain");
    assert_int_equal(cis_at_make(w.root, &w.call, CIS_STR("sub"), 0, &dir), 0);
    assert_int_equal(cis_at_make(w.root, &w.call, CIS_STR("sub/.tarbox"), 0, &dir), 0);
    assert_listing("sub/.tarbox", ". .. ");
    assert_int_equal(cis_at_make(w.root, &w.call, CIS_STR(".tarbox"), 0, &dir), EEXIST);
    assert_int_equal(cis_at_rmdir(w.root, &w.call, CIS_STR(".tarbox"), 0), EPERM);
    assert_int_equal(cis_at_rename(w.root, CIS_STR(".tarbox"), w.root, CIS_STR("x"), &w.call, 0, 0),
                     EPERM);
    assert_int_equal(
        cis_at_rename(w.root, CIS_STR("sub"), w.root, CIS_STR(".tarbox"), &w.call, 0, 0), EPERM);
    assert_int_equal(
        cis_at_link(w.root, CIS_STR(".tarbox/last_error"), w.root, CIS_STR("x"), &w.call, 0),
        EXDEV);
    assert_int_equal(cis_at_make(w.root, &w.call, CIS_STR(".tarbox/x"), 0, &dir), EPERM);
    assert_int_equal(cis_at_unlink(w.root, &w.call, CIS_STR(".tarbox/last_error"), 0), EPERM);
}

static void control_files_open_for_what_they_are_and_cannot_be_changed(void **state)
{
    (void)state;
    cis_vfs_file *file;
    struct cis_vfs_set mode = {.bits = CIS_VFS_SET_MODE, .mode = 0777};
    struct cis_vfs_set cut = {.bits = CIS_VFS_SET_SIZE, .size = 0};
    assert_int_equal(at_open(".tarbox/layers/list", O_WRONLY, &file), EACCES);
    assert_int_equal(at_open(".tarbox/layers/list", O_RDWR, &file), EACCES);
    assert_int_equal(at_open(".tarbox/layers/new", O_RDONLY, &file), EACCES);
    assert_int_equal(at_open(".tarbox/layers/new", O_RDWR, &file), EACCES);
    assert_int_equal(cis_at_set(w.root, &w.call, CIS_STR(".tarbox/layers/new"), 0, &mode), EPERM);
    assert_int_equal(cis_at_set(w.root, &w.call, CIS_STR(".tarbox/layers/new"), 0, &cut), 0);
    assert_int_equal(cis_at_set(w.root, &w.call, CIS_STR(".tarbox/layers/list"), 0, &cut), EPERM);
}

/* What lies in a closed folder is named by them. The kernel goes by the modes. */
static void files_that_name_files_are_read_by_who_mounted_alone(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint32_t mode;
    } rows[] = {{".tarbox/layers/diff", 0400},    {".tarbox/last_error", 0400},
                {".tarbox/layers/current", 0444}, {".tarbox/layers/list", 0444},
                {".tarbox/layers/tree", 0444},    {".tarbox/stats/usage", 0444},
                {".tarbox/mount", 0444},          {".tarbox/layers/new", 0200},
                {".tarbox/layers/switch", 0200},  {".tarbox/layers/drop", 0200}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cis_vfs_attr attr;
        assert_int_equal(cis_at_stat(w.root, &w.call, cis_str_of(rows[i].path), 0, &attr), 0);
        assert_int_equal(attr.mode & 07777, rows[i].mode);
    }
}

static void layers_are_made_listed_and_dropped(void **state)
{
    (void)state;
    assert_int_equal(verb("new", "first\n"), 0);
    assert_int_equal(
        verb("new", "{\"name\":\"two\",\"description\":\"the \\\"second\\\"\",\"confirm\":true}"),
        0);
    json_t *list = json_at(".tarbox/layers/list");
    assert_int_equal(json_array_size(list), 3);
    json_t *first = json_array_get(list, 0), *two = json_array_get(list, 1);
    json_t *head = json_array_get(list, 2);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "first");
    assert_true(json_is_null(json_object_get(first, "parent_id")));
    assert_true(json_is_true(json_object_get(first, "is_readonly")));
    assert_string_equal(json_string_value(json_object_get(two, "description")), "the \"second\"");
    assert_string_equal(json_string_value(json_object_get(two, "parent_id")),
                        json_string_value(json_object_get(first, "layer_id")));
    assert_string_equal(json_string_value(json_object_get(head, "name")), "main");
    assert_true(json_is_true(json_object_get(head, "is_current")));
    assert_string_equal(json_string_value(json_object_get(head, "parent_id")),
                        json_string_value(json_object_get(two, "layer_id")));
    static const char *const fields[] = {"layer_id",   "name",        "parent_id",
                                         "created_at", "is_readonly", "is_current",
                                         "file_count", "total_size",  "description"};
    for (size_t i = 0; i < 9; i++) {
        assert_non_null(json_object_get(two, fields[i]));
        assert_non_null(json_object_get(head, fields[i]));
    }
    json_decref(list);
    json_t *tree = json_at(".tarbox/layers/tree"), *inner = json_array_get(tree, 0);
    inner = json_array_get(json_object_get(inner, "children"), 0);
    assert_string_equal(json_string_value(json_object_get(inner, "name")), "two");
    inner = json_array_get(json_object_get(inner, "children"), 0);
    assert_string_equal(json_string_value(json_object_get(inner, "name")), "main");
    json_decref(tree);
    json_t *current = json_at(".tarbox/layers/current");
    assert_string_equal(json_string_value(json_object_get(current, "name")), "main");
    json_decref(current);
    json_decref(json_at(".tarbox/layers/diff"));
    json_t *usage = json_at(".tarbox/stats/usage");
    assert_int_equal(json_integer_value(json_object_get(usage, "layer_count")), 3);
    assert_string_equal(json_string_value(json_object_get(usage, "tenant_id")), "default");
    json_decref(usage);
    assert_int_equal(verb("drop", "{\"layer\":\"first\"}"), 0);
    assert_listing(".tarbox/snapshots", ". .. two ");
    assert_int_equal(verb("drop", "first"), ENOENT);
    assert_last_error("no layer of that name");
    assert_int_equal(verb("drop", "two"), 0);
    assert_last_error("");
}

static void verbs_refuse_what_they_cannot_read(void **state)
{
    (void)state;
    char *big = malloc(6000);
    memset(big, 'x', 5999);
    big[5999] = 0;
    assert_int_equal(verb("new", ""), EINVAL);
    assert_int_equal(verb("new", "not a valid name"), EINVAL);
    assert_int_equal(verb("new", "{\"name\":"), EINVAL);
    assert_last_error("neither a name nor a JSON object");
    assert_int_equal(verb("new", "{\"name\":7}"), EINVAL);
    assert_int_equal(verb("new", "{\"layer\":\"x\"}"), EINVAL);
    assert_int_equal(verb("new", big), E2BIG);
    assert_int_equal(verb("new", "same"), 0);
    assert_int_equal(verb("new", "same"), EEXIST);
    assert_int_equal(verb("switch", "none"), ENOENT);
    free(big);
}

static void what_is_read_is_what_was_when_it_was_opened(void **state)
{
    (void)state;
    cis_vfs_file *before;
    char text[4096] = "";
    struct iovec iov = {text, sizeof text - 1};
    size_t n;
    assert_int_equal(at_open(".tarbox/layers/list", O_RDONLY, &before), 0);
    assert_int_equal(verb("new", "later"), 0);
    assert_int_equal(cis_vfs_read(before, &w.call, &iov, 1, 0, &n), 0);
    assert_null(strstr(text, "later"));
    assert_int_equal(cis_vfs_read(before, &w.call, &iov, 1, n, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(cis_vfs_read(before, &w.call, &iov, 1, UINT64_MAX - 1, &n), 0);
    assert_int_equal(n, 0);
    cis_vfs_file_close(before);
    char *after = at_read(".tarbox/layers/list");
    assert_non_null(strstr(after, "later"));
    free(after);
}

static void snapshots_are_trees_that_cannot_be_changed(void **state)
{
    (void)state;
    struct cis_vfs_make dir = {.mode = S_IFDIR | 0755};
    struct cis_vfs_attr mine, old;
    cis_vfs_file *file;
    assert_int_equal(verb("new", "dir/one"), 0);
    assert_listing(".tarbox/snapshots", ". .. dir:one ");
    assert_listing(".tarbox/snapshots/dir:one", ". .. file ");
    assert_text(".tarbox/snapshots/dir:one/file", "of the snapshot");
    assert_text("file", "of the head");
    assert_null(at_read(".tarbox/snapshots/dir/one/file"));
    assert_int_equal(at_open(".tarbox/snapshots/dir:one/file", O_WRONLY, &file), EROFS);
    assert_int_equal(at_open(".tarbox/snapshots/dir:one/new", O_WRONLY | O_CREAT, &file), EROFS);
    assert_int_equal(cis_at_make(w.root, &w.call, CIS_STR(".tarbox/snapshots/dir:one/d"), 0, &dir),
                     EROFS);
    assert_int_equal(cis_at_unlink(w.root, &w.call, CIS_STR(".tarbox/snapshots/dir:one/file"), 0),
                     EROFS);
    assert_int_equal(cis_at_link(w.root, CIS_STR(".tarbox/snapshots/dir:one/file"), w.root,
                                 CIS_STR("taken"), &w.call, 0),
                     EXDEV);
    assert_int_equal(cis_at_rename(w.root, CIS_STR("file"), w.root,
                                   CIS_STR(".tarbox/snapshots/dir:one/x"), &w.call, 0, 0),
                     EXDEV);
    assert_int_equal(cis_at_stat(w.root, &w.call, CIS_STR("file"), 0, &mine), 0);
    assert_int_equal(
        cis_at_stat(w.root, &w.call, CIS_STR(".tarbox/snapshots/dir:one/file"), 0, &old), 0);
    assert_true(old.ino >> 48 != 0 && mine.ino >> 48 == 0); /* never the same number */
    assert_int_equal(w.opened, 1);                          /* one tree, kept while it is idle */
}

static void a_layer_in_use_is_dropped_by_force_only(void **state)
{
    (void)state;
    cis_vfs_file *file;
    cis_dir *held;
    char byte;
    struct iovec iov = {&byte, 1};
    size_t n = 0;
    assert_int_equal(verb("new", "one"), 0);
    assert_int_equal(cis_at_dir(w.root, &w.call, CIS_STR(".tarbox/snapshots/one"), 0, &held), 0);
    assert_int_equal(at_open(".tarbox/snapshots/one/file", O_RDONLY, &file), 0);
    assert_int_equal(verb("drop", "one"), EBUSY);
    assert_last_error("files of one are in use");
    assert_int_equal(verb("drop", "{\"layer\":\"one\",\"force\":true}"), 0);
    assert_null(at_read(".tarbox/snapshots/one/file"));
    assert_int_equal(cis_vfs_read(file, &w.call, &iov, 1, 0, &n), 0);
    assert_true(n == 1 && byte == 'o'); /* what is open stays */
    cis_vfs_file_close(file);
    cis_dir_free(held);
}

/* The branch is no longer what its snapshots are of. */
static void commit_something(void)
{
    struct cis_kv_op op = {.ns = CIS_STR("a"), .key = CIS_STR("k"), .value = cis_bytes_of("v", 1)};
    struct cis_store_commit c = {.kv = &op, .nkv = 1};
    assert_ok(cis_store_commit(w.store, T, &c, NULL, err));
}

struct left {
    struct cis_view view;
    char why[64];
    int n;
};

static bool take_left(void *self, const struct cis_fs_reflog *entry)
{
    struct left *left = self;
    left->view = entry->view;
    snprintf(left->why, sizeof left->why, "%.*s", (int)entry->why.len, entry->why.ptr);
    left->n++;
    return true;
}

static void a_switch_shows_another_head_and_leaves_open_files_as_they_are(void **state)
{
    struct left left = {.n = 0};
    (void)state;
    cis_vfs_file *old;
    char text[64] = "";
    struct iovec iov = {text, sizeof text - 1};
    struct cis_fs_ref before, after;
    cis_node node;
    struct cis_vfs_attr attr;
    size_t n;
    assert_int_equal(verb("new", "one"), 0);
    commit_something();
    assert_ok(cis_store_ref_get(w.store, T, CIS_STR("main"), &before, NULL, err));
    /* As the kernel does: a node is held while its file is open. */
    assert_int_equal(cis_vfs_lookup(w.vfs, &w.call, w.vfs->root, CIS_STR("file"), &node, &attr), 0);
    assert_int_equal(cis_vfs_open(w.vfs, &w.call, node, O_RDWR, &old), 0);
    assert_int_equal(verb("switch", "{\"layer\":\"one\"}"), 0);
    assert_ok(cis_store_ref_get(w.store, T, CIS_STR("main"), &after, NULL, err));
    assert_true(after.head.branch != before.head.branch);
    /* Where it was is in the reflog, and no layer. */
    assert_ok(cis_store_reflog(w.store, T, CIS_STR("main"), take_left, &left, NULL, err));
    assert_int_equal(left.n, 1);
    assert_true(left.view.branch == before.head.branch && left.view.epoch == before.head.epoch);
    assert_string_equal(left.why, "layers/switch one");
    char *layers = at_read(".tarbox/layers/list"), *names = at_read(".tarbox/stats/usage");
    assert_null(strchr(layers, '@'));
    assert_non_null(strstr(names, "\"layer_count\":2,"));
    free(layers);
    free(names);
    assert_true(w.invalidated >= 2);
    assert_text("file", "of the next");
    assert_int_equal(cis_vfs_read(old, &w.call, &iov, 1, 0, &n), 0);
    assert_string_equal(text, "of the head");
    assert_int_equal(put(old, "x"), EROFS);
    assert_int_equal(cis_vfs_getattr(w.vfs, &w.call, node, &attr), 0);
    cis_vfs_file_close(old);
    cis_vfs_forget(w.vfs, node, 1);
    assert_int_equal(at_open("fresh", O_CREAT | O_WRONLY, &old), 0);
    assert_int_equal(put(old, "written after"), 0);
    cis_vfs_file_close(old);
    char path[512];
    host_path("next/fresh", path);
    assert_true(cis_file_exists(path));
}

static void a_switch_that_cannot_open_its_tree_leaves_a_mount_that_only_reads(void **state)
{
    (void)state;
    cis_vfs_file *file;
    assert_int_equal(verb("new", "one"), 0);
    w.refuse_open = true;
    assert_int_equal(verb("switch", "one"), EIO);
    assert_last_error("cannot be opened");
    assert_text("file", "of the head");
    assert_int_equal(at_open("file", O_WRONLY, &file), EROFS);
}

static void a_sealed_mount_refuses_every_change(void **state)
{
    (void)state;
    cis_vfs_file *file, *open;
    struct cis_vfs_make dir = {.mode = S_IFDIR | 0755};
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = 0600};
    assert_int_equal(at_open("file", O_RDWR, &open), 0);
    cis_control_seal(w.vfs);
    cis_control_note(w.vfs, CIS_CONTROL_LEASE, "the lease was lost");
    assert_int_equal(put(open, "x"), EROFS);
    assert_int_equal(cis_vfs_allocate(open, &w.call, 0, 0, 10), EROFS);
    cis_vfs_file_close(open);
    assert_int_equal(at_open("file", O_WRONLY, &file), EROFS);
    assert_int_equal(at_open("new", O_WRONLY | O_CREAT, &file), EROFS);
    assert_int_equal(at_open("file", O_RDONLY | O_TRUNC, &file), EROFS);
    assert_int_equal(cis_at_make(w.root, &w.call, CIS_STR("d"), 0, &dir), EROFS);
    assert_int_equal(cis_at_set(w.root, &w.call, CIS_STR("file"), 0, &set), EROFS);
    assert_int_equal(cis_at_unlink(w.root, &w.call, CIS_STR("file"), 0), EROFS);
    assert_int_equal(cis_at_rename(w.root, CIS_STR("file"), w.root, CIS_STR("g"), &w.call, 0, 0),
                     EROFS);
    assert_last_error("the lease was lost");
    assert_int_equal(verb("new", "x"), EROFS);
    assert_text("file", "of the head");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        ROW(what_went_wrong_is_a_list_until_it_is_right_again),
        ROW(a_name_with_a_line_break_forges_no_fault),
        ROW(the_folder_is_there_and_no_listing_of_the_root_shows_it),
        ROW(only_that_very_name_in_the_root_is_special),
        ROW(control_files_open_for_what_they_are_and_cannot_be_changed),
        ROW(files_that_name_files_are_read_by_who_mounted_alone),
        ROW(layers_are_made_listed_and_dropped),
        ROW(verbs_refuse_what_they_cannot_read),
        ROW(what_is_read_is_what_was_when_it_was_opened),
        ROW(snapshots_are_trees_that_cannot_be_changed),
        ROW(a_layer_in_use_is_dropped_by_force_only),
        ROW(a_switch_shows_another_head_and_leaves_open_files_as_they_are),
        ROW(a_switch_that_cannot_open_its_tree_leaves_a_mount_that_only_reads),
        ROW(a_sealed_mount_refuses_every_change),
#undef ROW
    };
    if (cis_crypto_init(NULL) != CIS_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
