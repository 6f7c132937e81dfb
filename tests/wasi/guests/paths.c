/* Names and paths: lengths, bytes, dots, slashes, links in the way. */
#include "check.h"

static char long_name[300], long_path[5000];

static const char *name_of(size_t len)
{
    memset(long_name, 'n', len);
    long_name[len] = '\0';
    return long_name;
}

/* "./././f", len bytes in all. */
static const char *path_of(size_t len)
{
    size_t at = 0;
    for (; at + 3 <= len; at += 2) {
        memcpy(long_path + at, "./", 2);
    }
    for (; at + 1 < len; at++) {
        long_path[at] = '/';
    }
    memcpy(long_path + at, "f", 2);
    return long_path;
}

static void names_have_255_bytes_at_most(void)
{
    put(here, name_of(255), "x");
    HAS(here, name_of(255), "x");
    const char *too_long = name_of(256);
    char got[8];
    struct stat st;
    FAILS(ENAMETOOLONG, openat(here, too_long, O_RDONLY));
    FAILS(ENAMETOOLONG, openat(here, too_long, O_RDWR | O_CREAT, 0644));
    FAILS(ENAMETOOLONG, mkdirat(here, too_long, 0755));
    FAILS(ENAMETOOLONG, unlinkat(here, too_long, 0));
    FAILS(ENAMETOOLONG, unlinkat(here, too_long, AT_REMOVEDIR));
    FAILS(ENAMETOOLONG, fstatat(here, too_long, &st, 0));
    FAILS(ENAMETOOLONG, symlinkat("x", here, too_long));
    FAILS(ENAMETOOLONG, readlinkat(here, too_long, got, sizeof got));
    put(here, "f", "x");
    FAILS(ENAMETOOLONG, renameat(here, "f", here, too_long));
    FAILS(ENAMETOOLONG, renameat(here, too_long, here, "g"));
    FAILS(ENAMETOOLONG, linkat(here, "f", here, too_long, 0));
}

static void paths_have_4095_bytes_at_most(void)
{
    put(here, "f", "x");
    HAS(here, path_of(1000), "x");
    HAS(here, path_of(4094), "x");
    HAS(here, path_of(4095), "x");
    HAS(here, path_of(4096), "(ENAMETOOLONG)");
    HAS(here, path_of(4900), "(ENAMETOOLONG)");
    FAILS(ENAMETOOLONG, mkdirat(here, path_of(4096), 0755));
    FAILS(ENAMETOOLONG, unlinkat(here, path_of(4096), 0));
    FAILS(ENAMETOOLONG, renameat(here, path_of(4096), here, "g"));
    FAILS(ENAMETOOLONG, renameat(here, "f", here, path_of(4096)));
    FAILS(ENAMETOOLONG, linkat(here, "f", here, path_of(4096), 0));
    FAILS(ENAMETOOLONG, symlinkat("x", here, path_of(4096)));
}

static void targets_of_links_have_4095_bytes_at_most(void)
{
    static char got[5000];
    put(here, "f", "x");
    WORKS(symlinkat(path_of(4095), here, "link"));
    IS(readlinkat(here, "link", got, sizeof got), 4095);
    HOLDS(memcmp(got, long_path, 4095) == 0);
    HAS(here, "link", "x");
    FAILS(ENAMETOOLONG, symlinkat(path_of(4096), here, "second"));
}

static void names_are_bytes(void)
{
    static const char *const names[] = {
        "\xff\xfe\x80",
        "caf\xc3\xa9",
        "cafe\xcc\x81",
        "\xc0\xaf",
        "\xed\xa0\x80",
        "back\\slash",
        "co:lon",
        "new\nline",
        "\x01\x1f\x7f",
        " ",
        "...",
        "..a",
        "a..",
        ".hidden",
        "CON",
        "con",
        "con.",
        "*?\"<>|",
        "-",
        "~",
    };
    char text[24];
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(text, sizeof text, "%zu", i);
        put(here, names[i], text);
    }
    size_t seen = 0;
    DIR *dir = fdopendir(openat(here, ".", O_RDONLY | O_DIRECTORY));
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        for (size_t i = 0; i < COUNT(names); i++) {
            seen += strcmp(e->d_name, names[i]) == 0;
        }
    }
    closedir(dir);
    IS(seen, COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(text, sizeof text, "%zu", i);
        HAS(here, names[i], text);
        WORKS(unlinkat(here, names[i], 0));
    }
}

static void links_hold_bytes_too(void)
{
    char got[8];
    put(here, "\xff", "x");
    WORKS(symlinkat("\xff", here, "link"));
    IS(readlinkat(here, "link", got, sizeof got), 1);
    IS((unsigned char)got[0], 0xff);
    HAS(here, "link", "x");
}

static void an_empty_path_names_nothing(void)
{
    char got[8];
    struct stat st;
    FAILS(ENOENT, openat(here, "", O_RDONLY));
    FAILS(ENOENT, openat(here, "", O_RDONLY | O_DIRECTORY));
    FAILS(ENOENT, openat(here, "", O_CREAT | O_RDWR, 0644));
    FAILS(ENOENT, mkdirat(here, "", 0755));
    FAILS(ENOENT, fstatat(here, "", &st, 0));
    FAILS(ENOENT, fstatat(here, "", &st, AT_SYMLINK_NOFOLLOW));
    FAILS(ENOENT, unlinkat(here, "", 0));
    FAILS(ENOENT, utimensat(here, "", NULL, 0));
    FAILS(ENOENT, symlinkat("x", here, ""));
    (void)got;
}

static void dots_and_slashes_lead_where_they_say(void)
{
    WORKS(mkdirat(here, "d", 0755));
    WORKS(mkdirat(here, "d/e", 0755));
    put(here, "f", "f");
    put(here, "d/g", "g");
    HAS(here, "./f", "f");
    HAS(here, ".//.///f", "f");
    HAS(here, "d/../f", "f");
    HAS(here, "d//e///..//g", "g");
    HAS(here, "d/e/../../f", "f");
    HAS(here, "d/./e/./.././g", "g");
    HAS(here, "f/", "(ENOTDIR)");
    HAS(here, "f/.", "(ENOTDIR)");
    HAS(here, "f/..", "(ENOTDIR)");
    HAS(here, "f/../f", "(ENOTDIR)");
    HAS(here, "none/../f", "(ENOENT)");
    HAS(here, "none/", "(ENOENT)");
    HAS(here, "d/", check_adapted() ? "(EBADF)" : "(EISDIR)");
    HAS(here, "d/.", check_adapted() ? "(EBADF)" : "(EISDIR)");
    FAILS(EISDIR, openat(here, "new/", O_CREAT | O_RDWR, 0644));
}

static void links_in_the_way_are_followed(void)
{
    WORKS(mkdirat(here, "d", 0755));
    WORKS(mkdirat(here, "d/e", 0755));
    put(here, "d/g", "g");
    put(here, "f", "f");
    WORKS(symlinkat("d", here, "to"));
    WORKS(symlinkat("d/e/", here, "slash"));
    WORKS(symlinkat("../f", here, "d/up"));
    WORKS(symlinkat("../to/./up", here, "d/twice"));
    WORKS(symlinkat("f", here, "tofile"));
    HAS(here, "to/g", "g");
    HAS(here, "to//g", "g");
    HAS(here, "slash/../g", "g");
    HAS(here, "to/up", "f");
    HAS(here, "d/twice", "f");
    HAS(here, "to/../f", "f");
    HAS(here, "tofile/", "(ENOTDIR)");
    HAS(here, "tofile/x", "(ENOTDIR)");
    put(here, "to/new", "n");
    HAS(here, "d/new", "n");
    WORKS(unlinkat(here, "to/new", 0));
    HAS(here, "d/new", "(ENOENT)");
}

static void forty_links_are_followed_and_no_more(void)
{
    char name[16], target[16];
    put(here, "l0", "end");
    for (int i = 1; i <= 41; i++) {
        snprintf(name, sizeof name, "l%d", i);
        snprintf(target, sizeof target, "l%d", i - 1);
        WORKS(symlinkat(target, here, name));
    }
    HAS(here, "l39", "end");
    HAS(here, "l40", "end");
    HAS(here, "l41", "(ELOOP)");
    WORKS(symlinkat("loop", here, "loop"));
    WORKS(symlinkat("b", here, "a"));
    WORKS(symlinkat("a", here, "b"));
    HAS(here, "loop", "(ELOOP)");
    HAS(here, "a", "(ELOOP)");
    HAS(here, "a/x", "(ELOOP)");
    FAILS(ELOOP, openat(here, "loop", O_CREAT | O_RDWR, 0644));
    FAILS(ELOOP, mkdirat(here, "loop/x", 0755));
    WORKS(mkdirat(here, "d", 0755));
    WORKS(symlinkat(".", here, "d/self"));
    put(here, "d/f", "x");
    HAS(here, "d/self/self/self/f", "x");
    long_path[0] = 'd';
    size_t at = 1;
    for (int i = 0; i < 41; i++, at += 5) {
        memcpy(long_path + at, "/self", 6);
    }
    memcpy(long_path + at, "/f", 3);
    HAS(here, long_path, "(ELOOP)");
    memcpy(long_path + at - 5, "/f", 3);
    HAS(here, long_path, "x");
}

static void dangling_links_name_what_is_not_there(void)
{
    struct stat st;
    WORKS(symlinkat("none", here, "l"));
    WORKS(symlinkat("none/x", here, "m"));
    FAILS(ENOENT, fstatat(here, "l", &st, 0));
    WORKS(fstatat(here, "l", &st, AT_SYMLINK_NOFOLLOW));
    FAILS(ENOENT, openat(here, "l/x", O_RDONLY));
    FAILS(ENOENT, openat(here, "m", O_CREAT | O_RDWR, 0644));
    FAILS(EEXIST, openat(here, "l", O_CREAT | O_EXCL | O_RDWR, 0644));
    FAILS(EEXIST, mkdirat(here, "l", 0755));
    put(here, "l", "made");
    HAS(here, "none", "made");
}

static void directories_are_found_many_levels_down(void)
{
    enum { LEVELS = 300 };
    int dir = openat(here, ".", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < LEVELS; i++) {
        WORKS(mkdirat(dir, "level", 0755));
        int next = openat(dir, "level", O_RDONLY | O_DIRECTORY);
        WORKS(shut(dir));
        dir = next;
    }
    put(dir, "f", "deep");
    WORKS(shut(dir));
    size_t at = 0;
    for (int i = 0; i < LEVELS; i++, at += 6) {
        memcpy(long_path + at, "level/", 6);
    }
    memcpy(long_path + at, "f", 2);
    HAS(here, long_path, "deep");
    dir = openat(here, ".", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < LEVELS; i++) {
        int next = openat(dir, "level", O_RDONLY | O_DIRECTORY);
        WORKS(shut(dir));
        dir = next;
    }
    at = 0;
    for (int i = 0; i < LEVELS; i++, at += 3) {
        memcpy(long_path + at, "../", 3);
    }
    memcpy(long_path + at, "g", 2);
    put(here, "g", "top");
#ifndef __wasi__
    HAS(dir, long_path, "top");
#endif
    WORKS(shut(dir));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(names_have_255_bytes_at_most),
        CASE(paths_have_4095_bytes_at_most),
        CASE(targets_of_links_have_4095_bytes_at_most),
        CASE(names_are_bytes),
        CASE(links_hold_bytes_too),
        CASE(an_empty_path_names_nothing),
        CASE(dots_and_slashes_lead_where_they_say),
        CASE(links_in_the_way_are_followed),
        CASE(forty_links_are_followed_and_no_more),
        CASE(dangling_links_name_what_is_not_there),
        CASE(directories_are_found_many_levels_down),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
