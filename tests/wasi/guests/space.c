/* Writing until there is no room: the errno that the first argument names, nothing half done, and
 * room again once something is removed. */
#include "check.h"

#define BLOCK 65536
static char block[BLOCK], got[BLOCK];
static int wanted;

/* Writes blocks until one fails or is cut; how many bytes there are then. */
static long long fill(int fd, int *out_errno)
{
    long long n = 0;
    for (int i = 0; i < 4096; i++) {
        uint64_t x = (uint64_t)i + 1; /* no two blocks are the same, and none can be packed */
        for (size_t k = 0; k < BLOCK; k += sizeof x) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            memcpy(block + k, &x, sizeof x);
        }
        memcpy(block, &i, sizeof i);
        ssize_t done = write(fd, block, BLOCK);
        if (done < 0) {
            *out_errno = errno;
            return n;
        }
        n += done;
    }
    *out_errno = 0;
    return n;
}

static void a_full_mount_refuses_and_keeps_what_fitted(void)
{
    int no = 0;
    int fd = openat(here, "f", O_CREAT | O_RDWR, 0644);
    long long n = fill(fd, &no);
    ANSWERS(wanted, no);
    HOLDS(n > 0);
    IS(size_of(here, "f"), n);
    FAILS(wanted, write(fd, block, BLOCK));
    FAILS(wanted, pwrite(fd, block, BLOCK, n));
    IS(size_of(here, "f"), n);
    for (long long at = 0, i = 0; at < n; at += BLOCK, i++) {
        ssize_t part = n - at < BLOCK ? (ssize_t)(n - at) : BLOCK;
        if (!IS(pread(fd, got, BLOCK, at), part) || !IS(memcmp(got, &i, 4), 0)) {
            break;
        }
    }
    IS(write(fd, "", 0), 0);
    WORKS(shut(fd));
    WORKS(unlinkat(here, "f", 0));
}

static void what_does_not_fit_is_not_allocated(void)
{
    put(here, "f", "text");
    int fd = openat(here, "f", O_RDWR);
    IS(posix_fallocate(fd, 0, 1ll << 40), wanted);
    HAS(here, "f", "text");
    IS(posix_fallocate(fd, 0, 1 << 20), 0);
    IS(size_of(here, "f"), 1 << 20);
    WORKS(shut(fd));
    WORKS(unlinkat(here, "f", 0));
}

static void what_was_cut_off_makes_room_again(void)
{
    int no = 0;
    int fd = openat(here, "f", O_CREAT | O_RDWR, 0644);
    fill(fd, &no);
    WORKS(ftruncate(fd, 1000));
    IS(pwrite(fd, block, BLOCK, 1000), BLOCK);
    IS(size_of(here, "f"), 1000 + BLOCK);
    WORKS(shut(fd));
    WORKS(unlinkat(here, "f", 0));
}

static void what_was_removed_makes_room_again(void)
{
    long long first = -1;
    for (int round = 0; round < 3; round++) {
        int no = 0;
        int fd = openat(here, "f", O_CREAT | O_RDWR | O_EXCL, 0644);
        if (!HOLDS(fd >= 0)) {
            return;
        }
        long long n = fill(fd, &no);
        ANSWERS(wanted, no);
        first = first < 0 ? n : first;
        HOLDS(n >= first - 2 * BLOCK);
        WORKS(shut(fd));
        WORKS(unlinkat(here, "f", 0));
    }
}

static void what_needs_no_room_still_works(void)
{
    int no = 0;
    put(here, "small", "text");
    int fd = openat(here, "f", O_CREAT | O_RDWR, 0644);
    long long n = fill(fd, &no);
    HAS(here, "small", "text");
    IS(pwrite(fd, "over", 4, 0), 4);
    IS(size_of(here, "f"), n);
    WORKS(renameat(here, "small", here, "moved"));
    HAS(here, "moved", "text");
    WORKS(unlinkat(here, "moved", 0));
    WORKS(shut(fd));
    WORKS(unlinkat(here, "f", 0));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_full_mount_refuses_and_keeps_what_fitted),
        CASE(what_does_not_fit_is_not_allocated),
        CASE(what_was_cut_off_makes_room_again),
        CASE(what_was_removed_makes_room_again),
        CASE(what_needs_no_room_still_works),
    };
    wanted = argc > 1 && strcmp(argv[1], "EDQUOT") == 0 ? EDQUOT : ENOSPC;
    return check_main(cases, COUNT(cases), true, argc > 2 ? argv[2] : NULL);
}
