/* Listings: every name once, whatever changes beside them. */
#include "check.h"

#define MANY 10500
static unsigned char seen[MANY + 600];

static DIR *list(const char *path)
{
    int fd = openat(here, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    HOLDS(dir != NULL);
    return dir;
}

static void make_from(const char *prefix, int first, int n)
{
    char name[40];
    for (int i = first; i < first + n; i++) {
        snprintf(name, sizeof name, "%s%d", prefix, i);
        int fd = openat(here, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
        if (fd < 0) {
            check_fail(__FILE__, __LINE__, "%s: %s", name, errno_name(errno));
            return;
        }
        close(fd);
    }
}

static void make_many(const char *prefix, int n)
{
    make_from(prefix, 0, n);
}

/* Counts the names f0 … in seen; others are counted in *others. */
static void count(DIR *dir, int at_most, int *others)
{
    memset(seen, at_most < 0 ? 0 : seen[0], at_most < 0 ? sizeof seen : 0);
    struct dirent *e;
    while (at_most-- != 0 && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] == 'f') {
            seen[strtol(e->d_name + 1, NULL, 10)]++;
        } else {
            ++*others;
        }
    }
}

static void an_empty_directory_holds_only_itself_and_its_parent(void)
{
    int dots = 0;
    DIR *dir = list(".");
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        HOLDS(strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
        IS(e->d_type, DT_DIR);
        dots++;
    }
    IS(dots, 2);
    WORKS(closedir(dir));
}

static void a_listing_tells_types_and_inodes(void)
{
    struct stat st;
    int n = 0;
    put(here, "file", "x");
    WORKS(mkdirat(here, "dir", 0755));
    WORKS(symlinkat("file", here, "link"));
    DIR *dir = list(".");
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        int type = strcmp(e->d_name, "file") == 0   ? DT_REG
                   : strcmp(e->d_name, "link") == 0 ? DT_LNK
                                                    : DT_DIR;
        IS(e->d_type, type);
        if (e->d_name[0] != '.') {
            WORKS(stat_of(here, e->d_name, &st));
            IS(e->d_ino, st.st_ino);
        }
        n++;
    }
    IS(n, 5);
    WORKS(closedir(dir));
    FAILS(ENOTDIR, openat(here, "file", O_RDONLY | O_DIRECTORY));
}

static void ten_thousand_names_are_each_listed_once(void)
{
    int others = 0, missing = 0;
    make_many("f", MANY);
    DIR *dir = list(".");
    count(dir, -1, &others);
    for (int i = 0; i < MANY; i++) {
        missing += seen[i] != 1;
    }
    IS(missing, 0);
    IS(others, 2);
    rewinddir(dir);
    others = 0;
    count(dir, -1, &others);
    missing = 0;
    for (int i = 0; i < MANY; i++) {
        missing += seen[i] != 1;
    }
    IS(missing, 0);
    IS(others, 2);
    WORKS(closedir(dir));
}

static void a_place_in_a_listing_can_be_gone_back_to(void)
{
    static long at[300];
    static char names[300][32];
    make_many("f", 298);
    DIR *dir = list(".");
    for (int i = 0; i < 300; i++) {
        at[i] = telldir(dir);
        struct dirent *e = readdir(dir);
        if (!HOLDS(e != NULL)) {
            return;
        }
        snprintf(names[i], sizeof names[i], "%.31s", e->d_name);
    }
    HOLDS(readdir(dir) == NULL);
    for (int i = 299; i >= 0; i -= 7) {
        seekdir(dir, at[i]);
        struct dirent *e = readdir(dir);
        if (!HOLDS(e != NULL && strcmp(e->d_name, names[i]) == 0)) {
            return;
        }
    }
    WORKS(closedir(dir));
}

static void names_that_stay_are_listed_once_while_others_come_and_go(void)
{
    char name[40];
    int others = 0, wrong = 0;
    memset(seen, 0, sizeof seen);
    make_many("f", 3000);
    DIR *dir = list(".");
    count(dir, 100, &others);
    for (int i = 0; i < 3000; i += 2) {
        snprintf(name, sizeof name, "f%d", i);
        WORKS(unlinkat(here, name, 0));
    }
    make_many("g", 500);
    count(dir, 400, &others);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "g%d", i);
        WORKS(unlinkat(here, name, 0));
    }
    struct dirent *e;
    while ((e = readdir(dir)) != NULL) {
        if (e->d_name[0] == 'f') {
            seen[strtol(e->d_name + 1, NULL, 10)]++;
        }
    }
    for (int i = 0; i < 3000; i++) {
        wrong += i % 2 != 0 ? seen[i] != 1 : seen[i] > 1;
    }
    IS(wrong, 0);
    rewinddir(dir);
    int left = 0;
    while (readdir(dir) != NULL) {
        left++;
    }
    IS(left, 1502);
    WORKS(closedir(dir));
}

/* Names of one length: adapters count entries, and lose some when a buffer's end cuts one; how many
 * would depend on the order of the host's folder. */
static void everything_can_be_removed_while_it_is_listed(void)
{
    make_from("f", 1000, 2000);
    int removed = 0, left = 0;
    DIR *dir = list(".");
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        removed += e->d_name[0] == 'f' && unlinkat(here, e->d_name, 0) == 0;
    }
    IS(removed, 2000);
    rewinddir(dir);
    while (readdir(dir) != NULL) {
        left++;
    }
    IS(left, 2);
    WORKS(closedir(dir));
}

static void names_that_moved_are_listed_under_one_name(void)
{
    char name[40], to[40];
    int n = 0;
    make_many("f", 200);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "f%d", i);
        snprintf(to, sizeof to, "g%d", i / 2);
        WORKS(renameat(here, name, here, to));
    }
    DIR *dir = list(".");
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        n += e->d_name[0] == 'g';
        HOLDS(e->d_name[0] != 'f');
    }
    IS(n, 100);
    WORKS(closedir(dir));
}

static void long_names_are_listed_whole(void)
{
    char name[256];
    int n = 0;
    for (int i = 0; i < 60; i++) {
        memset(name, 'a' + i % 26, 255);
        name[255] = '\0';
        name[0] = (char)('0' + i);
        put(here, name, "x");
    }
    DIR *dir = list(".");
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        n += strlen(e->d_name) == 255;
    }
    IS(n, 60);
    WORKS(closedir(dir));
}

static void a_directory_is_listed_through_a_link(void)
{
    int n = 0;
    WORKS(mkdirat(here, "d", 0755));
    put(here, "d/x", "x");
    WORKS(symlinkat("d", here, "link"));
    DIR *dir = list("link");
    while (readdir(dir) != NULL) {
        n++;
    }
    IS(n, 3);
    WORKS(closedir(dir));
    FAILS(ELOOP, openat(here, "link", O_RDONLY | O_NOFOLLOW));
    FAILS(ENOTDIR, openat(here, "link", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(an_empty_directory_holds_only_itself_and_its_parent),
        CASE(a_listing_tells_types_and_inodes),
        CASE(ten_thousand_names_are_each_listed_once),
        CASE(a_place_in_a_listing_can_be_gone_back_to),
        CASE(names_that_stay_are_listed_once_while_others_come_and_go),
        CASE(everything_can_be_removed_while_it_is_listed),
        CASE(names_that_moved_are_listed_under_one_name),
        CASE(long_names_are_listed_whole),
        CASE(a_directory_is_listed_through_a_link),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
