/* The functions of WASI 0.1 on files and directories, against a filesystem (tests/vfs: backends)
 * and through a guest: one without an engine (guest_fake.c: memory whose end the address sanitizer
 * watches) or a real one (guest_engine.c). Every test runs with each of them, and for both modules
 * where they differ. */
#ifndef CIS_TESTS_WASI_FILES_H
#define CIS_TESTS_WASI_FILES_H

#include "harness.h"

#include "base/le.h"
#include "host/host.h"
#include "vfs/backends.h"
#include "wasi/p1/abi.h"
#include "wasi/p1/p1.h"

/* ---- the guest: guest_fake.c or guest_engine.c ---- */
void guest_program_start(void); /* once in a program, and stop at its end */
void guest_program_stop(void);
void guest_begin(struct cis_host *host);
void guest_end(void);
cis_engine_instance *guest_now(void);
void guest_deadline(uint64_t deadline_ns);
cis_code guest_call(const struct cis_hostfn *row, union cis_slot *io, struct cis_error *err);
/* How often the CPU slot was given back; -1: this guest does not count. */
int guest_blocked(void);
/* Of the guest without an engine: fuel, the most of it (0: no limit), and what a call said that it
 * wrote of the memory that it took. */
uint64_t guest_burned(void);
void guest_fuel(uint64_t most);
uint64_t guest_wrote(void);

/* ---- the world: /w is the filesystem to write, /r the same one read-only ---- */
#define W 3u /* their descriptors */
#define R 4u
struct files_fixture {
    const struct contract_backend *backend;
    void *place;
    cis_vfs *vfs;
    cis_ns *ns;
    cis_dir *dirs[2];
    struct cis_wasi_env_dir world_dirs[2];
    struct cis_host host;
    uint32_t memory;   /* its size */
    int old;           /* 1: calls go to wasi_unstable */
    uint64_t at_start; /* of the budget, with the descriptors that every guest begins with */
};
extern struct files_fixture fx_files;
#define FX fx_files
int files_setup(void **state);
int files_teardown(void **state);
/* Another world: at most so many descriptors; budget 0: as it was. */
void files_again(uint32_t files_max, uint64_t budget);

/* ---- calls. Numbers in, errno out; whatever ends the run fails the test ---- */
int call_row(const char *name, const uint64_t *args, size_t n);
#define CALL(name, ...)                                                                            \
    call_row(name, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)
#define assert_errno(expected, ...) assert_errno_(CIS_WASI_##expected, CALL(__VA_ARGS__))
#define assert_errno_(expected, got) assert_string_equal(errno_name(got), errno_name(expected))
const char *errno_name(int number);
const struct cis_hostfn *row_of(const char *name);
void assert_all_called(void);

/* ---- guest memory ---- */
#define OUT 0u      /* results */
#define IOVS 64u    /* arrays of buffers */
#define BUF 1024u   /* content */
#define TEXT 32768u /* paths, one after the other */
#define OUTSIDE 0xFFFFFFF0u
uint8_t *mem(uint32_t at, uint32_t len);
uint32_t get32(uint32_t at);
uint64_t get64(uint32_t at);
void put_iov(uint32_t i, uint32_t buf, uint32_t len);
/* Text into guest memory, as two arguments. */
uint32_t put_text(const char *text, size_t len);
#define S(text) put_text(text, strlen(text)), strlen(text)
#define SN(text, len) put_text(text, len), len

/* ---- what tests do all the time ---- */
#define READ CIS_WASI_RIGHT_READ
#define WRITE CIS_WASI_RIGHT_WRITE
#define CREAT CIS_WASI_O_CREAT
#define EXCL CIS_WASI_O_EXCL
#define TRUNC CIS_WASI_O_TRUNC
#define DIRECTORY CIS_WASI_O_DIRECTORY
#define APPEND CIS_WASI_FDFLAG_APPEND
int w_open(uint32_t dir, const char *path, uint32_t oflags, uint64_t rights, uint32_t fdflags,
           uint32_t *out_fd); /* follows links */
uint32_t opened(uint32_t dir, const char *path, uint32_t oflags, uint64_t rights, uint32_t fdflags);
int w_write(uint32_t fd, const char *text);
int w_pwrite(uint32_t fd, const char *text, uint64_t offset);
void w_file(const char *path, const char *text); /* below /w; replaces */
void w_dir(const char *path);
void w_link(const char *target, const char *path);
void w_close(uint32_t fd);
/* What fd_read gives next, at most len bytes; the content is at BUF. */
uint32_t w_read(uint32_t fd, uint32_t len);
void assert_read(uint32_t fd, const char *text);
void assert_file(const char *path, const char *text);
struct w_stat {
    uint64_t dev, ino, nlink, size, atim, mtim, ctim, type; /* no padding: they are compared */
};
int w_stat(uint32_t dir, const char *path, bool follow, struct w_stat *out);
void w_fstat(uint32_t fd, struct w_stat *out);

/* ---- the tests ---- */
#define FILES_TEST(f) cmocka_unit_test_setup_teardown(f, files_setup, files_teardown)
#define FILES_GROUP(name)                                                                          \
    extern const struct CMUnitTest name[];                                                         \
    extern const size_t n##name
FILES_GROUP(files_open);
FILES_GROUP(files_table);
FILES_GROUP(files_data);
FILES_GROUP(files_dirs);
FILES_GROUP(files_paths);
FILES_GROUP(files_times);
FILES_GROUP(files_hostile);

#endif
