/* Listings, read-only filesystems and mounts, usage. */
#include <errno.h>
#include <fcntl.h>
#include "vfs/contract.h"

struct seen {
    char (*names)[260];
    size_t n, cap;
    uint64_t cookie; /* of the last entry */
    size_t room;     /* entries that still fit */
    size_t attributes, wrong_type;
};

static bool see(void *self, const struct cis_vfs_entry *entry, const struct cis_vfs_attr *attr)
{
    struct seen *s = self;
    if (s->room == 0) {
        return false;
    }
    s->room--;
    if (s->n == s->cap) {
        s->cap = s->cap * 2 + 64;
        s->names = realloc(s->names, s->cap * sizeof *s->names);
    }
    snprintf(s->names[s->n++], sizeof *s->names, "%.*s", (int)entry->name.len, entry->name.ptr);
    s->cookie = entry->cookie;
    if (attr != NULL) {
        s->attributes++;
        s->wrong_type += (attr->mode & S_IFMT) != entry->type || attr->ino != entry->ino;
    }
    return entry->cookie != 0;
}

static cis_vfs_file *folder(const char *path)
{
    cis_vfs_file *file = NULL;
    assert_no(0, t_open(path, O_RDONLY | O_DIRECTORY, &file));
    return file;
}

/* Entries after the cookie, at most room. */
static size_t list(cis_vfs_file *dir, uint64_t cookie, size_t room, bool attributes,
                   struct seen *out)
{
    size_t before = out->n;
    out->room = room;
    assert_no(0, cis_vfs_readdir(dir, &fx.call, cookie, attributes, see, out));
    return out->n - before;
}

static size_t times_seen(const struct seen *s, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        n += strcmp(s->names[i], name) == 0;
    }
    return n;
}

static void a_listing_starts_with_the_dots(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_no(0, t_mkdir("d"));
    assert_no(0, t_mkdir("d/sub"));
    t_write_file("d/file", "");
    assert_no(0, t_symlink("x", "d/link"));
    cis_vfs_file *dir = folder("d");
    assert_int_equal(list(dir, 0, 1000, true, &seen), 5);
    assert_string_equal(seen.names[0], ".");
    assert_string_equal(seen.names[1], "..");
    assert_int_equal(times_seen(&seen, "sub"), 1);
    assert_int_equal(times_seen(&seen, "file"), 1);
    assert_int_equal(times_seen(&seen, "link"), 1);
    assert_int_equal(seen.attributes, 5);
    assert_int_equal(seen.wrong_type, 0);
    assert_int_equal(list(dir, seen.cookie, 1000, false, &seen), 0);
    cis_vfs_file_close(dir);
    dir = folder("/");
    seen.n = 0;
    assert_int_equal(list(dir, 0, 1000, true, &seen), 3);
    assert_int_equal(seen.wrong_type, 0);
    cis_vfs_file_close(dir);
    free(seen.names);
}

static void cookies_go_on_where_a_small_buffer_ended(void **state)
{
    (void)state;
    struct seen all = {0}, parts = {0};
    char name[32];
    assert_no(0, t_mkdir("d"));
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "d/%d", i * 7919 % 300);
        t_write_file(name, "");
    }
    cis_vfs_file *dir = folder("d");
    assert_int_equal(list(dir, 0, 10000, false, &all), 302);
    while (list(dir, parts.cookie, 1 + parts.n % 5, false, &parts) > 0) {
    }
    assert_int_equal(parts.n, 302);
    for (size_t i = 0; i < parts.n; i++) {
        assert_string_equal(parts.names[i], all.names[i]);
    }
    cis_vfs_file_close(dir);
    free(all.names);
    free(parts.names);
}

/* Names that are there throughout come exactly once, whatever comes and goes; gone ones do not. */
static void a_listing_stays_right_while_entries_come_and_go(void **state)
{
    (void)state;
    struct seen seen = {0};
    char name[32], other[32];
    assert_no(0, t_mkdir("d"));
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "d/%s%d", i % 2 == 0 ? "stay" : "go", i);
        t_write_file(name, "");
    }
    cis_vfs_file *dir = folder("d");
    list(dir, 0, 50, false, &seen);
    size_t first = seen.n;
    for (int i = 1; i < 400; i += 2) {
        snprintf(name, sizeof name, "d/go%d", i);
        snprintf(other, sizeof other, "d/moved%d", i);
        assert_no(0, i % 4 == 1 ? t_unlink(name) : t_rename(name, other, 0));
        snprintf(name, sizeof name, "d/new%d", i);
        t_write_file(name, "");
    }
    while (list(dir, seen.cookie, 7, false, &seen) > 0) {
    }
    for (int i = 0; i < 400; i += 2) {
        snprintf(name, sizeof name, "stay%d", i);
        assert_int_equal(times_seen(&seen, name), 1);
    }
    for (size_t i = first; i < seen.n; i++) {
        assert_true(strncmp(seen.names[i], "go", 2) != 0);
    }
    seen.n = 0;
    list(dir, 0, 10000, false, &seen); /* from the start: as it is now */
    assert_int_equal(seen.n, 2 + 200 + 200 + 100);
    cis_vfs_file_close(dir);
    free(seen.names);
}

static void ten_thousand_entries(void **state)
{
    (void)state;
    struct seen seen = {0};
    char name[64];
    assert_no(0, t_mkdir("d"));
    for (int i = 0; i < 10000; i++) {
        struct cis_vfs_make make = {.mode = S_IFREG | 0644};
        snprintf(name, sizeof name, "d/file-number-%d", i);
        assert_no(0, cis_at_make(fx.root, &fx.call, cis_str_of(name), 0, &make));
    }
    fx_reopen(false);
    cis_vfs_file *dir = folder("d");
    while (list(dir, seen.cookie, 1000, true, &seen) > 0) {
    }
    assert_int_equal(seen.n, 10002);
    assert_int_equal(seen.wrong_type, 0);
    assert_int_equal(times_seen(&seen, "file-number-0"), 1);
    assert_int_equal(times_seen(&seen, "file-number-9999"), 1);
    cis_vfs_file_close(dir);
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "d/file-number-%d", i);
        assert_no(0, t_unlink(name));
    }
    assert_no(0, t_rmdir("d"));
    free(seen.names);
}

static void a_removed_folder_lists_nothing_new(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_no(0, t_mkdir("d"));
    cis_vfs_file *dir = folder("d");
    assert_no(0, t_rmdir("d"));
    int no = cis_vfs_readdir(dir, &fx.call, 0, false, see, &seen);
    assert_true(no == 0 || no == ENOENT);
    assert_int_equal(times_seen(&seen, "d"), 0);
    assert_true(seen.n <= 2);
    cis_vfs_file_close(dir);
    free(seen.names);
}

/* ---- read-only ---- */

static void read_only_fill(void)
{
    t_write_file("f", "content");
    t_write_file("g", "other");
    assert_no(0, t_mkdir("d"));
    assert_no(0, t_mkdir("d/e"));
    assert_no(0, t_symlink("f", "s"));
    assert_no(0, t_symlink("none", "dangling"));
}

static void assert_nothing_changes(void)
{
    static const int flags[] = {O_WRONLY,           O_RDWR,
                                O_RDONLY | O_TRUNC, O_WRONLY | O_TRUNC,
                                O_RDWR | O_APPEND,  O_WRONLY | O_CREAT,
                                O_RDWR | O_SYNC,    O_RDONLY | O_CREAT | O_TRUNC};
    cis_vfs_file *file = NULL;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        assert_no(EROFS, t_open("f", flags[i], &file));
        assert_no(EROFS, t_open("s", flags[i], &file));
    }
    assert_no(EROFS, t_open("new", O_RDONLY | O_CREAT, &file));
    assert_no(EROFS, t_open("dangling", O_RDWR | O_CREAT, &file));
    assert_no(EROFS, t_open("new", O_RDWR | O_CREAT | O_EXCL, &file));
    assert_no(EEXIST, t_open("f", O_RDWR | O_CREAT | O_EXCL, &file));
    assert_no(EISDIR, t_open("d", O_RDWR, &file));
    assert_no(EROFS, t_mkdir("new"));
    assert_no(EEXIST, t_mkdir("d"));
    assert_no(EROFS, t_symlink("x", "new"));
    assert_no(EROFS, t_link("f", "new"));
    assert_no(EROFS, t_unlink("f"));
    assert_no(EROFS, t_unlink("none"));
    assert_no(EROFS, t_rmdir("d/e"));
    assert_no(EROFS, t_rename("f", "new", 0));
    assert_no(EROFS, t_rename("f", "g", 0));
    assert_no(EROFS, t_rename("f", "d/new", 0));
    static const unsigned bits[] = {CIS_VFS_SET_MODE,      CIS_VFS_SET_UID,   CIS_VFS_SET_GID,
                                    CIS_VFS_SET_ATIME,     CIS_VFS_SET_MTIME, CIS_VFS_SET_ATIME_NOW,
                                    CIS_VFS_SET_MTIME_NOW, CIS_VFS_SET_SIZE};
    assert_no(0, t_open("f", O_RDONLY | O_CREAT, &file));
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        struct cis_vfs_set set = {.bits = bits[i], .mode = 0600};
        assert_no(EROFS, t_set("f", &set));
        assert_no(EROFS, cis_file_set(file, &fx.call, &set, NULL));
        assert_no(bits[i] == CIS_VFS_SET_SIZE ? EISDIR : EROFS, t_set("d", &set));
    }
    struct iovec iov = {(void *)(uintptr_t) "x", 1};
    size_t n = 0;
    uint64_t end = 0;
    assert_no(EBADF, cis_vfs_write(file, &fx.call, &iov, 1, 0, &n, &end));
    assert_no(EBADF, cis_vfs_allocate(file, &fx.call, 0, 0, 100));
    assert_file_bytes(file, 0, "content", 7);
    cis_vfs_file_close(file);
    assert_content("f", "content");
    assert_content("s", "content");
}

static void a_read_only_filesystem_changes_nothing(void **state)
{
    (void)state;
    read_only_fill();
    fx_reopen(true);
    assert_true(fx.vfs->read_only);
    assert_nothing_changes();
    /* Below the paths, too: each slot refuses by itself. */
    const struct cis_vfs_ops *ops = fx.vfs->ops;
    cis_node f = 0, made = 0;
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE};
    assert_no(0, cis_vfs_lookup(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("f"), &f, &attr));
    assert_no(EROFS,
              cis_vfs_make(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("n"), &make, &made, &attr));
    assert_no(EROFS, cis_vfs_create(
                         fx.vfs, &fx.call,
                         &(struct cis_vfs_create_request){fx.vfs->root, CIS_STR("n"), 0644, O_RDWR},
                         &file, &made, &attr));
    assert_no(EROFS, ops->link(fx.vfs, &fx.call, f, fx.vfs->root, CIS_STR("n"), &attr));
    assert_no(EROFS, cis_vfs_unlink(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("f")));
    assert_no(EROFS, cis_vfs_rmdir(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("d")));
    assert_no(EROFS, ops->rename(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("f"), fx.vfs->root,
                                 CIS_STR("n"), 0));
    assert_no(EROFS, cis_vfs_setattr(fx.vfs, &fx.call, f, &set, &attr));
    static const int flags[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_APPEND};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        assert_no(EROFS, cis_vfs_open(fx.vfs, &fx.call, f, flags[i], &file));
    }
    cis_vfs_forget(fx.vfs, f, 1);
}

static void a_read_only_mount_changes_nothing(void **state)
{
    (void)state;
    read_only_fill();
    cis_ns *own = fx.ns;
    cis_dir *root = fx.root;
    assert_ok(cis_ns_new(&fx.ns, err));
    assert_ok(cis_ns_mount(fx.ns, CIS_STR("/"), fx.vfs, 0, true, err));
    assert_no(0, cis_dir_root(fx.ns, &fx.call, CIS_STR("/"), &fx.root));
    assert_nothing_changes();
    cis_dir_free(fx.root);
    cis_ns_free(fx.ns);
    fx.ns = own;
    fx.root = root;
    t_write_file("f", "writable by the other mount");
}

static void links_and_renames_do_not_cross_mounts(void **state)
{
    (void)state;
    read_only_fill();
    cis_ns *own = fx.ns;
    cis_dir *root = fx.root;
    assert_ok(cis_ns_new(&fx.ns, err));
    assert_ok(cis_ns_mount(fx.ns, CIS_STR("/rw"), fx.vfs, 0, false, err));
    assert_ok(cis_ns_mount(fx.ns, CIS_STR("/ro"), fx.vfs, 0, true, err));
    assert_no(0, cis_dir_root(fx.ns, &fx.call, CIS_STR("/"), &fx.root));
    assert_no(EXDEV, t_link("ro/f", "rw/new"));
    assert_no(EROFS, t_link("rw/f", "ro/new"));
    assert_no(EXDEV, t_rename("ro/f", "rw/new", 0));
    assert_no(EXDEV, t_rename("rw/f", "ro/new", 0));
    assert_no(0, t_rename("rw/f", "rw/new", 0));
    assert_content("ro/new", "content");
    cis_dir_free(fx.root);
    cis_ns_free(fx.ns);
    fx.ns = own;
    fx.root = root;
}

static void usage_is_told(void **state)
{
    (void)state;
    struct cis_vfs_usage usage = {0};
    t_write_file("f", "content");
    assert_no(0, cis_vfs_statfs(fx.vfs, &fx.call, &usage));
    assert_true(usage.bytes_free > 0);
    assert_true(usage.files_free > 0);
    assert_no(0, cis_vfs_flush(fx.vfs, &fx.call));
}

const struct CMUnitTest contract_dirs[] = {
    CONTRACT_TEST(a_listing_starts_with_the_dots),
    CONTRACT_TEST(cookies_go_on_where_a_small_buffer_ended),
    CONTRACT_TEST(a_listing_stays_right_while_entries_come_and_go),
    CONTRACT_TEST(ten_thousand_entries),
    CONTRACT_TEST(a_removed_folder_lists_nothing_new),
    CONTRACT_TEST(a_read_only_filesystem_changes_nothing),
    CONTRACT_TEST(a_read_only_mount_changes_nothing),
    CONTRACT_TEST(links_and_renames_do_not_cross_mounts),
    CONTRACT_TEST(usage_is_told),
};
const size_t contract_ndirs = sizeof contract_dirs / sizeof *contract_dirs;
