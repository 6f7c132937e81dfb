/* Standard streams of every kind: what reading and writing gives, that nothing can be stuck in a
 * pipe or terminal past the end of the run, that the host's descriptors stay as they were, and that
 * no signal reaches the process. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pty.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void make_pipe(int fds[2])
{
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
}

static void close_both(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static void say(void *arg)
{
    assert_int_equal(write(*(int *)arg, "hello", 5), 5);
}

/* ---- kinds that need no descriptor ---- */

static void bytes_are_read_to_their_end_and_cannot_be_written(void **state)
{
    (void)state;
    uint32_t n;
    live_stream(0, CIS_STREAM_BYTES)->bytes = cis_bytes_of("abcdef", 6);
    put_iov(0, DATA, 2);
    put_iov(8, DATA + 100, 0);
    put_iov(16, DATA + 200, 2);
    assert_errno(OK, "fd_read", 0, 0, 3, RESULT);
    assert_int_equal(get32(RESULT), 4);
    assert_memory_equal(live.guest.memory + DATA, "ab", 2);
    assert_memory_equal(live.guest.memory + DATA + 200, "cd", 2);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 2);
    assert_int_equal(live.guest.memory[DATA + 2], 0xAA);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 0);
    assert_int_equal(live_write(0, 1, &n), CIS_WASI_BADF);
}

static void what_is_kept_is_cut_at_its_cap_and_the_run_goes_on(void **state)
{
    (void)state;
    uint32_t n;
    struct cis_host_stream *s = live_stream(1, CIS_STREAM_KEEP);
    s->kept = CIS_BUF_INIT(10);
    memcpy(live.guest.memory + DATA, "0123456789abcdef", 16);
    assert_int_equal(live_write(1, 6, &n), CIS_WASI_OK);
    assert_int_equal(n, 6);
    assert_int_equal(live.host.budget.used, live.at_start + 6);
    assert_int_equal(live_write(1, 16, &n), CIS_WASI_OK);
    assert_int_equal(n, 16);
    assert_string_equal(cis_buf_cstr(&s->kept), "0123450123");
    assert_int_equal(s->dropped, 12);
    assert_int_equal(live.host.budget.used, live.at_start + 10);
    assert_int_equal(live_read(1, 1, &n), CIS_WASI_BADF);
    live.host.budget.limit = live.host.budget.used; /* no host bytes left: dropped too */
    s->kept.max = 100;
    assert_int_equal(live_write(1, 5, &n), CIS_WASI_OK);
    assert_int_equal(s->kept.len, 10);
    assert_int_equal(s->dropped, 17);
}

static void a_gibibyte_to_a_closed_or_null_or_full_stream_costs_no_memory(void **state)
{
    (void)state;
    static const struct {
        enum cis_stream_kind kind;
        int expected;
    } cases[] = {{CIS_STREAM_CLOSED, CIS_WASI_BADF},
                 {CIS_STREAM_NULL, CIS_WASI_OK},
                 {CIS_STREAM_KEEP, CIS_WASI_OK}};
    uint32_t n;
    for (size_t i = 0; i < 3; i++) {
        live_teardown(NULL);
        live_setup(NULL);
        struct cis_host_stream *s = live_stream(1, cases[i].kind);
        for (uint32_t sum = 0; sum < 1u << 30; sum += MEMORY - DATA) {
            assert_int_equal(live_write(1, MEMORY - DATA, &n), cases[i].expected);
        }
        assert_int_equal(live.host.budget.peak, live.at_start);
        assert_true(s->dropped >= 1u << 30 || s->kind == CIS_STREAM_CLOSED);
    }
}

static void null_reads_end_at_once_and_a_closed_stream_is_no_descriptor(void **state)
{
    (void)state;
    uint32_t n;
    live_stream(0, CIS_STREAM_NULL);
    live_stream(2, CIS_STREAM_CLOSED);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 0);
    assert_int_equal(live_read(2, 100, &n), CIS_WASI_BADF);
    assert_errno(BADF, "fd_fdstat_get", 2, RESULT);
    assert_errno(BADF, "fd_close", 2);
}

/* An embedder's functions, which do what *self says. */
struct embedder {
    int error;
    size_t most, lie; /* bytes a call moves at most; more said than asked for */
    size_t room;      /* not 0: how many it takes before it is full */
    char got[64];
    size_t len;
    unsigned calls;
};

static int embedder_read(void *self, void *buf, size_t len, size_t *out_n)
{
    struct embedder *e = self;
    size_t n = len < e->most ? len : e->most;
    memset(buf, 'r', n);
    *out_n = n + e->lie;
    e->calls++;
    return e->error;
}

static int embedder_write(void *self, const void *data, size_t len, size_t *out_n)
{
    struct embedder *e = self;
    size_t n = len < e->most ? len : e->most;
    if (e->room != 0 && e->len + n > e->room) {
        return ENOSPC;
    }
    if (e->error == 0 && e->len + n <= sizeof e->got) {
        memcpy(e->got + e->len, data, n);
        e->len += n;
    }
    *out_n = n + e->lie;
    e->calls++;
    return e->error;
}

static void an_embedders_functions_are_called_without_a_slot(void **state)
{
    (void)state;
    uint32_t n;
    struct embedder e = {.most = 4};
    struct cis_host_stream *in = live_stream(0, CIS_STREAM_CALL);
    struct cis_host_stream *out = live_stream(1, CIS_STREAM_CALL);
    in->read = embedder_read;
    out->write = embedder_write;
    in->self = out->self = &e;
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 4);
    assert_int_equal(live.guest.blocked, 1);
    memcpy(live.guest.memory + DATA, "0123456789", 10);
    assert_int_equal(live_write(1, 10, &n), CIS_WASI_OK);
    assert_int_equal(n, 10);
    assert_memory_equal(e.got, "0123456789", 10);
    assert_int_equal(live_write(0, 1, &n), CIS_WASI_BADF);
    assert_int_equal(live_read(1, 1, &n), CIS_WASI_BADF);
    e.error = ENOSPC;
    assert_int_equal(live_write(1, 10, &n), CIS_WASI_NOSPC);
    assert_int_equal(live_read(0, 10, &n), CIS_WASI_NOSPC);
    e = (struct embedder){.most = 0};
    assert_int_equal(live_read(0, 10, &n), CIS_WASI_OK);
    assert_int_equal(n, 0);
    assert_int_equal(live_write(1, 10, &n), CIS_WASI_IO); /* takes nothing and says no reason */
    e = (struct embedder){.most = 4, .room = 8}; /* what went is told first, the reason after */
    assert_int_equal(live_write(1, 10, &n), CIS_WASI_OK);
    assert_int_equal(n, 8);
    assert_int_equal(live_write(1, 2, &n), CIS_WASI_NOSPC);
    e = (struct embedder){.most = 10, .lie = 1};
    assert_int_equal(live_read(0, 10, &n), CIS_WASI_IO);
    assert_int_equal(live_write(1, 10, &n), CIS_WASI_IO);
    live_deadline(1);
    poll(NULL, 0, 2);
    put_iov(0, DATA, 4);
    assert_ends(CIS_E_DEADLINE, "fd_read", 0, 0, 1, RESULT);
}

/* ---- pipes ---- */

static void a_pipe_is_waited_for_and_gives_what_is_there(void **state)
{
    (void)state;
    int fds[2];
    uint32_t n;
    struct later later;
    make_pipe(fds);
    live_fd(0, fds[0]);
    later_start(&later, 20, say, &fds[1]);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 5);
    assert_memory_equal(live.guest.memory + DATA, "hello", 5);
    unsigned waits = live.guest.blocked;
    later_join(&later);
    say(&fds[1]); /* what is there needs no wait */
    assert_int_equal(live_read(0, 3, &n), CIS_WASI_OK);
    assert_int_equal(n, 3);
    assert_int_equal(live.guest.blocked, waits);
    close(fds[1]);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 2);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 0);
    assert_int_equal(live_write(0, 1, &n), CIS_WASI_BADF);
    assert_true(is_blocking(fds[0]));
    close(fds[0]);
}

struct drain {
    int fd;
    size_t n;
    bool ordered;
};

static void drain(void *arg)
{
    struct drain *d = arg;
    unsigned char buf[3000];
    d->ordered = true;
    for (ssize_t n; (n = read(d->fd, buf, sizeof buf)) > 0;) {
        for (ssize_t i = 0; i < n; i++) {
            d->ordered = d->ordered && buf[i] == (unsigned char)((d->n + (size_t)i) % 251);
        }
        d->n += (size_t)n;
    }
}

static void write_all_of_it(int fds[2])
{
    const uint32_t len = MEMORY - DATA;
    uint32_t n;
    struct later later;
    struct drain d = {.fd = fds[0]};
    live_fd(1, fds[1]);
    for (uint32_t i = 0; i < len; i++) {
        live.guest.memory[DATA + i] = (uint8_t)(i % 251);
    }
    later_start(&later, 10, drain, &d);
    assert_int_equal(live_write(1, len, &n), CIS_WASI_OK);
    assert_int_equal(n, len);
    assert_true(is_blocking(fds[1]));
    close(fds[1]);
    later_join(&later);
    assert_int_equal(d.n, len);
    assert_true(d.ordered);
    close(fds[0]);
}

static void a_write_takes_everything_however_slow_the_reader(void **state)
{
    (void)state;
    int fds[2];
    make_pipe(fds);
    write_all_of_it(fds);
}

static void stdout_and_stderr_in_one_pipe_stay_in_order(void **state)
{
    (void)state;
    int fds[2];
    uint32_t n;
    char got[200] = "", expected[200] = "";
    make_pipe(fds);
    live_fd(1, fds[1]);
    live_fd(2, fds[1]);
    for (int i = 0; i < 10; i++) {
        snprintf(expected + 7 * i, 8, "line %d\n", i);
        memcpy(live.guest.memory + DATA, expected + 7 * i, 7);
        assert_int_equal(live_write(1 + (i & 1), 7, &n), CIS_WASI_OK);
    }
    assert_int_equal(read(fds[0], got, sizeof got), 70);
    assert_string_equal(got, expected);
    close_both(fds);
}

static void waiting_for_a_pipe_ends_with_the_run(void **state)
{
    (void)state;
    int fds[2], full[2];
    make_pipe(fds);
    make_pipe(full);
    fill(full[1]);
    live_fd(0, fds[0]);
    live_fd(1, full[1]);
    put_iov(0, DATA, 100);
    assert_waiting("fd_read", 0, 0, 1, RESULT);
    assert_waiting("fd_write", 1, 0, 1, RESULT);
    live.old = 1;
    assert_waiting("fd_read", 0, 0, 1, RESULT);
    assert_waiting("fd_write", 1, 0, 1, RESULT);
    assert_true(is_blocking(fds[0]) && is_blocking(full[1]));
    close_both(fds);
    close_both(full);
}

static void a_guest_that_asks_for_it_is_told_to_try_again(void **state)
{
    (void)state;
    int fds[2], full[2];
    uint32_t n;
    char one;
    make_pipe(fds);
    make_pipe(full);
    live_fd(0, fds[0]);
    live_fd(1, full[1]);
    assert_errno(OK, "fd_fdstat_set_flags", 0, CIS_WASI_FDFLAG_NONBLOCK);
    assert_errno(OK, "fd_fdstat_set_flags", 1, CIS_WASI_FDFLAG_NONBLOCK);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_AGAIN);
    assert_int_equal(n, 0xAAAAAAAA); /* no number with an error */
    assert_int_equal(live_write(1, MEMORY - DATA, &n), CIS_WASI_OK);
    assert_in_range(n, 4096, 1u << 20); /* what there was room for */
    fill(full[1]);
    assert_int_equal(live_write(1, 1, &n), CIS_WASI_AGAIN);
    assert_int_equal(live.guest.blocked, 0);
    assert_true(is_blocking(fds[0]) && is_blocking(full[1]));
    assert_int_equal(read(full[0], &one, 1), 1);
    close_both(fds);
    close_both(full);
}

static void a_descriptor_that_others_made_non_blocking_is_waited_for_all_the_same(void **state)
{
    (void)state;
    int fds[2];
    uint32_t n;
    struct later later;
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    live_fd(0, fds[0]);
    later_start(&later, 20, say, &fds[1]);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 5);
    later_join(&later);
    assert_false(is_blocking(fds[0]));
    close_both(fds);
}

static void steal(void *arg)
{
    int *fds = arg; /* a copy of the read end, the write end */
    char c;
    unsigned stolen = 0;
    fcntl(fds[0], F_SETPIPE_SZ, 4096);
    for (int i = 0; i < 3000; i++) {
        struct pollfd p = {.fd = fds[0], .events = POLLIN};
        assert_int_equal(write(fds[1], "x", 1), 1);
        if (poll(&p, 1, 0) > 0) {
            /* Both may have seen it; the one that comes second must not be stuck. */
            struct iovec iov = {&c, 1};
            stolen += preadv2(fds[0], &iov, 1, -1, RWF_NOWAIT) == 1;
        }
    }
    print_message("%u of 3000 bytes were taken\n", stolen);
}

static void bytes_that_another_reader_took_leave_nobody_stuck(void **state)
{
    (void)state;
    int fds[2];
    struct later later;
    make_pipe(fds);
    live_fd(0, fds[0]);
    later_start(&later, 0, steal, fds);
    live_deadline(300);
    put_iov(0, DATA, 1);
    int no;
    cis_code code = CIS_OK;
    uint64_t start = cis_clock_mono_ns();
    while (code == CIS_OK) {
        code = live_code("fd_read", (const uint64_t[]){0, 0, 1, RESULT}, 4, &no, NULL);
    }
    assert_int_equal(code, CIS_E_DEADLINE);
    assert_in_range(cis_clock_mono_ns() - start, 0, 5 * CIS_NS_PER_S);
    later_join(&later);
    close_both(fds);
}

/* ---- signals ---- */

static bool pending(int sig)
{
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, sig) > 0;
}

static bool blocked(int sig)
{
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    return sigismember(&set, sig) > 0;
}

static void a_pipe_without_readers_is_an_errno_and_no_signal(void **state)
{
    (void)state;
    int fds[2];
    uint32_t n;
    make_pipe(fds);
    live_fd(1, fds[1]);
    close(fds[0]);
    for (int i = 0; i < 3; i++) { /* SIGPIPE has its default action here: it would end the test */
        assert_int_equal(live_write(1, 10, &n), CIS_WASI_PIPE);
        assert_false(blocked(SIGPIPE));
    }
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    assert_int_equal(live_write(1, 10, &n), CIS_WASI_PIPE);
    assert_false(pending(SIGPIPE));
    pthread_kill(pthread_self(), SIGPIPE); /* one that is not ours stays */
    assert_int_equal(live_write(1, 10, &n), CIS_WASI_PIPE);
    assert_true(pending(SIGPIPE));
    int sig;
    sigwait(&set, &sig);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(fds[1]);
}

static void a_file_at_the_size_limit_is_an_errno_and_no_signal(void **state)
{
    (void)state;
    uint32_t n;
    FILE *file = tmpfile();
    struct rlimit before, small = {.rlim_cur = 4096};
    assert_non_null(file);
    live_fd(1, fileno(file));
    assert_int_equal(live_write(1, 1, &n), CIS_WASI_OK);
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    int first = live_write(1, 8192, &n), second = CIS_WASI_OK;
    uint32_t part = n;
    second = live_write(1, 8192, &n);
    bool held = blocked(SIGXFSZ);
    int cut = cis_host_stream_resize(&live.host.wasi_env.std[1], 1u << 20);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(held || blocked(SIGXFSZ)); /* the thread is as it was */
    assert_false(pending(SIGXFSZ));
    assert_int_equal(first, CIS_WASI_OK);
    assert_int_equal(part, 4095);
    assert_int_equal(second, CIS_WASI_FBIG);
    assert_int_equal(cut, EFBIG);
    fclose(file);
}

static void what_has_no_size_is_not_cut(void **state)
{
    (void)state;
    int fds[2];
    make_pipe(fds);
    for (uint32_t i = 0; i < 2; i++) {
        live_fd(i, fds[i]);
        assert_int_equal(cis_host_stream_resize(&live.host.wasi_env.std[i], 1), EINVAL);
    }
    close_both(fds);
}

/* ---- files, devices, directories ---- */

static int type_of(uint32_t fd)
{
    assert_errno(OK, "fd_fdstat_get", fd, RESULT);
    return live.guest.memory[RESULT];
}

static void a_file_is_read_as_far_as_fits_and_written_where_it_stands(void **state)
{
    (void)state;
    uint32_t n;
    FILE *file = tmpfile();
    assert_int_equal(ftruncate(fileno(file), 3 << 20), 0);
    assert_int_equal(pwrite(fileno(file), "end", 3, (3 << 20) - 3), 3);
    live_fd(0, fileno(file));
    assert_int_equal(live_read(0, MEMORY - DATA, &n), CIS_WASI_OK);
    assert_int_equal(n, 3 << 20);
    assert_memory_equal(live.guest.memory + DATA + n - 3, "end", 3);
    assert_int_equal(live_read(0, 10, &n), CIS_WASI_OK);
    assert_int_equal(n, 0);
    memcpy(live.guest.memory + DATA, "more", 4);
    assert_int_equal(live_write(0, 4, &n), CIS_WASI_OK); /* it is open for both, as here */
    assert_int_equal(lseek(fileno(file), 0, SEEK_CUR), (3 << 20) + 4);
    fclose(file);
}

static void a_large_file_is_moved_in_steps_between_which_the_run_may_end(void **state)
{
    (void)state;
    const uint32_t size = 20u << 20;
    uint32_t n;
    FILE *file = tmpfile();
    fake_guest_done(&live.guest);
    fake_guest_init(&live.guest, &live.host, size);
    live.guest.memory[size - 1] = 'z';
    live_fd(0, fileno(file));
    live_fd(1, fileno(file));
    assert_int_equal(live_write(1, size - DATA, &n), CIS_WASI_OK);
    assert_int_equal(n, size - DATA);
    live.guest.memory[size - 1] = 0;
    rewind(file);
    assert_int_equal(live_read(0, size - DATA, &n), CIS_WASI_OK);
    assert_int_equal(n, size - DATA);
    assert_int_equal(live.guest.memory[size - 1], 'z');
    live.guest.stop.deadline_ns = 1;
    put_iov(0, DATA, size - DATA);
    assert_ends(CIS_E_DEADLINE, "fd_write", 1, 0, 1, RESULT);
    rewind(file);
    assert_ends(CIS_E_DEADLINE, "fd_read", 0, 0, 1, RESULT);
    fclose(file);
}

enum { MANY = 200, BUFFERS = 1 << 20 };

static void what_is_neither_file_nor_pipe_is_waited_for_too(void **state)
{
    (void)state;
    uint32_t n;
    int counter = eventfd(0, EFD_CLOEXEC);
    live_fd(0, counter);
    put_iov(0, DATA, 8);
    assert_waiting("fd_read", 0, 0, 1, RESULT);
    assert_true(is_blocking(counter));
    cis_put_le64(live.guest.memory + DATA, 7);
    assert_int_equal(live_write(0, 8, &n), CIS_WASI_OK);
    assert_int_equal(live_read(0, 8, &n), CIS_WASI_OK);
    assert_int_equal(get64(DATA), 7);
    for (uint32_t i = 0; i < MANY; i++) { /* many pieces are written one by one */
        put_iov(BUFFERS + 8 * i, DATA, 8);
    }
    assert_errno(OK, "fd_write", 0, BUFFERS, MANY, RESULT);
    assert_int_equal(get32(RESULT), 8 * MANY);
    assert_int_equal(live_read(0, 8, &n), CIS_WASI_OK);
    assert_int_equal(get64(DATA), 7 * MANY);
    assert_int_equal(type_of(0), CIS_WASI_FILETYPE_UNKNOWN);
    close(counter);
}

static void devices_and_directories_answer_as_the_kernel_does(void **state)
{
    (void)state;
    uint32_t n;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC),
        full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int dir = open("/", O_RDONLY | O_CLOEXEC), zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    live_fd(0, null);
    live_fd(1, full);
    live_fd(2, dir);
    assert_int_equal(live_read(0, 10, &n), CIS_WASI_OK);
    assert_int_equal(n, 0);
    assert_int_equal(live_write(0, 10, &n), CIS_WASI_OK);
    assert_int_equal(n, 10);
    assert_int_equal(live_write(1, 10, &n), CIS_WASI_NOSPC);
    assert_int_equal(live_read(2, 10, &n), CIS_WASI_ISDIR);
    live.host.wasi_env.std[0].fd = zero;
    live.host.wasi_env.std[0].manner = 0;
    assert_int_equal(live_read(0, 1u << 20, &n), CIS_WASI_OK);
    assert_int_equal(n, 1u << 20);
    close(null);
    close(full);
    close(dir);
    assert_int_equal(live_read(2, 10, &n), CIS_WASI_BADF); /* closed behind the run's back */
    close(zero);
}

static void only_a_terminal_is_a_character_device(void **state)
{
    (void)state;
    int fds[2], master, slave, null = open("/dev/null", O_RDWR | O_CLOEXEC), pair[2];
    FILE *file = tmpfile();
    make_pipe(fds);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    live_fd(0, slave);
    live_fd(1, fds[1]);
    live_fd(2, null);
    assert_int_equal(type_of(0), CIS_WASI_FILETYPE_CHARACTER_DEVICE);
    assert_int_equal(get64(RESULT + 8) & (CIS_WASI_RIGHT_SEEK | CIS_WASI_RIGHT_TELL), 0);
    assert_int_equal(get64(RESULT + 8) & (CIS_WASI_RIGHT_READ | CIS_WASI_RIGHT_WRITE),
                     CIS_WASI_RIGHT_READ | CIS_WASI_RIGHT_WRITE);
    assert_int_equal(type_of(1), CIS_WASI_FILETYPE_UNKNOWN);
    assert_int_equal(get64(RESULT + 8) & CIS_WASI_RIGHT_READ, 0);
    assert_int_equal(type_of(2), CIS_WASI_FILETYPE_UNKNOWN);
    live_teardown(NULL);
    live_setup(NULL);
    fcntl(fileno(file), F_SETFL, O_APPEND);
    live_fd(0, fileno(file));
    live_fd(1, pair[0]);
    live_stream(2, CIS_STREAM_NULL);
    assert_int_equal(type_of(0), CIS_WASI_FILETYPE_REGULAR_FILE);
    assert_int_equal(cis_le16(live.guest.memory + RESULT + 2), CIS_WASI_FDFLAG_APPEND);
    assert_int_not_equal(get64(RESULT + 8) & CIS_WASI_RIGHT_SEEK, 0);
    assert_int_equal(type_of(1), CIS_WASI_FILETYPE_SOCKET_STREAM);
    assert_int_equal(type_of(2), CIS_WASI_FILETYPE_UNKNOWN);
    fclose(file);
    close_both(fds);
    close_both(pair);
    close(null);
    close(master);
    close(slave);
}

static void a_redirected_file_is_a_file_to_the_guest(void **state)
{
    (void)state;
    uint32_t n;
    FILE *file = tmpfile();
    struct stat st;
    int fd = fileno(file);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    lseek(fd, 0, SEEK_SET);
    live_fd(0, fd);
    live_fd(1, fd);
    assert_int_equal(live_read(0, 4, &n), CIS_WASI_OK);
    assert_errno(OK, "fd_tell", 0, RESULT);
    assert_int_equal(get64(RESULT), 4);
    assert_errno(OK, "fd_seek", 0, (uint64_t)-2, 2, RESULT);
    assert_int_equal(get64(RESULT), 8);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 8); /* for all who share it, as on Linux */
    assert_errno(INVAL, "fd_seek", 0, (uint64_t)-1, 0, RESULT);
    put_iov(0, DATA, 3);
    assert_errno(OK, "fd_pread", 0, 0, 1, 5, RESULT);
    assert_int_equal(get32(RESULT), 3);
    assert_memory_equal(live.guest.memory + DATA, "567", 3);
    assert_errno(OK, "fd_pwrite", 1, 0, 1, 0, RESULT);
    assert_errno(OK, "fd_filestat_get", 0, RESULT);
    assert_int_equal(live.guest.memory[RESULT + 16], CIS_WASI_FILETYPE_REGULAR_FILE);
    assert_int_equal(get64(RESULT + 32), 10);
    uint64_t ino = get64(RESULT + 8);
    assert_errno(OK, "fd_filestat_get", 1, RESULT);
    assert_int_equal(get64(RESULT + 8), ino); /* one file, */
    fstat(fd, &st);
    assert_int_not_equal(ino, st.st_ino); /* but which one is nobody's business */
    assert_errno(OK, "fd_filestat_set_size", 1, 5);
    assert_errno(OK, "fd_filestat_set_times", 1, 1000000001, 7, 1 | 4);
    assert_errno(OK, "fd_datasync", 1);
    assert_errno(OK, "fd_sync", 1);
    fstat(fd, &st);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(st.st_atim.tv_sec, 1);
    assert_int_equal(st.st_atim.tv_nsec, 1);
    assert_int_equal(st.st_mtim.tv_nsec, 7);
    assert_errno(OK, "fd_filestat_set_times", 1, 5, 2000000002, 4); /* one of both */
    fstat(fd, &st);
    assert_true(st.st_atim.tv_sec == 1 && st.st_atim.tv_nsec == 1);
    assert_true(st.st_mtim.tv_sec == 2 && st.st_mtim.tv_nsec == 2);
    assert_errno(OK, "fd_filestat_set_times", 1, 3000000003, 5, 1);
    fstat(fd, &st);
    assert_true(st.st_atim.tv_sec == 3 && st.st_mtim.tv_sec == 2);
    char got[8] = "";
    assert_int_equal(pread(fd, got, sizeof got, 0), 5);
    assert_string_equal(got, "56734");
    fclose(file);
}

/* `cis run < in >> log`: neither is granted as a file. */
static void a_stream_is_changed_only_as_far_as_it_is_open_for_that(void **state)
{
    (void)state;
    static const struct {
        int flags, times, size;
    } cases[] = {{O_RDONLY, CIS_WASI_BADF, CIS_WASI_INVAL},
                 {O_RDONLY | O_APPEND, CIS_WASI_BADF, CIS_WASI_PERM},
                 {O_WRONLY | O_APPEND, CIS_WASI_OK, CIS_WASI_PERM},
                 {O_RDWR | O_APPEND, CIS_WASI_OK, CIS_WASI_PERM},
                 {O_WRONLY, CIS_WASI_OK, CIS_WASI_OK},
                 {O_RDWR, CIS_WASI_OK, CIS_WASI_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[] = "/tmp/cis-stream-XXXXXX";
        int made = mkstemp(name), fd = open(name, cases[i].flags | O_CLOEXEC);
        struct stat st;
        assert_int_equal(write(made, "0123456789", 10), 10);
        live_teardown(NULL);
        live_setup(NULL);
        live_fd(1, fd);
        bool writes = cases[i].times == CIS_WASI_OK, cuts = cases[i].size == CIS_WASI_OK;
        fstat(fd, &st);
        struct timespec before = st.st_mtim;
        assert_int_equal(CALL("fd_filestat_set_times", 1, 1000000001, 7, 1 | 4), cases[i].times);
        fstat(fd, &st);
        assert_int_equal(st.st_mtim.tv_sec, writes ? 0 : before.tv_sec);
        assert_int_equal(CALL("fd_filestat_set_size", 1, 5), cases[i].size);
        assert_int_equal(CALL("fd_filestat_set_size", 1, 0), cases[i].size);
        fstat(fd, &st);
        assert_int_equal(st.st_size, cuts ? 0 : 10);
        assert_errno(OK, "fd_fdstat_get", 1, RESULT);
        uint64_t rights = get64(RESULT + 8);
        assert_int_equal((rights & CIS_WASI_RIGHT_SET_TIMES) != 0, writes);
        assert_int_equal((rights & CIS_WASI_RIGHT_SET_SIZE) != 0, cuts);
        close(fd);
        close(made);
        unlink(name);
    }
}

static void a_guest_that_appends_does_so_by_itself(void **state)
{
    (void)state;
    uint32_t n;
    char got[16] = "";
    FILE *file = tmpfile();
    int fd = fileno(file);
    assert_int_equal(write(fd, "0123", 4), 4);
    lseek(fd, 0, SEEK_SET);
    live_fd(1, fd);
    assert_errno(OK, "fd_fdstat_set_flags", 1, CIS_WASI_FDFLAG_APPEND);
    memcpy(live.guest.memory + DATA, "ab", 2);
    assert_int_equal(live_write(1, 2, &n), CIS_WASI_OK);
    assert_int_equal(fcntl(fd, F_GETFL) & O_APPEND, 0); /* nobody else appends now */
    assert_errno(OK, "fd_tell", 1, RESULT);
    assert_int_equal(get64(RESULT), 6);
    assert_errno(OK, "fd_fdstat_set_flags", 1, 0);
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(live_write(1, 2, &n), CIS_WASI_OK);
    assert_int_equal(pread(fd, got, sizeof got, 0), 6);
    assert_string_equal(got, "ab23ab");
    fclose(file);
}

static void a_pipe_is_no_file(void **state)
{
    (void)state;
    int fds[2];
    make_pipe(fds);
    live_fd(0, fds[0]);
    live_fd(1, fds[1]);
    put_iov(0, DATA, 3);
    assert_errno(SPIPE, "fd_tell", 0, RESULT);
    assert_errno(SPIPE, "fd_seek", 0, 0, 0, RESULT);
    assert_errno(SPIPE, "fd_pread", 0, 0, 1, 0, RESULT);
    assert_errno(SPIPE, "fd_pwrite", 1, 0, 1, 0, RESULT);
    assert_errno(INVAL, "fd_sync", 1);
    assert_errno(INVAL, "fd_filestat_set_size", 1, 5);
    close_both(fds);
}

static void a_right_that_was_given_away_is_missed(void **state)
{
    (void)state;
    uint32_t n;
    live_stream(0, CIS_STREAM_NULL);
    live_stream(1, CIS_STREAM_NULL);
    assert_errno(OK, "fd_fdstat_set_rights", 0, CIS_WASI_RIGHT_WRITE, 0);
    assert_errno(OK, "fd_fdstat_set_rights", 1, CIS_WASI_RIGHT_READ, 0);
    assert_int_equal(live_read(0, 1, &n), CIS_WASI_NOTCAPABLE);
    assert_int_equal(live_write(0, 1, &n), CIS_WASI_OK);
    assert_int_equal(live_write(1, 1, &n), CIS_WASI_NOTCAPABLE);
    assert_int_equal(live_read(1, 1, &n), CIS_WASI_OK);
}

/* ---- terminals ---- */

static void type_line(void *arg)
{
    assert_int_equal(write(*(int *)arg, "a line\n", 7), 7);
}

static void a_terminal_gives_lines_and_takes_output(void **state)
{
    (void)state;
    int master, slave;
    uint32_t n;
    char got[64] = "";
    struct later later;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    live_fd(0, slave);
    live_fd(1, slave);
    unsigned before = open_descriptors();
    later_start(&later, 20, type_line, &master);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    later_join(&later);
    assert_int_equal(n, 7);
    assert_memory_equal(live.guest.memory + DATA, "a line\n", 7);
    assert_int_equal(live_write(1, 7, &n), CIS_WASI_OK);
    assert_int_equal(n, 7);
    for (size_t sum = 0; sum < 16;) { /* the echo of what was typed, and what was written */
        sum += (size_t)read(master, got + sum, sizeof got - sum);
    }
    assert_string_equal(got, "a line\r\na line\r\n");
    assert_int_equal(write(master, "\x04", 1), 1); /* the end of input */
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 0);
    assert_true(is_blocking(slave));
    assert_int_equal(open_descriptors(), before);
    close(master);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK); /* hung up */
    assert_int_equal(n, 0);
    assert_int_equal(live_write(1, 7, &n), CIS_WASI_IO);
    close(slave);
}

static void a_terminal_is_used_only_in_the_direction_it_was_opened_in(void **state)
{
    (void)state;
    int master, slave;
    uint32_t n;
    char path[64];
    assert_int_equal(openpty(&master, &slave, path, NULL, NULL), 0);
    int in = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    int out = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    live_fd(0, in);
    live_fd(1, out);
    assert_int_equal(live_write(0, 7, &n), CIS_WASI_BADF);
    type_line(&master);
    assert_int_equal(live_read(1, 7, &n), CIS_WASI_BADF);
    assert_int_equal(live_read(0, 7, &n), CIS_WASI_OK);
    assert_int_equal(live_write(1, 7, &n), CIS_WASI_OK);
    close(in);
    close(out);
    close(slave);
    close(master);
}

static void waiting_for_a_terminal_ends_with_the_run(void **state)
{
    (void)state;
    int master, slave;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    live_fd(0, slave);
    live_fd(1, slave);
    put_iov(0, DATA, 100000);
    memset(live.guest.memory + DATA, '\n', 100000);
    assert_waiting("fd_read", 0, 0, 1, RESULT);
    assert_waiting("fd_write", 1, 0, 1, RESULT); /* nobody reads the other side */
    assert_true(is_blocking(slave));
    close(master);
    close(slave);
}

static void the_side_of_a_terminal_that_controls_it_is_not_opened_again(void **state)
{
    (void)state;
    int master, slave;
    uint32_t n;
    char got[64] = "";
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    live_fd(1, master);
    memcpy(live.guest.memory + DATA, "typed\n", 6);
    assert_int_equal(live_write(1, 6, &n), CIS_WASI_OK);
    assert_int_equal(read(slave, got, sizeof got), 6);
    assert_string_equal(got, "typed\n");
    assert_int_equal(live_read(1, 100, &n), CIS_WASI_OK); /* the echo */
    assert_int_equal(n, 7);
    put_iov(0, DATA, 100);
    assert_waiting("fd_read", 1, 0, 1, RESULT);
    put_iov(0, DATA, 100000);
    memset(live.guest.memory + DATA, '\n', 100000);
    assert_waiting("fd_write", 1, 0, 1, RESULT); /* nobody reads the other side */
    close(master);
    close(slave);
}

/* ---- older kernels ---- */

/* Without preadv2 and pwritev2 (before Linux 4.6; pipes could not be asked before 6.4): of this
 * thread and those it starts. */
static void forget_calls(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_preadv2, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* Without RWF_NOSIGNAL (before 6.18). */
static void forget_nosignal(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x100, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void *on_an_older_kernel(void *arg)
{
    void (*const forget)(void) = *(void (**)(void))arg;
    int fds[2];
    uint32_t n;
    forget();
    void (*const again[])(void **) = {a_pipe_is_waited_for_and_gives_what_is_there,
                                      a_write_takes_everything_however_slow_the_reader,
                                      waiting_for_a_pipe_ends_with_the_run,
                                      a_guest_that_asks_for_it_is_told_to_try_again,
                                      a_pipe_without_readers_is_an_errno_and_no_signal,
                                      a_file_at_the_size_limit_is_an_errno_and_no_signal,
                                      a_guest_that_appends_does_so_by_itself,
                                      a_file_is_read_as_far_as_fits_and_written_where_it_stands};
    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        live_teardown(NULL);
        live_setup(NULL);
        again[i](NULL);
    }
    live_teardown(NULL);
    live_setup(NULL);
    make_pipe(fds);
    live_fd(0, fds[0]);
    unsigned before = open_descriptors();
    say(&fds[1]);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(open_descriptors(), before);
    close_both(fds);
    return NULL;
}

static void on_a_kernel_that(void (*forget)(void))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, on_an_older_kernel, &forget), 0);
    pthread_join(thread, NULL);
}

static void pipes_work_on_kernels_that_cannot_be_asked_not_to_wait(void **state)
{
    (void)state;
    on_a_kernel_that(forget_calls);
}

static void pipes_work_on_kernels_that_cannot_be_asked_for_no_signal(void **state)
{
    (void)state;
    on_a_kernel_that(forget_nosignal);
}

/* ---- hostile ---- */

static void hostile_buffers_move_nothing_on_any_kind(void **state)
{
    (void)state;
    static const struct {
        uint32_t iovs, n, out, buf, len;
        int expected;
    } cases[] = {{0, 1, RESULT, OUTSIDE, 4, CIS_WASI_FAULT},
                 {0, 1, RESULT, DATA, UINT32_MAX, CIS_WASI_FAULT},
                 {0, 1, RESULT, MEMORY - 3, 4, CIS_WASI_FAULT},
                 {0, 1, MEMORY - 3, DATA, 4, CIS_WASI_FAULT},
                 {0, 1, OUTSIDE, DATA, 4, CIS_WASI_FAULT},
                 {MEMORY - 7, 1, RESULT, DATA, 4, CIS_WASI_FAULT},
                 {OUTSIDE, 1, RESULT, DATA, 4, CIS_WASI_FAULT},
                 {0, 1025, RESULT, DATA, 4, CIS_WASI_INVAL},
                 {0, UINT32_MAX, RESULT, DATA, 4, CIS_WASI_INVAL},
                 {MEMORY - 8, 1024, RESULT, DATA, 4, CIS_WASI_FAULT}};
    int fds[2], waiting = 0;
    make_pipe(fds);
    struct embedder e = {.most = 10};
    for (live.old = 0; live.old < 2; live.old++) {
        for (int kind = CIS_STREAM_NULL; kind <= CIS_STREAM_CALL; kind++) {
            int was = live.old;
            live_teardown(NULL);
            live_setup(NULL);
            live.old = was;
            struct cis_host_stream *s = live_stream(0, (enum cis_stream_kind)kind);
            s->bytes = cis_bytes_of("abc", 3);
            s->read = embedder_read;
            s->write = embedder_write;
            s->self = &e;
            live_stream(1, (enum cis_stream_kind)kind)->fd = fds[1];
            live.host.wasi_env.std[1].write = embedder_write;
            live.host.wasi_env.std[1].self = &e;
            s->fd = fds[0];
            for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                put_iov(0, cases[i].buf, cases[i].len);
                if (kind != CIS_STREAM_KEEP) {
                    assert_int_equal(CALL("fd_read", 0, cases[i].iovs, cases[i].n, cases[i].out),
                                     cases[i].expected);
                }
                if (kind != CIS_STREAM_BYTES) {
                    assert_int_equal(CALL("fd_write", 1, cases[i].iovs, cases[i].n, cases[i].out),
                                     cases[i].expected);
                }
            }
            assert_int_equal(live.host.budget.peak, live.at_start);
            assert_int_equal(s->pos, 0);
        }
    }
    live.old = 0;
    assert_int_equal(e.calls, 0);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    waiting = poll(&p, 1, 0);
    assert_int_equal(waiting, 0);
    close_both(fds);
}

static void more_than_four_gibibytes_in_one_call_are_refused(void **state)
{
    (void)state;
    live_stream(1, CIS_STREAM_NULL);
    assert_errno(OK, "fd_close", 0);
    for (uint32_t i = 0; i < 1024; i++) {
        put_iov(DATA + 8 * i, 0, MEMORY);
    }
    assert_errno(INVAL, "fd_write", 1, DATA, 1024, RESULT);
    assert_int_equal(live.host.wasi_env.std[1].dropped, 0);
}

static void moving_bytes_costs_fuel(void **state)
{
    (void)state;
    static const char zeros[6400];
    uint32_t n;
    live_stream(0, CIS_STREAM_BYTES)->bytes = cis_bytes_of(zeros, sizeof zeros);
    live_stream(1, CIS_STREAM_NULL);
    assert_int_equal(live_write(1, 64000, &n), CIS_WASI_OK);
    assert_int_equal(live.guest.burned, 1000);
    assert_int_equal(live_read(0, 64000, &n), CIS_WASI_OK); /* by what was read, not by the room */
    assert_int_equal(live.guest.burned, 1100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(bytes_are_read_to_their_end_and_cannot_be_written),
        T(what_is_kept_is_cut_at_its_cap_and_the_run_goes_on),
        T(a_gibibyte_to_a_closed_or_null_or_full_stream_costs_no_memory),
        T(null_reads_end_at_once_and_a_closed_stream_is_no_descriptor),
        T(an_embedders_functions_are_called_without_a_slot),
        T(a_pipe_is_waited_for_and_gives_what_is_there),
        T(a_write_takes_everything_however_slow_the_reader),
        T(stdout_and_stderr_in_one_pipe_stay_in_order),
        T(waiting_for_a_pipe_ends_with_the_run),
        T(a_guest_that_asks_for_it_is_told_to_try_again),
        T(a_descriptor_that_others_made_non_blocking_is_waited_for_all_the_same),
        T(bytes_that_another_reader_took_leave_nobody_stuck),
        T(a_pipe_without_readers_is_an_errno_and_no_signal),
        T(a_file_at_the_size_limit_is_an_errno_and_no_signal),
        T(a_file_is_read_as_far_as_fits_and_written_where_it_stands),
        T(a_stream_is_changed_only_as_far_as_it_is_open_for_that),
        T(a_large_file_is_moved_in_steps_between_which_the_run_may_end),
        T(what_is_neither_file_nor_pipe_is_waited_for_too),
        T(devices_and_directories_answer_as_the_kernel_does),
        T(what_has_no_size_is_not_cut),
        T(only_a_terminal_is_a_character_device),
        T(a_redirected_file_is_a_file_to_the_guest),
        T(a_guest_that_appends_does_so_by_itself),
        T(a_pipe_is_no_file),
        T(a_right_that_was_given_away_is_missed),
        T(a_terminal_gives_lines_and_takes_output),
        T(a_terminal_is_used_only_in_the_direction_it_was_opened_in),
        T(waiting_for_a_terminal_ends_with_the_run),
        T(the_side_of_a_terminal_that_controls_it_is_not_opened_again),
        T(pipes_work_on_kernels_that_cannot_be_asked_not_to_wait),
        T(pipes_work_on_kernels_that_cannot_be_asked_for_no_signal),
        T(hostile_buffers_move_nothing_on_any_kind),
        T(more_than_four_gibibytes_in_one_call_are_refused),
        T(moving_bytes_costs_fuel),
    };
    return cmocka_run_group_tests_name("wasi_streams", tests, NULL, NULL);
}
