/* poll_oneoff over clocks, streams, files, sockets and listeners together. */
#include "live.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include "wasi/p1/fds.h"

#define SUBS 4096u
#define EVENTS (2u << 20)
enum { CLOCK, READ, WRITE };

static size_t sub_size(void)
{
    return live.old != 0 ? 56 : 48;
}

static void put_clock(uint32_t i, uint32_t id, uint64_t timeout, uint16_t flags)
{
    uint8_t *p = live.guest.memory + SUBS + i * sub_size();
    size_t shift = live.old != 0 ? 8 : 0;
    memset(p, 0, sub_size());
    cis_put_le64(p, 1000 + i);
    cis_put_le32(p + 16 + shift, id);
    cis_put_le64(p + 24 + shift, timeout);
    cis_put_le16(p + 40 + shift, flags);
}

static void put_fd(uint32_t i, uint8_t tag, uint32_t fd)
{
    uint8_t *p = live.guest.memory + SUBS + i * sub_size();
    memset(p, 0, sub_size());
    cis_put_le64(p, 1000 + i);
    p[8] = tag;
    cis_put_le32(p + 16, fd);
}

/* How many events; they are read by the functions below. */
static uint32_t poll_for(uint32_t n)
{
    assert_errno(OK, "poll_oneoff", SUBS, EVENTS, n, RESULT);
    return get32(RESULT);
}

static uint32_t event_of(uint32_t i) /* the subscription it belongs to */
{
    return (uint32_t)get64(EVENTS + 32 * i) - 1000;
}

static int error_of(uint32_t i)
{
    return cis_le16(live.guest.memory + EVENTS + 32 * i + 8);
}

static uint64_t bytes_of(uint32_t i)
{
    return get64(EVENTS + 32 * i + 16);
}

static int flags_of(uint32_t i)
{
    return cis_le16(live.guest.memory + EVENTS + 32 * i + 24);
}

static uint64_t clock_now(uint32_t id)
{
    assert_errno(OK, "clock_time_get", id, 1, RESULT + 8);
    return get64(RESULT + 8);
}

/* An entry of the descriptor table for a socket that the test owns. */
static uint32_t add_socket(int fd)
{
    struct cis_wasi_fd entry = {.kind = CIS_WASI_SOCKET, .borrowed = true, .sock = fd};
    uint32_t at;
    if (live.host.wasi == NULL) {
        assert_errno(OK, "sched_yield", 0);
    }
    assert_int_equal(cis_wasi_add(live.host.wasi, &entry, &at), 0);
    return at;
}

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

static void hang_up(void *arg)
{
    close(*(int *)arg);
}

/* ---- clocks ---- */

static void the_earliest_of_clocks_of_both_kinds_ends_the_wait(void **state)
{
    (void)state;
    for (live.old = 0; live.old < 2; live.old++) {
        uint64_t start = cis_clock_mono_ns();
        put_clock(0, 0, clock_now(0) + 60 * CIS_NS_PER_S, 1);
        put_clock(1, 1, clock_now(1) + 20 * MS, 1);
        put_clock(2, 0, 60 * CIS_NS_PER_S, 0);
        put_clock(3, 1, UINT64_MAX, 0);
        assert_int_equal(poll_for(4), 1);
        assert_int_equal(event_of(0), 1);
        assert_in_range(cis_clock_mono_ns() - start, 20 * MS, 5 * CIS_NS_PER_S);
        put_clock(0, 0, clock_now(0), 1); /* the one of before is due already, this one now */
        assert_int_equal(poll_for(4), 2);
        assert_int_equal(event_of(0), 0);
        assert_int_equal(event_of(1), 1);
        put_clock(0, 0, clock_now(0) + 20 * MS, 1);
        put_clock(1, 1, clock_now(1) + 60 * CIS_NS_PER_S, 1);
        start = cis_clock_mono_ns();
        assert_int_equal(poll_for(4), 1);
        assert_int_equal(event_of(0), 0);
        assert_in_range(cis_clock_mono_ns() - start, 19 * MS, 5 * CIS_NS_PER_S);
    }
    live.old = 0;
}

static void a_sleep_is_exact_and_not_rounded_to_milliseconds(void **state)
{
    (void)state;
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 10000 && best >= 900000; i++) { /* a busy machine may wake it late */
        put_clock(0, 1, 100000, 0);
        uint64_t start = cis_clock_mono_ns();
        assert_int_equal(poll_for(1), 1);
        uint64_t took = cis_clock_mono_ns() - start;
        assert_true(took >= 100000);
        best = took < best ? took : best;
    }
    assert_true(best < 900000);
}

static void a_fixed_clock_still_lets_a_guest_sleep(void **state)
{
    (void)state;
    live.host.fixed_clock = true;
    live.host.clock_ns = 5 * CIS_NS_PER_S;
    put_clock(0, 1, 5 * CIS_NS_PER_S + 10 * MS, 1);
    uint64_t start = cis_clock_mono_ns();
    assert_int_equal(poll_for(1), 1);
    assert_in_range(cis_clock_mono_ns() - start, 10 * MS, 5 * CIS_NS_PER_S);
}

/* ---- descriptors ---- */

static void what_comes_first_is_told_a_pipe_or_a_clock(void **state)
{
    (void)state;
    int fds[2];
    struct later later;
    make_pipe(fds);
    live_fd(0, fds[0]);
    for (live.old = 0; live.old < 2; live.old++) {
        put_fd(0, READ, 0);
        put_clock(1, 1, 20 * MS, 0);
        assert_int_equal(poll_for(2), 1);
        assert_int_equal(event_of(0), 1);
        put_clock(1, 1, 60 * CIS_NS_PER_S, 0);
        later_start(&later, 20, say, &fds[1]);
        assert_int_equal(poll_for(2), 1);
        later_join(&later);
        assert_int_equal(event_of(0), 0);
        assert_int_equal(bytes_of(0), 5);
        assert_int_equal(flags_of(0), 0);
        assert_int_equal(error_of(0), 0);
        assert_int_equal(live.guest.memory[EVENTS + 10], READ);
        put_clock(1, 1, 0, 0);
        assert_int_equal(poll_for(2), 2); /* both are ready: both are told */
        uint32_t n;
        assert_int_equal(live_read(0, 10, &n), CIS_WASI_OK);
    }
    live.old = 0;
    assert_int_equal(live.guest.blocked, live.guest.unblocked);
    later_start(&later, 20, hang_up, &fds[1]);
    put_fd(0, READ, 0);
    assert_int_equal(poll_for(1), 1);
    later_join(&later);
    assert_int_equal(flags_of(0), CIS_WASI_EVENT_HANGUP);
    assert_int_equal(bytes_of(0), 0);
    close(fds[0]);
}

static void room_in_a_pipe_is_waited_for(void **state)
{
    (void)state;
    int fds[2];
    char got[65536];
    make_pipe(fds);
    live_fd(1, fds[1]);
    put_fd(0, WRITE, 1);
    assert_int_equal(poll_for(1), 1);
    assert_true(bytes_of(0) > 0);
    fill(fds[1]);
    put_clock(1, 1, 10 * MS, 0);
    assert_int_equal(poll_for(2), 1);
    assert_int_equal(event_of(0), 1);
    assert_true(read(fds[0], got, sizeof got) > 0);
    assert_int_equal(poll_for(1), 1);
    close(fds[0]);
    assert_int_equal(poll_for(1), 1); /* nobody reads: ready to fail */
    assert_int_equal(flags_of(0), CIS_WASI_EVENT_HANGUP);
    close(fds[1]);
}

static void a_descriptor_in_the_wrong_direction_is_an_error_of_its_event(void **state)
{
    (void)state;
    int fds[2];
    make_pipe(fds);
    live_fd(0, fds[0]);
    live_fd(1, fds[1]);
    live_stream(2, CIS_STREAM_CLOSED);
    put_fd(0, WRITE, 0);
    put_fd(1, READ, 1);
    put_fd(2, WRITE, 2);
    put_fd(3, READ, 77);
    put_fd(4, WRITE, UINT32_MAX);
    put_clock(5, 1, 60 * CIS_NS_PER_S, 0);
    assert_int_equal(poll_for(6), 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(event_of(i), i);
        assert_int_equal(error_of(i), CIS_WASI_BADF);
    }
    assert_errno(OK, "fd_fdstat_set_rights", 1, CIS_WASI_RIGHT_WRITE, 0);
    put_fd(0, WRITE, 1);
    assert_int_equal(poll_for(1), 1);
    assert_int_equal(error_of(0), CIS_WASI_NOTCAPABLE);
    close_both(fds);
    put_fd(0, READ, 0); /* closed behind the run's back */
    assert_int_equal(poll_for(1), 1);
    assert_int_equal(error_of(0), CIS_WASI_BADF);
}

static void streams_that_never_wait_are_ready(void **state)
{
    (void)state;
    live_stream(0, CIS_STREAM_BYTES)->bytes = cis_bytes_of("abc", 3);
    live_stream(1, CIS_STREAM_KEEP);
    live_stream(2, CIS_STREAM_NULL);
    put_fd(0, READ, 0);
    put_fd(1, WRITE, 1);
    put_fd(2, WRITE, 2);
    put_fd(3, READ, 2);
    assert_int_equal(poll_for(4), 4);
    assert_int_equal(bytes_of(0), 3);
    assert_int_equal(flags_of(3), CIS_WASI_EVENT_HANGUP);
    assert_int_equal(live.guest.blocked, 0);
}

static void files_and_directories_are_ready_at_once(void **state)
{
    (void)state;
    static const struct cis_wasi_env_dir dir = {.path = {"/", 1}};
    struct cis_wasi_fd file = {.kind = CIS_WASI_FILE};
    struct cis_wasi_fd directory = {.kind = CIS_WASI_DIR, .preopen = &dir};
    uint32_t at, below;
    FILE *host = tmpfile();
    live_fd(0, fileno(host));
    assert_errno(OK, "sched_yield", 0);
    assert_int_equal(cis_wasi_add(live.host.wasi, &file, &at), 0);
    assert_int_equal(cis_wasi_add(live.host.wasi, &directory, &below), 0);
    put_fd(0, READ, at);
    put_fd(1, WRITE, at);
    put_fd(2, READ, below);
    put_fd(3, READ, 0);
    put_clock(4, 1, 60 * CIS_NS_PER_S, 0);
    assert_int_equal(poll_for(5), 4);
    assert_int_equal(live.guest.blocked, 1); /* by sched_yield */
    /* They were only numbers here: nothing is behind them to be closed. */
    *cis_wasi_at(live.host.wasi, at) = (struct cis_wasi_fd){.kind = CIS_WASI_STREAM};
    *cis_wasi_at(live.host.wasi, below) = (struct cis_wasi_fd){.kind = CIS_WASI_STREAM};
    fclose(host);
}

static void sockets_and_listeners_are_waited_for(void **state)
{
    (void)state;
    int pair[2], listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 5), 0);
    getsockname(listener, (struct sockaddr *)&a, &len);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    live.host.wasi_env.listeners = &listener;
    live.host.wasi_env.nlisteners = 1;
    uint32_t at = add_socket(pair[0]);
    put_fd(0, READ, 3);
    put_fd(1, READ, at);
    put_clock(2, 1, 20 * MS, 0);
    assert_int_equal(poll_for(3), 1);
    assert_int_equal(event_of(0), 2);
    put_fd(2, WRITE, at);
    assert_int_equal(poll_for(3), 1); /* one socket in two of them: only what is asked for */
    assert_int_equal(event_of(0), 2);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&a, sizeof a), 0);
    say(&pair[1]);
    assert_int_equal(poll_for(3), 3);
    assert_int_equal(event_of(0), 0);
    assert_int_equal(bytes_of(0), 1);
    assert_int_equal(bytes_of(1), 5);
    shutdown(pair[1], SHUT_WR);
    assert_int_equal(poll_for(3), 3);
    assert_int_equal(flags_of(1), CIS_WASI_EVENT_HANGUP);
    assert_int_equal(flags_of(2), 0); /* there is still somebody to write to */
    close_both(pair);
    close(client);
    close(listener);
}

static void a_wait_ends_with_the_run(void **state)
{
    (void)state;
    int fds[2], full[2];
    make_pipe(fds);
    make_pipe(full);
    fill(full[1]);
    live_fd(0, fds[0]);
    live_fd(1, full[1]);
    for (live.old = 0; live.old < 2; live.old++) {
        put_fd(0, READ, 0);
        put_fd(1, WRITE, 1);
        put_clock(2, 1, UINT64_MAX, 0);
        put_clock(3, 0, UINT64_MAX, 1);
        assert_waiting("poll_oneoff", SUBS, EVENTS, 4, RESULT);
        assert_waiting("poll_oneoff", SUBS, EVENTS, 2, RESULT);
    }
    live.old = 0;
    assert_true(is_blocking(fds[0]) && is_blocking(full[1]));
    close_both(fds);
    close_both(full);
}

/* ---- many ---- */

static void hundreds_of_descriptors_are_told_apart(void **state)
{
    (void)state;
    enum { N = 200 };
    int fds[N][2];
    uint32_t at[N];
    for (uint32_t i = 0; i < N; i++) {
        make_pipe(fds[i]);
        at[i] = add_socket(fds[i][0]);
    }
    uint64_t used = live.host.budget.used;
    for (uint32_t i = 0; i < 2 * N; i++) {
        put_fd(i, READ, at[i % N]);
    }
    say(&fds[150][1]);
    assert_int_equal(poll_for(2 * N), 2);
    assert_int_equal(event_of(0), 150);
    assert_int_equal(event_of(1), N + 150);
    for (uint32_t i = 0; i < N; i += 3) {
        say(&fds[i][1]);
    }
    assert_int_equal(poll_for(N), 67); /* every third, 150 among them */
    for (uint32_t i = 0; i < 67; i++) {
        assert_int_equal(event_of(i), 3 * i);
    }
    assert_int_equal(live.host.budget.used, used);
    assert_true(live.host.budget.peak > used); /* it was charged while it lasted */
    live.host.budget.limit = used + 1000;
    assert_errno(NOMEM, "poll_oneoff", SUBS, EVENTS, N, RESULT);
    assert_int_equal(live.host.budget.used, used);
    for (uint32_t i = 0; i < N; i++) {
        close_both(fds[i]);
    }
}

static void more_descriptors_than_any_poll_takes_are_refused(void **state)
{
    (void)state;
    enum { N = 4097 };
    struct rlimit before, more;
    getrlimit(RLIMIT_NOFILE, &before);
    more = before;
    more.rlim_cur = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &more);
    int fds[2], *copies = calloc(N, sizeof *copies);
    make_pipe(fds);
    live.host.wasi_env.files_max = 2 * N;
    uint32_t n = 0;
    for (; n < N && (copies[n] = fcntl(fds[0], F_DUPFD_CLOEXEC, 3)) >= 0; n++) {
        put_fd(n, READ, add_socket(copies[n]));
    }
    if (n == N) {
        assert_errno(INVAL, "poll_oneoff", SUBS, EVENTS, N, RESULT);
        say(&fds[1]);
        assert_int_equal(poll_for(N - 1), N - 1);
    } else {
        print_message("this machine allows only %u descriptors\n", n);
    }
    for (uint32_t i = 0; i < n; i++) {
        close(copies[i]);
    }
    close_both(fds);
    free(copies);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void a_million_on_one_pipe_are_charged_wait_once_and_end_at_the_deadline(void **state)
{
    (void)state;
    const uint32_t n = 1000000;
    const uint64_t size = 81ull << 20;
    int fds[2];
    make_pipe(fds);
    live_fd(0, fds[0]);
    fake_guest_done(&live.guest);
    fake_guest_init(&live.guest, &live.host, size);
    live.guest.burned = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *p = live.guest.memory + 48ull * i;
        memset(p, 0, 48);
        p[8] = READ;
    }
    say(&fds[1]);
    assert_errno(OK, "poll_oneoff", 0, 48 * n, n, 80 * n);
    assert_int_equal(get32(80 * n), n);
    assert_int_equal(live.guest.burned, n);
    assert_int_equal(live.host.budget.peak, live.at_start); /* it is one descriptor */
    char five[5];
    assert_int_equal(read(fds[0], five, 5), 5);
    live_deadline(1000);
    uint64_t start = cis_clock_mono_ns();
    assert_ends(CIS_E_DEADLINE, "poll_oneoff", 0, 48 * n, n, 80 * n);
    assert_in_range(cis_clock_mono_ns() - start, 1000 * MS, 5 * CIS_NS_PER_S);
    live.guest.stop.deadline_ns = 1;
    assert_ends(CIS_E_DEADLINE, "poll_oneoff", 0, 48 * n, n, 80 * n);
    close_both(fds);
}

/* ---- hostile ---- */

static void hostile_arrays_are_refused_before_anything_is_waited_for(void **state)
{
    (void)state;
    int fds[2];
    make_pipe(fds);
    live_fd(0, fds[0]);
    for (live.old = 0; live.old < 2; live.old++) {
        uint32_t size = (uint32_t)sub_size();
        put_fd(0, READ, 0);
        assert_errno(INVAL, "poll_oneoff", SUBS, EVENTS, 0, RESULT);
        assert_errno(FAULT, "poll_oneoff", MEMORY - size + 1, EVENTS, 1, RESULT);
        assert_errno(FAULT, "poll_oneoff", SUBS, MEMORY - 31, 1, RESULT);
        assert_errno(FAULT, "poll_oneoff", SUBS, EVENTS, 1, MEMORY - 3);
        assert_errno(FAULT, "poll_oneoff", SUBS, EVENTS, UINT32_MAX, RESULT);
        assert_errno(FAULT, "poll_oneoff", OUTSIDE, OUTSIDE, 1, OUTSIDE);
        put_fd(1, 3, 0); /* no such event */
        assert_errno(INVAL, "poll_oneoff", SUBS, EVENTS, 2, RESULT);
    }
    live.old = 0;
    assert_int_equal(live.guest.blocked, 0);
    close_both(fds);
}

static void events_over_their_own_subscriptions_stay_in_memory(void **state)
{
    (void)state;
    int fds[2];
    make_pipe(fds);
    say(&fds[1]);
    live_fd(0, fds[0]);
    for (uint32_t shift = 0; shift < 64; shift += 4) {
        for (uint32_t i = 0; i < 100; i++) {
            put_fd(i, READ, 0);
        }
        assert_errno(OK, "poll_oneoff", SUBS, SUBS + shift, 100, RESULT);
        assert_in_range(get32(RESULT), 1, 100);
    }
    close_both(fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_earliest_of_clocks_of_both_kinds_ends_the_wait),
        T(a_sleep_is_exact_and_not_rounded_to_milliseconds),
        T(a_fixed_clock_still_lets_a_guest_sleep),
        T(what_comes_first_is_told_a_pipe_or_a_clock),
        T(room_in_a_pipe_is_waited_for),
        T(a_descriptor_in_the_wrong_direction_is_an_error_of_its_event),
        T(streams_that_never_wait_are_ready),
        T(files_and_directories_are_ready_at_once),
        T(sockets_and_listeners_are_waited_for),
        T(a_wait_ends_with_the_run),
        T(hundreds_of_descriptors_are_told_apart),
        T(more_descriptors_than_any_poll_takes_are_refused),
        T(a_million_on_one_pipe_are_charged_wait_once_and_end_at_the_deadline),
        T(hostile_arrays_are_refused_before_anything_is_waited_for),
        T(events_over_their_own_subscriptions_stay_in_memory),
    };
    return cmocka_run_group_tests_name("wasi_poll", tests, NULL, NULL);
}
