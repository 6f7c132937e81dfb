/* Paths: every function on every kind of name with every ending beside Linux itself; what would
 * lead out; what is read-only; strange names. */
#include "wasi_p1/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "vfs/ops.h"
#include "wasi/p1/internal.h"

/* ---- beside Linux ---- */
static const char *const kinds[] = {"file", "dir", "full", "to-file", "to-dir", "to-none", "none"};
static const char *const endings[] = {"", "/", "//", "/.", "/..", "/x"};
#define NKINDS (sizeof kinds / sizeof *kinds)
#define NENDINGS (sizeof endings / sizeof *endings)

struct two { /* the guest's directory and the host's, made alike */
    char *host;
    int dir;
};

static void host_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0);
    close(fd);
}

static void make_both(struct two *t)
{
    t->host = test_dir_new();
    t->dir = open(t->host, O_RDONLY | O_DIRECTORY);
    assert_true(t->dir >= 0);
    host_file(t->dir, "file");
    w_file("t/file", "");
    static const char *const dirs[] = {"dir", "full", "full/in"};
    static const char *const links[][2] = {
        {"file", "to-file"}, {"dir", "to-dir"}, {"nothing", "to-none"}};
    char path[64];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(mkdirat(t->dir, dirs[i], 0755), 0);
        assert_int_equal(symlinkat(links[i][0], t->dir, links[i][1]), 0);
        snprintf(path, sizeof path, "t/%s", dirs[i]);
        w_dir(path);
        snprintf(path, sizeof path, "t/%s", links[i][1]);
        w_link(links[i][0], path);
    }
}

/* Everything in /w/t, whatever it became. */
static void clear_guest(const char *path)
{
    struct w_stat st;
    if (w_stat(W, path, false, &st) != CIS_WASI_OK) {
        return;
    }
    if (st.type != CIS_WASI_FILETYPE_DIRECTORY) {
        assert_errno(OK, "path_unlink_file", W, S(path));
        return;
    }
    static const char *const below[] = {"file",    "dir",  "full",    "to-file", "to-dir",
                                        "nothing", "none", "to-none", "in",      "x"};
    char name[128];
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        if (strlen(path) < 40) {
            snprintf(name, sizeof name, "%s/%s", path, below[i]);
            clear_guest(name);
        }
    }
    assert_errno(OK, "path_remove_directory", W, S(path));
}

static void clear_both(struct two *t)
{
    clear_guest("t");
    close(t->dir);
    remove_deep(t->host);
    free(t->host);
}

enum verb {
    UNLINK,
    RMDIR,
    MKDIR,
    SYMLINK,
    READLINK,
    LSTAT,
    STAT,
    LSETTIMES,
    SETTIMES,
    OPEN,
    CREATE,
    OPENDIR,
    CREATE_NEW,
    TRUNCATE,
    NVERBS_ONE,
    LINK = NVERBS_ONE,
    LINK_FOLLOW,
    RENAME,
    NVERBS
};
static const char *const verb_names[] = {"unlink",     "rmdir",    "mkdir",  "symlink",
                                         "readlink",   "lstat",    "stat",   "times of the link",
                                         "times",      "open",     "create", "open as a directory",
                                         "create new", "truncate", "link",   "link with follow",
                                         "rename"};

static int linux_open(int dir, const char *path, int flags)
{
    int fd = openat(dir, path, flags | O_CLOEXEC | O_NONBLOCK, 0644);
    if (fd >= 0) {
        close(fd);
    }
    return fd;
}

static int on_linux(int dir, enum verb verb, const char *a, const char *b)
{
    struct stat st;
    char buf[64];
    struct timespec times[2] = {{1, 2}, {3, 4}};
    ssize_t got = -1;
    switch (verb) {
    case UNLINK:
        got = unlinkat(dir, a, 0);
        break;
    case RMDIR:
        got = unlinkat(dir, a, AT_REMOVEDIR);
        break;
    case MKDIR:
        got = mkdirat(dir, a, 0755);
        break;
    case SYMLINK:
        got = symlinkat("target", dir, a);
        break;
    case READLINK:
        got = readlinkat(dir, a, buf, sizeof buf);
        break;
    case LSTAT:
        got = fstatat(dir, a, &st, AT_SYMLINK_NOFOLLOW);
        break;
    case STAT:
        got = fstatat(dir, a, &st, 0);
        break;
    case LSETTIMES:
        got = utimensat(dir, a, times, AT_SYMLINK_NOFOLLOW);
        break;
    case SETTIMES:
        got = utimensat(dir, a, times, 0);
        break;
    case OPEN:
        got = linux_open(dir, a, O_RDONLY);
        break;
    case CREATE:
        got = linux_open(dir, a, O_WRONLY | O_CREAT);
        break;
    case OPENDIR:
        got = linux_open(dir, a, O_RDONLY | O_DIRECTORY);
        break;
    case CREATE_NEW:
        got = linux_open(dir, a, O_WRONLY | O_CREAT | O_EXCL);
        break;
    case TRUNCATE:
        got = linux_open(dir, a, O_WRONLY | O_TRUNC);
        break;
    case LINK:
        got = linkat(dir, a, dir, b, 0);
        break;
    case LINK_FOLLOW:
        got = linkat(dir, a, dir, b, AT_SYMLINK_FOLLOW);
        break;
    case RENAME:
        got = renameat(dir, a, dir, b);
        break;
    case NVERBS:
        break;
    }
    return got < 0 ? errno : 0;
}

static int open_close(uint32_t dir, const char *path, uint32_t oflags, uint64_t rights)
{
    uint32_t fd;
    int got = w_open(dir, path, oflags, rights, 0, &fd);
    if (got == CIS_WASI_OK) {
        w_close(fd);
    }
    return got;
}

static int in_guest(uint32_t dir, enum verb verb, const char *a, const char *b)
{
    switch (verb) {
    case UNLINK:
        return CALL("path_unlink_file", dir, S(a));
    case RMDIR:
        return CALL("path_remove_directory", dir, S(a));
    case MKDIR:
        return CALL("path_create_directory", dir, S(a));
    case SYMLINK:
        return CALL("path_symlink", S("target"), dir, S(a));
    case READLINK:
        return CALL("path_readlink", dir, S(a), BUF, 64, OUT);
    case LSTAT:
        return CALL("path_filestat_get", dir, 0, S(a), OUT);
    case STAT:
        return CALL("path_filestat_get", dir, 1, S(a), OUT);
    case LSETTIMES:
        return CALL("path_filestat_set_times", dir, 0, S(a), 1, 3, 5);
    case SETTIMES:
        return CALL("path_filestat_set_times", dir, 1, S(a), 1, 3, 5);
    case OPEN:
        return open_close(dir, a, 0, READ);
    case CREATE:
        return open_close(dir, a, CREAT, WRITE);
    case OPENDIR:
        return open_close(dir, a, DIRECTORY, READ);
    case CREATE_NEW:
        return open_close(dir, a, CREAT | EXCL, WRITE);
    case TRUNCATE:
        return open_close(dir, a, TRUNC, WRITE);
    case LINK:
        return CALL("path_link", dir, 0, S(a), dir, S(b));
    case LINK_FOLLOW:
        return CALL("path_link", dir, 1, S(a), dir, S(b));
    case RENAME:
        return CALL("path_rename", dir, S(a), dir, S(b));
    case NVERBS:
        break;
    }
    return -1;
}

/* What is there afterwards is the same, too. */
static void assert_alike(const struct two *t, uint32_t dir)
{
    static const char *const paths[] = {"file", "dir", "full",    "full/in", "to-file", "to-dir",
                                        "none", "x",   "nothing", "to-none", "dir/x",   "full/x"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct stat st;
        struct w_stat mine;
        bool there = fstatat(t->dir, paths[i], &st, AT_SYMLINK_NOFOLLOW) == 0;
        int got = w_stat(dir, paths[i], false, &mine);
        if (there != (got == CIS_WASI_OK) ||
            (there && cis_wasi_mode_type(st.st_mode) != mine.type)) {
            fail_msg("%s is not as on Linux", paths[i]);
        }
    }
}

/* The trees of the comparison that is going on: made anew after whatever changed them. */
static struct two both;
static uint32_t both_dir;

static void begin_both(void)
{
    if (both_dir == 0) {
        w_dir("t");
        make_both(&both);
        both_dir = opened(W, "t", DIRECTORY, 0, 0);
    }
}

static void end_both(void)
{
    if (both_dir != 0) {
        w_close(both_dir);
        clear_both(&both);
        both_dir = 0;
    }
}

static void compare(enum verb verb, const char *a, const char *b)
{
    begin_both();
    FX.old = (int)(strlen(a) % 2);
    int want = cis_wasi_errno_of(on_linux(both.dir, verb, a, b));
    int got = in_guest(both_dir, verb, a, b);
    FX.old = 0;
    if (got != want) {
        fail_msg("%s %s %s: %s, on Linux %s", verb_names[verb], a, b, errno_name(got),
                 errno_name(want));
    }
    if (got == CIS_WASI_OK && verb != LSTAT && verb != STAT && verb != READLINK && verb != OPEN &&
        verb != OPENDIR) {
        assert_alike(&both, both_dir);
        end_both();
    }
}

static void one_path_of_each_kind_and_ending_is_as_on_linux(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < NKINDS; kind++) {
        for (size_t ending = 0; ending < NENDINGS; ending++) {
            char path[32];
            snprintf(path, sizeof path, "%s%s", kinds[kind], endings[ending]);
            for (enum verb verb = 0; verb < NVERBS_ONE; verb++) {
                compare(verb, path, "");
            }
        }
    }
    begin_both();
    assert_alike(&both, both_dir); /* what was refused changed nothing */
    end_both();
}

static void two_paths_of_each_kind_and_ending_are_as_on_linux(void **state)
{
    (void)state;
    for (size_t i = 0; i < NKINDS * NENDINGS; i++) {
        for (size_t k = 0; k < NKINDS * NENDINGS; k++) {
            char a[32], b[32];
            snprintf(a, sizeof a, "%s%s", kinds[i / NENDINGS], endings[i % NENDINGS]);
            snprintf(b, sizeof b, "%s%s", kinds[k / NENDINGS], endings[k % NENDINGS]);
            if (i % NENDINGS != 0 && k % NENDINGS != 0 && (i + k) % 3 != 0) {
                continue; /* both with an ending: a third of them */
            }
            compare((enum verb)(LINK + (i * 7 + k) % 2), a, b);
            compare(RENAME, a, b);
        }
    }
    begin_both();
    assert_alike(&both, both_dir);
    end_both();
}

/* ---- ways out ---- */
static void no_path_leads_out(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/etc/passwd", "/",         "//",           "..",        "../",          "../x",
        "d/../..",     "d/../../x", "./../x",       "up/x",      "up/..",        "root/etc/passwd",
        "root/.",      "d/up2/x",   "deep/../../x", "d/up2/d/x", "d//..//..//x", "abs/x",
    };
    w_dir("d");
    w_link("..", "up");
    w_link("/", "root");
    w_link("../..", "d/up2");
    w_link("d", "deep");
    w_link("/w", "abs"); /* also to where the guest's own directory seems to be */
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        for (enum verb verb = 0; verb < NVERBS; verb++) {
            FX.old = (int)(i % 2);
            if (verb < NVERBS_ONE) {
                int got = in_guest(W, verb, paths[i], "");
                if (got != CIS_WASI_PERM) {
                    fail_msg("%s %s: %s", verb_names[verb], paths[i], errno_name(got));
                }
                continue;
            }
            FX.old = 0;
            w_file("f", "x");
            int from = in_guest(W, verb, paths[i], "new"), to = in_guest(W, verb, "f", paths[i]);
            if (from != CIS_WASI_PERM || to != CIS_WASI_PERM) {
                fail_msg("%s of or to %s: %s, %s", verb_names[verb], paths[i], errno_name(from),
                         errno_name(to));
            }
        }
    }
    FX.old = 0;
}

static void a_link_out_is_a_name_that_leads_nowhere(void **state)
{
    (void)state;
    struct w_stat st;
    uint32_t fd;
    w_link("/etc/passwd", "abs"); /* made by others it may be read, renamed, linked and removed */
    w_link("../../etc/passwd", "rel");
    static const char *const names[] = {"abs", "rel"};
    for (size_t i = 0; i < 2; i++) {
        assert_errno(OK, "path_readlink", W, S(names[i]), BUF, 100, OUT);
        assert_errno_(CIS_WASI_OK, w_stat(W, names[i], false, &st));
        assert_int_equal(st.type, CIS_WASI_FILETYPE_SYMBOLIC_LINK);
        assert_errno_(CIS_WASI_PERM, w_stat(W, names[i], true, &st));
        assert_errno_(CIS_WASI_PERM, w_open(W, names[i], 0, READ, 0, &fd));
        assert_errno_(CIS_WASI_PERM, w_open(W, names[i], CREAT | TRUNC, WRITE, 0, &fd));
        assert_errno(PERM, "path_filestat_set_times", W, 1, S(names[i]), 1, 1, 5);
        assert_errno(PERM, "path_link", W, 1, S(names[i]), W, S("copy"));
        assert_errno(OK, "path_link", W, 0, S(names[i]), W, S("copy"));
        assert_errno(OK, "path_rename", W, S("copy"), W, S("copy2"));
        assert_errno(OK, "path_unlink_file", W, S("copy2"));
    }
}

/* ---- read-only ---- */
static void a_read_only_directory_changes_in_no_way(void **state)
{
    (void)state;
    w_file("f", "abc");
    w_dir("d");
    w_link("f", "l");
    struct w_stat before, after;
    uint32_t fd;
    assert_errno_(CIS_WASI_OK, w_stat(R, "f", true, &before));
    for (FX.old = 0; FX.old < 2; FX.old++) {
        assert_errno(ROFS, "path_create_directory", R, S("new"));
        assert_errno(ROFS, "path_symlink", S("x"), R, S("new"));
        assert_errno(ROFS, "path_unlink_file", R, S("f"));
        assert_errno(ROFS, "path_unlink_file", R, S("none"));
        assert_errno(ROFS, "path_remove_directory", R, S("d"));
        assert_errno(ROFS, "path_rename", R, S("f"), R, S("g"));
        assert_errno(ROFS, "path_link", R, 0, S("f"), R, S("g"));
        assert_errno(ROFS, "path_filestat_set_times", R, 1, S("f"), 1, 1, 5);
        assert_errno(ROFS, "path_filestat_set_times", R, 0, S("l"), 1, 1, 10);
        /* between a read-only mount and one that is not, in both directions */
        assert_errno(XDEV, "path_rename", R, S("f"), W, S("g"));
        assert_errno(XDEV, "path_rename", W, S("f"), R, S("g"));
        assert_errno(XDEV, "path_link", R, 0, S("f"), W, S("g"));
        assert_errno(ROFS, "path_link", W, 0, S("f"), R, S("g"));
        fd = opened(R, "f", 0, READ, 0);
        assert_errno(ROFS, "fd_filestat_set_times", fd, 1, 1, 5);
        assert_errno(INVAL, "fd_filestat_set_size", fd, 0);
        assert_errno(BADF, "fd_allocate", fd, 0, 10);
        assert_errno_(CIS_WASI_BADF, w_write(fd, "x"));
        assert_errno(OK, "fd_sync", fd);
        w_close(fd);
        fd = opened(R, "d", DIRECTORY, 0, 0);
        assert_errno(ROFS, "fd_filestat_set_times", fd, 1, 1, 5);
        assert_errno(ROFS, "path_create_directory", fd, S("new"));
        assert_errno_(CIS_WASI_ROFS, open_close(fd, "new", CREAT, READ));
        w_close(fd);
    }
    FX.old = 0;
    assert_errno_(CIS_WASI_OK, w_stat(R, "f", true, &after));
    assert_memory_equal(&before, &after, sizeof before);
    assert_file("f", "abc");
}

/* ---- names ---- */
static void strange_paths_are_an_errno(void **state)
{
    (void)state;
    static char longest[4200], name[300];
    static const struct {
        const char *text;
        size_t len;
        enum cis_wasi_errno error;
    } cases[] = {
        {"", 0, CIS_WASI_NOENT},
        {"f\0", 2, CIS_WASI_INVAL},
        {"\0", 1, CIS_WASI_INVAL},
        {"none\0/f", 7, CIS_WASI_INVAL},
        {name, 255, CIS_WASI_NOENT},
        {name, 256, CIS_WASI_NAMETOOLONG},
        {longest, 4095, CIS_WASI_OK}, /* "./././…/f" */
        {longest, 4096, CIS_WASI_NAMETOOLONG},
        {longest, 4200, CIS_WASI_NAMETOOLONG},
        {"\xff\xfe/\x80", 4, CIS_WASI_NOENT},
    };
    memset(name, 'n', sizeof name);
    for (size_t i = 0; i < sizeof longest; i++) {
        longest[i] = i % 2 == 0 ? '.' : '/';
    }
    longest[4094] = 'f';
    w_file("f", "x");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FX.old = (int)(i % 2);
        const char *text = cases[i].text;
        size_t len = cases[i].len;
        assert_errno_(cases[i].error, CALL("path_filestat_get", W, 0, SN(text, len), OUT));
        assert_errno_(cases[i].error, CALL("path_open", W, 0, SN(text, len), 0, READ, 0, 0, OUT));
        if (cases[i].error == CIS_WASI_OK) {
            continue;
        }
        assert_errno_(cases[i].error, CALL("path_unlink_file", W, SN(text, len)));
        assert_errno_(cases[i].error, CALL("path_remove_directory", W, SN(text, len)));
        assert_errno_(cases[i].error, CALL("path_readlink", W, SN(text, len), BUF, 9, OUT));
        assert_errno_(cases[i].error,
                      CALL("path_filestat_set_times", W, 0, SN(text, len), 0, 0, 5));
        assert_errno_(cases[i].error, CALL("path_rename", W, SN(text, len), W, S("g")));
        assert_errno_(cases[i].error, CALL("path_link", W, 0, SN(text, len), W, S("g")));
        if (cases[i].error != CIS_WASI_NOENT || len == 0) {
            assert_errno_(cases[i].error, CALL("path_create_directory", W, SN(text, len)));
            assert_errno_(cases[i].error, CALL("path_symlink", S("t"), W, SN(text, len)));
            if (len != 256) { /* too long for a name, not for what a link says */
                assert_errno_(cases[i].error, CALL("path_symlink", SN(text, len), W, S("made")));
            }
            assert_errno_(cases[i].error, CALL("path_rename", W, S("f"), W, SN(text, len)));
            assert_errno_(cases[i].error, CALL("path_link", W, 0, S("f"), W, SN(text, len)));
        }
    }
    FX.old = 0;
    assert_file("f", "x");
}

static void names_are_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {"\xff\xfe",     "a b", "\n",        "caf\xc3\xa9",
                                        "cafe\xcc\x81", "...", ".x",        "*",
                                        "\\",           "-",   ".tarboxfoo"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        w_file(names[i], names[i]);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_file(names[i], names[i]); /* none is taken for another */
        assert_errno(OK, "path_unlink_file", W, S(names[i]));
    }
    char name[256];
    memset(name, 'x', 255);
    name[255] = '\0';
    w_file(name, "y");
    assert_errno(OK, "path_unlink_file", W, S(name));
}

static void a_link_is_read_as_far_as_the_buffer_goes(void **state)
{
    (void)state;
    w_link("the target", "l");
    w_file("f", "x");
    for (FX.old = 0; FX.old < 2; FX.old++) {
        for (uint32_t len = 1; len < 14; len++) {
            memset(mem(BUF, 16), '#', 16);
            assert_errno(OK, "path_readlink", W, S("l"), BUF, len, OUT);
            assert_int_equal(get32(OUT), len < 10 ? len : 10);
            assert_memory_equal(mem(BUF, 10), "the target", get32(OUT));
            assert_int_equal(*mem(BUF + get32(OUT), 1), '#'); /* no NUL behind it */
        }
        assert_errno(INVAL, "path_readlink", W, S("l"), BUF, 0, OUT);
        assert_errno(INVAL, "path_readlink", W, S("f"), BUF, 10, OUT);
        assert_errno(NOENT, "path_readlink", W, S("none"), BUF, 10, OUT);
        assert_errno(FAULT, "path_readlink", W, S("l"), FX.memory - 5, 6, OUT);
        assert_errno(FAULT, "path_readlink", W, S("l"), BUF, 10, FX.memory - 3);
    }
}

static void a_link_to_an_absolute_target_is_not_made(void **state)
{
    (void)state;
    struct w_stat st;
    static const char *const targets[] = {"/", "//", "/etc/passwd", "/w", "/w/f"};
    w_file("f", "x");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        FX.old = (int)(i % 2);
        assert_errno(PERM, "path_symlink", S(targets[i]), W, S("l"));
        assert_errno_(CIS_WASI_NOENT, w_stat(W, "l", false, &st));
    }
    FX.old = 0;
}

static void links_of_the_longest_kind_work(void **state)
{
    (void)state;
    static char target[4096];
    memset(target, 't', sizeof target);
    assert_errno(OK, "path_symlink", SN(target, 4095), W, S("l"));
    assert_errno(NAMETOOLONG, "path_symlink", SN(target, 4096), W, S("m"));
    assert_errno(NOENT, "path_symlink", S(""), W, S("m"));
    assert_errno(INVAL, "path_symlink", SN("a\0b", 3), W, S("m"));
    assert_errno(OK, "path_readlink", W, S("l"), BUF, 5000, OUT);
    assert_int_equal(get32(OUT), 4095);
    assert_memory_equal(mem(BUF, 4095), target, 4095);
    char from[8], to[8];
    w_file("l0", "end"); /* forty links one after the other, and forty-one */
    for (int i = 1; i <= 41; i++) {
        snprintf(from, sizeof from, "l%d", i);
        snprintf(to, sizeof to, "l%d", i - 1);
        w_link(to, from);
    }
    assert_file("l40", "end");
    uint32_t fd;
    assert_errno_(CIS_WASI_LOOP, w_open(W, "l41", 0, READ, 0, &fd));
}

static void hard_links_are_one_file(void **state)
{
    (void)state;
    struct w_stat a, b;
    w_file("a", "abc");
    w_dir("d");
    for (FX.old = 0; FX.old < 2; FX.old++) {
        assert_errno(OK, "path_link", W, 0, S("a"), W, S("d/b"));
        assert_errno_(CIS_WASI_OK, w_stat(W, "a", true, &a));
        assert_errno_(CIS_WASI_OK, w_stat(W, "d/b", true, &b));
        assert_memory_equal(&a, &b, sizeof a);
        assert_int_equal(a.nlink, 2);
        assert_errno(EXIST, "path_link", W, 0, S("a"), W, S("d/b"));
        assert_errno(EXIST, "path_link", W, 0, S("a"), W, S("a"));
        assert_errno(PERM, "path_link", W, 0, S("d"), W, S("e"));
        assert_errno(INVAL, "path_link", W, 2, S("a"), W, S("e"));
        uint32_t d = opened(W, "d", DIRECTORY, 0, 0); /* from one descriptor to another */
        assert_errno(OK, "path_link", d, 0, S("b"), W, S("c"));
        assert_errno(OK, "path_rename", W, S("c"), d, S("c"));
        assert_errno_(CIS_WASI_OK, w_stat(d, "c", true, &b));
        assert_int_equal(b.ino, a.ino);
        assert_errno(OK, "path_unlink_file", d, S("b"));
        assert_errno(OK, "path_unlink_file", d, S("c"));
        w_close(d);
    }
}

static void renames_replace_as_linux_does(void **state)
{
    (void)state;
    w_file("a", "a");
    w_file("b", "b");
    w_dir("empty");
    w_dir("full");
    w_dir("full/in");
    assert_errno(OK, "path_rename", W, S("a"), W, S("b"));
    assert_file("b", "a");
    assert_errno(OK, "path_rename", W, S("b"), W, S("b"));
    assert_errno(NOTEMPTY, "path_rename", W, S("empty"), W, S("full"));
    assert_errno(ISDIR, "path_rename", W, S("b"), W, S("empty"));
    assert_errno(NOTDIR, "path_rename", W, S("empty"), W, S("b"));
    assert_errno(INVAL, "path_rename", W, S("full"), W, S("full/in/x"));
    assert_errno(NOTEMPTY, "path_rename", W, S("full/in"), W, S("full"));
    assert_errno(OK, "path_rename", W, S("full"), W, S("empty/"));
    uint32_t in = opened(W, "empty/in", DIRECTORY, 0, 0);
    assert_errno(OK, "path_rename", W, S("b"), in, S("b"));
    assert_file("empty/in/b", "a");
    assert_errno(NOTEMPTY, "path_remove_directory", W, S("empty"));
    assert_errno(INVAL, "path_remove_directory", in, S("."));
    assert_errno(NOTEMPTY, "path_remove_directory", W, S("empty/in/.."));
    assert_errno(BUSY, "path_rename", in, S("."), W, S("x"));
}

/* Numbers of two filesystems may be the same; devices tell them apart, and say what is one. */
static void files_of_different_mounts_are_told_apart(void **state)
{
    (void)state;
    struct w_stat w, r, root;
    w_file("f", "x");
    assert_errno_(CIS_WASI_OK, w_stat(W, "f", true, &w));
    assert_errno_(CIS_WASI_OK, w_stat(R, "f", true, &r));
    w_fstat(W, &root);
    assert_int_equal(w.dev, r.dev); /* one filesystem in two places */
    assert_int_equal(w.ino, r.ino);
    assert_int_equal(w.dev, root.dev);
    assert_true(w.dev != 0);
    uint32_t fd = opened(W, "f", 0, READ, 0);
    w_fstat(fd, &r);
    assert_memory_equal(&w, &r, sizeof w);
    cis_dir *top;
    struct cis_vfs_call call = {0};
    struct cis_vfs_attr attr;
    assert_int_equal(cis_dir_root(FX.ns, &call, CIS_STR("/"), &top), 0);
    assert_int_equal(cis_at_stat(top, &call, CIS_STR("."), 0, &attr), 0);
    assert_true(attr.dev != w.dev && attr.dev != 0);
    assert_int_equal(cis_at_stat(top, &call, CIS_STR("w"), 0, &attr), 0);
    assert_int_equal(attr.dev, w.dev);
    cis_dir_free(top);
}

const struct CMUnitTest files_paths[] = {
    FILES_TEST(one_path_of_each_kind_and_ending_is_as_on_linux),
    FILES_TEST(two_paths_of_each_kind_and_ending_are_as_on_linux),
    FILES_TEST(no_path_leads_out),
    FILES_TEST(a_link_out_is_a_name_that_leads_nowhere),
    FILES_TEST(a_read_only_directory_changes_in_no_way),
    FILES_TEST(strange_paths_are_an_errno),
    FILES_TEST(names_are_bytes),
    FILES_TEST(a_link_is_read_as_far_as_the_buffer_goes),
    FILES_TEST(a_link_to_an_absolute_target_is_not_made),
    FILES_TEST(links_of_the_longest_kind_work),
    FILES_TEST(hard_links_are_one_file),
    FILES_TEST(renames_replace_as_linux_does),
    FILES_TEST(files_of_different_mounts_are_told_apart),
};
const size_t nfiles_paths = sizeof files_paths / sizeof *files_paths;
