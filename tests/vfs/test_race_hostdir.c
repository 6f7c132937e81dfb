/* Threads of the host swap folders and symlinks that lead out, while others walk, open, make and
 * remove through hostdir: what is outside is never reached and never changed. The argument is how
 * many operations are done meanwhile. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/str.h"
#include "harness.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/ops.h"

#define SWAPPERS 2
#define WALKERS 2

static uint64_t wanted = 200000;
static char *base;
static int base_fd;
static cis_vfs *vfs;
static cis_ns *ns;
static cis_dir *root;
static ino_t outside_ino[3]; /* out, out/secret, out/sub */
static _Atomic bool stop;
static _Atomic uint64_t done, swaps, reached, escapes;

static void put(const char *path, const char *text)
{
    int fd = openat(base_fd, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static ino_t host_ino(const char *path)
{
    struct stat st;
    assert_int_equal(fstatat(base_fd, path, &st, 0), 0);
    return st.st_ino;
}

/* in/ is the root. d and e are folders, dl and el links that lead out, exchanged with them. */
static void tree_make(void)
{
    static const char *const folders[] = {"in",  "in/d",    "in/d/sub", "in/e",      "in/e/sub",
                                          "out", "out/sub", "in/deep",  "in/deep/er"};
    base = test_dir_new();
    base_fd = open(base, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        assert_int_equal(mkdirat(base_fd, folders[i], 0755), 0);
    }
    put("in/d/secret", "INSIDE");
    put("in/e/secret", "INSIDE");
    put("in/secret", "INSIDE");
    put("in/d/sub/secret", "INSIDE");
    put("in/deep/er/secret", "INSIDE");
    put("out/secret", "OUTSIDE");
    put("out/sub/secret", "OUTSIDE");
    assert_int_equal(symlinkat("../out", base_fd, "in/dl"), 0);
    assert_int_equal(symlinkat("/", base_fd, "in/el"), 0);
    assert_int_equal(symlinkat("../../out/secret", base_fd, "in/d/sl"), 0);
    outside_ino[0] = host_ino("out");
    outside_ino[1] = host_ino("out/secret");
    outside_ino[2] = host_ino("out/sub");
}

static void *swapper(void *arg)
{
    static const char *const pairs[][2] = {{"in/d", "in/dl"},
                                           {"in/e", "in/el"},
                                           {"in/deep", "in/d"},
                                           {"in/dl", "in/e"},
                                           {"in/secret", "in/dl"}};
    unsigned at = (unsigned)(uintptr_t)arg;
    while (!stop) {
        const char *const *pair = pairs[at++ % 5];
        swaps += renameat2(base_fd, pair[0], base_fd, pair[1], RENAME_EXCHANGE) == 0;
    }
    return NULL;
}

static void check(uint64_t ino)
{
    for (int i = 0; i < 3; i++) {
        escapes += ino == outside_ino[i];
    }
}

static void try_open(const struct cis_vfs_call *call, const char *path, unsigned flags, int how)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    if (cis_at_open(root, call, cis_str_of(path), &(struct cis_open_how){flags, how, 0644}, &file,
                    &attr) != 0) {
        return;
    }
    check(attr.ino);
    char text[16] = "";
    struct iovec iov = {text, sizeof text - 1};
    size_t n = 0;
    if (S_ISREG(attr.mode) && (how & O_ACCMODE) != O_WRONLY &&
        cis_vfs_read(file, call, &iov, 1, 0, &n) == 0) {
        escapes += strcmp(text, "OUTSIDE") == 0;
        reached += strcmp(text, "INSIDE") == 0;
    }
    cis_vfs_file_close(file);
}

static void try_stat(const struct cis_vfs_call *call, const char *path, unsigned flags)
{
    struct cis_vfs_attr attr;
    if (cis_at_stat(root, call, cis_str_of(path), flags, &attr) == 0) {
        check(attr.ino);
    }
}

static void *walker(void *arg)
{
    static const char *const paths[] = {
        "d/secret",        "d/sub/secret",         "e/secret",
        "d/sub/../secret", "e/sub/../../d/secret", "d/sl",
        "dl/secret",       "el/etc/passwd",        "d/../e/./secret",
        "deep/er/secret",  "d/sub/../../secret",   "secret"};
    struct cis_vfs_call call = {0};
    struct cis_vfs_make make = {.mode = S_IFDIR | 0755};
    unsigned at = (unsigned)(uintptr_t)arg * 7;
    while (done < wanted) {
        const char *path = paths[at % 12];
        unsigned flags = at / 12 % 2 == 0 ? CIS_WALK_CHROOT : 0;
        struct cis_str made = cis_str_of(at % 3 == 0   ? "d/made"
                                         : at % 3 == 1 ? "dl/made"
                                                       : "e/made");
        switch (at++ % 7) {
        case 0:
            try_stat(&call, path, flags);
            break;
        case 1:
            (void)cis_at_make(root, &call, made, flags, &make);
            break;
        case 2:
            (void)cis_at_rmdir(root, &call, made, flags);
            break;
        case 3:
            try_open(&call, at % 2 == 0 ? "d/file" : "dl/file", flags, O_CREAT | O_WRONLY);
            break;
        case 4:
            (void)cis_at_rename(root, CIS_STR("d/file"), root, CIS_STR("e/sub/file"), &call, flags,
                                0);
            (void)cis_at_unlink(root, &call, CIS_STR("e/sub/file"), flags);
            break;
        default:
            try_open(&call, path, flags, O_RDONLY);
        }
        done++;
    }
    return NULL;
}

static size_t names_in(const char *path)
{
    size_t n = 0;
    DIR *dir = fdopendir(openat(base_fd, path, O_RDONLY | O_DIRECTORY));
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

static void renames_of_the_host_never_lead_out(void **state)
{
    (void)state;
    tree_make();
    char path[4200];
    snprintf(path, sizeof path, "%s/in", base);
    assert_ok(cis_hostdir_open(path, NULL, &vfs, err));
    assert_ok(cis_ns_new(&ns, err));
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), vfs, 0, false, err));
    struct cis_vfs_call call = {0};
    assert_int_equal(cis_dir_root(ns, &call, CIS_STR("/"), &root), 0);
    pthread_t threads[SWAPPERS + WALKERS];
    for (uintptr_t i = 0; i < SWAPPERS + WALKERS; i++) {
        pthread_create(&threads[i], NULL, i < SWAPPERS ? swapper : walker, (void *)(i * 3));
    }
    for (size_t i = SWAPPERS; i < SWAPPERS + WALKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    stop = true;
    for (size_t i = 0; i < SWAPPERS; i++) {
        pthread_join(threads[i], NULL);
    }
    print_message("%llu operations, %llu renames beside them, %llu files read, %llu escapes\n",
                  (unsigned long long)done, (unsigned long long)swaps, (unsigned long long)reached,
                  (unsigned long long)escapes);
    assert_int_equal(escapes, 0);
    assert_true(swaps > 100);
    assert_true(reached > 100); /* it was no test if nothing was ever there */
    assert_int_equal(names_in("out"), 4);
    assert_int_equal(names_in("out/sub"), 3);
    cis_dir_free(root);
    cis_ns_free(ns);
    cis_vfs_close(vfs);
    close(base_fd);
    remove_deep(base);
    free(base);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        wanted = strtoull(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(renames_of_the_host_never_lead_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
