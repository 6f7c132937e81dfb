/* fd_readdir byte by byte, and what is preopened. */
#include "wasi_p1/files/files.h"

#define MANY 9000u

struct seen {
    uint64_t next, ino;
    uint8_t type;
    uint32_t len;
    char name[256];
};

/* The whole entry at `at` of a listing of `used` bytes; 0: it is cut. */
static uint32_t take_entry(uint32_t at, uint32_t used, struct seen *out)
{
    if (used - at < 24) {
        return 0;
    }
    out->next = get64(at + BUF);
    out->ino = get64(at + BUF + 8);
    out->len = get32(at + BUF + 16);
    out->type = *mem(at + BUF + 20, 1);
    assert_in_range(out->len, 1, 255);
    assert_memory_equal(mem(at + BUF + 21, 3), "\0\0\0", 3); /* padding */
    if (used - at - 24 < out->len) {
        return 0;
    }
    memcpy(out->name, mem(at + BUF + 24, out->len), out->len);
    out->name[out->len] = '\0';
    return 24 + out->len;
}

static uint32_t list(uint32_t dir, uint32_t len, uint64_t cookie)
{
    memset(mem(BUF, len), 0xEE, len);
    assert_errno(OK, "fd_readdir", dir, BUF, len, cookie, OUT);
    uint32_t used = get32(OUT);
    assert_true(used <= len);
    for (uint32_t i = used; i < len; i++) { /* behind what was told nothing was written */
        assert_int_equal(*mem(BUF + i, 1), 0xEE);
    }
    return used;
}

static void the_dots_come_first_and_then_the_names(void **state)
{
    (void)state;
    struct w_stat st, dir;
    w_dir("d");
    w_file("d/file", "x");
    w_dir("d/sub");
    w_link("file", "d/link");
    for (FX.old = 0; FX.old < 2; FX.old++) {
        uint32_t fd = opened(W, "d", DIRECTORY, 0, 0), n = 0, used = list(fd, 1000, 0), at = 0;
        w_fstat(fd, &dir);
        struct seen e;
        bool file = false, sub = false, link = false;
        for (uint32_t size; (size = take_entry(at, used, &e)) != 0; at += size, n++) {
            if (n == 0) {
                assert_string_equal(e.name, ".");
                assert_int_equal(e.ino, dir.ino);
                assert_int_equal(e.type, CIS_WASI_FILETYPE_DIRECTORY);
            } else if (n == 1) {
                assert_string_equal(e.name, "..");
                assert_int_equal(e.type, CIS_WASI_FILETYPE_DIRECTORY);
            } else {
                assert_errno_(CIS_WASI_OK, w_stat(fd, e.name, false, &st));
                assert_int_equal(e.type, st.type);
                assert_int_equal(e.ino, st.ino);
                file |= strcmp(e.name, "file") == 0 && st.type == CIS_WASI_FILETYPE_REGULAR_FILE;
                sub |= strcmp(e.name, "sub") == 0 && st.type == CIS_WASI_FILETYPE_DIRECTORY;
                link |= strcmp(e.name, "link") == 0 && st.type == CIS_WASI_FILETYPE_SYMBOLIC_LINK;
            }
            used = list(fd, 1000, 0); /* w_stat used the same memory */
        }
        assert_int_equal(at, used);
        assert_int_equal(n, 5);
        assert_true(file && sub && link);
        w_close(fd);
    }
}

/* Leaves bytes where the next call will have its variables. */
static __attribute__((noinline)) void dirty_stack(uint8_t with)
{
    volatile uint8_t area[65536];
    for (size_t i = 0; i < sizeof area; i++) {
        area[i] = with;
    }
}

/* Every byte of the answer is known: it can only be wrong by a byte that is wrong. */
static void an_entry_is_these_bytes(void **state)
{
    (void)state;
    struct w_stat dir, file;
    w_dir("d");
    w_file("d/name", "x");
    assert_errno_(CIS_WASI_OK, w_stat(W, "d", false, &dir));
    assert_errno_(CIS_WASI_OK, w_stat(W, "d/name", false, &file));
    uint32_t fd = opened(W, "d", DIRECTORY, 0, 0), used = list(fd, 200, 0);
    uint64_t cookies[3] = {get64(BUF), get64(BUF + 25), get64(BUF + 51)};
    uint64_t up = get64(BUF + 25 + 8);
    assert_int_equal(used, 25 + 26 + 28);
    uint8_t want[79] = {0}, *p = want;
    const struct {
        uint64_t ino;
        const char *name;
        uint8_t type;
    } entries[3] = {{dir.ino, ".", 3}, {up, "..", 3}, {file.ino, "name", 4}};
    for (size_t i = 0; i < 3; i++) {
        uint32_t len = (uint32_t)strlen(entries[i].name);
        cis_put_le64(p, cookies[i]);
        cis_put_le64(p + 8, entries[i].ino);
        cis_put_le32(p + 16, len);
        p[20] = entries[i].type;
        memcpy(p + 24, entries[i].name, len);
        p += 24 + len;
    }
    for (int i = 0; i < 3; i++) { /* whatever was in the host's memory before */
        dirty_stack((uint8_t)(0x5A + i));
        assert_int_equal(list(fd, 200, 0), used);
        assert_memory_equal(mem(BUF, used), want, used);
    }
    assert_true(cookies[0] != 0 && cookies[1] != cookies[0] && cookies[2] != cookies[1]);
}

static void a_small_buffer_cuts_the_last_entry_anywhere(void **state)
{
    (void)state;
    w_dir("d");
    w_file("d/a-name-of-some-length", "x");
    uint32_t fd = opened(W, "d", DIRECTORY, 0, 0), whole = list(fd, 500, 0);
    uint8_t bytes[500];
    memcpy(bytes, mem(BUF, whole), whole);
    for (uint32_t len = 0; len <= whole + 1; len++) {
        uint32_t used = list(fd, len, 0);
        assert_int_equal(used, len < whole ? len : whole); /* full: there is more */
        assert_memory_equal(mem(BUF, used + 1), bytes, used);
    }
    assert_int_equal(list(fd, 100, cis_le64(bytes + 25)), whole - 25 - 26);
    assert_int_equal(list(fd, 100, cis_le64(bytes + 25 + 26)), 0); /* behind the last */
}

static void thousands_of_names_come_through_a_small_buffer(void **state)
{
    (void)state;
    static bool seen[MANY];
    char name[64];
    memset(seen, 0, sizeof seen);
    w_dir("d");
    uint32_t made = opened(W, "d", DIRECTORY, 0, 0);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "entry-%u", i);
        w_close(opened(made, name, CREAT, WRITE, 0));
    }
    uint32_t fd = opened(W, "d", DIRECTORY, 0, 0), total = 0, dots = 0;
    uint64_t cookie = 0;
    const uint32_t len = 700;
    for (uint32_t used = len; used == len;) {
        struct seen e;
        uint32_t at = 0;
        used = list(fd, len, cookie);
        for (uint32_t size; (size = take_entry(at, used, &e)) != 0; at += size) {
            cookie = e.next;
            unsigned i;
            if (sscanf(e.name, "entry-%u", &i) == 1) {
                assert_in_range(i, 0, MANY - 1);
                assert_false(seen[i]);
                seen[i] = true;
                total++;
            } else {
                dots++;
            }
        }
        if (total % 2000 < 30) { /* others come and go meanwhile: the rest is shown once each */
            snprintf(name, sizeof name, "late-%u", total);
            w_close(opened(made, name, CREAT, WRITE, 0));
            snprintf(name, sizeof name, "late-%u", total);
            assert_errno(OK, "path_unlink_file", made, S(name));
        }
    }
    assert_int_equal(total, MANY);
    assert_int_equal(dots, 2);
}

static void cookies_stay_right_while_names_come_and_go(void **state)
{
    (void)state;
    w_dir("d");
    char name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "d/%02d", i);
        w_file(name, "");
    }
    uint32_t fd = opened(W, "d", DIRECTORY, 0, 0), used = list(fd, 25 + 26 + 26 * 5, 0);
    struct seen first[7], e;
    uint32_t at = 0;
    for (int i = 0; i < 7; i++) {
        at += take_entry(at, used, &first[i]);
    }
    char gone[8], kept[8];
    snprintf(gone, sizeof gone, "%.4s", first[4].name);
    snprintf(kept, sizeof kept, "%.4s", first[5].name);
    assert_errno(OK, "path_unlink_file", fd, S(gone));
    w_file("d/new", "");
    /* from the third on: the removed one is left out, the others are as they were */
    used = list(fd, 1000, first[3].next);
    assert_true(take_entry(0, used, &e) != 0);
    assert_string_equal(e.name, kept);
    uint32_t n = 0;
    at = 0;
    for (uint32_t size; (size = take_entry(at, used, &e)) != 0; at += size) {
        assert_string_not_equal(e.name, gone);
        n += strcmp(e.name, "new") != 0;
    }
    assert_int_equal(n, 20 - 3); /* of 20: two before, one removed */
    /* from the start it is read anew */
    used = list(fd, 2000, 0);
    n = 0;
    at = 0;
    bool is_new = false;
    for (uint32_t size; (size = take_entry(at, used, &e)) != 0; at += size, n++) {
        is_new |= strcmp(e.name, "new") == 0;
    }
    assert_int_equal(n, 22);
    assert_true(is_new);
}

static void any_cookie_is_an_answer(void **state)
{
    (void)state;
    w_dir("d");
    w_file("d/x", "");
    uint32_t fd = opened(W, "d", DIRECTORY, 0, 0);
    static const uint64_t cookies[] = {1, 2, 3, 7, 1000, UINT32_MAX, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof cookies / sizeof *cookies; i++) {
        uint32_t used = list(fd, 200, cookies[i]);
        assert_true(cookies[i] < 1000 ? used < 200 : used == 0); /* behind the end is the end */
        assert_true(list(fd, 200, 0) > 51);                      /* and it can be read again */
    }
}

static void a_directory_that_was_removed_has_nothing_in_it(void **state)
{
    (void)state;
    w_dir("d");
    uint32_t fd = opened(W, "d", DIRECTORY, 0, 0), file;
    assert_errno(OK, "path_remove_directory", W, S("d"));
    struct w_stat st;
    w_fstat(fd, &st);
    assert_int_equal(st.type, CIS_WASI_FILETYPE_DIRECTORY);
    int got = CALL("fd_readdir", fd, BUF, 200, 0, OUT);
    assert_true(got == CIS_WASI_OK || got == CIS_WASI_NOENT);
    if (got == CIS_WASI_OK) {
        assert_true(get32(OUT) == 0 || get32(OUT) == 51);
    }
    assert_errno_(CIS_WASI_NOENT, w_open(fd, "f", CREAT, WRITE, 0, &file));
    assert_errno(NOENT, "path_create_directory", fd, S("x"));
}

static void names_of_any_bytes_are_listed(void **state)
{
    (void)state;
    char longest[256], odd[] = {'\x01', '\xff', '\xfe', '\n', '*', '\xc3', 0};
    memset(longest, 'n', 255);
    longest[255] = '\0';
    w_dir("d");
    uint32_t fd = opened(W, "d", DIRECTORY, 0, 0);
    w_close(opened(fd, longest, CREAT, WRITE, 0));
    w_close(opened(fd, odd, CREAT, WRITE, 0));
    struct seen e;
    uint32_t used = list(fd, 1000, 0), at = 0, found = 0;
    for (uint32_t size; (size = take_entry(at, used, &e)) != 0; at += size) {
        found += strcmp(e.name, longest) == 0 || strcmp(e.name, odd) == 0;
    }
    assert_int_equal(found, 2);
}

/* What an open listing holds is charged, and given back. */
static void listings_are_charged_to_the_run(void **state)
{
    (void)state;
    char name[32];
    w_dir("d");
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "d/a-rather-long-name-%d", i);
        w_file(name, "");
    }
    uint32_t fd = opened(W, "d", DIRECTORY, 0, 0);
    uint64_t before = FX.host.budget.used;
    (void)list(fd, 100, 0);
    uint64_t held = FX.host.budget.used - before;
    (void)list(fd, 100, 0);
    assert_int_equal(FX.host.budget.used - before, held); /* not once more */
    w_close(fd);
    assert_true(FX.host.budget.used < before);
    if (FX.backend->settle == NULL) { /* others share their listings: they are cached, not held */
        assert_true(held > 400 * 20);
        fd = opened(W, "d", DIRECTORY, 0, 0);
        FX.host.budget.limit = FX.host.budget.used + 4000;
        assert_errno(NOMEM, "fd_readdir", fd, BUF, 100, 0, OUT);
        FX.host.budget.limit = 64u << 20;
        assert_errno(OK, "fd_readdir", fd, BUF, 100, 0, OUT);
    }
}

static void what_is_preopened_says_its_name(void **state)
{
    (void)state;
    for (FX.old = 0; FX.old < 2; FX.old++) {
        for (uint32_t fd = 3; fd < 5; fd++) {
            memset(mem(BUF, 16), 0xAA, 16);
            assert_errno(OK, "fd_prestat_get", fd, BUF);
            assert_memory_equal(mem(BUF, 8), "\0\0\0\0\2\0\0\0", 8);
            assert_errno(NAMETOOLONG, "fd_prestat_dir_name", fd, BUF + 8, 1);
            assert_int_equal(*mem(BUF + 8, 1), 0xAA);
            assert_errno(OK, "fd_prestat_dir_name", fd, BUF + 8, 3);
            assert_memory_equal(mem(BUF + 8, 3), fd == W ? "/w\xAA" : "/r\xAA", 3);
            assert_errno(FAULT, "fd_prestat_get", fd, FX.memory - 7);
            assert_errno(FAULT, "fd_prestat_dir_name", fd, FX.memory - 1, 2);
            assert_errno(FAULT, "fd_prestat_dir_name", fd, OUTSIDE, UINT32_MAX);
            assert_errno(OK, "fd_prestat_dir_name", fd, FX.memory - 2, UINT32_MAX);
        }
        for (uint32_t fd = 0; fd < 8; fd++) {
            if (fd != W && fd != R) {
                assert_errno(BADF, "fd_prestat_get", fd, BUF);
                assert_errno(BADF, "fd_prestat_dir_name", fd, BUF, 10);
            }
        }
    }
}

static void the_bad_ends_of_a_listing_are_an_errno(void **state)
{
    (void)state;
    for (FX.old = 0; FX.old < 2; FX.old++) {
        assert_errno(FAULT, "fd_readdir", W, FX.memory - 9, 10, 0, OUT);
        assert_errno(FAULT, "fd_readdir", W, BUF, UINT32_MAX, 0, OUT);
        assert_errno(FAULT, "fd_readdir", W, BUF, 100, 0, FX.memory - 3);
        assert_errno(BADF, "fd_readdir", 1, BUF, 100, 0, OUT);
        assert_errno(OK, "fd_readdir", W, BUF, 0, 0, OUT);
        assert_int_equal(get32(OUT), 0);
        assert_errno(OK, "fd_readdir", R, BUF, 100, 0, OUT);
        assert_int_equal(get32(OUT), 25 + 26);
    }
}

const struct CMUnitTest files_dirs[] = {
    FILES_TEST(the_dots_come_first_and_then_the_names),
    FILES_TEST(an_entry_is_these_bytes),
    FILES_TEST(a_small_buffer_cuts_the_last_entry_anywhere),
    FILES_TEST(thousands_of_names_come_through_a_small_buffer),
    FILES_TEST(cookies_stay_right_while_names_come_and_go),
    FILES_TEST(any_cookie_is_an_answer),
    FILES_TEST(a_directory_that_was_removed_has_nothing_in_it),
    FILES_TEST(names_of_any_bytes_are_listed),
    FILES_TEST(listings_are_charged_to_the_run),
    FILES_TEST(what_is_preopened_says_its_name),
    FILES_TEST(the_bad_ends_of_a_listing_are_an_errno),
};
const size_t nfiles_dirs = sizeof files_dirs / sizeof *files_dirs;
