/* A mount whose database does not answer: whoever waits for it can be stopped by a signal, more of
 * them than the mount has threads at first, and when the database is back all goes on. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include "system/system.h"
#include "waits.h"
#include "mounted.h"
#include "tools/pgcluster.h"

#define WAITERS 9

static struct pgcluster *cluster;
static char store_env[300];

static void cis_fs(struct sys *s, const char *verb, const char *dir)
{
    int code = sys_exec(s, (const char *const[]){CIS_PROGRAM, "fs", verb, dir, NULL});
    if (code != 0) {
        fail_msg("cis fs %s: exit %d: %s", verb, code, sys_err(s));
    }
}

static void on_signal(int number)
{
    (void)number;
}

/* Returns when the process sleeps in the kernel, or has ended. */
static void until_it_sleeps(pid_t pid)
{
    char path[64], text[300], state = 'R';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    uint64_t until = cis_clock_mono_ns() + WAITS_NS;
    while (strchr("SDZX", state) == NULL && cis_clock_mono_ns() < until) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
        close(fd);
        text[n > 0 ? n : 0] = 0;
        const char *name_end = strrchr(text, ')');
        state = name_end != NULL && name_end[1] == ' ' ? name_end[2] : 'X';
        usleep(5000);
    }
}

/* Asks for something that nobody knows yet: 0: it was there, 1: EINTR, 2: something else. A signal
 * that is caught does not kill. Returns when it waits for the answer. */
static pid_t waiter(const char *dir, int n, bool catches)
{
    char path[600], byte = 0;
    int told[2];
    snprintf(path, sizeof path, "%s/d%d/f", dir, n);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct stat st;
        struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        if (catches) {
            sigaction(SIGTERM, &act, NULL);
        }
        if (write(told[1], &byte, 1) != 1) {
            _exit(3);
        }
        _exit(stat(path, &st) == 0 ? 0 : errno == EINTR ? 1 : 2);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    close(told[0]);
    close(told[1]);
    until_it_sleeps(pid);
    return pid;
}

/* Did it end within the time? */
static bool ended(pid_t pid, uint64_t within_ns, int *out_status)
{
    uint64_t until = cis_clock_mono_ns() + within_ns;
    do {
        if (waitpid(pid, out_status, WNOHANG) == pid) {
            return true;
        }
        usleep(5000);
    } while (cis_clock_mono_ns() < until);
    return false;
}

static void who_waits_for_the_database_is_stopped_by_a_signal(void **state)
{
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    struct sys *s = *state;
    char *dir = test_dir_new(), path[600];
    pid_t pids[WAITERS];
    int status = 0;
    s->env[0] = store_env;
    cis_fs(s, "mount", dir);
    for (int i = 0; i < WAITERS + 1; i++) {
        snprintf(path, sizeof path, "%s/d%d", dir, i);
        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(path, sizeof path, "%s/d%d/f", dir, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(write(fd, "text", 4), 4);
        close(fd);
    }
    cis_fs(s, "umount", dir);
    cis_fs(s, "mount", dir); /* nothing is cached */
    PGconn *admin = pgcluster_connect(cluster, "postgres", "postgres");
    PQclear(PQexec(admin, "BEGIN"));
    PGresult *res = PQexec(admin, "LOCK TABLE cis.dirent, cis.inode IN ACCESS EXCLUSIVE MODE");
    assert_int_equal(PQresultStatus(res), PGRES_COMMAND_OK);
    PQclear(res);
    for (int i = 0; i < WAITERS; i++) {
        pids[i] = waiter(dir, i, i % 3 == 0);
    }
    for (int i = 0; i < WAITERS; i++) {
        assert_int_equal(waitpid(pids[i], &status, WNOHANG), 0); /* it waits */
        assert_int_equal(kill(pids[i], i % 3 == 2 ? SIGKILL : SIGTERM), 0);
    }
    for (int i = 0; i < WAITERS; i++) {
        if (!ended(pids[i], WAITS_NS, &status)) {
            fail_msg("waiter %d still waits", i);
        }
        if (i % 3 == 0) {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 1);
        } else {
            assert_true(WIFSIGNALED(status));
        }
    }
    /* One without a signal waits on, and gets its answer. */
    pid_t last = waiter(dir, WAITERS, false);
    assert_false(ended(last, 900 * CIS_NS_PER_MS, &status));
    PQclear(PQexec(admin, "ROLLBACK"));
    PQfinish(admin);
    assert_true(ended(last, WAITS_NS, &status));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    for (int i = 0; i < WAITERS; i++) {
        struct stat st;
        snprintf(path, sizeof path, "%s/d%d/f", dir, i);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 4);
    }
    cis_fs(s, "umount", dir);
    rmdir(dir);
    free(dir);
    s->env[0] = NULL;
}

/* The pid in DIR/.tarbox/mount. */
static pid_t server_of(const char *dir)
{
    char path[600], text[2000] = "";
    snprintf(path, sizeof path, "%s/.tarbox/mount", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    const char *at = strstr(text, "\"pid\":");
    assert_non_null(at);
    return (pid_t)strtol(at + strlen("\"pid\":"), NULL, 10);
}

static void a_server_that_is_told_to_end_leaves_nobody_waiting(void **state)
{
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    struct sys *s = *state;
    char *dir = test_dir_new();
    int status = 0;
    s->env[0] = store_env;
    cis_fs(s, "mount", dir);
    pid_t server = server_of(dir);
    PGconn *admin = pgcluster_connect(cluster, "postgres", "postgres");
    PQclear(PQexec(admin, "BEGIN"));
    PQclear(PQexec(admin, "LOCK TABLE cis.dirent, cis.inode IN ACCESS EXCLUSIVE MODE"));
    pid_t pid = waiter(dir, 0, false);
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    assert_int_equal(kill(server, SIGTERM), 0);
    assert_true(ended(pid, WAITS_NS, &status));
    uint64_t until = cis_clock_mono_ns() + WAITS_NS;
    while (kill(server, 0) == 0 && cis_clock_mono_ns() < until) {
        usleep(5000);
    }
    assert_int_equal(kill(server, 0), -1);
    PQclear(PQexec(admin, "ROLLBACK"));
    PQfinish(admin);
    cis_fs(s, "mount", dir); /* its lease was given back */
    cis_fs(s, "umount", dir);
    rmdir(dir);
    free(dir);
    s->env[0] = NULL;
}

/* Programs get signals all the time: a timer does not end what a database answers in time. */
static void a_signal_does_not_end_what_is_answered_soon(void **state)
{
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    struct sys *s = *state;
    char *dir = test_dir_new(), path[600];
    s->env[0] = store_env;
    cis_fs(s, "mount", dir);
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
    struct itimerval often = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &act, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    bool all = true;
    for (int i = 0; i < 300 && all; i++) {
        snprintf(path, sizeof path, "%s/t%d", dir, i);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        all = fd >= 0 && write(fd, path, 20) == 20 && (i % 50 != 0 || fsync(fd) == 0) &&
              close(fd) == 0;
    }
    int no = errno;
    setitimer(ITIMER_REAL, &off, NULL);
    sigaction(SIGALRM, &before, NULL);
    if (!all) {
        fail_msg("%s: %s", path, strerror(no));
    }
    cis_fs(s, "umount", dir);
    rmdir(dir);
    free(dir);
    s->env[0] = NULL;
}

int main(void)
{
    if (!mounted_possible()) {
        return 0;
    }
    cluster = pgcluster_start(NULL);
    char *url = pgcluster_url(cluster, "postgres", "postgres");
    snprintf(store_env, sizeof store_env, "CIS_STORE=%s", url);
    struct sys *s;
    void *state;
    assert_int_equal(sys_setup(&state), 0);
    s = state;
    int code =
        sys_exec(s, (const char *const[]){CIS_PROGRAM, "store", "init", "--store", url, NULL});
    if (code != 0) {
        fprintf(stderr, "cis store init: %s\n", sys_err(s));
        return 1;
    }
    (void)sys_teardown(&state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_waits_for_the_database_is_stopped_by_a_signal,
                                        sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(a_server_that_is_told_to_end_leaves_nobody_waiting,
                                        sys_setup, sys_teardown),
        cmocka_unit_test_setup_teardown(a_signal_does_not_end_what_is_answered_soon, sys_setup,
                                        sys_teardown),
    };
    int failed = cmocka_run_group_tests_name("interrupt", tests, NULL, NULL);
    free(url);
    pgcluster_stop(cluster);
    return failed;
}
