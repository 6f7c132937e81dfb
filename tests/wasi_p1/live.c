#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

struct live live;

static const struct cis_hostfn_table *const tables[] = {&cis_wasi_p1_table,
                                                        &cis_wasi_unstable_table};

int live_setup(void **state)
{
    (void)state;
    live = (struct live){.host = {.budget = {.limit = 64u << 20},
                                  .output = CIS_BUF_INIT(32u << 20),
                                  .errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX),
                                  .log = CIS_BUF_INIT(1u << 20),
                                  .log_lines_max = 1000}};
    fake_guest_init(&live.guest, &live.host, MEMORY);
    memset(live.guest.memory, 0xAA, MEMORY);
    return 0;
}

int live_teardown(void **state)
{
    (void)state;
    cis_wasi_p1_end(&live.host);
    fake_guest_done(&live.guest);
    cis_buf_done(&live.host.output);
    cis_buf_done(&live.host.errors);
    cis_buf_done(&live.host.log);
    for (int i = 0; i < 3; i++) {
        cis_buf_done(&live.host.wasi_env.std[i].kept);
    }
    return 0;
}

struct cis_host_stream *live_stream(unsigned number, enum cis_stream_kind kind)
{
    struct cis_host_stream *s = &live.host.wasi_env.std[number];
    *s = (struct cis_host_stream){.kind = kind};
    return s;
}

void live_fd(unsigned number, int fd)
{
    struct cis_host_stream *s = live_stream(number, CIS_STREAM_FD);
    s->fd = fd;
    s->terminal = isatty(fd) != 0;
}

static const struct cis_hostfn *row(const char *name)
{
    for (size_t i = 0; i < tables[live.old]->nrows; i++) {
        if (strcmp(tables[live.old]->rows[i].name, name) == 0) {
            return &tables[live.old]->rows[i];
        }
    }
    fail_msg("no row %s", name);
    return NULL;
}

cis_code live_code(const char *name, const uint64_t *args, size_t n, int *out_errno,
                   struct cis_error *err)
{
    union cis_slot io[9] = {0};
    for (size_t i = 0; i < n; i++) {
        io[i].u64 = args[i];
    }
    if (live.host.wasi == NULL) {
        assert_int_equal(cis_wasi_p1_start(&live.host, err), CIS_OK);
        live.at_start = live.host.budget.used;
    }
    cis_code code = row(name)->handler(&live.guest, io, err);
    *out_errno = io[0].i32;
    return code;
}

int live_call(const char *name, const uint64_t *args, size_t n)
{
    int no = 0;
    assert_ok(live_code(name, args, n, &no, err));
    return no;
}

void put_iov(uint32_t at, uint32_t buf, uint32_t len)
{
    cis_put_le32(live.guest.memory + at, buf);
    cis_put_le32(live.guest.memory + at + 4, len);
}

uint32_t get32(uint32_t at)
{
    return cis_le32(live.guest.memory + at);
}

uint64_t get64(uint32_t at)
{
    return cis_le64(live.guest.memory + at);
}

static int one_buffer(const char *name, uint32_t fd, uint32_t len, uint32_t *out_n)
{
    put_iov(0, DATA, len);
    cis_put_le32(live.guest.memory + RESULT, 0xAAAAAAAA);
    int no = CALL(name, fd, 0, 1, RESULT);
    *out_n = get32(RESULT);
    return no;
}

int live_read(uint32_t fd, uint32_t len, uint32_t *out_n)
{
    return one_buffer("fd_read", fd, len, out_n);
}

int live_write(uint32_t fd, uint32_t len, uint32_t *out_n)
{
    return one_buffer("fd_write", fd, len, out_n);
}

void live_deadline(uint64_t ms)
{
    live.guest.stop.deadline_ns = ms != 0 ? cis_clock_mono_ns() + ms * MS : CIS_NEVER;
}

static void *later_main(void *arg)
{
    struct later *later = arg;
    poll(NULL, 0, (int)later->ms);
    later->what(later->arg);
    return NULL;
}

void later_start(struct later *later, unsigned ms, void (*what)(void *arg), void *arg)
{
    *later = (struct later){.what = what, .arg = arg, .ms = ms};
    assert_int_equal(pthread_create(&later->thread, NULL, later_main, later), 0);
}

void later_join(struct later *later)
{
    pthread_join(later->thread, NULL);
}

void later_cancel(void *cancel)
{
    cis_cancel_fire(cancel);
}

#define WAIT_MS 100u
#define SOON_NS (5 * CIS_NS_PER_S) /* other programs may run beside this one */

void assert_waits(const char *name, const uint64_t *args, size_t n)
{
    int no;
    struct later later;
    print_message("waiting in %s\n", name);
    live.guest.blocked = live.guest.unblocked = 0;
    uint64_t before = cis_clock_mono_ns(), cpu = cis_clock_thread_cpu_ns();
    live_deadline(WAIT_MS);
    assert_fails(CIS_E_DEADLINE, "time limit", live_code(name, args, n, &no, err));
    assert_in_range(cis_clock_mono_ns() - before, WAIT_MS * MS, SOON_NS);
    assert_true(live.guest.blocked > 0 && live.guest.blocked == live.guest.unblocked);
    live_deadline(0);
    assert_ok(cis_cancel_new(&live.guest.stop.cancel, err));
    before = cis_clock_mono_ns();
    later_start(&later, WAIT_MS, later_cancel, live.guest.stop.cancel);
    assert_fails(CIS_E_CANCELLED, "cancelled", live_code(name, args, n, &no, err));
    assert_in_range(cis_clock_mono_ns() - before, WAIT_MS * MS, SOON_NS);
    assert_in_range(cis_clock_thread_cpu_ns() - cpu, 0, 80 * MS); /* of the 200 ms it waited */
    later_join(&later);
    cis_cancel_unref(live.guest.stop.cancel);
    live.guest.stop.cancel = NULL;
}

void fill(int fd)
{
    static const char zeros[4096];
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while (write(fd, zeros, sizeof zeros) > 0 || write(fd, zeros, 1) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
    fcntl(fd, F_SETFL, flags);
}

bool is_blocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}
