/* A guest without an engine whose world has live descriptors, for the tests of streams, poll and
 * sockets: setup and teardown, calls by name, and a helper thread that does something later. */
#ifndef CIS_TESTS_WASI_P1_LIVE_H
#define CIS_TESTS_WASI_P1_LIVE_H

#include "harness.h"

#include <pthread.h>
#include "base/clock.h"
#include "base/le.h"
#include "fake_guest.h"
#include "host/stream.h"
#include "wasi/p1/abi.h"
#include "wasi/p1/p1.h"

#define MEMORY ((uint32_t)4 << 20)
#define OUTSIDE 0xFFFFFFF0u
#define MS CIS_NS_PER_MS

struct live {
    struct cis_host host;
    cis_engine_instance guest;
    int old;           /* 1: calls go to wasi_unstable */
    uint64_t at_start; /* bytes charged for the descriptors */
};
extern struct live live;

/* Before the guest's first call: what a standard stream is. */
void live_fd(unsigned number, int fd);
struct cis_host_stream *live_stream(unsigned number, enum cis_stream_kind kind);
int live_setup(void **state);
int live_teardown(void **state);

/* The code of a call, its errno in *out_errno. */
cis_code live_code(const char *name, const uint64_t *args, size_t n, int *out_errno,
                   struct cis_error *err);
/* The errno of a call whose code must be CIS_OK. */
int live_call(const char *name, const uint64_t *args, size_t n);
#define CALL(name, ...)                                                                            \
    live_call(name, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)
#define assert_errno(expected, name, ...)                                                          \
    assert_int_equal(CALL(name, __VA_ARGS__), CIS_WASI_##expected)
#define assert_ends(code, name, ...)                                                               \
    do {                                                                                           \
        int errno_;                                                                                \
        const uint64_t args_[] = {__VA_ARGS__};                                                    \
        assert_fails(code, "", live_code(name, args_, sizeof args_ / 8, &errno_, err));            \
    } while (0)

/* Guest memory: buffers are described at 0, results are at 64, data is wherever a test says. */
#define RESULT 64u
void put_iov(uint32_t at, uint32_t buf, uint32_t len);
uint32_t get32(uint32_t at);
uint64_t get64(uint32_t at);

/* One read or write of len bytes at DATA; *out_n is the result. */
#define DATA 4096u
int live_read(uint32_t fd, uint32_t len, uint32_t *out_n);
int live_write(uint32_t fd, uint32_t len, uint32_t *out_n);

void live_deadline(uint64_t ms); /* from now; 0: never */

/* Something that happens beside the call: a thread that waits `ms` and then does it. */
struct later {
    pthread_t thread;
    void (*what)(void *arg);
    void *arg;
    unsigned ms;
};
void later_start(struct later *later, unsigned ms, void (*what)(void *arg), void *arg);
void later_join(struct later *later);
void later_cancel(void *cancel); /* what: cis_cancel_fire */

/* The call ends with CIS_E_DEADLINE soon after its deadline, and again with CIS_E_CANCELLED soon
 * after another thread cancelled it; meanwhile the CPU slot was given back and no CPU used. */
void assert_waits(const char *name, const uint64_t *args, size_t n);
#define assert_waiting(name, ...)                                                                  \
    assert_waits(name, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

/* Fills a pipe or terminal until it takes no more. */
void fill(int fd);
bool is_blocking(int fd);
unsigned open_descriptors(void);

#define T(f) cmocka_unit_test_setup_teardown(f, live_setup, live_teardown)

#endif
