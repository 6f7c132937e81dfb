/* Names: links, renames, removals, limits. */
#include <errno.h>
#include <fcntl.h>
#include "vfs/contract.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE 2u
#endif

static uint64_t ino_of(const char *path)
{
    struct cis_vfs_attr attr;
    assert_no(0, t_lstat(path, &attr));
    return attr.ino;
}

static uint32_t nlink_of(const char *path)
{
    struct cis_vfs_attr attr;
    assert_no(0, t_lstat(path, &attr));
    return attr.nlink;
}

static void hard_links_share_one_file(void **state)
{
    (void)state;
    assert_no(0, t_mkdir("d"));
    t_write_file("f", "one");
    assert_no(0, t_link("f", "d/g"));
    assert_int_equal(nlink_of("f"), 2);
    assert_int_equal(ino_of("f"), ino_of("d/g"));
    t_write_file("d/g", "changed");
    assert_content("f", "changed");
    assert_no(0, t_unlink("f"));
    assert_int_equal(nlink_of("d/g"), 1);
    assert_content("d/g", "changed");
}

static void hard_links_of_symlinks_are_links_to_the_link(void **state)
{
    (void)state;
    struct cis_vfs_attr attr;
    assert_no(0, t_symlink("nowhere", "s"));
    assert_no(0, t_link("s", "t"));
    assert_no(0, t_lstat("t", &attr));
    assert_true(S_ISLNK(attr.mode));
    assert_int_equal(attr.nlink, 2);
    assert_int_equal(attr.size, 7);
}

static void directories_cannot_be_hard_linked(void **state)
{
    (void)state;
    assert_no(0, t_mkdir("d"));
    assert_no(EPERM, t_link("d", "e"));
    assert_no(EEXIST, t_link("d", "d"));
}

static void links_count_up_at_directories(void **state)
{
    (void)state;
    assert_no(0, t_mkdir("d"));
    assert_int_equal(nlink_of("d"), 2);
    assert_no(0, t_mkdir("d/a"));
    assert_no(0, t_mkdir("d/b"));
    t_write_file("d/f", "");
    assert_int_equal(nlink_of("d"), 4);
    assert_no(0, t_mkdir("e"));
    assert_no(0, t_rename("d/a", "e/a", 0));
    assert_int_equal(nlink_of("d"), 3);
    assert_int_equal(nlink_of("e"), 3);
    assert_no(0, t_rename("d/b", "e/a", 0)); /* replaces an empty one */
    assert_int_equal(nlink_of("d"), 2);
    assert_int_equal(nlink_of("e"), 3);
    assert_no(0, t_rmdir("e/a"));
    assert_int_equal(nlink_of("e"), 2);
}

static void a_symlinks_target_is_kept_byte_by_byte(void **state)
{
    (void)state;
    char target[4096], wrong[4097];
    for (size_t i = 0; i < sizeof target - 1; i++) {
        target[i] = (char)(i % 255 + 1);
    }
    target[sizeof target - 1] = '\0';
    assert_no(0, t_symlink(target, "s"));
    fx_reopen(false);
    CIS_CLEANUP(cis_buf_done) struct cis_buf got = CIS_BUF_INIT(8192);
    assert_no(0, cis_at_readlink(fx.root, &fx.call, CIS_STR("s"), 0, &got));
    assert_int_equal(got.len, 4095);
    assert_memory_equal(got.ptr, target, 4095);
    memset(wrong, 'x', sizeof wrong);
    wrong[4096] = '\0';
    assert_no(ENAMETOOLONG, t_symlink(wrong, "t"));
    assert_no(ENOENT, t_symlink("", "t"));
}

static void forty_symlinks_are_followed_and_no_more(void **state)
{
    (void)state;
    struct cis_vfs_attr attr;
    char from[16], to[16];
    t_write_file("l0", "end");
    for (int i = 1; i <= 41; i++) {
        snprintf(from, sizeof from, "l%d", i);
        snprintf(to, sizeof to, "l%d", i - 1);
        assert_no(0, t_symlink(to, from));
    }
    assert_no(0, t_stat("l40", &attr));
    assert_no(ELOOP, t_stat("l41", &attr));
    assert_no(0, t_symlink("loop", "loop"));
    assert_no(ELOOP, t_stat("loop", &attr));
    assert_no(ELOOP, t_stat("loop/x", &attr));
    assert_no(0, t_lstat("loop", &attr));
}

static void rename_keeps_the_file_and_replaces_in_one_step(void **state)
{
    (void)state;
    assert_no(0, t_mkdir("d"));
    t_write_file("a", "new");
    t_write_file("d/b", "old");
    uint64_t ino = ino_of("a");
    assert_no(0, t_rename("a", "d/b", 0));
    struct cis_vfs_attr attr;
    assert_no(ENOENT, t_lstat("a", &attr));
    assert_int_equal(ino_of("d/b"), ino);
    fx_reopen(false);
    assert_content("d/b", "new");
}

/* Rows: what is renamed; columns: what is there. f file, e empty folder, n full folder, s symlink,
 * - nothing. */
static void rename_onto_every_kind(void **state)
{
    (void)state;
    static const int want[4][5] = {
        {0, EISDIR, EISDIR, 0, 0},           /* f */
        {ENOTDIR, 0, ENOTEMPTY, ENOTDIR, 0}, /* e */
        {ENOTDIR, 0, ENOTEMPTY, ENOTDIR, 0}, /* n */
        {0, EISDIR, EISDIR, 0, 0},           /* s */
    };
    for (int from = 0; from < 4; from++) {
        for (int to = 0; to < 5; to++) {
            char a[16], b[16], inside[24];
            const char kinds[] = "fens-";
            snprintf(a, sizeof a, "a%d%d", from, to);
            snprintf(b, sizeof b, "b%d%d", from, to);
            for (int side = 0; side < 2; side++) {
                const char *name = side == 0 ? a : b;
                switch (kinds[side == 0 ? from : to]) {
                case 'f':
                    t_write_file(name, name);
                    break;
                case 's':
                    assert_no(0, t_symlink("x", name));
                    break;
                case 'n':
                    assert_no(0, t_mkdir(name));
                    snprintf(inside, sizeof inside, "%s/x", name);
                    t_write_file(inside, "x");
                    break;
                case 'e':
                    assert_no(0, t_mkdir(name));
                    break;
                default:
                    break;
                }
            }
            if (t_rename(a, b, 0) != want[from][to]) {
                fail_msg("rename of kind %c onto kind %c", kinds[from], kinds[to]);
            }
        }
    }
}

static void rename_without_replacing_and_exchange(void **state)
{
    (void)state;
    t_write_file("f", "file");
    assert_no(0, t_mkdir("d"));
    t_write_file("d/in", "in");
    assert_no(EEXIST, t_rename("f", "d", RENAME_NOREPLACE));
    assert_no(ENOENT, t_rename("f", "none", RENAME_EXCHANGE));
    assert_no(0, t_rename("f", "d", RENAME_EXCHANGE));
    assert_content("d", "file");
    assert_content("f/in", "in");
    assert_no(EINVAL, t_rename("f", "f/in", RENAME_EXCHANGE));
    assert_no(EINVAL, t_rename("f/in", "f", RENAME_EXCHANGE));
    assert_no(0, t_rename("f/in", "fresh", RENAME_NOREPLACE));
    assert_content("fresh", "in");
    assert_no(EINVAL, t_rename("f", "g", RENAME_NOREPLACE | RENAME_EXCHANGE));
    assert_no(EINVAL, t_rename("f", "g", 1u << 6));
}

static void a_folder_does_not_go_into_itself(void **state)
{
    (void)state;
    assert_no(0, t_mkdir("a"));
    assert_no(0, t_mkdir("a/b"));
    assert_no(0, t_mkdir("a/b/c"));
    assert_no(EINVAL, t_rename("a", "a/b/c/d", 0));
    assert_no(EINVAL, t_rename("a", "a/x", 0));
    assert_no(ENOTEMPTY, t_rename("a/b/c", "a", 0));
    assert_no(ENOTEMPTY, t_rename("a/b/c", "a/b", 0));
    assert_no(0, t_rename("a", "a", 0));
    assert_no(EBUSY, t_rename("a/b/..", "x", 0));
    assert_no(EBUSY, t_rename("a", ".", 0));
    assert_no(EEXIST, t_rename("a", ".", RENAME_NOREPLACE));
}

static void rename_between_names_of_one_file_does_nothing(void **state)
{
    (void)state;
    t_write_file("a", "x");
    assert_no(0, t_link("a", "b"));
    assert_no(0, t_rename("a", "b", 0));
    assert_int_equal(nlink_of("a"), 2);
    assert_int_equal(nlink_of("b"), 2);
}

static void a_moved_folder_has_its_new_parent(void **state)
{
    (void)state;
    assert_no(0, t_mkdir("a"));
    assert_no(0, t_mkdir("a/b"));
    assert_no(0, t_mkdir("c"));
    t_write_file("c/mark", "c");
    assert_no(0, t_rename("a/b", "c/b", 0));
    assert_content("c/b/../mark", "c");
    fx_reopen(false);
    assert_content("c/b/../mark", "c");
    assert_no(EINVAL, t_rename("c", "c/b/c", 0));
}

static void removal_tells_kinds_apart(void **state)
{
    (void)state;
    t_write_file("f", "");
    assert_no(0, t_mkdir("d"));
    assert_no(0, t_symlink("d", "s"));
    t_write_file("d/in", "");
    assert_no(EISDIR, t_unlink("d"));
    assert_no(ENOTDIR, t_rmdir("f"));
    assert_no(ENOTDIR, t_rmdir("s"));
    assert_no(ENOTEMPTY, t_rmdir("d"));
    assert_no(ENOENT, t_unlink("none"));
    assert_no(ENOENT, t_rmdir("none"));
    assert_no(EINVAL, t_rmdir("d/."));
    assert_no(ENOTEMPTY, t_rmdir("d/.."));
    assert_no(EBUSY, t_rmdir("/"));
    assert_no(0, t_unlink("s"));
    assert_no(0, t_unlink("d/in"));
    assert_no(0, t_rmdir("d"));
    assert_no(0, t_unlink("f"));
}

static void names_are_bytes_up_to_255(void **state)
{
    (void)state;
    char name[257];
    for (size_t i = 0; i < 256; i++) {
        name[i] = (char)(i == 46 ? 'x' : i % 254 + 1 == '/' ? 'y' : i % 254 + 1);
    }
    name[255] = '\0';
    t_write_file(name, "bytes");
    fx_reopen(false);
    assert_content(name, "bytes");
    name[255] = 'z';
    name[256] = '\0';
    struct cis_vfs_attr attr;
    assert_no(ENAMETOOLONG, t_mkdir(name));
    assert_no(ENAMETOOLONG, t_stat(name, &attr));
    assert_no(ENAMETOOLONG, t_rename("none2/../none", name, 0) == ENOENT ? ENAMETOOLONG : 0);
    assert_no(ENAMETOOLONG, t_symlink("x", name));
    t_write_file("A", "1");
    t_write_file("a", "2");
    assert_content("A", "1");
    assert_no(0, t_mkdir("..."));
    assert_no(0, t_mkdir(".tarbox2"));
}

static void paths_of_4095_bytes_are_walked(void **state)
{
    (void)state;
    char path[4200];
    struct cis_vfs_attr attr;
    t_write_file("f", "deep");
    memset(path, 0, sizeof path);
    for (size_t i = 0; i < 4094; i += 2) {
        memcpy(path + i, "./", 2);
    }
    path[4094] = 'f';
    assert_no(0, t_stat(path, &attr));
    memmove(path + 1, path, 4096);
    path[0] = '/';
    assert_no(ENAMETOOLONG, t_stat(path, &attr));
}

enum { DEPTH = 180 };

static void deep_trees_work(void **state)
{
    (void)state;
    char path[3000] = "";
    struct cis_vfs_attr attr;
    for (int i = 0; i < DEPTH; i++) {
        snprintf(path + strlen(path), sizeof path - strlen(path), "%sd", i == 0 ? "" : "/");
        assert_no(0, t_mkdir(path));
    }
    fx_reopen(false);
    assert_no(0, t_stat(path, &attr));
    for (int i = 0; i < DEPTH - 1; i++) {
        snprintf(path + strlen(path), sizeof path - strlen(path), "/..");
    }
    assert_no(0, t_stat(path, &attr));
    assert_int_equal(attr.ino, ino_of("d"));
}

/* Each verb, by a way that leads through a symlink and by one that does not; also behind more names
 * than a walk has room for without asking for more. */
static void a_straight_way_leads_through_no_symlink(void **state)
{
    (void)state;
    enum { STRAIGHT = CIS_WALK_NOFOLLOW | CIS_WALK_STRAIGHT };
    static const struct {
        const char *folder;
        int no;
    } ways[] = {{"l/", ENOTDIR}, {"d/", 0},    {"m/b/c/", ENOTDIR}, {"d/a/b/c/", 0},
                {"d/a/../", 0},  {"d//a/", 0}, {"d/f/", ENOTDIR},   {"d/no/", ENOENT}};
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_MODE, .mode = 0700};
    assert_no(0, t_mkdir("d"));
    assert_no(0, t_mkdir("d/a"));
    assert_no(0, t_mkdir("d/a/b"));
    assert_no(0, t_mkdir("d/a/b/c"));
    t_write_file("d/f", "x");
    assert_no(0, t_symlink("d", "l"));
    assert_no(0, t_symlink("d/a", "m"));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char a[64], b[64];
        struct cis_vfs_attr attr;
        cis_vfs_file *file = NULL;
        int no = ways[i].no;
        snprintf(a, sizeof a, "%sone", ways[i].folder);
        snprintf(b, sizeof b, "%stwo", ways[i].folder);
        struct cis_str one = cis_str_of(a), two = cis_str_of(b);
        assert_no(no, cis_at_make(fx.root, &fx.call, one, STRAIGHT, &make));
        assert_no(no, cis_at_set(fx.root, &fx.call, one, STRAIGHT, &set));
        assert_no(no, cis_at_rename(fx.root, one, fx.root, two, &fx.call, STRAIGHT, 0));
        assert_no(no, cis_at_stat(fx.root, &fx.call, two, STRAIGHT, &attr));
        assert_no(no, cis_at_rmdir(fx.root, &fx.call, two, STRAIGHT));
        assert_no(no, cis_at_open(fx.root, &fx.call, one,
                                  &(struct cis_open_how){STRAIGHT, O_CREAT | O_EXCL | O_RDWR, 0600},
                                  &file, &attr));
        cis_vfs_file_close(file);
        assert_no(no, cis_at_link(fx.root, CIS_STR("d/f"), fx.root, two, &fx.call, STRAIGHT));
        assert_no(no, cis_at_unlink(fx.root, &fx.call, one, STRAIGHT));
        assert_no(no, cis_at_unlink(fx.root, &fx.call, two, STRAIGHT));
    }
    assert_int_equal(nlink_of("d/f"), 1);
}

static void an_unlinked_open_file_stays(void **state)
{
    (void)state;
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    t_write_file("f", "still here");
    assert_no(0, t_open("f", 2, &file));
    assert_no(0, t_unlink("f"));
    assert_file_bytes(file, 0, "still here", 10);
    assert_no(0, t_write(file, 5, " there", 6));
    assert_file_bytes(file, 0, "still there", 11);
    assert_no(0, cis_vfs_getattr(fx.vfs, &fx.call, file->node, &attr));
    assert_int_equal(attr.nlink, 0);
    assert_int_equal(attr.size, 11);
    assert_no(ENOENT, fx.vfs->ops->link(fx.vfs, &fx.call, file->node, fx.vfs->root,
                                        CIS_STR("again"), &attr));
    t_write_file("f", "another");
    assert_file_bytes(file, 0, "still there", 11);
    cis_vfs_file_close(file);
    assert_content("f", "another");
}

/* Who holds a node may open it, named or not; who does not, never gets a part of it. */
static void an_unlinked_file_opens_for_who_holds_it(void **state)
{
    (void)state;
    cis_vfs_file *file = NULL;
    cis_node node = 0;
    struct cis_vfs_attr attr;
    t_write_file("f", "content");
    fx_reopen(false);
    assert_no(0, cis_vfs_lookup(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("f"), &node, &attr));
    assert_no(0, t_unlink("f"));
    assert_no(0, cis_vfs_open(fx.vfs, &fx.call, node, 2, &file));
    assert_file_bytes(file, 0, "content", 7);
    assert_no(0, t_write(file, 7, "!", 1));
    cis_vfs_forget(fx.vfs, node, 1);
    assert_file_bytes(file, 0, "content!", 8);
    cis_vfs_file_close(file);
    assert_no(ENOENT, t_open("f", 0, &file));
}

static void a_replaced_open_file_stays(void **state)
{
    (void)state;
    cis_vfs_file *file = NULL;
    t_write_file("a", "aaa");
    t_write_file("b", "bbb");
    assert_no(0, t_open("b", 0, &file));
    assert_no(0, t_rename("a", "b", 0));
    assert_file_bytes(file, 0, "bbb", 3);
    cis_vfs_file_close(file);
    assert_content("b", "aaa");
}

static void a_removed_folder_takes_no_names(void **state)
{
    (void)state;
    cis_dir *dir = NULL;
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    assert_no(0, t_mkdir("d"));
    assert_no(0, cis_at_dir(fx.root, &fx.call, CIS_STR("d"), 0, &dir));
    assert_no(0, t_rmdir("d"));
    assert_no(ENOENT, cis_at_make(dir, &fx.call, CIS_STR("x"), 0, &make));
    assert_no(ENOENT, cis_at_open(dir, &fx.call, CIS_STR("x"),
                                  &(struct cis_open_how){0, 0102, 0644}, &file, &attr));
    assert_no(ENOENT, cis_at_stat(dir, &fx.call, CIS_STR("x"), 0, &attr));
    assert_no(0, cis_at_stat(dir, &fx.call, CIS_STR("."), 0, &attr));
    assert_int_equal(attr.nlink, 0);
    t_write_file("f", "");
    assert_no(ENOENT, cis_at_rename(fx.root, CIS_STR("f"), dir, CIS_STR("x"), &fx.call, 0, 0));
    assert_no(ENOENT, cis_at_link(fx.root, CIS_STR("f"), dir, CIS_STR("x"), &fx.call, 0));
    assert_no(0, t_mkdir("d"));
    assert_no(ENOENT, cis_at_make(dir, &fx.call, CIS_STR("x"), 0, &make));
    cis_dir_free(dir);
}

static void one_file_is_one_node(void **state)
{
    (void)state;
    cis_node a = 0, b = 0;
    struct cis_vfs_attr attr;
    t_write_file("f", "x");
    assert_no(0, t_link("f", "g"));
    assert_no(0, cis_vfs_lookup(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("f"), &a, &attr));
    assert_no(0, cis_vfs_lookup(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("g"), &b, &attr));
    assert_int_equal(a, b);
    cis_vfs_ref(fx.vfs, a, 3);
    cis_vfs_forget(fx.vfs, a, 4);
    assert_no(0, t_unlink("f"));
    assert_no(0, t_unlink("g"));
    assert_no(0,
              cis_vfs_getattr(fx.vfs, &fx.call, b, &attr)); /* the last reference still holds it */
    cis_vfs_forget(fx.vfs, b, 1);
    assert_no(ENOENT, cis_vfs_lookup(fx.vfs, &fx.call, fx.vfs->root, CIS_STR("f"), &a, &attr));
}

static void making_what_exists_says_so(void **state)
{
    (void)state;
    assert_no(0, t_mkdir("d"));
    assert_no(0, t_symlink("nowhere", "s"));
    t_write_file("f", "");
    static const char *const paths[] = {"d", "s", "f", ".", "/", "d/.."};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_no(EEXIST, t_mkdir(paths[i]));
        assert_no(EEXIST, t_symlink("x", paths[i]));
        assert_no(EEXIST, t_link("f", paths[i]));
    }
    assert_no(ENOENT, t_mkdir("none/x"));
    assert_no(ENOTDIR, t_mkdir("f/x"));
}

static void special_files_are_made_or_refused(void **state)
{
    (void)state;
    struct cis_vfs_make make = {.mode = S_IFIFO | 0600};
    struct cis_vfs_attr attr;
    int no = cis_at_make(fx.root, &fx.call, CIS_STR("p"), 0, &make);
    if ((fx.backend->flags & CONTRACT_NODES) == 0) {
        assert_no(EPERM, no);
        assert_no(ENOENT, t_lstat("p", &attr));
        return;
    }
    assert_no(0, no);
    fx_reopen(false);
    assert_no(0, t_lstat("p", &attr));
    assert_int_equal(attr.mode, S_IFIFO | 0600);
    make = (struct cis_vfs_make){.mode = S_IFSOCK | 0600};
    assert_no(0, cis_at_make(fx.root, &fx.call, CIS_STR("s"), 0, &make));
}

static void owners_and_setgid_folders(void **state)
{
    (void)state;
    if ((fx.backend->flags & CONTRACT_OWNERS) == 0) {
        skip();
    }
    struct cis_vfs_set set = {
        .bits = CIS_VFS_SET_MODE | CIS_VFS_SET_GID, .mode = 02775, .gid = 4711};
    struct cis_vfs_attr attr;
    fx.call.uid = 12;
    fx.call.gid = 34;
    assert_no(0, t_mkdir("d"));
    assert_no(0, t_set("d", &set));
    t_write_file("d/f", "");
    assert_no(0, t_mkdir("d/e"));
    fx_reopen(false);
    assert_no(0, t_stat("d/f", &attr));
    assert_int_equal(attr.uid, 12);
    assert_int_equal(attr.gid, 4711);
    assert_int_equal(attr.mode & 07777, 0644);
    assert_no(0, t_stat("d/e", &attr));
    assert_int_equal(attr.gid, 4711);
    assert_int_equal(attr.mode & S_ISGID, S_ISGID);
}

static struct timespec time_of(const char *path, bool ctime)
{
    struct cis_vfs_attr attr;
    assert_no(0, t_lstat(path, &attr));
    return ctime ? attr.ctime : attr.mtime;
}

/* d/f and e/f are names of one file, whose time of change does not go back. */
static void each_change_of_names_moves_the_times_of_its_folders(void **state)
{
    (void)state;
    struct cis_vfs_set old = {
        .bits = CIS_VFS_SET_ATIME | CIS_VFS_SET_MTIME, .atime = {1000, 1}, .mtime = {1000, 2}};
    assert_no(0, t_mkdir("d"));
    assert_no(0, t_mkdir("e"));
    t_write_file("d/f", "x");
    assert_no(0, t_link("d/f", "e/f"));
    t_write_file("d/g", "y");
    for (int i = 0; i <= 10; i++) {
        assert_no(0, t_set("d", &old));
        assert_no(0, t_set("e", &old));
        struct timespec before = time_of("e/f", true), d_before = time_of("d", true);
        bool both = false;
        switch (i) {
        case 0:
            t_write_file("d/new", "");
            break;
        case 1:
            assert_no(0, t_mkdir("d/sub"));
            break;
        case 2:
            assert_no(0, t_symlink("f", "d/s"));
            break;
        case 3:
            assert_no(0, t_link("e/f", "d/again"));
            break;
        case 4:
            assert_no(0, t_rename("d/new", "d/renamed", 0));
            break;
        case 5:
            assert_no(0, t_rename("d/renamed", "e/moved", 0));
            both = true;
            break;
        case 6:
            assert_no(0, t_rename("d/g", "e/moved", 0));
            both = true;
            break;
        case 7:
            assert_no(0, t_rename("d/again", "e/moved", RENAME_EXCHANGE));
            both = true;
            break;
        case 8:
            assert_no(0, t_unlink("d/f"));
            break;
        case 9:
            assert_no(0, t_unlink("d/s"));
            break;
        case 10:
            assert_no(0, t_rmdir("d/sub"));
            break;
        }
        struct timespec after = time_of("e/f", true), d_after = time_of("d", true);
        bool good = time_of("d", false).tv_sec > 1000 &&
                    (time_of("e", false).tv_sec > 1000) == both && after.tv_sec >= before.tv_sec &&
                    d_after.tv_sec >= d_before.tv_sec;
        if (!good) {
            fail_msg("change %d: times of d %lld, of e %lld, of the file %lld", i,
                     (long long)time_of("d", false).tv_sec, (long long)time_of("e", false).tv_sec,
                     (long long)after.tv_sec);
        }
    }
}

const struct CMUnitTest contract_names[] = {
    CONTRACT_TEST(hard_links_share_one_file),
    CONTRACT_TEST(hard_links_of_symlinks_are_links_to_the_link),
    CONTRACT_TEST(directories_cannot_be_hard_linked),
    CONTRACT_TEST(links_count_up_at_directories),
    CONTRACT_TEST(a_symlinks_target_is_kept_byte_by_byte),
    CONTRACT_TEST(forty_symlinks_are_followed_and_no_more),
    CONTRACT_TEST(rename_keeps_the_file_and_replaces_in_one_step),
    CONTRACT_TEST(rename_onto_every_kind),
    CONTRACT_TEST(rename_without_replacing_and_exchange),
    CONTRACT_TEST(a_folder_does_not_go_into_itself),
    CONTRACT_TEST(rename_between_names_of_one_file_does_nothing),
    CONTRACT_TEST(a_moved_folder_has_its_new_parent),
    CONTRACT_TEST(removal_tells_kinds_apart),
    CONTRACT_TEST(names_are_bytes_up_to_255),
    CONTRACT_TEST(paths_of_4095_bytes_are_walked),
    CONTRACT_TEST(deep_trees_work),
    CONTRACT_TEST(a_straight_way_leads_through_no_symlink),
    CONTRACT_TEST(an_unlinked_open_file_stays),
    CONTRACT_TEST(an_unlinked_file_opens_for_who_holds_it),
    CONTRACT_TEST(a_replaced_open_file_stays),
    CONTRACT_TEST(a_removed_folder_takes_no_names),
    CONTRACT_TEST(one_file_is_one_node),
    CONTRACT_TEST(making_what_exists_says_so),
    CONTRACT_TEST(special_files_are_made_or_refused),
    CONTRACT_TEST(owners_and_setgid_folders),
    CONTRACT_TEST(each_change_of_names_moves_the_times_of_its_folders),
};
const size_t contract_nnames = sizeof contract_names / sizeof *contract_names;
