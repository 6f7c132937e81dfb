/* What every operation answers for {file, directory, link to each, dangling link, nothing} with
 * every ending of slashes and dots, and what the tree is afterwards: printed, one line a case, and
 * compared with what the same program prints on Linux. By itself it makes the tree again after
 * every change. "fill" makes as many trees as there are cases, and "check" takes a new one for
 * each: then nothing that it changes was made by the same run. */
#include "check.h"

static const char *const kinds[] = {"file", "dir", "tofile", "todir", "dangling", "none"};
static const char *const ends[] = {"", "/", "//", "/.", "/.."};
#define PATHS (COUNT(kinds) * COUNT(ends))
static const char *const all[] = {"file",  "dir",      "dir/in", "tofile",
                                  "todir", "dangling", "none",   "new"};

#define TREES (10 * PATHS + 9 * PATHS + 3 * PATHS * PATHS)

static int tree = -1;
static unsigned ntrees; /* "check": of those used up; else 0 */
static bool settled;
static char path_text[2][32];

static const char *path_at(size_t i, int which)
{
    snprintf(path_text[which], sizeof path_text[which], "%s%s", kinds[i / COUNT(ends)],
             ends[i % COUNT(ends)]);
    return path_text[which];
}

static void remove_all(void)
{
    for (int i = COUNT(all) - 1; i >= 0; i--) {
        if (unlinkat(tree, all[i], 0) != 0 && errno == EISDIR) {
            unlinkat(tree, "none/in", 0);
            unlinkat(tree, "new/in", 0);
            unlinkat(tree, all[i], AT_REMOVEDIR);
        }
    }
    unlinkat(tree, "dir", AT_REMOVEDIR);
}

static void make_all(void)
{
    put(tree, "file", "content");
    if (mkdirat(tree, "dir", 0755) != 0 || symlinkat("file", tree, "tofile") != 0 ||
        symlinkat("dir", tree, "todir") != 0 || symlinkat("none", tree, "dangling") != 0) {
        printf("the tree was not made: %s\n", errno_name(errno));
    }
}

/* The whole tree in some letters: type, size and links of each name. */
static const char *state(void)
{
    static char text[256];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < COUNT(all); i++) {
        struct stat st;
        if (stat_of(tree, all[i], &st) == 0) {
            at += (size_t)snprintf(text + at, sizeof text - at, " %s=%c%lldx%lld", all[i],
                                   S_ISDIR(st.st_mode)   ? 'd'
                                   : S_ISLNK(st.st_mode) ? 'l'
                                                         : 'f',
                                   S_ISDIR(st.st_mode) ? 0 : (long long)st.st_size,
                                   (long long)st.st_nlink);
        }
    }
    return text;
}

static int open_tree(unsigned i)
{
    char name[16];
    snprintf(name, sizeof name, "trees/%u", i);
    return openat(base, name, O_RDONLY | O_DIRECTORY);
}

static char was[256];
static void begin(void)
{
    if (settled) {
        close(tree);
        tree = open_tree(ntrees++);
    } else {
        remove_all();
        make_all();
    }
    snprintf(was, sizeof was, "%s", state());
}

/* The answer; and the tree, if that changed. */
static void tell(const char *op, size_t a, int no)
{
    bool changed = strcmp(was, state()) != 0;
    printf("%s %s: %s%s%s\n", op, path_at(a, 0), errno_name(no), changed ? " ->" : "",
           changed ? state() : "");
    if (changed || settled) {
        begin();
    }
}

static int result(int r)
{
    int no = r < 0 ? errno : 0;
    if (r > 2) {
        close(r);
    }
    return no;
}

static void open_all(void)
{
    static const struct {
        const char *name;
        int flags;
    } how[] = {{"open rdonly", O_RDONLY},
               {"open rdwr", O_RDWR},
               {"open creat", O_RDWR | O_CREAT},
               {"open creat excl", O_RDWR | O_CREAT | O_EXCL},
               {"open trunc", O_RDWR | O_TRUNC},
               {"open creat trunc", O_WRONLY | O_CREAT | O_TRUNC},
               {"open directory", O_RDONLY | O_DIRECTORY},
               {"open nofollow", O_RDONLY | O_NOFOLLOW},
               {"open creat nofollow", O_RDWR | O_CREAT | O_NOFOLLOW},
               {"open directory nofollow", O_RDONLY | O_DIRECTORY | O_NOFOLLOW}};
    for (size_t k = 0; k < COUNT(how); k++) {
        for (size_t i = 0; i < PATHS; i++) {
            tell(how[k].name, i, result(openat(tree, path_at(i, 0), how[k].flags, 0644)));
        }
    }
}

static int one(size_t op, const char *path)
{
    static const struct timespec t[2] = {{1, 1}, {2, 2}};
    struct stat st;
    char got[32];
    switch (op) {
    case 0:
        return fstatat(tree, path, &st, 0);
    case 1:
        return fstatat(tree, path, &st, AT_SYMLINK_NOFOLLOW);
    case 2:
        return readlinkat(tree, path, got, sizeof got) < 0 ? -1 : 0;
    case 3:
        return mkdirat(tree, path, 0755);
    case 4:
        return unlinkat(tree, path, 0);
    case 5:
        return unlinkat(tree, path, AT_REMOVEDIR);
    case 6:
        return symlinkat("file", tree, path);
    case 7:
        return utimensat(tree, path, t, 0);
    default:
        return utimensat(tree, path, t, AT_SYMLINK_NOFOLLOW);
    }
}

static void every_path(void)
{
    static const char *const ops[] = {"stat",  "lstat",   "readlink", "mkdir",           "unlink",
                                      "rmdir", "symlink", "utimens",  "utimens nofollow"};
    for (size_t op = 0; op < COUNT(ops); op++) {
        for (size_t i = 0; i < PATHS; i++) {
            tell(ops[op], i, result(one(op, path_at(i, 0))));
        }
    }
}

static int two(size_t op, const char *from, const char *to)
{
    switch (op) {
    case 0:
        return renameat(tree, from, tree, to);
    case 1:
        return linkat(tree, from, tree, to, 0);
    default:
        return linkat(tree, from, tree, to, AT_SYMLINK_FOLLOW);
    }
}

static void every_pair(void)
{
    static const char *const ops[] = {"rename", "link", "link follow"};
    char what[64];
    for (size_t op = 0; op < COUNT(ops); op++) {
        for (size_t i = 0; i < PATHS; i++) {
            for (size_t k = 0; k < PATHS; k++) {
                snprintf(what, sizeof what, "%s %s to", ops[op], path_at(i, 0));
                int no = result(two(op, path_at(i, 0), path_at(k, 1)));
                tell(what, k, no);
            }
        }
    }
}

static int fill(void)
{
    char name[24];
    if (mkdirat(base, "trees", 0755) != 0) {
        return 1;
    }
    for (unsigned i = 0; i <= TREES; i++) {
        snprintf(name, sizeof name, "trees/%u", i);
        if (mkdirat(base, name, 0755) != 0 || (tree = open_tree(i)) < 0) {
            return 1;
        }
        make_all();
        close(tree);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    base = open(MAIN_PLACE, O_RDONLY | O_DIRECTORY);
    if (strcmp(what, "fill") == 0) {
        return fill();
    }
    settled = strcmp(what, "check") == 0;
    if (base < 0 || (!settled && (mkdirat(base, "tree", 0755) != 0 ||
                                  (tree = openat(base, "tree", O_RDONLY | O_DIRECTORY)) < 0))) {
        printf("not ok begin: %s\n", errno_name(errno));
        return 1;
    }
    begin();
    open_all();
    every_path();
    every_pair();
    return 0;
}
