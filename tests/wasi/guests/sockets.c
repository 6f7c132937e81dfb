/* Sockets of 0.1 on a listener that the suite gives: it connects three times; the first connection
 * sends "hello" and expects "HELLO", then half-closes; the second closes at once; the third only
 * listens. The listener comes after the directory. */
#include "raw.h"

#define LISTENER 4u
static uint32_t conn;

static int wait_for(uint32_t fd, uint8_t tag)
{
    struct raw_sub subs[2] = {{.userdata = 1, .tag = tag}, {.userdata = 2, .tag = EV_CLOCK}};
    struct raw_event events[2];
    uint32_t n = 0;
    subs[0].of.fd = fd;
    subs[1].of.clock.id = MONOTONIC;
    subs[1].of.clock.timeout = 30000000000ull;
    ANSWERS(0, raw_poll_oneoff(subs, events, 2, &n));
    return n >= 1 && events[0].userdata == 1 ? events[0].error : -1;
}

static void a_listener_is_a_socket(void)
{
    struct raw_fdstat stat;
    struct raw_prestat pre;
    char byte;
    struct raw_iov iov = {&byte, 1};
    uint32_t n;
    uint16_t flags;
    ANSWERS(0, raw_fd_fdstat_get(LISTENER, &stat));
    IS(stat.filetype, T_STREAM);
    ANSWERS(EBADF, raw_fd_prestat_get(LISTENER, &pre));
    HOLDS(raw_sock_recv(LISTENER, &iov, 1, 0, &n, &flags) != 0);
}

static void a_connection_is_accepted(void)
{
    struct raw_fdstat stat;
    IS(wait_for(LISTENER, EV_READ), 0);
    ANSWERS(0, raw_sock_accept(LISTENER, 0, &conn));
    HOLDS(conn > LISTENER);
    ANSWERS(0, raw_fd_fdstat_get(conn, &stat));
    IS(stat.filetype, T_STREAM);
}

static void clocks_streams_and_sockets_are_waited_for_together(void)
{
    struct raw_sub subs[4] = {{.userdata = 1, .tag = EV_CLOCK},
                              {.userdata = 2, .tag = EV_READ},
                              {.userdata = 3, .tag = EV_READ},
                              {.userdata = 4, .tag = EV_CLOCK}};
    struct raw_event events[4];
    uint32_t n = 0;
    char byte;
    subs[0].of.clock.id = MONOTONIC;
    subs[0].of.clock.timeout = 3600000000000ull;
    subs[1].of.fd = conn;
    subs[2].of.fd = 0;
    subs[3].of.clock.id = REALTIME;
    subs[3].of.clock.timeout = UINT64_MAX;
    IS(wait_for(conn, EV_READ), 0);
    IS(read(0, &byte, 1), 1); /* stdin has one byte, and is at its end then */
    ANSWERS(0, raw_poll_oneoff(subs, events, 4, &n));
    IS(n, 2);
    IS(events[0].userdata + events[1].userdata, 5);
    for (uint32_t i = 0; i < n && i < 4; i++) {
        IS(events[i].error, 0);
        HOLDS(events[i].userdata == 3 || events[i].nbytes >= 1);
    }
}

static void what_is_peeked_at_is_received_again(void)
{
    char got[16] = "";
    struct raw_iov iov[2] = {{got, 2}, {got + 2, 10}};
    uint32_t n;
    uint16_t flags = 9;
    IS(wait_for(conn, EV_READ), 0);
    ANSWERS(0, raw_sock_recv(conn, iov, 1, 1, &n, &flags));
    IS(n, 2);
    HOLDS(memcmp(got, "he", 2) == 0);
    iov[1].len = 3;
    ANSWERS(0, raw_sock_recv(conn, iov, 2, 2, &n, &flags)); /* all of it */
    IS(n, 5);
    HOLDS(memcmp(got, "hello", 5) == 0);
    IS(flags, 0);
}

static void an_answer_is_sent_and_the_end_is_seen(void)
{
    struct raw_iov iov[2] = {{"HEL", 3}, {"LO", 2}};
    char byte;
    struct raw_iov in = {&byte, 1};
    uint32_t n;
    uint16_t flags;
    IS(wait_for(conn, EV_WRITE), 0);
    ANSWERS(0, raw_sock_send(conn, iov, 2, 0, &n));
    IS(n, 5);
    ANSWERS(0, raw_sock_shutdown(conn, 2));
    HOLDS(raw_sock_send(conn, iov, 2, 0, &n) == EPIPE);
    ANSWERS(0, raw_sock_recv(conn, &in, 1, 0, &n, &flags));
    IS(n, 0);
    ANSWERS(EINVAL, raw_sock_shutdown(conn, 0));
    ANSWERS(EINVAL, raw_sock_shutdown(conn, 4));
    ANSWERS(EINVAL, raw_sock_send(conn, iov, 2, 1, &n));
    ANSWERS(0, raw_fd_close(conn));
}

static void a_connection_that_was_closed_reads_as_its_end(void)
{
    char byte;
    struct raw_iov iov = {&byte, 1};
    uint32_t n = 7;
    uint16_t flags;
    ANSWERS(0, raw_sock_accept(LISTENER, 0, &conn));
    IS(wait_for(conn, EV_READ), 0);
    ANSWERS(0, raw_sock_recv(conn, &iov, 1, 0, &n, &flags));
    IS(n, 0);
    ANSWERS(0, raw_fd_close(conn));
}

static void reading_and_writing_work_on_a_socket_too(void)
{
    ANSWERS(0, raw_sock_accept(LISTENER, 0, &conn));
    IS(write((int)conn, "by write", 8), 8);
    uint64_t at;
    ANSWERS(ESPIPE, raw_fd_seek(conn, 0, RAW_CUR, &at));
    ANSWERS(ESPIPE, raw_fd_tell(conn, &at));
    ANSWERS(0, raw_sock_shutdown(conn, 3));
    ANSWERS(0, raw_fd_close(conn));
}

static void a_descriptor_that_must_not_wait_does_not(void)
{
    ANSWERS(0, raw_fd_fdstat_set_flags(LISTENER, F_NONBLOCK));
    ANSWERS(EAGAIN, raw_sock_accept(LISTENER, 0, &conn));
    ANSWERS(0, raw_fd_fdstat_set_flags(LISTENER, 0));
}

static void what_is_no_socket_says_so(void)
{
    uint32_t fd, n;
    uint16_t flags;
    char byte;
    struct raw_iov iov = {&byte, 1};
    ANSWERS(0, raw_open(3, "f", O_R_CREAT, R_FILE, 0, &fd));
    const uint32_t others[] = {fd, 3, 0, 1};
    for (size_t i = 0; i < COUNT(others); i++) {
        ANSWERS(ENOTSOCK, raw_sock_recv(others[i], &iov, 1, 0, &n, &flags));
        ANSWERS(ENOTSOCK, raw_sock_send(others[i], &iov, 1, 0, &n));
        ANSWERS(ENOTSOCK, raw_sock_shutdown(others[i], 3));
        ANSWERS(ENOTSOCK, raw_sock_accept(others[i], 0, &n));
    }
    ANSWERS(EBADF, raw_sock_accept(4000, 0, &n));
    ANSWERS(EBADF, raw_sock_recv(4000, &iov, 1, 0, &n, &flags));
    ANSWERS(0, raw_fd_close(fd));
}

int main(void)
{
    static const struct check_case cases[] = {
        CASE(a_listener_is_a_socket),
        CASE(a_connection_is_accepted),
        CASE(clocks_streams_and_sockets_are_waited_for_together),
        CASE(what_is_peeked_at_is_received_again),
        CASE(an_answer_is_sent_and_the_end_is_seen),
        CASE(a_connection_that_was_closed_reads_as_its_end),
        CASE(reading_and_writing_work_on_a_socket_too),
        CASE(a_descriptor_that_must_not_wait_does_not),
        CASE(what_is_no_socket_says_so),
    };
    return check_main(cases, COUNT(cases), false, NULL);
}
