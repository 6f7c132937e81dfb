/* fd_readdir to the byte: entries cut at the end of a buffer, cookies, padding. */
#include "raw.h"

#define WHOLE 65536u
static unsigned char whole[WHOLE], part[WHOLE];

static void fill(int n, int name_len)
{
    char name[256];
    for (int i = 0; i < n; i++) {
        memset(name, 'x', sizeof name);
        name[snprintf(name, 8, "%04d", i)] = 'x';
        name[name_len] = '\0';
        put(here, name, "x");
    }
}

static uint32_t dir_open(void)
{
    uint32_t dir = UINT32_MAX;
    ANSWERS(0, raw_open((uint32_t)here, ".", O_R_DIRECTORY, R_READDIR, 0, &dir));
    return dir;
}

static void a_buffer_of_any_size_holds_the_first_bytes_of_the_listing(void)
{
    uint32_t n, used;
    fill(8, 11);
    uint32_t dir = dir_open();
    memset(whole, 0xaa, sizeof whole);
    ANSWERS(0, raw_fd_readdir(dir, whole, WHOLE, 0, &n));
    IS(n, 8 * (24 + 11) + 24 + 1 + 24 + 2);
    for (uint32_t size = 0; size <= n + 2; size++) {
        memset(part, 0x55, n + 64);
        used = 99999;
        ANSWERS(0, raw_fd_readdir(dir, part, size, 0, &used));
        uint32_t expected = size < n ? size : n;
        if (!IS(used, expected) || !IS(memcmp(part, whole, used), 0)) {
            return;
        }
        for (uint32_t i = size; i < n + 64; i++) {
            if (!IS(part[i], 0x55)) {
                return;
            }
        }
    }
    ANSWERS(0, raw_fd_close(dir));
}

static void no_byte_of_an_entry_is_left_over_from_something_else(void)
{
    uint32_t n, entries = 0;
    fill(20, 5);
    uint32_t dir = dir_open();
    for (int fillings = 0; fillings < 2; fillings++) {
        memset(whole, fillings == 0 ? 0xaa : 0x11, sizeof whole);
        ANSWERS(0, raw_fd_readdir(dir, whole, WHOLE, 0, &n));
        for (uint32_t at = 0; at < n;) {
            struct raw_dirent e;
            memcpy(&e, whole + at, sizeof e);
            IS(e.pad[0] | e.pad[1] | e.pad[2], 0);
            HOLDS(e.next != 0 && e.ino != 0 && e.namelen <= 5);
            at += 24 + e.namelen;
            entries++;
        }
        for (uint32_t at = n; at < n + 100; at++) {
            IS(whole[at], fillings == 0 ? 0xaa : 0x11);
        }
    }
    IS(entries, 44);
    ANSWERS(0, raw_fd_close(dir));
}

static void the_listing_goes_on_after_every_cookie(void)
{
    uint32_t n, used;
    fill(30, 9);
    uint32_t dir = dir_open();
    ANSWERS(0, raw_fd_readdir(dir, whole, WHOLE, 0, &n));
    for (uint32_t at = 0; at < n;) {
        struct raw_dirent e;
        memcpy(&e, whole + at, sizeof e);
        at += 24 + e.namelen;
        ANSWERS(0, raw_fd_readdir(dir, part, WHOLE, e.next, &used));
        if (!IS(used, n - at) || !IS(memcmp(part, whole + at, used), 0)) {
            return;
        }
    }
    ANSWERS(0, raw_fd_close(dir));
}

/* Goes through the directory with a buffer of this size, as C libraries do; how often each of
 * names 0000 … was seen. */
static unsigned char seen[12000];
static int walk(uint32_t dir, uint32_t size, void (*between)(int))
{
    uint64_t cookie = 0;
    uint32_t used;
    int calls = 0, names = 0;
    memset(seen, 0, sizeof seen);
    do {
        if (!ANSWERS(0, raw_fd_readdir(dir, part, size, cookie, &used))) {
            return -1;
        }
        uint32_t at = 0;
        struct raw_dirent e;
        while (at + sizeof e <= used) {
            memcpy(&e, part + at, sizeof e);
            if (at + sizeof e + e.namelen > used) {
                break;
            }
            char name[8] = "";
            memcpy(name, part + at + sizeof e, e.namelen < 5 ? e.namelen : 5);
            if (name[0] >= '0' && name[0] <= '9') {
                seen[strtol(name, NULL, 10)]++;
            }
            names++;
            cookie = e.next;
            at += (uint32_t)sizeof e + e.namelen;
        }
        if (between != NULL) {
            between(calls);
        }
        calls++;
    } while (used == size);
    return names;
}

#define MANY 10240
static void make(int i)
{
    char name[8];
    snprintf(name, sizeof name, "%05d", i);
    int fd = openat(here, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (fd < 0) {
        check_fail(__FILE__, __LINE__, "%s: %s", name, errno_name(errno));
    }
    close(fd);
}

static void drop(int i)
{
    char name[8];
    snprintf(name, sizeof name, "%05d", i);
    unlinkat(here, name, 0);
}

static void small_buffers_list_ten_thousand_names_each_once(void)
{
    static const uint32_t sizes[] = {29, 64, 300, 4096, 65536};
    for (int i = 0; i < MANY; i++) {
        make(i);
    }
    uint32_t dir = dir_open();
    for (size_t k = 0; k < COUNT(sizes); k++) {
        int wrong = 0;
        IS(walk(dir, sizes[k], NULL), MANY + 2);
        for (int i = 0; i < MANY; i++) {
            wrong += seen[i] != 1;
        }
        IS(wrong, 0);
    }
    ANSWERS(0, raw_fd_close(dir));
}

static void come_and_go(int call)
{
    drop(2 * call);
    make(4000 + call);
    if (call >= 10) {
        drop(4000 + call - 10);
    }
}

static void cookies_stay_right_while_names_come_and_go(void)
{
    int wrong = 0;
    for (int i = 0; i < 4000; i++) {
        make(i);
    }
    uint32_t dir = dir_open();
    HOLDS(walk(dir, 200, come_and_go) > 2002);
    for (int i = 0; i < 12000; i++) {
        wrong += i < 4000 && i % 2 == 1 ? seen[i] != 1 : seen[i] > 1;
    }
    IS(wrong, 0);
    ANSWERS(0, raw_fd_close(dir));
}

static void a_cookie_whose_entry_is_gone_still_goes_on(void)
{
    uint32_t used;
    struct raw_dirent e;
    for (int i = 0; i < 50; i++) {
        make(i);
    }
    uint32_t dir = dir_open();
    ANSWERS(0, raw_fd_readdir(dir, part, 24 + 1 + 24 + 2 + 29 * 10, 0, &used));
    memset(seen, 0, sizeof seen);
    for (uint32_t at = 0; at + 24 <= used; at += 24 + e.namelen) {
        memcpy(&e, part + at, sizeof e);
        if (e.namelen == 5) {
            seen[strtol((char *)part + at + 24, NULL, 10)]++;
        }
    }
    for (int i = 0; i < 50; i++) {
        if (seen[i]) {
            drop(i);
        }
    }
    ANSWERS(0, raw_fd_readdir(dir, part, WHOLE, e.next, &used));
    IS(used, 40 * 29);
    ANSWERS(0, raw_fd_close(dir));
}

static void from_the_start_the_listing_is_new(void)
{
    uint32_t dir = dir_open();
    IS(walk(dir, 4096, NULL), 2);
    make(1);
    IS(walk(dir, 4096, NULL), 3);
    make(2);
    drop(1);
    IS(walk(dir, 4096, NULL), 3);
    IS(seen[1], 0);
    IS(seen[2], 1);
    ANSWERS(0, raw_fd_close(dir));
}

static void a_cookie_that_was_never_given_does_no_harm(void)
{
    static const uint64_t odd[] = {3, 12345, 1ull << 31, 1ull << 32, INT64_MAX, UINT64_MAX};
    uint32_t used;
    make(1);
    uint32_t dir = dir_open();
    for (size_t i = 0; i < COUNT(odd); i++) {
        used = 7;
        ANSWERS(0, raw_fd_readdir(dir, part, WHOLE, odd[i], &used));
        /* Behind the end: the end. Older adapters begin anew there. */
        bool some = odd[i] == 3 || check_adapted();
        HOLDS(some ? used <= 24 + 1 + 24 + 2 + 29 : used == 0);
    }
    IS(walk(dir, 4096, NULL), 3);
    ANSWERS(0, raw_fd_close(dir));
}

static void a_removed_directory_lists_nothing(void)
{
    uint32_t dir, used = 7;
    ANSWERS(0, raw_mkdir((uint32_t)here, "d"));
    ANSWERS(0, raw_open((uint32_t)here, "d", O_R_DIRECTORY, R_READDIR, 0, &dir));
    ANSWERS(0, raw_rmdir((uint32_t)here, "d"));
    uint32_t no = raw_fd_readdir(dir, part, WHOLE, 0, &used);
    HOLDS(no == ENOENT || (no == 0 && used <= 51)); /* Linux says ENOENT; its C library: the end */
    ANSWERS(0, raw_fd_close(dir));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_buffer_of_any_size_holds_the_first_bytes_of_the_listing),
        CASE(no_byte_of_an_entry_is_left_over_from_something_else),
        CASE(the_listing_goes_on_after_every_cookie),
        CASE(small_buffers_list_ten_thousand_names_each_once),
        CASE(cookies_stay_right_while_names_come_and_go),
        CASE(a_cookie_whose_entry_is_gone_still_goes_on),
        CASE(from_the_start_the_listing_is_new),
        CASE(a_cookie_that_was_never_given_does_no_harm),
        CASE(a_removed_directory_lists_nothing),
    };
    return check_main(cases, COUNT(cases), true, argc > 1 ? argv[1] : NULL);
}
