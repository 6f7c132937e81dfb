/* `cis run` with live streams: pipes of a shell, terminals, signals while a program waits, a
 * socket.
 */
#include "system.h"
#include "waits.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define LIVE CIS_GUESTS_DIR "/live.wasm"
#define CAT CIS_GUESTS_DIR "/cat.wasm"

/* A shell's line; $cis is the program. */
static int shell(struct sys *s, const char *line)
{
    s->env[0] = "cis=" CIS_PROGRAM;
    s->env[1] = "live=" LIVE;
    s->env[2] = "cat=" CAT;
    s->env[3] = NULL;
    return sys_exec(s, (const char *const[]){"/bin/sh", "-c", line, NULL});
}

/* The program as a child whose stdin and stdout are the given descriptors. */
static pid_t spawn(struct sys *s, int in, int out, const char *const *args)
{
    const char *argv[16] = {CIS_PROGRAM, "run"};
    char home[4200];
    for (int i = 0; args[i] != NULL; i++) {
        argv[2 + i] = args[i];
    }
    snprintf(home, sizeof home, "CIS_HOME=%s", s->home);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in, 0);
        dup2(out, 1);
        dup2(open("/dev/null", O_WRONLY), 2);
        putenv(home);
        execv(CIS_PROGRAM, (char **)(uintptr_t)argv);
        _exit(99);
    }
    assert_true(pid > 0);
    return pid;
}

static int wait_exit(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Until a line has come from fd. */
static void expect(int fd, const char *line)
{
    char got[256] = "";
    size_t n = 0;
    while (strstr(got, line) == NULL) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, WAITS_MS), 1);
        ssize_t more = read(fd, got + n, sizeof got - 1 - n);
        if (more <= 0) {
            fail_msg("\"%s\" lacks \"%s\"", got, line);
        }
        n += (size_t)more;
    }
}

static void pipes_of_a_shell_work_to_their_end(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0,
                shell(s, "seq 1 200000 | $cis run $cat | $cis run $cat | sha256sum; "
                         "seq 1 200000 | sha256sum"));
    struct cis_str out = cis_str_of(sys_out(s)), first;
    cis_str_split(&out, '\n', &first);
    assert_int_equal(first.len, 67);
    assert_memory_equal(first.ptr, out.ptr, first.len);
}

static void a_reader_that_leaves_ends_the_program_with_an_errno(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 0,
                shell(s, "($cis run $live flood; echo exit $? >&2) | head -c 1000000 | wc -c"));
    assert_string_equal(sys_out(s), "1000000\n");
    assert_string_equal(sys_err(s), "write: Broken pipe\nexit 10\n");
}

static void closed_streams_are_no_descriptors(void **state)
{
    struct sys *s = *state;
    assert_exit(s, 10, shell(s, "$cis run $live wait <&-"));
    assert_string_equal(sys_err(s), "read: Bad file descriptor\n");
    assert_exit(s, 10, shell(s, "$cis run $live flood >&-"));
    assert_string_equal(sys_err(s), "write: Bad file descriptor\n");
    assert_exit(s, 10, shell(s, "$cis run $live flood > /dev/full"));
    assert_string_equal(sys_err(s), "write: No space left on device\n");
}

static void a_shell_goes_on_reading_where_the_program_stopped(void **state)
{
    struct sys *s = *state;
    sys_file(s, "lines", "one\ntwo\nthree\n", 14);
    char line[4300];
    snprintf(line, sizeof line, "($cis run $live first-line; cat) < %s/lines", s->home);
    assert_exit(s, 0, shell(s, line));
    assert_string_equal(sys_out(s), "first: one\ntwo\nthree\n");
    assert_exit(s, 10, shell(s, "printf 'one\\ntwo\\n' | $cis run $live first-line"));
    assert_string_equal(sys_err(s), "seek: Invalid seek\n");
}

static void only_terminals_are_terminals(void **state)
{
    struct sys *s = *state;
    int master, slave;
    char got[64] = "";
    assert_exit(s, 0, shell(s, "$cis run $live terminals < /dev/null 2> /dev/null"));
    assert_string_equal(sys_out(s), "000\n");
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    pid_t pid = spawn(s, slave, slave, (const char *const[]){LIVE, "terminals", NULL});
    assert_int_equal(wait_exit(pid), 0);
    assert_true(read(master, got, sizeof got) > 0);
    assert_memory_equal(got, "11", 2);
    close(master);
    close(slave);
}

static void input_is_polled_while_a_clock_runs(void **state)
{
    struct sys *s = *state;
    int in[2], out[2];
    assert_true(pipe(in) == 0 && pipe(out) == 0);
    pid_t pid = spawn(s, in[0], out[1], (const char *const[]){LIVE, "poll", NULL});
    expect(out[0], "nothing yet\n");
    assert_int_equal(write(in[1], "hello", 5), 5);
    expect(out[0], "got hello\n");
    assert_int_equal(wait_exit(pid), 0);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

/* Each way to wait, on a pipe and on a terminal, ended by a signal and by the time limit. */
static void a_program_that_waits_is_ended_by_a_signal_and_by_its_limit(void **state)
{
    struct sys *s = *state;
    static const struct {
        const char *verb, *line;
    } waits[] = {{"wait", "waiting"}, {"sleep", "sleeping"}, {"poll", "nothing yet"}};
    for (int terminal = 0; terminal < 2; terminal++) {
        for (size_t i = 0; i < 3; i++) {
            int in[2], out[2];
            if (terminal != 0) {
                assert_int_equal(openpty(&in[1], &in[0], NULL, NULL, NULL), 0);
            } else {
                assert_int_equal(pipe(in), 0);
            }
            assert_int_equal(pipe(out), 0);
            fcntl(in[1], F_SETFD, FD_CLOEXEC);
            pid_t pid = spawn(s, in[0], out[1], (const char *const[]){LIVE, waits[i].verb, NULL});
            expect(out[0], waits[i].line);
            uint64_t start = cis_clock_mono_ns();
            kill(pid, i == 0 ? SIGINT : SIGTERM);
            assert_int_equal(wait_exit(pid), 130);
            assert_in_range(cis_clock_mono_ns() - start, 0, 10 * CIS_NS_PER_S);
            pid = spawn(s, in[0], out[1],
                        (const char *const[]){"--time", "300ms", LIVE, waits[i].verb, NULL});
            assert_int_equal(wait_exit(pid), 124);
            sys_waited(s, 300);
            assert_int_equal(fcntl(in[0], F_GETFL) & O_NONBLOCK, 0);
            for (int k = 0; k < 2; k++) {
                close(in[k]);
                close(out[k]);
            }
        }
    }
}

static void a_full_pipe_does_not_hold_a_program_beyond_its_limit(void **state)
{
    struct sys *s = *state;
    int out[2];
    assert_int_equal(pipe(out), 0);
    pid_t pid = spawn(s, 0, out[1], (const char *const[]){"--time", "300ms", LIVE, "flood", NULL});
    assert_int_equal(wait_exit(pid), 124);
    pid = spawn(s, 0, out[1], (const char *const[]){LIVE, "flood", NULL});
    poll(NULL, 0, 300);
    kill(pid, SIGINT);
    assert_int_equal(wait_exit(pid), 130);
    close(out[0]);
    close(out[1]);
}

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    close(fd);
    return ntohs(a.sin_port);
}

static void a_listening_socket_is_served_and_waiting_for_it_ends(void **state)
{
    struct sys *s = *state;
    char where[64], got[64] = "";
    int port = free_port();
    snprintf(where, sizeof where, "127.0.0.1:%d", port);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pid_t pid = spawn(s, 0, 1, (const char *const[]){"--listen", where, LIVE, "serve", NULL});
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int i = 0; connect(fd, (struct sockaddr *)&a, sizeof a) != 0; i++) {
        assert_in_range(i, 0, 10000); /* until it listens */
        poll(NULL, 0, 10);
    }
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    assert_int_equal(recv(fd, got, sizeof got, 0), 5);
    assert_string_equal(got, "hello");
    shutdown(fd, SHUT_WR);
    assert_int_equal(recv(fd, got, sizeof got, 0), 0);
    assert_int_equal(wait_exit(pid), 0);
    close(fd);
    pid = spawn(s, 0, 1,
                (const char *const[]){"--time", "300ms", "--listen", where, LIVE, "serve", NULL});
    assert_int_equal(wait_exit(pid), 124);
}

#ifdef LIVE_GO
/* Clock ticks that a process has used. */
static unsigned long used(pid_t pid)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    const char *after = strrchr(text, ')');
    assert_non_null(after);
    assert_int_equal(
        sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    return user + system;
}

static void ask(const struct sockaddr_in *a, int number)
{
    char text[128], answer[1024] = "", wanted[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)a, sizeof *a), 0);
    int len = snprintf(text, sizeof text,
                       "GET /%d HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", number);
    assert_int_equal(send(fd, text, (size_t)len, 0), len);
    for (size_t n = 0;;) {
        ssize_t more = recv(fd, answer + n, sizeof answer - 1 - n, 0);
        if (more <= 0) {
            break;
        }
        n += (size_t)more;
    }
    close(fd);
    snprintf(wanted, sizeof wanted, "\r\n\r\nhello /%d", number);
    assert_contains(answer, "HTTP/1.1 200 OK");
    assert_contains(answer, wanted);
}

static void a_server_in_go_waits_for_clients_clocks_and_input_at_once(void **state)
{
    struct sys *s = *state;
    int in[2], out[2];
    char where[64];
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)free_port()),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    snprintf(where, sizeof where, "127.0.0.1:%d", ntohs(a.sin_port));
    assert_true(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    pid_t pid =
        spawn(s, in[0], out[1],
              (const char *const[]){"--listen", where, CIS_GUESTS_DIR "/go_serve.wasm", NULL});
    expect(out[0], "serving\n");
    for (int i = 0; i < 30; i++) {
        ask(&a, i);
    }
    assert_int_equal(write(in[1], "one\n", 4), 4);
    expect(out[0], "line one\n");
    unsigned long before = used(pid);
    poll(NULL, 0, 500);
    assert_in_range(used(pid) - before, 0, (unsigned long)sysconf(_SC_CLK_TCK) / 5);
    assert_int_equal(fcntl(in[0], F_GETFL) & O_NONBLOCK, 0); /* it asked for it, for itself */
    assert_int_equal(write(in[1], "stop\n", 5), 5);
    expect(out[0], "line stop\n");
    assert_int_equal(wait_exit(pid), 0);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}
#endif

static void a_seed_repeats_the_random_numbers(void **state)
{
    struct sys *s = *state;
    char first[64];
    assert_exit(s, 0, cis(s, "run", "--seed", "42", LIVE, "numbers"));
    snprintf(first, sizeof first, "%s", sys_out(s));
    assert_int_equal(strlen(first), 33);
    assert_exit(s, 0, cis(s, "run", "--seed", "42", LIVE, "numbers"));
    assert_string_equal(sys_out(s), first);
    assert_exit(s, 0, cis(s, "run", "--seed", "43", LIVE, "numbers"));
    assert_string_not_equal(sys_out(s), first);
    assert_exit(s, 10, cis(s, "run", "--no-random", LIVE, "numbers"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, sys_setup, sys_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(pipes_of_a_shell_work_to_their_end),
        T(a_reader_that_leaves_ends_the_program_with_an_errno),
        T(closed_streams_are_no_descriptors),
        T(a_shell_goes_on_reading_where_the_program_stopped),
        T(only_terminals_are_terminals),
        T(input_is_polled_while_a_clock_runs),
        T(a_program_that_waits_is_ended_by_a_signal_and_by_its_limit),
        T(a_full_pipe_does_not_hold_a_program_beyond_its_limit),
        T(a_listening_socket_is_served_and_waiting_for_it_ends),
#ifdef LIVE_GO
        T(a_server_in_go_waits_for_clients_clocks_and_input_at_once),
#endif
        T(a_seed_repeats_the_random_numbers),
    };
    return cmocka_run_group_tests_name("system_live", tests, NULL, NULL);
}
