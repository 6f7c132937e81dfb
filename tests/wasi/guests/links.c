/* Hard links, symbolic links, and how names go away. */
#include "check.h"

static void a_hard_link_is_the_same_file(void)
{
    struct stat a, b;
    put(here, "a", "x");
    WORKS(linkat(here, "a", here, "b", 0));
    WORKS(stat_of(here, "a", &a));
    WORKS(stat_of(here, "b", &b));
    IS(a.st_ino, b.st_ino);
    IS(a.st_nlink, 2);
    put(here, "b", "changed");
    HAS(here, "a", "changed");
    WORKS(unlinkat(here, "a", 0));
    IS(links_of(here, "b"), 1);
    HAS(here, "b", "changed");
}

static void a_hard_link_needs_a_file_and_a_free_name(void)
{
    put(here, "f", "x");
    put(here, "g", "y");
    WORKS(mkdirat(here, "d", 0755));
    WORKS(symlinkat("none", here, "dangling"));
    FAILS(EPERM, linkat(here, "d", here, "e", 0));
    FAILS(EEXIST, linkat(here, "f", here, "g", 0));
    FAILS(EEXIST, linkat(here, "f", here, "f", 0));
    FAILS(EEXIST, linkat(here, "f", here, "d", 0));
    FAILS(EEXIST, linkat(here, "f", here, "dangling", 0));
    FAILS(EEXIST, linkat(here, "d", here, "g", 0));
    FAILS(ENOENT, linkat(here, "none", here, "h", 0));
    FAILS(ENOENT, linkat(here, "f", here, "none/h", 0));
    FAILS(ENOTDIR, linkat(here, "f", here, "g/h", 0));
    FAILS(ENOENT, linkat(here, "f", here, "", 0));
    FAILS(ENOENT, linkat(here, "", here, "h", 0));
    IS(links_of(here, "f"), 1);
    IS(links_of(here, "g"), 1);
}

static void a_hard_link_to_a_link_follows_it_only_when_told(void)
{
    struct stat st;
    put(here, "f", "x");
    WORKS(mkdirat(here, "d", 0755));
    WORKS(symlinkat("f", here, "link"));
    WORKS(symlinkat("d", here, "todir"));
    WORKS(symlinkat("none", here, "dangling"));
    WORKS(linkat(here, "link", here, "second", 0));
    WORKS(stat_of(here, "second", &st));
    HOLDS(S_ISLNK(st.st_mode));
    IS(st.st_nlink, 2);
    WORKS(linkat(here, "link", here, "third", AT_SYMLINK_FOLLOW));
    WORKS(stat_of(here, "third", &st));
    HOLDS(S_ISREG(st.st_mode));
    IS(links_of(here, "f"), 2);
    WORKS(linkat(here, "dangling", here, "fourth", 0));
    FAILS(ENOENT, linkat(here, "dangling", here, "fifth", AT_SYMLINK_FOLLOW));
    WORKS(linkat(here, "todir", here, "sixth", 0));
    FAILS(EPERM, linkat(here, "todir", here, "seventh", AT_SYMLINK_FOLLOW));
}

static void a_symbolic_link_holds_any_text(void)
{
    char got[64];
    struct stat st;
    WORKS(symlinkat("some/where/../else//", here, "link"));
    IS(readlinkat(here, "link", got, sizeof got), 20);
    HOLDS(memcmp(got, "some/where/../else//", 20) == 0);
    IS(readlinkat(here, "link", got, 4), 4);
    WORKS(stat_of(here, "link", &st));
    HOLDS(S_ISLNK(st.st_mode));
    IS(st.st_size, 20);
    FAILS(EEXIST, symlinkat("x", here, "link"));
    FAILS(ENOENT, symlinkat("", here, "empty"));
    FAILS(ENOENT, symlinkat("x", here, ""));
    FAILS(ENOENT, symlinkat("x", here, "none/link"));
    FAILS(EEXIST, symlinkat("x", here, "."));
    FAILS(ENOENT, symlinkat("x", here, "new/"));
}

static void only_links_are_read_as_links(void)
{
    char got[8];
    put(here, "f", "x");
    WORKS(mkdirat(here, "d", 0755));
    WORKS(symlinkat("d", here, "link"));
    FAILS(EINVAL, readlinkat(here, "f", got, sizeof got));
    FAILS(EINVAL, readlinkat(here, "d", got, sizeof got));
    FAILS(EINVAL, readlinkat(here, "link/", got, sizeof got));
    FAILS(ENOENT, readlinkat(here, "none", got, sizeof got));
    FAILS(ENOTDIR, readlinkat(here, "f/x", got, sizeof got));
}

static void removing_a_link_leaves_its_target(void)
{
    put(here, "f", "x");
    WORKS(mkdirat(here, "d", 0755));
    WORKS(symlinkat("f", here, "a"));
    WORKS(symlinkat("d", here, "b"));
    WORKS(symlinkat("none", here, "c"));
    FAILS(ENOTDIR, unlinkat(here, "b", AT_REMOVEDIR));
    FAILS(ENOTDIR, unlinkat(here, "b/", AT_REMOVEDIR));
    FAILS(ENOTDIR, unlinkat(here, "a/", 0));
    FAILS(ENOTDIR, unlinkat(here, "b/", 0));
    WORKS(unlinkat(here, "a", 0));
    WORKS(unlinkat(here, "b", 0));
    WORKS(unlinkat(here, "c", 0));
    HAS(here, "f", "x");
    IS(links_of(here, "d"), 2);
}

static void directories_and_files_are_removed_by_their_own_calls(void)
{
    put(here, "f", "x");
    WORKS(mkdirat(here, "d", 0755));
    FAILS(EISDIR, unlinkat(here, "d", 0));
    FAILS(EISDIR, unlinkat(here, "d/", 0));
    FAILS(ENOTDIR, unlinkat(here, "f", AT_REMOVEDIR));
    FAILS(ENOTDIR, unlinkat(here, "f/", 0));
    FAILS(ENOENT, unlinkat(here, "none", 0));
    FAILS(ENOENT, unlinkat(here, "none", AT_REMOVEDIR));
    FAILS(ENOENT, unlinkat(here, "", 0));
    FAILS(ENOENT, unlinkat(here, "", AT_REMOVEDIR));
    WORKS(unlinkat(here, "d", AT_REMOVEDIR));
    WORKS(unlinkat(here, "f", 0));
}

static void dots_and_full_directories_are_not_removed(void)
{
    WORKS(mkdirat(here, "d", 0755));
    put(here, "d/f", "x");
    WORKS(mkdirat(here, "e", 0755));
    FAILS(ENOTEMPTY, unlinkat(here, "d", AT_REMOVEDIR));
    FAILS(EINVAL, unlinkat(here, ".", AT_REMOVEDIR));
    FAILS(EINVAL, unlinkat(here, "e/.", AT_REMOVEDIR));
    FAILS(ENOTEMPTY, unlinkat(here, "e/..", AT_REMOVEDIR));
    FAILS(EISDIR, unlinkat(here, ".", 0));
    FAILS(EISDIR, unlinkat(here, "e/..", 0));
    WORKS(unlinkat(here, "e/", AT_REMOVEDIR));
    HAS(here, "d/f", "x");
}

static void a_removed_directory_takes_nothing_more(void)
{
    WORKS(mkdirat(here, "d", 0755));
    int dir = openat(here, "d", O_RDONLY | O_DIRECTORY);
    WORKS(unlinkat(here, "d", AT_REMOVEDIR));
    struct stat st;
    WORKS(fstat(dir, &st));
    IS(st.st_nlink, 0);
    FAILS(ENOENT, openat(dir, "f", O_CREAT | O_RDWR, 0644));
    FAILS(ENOENT, mkdirat(dir, "e", 0755));
    FAILS(ENOENT, symlinkat("x", dir, "l"));
    put(here, "g", "x");
    FAILS(ENOENT, renameat(here, "g", dir, "g"));
    FAILS(ENOENT, linkat(here, "g", dir, "g", 0));
    WORKS(mkdirat(here, "d", 0755));
    FAILS(ENOENT, openat(dir, "f", O_CREAT | O_RDWR, 0644));
    WORKS(shut(dir));
}

static void making_a_directory_needs_a_free_name(void)
{
    put(here, "f", "x");
    WORKS(symlinkat("none", here, "dangling"));
    WORKS(mkdirat(here, "d", 0755));
    FAILS(EEXIST, mkdirat(here, "d", 0755));
    FAILS(EEXIST, mkdirat(here, "f", 0755));
    FAILS(EEXIST, mkdirat(here, "dangling", 0755));
    FAILS(EEXIST, mkdirat(here, "dangling/", 0755));
    FAILS(EEXIST, mkdirat(here, ".", 0755));
    FAILS(EEXIST, mkdirat(here, "d/..", 0755));
    FAILS(ENOENT, mkdirat(here, "", 0755));
    FAILS(ENOENT, mkdirat(here, "none/d", 0755));
    FAILS(ENOTDIR, mkdirat(here, "f/d", 0755));
    WORKS(mkdirat(here, "d/e//", 0755));
    IS(links_of(here, "d"), 3);
    IS(links_of(here, "d/e"), 2);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_hard_link_is_the_same_file),
        CASE(a_hard_link_needs_a_file_and_a_free_name),
        CASE(a_hard_link_to_a_link_follows_it_only_when_told),
        CASE(a_symbolic_link_holds_any_text),
        CASE(only_links_are_read_as_links),
        CASE(removing_a_link_leaves_its_target),
        CASE(directories_and_files_are_removed_by_their_own_calls),
        CASE(dots_and_full_directories_are_not_removed),
        CASE(a_removed_directory_takes_nothing_more),
        CASE(making_a_directory_needs_a_free_name),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
