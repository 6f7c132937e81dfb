/* Between mounts: /w, /x (another one, to write) and /ro (read-only). Linux says what comes first:
 * natively with three bind mounts the same text gives the same answers. */
#include "check.h"

static int w = -1, x = -1, ro = -1;

/* By number, so that the other cases do not need names: mounts are the descriptors from 3 on. */
static int place(int number, const char *name)
{
#ifdef __wasi__
    int fd = openat(number, ".", O_RDONLY | O_DIRECTORY);
#else
    (void)number;
    int fd = open(name, O_RDONLY | O_DIRECTORY);
#endif
    if (fd < 0) {
        check_fail(__FILE__, __LINE__, "open %s: %s", name, errno_name(errno));
    }
    return fd;
}

static void each_mount_is_found_by_its_name(void)
{
#ifdef __wasi__
    static const char *const names[] = {"/w", "/x", "/ro"};
    const int is[] = {w, x, ro};
    for (size_t i = 0; i < 3; i++) {
        struct stat a, b;
        int fd = open(names[i], O_RDONLY | O_DIRECTORY);
        if (fd < 0) {
            check_fail(__FILE__, __LINE__, "open %s: %s", names[i], errno_name(errno));
            return;
        }
        WORKS(fstat(fd, &a));
        WORKS(fstat(is[i], &b));
        HOLDS(a.st_dev == b.st_dev && a.st_ino == b.st_ino);
        close(fd);
    }
#endif
}

static void nothing_is_renamed_to_another_mount(void)
{
    put(w, "f", "f");
    put(x, "g", "g");
    WORKS(mkdirat(w, "d", 0755));
    WORKS(symlinkat("f", w, "link"));
    FAILS(EXDEV, renameat(w, "f", x, "f"));
    FAILS(EXDEV, renameat(w, "f", x, "g"));
    FAILS(EXDEV, renameat(w, "d", x, "d"));
    FAILS(EXDEV, renameat(w, "link", x, "link"));
    FAILS(EXDEV, renameat(x, "g", w, "g"));
    FAILS(EXDEV, renameat(w, "none", x, "f"));
    HAS(w, "f", "f");
    HAS(x, "g", "g");
    HAS(x, "f", "(ENOENT)");
}

static void nothing_is_linked_to_another_mount(void)
{
    put(w, "a", "a");
    put(x, "b", "b");
    FAILS(EXDEV, linkat(w, "a", x, "a", 0));
    FAILS(EXDEV, linkat(x, "b", w, "b", 0));
    FAILS(EEXIST, linkat(w, "a", x, "b", 0));
    FAILS(ENOENT, linkat(w, "none", x, "c", 0));
    IS(links_of(w, "a"), 1);
    HAS(x, "a", "(ENOENT)");
}

static void a_read_only_source_is_not_taken_from(void)
{
    FAILS(EXDEV, renameat(ro, "r", w, "r"));
    FAILS(EXDEV, renameat(ro, "r", x, "r"));
    FAILS(EXDEV, linkat(ro, "r", w, "r", 0));
    FAILS(EXDEV, linkat(ro, "r", x, "r", 0));
    HAS(ro, "r", "read");
    HAS(w, "r", "(ENOENT)");
    HAS(x, "r", "(ENOENT)");
}

static void a_read_only_destination_is_not_written(void)
{
    put(w, "s", "s");
    FAILS(EXDEV, renameat(w, "s", ro, "s"));
    FAILS(EXDEV, renameat(w, "s", ro, "r"));
    FAILS(EROFS, linkat(w, "s", ro, "s", 0));
    FAILS(EEXIST, linkat(w, "s", ro, "r", 0));
    FAILS(EROFS, linkat(ro, "r", ro, "s", 0));
    FAILS(EROFS, renameat(ro, "r", ro, "s"));
    FAILS(EROFS, symlinkat("x", ro, "s"));
    FAILS(EROFS, mkdirat(ro, "s", 0755));
    FAILS(EROFS, unlinkat(ro, "r", 0));
    FAILS(EROFS, openat(ro, "r", O_RDWR));
    FAILS(EROFS, openat(ro, "r", O_RDONLY | O_TRUNC));
    FAILS(EROFS, openat(ro, "s", O_RDWR | O_CREAT, 0644));
    HAS(w, "s", "s");
    HAS(ro, "s", "(ENOENT)");
    HAS(ro, "r", "read");
}

static void links_do_not_lead_to_another_mount(void)
{
#ifdef __wasi__
    struct stat st;
    put(x, "t", "t");
    WORKS(symlinkat("../x/t", w, "up"));
    FAILS(EPERM, symlinkat("/x/t", w, "absolute"));
    HAS(w, "up", "(EPERM)");
    HAS(w, "absolute", "(ENOENT)");
    FAILS(EPERM, fstatat(w, "../x/t", &st, 0));
    FAILS(EPERM, renameat(w, "../x/t", w, "t"));
    FAILS(EPERM, linkat(w, "up", w, "t", AT_SYMLINK_FOLLOW));
    HAS(x, "t", "t");
#endif
}

static void each_mount_is_a_device_of_its_own(void)
{
#ifdef __wasi__
    struct stat a, b;
    WORKS(fstat(w, &a));
    WORKS(fstat(x, &b));
    HOLDS(a.st_dev != b.st_dev || a.st_ino != b.st_ino);
#endif
}

int main(void)
{
    static const struct check_case cases[] = {
        CASE(each_mount_is_found_by_its_name),        CASE(nothing_is_renamed_to_another_mount),
        CASE(nothing_is_linked_to_another_mount),     CASE(a_read_only_source_is_not_taken_from),
        CASE(a_read_only_destination_is_not_written), CASE(links_do_not_lead_to_another_mount),
        CASE(each_mount_is_a_device_of_its_own),
    };
    w = place(3, "w");
    x = place(4, "x");
    ro = place(5, "ro");
    if (w < 0 || x < 0 || ro < 0) {
        printf("not ok begin: %s\n", check_why);
        return 1;
    }
    int failed = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (!check_chosen(cases[i].name)) {
            continue;
        }
        check_one(&cases[i], false);
        failed += check_why[0] != '\0';
    }
    return failed != 0;
}
