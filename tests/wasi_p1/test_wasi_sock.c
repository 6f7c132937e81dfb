/* Sockets: accepting from inherited listeners, receiving and sending with every flag, ends of both
 * sides, and that waiting for a peer ends with the run. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "wasi/p1/fds.h"

enum { PEEK = 1, WAITALL = 2 };
enum { SHUT_READ = 1, SHUT_WRITE = 2 };
#define LISTENER 3u

static int listener, client;
static struct sockaddr_in address;

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* One listener on the loopback, as descriptor 3. */
static int setup(void **state)
{
    live_setup(state);
    socklen_t len = sizeof address;
    address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 64), 0);
    getsockname(listener, (struct sockaddr *)&address, &len);
    live.host.wasi_env.listeners = &listener;
    live.host.wasi_env.nlisteners = 1;
    client = -1;
    return 0;
}

static int teardown(void **state)
{
    live_teardown(state);
    close(listener);
    if (client >= 0) {
        close(client);
    }
    return 0;
}

/* A connection: the client's side is `client`, the guest's descriptor is returned. */
static uint32_t connected(void)
{
    client = dial();
    assert_errno(OK, "sock_accept", LISTENER, 0, RESULT);
    return get32(RESULT);
}

static int host_socket(uint32_t fd)
{
    return cis_wasi_at(live.host.wasi, fd)->sock;
}

#define LEN 80u
#define FLAGS 84u
static int receive(uint32_t fd, uint32_t len, uint32_t flags, uint32_t *out_n)
{
    put_iov(0, DATA, len);
    int no = CALL("sock_recv", fd, 0, 1, flags, LEN, FLAGS);
    *out_n = get32(LEN);
    return no;
}

static void tell(const char *text)
{
    assert_int_equal(send(client, text, strlen(text), 0), strlen(text));
}

static void tell_more(void *arg)
{
    tell(arg);
}

static void dial_later(void *arg)
{
    *(int *)arg = dial();
}

static void hang_up(void *arg)
{
    shutdown(*(int *)arg, SHUT_WR);
}

/* ---- accept ---- */

static void a_connection_is_waited_for_and_becomes_a_descriptor(void **state)
{
    (void)state;
    struct later later;
    later_start(&later, 20, dial_later, &client);
    assert_errno(OK, "sock_accept", LISTENER, 0, RESULT);
    later_join(&later);
    assert_int_equal(get32(RESULT), 4);
    assert_int_equal(fcntl(host_socket(4), F_GETFD), FD_CLOEXEC);
    assert_false(is_blocking(host_socket(4))); /* it is the guest's alone */
    assert_true(is_blocking(listener));
    assert_errno(OK, "fd_fdstat_get", 4, RESULT);
    assert_int_equal(live.guest.memory[RESULT], CIS_WASI_FILETYPE_SOCKET_STREAM);
    assert_int_equal(get64(RESULT + 8), CIS_WASI_RIGHTS_SOCKET);
    assert_errno(OK, "fd_fdstat_get", LISTENER, RESULT);
    assert_int_equal(live.guest.memory[RESULT], CIS_WASI_FILETYPE_SOCKET_STREAM);
    assert_int_equal(get64(RESULT + 8), CIS_WASI_RIGHTS_LISTENER);
}

static void accepting_without_waiting_says_try_again(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    assert_errno(OK, "fd_fdstat_set_flags", LISTENER, CIS_WASI_FDFLAG_NONBLOCK);
    assert_errno(AGAIN, "sock_accept", LISTENER, 0, RESULT);
    assert_int_equal(live.guest.blocked, 0);
    client = dial();
    assert_errno(OK, "sock_accept", LISTENER, CIS_WASI_FDFLAG_NONBLOCK, RESULT);
    uint32_t n, fd = get32(RESULT);
    assert_int_equal(receive(fd, 10, 0, &n), CIS_WASI_AGAIN); /* what its flags asked for */
    assert_int_equal(receive(fd, 10, PEEK | WAITALL, &n), CIS_WASI_AGAIN);
    tell("abc");
    assert_int_equal(receive(fd, 10, PEEK | WAITALL, &n), CIS_WASI_OK);
    assert_int_equal(n, 3);
    assert_int_equal(receive(fd, 10, WAITALL, &n), CIS_WASI_OK);
    assert_int_equal(n, 3);
    assert_errno(OK, "fd_close", fd);
    assert_errno(BADF, "sock_recv", fd, 0, 0, 0, LEN, FLAGS);
    assert_int_equal(open_descriptors(), before + 1);
}

static void a_table_without_room_refuses_before_it_takes_the_connection(void **state)
{
    (void)state;
    live.host.wasi_env.files_max = 5;
    uint32_t fd = connected(); /* 0 to 4 are open now */
    uint64_t used = live.host.budget.used;
    int second = dial();
    assert_errno(MFILE, "sock_accept", LISTENER, 0, RESULT);
    assert_int_equal(live.host.budget.used, used);
    assert_errno(OK, "fd_close", fd);
    assert_true(live.host.budget.used < used); /* an open socket is charged */
    live.host.budget.limit = live.host.budget.used;
    assert_errno(NFILE, "sock_accept", LISTENER, 0, RESULT);
    live.host.budget.limit = 64u << 20;
    assert_errno(OK, "sock_accept", LISTENER, 0, RESULT); /* it is still there */
    assert_int_equal(get32(RESULT), fd);
    close(second);
}

static void what_the_guest_leaves_open_is_closed_at_its_end_but_not_the_listener(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    int dials[20];
    for (int i = 0; i < 20; i++) {
        dials[i] = dial();
        assert_errno(OK, "sock_accept", LISTENER, 0, RESULT);
    }
    assert_errno(OK, "fd_close", LISTENER);
    assert_errno(BADF, "sock_accept", LISTENER, 0, RESULT);
    cis_wasi_p1_end(&live.host);
    assert_int_equal(live.host.budget.used, 0);
    assert_int_equal(open_descriptors(), before + 20);
    for (int i = 0; i < 20; i++) {
        close(dials[i]);
    }
    close(dial()); /* it still listens */
}

static void a_unix_listener_works_too(void **state)
{
    (void)state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(sa_family_t); /* the kernel chooses an abstract name */
    int unix_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(unix_listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(unix_listener, 4), 0);
    len = sizeof at;
    getsockname(unix_listener, (struct sockaddr *)&at, &len);
    live.host.wasi_env.listeners = &unix_listener;
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&at, len), 0);
    assert_errno(OK, "sock_accept", LISTENER, 0, RESULT);
    uint32_t n, fd = get32(RESULT);
    tell("hello");
    assert_int_equal(receive(fd, 100, 0, &n), CIS_WASI_OK);
    assert_int_equal(n, 5);
    cis_wasi_p1_end(&live.host);
    live.host.wasi_env.listeners = &listener;
    close(unix_listener);
}

/* ---- receiving and sending ---- */

static void bytes_are_received_peeked_and_waited_for(void **state)
{
    (void)state;
    uint32_t n, fd = connected();
    struct later later;
    for (live.old = 0; live.old < 2; live.old++) {
        tell("hello");
        assert_int_equal(receive(fd, 100, PEEK, &n), CIS_WASI_OK);
        assert_int_equal(n, 5);
        assert_int_equal(receive(fd, 3, 0, &n), CIS_WASI_OK);
        assert_int_equal(n, 3);
        assert_memory_equal(live.guest.memory + DATA, "hel", 3);
        assert_int_equal(cis_le16(live.guest.memory + FLAGS), 0);
        later_start(&later, 20, tell_more, (char[]){" world"});
        assert_int_equal(receive(fd, 8, WAITALL, &n), CIS_WASI_OK);
        later_join(&later);
        assert_int_equal(n, 8);
        assert_memory_equal(live.guest.memory + DATA, "lo world", 8);
        tell("ab");
        later_start(&later, 20, tell_more, (char[]){"cd"});
        assert_int_equal(receive(fd, 4, WAITALL | PEEK, &n), CIS_WASI_OK);
        later_join(&later);
        assert_int_equal(n, 4);
        assert_int_equal(receive(fd, 100, 0, &n), CIS_WASI_OK);
        assert_int_equal(n, 4); /* it was only peeked at */
    }
    live.old = 0;
    tell("end");
    later_start(&later, 20, hang_up, &client);
    assert_int_equal(receive(fd, 10, WAITALL | PEEK, &n), CIS_WASI_OK);
    later_join(&later);
    assert_int_equal(n, 3);
    assert_int_equal(receive(fd, 10, WAITALL, &n), CIS_WASI_OK);
    assert_int_equal(n, 3);
    assert_int_equal(receive(fd, 10, 0, &n), CIS_WASI_OK);
    assert_int_equal(n, 0);
}

static void fd_read_and_fd_write_work_on_sockets(void **state)
{
    (void)state;
    uint32_t n, fd = connected();
    char got[16] = "";
    tell("hello");
    assert_int_equal(live_read(fd, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 5);
    assert_int_equal(live_write(fd, 5, &n), CIS_WASI_OK);
    assert_int_equal(recv(client, got, sizeof got, 0), 5);
    assert_string_equal(got, "hello");
    put_iov(0, DATA, 2);
    put_iov(8, DATA + 3, 2);
    assert_errno(OK, "sock_send", fd, 0, 2, 0, LEN);
    assert_int_equal(get32(LEN), 4);
    assert_int_equal(recv(client, got, sizeof got, 0), 4);
    assert_memory_equal(got, "helo", 4);
}

static void swallow(void *arg)
{
    static char buf[65536];
    size_t *sum = arg;
    for (ssize_t n; (n = recv(client, buf, sizeof buf, 0)) > 0;) {
        *sum += (size_t)n;
    }
}

static void sending_takes_everything_however_slow_the_peer(void **state)
{
    (void)state;
    uint32_t fd = connected();
    size_t sum = 0;
    struct later later;
    later_start(&later, 20, swallow, &sum);
    put_iov(0, DATA, MEMORY - DATA);
    for (int i = 0; i < 4; i++) {
        assert_errno(OK, "sock_send", fd, 0, 1, 0, LEN);
        assert_int_equal(get32(LEN), MEMORY - DATA);
    }
    assert_errno(OK, "sock_shutdown", fd, SHUT_WRITE);
    later_join(&later);
    assert_int_equal(sum, 4ull * (MEMORY - DATA));
}

static void a_peer_that_went_away_is_an_errno_and_no_signal(void **state)
{
    (void)state;
    uint32_t n, fd = connected();
    struct linger now = {.l_onoff = 1};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(client);
    client = -1;
    assert_int_equal(receive(fd, 10, 0, &n), CIS_WASI_CONNRESET);
    put_iov(0, DATA, 10);
    assert_errno(PIPE, "sock_send", fd, 0, 1, 0, LEN);
    assert_int_equal(live_write(fd, 10, &n), CIS_WASI_PIPE);
}

static void a_side_can_be_shut_down(void **state)
{
    (void)state;
    uint32_t n, fd = connected();
    char got[4];
    for (live.old = 0; live.old < 2; live.old++) {
        assert_errno(INVAL, "sock_shutdown", fd, 0);
        assert_errno(INVAL, "sock_shutdown", fd, 4);
        assert_errno(INVAL, "sock_shutdown", fd, UINT32_MAX);
        assert_errno(NOTCONN, "sock_shutdown", LISTENER, SHUT_READ | SHUT_WRITE);
    }
    live.old = 0;
    assert_errno(OK, "sock_shutdown", fd, SHUT_WRITE);
    assert_int_equal(recv(client, got, sizeof got, 0), 0);
    tell("x");
    assert_int_equal(receive(fd, 10, 0, &n), CIS_WASI_OK);
    assert_errno(OK, "sock_shutdown", fd, SHUT_READ);
    assert_int_equal(receive(fd, 10, 0, &n), CIS_WASI_OK);
    assert_int_equal(n, 0);
    close(dial()); /* the listener is as it was */
}

static void messages_of_a_datagram_socket_stay_apart(void **state)
{
    (void)state;
    int pair[2];
    uint32_t n;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    live_fd(0, pair[0]);
    client = pair[1];
    tell("first message");
    tell("second");
    assert_int_equal(receive(0, 5, 0, &n), CIS_WASI_OK);
    assert_int_equal(n, 5);
    assert_int_equal(cis_le16(live.guest.memory + FLAGS), 1); /* the rest of it is lost */
    assert_int_equal(receive(0, 100, WAITALL, &n), CIS_WASI_OK);
    assert_int_equal(n, 6);
    assert_int_equal(cis_le16(live.guest.memory + FLAGS), 0);
    assert_errno(OK, "fd_fdstat_get", 0, RESULT);
    assert_int_equal(live.guest.memory[RESULT], CIS_WASI_FILETYPE_SOCKET_DGRAM);
    assert_errno(OK, "sock_send", 0, 0, 0, 0, LEN); /* an empty one is one, too */
    put_iov(0, DATA, 3);
    assert_errno(OK, "sock_send", 0, 0, 1, 0, LEN);
    char got[8];
    assert_int_equal(recv(client, got, sizeof got, 0), 0);
    assert_int_equal(recv(client, got, sizeof got, 0), 3);
    tell("lost");
    assert_errno(OK, "sock_recv", 0, 0, 0, 0, LEN, FLAGS);
    assert_int_equal(get32(LEN), 0);
    assert_int_equal(cis_le16(live.guest.memory + FLAGS), 1);
    close(pair[0]);
}

static void a_socket_as_standard_input_is_a_socket(void **state)
{
    (void)state;
    int pair[2];
    uint32_t n;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    live_fd(0, pair[0]);
    client = pair[1];
    tell("hello");
    assert_int_equal(receive(0, 2, PEEK, &n), CIS_WASI_OK);
    assert_int_equal(live_read(0, 100, &n), CIS_WASI_OK);
    assert_int_equal(n, 5);
    put_iov(0, DATA, 100);
    assert_waiting("fd_read", 0, 0, 1, RESULT);
    assert_true(is_blocking(pair[0]));
    assert_errno(OK, "sock_shutdown", 0, SHUT_WRITE);
    close(pair[0]);
}

/* ---- waiting ---- */

static void waiting_for_a_peer_ends_with_the_run(void **state)
{
    (void)state;
    assert_waiting("sock_accept", LISTENER, 0, RESULT);
    uint32_t fd = connected();
    assert_int_equal(fd, 4); /* the place that waiting took was given back */
    put_iov(0, DATA, 100);
    assert_waiting("sock_recv", fd, 0, 1, 0, LEN, FLAGS);
    tell("part");
    assert_waiting("sock_recv", fd, 0, 1, PEEK | WAITALL, LEN, FLAGS);
    assert_waiting("sock_recv", fd, 0, 1, WAITALL, LEN, FLAGS);
    int small = 65536; /* what TCP has under way hides how full it is: more than fits anywhere */
    setsockopt(host_socket(fd), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    put_iov(0, DATA, MEMORY - DATA);
    assert_waiting("sock_send", fd, 0, 1, 0, LEN);
    live.old = 1;
    assert_waiting("sock_recv", fd, 0, 1, 0, LEN, FLAGS);
    assert_waiting("sock_send", fd, 0, 1, 0, LEN);
}

/* ---- denied and hostile ---- */

static void what_is_no_socket_says_so(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    live_fd(0, fileno(file));
    live_stream(1, CIS_STREAM_NULL);
    for (uint32_t fd = 0; fd < 3; fd++) {
        assert_errno(NOTSOCK, "sock_accept", fd, 0, RESULT);
        assert_errno(NOTSOCK, "sock_recv", fd, 0, 0, 0, LEN, FLAGS);
        assert_errno(NOTSOCK, "sock_send", fd, 0, 0, 0, LEN);
        assert_errno(NOTSOCK, "sock_shutdown", fd, 1);
    }
    assert_errno(BADF, "sock_accept", 99, 0, RESULT);
    uint32_t n, fd = connected();
    assert_errno(INVAL, "sock_accept", fd, 0, RESULT); /* a socket, but it does not listen */
    assert_int_equal(receive(LISTENER, 10, 0, &n), CIS_WASI_NOTCONN);
    assert_int_equal(live_read(LISTENER, 10, &n), CIS_WASI_NOTCONN);
    put_iov(0, DATA, 10);
    assert_errno(PIPE, "sock_send", LISTENER, 0, 1, 0, LEN); /* as on Linux */
    fclose(file);
}

static void rights_that_were_given_away_are_missed(void **state)
{
    (void)state;
    uint32_t n, fd = connected();
    assert_errno(OK, "fd_fdstat_set_rights", fd, 0, 0);
    assert_int_equal(receive(fd, 10, 0, &n), CIS_WASI_NOTCAPABLE);
    assert_errno(NOTCAPABLE, "sock_send", fd, 0, 1, 0, LEN);
    assert_errno(NOTCAPABLE, "sock_shutdown", fd, SHUT_WRITE);
    assert_errno(OK, "fd_fdstat_set_rights", LISTENER, 0, 0);
    assert_errno(NOTCAPABLE, "sock_accept", LISTENER, 0, RESULT);
    close(dial());
}

static void hostile_arguments_move_nothing(void **state)
{
    (void)state;
    uint32_t n, fd = connected();
    tell("hello");
    for (live.old = 0; live.old < 2; live.old++) {
        put_iov(0, DATA, 5);
        assert_errno(INVAL, "sock_recv", fd, 0, 1, 4, LEN, FLAGS);
        assert_errno(INVAL, "sock_recv", fd, 0, 1, UINT32_MAX, LEN, FLAGS);
        assert_errno(INVAL, "sock_send", fd, 0, 1, 1, LEN);
        assert_errno(FAULT, "sock_recv", fd, 0, 1, 0, MEMORY - 3, FLAGS);
        assert_errno(FAULT, "sock_recv", fd, 0, 1, 0, LEN, MEMORY - 1);
        assert_errno(FAULT, "sock_send", fd, 0, 1, 0, OUTSIDE);
        assert_errno(FAULT, "sock_recv", fd, OUTSIDE, 1, 0, LEN, FLAGS);
        assert_errno(FAULT, "sock_send", fd, MEMORY - 7, 1, 0, LEN);
        assert_errno(INVAL, "sock_recv", fd, 0, 1025, 0, LEN, FLAGS);
        put_iov(0, MEMORY - 4, 5);
        assert_errno(FAULT, "sock_recv", fd, 0, 1, 0, LEN, FLAGS);
        assert_errno(FAULT, "sock_send", fd, 0, 1, 0, LEN);
    }
    live.old = 0;
    int second = dial();
    assert_errno(FAULT, "sock_accept", LISTENER, 0, MEMORY - 3);
    assert_errno(INVAL, "sock_accept", LISTENER, 1, RESULT);
    assert_errno(INVAL, "sock_accept", LISTENER, UINT32_MAX, RESULT);
    assert_errno(OK, "sock_accept", LISTENER, 0, MEMORY - 4); /* nothing was lost */
    assert_int_equal(receive(fd, 100, 0, &n), CIS_WASI_OK);
    assert_int_equal(n, 5);
    struct pollfd p = {.fd = client, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    close(second);
}

static void random_calls_on_a_live_world_reach_nothing_outside(void **state)
{
    (void)state;
    static const char *const names[] = {
        "fd_read",     "fd_write",      "fd_pread",        "fd_pwrite",      "fd_seek",
        "fd_tell",     "fd_fdstat_get", "fd_filestat_get", "fd_sync",        "fd_advise",
        "poll_oneoff", "sock_recv",     "sock_send",       "sock_shutdown",  "fd_fdstat_set_flags",
        "sock_accept", "fd_close",      "fd_renumber",     "fd_prestat_get", "fd_allocate"};
    uint64_t x = 0x9E3779B97F4A7C15ull; /* xorshift with a fixed seed */
    unsigned before = open_descriptors();
    for (int world = 0; world < 200; world++) {
        int pipes[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), dials[4];
        FILE *file = tmpfile();
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(write(pipes[1], "some bytes", 10), 10);
        live_fd(0, pipes[0]);
        live_fd(1, (world & 1) != 0 ? fileno(file) : pipes[1]);
        live_fd(2, null);
        for (int i = 0; i < 4; i++) {
            dials[i] = dial();
            assert_int_equal(send(dials[i], "hello", 5, 0), 5);
        }
        live.host.wasi_env.files_max = 16;
        live_deadline(20);
        for (int i = 0; i < 300; i++) {
            uint64_t args[9];
            int no;
            for (size_t k = 0; k < 9; k++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                args[k] = (x & 7) == 0   ? x
                          : (x & 7) == 1 ? MEMORY - ((x >> 8) & 63)
                                         : (x >> 8) % ((x & 8) != 0 ? 8 : 4096);
            }
            live.old = (x >> 40) % 2;
            size_t name = (size_t)(x >> 48) % (sizeof names / sizeof *names);
            name = live.old != 0 && strcmp(names[name], "sock_accept") == 0 ? 0 : name;
            struct cis_error error = {0};
            cis_code code = live_code(names[name], args, 9, &no, &error);
            assert_true(code == CIS_OK ? no <= 76 : code == CIS_E_DEADLINE);
        }
        live.old = 0;
        cis_wasi_p1_end(&live.host);
        assert_int_equal(live.host.budget.used, 0);
        for (int i = 0; i < 4; i++) {
            close(dials[i]);
        }
        struct pollfd queue = {.fd = listener, .events = POLLIN};
        while (poll(&queue, 1, 0) > 0) { /* what the guest left in it */
            close(accept(listener, NULL, NULL));
        }
        close(pipes[0]);
        close(pipes[1]);
        close(null);
        fclose(file);
    }
    live_deadline(0);
    assert_int_equal(open_descriptors(), before);
}

#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_connection_is_waited_for_and_becomes_a_descriptor),
        T(accepting_without_waiting_says_try_again),
        T(a_table_without_room_refuses_before_it_takes_the_connection),
        T(what_the_guest_leaves_open_is_closed_at_its_end_but_not_the_listener),
        T(a_unix_listener_works_too),
        T(bytes_are_received_peeked_and_waited_for),
        T(fd_read_and_fd_write_work_on_sockets),
        T(sending_takes_everything_however_slow_the_peer),
        T(a_peer_that_went_away_is_an_errno_and_no_signal),
        T(a_side_can_be_shut_down),
        T(messages_of_a_datagram_socket_stay_apart),
        T(a_socket_as_standard_input_is_a_socket),
        T(waiting_for_a_peer_ends_with_the_run),
        T(what_is_no_socket_says_so),
        T(rights_that_were_given_away_are_missed),
        T(hostile_arguments_move_nothing),
        T(random_calls_on_a_live_world_reach_nothing_outside),
    };
    return cmocka_run_group_tests_name("wasi_sock", tests, NULL, NULL);
}
