/* SIGKILL at the nth statement and in the middle of the nth write to the disk. A child goes through
 * the steps of workload.h and tells each that returned; it is killed, and what it left is audited:
 * every step whole or absent, every one that was told there. Argument: the number of kills (default
 * 40), half at statements, half at writes. */
#include "harness.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/file.h"
#include "store/sqlite/sqlite.h"
#include "shim_vfs.h"
#include "statements.h"
#include "workload.h"
#include "store/calls.h"

#define ROUNDS_PER_STORE 20 /* then a new one: the first steps of a store die as well */
#define STEPS 8             /* of one child */

static int kills = 40;

struct told {
    unsigned steps; /* returned */
    long statements, writes;
};

static void work(const char *dir, unsigned from, long statement, long write_at, int fd)
{
    struct told told = {from, 0, 0};
    cis_store *s = NULL;
    shim_register();
    if (!statements_kill(statement, -1)) {
        _exit(1);
    }
    shim_kill(write_at);
    struct cis_error err = {0};
    cis_code code = cis_store_sqlite_open(dir, &s, &err);
    for (unsigned i = 0; code == CIS_OK && i < STEPS; i++) {
        if (i % 3 == 2) {
            cis_store_close(s);
            code = workload_fold(dir, i % 2 == 0, &err);
            code = code == CIS_OK ? cis_store_sqlite_open(dir, &s, &err) : code;
            if (code != CIS_OK) {
                break;
            }
        }
        code = workload_step(s, from + i, &err);
        told = (struct told){from + i + 1, statements, shim_count()};
        if (code == CIS_OK && write(fd, &told, sizeof told) != sizeof told) {
            _exit(1);
        }
    }
    if (code != CIS_OK) {
        fprintf(stderr, "step: %s\n", err.msg);
        _exit(1);
    }
    cis_store_close(s);
    _exit(0);
}

/* Returns whether the child was killed; what it told last. */
static bool child(const char *dir, unsigned from, long statement, long write_at,
                  struct told *out_told)
{
    int fds[2], status = 0;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        work(dir, from, statement, write_at, fds[1]);
    }
    close(fds[1]);
    *out_told = (struct told){from, 0, 0};
    struct told told;
    while (read(fds[0], &told, sizeof told) == sizeof told) {
        *out_told = told;
    }
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return killed;
}

static void at_whatever_statement_or_write_a_process_dies_steps_are_whole_or_absent(void **state)
{
    (void)state;
    char *dir = test_dir_new();
    unsigned seed = test_seed(), next = 0;
    struct told told;
    /* How many statements and writes a child makes that begins with a new store. */
    assert_false(child(dir, 0, -1, -1, &told));
    long nstatements = told.statements, nwrites = told.writes;
    assert_true(nstatements > 200 && nwrites > 100);
    int died = 0, progressed = 0;
    for (int round = 0; died < kills && round < 3 * kills; round++) {
        if (round % ROUNDS_PER_STORE == 0) {
            assert_ok(cis_file_remove_tree(dir, err));
            assert_int_equal(mkdir(dir, 0700), 0);
            next = 0;
        }
        bool at_write = round % 2 != 0;
        long at = (long)((unsigned)rand_r(&seed) % (unsigned)(at_write ? nwrites : nstatements));
        died += child(dir, next, at_write ? -1 : at, at_write ? at : -1, &told);
        unsigned before = next;
        next = workload_audit(dir, told.steps);
        assert_true(next <= told.steps + 1);
        progressed += next > before;
    }
    print_message("%d kills among %ld statements and %ld writes, %d made progress\n", died,
                  nstatements, nwrites, progressed);
    assert_int_equal(died, kills);
    assert_true(progressed > kills / 4);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        kills = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_whatever_statement_or_write_a_process_dies_steps_are_whole_or_absent),
    };
    return cmocka_run_group_tests_name("store kill", tests, NULL, NULL);
}
