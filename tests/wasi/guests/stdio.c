/* Standard streams; the first argument says what is tried: the suite stands at the other ends. */
#include "raw.h"

static int terminals(void)
{
    struct raw_fdstat stat;
    int answer = 0;
    for (uint32_t fd = 0; fd < 3; fd++) {
        if (raw_fd_fdstat_get(fd, &stat) == 0 && stat.filetype == T_CHAR &&
            (stat.rights & (R_SEEK | (1ull << 5))) == 0) {
            answer |= 1 << fd;
        }
        if ((isatty((int)fd) != 0) != ((answer & 1 << fd) != 0)) {
            return 100;
        }
    }
    return answer;
}

/* Alternately, and unbuffered. */
static int alternate(void)
{
    for (int i = 0; i < 50; i++) {
        char text[8];
        int n = snprintf(text, sizeof text, "%d,", i);
        if (write(1 + i % 2, text, (size_t)n) != n) {
            return 1;
        }
    }
    return 0;
}

/* Says something and then waits for the answer to it. */
static int talk(void)
{
    char got[8];
    for (int i = 0; i < 10; i++) {
        if (write(1, "ping\n", 5) != 5 || read(0, got, sizeof got) != 5 ||
            memcmp(got, "pong\n", 5) != 0) {
            return 1;
        }
    }
    return read(0, got, sizeof got) == 0 ? 0 : 2;
}

/* 1 GiB to a stream, as fast as it goes: the host must not grow by it. */
static int flood(uint32_t fd, uint32_t wanted)
{
    static char buf[1 << 20];
    static struct raw_iov iov[256];
    for (size_t i = 0; i < COUNT(iov); i++) {
        iov[i] = (struct raw_iov){buf, sizeof buf};
    }
    for (uint64_t done = 0; done < 1ull << 30;) {
        uint32_t n = 0, no = raw_fd_write(fd, iov, COUNT(iov), &n);
        if (no != wanted) {
            return 2;
        }
        if (no != 0) {
            return 0;
        }
        if (n == 0) {
            return 3;
        }
        done += n;
    }
    return 0;
}

static int streams_are_no_files(void)
{
    uint64_t at;
    uint32_t n;
    struct raw_filestat st;
    char byte;
    struct raw_iov iov = {&byte, 1};
    for (uint32_t fd = 0; fd < 3; fd++) {
        ANSWERS(ESPIPE, raw_fd_seek(fd, 0, RAW_CUR, &at));
        ANSWERS(ESPIPE, raw_fd_tell(fd, &at));
        ANSWERS(ESPIPE, raw_fd_pread(fd, &iov, 1, 0, &n));
        ANSWERS(ESPIPE, raw_fd_pwrite(fd, &iov, 1, 0, &n));
        uint32_t no = raw_fd_readdir(fd, &byte, 1, 0, &n);
        HOLDS(no == EBADF || no == ENOTDIR); /* adapters ask for a directory first */
        ANSWERS(0, raw_fd_filestat_get(fd, &st));
        ANSWERS(EINVAL, raw_fd_filestat_set_size(fd, 0));
    }
    ANSWERS(EBADF, raw_fd_read(1, &iov, 1, &n));
    ANSWERS(EBADF, raw_fd_write(0, &iov, 1, &n));
    return check_why[0] != '\0';
}

static int can_be_closed(void)
{
    uint32_t n;
    char byte = 'x';
    struct raw_iov iov = {&byte, 1};
    ANSWERS(0, raw_fd_renumber(2, 0));
    ANSWERS(0, raw_fd_write(0, &iov, 1, &n));
    ANSWERS(EBADF, raw_fd_write(2, &iov, 1, &n));
    ANSWERS(0, raw_fd_close(0));
    ANSWERS(EBADF, raw_fd_read(0, &iov, 1, &n));
    ANSWERS(EBADF, raw_fd_renumber(1, 0));
    return check_why[0] != '\0';
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int code = 99;
    if (strcmp(what, "terminals") == 0) {
        code = argc > 2 ? terminals() >> strtol(argv[2], NULL, 10) & 1 : terminals();
    } else if (strcmp(what, "alternate") == 0) {
        code = alternate();
    } else if (strcmp(what, "talk") == 0) {
        code = talk();
    } else if (strcmp(what, "flood") == 0) {
        code = flood(1, 0);
    } else if (strcmp(what, "flood-closed") == 0) {
        code = flood(1, EBADF);
    } else if (strcmp(what, "no-files") == 0) {
        code = streams_are_no_files();
    } else if (strcmp(what, "close") == 0) {
        code = can_be_closed();
    }
    if (check_why[0] != '\0') {
        printf("not ok %s: %s\n", what, check_why);
    }
    return code;
}
