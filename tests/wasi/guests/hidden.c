/* The control folder of mounts is nothing that a program sees. */
#include "check.h"

static void the_control_folder_is_not_there(void)
{
    struct stat st;
    int names = 0;
    FAILS(ENOENT, fstatat(base, ".tarbox", &st, 0));
    FAILS(ENOENT, fstatat(base, ".tarbox", &st, AT_SYMLINK_NOFOLLOW));
    FAILS(ENOENT, fstatat(base, ".tarbox/", &st, 0));
    FAILS(ENOENT, openat(base, ".tarbox", O_RDONLY | O_DIRECTORY));
    FAILS(ENOENT, openat(base, ".tarbox/layers/current", O_RDONLY));
    FAILS(ENOENT, openat(base, ".tarbox/layers/new", O_WRONLY));
    FAILS(ENOENT, openat(base, ".tarbox/layers/switch", O_WRONLY | O_TRUNC));
    FAILS(ENOENT, openat(base, ".tarbox/snapshots", O_RDONLY | O_DIRECTORY));
    FAILS(ENOENT, openat(base, ".tarbox/stats/usage", O_RDONLY));
    FAILS(ENOENT, openat(base, "./.tarbox/last_error", O_RDONLY));
    FAILS(ENOENT, unlinkat(base, ".tarbox", AT_REMOVEDIR));
    FAILS(ENOENT, renameat(base, ".tarbox", base, "x"));
    DIR *dir = fdopendir(openat(base, ".", O_RDONLY | O_DIRECTORY));
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        names += strncmp(e->d_name, ".tarbox", 7) == 0;
    }
    IS(names, 0);
    WORKS(closedir(dir));
}

static void a_name_that_begins_like_it_is_an_ordinary_one(void)
{
    put(here, ".tarboxfoo", "x");
    HAS(here, ".tarboxfoo", "x");
    WORKS(mkdirat(here, ".tarbox", 0755)); /* below the top it is a name like others */
    put(here, ".tarbox/f", "y");
    HAS(here, ".tarbox/f", "y");
}

int main(void)
{
    static const struct check_case cases[] = {
        CASE(the_control_folder_is_not_there),
        CASE(a_name_that_begins_like_it_is_an_ordinary_one),
    };
    return check_main(cases, COUNT(cases), true, NULL);
}
