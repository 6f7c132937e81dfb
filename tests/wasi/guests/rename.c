/* What renaming moves, replaces and refuses. */
#include "check.h"

static void a_file_moves_with_its_content(void)
{
    struct stat was, is;
    put(here, "a", "text");
    WORKS(mkdirat(here, "d", 0755));
    WORKS(stat_of(here, "a", &was));
    WORKS(renameat(here, "a", here, "d/b"));
    WORKS(stat_of(here, "d/b", &is));
    IS(is.st_ino, was.st_ino);
    IS(is.st_mtim.tv_nsec, was.st_mtim.tv_nsec);
    HAS(here, "d/b", "text");
    HAS(here, "a", "(ENOENT)");
}

static void what_is_not_there_is_not_renamed(void)
{
    put(here, "f", "x");
    FAILS(ENOENT, renameat(here, "none", here, "b"));
    FAILS(ENOENT, renameat(here, "f", here, "none/b"));
    FAILS(ENOENT, renameat(here, "none", here, "none/b"));
    FAILS(ENOTDIR, renameat(here, "f", here, "f/b"));
    FAILS(ENOTDIR, renameat(here, "f/x", here, "b"));
    FAILS(ENOENT, renameat(here, "", here, "b"));
    FAILS(ENOENT, renameat(here, "f", here, ""));
    HAS(here, "f", "x");
}

static void a_replaced_open_file_stays_readable(void)
{
    struct stat st;
    char got[8] = "";
    put(here, "old", "old");
    put(here, "new", "new");
    int fd = openat(here, "old", O_RDWR);
    WORKS(renameat(here, "new", here, "old"));
    IS(read(fd, got, 8), 3);
    HOLDS(strcmp(got, "old") == 0);
    WORKS(fstat(fd, &st));
    IS(st.st_nlink, 0);
    IS(write(fd, "er", 2), 2);
    WORKS(shut(fd));
    HAS(here, "old", "new");
    HAS(here, "new", "(ENOENT)");
}

static void an_open_file_is_the_same_under_its_new_name(void)
{
    put(here, "a", "1");
    int fd = openat(here, "a", O_WRONLY | O_APPEND);
    WORKS(renameat(here, "a", here, "b"));
    IS(write(fd, "2", 1), 1);
    WORKS(shut(fd));
    HAS(here, "b", "12");
}

static void files_and_directories_do_not_replace_each_other(void)
{
    put(here, "f", "x");
    WORKS(mkdirat(here, "d", 0755));
    FAILS(EISDIR, renameat(here, "f", here, "d"));
    FAILS(ENOTDIR, renameat(here, "d", here, "f"));
    WORKS(symlinkat("d", here, "link"));
    FAILS(ENOTDIR, renameat(here, "d", here, "link"));
    HAS(here, "f", "x");
}

static void only_an_empty_directory_is_replaced(void)
{
    WORKS(mkdirat(here, "full", 0755));
    put(here, "full/x", "full");
    WORKS(mkdirat(here, "d", 0755));
    put(here, "d/y", "d");
    WORKS(mkdirat(here, "empty", 0755));
    FAILS(ENOTEMPTY, renameat(here, "d", here, "full"));
    HAS(here, "d/y", "d");
    WORKS(renameat(here, "d", here, "empty"));
    HAS(here, "empty/y", "d");
    HAS(here, "d/y", "(ENOENT)");
    FAILS(ENOTEMPTY, renameat(here, "full", here, "empty"));
}

static void a_directory_does_not_move_below_itself(void)
{
    WORKS(mkdirat(here, "a", 0755));
    WORKS(mkdirat(here, "a/b", 0755));
    WORKS(mkdirat(here, "a/b/c", 0755));
    FAILS(EINVAL, renameat(here, "a", here, "a/x"));
    FAILS(EINVAL, renameat(here, "a", here, "a/b"));
    FAILS(EINVAL, renameat(here, "a", here, "a/b/c/d"));
    FAILS(ENOTEMPTY, renameat(here, "a/b/c", here, "a"));
    FAILS(ENOTEMPTY, renameat(here, "a/b", here, "a"));
    int inner = openat(here, "a/b", O_RDONLY | O_DIRECTORY);
    FAILS(EINVAL, renameat(here, "a", inner, "x"));
    WORKS(shut(inner));
    WORKS(symlinkat("a/b", here, "link"));
    FAILS(EINVAL, renameat(here, "a", here, "link/x"));
}

static void onto_itself_nothing_happens(void)
{
    put(here, "f", "x");
    WORKS(mkdirat(here, "d", 0755));
    put(here, "d/y", "y");
    WORKS(renameat(here, "f", here, "f"));
    WORKS(renameat(here, "f", here, "d/../f"));
    WORKS(renameat(here, "d", here, "d"));
    WORKS(linkat(here, "f", here, "other", 0));
    WORKS(renameat(here, "f", here, "other"));
    HAS(here, "f", "x");
    HAS(here, "other", "x");
    IS(links_of(here, "f"), 2);
    HAS(here, "d/y", "y");
}

static void links_move_as_links(void)
{
    put(here, "f", "x");
    put(here, "g", "y");
    WORKS(symlinkat("f", here, "link"));
    WORKS(symlinkat("none", here, "dangling"));
    WORKS(renameat(here, "link", here, "moved"));
    HAS(here, "moved", "x");
    WORKS(renameat(here, "dangling", here, "moved"));
    HAS(here, "moved", "(ENOENT)");
    WORKS(renameat(here, "g", here, "moved"));
    HAS(here, "moved", "y");
    HAS(here, "f", "x");
    HAS(here, "none", "(ENOENT)");
}

static void dots_are_not_renamed(void)
{
    WORKS(mkdirat(here, "d", 0755));
    put(here, "f", "x");
    FAILS(EBUSY, renameat(here, ".", here, "b"));
    FAILS(EBUSY, renameat(here, "d/.", here, "b"));
    FAILS(EBUSY, renameat(here, "d/..", here, "b"));
    FAILS(EBUSY, renameat(here, "f", here, "d/."));
    FAILS(EBUSY, renameat(here, "d", here, "d/.."));
}

static void link_counts_of_directories_follow(void)
{
    WORKS(mkdirat(here, "a", 0755));
    WORKS(mkdirat(here, "b", 0755));
    WORKS(mkdirat(here, "a/x", 0755));
    IS(links_of(here, "a"), 3);
    IS(links_of(here, "b"), 2);
    WORKS(renameat(here, "a/x", here, "b/x"));
    IS(links_of(here, "a"), 2);
    IS(links_of(here, "b"), 3);
    WORKS(mkdirat(here, "b/y", 0755));
    WORKS(renameat(here, "b/x", here, "b/y"));
    IS(links_of(here, "b"), 3);
    WORKS(unlinkat(here, "b/y", AT_REMOVEDIR));
    IS(links_of(here, "b"), 2);
}

static void a_directory_that_moved_has_a_new_parent(void)
{
    struct stat parent, up;
    WORKS(mkdirat(here, "a", 0755));
    WORKS(mkdirat(here, "b", 0755));
    WORKS(mkdirat(here, "a/x", 0755));
    put(here, "a/x/f", "deep");
    put(here, "b/g", "g");
    WORKS(renameat(here, "a/x", here, "b/x"));
    HAS(here, "b/x/f", "deep");
    HAS(here, "b/x/../g", "g");
    WORKS(stat_of(here, "b", &parent));
    WORKS(fstatat(here, "b/x/..", &up, 0));
    IS(up.st_ino, parent.st_ino);
    WORKS(unlinkat(here, "a", AT_REMOVEDIR));
}

static void an_open_directory_keeps_working_after_it_moved(void)
{
    WORKS(mkdirat(here, "a", 0755));
    int dir = openat(here, "a", O_RDONLY | O_DIRECTORY);
    WORKS(mkdirat(here, "b", 0755));
    WORKS(renameat(here, "a", here, "b/c"));
    put(dir, "f", "x");
    HAS(here, "b/c/f", "x");
    WORKS(renameat(dir, "f", here, "g"));
    HAS(here, "g", "x");
    WORKS(shut(dir));
}

static void a_name_that_was_replaced_many_times_is_the_last(void)
{
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "%d", i);
        put(here, "tmp", name);
        WORKS(renameat(here, "tmp", here, "f"));
    }
    HAS(here, "f", "299");
    HAS(here, "tmp", "(ENOENT)");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_file_moves_with_its_content),
        CASE(what_is_not_there_is_not_renamed),
        CASE(a_replaced_open_file_stays_readable),
        CASE(an_open_file_is_the_same_under_its_new_name),
        CASE(files_and_directories_do_not_replace_each_other),
        CASE(only_an_empty_directory_is_replaced),
        CASE(a_directory_does_not_move_below_itself),
        CASE(onto_itself_nothing_happens),
        CASE(links_move_as_links),
        CASE(dots_are_not_renamed),
        CASE(link_counts_of_directories_follow),
        CASE(a_directory_that_moved_has_a_new_parent),
        CASE(an_open_directory_keeps_working_after_it_moved),
        CASE(a_name_that_was_replaced_many_times_is_the_last),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
