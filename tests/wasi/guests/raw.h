/* The functions of WASI 0.1 as a module imports them, for cases that libc would hide: with
 * WASI_UNSTABLE defined those of wasi_unstable, whose attributes, subscriptions and order of whence
 * are other ones, else those of wasi_snapshot_preview1. They answer errnos, whose numbers are
 * libc's. */
#ifndef RAW_H
#define RAW_H

#include "check.h"

#ifdef WASI_UNSTABLE
#define RAW_MODULE "wasi_unstable"
#else
#define RAW_MODULE "wasi_snapshot_preview1"
#endif
#define RAW(name, ...)                                                                             \
    uint32_t raw_##name(__VA_ARGS__) __attribute__((import_module(RAW_MODULE), import_name(#name)))

struct raw_iov {
    const void *buf;
    uint32_t len;
};
struct raw_fdstat {
    uint8_t filetype, pad0;
    uint16_t flags;
    uint8_t pad1[4];
    uint64_t rights, inheriting;
};
_Static_assert(sizeof(struct raw_fdstat) == 24, "fdstat");
struct raw_dirent {
    uint64_t next, ino;
    uint32_t namelen;
    uint8_t type, pad[3];
};
_Static_assert(sizeof(struct raw_dirent) == 24, "dirent");
struct raw_event {
    uint64_t userdata;
    uint16_t error;
    uint8_t type, pad0[5];
    uint64_t nbytes;
    uint16_t flags;
    uint8_t pad1[6];
};
_Static_assert(sizeof(struct raw_event) == 32, "event");
struct raw_prestat {
    uint8_t tag, pad[3];
    uint32_t name_len;
};
#ifdef WASI_UNSTABLE
struct raw_filestat {
    uint64_t dev, ino;
    uint8_t filetype, pad[3];
    uint32_t nlink;
    uint64_t size, atim, mtim, ctim;
};
_Static_assert(sizeof(struct raw_filestat) == 56, "filestat");
struct raw_sub {
    uint64_t userdata;
    uint8_t tag, pad[7];
    union {
        struct {
            uint64_t identifier;
            uint32_t id, pad0;
            uint64_t timeout, precision;
            uint16_t flags;
            uint8_t pad1[6];
        } clock;
        uint32_t fd;
    } of;
};
_Static_assert(sizeof(struct raw_sub) == 56, "subscription");
enum { RAW_CUR, RAW_END, RAW_SET };
#else
struct raw_filestat {
    uint64_t dev, ino;
    uint8_t filetype, pad[7];
    uint64_t nlink, size, atim, mtim, ctim;
};
_Static_assert(sizeof(struct raw_filestat) == 64, "filestat");
struct raw_sub {
    uint64_t userdata;
    uint8_t tag, pad[7];
    union {
        struct {
            uint32_t id, pad0;
            uint64_t timeout, precision;
            uint16_t flags;
            uint8_t pad1[6];
        } clock;
        uint32_t fd;
    } of;
};
_Static_assert(sizeof(struct raw_sub) == 48, "subscription");
enum { RAW_SET, RAW_CUR, RAW_END };
#endif

enum { T_UNKNOWN, T_BLOCK, T_CHAR, T_DIR, T_REG, T_DGRAM, T_STREAM, T_LINK };
enum { O_R_CREAT = 1, O_R_DIRECTORY = 2, O_R_EXCL = 4, O_R_TRUNC = 8 };
enum { F_APPEND = 1, F_DSYNC = 2, F_NONBLOCK = 4, F_RSYNC = 8, F_SYNC = 16 };
enum { FOLLOW = 1 };
enum { TIME_A = 1, TIME_A_NOW = 2, TIME_M = 4, TIME_M_NOW = 8 };
enum { EV_CLOCK, EV_READ, EV_WRITE };
enum { REALTIME, MONOTONIC };
#define R_DATASYNC (1ull << 0)
#define R_READ (1ull << 1)
#define R_SEEK (1ull << 2)
#define R_SET_FLAGS (1ull << 3)
#define R_SYNC (1ull << 4)
#define R_TELL (1ull << 5)
#define R_WRITE (1ull << 6)
#define R_READDIR (1ull << 14)
#define R_PATH_OPEN (1ull << 13)
#define R_FILESTAT_GET (1ull << 21)
#define R_ALL ((1ull << 30) - 1)
#define R_FILE (R_READ | R_WRITE | R_SEEK | R_TELL)

RAW(args_get, void *argv, void *buf);
RAW(args_sizes_get, uint32_t *count, uint32_t *size);
RAW(environ_get, void *environ, void *buf);
RAW(environ_sizes_get, uint32_t *count, uint32_t *size);
RAW(clock_res_get, uint32_t id, uint64_t *out);
RAW(clock_time_get, uint32_t id, uint64_t precision, uint64_t *out);
RAW(fd_advise, uint32_t fd, uint64_t offset, uint64_t len, uint32_t advice);
RAW(fd_allocate, uint32_t fd, uint64_t offset, uint64_t len);
RAW(fd_close, uint32_t fd);
RAW(fd_datasync, uint32_t fd);
RAW(fd_fdstat_get, uint32_t fd, struct raw_fdstat *out);
RAW(fd_fdstat_set_flags, uint32_t fd, uint32_t flags);
RAW(fd_fdstat_set_rights, uint32_t fd, uint64_t rights, uint64_t inheriting);
RAW(fd_filestat_get, uint32_t fd, struct raw_filestat *out);
RAW(fd_filestat_set_size, uint32_t fd, uint64_t size);
RAW(fd_filestat_set_times, uint32_t fd, uint64_t atim, uint64_t mtim, uint32_t flags);
RAW(fd_pread, uint32_t fd, const struct raw_iov *iov, uint32_t n, uint64_t offset, uint32_t *out);
RAW(fd_prestat_get, uint32_t fd, struct raw_prestat *out);
RAW(fd_prestat_dir_name, uint32_t fd, char *buf, uint32_t len);
RAW(fd_pwrite, uint32_t fd, const struct raw_iov *iov, uint32_t n, uint64_t offset, uint32_t *out);
RAW(fd_read, uint32_t fd, const struct raw_iov *iov, uint32_t n, uint32_t *out);
RAW(fd_readdir, uint32_t fd, void *buf, uint32_t len, uint64_t cookie, uint32_t *out);
RAW(fd_renumber, uint32_t from, uint32_t to);
RAW(fd_seek, uint32_t fd, int64_t offset, uint32_t whence, uint64_t *out);
RAW(fd_sync, uint32_t fd);
RAW(fd_tell, uint32_t fd, uint64_t *out);
RAW(fd_write, uint32_t fd, const struct raw_iov *iov, uint32_t n, uint32_t *out);
RAW(path_create_directory, uint32_t fd, const char *path, uint32_t len);
RAW(path_filestat_get, uint32_t fd, uint32_t flags, const char *path, uint32_t len,
    struct raw_filestat *out);
RAW(path_filestat_set_times, uint32_t fd, uint32_t flags, const char *path, uint32_t len,
    uint64_t atim, uint64_t mtim, uint32_t fst);
RAW(path_link, uint32_t fd, uint32_t flags, const char *path, uint32_t len, uint32_t to_fd,
    const char *to, uint32_t to_len);
RAW(path_open, uint32_t fd, uint32_t dirflags, const char *path, uint32_t len, uint32_t oflags,
    uint64_t rights, uint64_t inheriting, uint32_t fdflags, uint32_t *out);
RAW(path_readlink, uint32_t fd, const char *path, uint32_t len, void *buf, uint32_t buf_len,
    uint32_t *out);
RAW(path_remove_directory, uint32_t fd, const char *path, uint32_t len);
RAW(path_rename, uint32_t fd, const char *path, uint32_t len, uint32_t to_fd, const char *to,
    uint32_t to_len);
RAW(path_symlink, const char *target, uint32_t target_len, uint32_t fd, const char *path,
    uint32_t len);
RAW(path_unlink_file, uint32_t fd, const char *path, uint32_t len);
RAW(poll_oneoff, const struct raw_sub *in, struct raw_event *out, uint32_t n, uint32_t *nevents);
RAW(random_get, void *buf, uint32_t len);
RAW(sched_yield, void);
RAW(sock_recv, uint32_t fd, const struct raw_iov *iov, uint32_t n, uint32_t flags, uint32_t *out,
    uint16_t *out_flags);
RAW(sock_send, uint32_t fd, const struct raw_iov *iov, uint32_t n, uint32_t flags, uint32_t *out);
RAW(sock_shutdown, uint32_t fd, uint32_t how);
uint32_t raw_sock_accept(uint32_t fd, uint32_t flags, uint32_t *out)
    __attribute__((import_module("wasi_snapshot_preview1"), import_name("sock_accept")));

/* ---- the same with texts ---- */
#define TEXT(path) (path), (uint32_t)strlen(path)
static inline uint32_t raw_open(uint32_t dir, const char *path, uint32_t oflags, uint64_t rights,
                                uint32_t fdflags, uint32_t *out)
{
    return raw_path_open(dir, FOLLOW, TEXT(path), oflags, rights, R_ALL, fdflags, out);
}
static inline uint32_t raw_mkdir(uint32_t dir, const char *path)
{
    return raw_path_create_directory(dir, TEXT(path));
}
static inline uint32_t raw_unlink(uint32_t dir, const char *path)
{
    return raw_path_unlink_file(dir, TEXT(path));
}
static inline uint32_t raw_rmdir(uint32_t dir, const char *path)
{
    return raw_path_remove_directory(dir, TEXT(path));
}
static inline uint32_t raw_rename(uint32_t dir, const char *path, uint32_t to_dir, const char *to)
{
    return raw_path_rename(dir, TEXT(path), to_dir, TEXT(to));
}
static inline uint32_t raw_link(uint32_t dir, uint32_t flags, const char *path, uint32_t to_dir,
                                const char *to)
{
    return raw_path_link(dir, flags, TEXT(path), to_dir, TEXT(to));
}
static inline uint32_t raw_symlink(const char *target, uint32_t dir, const char *path)
{
    return raw_path_symlink(TEXT(target), dir, TEXT(path));
}
static inline uint32_t raw_stat(uint32_t dir, uint32_t flags, const char *path,
                                struct raw_filestat *out)
{
    return raw_path_filestat_get(dir, flags, TEXT(path), out);
}
static inline uint32_t raw_readlink(uint32_t dir, const char *path)
{
    static char buf[64];
    uint32_t n;
    return raw_path_readlink(dir, TEXT(path), buf, sizeof buf, &n);
}
static inline uint32_t raw_times(uint32_t dir, uint32_t flags, const char *path, uint64_t atim,
                                 uint64_t mtim, uint32_t fst)
{
    return raw_path_filestat_set_times(dir, flags, TEXT(path), atim, mtim, fst);
}
static inline uint32_t raw_write_text(uint32_t fd, const char *text)
{
    struct raw_iov iov = {text, (uint32_t)strlen(text)};
    uint32_t n;
    return raw_fd_write(fd, &iov, 1, &n);
}
static inline uint32_t raw_read_byte(uint32_t fd)
{
    char byte;
    struct raw_iov iov = {&byte, 1};
    uint32_t n;
    return raw_fd_read(fd, &iov, 1, &n);
}

/* The preopened directory of this name. */
static inline int preopen(const char *name)
{
    char got[64];
    for (uint32_t fd = 3; fd < 64; fd++) {
        struct raw_prestat pre;
        if (raw_fd_prestat_get(fd, &pre) == 0 && pre.tag == 0 && pre.name_len == strlen(name) &&
            raw_fd_prestat_dir_name(fd, got, pre.name_len) == 0 &&
            memcmp(got, name, pre.name_len) == 0) {
            return (int)fd;
        }
    }
    return -1;
}

#endif
