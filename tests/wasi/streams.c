/* Standard streams and sockets, with this program at the other end. */
#include "wasi/special.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>

/* ---- streams ---- */

static void a_stream_is_a_terminal_only_when_it_is_one(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY), pipes[2];
    char name[64];
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    assert_int_equal(ptsname_r(master, name, sizeof name), 0);
    int slave = open(name, O_RDWR | O_NOCTTY);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    special_exits("stdio", (const char *const[]){"terminals", NULL}, 0);
    for (unsigned which = 0; which < 8; which++) {
        struct cis_host_stream std[3];
        for (unsigned i = 0; i < 3; i++) {
            bool terminal = (which & 1u << i) != 0;
            std[i] = (struct cis_host_stream){.kind = CIS_STREAM_FD,
                                              .fd = terminal ? slave : pipes[i != 0],
                                              .terminal = terminal};
        }
        for (unsigned i = 0; i < 3; i++) {
            struct suite_result r;
            const char number[] = {(char)('0' + i), '\0'};
            special_run("stdio", (const char *const[]){"terminals", number, NULL}, std, &r);
            assert_int_equal(r.outcome.exit_code, which >> i & 1);
            suite_done(&r);
        }
    }
    close(master);
    close(slave);
    close(pipes[0]);
    close(pipes[1]);
}

static void stdout_and_stderr_keep_their_order(void **state)
{
    (void)state;
    int pipes[2];
    char got[512] = "", wanted[512] = "";
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    struct cis_host_stream std[3] = {{.kind = CIS_STREAM_NULL},
                                     {.kind = CIS_STREAM_FD, .fd = pipes[1]},
                                     {.kind = CIS_STREAM_FD, .fd = pipes[1]}};
    struct suite_result r;
    special_run("stdio", (const char *const[]){"alternate", NULL}, std, &r);
    assert_int_equal(r.outcome.exit_code, 0);
    suite_done(&r);
    close(pipes[1]);
    assert_true(read(pipes[0], got, sizeof got - 1) > 0);
    for (int i = 0, at = 0; i < 50; i++) {
        at += snprintf(wanted + at, sizeof wanted - (size_t)at, "%d,", i);
    }
    assert_string_equal(got, wanted);
    close(pipes[0]);
}

struct talk {
    int from, to, answered;
};

/* Waits for each "ping" before it answers: a program whose output stayed behind would wait for
 * ever. */
static void *answer(void *arg)
{
    struct talk *t = arg;
    char got[5];
    for (; t->answered < 10; t->answered++) {
        for (size_t n = 0; n < sizeof got;) {
            ssize_t k = read(t->from, got + n, sizeof got - n);
            if (k <= 0) {
                return NULL;
            }
            n += (size_t)k;
        }
        if (memcmp(got, "ping\n", 5) != 0 || write(t->to, "pong\n", 5) != 5) {
            break;
        }
    }
    close(t->to);
    return NULL;
}

static void output_is_in_the_pipe_before_input_is_waited_for(void **state)
{
    (void)state;
    int in[2], out[2];
    pthread_t thread;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct talk talk = {.from = out[0], .to = in[1]};
    assert_int_equal(pthread_create(&thread, NULL, answer, &talk), 0);
    struct cis_host_stream std[3] = {{.kind = CIS_STREAM_FD, .fd = in[0]},
                                     {.kind = CIS_STREAM_FD, .fd = out[1]},
                                     {.kind = CIS_STREAM_NULL}};
    struct suite_result r;
    special_run("stdio", (const char *const[]){"talk", NULL}, std, &r);
    close(out[1]);
    pthread_join(thread, NULL);
    assert_int_equal(r.outcome.exit_code, 0);
    assert_int_equal(talk.answered, 10);
    suite_done(&r);
    close(in[0]);
    close(out[0]);
}

static void streams_do_what_streams_can(void **state)
{
    (void)state;
    /* Adapters answer EINVAL for ESPIPE. */
    special_exits("stdio", (const char *const[]){"no-files", NULL}, suite_adapter() != NULL);
    /* That of 0.2.3 moves descriptors that are closed. */
    special_exits("stdio", (const char *const[]){"close", NULL},
                  suite_adapter() != NULL && strcmp(suite_adapter(), "0.2.3") == 0);
    if (suite_adapter() != NULL) {
        return;
    }
    special_exits("stdio_old", (const char *const[]){"no-files", NULL}, 0);
    special_exits("stdio_old", (const char *const[]){"close", NULL}, 0);
}

/* ---- sockets ---- */

static int dial(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)to, sizeof *to), 0);
    return fd;
}

static void *client(void *arg)
{
    const struct sockaddr_in *to = arg;
    char got[16] = "";
    int fd = dial(to), other = dial(to), third = dial(to);
    bool ok = send(fd, "hello", 5, MSG_NOSIGNAL) == 5;
    close(other);
    ok = ok && recv(fd, got, 5, MSG_WAITALL) == 5 && memcmp(got, "HELLO", 5) == 0;
    ok = ok && recv(fd, got, 1, 0) == 0;
    close(fd);
    ok = ok && recv(third, got, 8, MSG_WAITALL) == 8 && memcmp(got, "by write", 8) == 0;
    ok = ok && recv(third, got, 1, 0) == 0;
    close(third);
    return ok ? arg : NULL;
}

static void sockets_work_on_a_listener_that_was_given(void **state)
{
    (void)state;
    if (suite_adapter() != NULL) {
        struct suite_result r;
        special_run("sockets", NULL, NULL, &r);
        assert_int_equal(r.outcome.code, CIS_E_TRAP); /* no adapter has sock_accept */
        suite_done(&r);
        return;
    }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    pthread_t thread;
    void *ok = NULL;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(pthread_create(&thread, NULL, client, &at), 0);
    struct place place;
    struct suite_result r;
    place_begin(&place, suite_backend());
    struct cis_run_mount mount = place_main(&place);
    struct suite_how how = {.file = "sockets",
                            .mounts = &mount,
                            .nmounts = 1,
                            .input = "x",
                            .listeners = &listener,
                            .nlisteners = 1};
    suite_run(&place, &how, &r);
    shutdown(listener, SHUT_RDWR);
    close(listener);
    pthread_join(thread, &ok);
    suite_check(suite_backend(), "sockets", r.text, NULL);
    assert_non_null(ok);
    suite_done(&r);
    place_end(&place);
}

#define T(f) cmocka_unit_test(f)
const struct CMUnitTest *special_streams(size_t *out_n)
{
    static const struct CMUnitTest tests[] = {
        T(a_stream_is_a_terminal_only_when_it_is_one),       T(stdout_and_stderr_keep_their_order),
        T(output_is_in_the_pipe_before_input_is_waited_for), T(streams_do_what_streams_can),
        T(sockets_work_on_a_listener_that_was_given),
    };
    *out_n = sizeof tests / sizeof *tests;
    return tests;
}
