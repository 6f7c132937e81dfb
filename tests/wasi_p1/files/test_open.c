/* path_open: every flag, by itself and with others; what rights mean; where a descriptor leads. */
#include "wasi_p1/files/files.h"

#include <fcntl.h>

static void a_file_is_made_written_and_read_again(void **state)
{
    (void)state;
    for (FX.old = 0; FX.old < 2; FX.old++) {
        uint32_t fd = opened(W, "f", CREAT | TRUNC, READ | WRITE, 0);
        assert_int_equal(fd, 5); /* the lowest free number */
        assert_errno_(CIS_WASI_OK, w_write(fd, "hello"));
        assert_errno(OK, "fd_seek", fd, 0, FX.old != 0 ? 2 : 0, OUT);
        assert_read(fd, "hello");
        w_close(fd);
        assert_file("f", "hello");
        assert_errno(OK, "path_unlink_file", W, S("f"));
        assert_errno(NOENT, "path_unlink_file", W, S("f"));
    }
}

/* What Linux gives for open(2) with the same flags; `on` is what the path names. */
static const struct open_case {
    const char *path;
    uint32_t oflags;
    uint64_t rights;
    enum cis_wasi_errno writable, read_only; /* below /w and below /r */
} open_cases[] = {
#define C(path, oflags, rights, w, r)                                                              \
    {                                                                                              \
        path, oflags, rights, CIS_WASI_##w, CIS_WASI_##r                                           \
    }
    C("file", 0, 0, OK, OK),
    C("file", 0, READ, OK, OK),
    C("file", 0, WRITE, OK, ROFS),
    C("file", 0, READ | WRITE, OK, ROFS),
    C("file", CREAT, 0, OK, OK),
    C("file", CREAT, READ, OK, OK),
    C("file", CREAT, WRITE, OK, ROFS),
    C("file", EXCL, 0, OK, OK),
    C("file", EXCL, READ, OK, OK),
    C("file", TRUNC, 0, OK, ROFS), /* by itself it writes */
    C("file", TRUNC, READ, OK, ROFS),
    C("file", TRUNC, WRITE, OK, ROFS),
    C("file", DIRECTORY, 0, NOTDIR, NOTDIR),
    C("file", DIRECTORY, READ, NOTDIR, NOTDIR),
    C("file", CREAT | EXCL, 0, EXIST, EXIST),
    C("file", CREAT | EXCL, WRITE, EXIST, EXIST),
    C("file", CREAT | TRUNC, 0, OK, ROFS),
    C("file", CREAT | DIRECTORY, 0, INVAL, INVAL),
    C("file", TRUNC | DIRECTORY, 0, NOTDIR, NOTDIR),
    C("file", TRUNC | EXCL, 0, OK, ROFS),
    C("file", CREAT | EXCL | TRUNC | DIRECTORY, READ | WRITE, INVAL, INVAL),
    C("file/", 0, READ, NOTDIR, NOTDIR),
    C("file/", CREAT, READ, ISDIR, ISDIR),
    C("file/x", 0, READ, NOTDIR, NOTDIR),
    C("none", 0, 0, NOENT, NOENT),
    C("none", 0, READ | WRITE, NOENT, NOENT),
    C("none", EXCL, 0, NOENT, NOENT),
    C("none", TRUNC, WRITE, NOENT, NOENT),
    C("none", DIRECTORY, 0, NOENT, NOENT),
    C("none/", 0, 0, NOENT, NOENT),
    C("none/", CREAT, WRITE, ISDIR, ISDIR),
    C("none/x", CREAT, WRITE, NOENT, NOENT),
    C("new1", CREAT, 0, OK, ROFS),
    C("new2", CREAT, READ, OK, ROFS),
    C("new3", CREAT | EXCL, WRITE, OK, ROFS),
    C("new4", CREAT | TRUNC | EXCL, READ | WRITE, OK, ROFS),
    C("new5", CREAT | DIRECTORY, 0, INVAL, INVAL),
    C("dir", 0, 0, OK, OK),
    C("dir", 0, READ, OK, OK),
    C("dir", 0, WRITE, ISDIR, ISDIR),
    C("dir", DIRECTORY, 0, OK, OK),
    C("dir", DIRECTORY, READ, OK, OK),
    C("dir", DIRECTORY, READ | WRITE, ISDIR, ISDIR),
    C("dir", TRUNC, 0, ISDIR, ISDIR),
    C("dir", TRUNC | DIRECTORY, 0, ISDIR, ISDIR),
    C("dir", CREAT, 0, ISDIR, ISDIR),
    C("dir", CREAT | EXCL, 0, EXIST, EXIST),
    C("dir/", 0, READ, OK, OK),
    C("dir//.", DIRECTORY, 0, OK, OK),
    C(".", 0, 0, OK, OK),
    C(".", DIRECTORY, CIS_WASI_RIGHTS_DIR, OK, OK),
    C(".", TRUNC, 0, ISDIR, ISDIR),
    C("dir/..", DIRECTORY, 0, OK, OK),
    C("..", 0, 0, PERM, PERM),
    C("to-file", 0, READ, OK, OK),
    C("to-file", TRUNC, 0, OK, ROFS),
    C("to-file", CREAT | EXCL, 0, EXIST, EXIST),
    C("to-file", DIRECTORY, 0, NOTDIR, NOTDIR),
    C("to-dir", 0, READ, OK, OK),
    C("to-dir", DIRECTORY, 0, OK, OK),
    C("to-none", 0, READ, NOENT, NOENT),
    C("to-none", CREAT | EXCL, READ, EXIST, EXIST),
    C("to-new", CREAT, READ, OK, ROFS), /* made where the link leads */
    C("loop", 0, READ, LOOP, LOOP),
    C("loop", CREAT, READ, LOOP, LOOP),
    C("up", 0, READ, PERM, PERM),
    C("up", CREAT, WRITE, PERM, PERM),
    C("root", 0, READ, PERM, PERM),
    C("root", CREAT | TRUNC, WRITE, PERM, PERM),
#undef C
};

static void each_flag_gives_what_open_gives_on_linux(void **state)
{
    (void)state;
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof open_cases / sizeof *open_cases; i++) {
            const struct open_case *c = &open_cases[i];
            if (i == 0) {
                w_file("file", "x");
                w_dir("dir");
                w_link("file", "to-file");
                w_link("dir", "to-dir");
                w_link("nothing", "to-none");
                w_link("new6", "to-new");
                w_link("loop", "loop");
                w_link("../../etc/passwd", "up");
                w_link("/etc/passwd", "root");
            }
            uint32_t fd;
            FX.old = (int)(i % 2);
            /* the read-only mount first: what the other makes is there afterwards */
            for (uint32_t dir = R; dir >= W; dir--) {
                enum cis_wasi_errno want = dir == W ? c->writable : c->read_only;
                int got = w_open(dir, c->path, c->oflags, c->rights, 0, &fd);
                if (got != (int)want) {
                    fail_msg("open %s of %s, flags %u, rights %u: %s, not %s", c->path,
                             dir == W ? "/w" : "/r", c->oflags, (unsigned)c->rights,
                             errno_name(got), errno_name((int)want));
                }
                if (got == CIS_WASI_OK) {
                    w_close(fd);
                }
            }
        }
        FX.old = 0;
        files_teardown(NULL); /* all of it once more on what is not fresh in memory */
        files_setup(NULL);
    }
}

static void a_link_at_the_end_is_followed_only_when_asked(void **state)
{
    (void)state;
    w_file("file", "x");
    w_dir("dir");
    w_link("file", "f");
    w_link("dir", "d");
    w_file("dir/in", "y");
    assert_errno(LOOP, "path_open", W, 0, S("f"), 0, READ, 0, 0, OUT);
    assert_errno(LOOP, "path_open", W, 0, S("f"), CREAT, READ, 0, 0, OUT);
    assert_errno(LOOP, "path_open", W, 0, S("d"), 0, READ, 0, 0, OUT);
    assert_errno(NOTDIR, "path_open", W, 0, S("d"), DIRECTORY, 0, 0, 0, OUT);
    assert_errno(OK, "path_open", W, 0, S("d/"), DIRECTORY, 0, 0, 0, OUT);
    assert_errno(OK, "path_open", W, 0, S("d/in"), 0, READ, 0, 0, OUT);
    assert_errno(INVAL, "path_open", W, 2, S("f"), 0, READ, 0, 0, OUT);
    assert_errno(INVAL, "path_open", W, 0, S("file"), 16, READ, 0, 0, OUT);
    assert_errno(INVAL, "path_open", W, 0, S("file"), 0, READ, 0, 32, OUT);
}

static void rights_are_told_as_they_were_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint32_t oflags;
        uint64_t base, inheriting;
    } cases[] = {
        {"file", 0, 0, 0},
        {"file", 0, READ, 0},
        {"file", 0, READ | WRITE | CIS_WASI_RIGHT_SEEK, CIS_WASI_RIGHT_SEEK},
        {"dir", DIRECTORY, 0, 0},
        {"dir", DIRECTORY, CIS_WASI_RIGHTS_DIR, CIS_WASI_RIGHTS_FILE},
        {"dir", 0, READ | CIS_WASI_RIGHT_READDIR, UINT64_MAX},
    };
    w_file("file", "x");
    w_dir("dir");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_errno(OK, "path_open", W, 1, S(cases[i].path), cases[i].oflags, cases[i].base,
                     cases[i].inheriting, 0, OUT);
        uint32_t fd = get32(OUT);
        memset(mem(BUF, 24), 0x55, 24);
        assert_errno(OK, "fd_fdstat_get", fd, BUF);
        assert_int_equal(*mem(BUF, 1),
                         i < 3 ? CIS_WASI_FILETYPE_REGULAR_FILE : CIS_WASI_FILETYPE_DIRECTORY);
        assert_int_equal(get32(BUF) >> 8, 0); /* padding, and no flags */
        assert_int_equal(get32(BUF + 4), 0);
        assert_int_equal(get64(BUF + 8), cases[i].base);
        assert_int_equal(get64(BUF + 16), cases[i].inheriting);
        w_close(fd);
    }
}

static void a_directory_has_no_right_to_seek(void **state)
{
    (void)state;
    const uint64_t asked = CIS_WASI_RIGHT_SEEK | CIS_WASI_RIGHT_TELL | CIS_WASI_RIGHT_READDIR;
    w_dir("dir");
    for (FX.old = 0; FX.old < 2; FX.old++) {
        uint32_t fd = opened(W, "dir", DIRECTORY, asked, 0);
        assert_errno(OK, "fd_fdstat_get", fd, BUF);
        assert_int_equal(get64(BUF + 8), CIS_WASI_RIGHT_READDIR);
        assert_int_equal(get64(BUF + 16), asked); /* of what is opened beneath */
        assert_errno(BADF, "fd_seek", fd, 0, 1, OUT);
        assert_errno(BADF, "fd_tell", fd, OUT);
        w_close(fd);
    }
    FX.old = 0;
}

static void what_was_not_asked_for_works_all_the_same(void **state)
{
    (void)state;
    w_dir("dir");
    uint32_t dir = opened(W, "dir", DIRECTORY, 0, 0), fd, got;
    assert_errno(OK, "path_create_directory", dir, S("sub"));
    fd = opened(dir, "f", CREAT, WRITE, 0);
    assert_errno_(CIS_WASI_OK, w_write(fd, "abc"));
    assert_errno(OK, "fd_seek", fd, 0, 0, OUT);
    assert_errno(OK, "fd_tell", fd, OUT);
    assert_errno(OK, "fd_sync", fd);
    assert_errno(OK, "fd_filestat_set_size", fd, 2);
    assert_errno(OK, "fd_filestat_set_times", fd, 1, 1, 5);
    assert_errno(OK, "fd_advise", fd, 0, 0, 0);
    assert_errno(OK, "fd_fdstat_set_flags", fd, APPEND);
    got = opened(dir, "f", 0, 0, 0); /* no rights: as O_RDONLY */
    assert_read(got, "ab");
    assert_errno_(CIS_WASI_BADF, w_write(got, "x"));
    assert_errno(OK, "path_rename", dir, S("f"), dir, S("g"));
    assert_errno(OK, "path_unlink_file", dir, S("g"));
    assert_errno(OK, "fd_readdir", dir, BUF, 100, 0, OUT);
}

static void a_file_moves_bytes_only_as_it_was_opened(void **state)
{
    (void)state;
    w_file("f", "abc");
    uint32_t r = opened(W, "f", 0, READ, 0), w = opened(W, "f", 0, WRITE, 0);
    put_iov(0, BUF, 1);
    for (FX.old = 0; FX.old < 2; FX.old++) {
        assert_errno(BADF, "fd_write", r, IOVS, 1, OUT);
        assert_errno(BADF, "fd_pwrite", r, IOVS, 1, 0, OUT);
        assert_errno(BADF, "fd_allocate", r, 0, 1);
        assert_errno(INVAL, "fd_filestat_set_size", r, 0);
        assert_errno(BADF, "fd_read", w, IOVS, 1, OUT);
        assert_errno(BADF, "fd_pread", w, IOVS, 1, 0, OUT);
    }
    FX.old = 0;
    assert_file("f", "abc");
}

static void rights_that_were_given_away_are_gone(void **state)
{
    (void)state;
    w_file("f", "abc");
    uint32_t fd = opened(W, "f", 0, READ | WRITE | CIS_WASI_RIGHT_SEEK, 0);
    assert_errno(NOTCAPABLE, "fd_fdstat_set_rights", fd, UINT64_MAX, 0);
    assert_errno(NOTCAPABLE, "fd_fdstat_set_rights", fd, READ | WRITE, UINT64_MAX);
    assert_errno(OK, "fd_fdstat_set_rights", fd, WRITE | CIS_WASI_RIGHT_SEEK, 0);
    put_iov(0, BUF, 1);
    assert_errno(NOTCAPABLE, "fd_read", fd, IOVS, 1, OUT);
    assert_errno(NOTCAPABLE, "fd_pread", fd, IOVS, 1, 0, OUT);
    assert_errno(OK, "fd_write", fd, IOVS, 1, OUT);
    assert_errno(OK, "fd_fdstat_set_rights", fd, 0, 0);
    assert_errno(NOTCAPABLE, "fd_write", fd, IOVS, 1, OUT);
    assert_errno(NOTCAPABLE, "fd_seek", fd, 0, 0, OUT);
    assert_errno(NOTCAPABLE, "fd_fdstat_set_rights", fd, READ, 0); /* never back */
    assert_errno(OK, "fd_tell", fd, OUT);                          /* it never had that one */
}

static void directories_pass_on_what_they_gave_away(void **state)
{
    (void)state;
    uint64_t all = CIS_WASI_RIGHTS_DIR, under = CIS_WASI_RIGHTS_DIR | CIS_WASI_RIGHTS_FILE;
    w_file("f", "abc");
    w_dir("d");
    assert_errno(OK, "path_open", W, 0, S("."), DIRECTORY, all, under, 0, OUT);
    uint32_t dir = get32(OUT), fd;
    assert_errno(OK, "fd_fdstat_set_rights", dir, all & ~CIS_WASI_RIGHT_PATH_SET_SIZE,
                 under & ~(WRITE | CIS_WASI_RIGHT_UNLINK_FILE));
    assert_errno_(CIS_WASI_NOTCAPABLE, w_open(dir, "f", TRUNC, 0, 0, &fd));
    fd = opened(dir, "f", 0, READ | WRITE, 0);
    assert_errno(OK, "fd_fdstat_get", fd, OUT);
    assert_int_equal(get64(OUT + 8), READ);
    assert_errno_(CIS_WASI_NOTCAPABLE, w_write(fd, "x"));
    uint32_t below = opened(dir, "d", DIRECTORY, all, 0);
    assert_errno(OK, "path_unlink_file", dir, S("f"));
    assert_errno(NOTCAPABLE, "path_unlink_file", below, S("x"));
}

/* Each right of a directory, given away by itself, is missed by its function alone. */
static void each_right_of_a_path_has_its_function(void **state)
{
    (void)state;
    static const struct {
        uint64_t right;
        const char *name;
        uint64_t args[9];
        size_t n;
    } cases[] = {
        {CIS_WASI_RIGHT_CREATE_DIRECTORY, "path_create_directory", {9, TEXT, 1}, 3},
        {CIS_WASI_RIGHT_LINK_SOURCE, "path_link", {9, 0, TEXT, 1, W, TEXT, 1}, 7},
        {CIS_WASI_RIGHT_LINK_TARGET, "path_link", {W, 0, TEXT, 1, 9, TEXT, 1}, 7},
        {CIS_WASI_RIGHT_OPEN, "path_open", {9, 0, TEXT, 1, 0, 0, 0, 0, OUT}, 9},
        {CIS_WASI_RIGHT_CREATE_FILE, "path_open", {9, 0, TEXT, 1, CREAT, 0, 0, 0, OUT}, 9},
        {CIS_WASI_RIGHT_PATH_SET_SIZE, "path_open", {9, 0, TEXT, 1, TRUNC, 0, 0, 0, OUT}, 9},
        {CIS_WASI_RIGHT_PATH_SET_SIZE, "path_open", {9, 0, TEXT, 1, 15, 0, 0, 0, OUT}, 9},
        {CIS_WASI_RIGHT_READDIR, "fd_readdir", {9, BUF, 64, 0, OUT}, 5},
        {CIS_WASI_RIGHT_READLINK, "path_readlink", {9, TEXT, 1, BUF, 64, OUT}, 6},
        {CIS_WASI_RIGHT_RENAME_SOURCE, "path_rename", {9, TEXT, 1, W, TEXT, 1}, 6},
        {CIS_WASI_RIGHT_RENAME_TARGET, "path_rename", {W, TEXT, 1, 9, TEXT, 1}, 6},
        {CIS_WASI_RIGHT_PATH_FILESTAT_GET, "path_filestat_get", {9, 0, TEXT, 1, OUT}, 5},
        {CIS_WASI_RIGHT_PATH_SET_TIMES, "path_filestat_set_times", {9, 0, TEXT, 1, 0, 0, 0}, 7},
        {CIS_WASI_RIGHT_FILESTAT_GET, "fd_filestat_get", {9, OUT}, 2},
        {CIS_WASI_RIGHT_SET_TIMES, "fd_filestat_set_times", {9, 0, 0, 0}, 4},
        {CIS_WASI_RIGHT_SYMLINK, "path_symlink", {TEXT, 1, 9, TEXT, 1}, 5},
        {CIS_WASI_RIGHT_REMOVE_DIRECTORY, "path_remove_directory", {9, TEXT, 1}, 3},
        {CIS_WASI_RIGHT_UNLINK_FILE, "path_unlink_file", {9, TEXT, 1}, 3},
        {CIS_WASI_RIGHT_SET_FLAGS, "fd_fdstat_set_flags", {9, 0}, 2},
        {CIS_WASI_RIGHT_SYNC, "fd_sync", {9}, 1},
    };
    uint64_t all = CIS_WASI_RIGHTS_DIR;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t args[9];
        uint32_t dir = opened(W, ".", DIRECTORY, all, 0);
        memcpy(args, cases[i].args, sizeof args);
        for (size_t k = 0; k < cases[i].n; k++) {
            args[k] = args[k] == 9 ? dir : args[k];
        }
        for (FX.old = 0; FX.old < 2; FX.old++) {
            put_text("x", 1);
            if (call_row(cases[i].name, args, cases[i].n) == CIS_WASI_NOTCAPABLE) {
                fail_msg("%s lacks a right from the start", cases[i].name);
            }
        }
        FX.old = 0;
        (void)CALL("path_unlink_file", W, S("x"));
        (void)CALL("path_remove_directory", W, S("x"));
        assert_errno(OK, "fd_fdstat_set_rights", dir, all & ~cases[i].right, 0);
        for (FX.old = 0; FX.old < 2; FX.old++) {
            put_text("x", 1);
            assert_errno_(CIS_WASI_NOTCAPABLE, call_row(cases[i].name, args, cases[i].n));
        }
        FX.old = 0;
        w_close(dir);
    }
}

static void flags_of_a_descriptor_can_be_changed_but_for_syncing(void **state)
{
    (void)state;
    static const uint32_t sync[] = {CIS_WASI_FDFLAG_DSYNC, CIS_WASI_FDFLAG_RSYNC,
                                    CIS_WASI_FDFLAG_SYNC, 0};
    for (size_t i = 0; i < 4; i++) {
        uint32_t fd = opened(W, "f", CREAT, WRITE, sync[i] | APPEND);
        assert_errno_(CIS_WASI_OK, w_write(fd, "x"));
        assert_errno(OK, "fd_fdstat_get", fd, OUT);
        assert_int_equal(cis_le16(mem(OUT + 2, 2)), sync[i] | APPEND);
        assert_errno(OK, "fd_fdstat_set_flags", fd, sync[i] | CIS_WASI_FDFLAG_NONBLOCK);
        assert_errno(OK, "fd_fdstat_get", fd, OUT);
        assert_int_equal(cis_le16(mem(OUT + 2, 2)), sync[i] | CIS_WASI_FDFLAG_NONBLOCK);
        assert_errno(NOTSUP, "fd_fdstat_set_flags", fd, sync[i] ^ CIS_WASI_FDFLAG_SYNC);
        assert_errno(INVAL, "fd_fdstat_set_flags", fd, 32);
        w_close(fd);
    }
    assert_errno(BADF, "fd_fdstat_set_flags", 99, 0);
    assert_errno(OK, "fd_fdstat_set_flags", W, CIS_WASI_FDFLAG_NONBLOCK);
}

static void a_directory_is_a_root_of_its_own(void **state)
{
    (void)state;
    uint32_t fd;
    w_file("secret", "s");
    w_dir("a");
    w_dir("a/b");
    w_link("../../secret", "a/b/two-up");
    w_link("../f", "a/b/one-up");
    w_file("a/f", "f");
    uint32_t a = opened(W, "a", DIRECTORY, 0, 0), b = opened(a, "b", DIRECTORY, 0, 0);
    assert_errno_(CIS_WASI_PERM, w_open(a, "../secret", 0, READ, 0, &fd));
    assert_errno_(CIS_WASI_PERM, w_open(b, "..", 0, READ, 0, &fd));
    assert_errno_(CIS_WASI_PERM, w_open(b, "one-up", 0, READ, 0, &fd));
    assert_errno_(CIS_WASI_PERM, w_open(a, "b/two-up", 0, READ, 0, &fd));
    fd = opened(a, "b/one-up", 0, READ, 0);
    assert_read(fd, "f");
    fd = opened(W, "a/b/two-up", 0, READ, 0);
    assert_read(fd, "s");
    /* moved elsewhere it is still the same directory, and nothing above it shows */
    assert_errno(OK, "path_rename", W, S("a/b"), W, S("c"));
    assert_errno_(CIS_WASI_PERM, w_open(b, "../secret", 0, READ, 0, &fd));
    w_file("c/in", "i");
    fd = opened(b, "in", 0, READ, 0);
    assert_read(fd, "i");
}

static void what_is_no_directory_leads_nowhere(void **state)
{
    (void)state;
    w_file("f", "x");
    uint32_t file = opened(W, "f", 0, READ, 0), fd;
    assert_errno_(CIS_WASI_NOTDIR, w_open(file, "x", 0, READ, 0, &fd));
    assert_errno_(CIS_WASI_NOTDIR, w_open(1, "x", 0, READ, 0, &fd));
    assert_errno_(CIS_WASI_BADF, w_open(99, "x", 0, READ, 0, &fd));
    assert_errno_(CIS_WASI_BADF, w_open(UINT32_MAX, "x", 0, READ, 0, &fd));
    assert_errno(BADF, "fd_readdir", file, BUF, 10, 0, OUT); /* as other hosts answer */
    assert_errno(BADF, "fd_prestat_get", file, OUT);
}

/* How many of the host's descriptors have a file of this name open; each has these flags and none
 * of those. */
static size_t host_flags(const char *name, int with, int without)
{
    size_t n = 0;
    for (int fd = 0; fd < 256; fd++) {
        char path[64], to[4096];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(path, to, sizeof to);
        if (len > (ssize_t)strlen(name) &&
            memcmp(to + len - strlen(name), name, strlen(name)) == 0) {
            int flags = fcntl(fd, F_GETFL);
            if ((flags & O_PATH) != 0) {
                continue;
            }
            assert_int_equal(flags & with, with);
            assert_int_equal(flags & without, 0);
            n++;
        }
    }
    return n;
}

/* A write waits for the disk when that was asked for, and else not. */
static void syncing_is_what_was_asked_for(void **state)
{
    (void)state;
    static const struct {
        uint32_t flags;
        int with, without;
    } cases[] = {{0, 0, O_SYNC},
                 {APPEND, 0, O_SYNC},
                 {CIS_WASI_FDFLAG_DSYNC, O_DSYNC, O_SYNC & ~O_DSYNC},
                 {CIS_WASI_FDFLAG_SYNC, O_SYNC, 0},
                 {CIS_WASI_FDFLAG_RSYNC, O_SYNC, 0}};
    w_file("synced", "x");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t fd = opened(W, "synced", 0, READ | WRITE, cases[i].flags);
        size_t n = host_flags("/synced", cases[i].with, cases[i].without);
        assert_true(strcmp(FX.backend->name, "hostdir") != 0 || n == 1);
        w_close(fd);
    }
}

static void without_a_directory_no_path_works(void **state)
{
    (void)state;
    uint32_t fd;
    w_close(W);
    w_close(R);
    for (uint32_t dir = 0; dir < 8; dir++) {
        int got = w_open(dir, "f", CREAT, WRITE, 0, &fd);
        assert_errno_(dir < 3 ? CIS_WASI_NOTDIR : CIS_WASI_BADF, got);
    }
}

const struct CMUnitTest files_open[] = {
    FILES_TEST(a_file_is_made_written_and_read_again),
    FILES_TEST(each_flag_gives_what_open_gives_on_linux),
    FILES_TEST(a_link_at_the_end_is_followed_only_when_asked),
    FILES_TEST(rights_are_told_as_they_were_asked_for),
    FILES_TEST(a_directory_has_no_right_to_seek),
    FILES_TEST(what_was_not_asked_for_works_all_the_same),
    FILES_TEST(a_file_moves_bytes_only_as_it_was_opened),
    FILES_TEST(rights_that_were_given_away_are_gone),
    FILES_TEST(directories_pass_on_what_they_gave_away),
    FILES_TEST(each_right_of_a_path_has_its_function),
    FILES_TEST(flags_of_a_descriptor_can_be_changed_but_for_syncing),
    FILES_TEST(a_directory_is_a_root_of_its_own),
    FILES_TEST(what_is_no_directory_leads_nowhere),
    FILES_TEST(syncing_is_what_was_asked_for),
    FILES_TEST(without_a_directory_no_path_works),
};
const size_t nfiles_open = sizeof files_open / sizeof *files_open;
