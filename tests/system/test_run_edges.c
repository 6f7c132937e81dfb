/* Components at the edges of WASI 0.2 (tests/wasi/guests/edges.c): pipes whose other end is gone,
 * more pollables than descriptors, what directories cost, memory that the guest does not give. */
#include "system.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>

struct world {
    struct sys sys; /* first: what the helpers take */
    char guest[600];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->sys.home = test_dir_new();
    snprintf(w->guest, sizeof w->guest, "%s/edges.component.wasm", w->sys.home);
    *state = w;
    return cis(&w->sys, "component", "new", CIS_GUESTS_DIR "/wasi_edges.wasm", "-o", w->guest);
}

#define RUN(...) cis(&w->sys, "run", __VA_ARGS__)

/* A run whose three streams are pipes; ours are stdin's, stdout's and stderr's other ends. */
struct child {
    pid_t pid;
    int in, out, err;
    char said[4096];
    size_t n;
};

static void start(struct world *w, struct child *c, const char *verb, const char *arg)
{
    const char *argv[] = {CIS_PROGRAM, "run", w->guest, verb, arg, NULL};
    char home[4200];
    int in[2], out[2], errors[2];
    snprintf(home, sizeof home, "CIS_HOME=%s", w->sys.home);
    assert_true(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
                pipe2(errors, O_CLOEXEC) == 0);
    c->pid = fork();
    if (c->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(errors[1], 2);
        putenv(home);
        execv(CIS_PROGRAM, (char **)(uintptr_t)argv);
        _exit(99);
    }
    assert_true(c->pid > 0);
    close(in[0]);
    close(out[1]);
    close(errors[1]);
    c->in = in[1];
    c->out = out[0];
    c->err = errors[0];
    c->n = 0;
}

/* What it says, until a line, NULL: until it is gone. */
static void listen_to(struct child *c, const char *line)
{
    ssize_t more = 1;
    c->said[c->n] = 0;
    while (more > 0 && (line == NULL || strstr(c->said, line) == NULL)) {
        more = read(c->err, c->said + c->n, sizeof c->said - 1 - c->n);
        c->n += more > 0 ? (size_t)more : 0;
        c->said[c->n] = 0;
    }
    if (line != NULL) {
        assert_contains(c->said, line);
    }
}

static int over(struct child *c)
{
    int status;
    listen_to(c, NULL);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    if (c->in >= 0) {
        close(c->in);
    }
    if (c->out >= 0) {
        close(c->out);
    }
    close(c->err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void a_closed_pipe_gives_closed(void **state)
{
    struct world *w = *state;
    static const char *const all[] = {
        "write", "blocking-write", "write-zeroes", "blocking-write-zeroes",
        "flush", "blocking-flush", "splice",       "blocking-splice"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct child c;
        char wanted[600];
        start(w, &c, "closed", all[i]);
        listen_to(&c, "ready\n");
        close(c.out);
        c.out = -1;
        assert_int_equal(write(c.in, "gx", 2), 2);
        int exit = over(&c);
        snprintf(wanted, sizeof wanted,
                 "check: 4096\nready\n%s: closed\nthen check: closed\n%s: closed\n"
                 "pollables: ready\nstdin: x\n",
                 all[i], i == 0 || i == 2 ? all[i + 1] : all[i]);
        assert_string_equal(c.said, wanted);
        assert_int_equal(exit, 0);
    }
}

/* Nobody reads, and then there is nobody: a promise of nothing becomes the end. */
static void a_full_pipe_that_is_closed_gives_closed(void **state)
{
    struct world *w = *state;
    struct child c;
    start(w, &c, "fill", "");
    listen_to(&c, "full\n");
    close(c.out);
    c.out = -1;
    assert_int_equal(over(&c), 0);
    assert_contains(c.said, "then check: closed\n");
}

static void every_way_to_read_says_that_the_input_has_ended(void **state)
{
    struct world *w = *state;
    static const char *const ends = "blocking-read: closed\nread: closed\nskip: closed\n"
                                    "blocking-skip: closed\nsplice: closed\n"
                                    "blocking-splice: closed\npollable: ready\n";
    struct child c;
    start(w, &c, "input", "");
    assert_int_equal(write(c.in, "abc", 3), 3);
    listen_to(&c, "read: abc\n");
    close(c.in);
    c.in = -1;
    assert_int_equal(over(&c), 0);
    assert_string_equal(c.said + strlen("read: abc\n"), ends);
    const char *argv[] = {"/bin/sh", "-c", "$cis run $guest input <&-", NULL};
    char guest[700];
    snprintf(guest, sizeof guest, "guest=%s", w->guest);
    w->sys.env[0] = "cis=" CIS_PROGRAM;
    w->sys.env[1] = guest;
    assert_exit(&w->sys, 0, sys_exec(&w->sys, argv));
    assert_string_equal(sys_err(&w->sys), ends);
}

static void only_terminals_are_terminals_for_components(void **state)
{
    struct world *w = *state;
    int master, slave, errors[2], status;
    char home[4200], said[200] = "";
    const char *argv[] = {CIS_PROGRAM, "run", w->guest, "terminals", NULL};
    assert_exit(&w->sys, 0, RUN(w->guest, "terminals"));
    assert_string_equal(sys_err(&w->sys), "terminals: 000\n");
    snprintf(home, sizeof home, "CIS_HOME=%s", w->sys.home);
    assert_true(openpty(&master, &slave, NULL, NULL, NULL) == 0 && pipe2(errors, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(slave, 0);
        dup2(slave, 1);
        dup2(errors[1], 2);
        putenv(home);
        execv(CIS_PROGRAM, (char **)(uintptr_t)argv);
        _exit(99);
    }
    close(errors[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(read(errors[0], said, sizeof said - 1) > 0);
    assert_string_equal(said, "terminals: 110\n");
    assert_int_equal(status, 0);
    close(errors[0]);
    close(master);
    close(slave);
}

/* poll(2) takes as many as there may be descriptors; a guest may have more than that. */
static void there_may_be_more_pollables_than_descriptors(void **state)
{
    struct world *w = *state;
    char line[900];
    snprintf(line, sizeof line,
             "mkfifo %s/pipe && exec 3<>%s/pipe && ulimit -n 200 && exec %s run %s polls 20000 <&3",
             w->sys.home, w->sys.home, CIS_PROGRAM, w->guest);
    assert_exit(&w->sys, 0, sys_exec(&w->sys, (const char *const[]){"/bin/sh", "-c", line, NULL}));
    assert_string_equal(sys_err(&w->sys), "1 ready, the first 10000\n");
}

static void directories_that_are_read_are_charged_and_capped(void **state)
{
    struct world *w = *state;
    char dir[4300];
    snprintf(dir, sizeof dir, "%s/files", w->sys.home);
    assert_ok(cis_file_mkdirs(dir, 0700, err));
    sys_file(&w->sys, "files/one", "1", 1);
    snprintf(dir, sizeof dir, "%s/files::/d:ro", w->sys.home);
    assert_exit(&w->sys, 0, RUN("--dir", dir, w->guest, "listings", "200"));
    assert_string_equal(sys_err(&w->sys), "200 listings\n");
    assert_exit(&w->sys, 0, RUN("--files", "20", "--dir", dir, w->guest, "listings", "200"));
    assert_string_equal(sys_err(&w->sys), "error-code 22\n20 listings\n"); /* memory: no case */
    w->sys.env[0] = "CIS_LIMITS_HOST_BYTES=1MiB";
    assert_exit(&w->sys, 125, RUN("--dir", dir, w->guest, "listings", "200"));
    assert_contains(sys_err(&w->sys), "host-bytes");
    assert_contains(sys_err(&w->sys), "1048576");
}

static void memory_that_a_guest_does_not_give_ends_it(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = {"traps", "outside", "aslant", "calls", "exits"};
    assert_exit(&w->sys, 0, RUN("--env", "A=b", w->guest, "realloc", "fine"));
    assert_string_equal(sys_err(&w->sys), "still here\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_exit(&w->sys, 134, RUN("--env", "A=b", w->guest, "realloc", bad[i]));
        assert_lacks(sys_err(&w->sys), "still here");
    }
    assert_exit(&w->sys, 124, RUN("--time", "300ms", "--env", "A=b", w->guest, "realloc", "spins"));
    assert_exit(&w->sys, 125,
                RUN("--fuel", "100000000", "--env", "A=b", w->guest, "realloc", "spins"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, sys_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_closed_pipe_gives_closed),
        TEST(a_full_pipe_that_is_closed_gives_closed),
        TEST(every_way_to_read_says_that_the_input_has_ended),
        TEST(only_terminals_are_terminals_for_components),
        TEST(there_may_be_more_pollables_than_descriptors),
        TEST(directories_that_are_read_are_charged_and_capped),
        TEST(memory_that_a_guest_does_not_give_ends_it),
    };
    return cmocka_run_group_tests_name("components at the edges", tests, NULL, NULL);
}
