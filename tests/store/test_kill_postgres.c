/* Kills at the nth moment of a connection to PostgreSQL, which writes to a disk that is synced: of
 * the process of cis, of the server's process for it (as an administrator ends it, and by SIGKILL,
 * for which the server throws all out and recovers), of the server, and of the answer alone. What
 * is left is audited: every step of workload.h whole or absent, every one that was told there; and
 * a process that lives on is told nothing but success. Argument: the number of kills (default 12).
 */
#include "harness.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "store/postgres/postgres.h"
#include "tools/pgcluster.h"
#include "contract.h"
#include "workload_postgres.h"
#include "store/calls.h"

#define ROUNDS_PER_STORE 24 /* then a new one: the first steps of a store die as well */
#define STEPS 8             /* of one round */

enum how { CLIENT, BACKEND, ANSWER, CRASH, SERVER };
/* Those for which the server recovers take longest. */
static const enum how kinds[] = {CLIENT, BACKEND, ANSWER, CRASH, CLIENT, BACKEND, ANSWER, SERVER};
#define KINDS (sizeof kinds / sizeof *kinds)
static const char *const names[] = {"of the client", "of its backend", "of an answer",
                                    "of a backend by SIGKILL", "of the server"};

static int kills = 12;
static struct pgcluster *cluster;
static char *url;

/* A recovery syncs the filesystem at once, not each file of three databases. */
static const char settings[] = "fsync = on\nrecovery_init_sync_method = syncfs\n";

/* ---- moments: statements sent, transactions sent, answers awaited ---- */
static long moments, at_moment = -1;
static enum how how;
static bool hit;

static void moment(const PGconn *conn)
{
    if (moments++ != at_moment) {
        return;
    }
    hit = true;
    switch (how) {
    case CLIENT:
        raise(SIGKILL);
        break;
    case BACKEND:
        (void)kill(PQbackendPID(conn), SIGTERM);
        break;
    case ANSWER:
        (void)shutdown(PQsocket(conn), SHUT_RD);
        break;
    case CRASH:
        (void)kill(PQbackendPID(conn), SIGKILL);
        break;
    case SERVER:
        pgcluster_kill(cluster);
        pgcluster_again(cluster);
        break;
    }
}

int __real_PQsendQueryPrepared(PGconn *conn, const char *name, int n, const char *const *values,
                               const int *lengths, const int *formats, int format);
int __wrap_PQsendQueryPrepared(PGconn *conn, const char *name, int n, const char *const *values,
                               const int *lengths, const int *formats, int format);
int __wrap_PQsendQueryPrepared(PGconn *conn, const char *name, int n, const char *const *values,
                               const int *lengths, const int *formats, int format)
{
    moment(conn);
    return __real_PQsendQueryPrepared(conn, name, n, values, lengths, formats, format);
}

int __real_PQsendQueryParams(PGconn *conn, const char *text, int n, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int format);
int __wrap_PQsendQueryParams(PGconn *conn, const char *text, int n, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int format);
int __wrap_PQsendQueryParams(PGconn *conn, const char *text, int n, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int format)
{
    moment(conn);
    return __real_PQsendQueryParams(conn, text, n, types, values, lengths, formats, format);
}

int __real_PQpipelineSync(PGconn *conn);
int __wrap_PQpipelineSync(PGconn *conn);
int __wrap_PQpipelineSync(PGconn *conn)
{
    int sent = __real_PQpipelineSync(conn);
    (void)PQflush(conn); /* so that the server may have done it, or not */
    moment(conn);
    return sent;
}

int __real_PQconsumeInput(PGconn *conn);
int __wrap_PQconsumeInput(PGconn *conn);
int __wrap_PQconsumeInput(PGconn *conn)
{
    moment(conn);
    return __real_PQconsumeInput(conn);
}

/* ---- the steps ---- */
struct told {
    unsigned steps; /* returned */
    long moments;
};

static cis_store *store_open(void)
{
    struct cis_store_postgres_options o = CIS_STORE_POSTGRES_OPTIONS_INIT;
    cis_store *s = NULL;
    o.connect_ms = 60000;
    assert_ok(cis_store_postgres_open(url, &o, &s, NULL, err));
    return s;
}

/* fd: told after each step; -1: to nobody. */
static struct told work(unsigned from, long at, int fd)
{
    struct told told = {from, 0};
    struct cis_error why = {0};
    moments = 0;
    hit = false;
    at_moment = at;
    cis_store *s = store_open();
    for (unsigned i = from; i < from + STEPS; i++) {
        cis_code code = workload_step(s, i, &why);
        if (code != CIS_OK) {
            fail_msg("%s at moment %ld: step %u: %s", names[how], at, i, why.msg);
        }
        told = (struct told){i + 1, moments};
        if (fd >= 0 && write(fd, &told, sizeof told) != sizeof told) {
            _exit(1);
        }
    }
    at_moment = -1;
    cis_store_close(s);
    return told;
}

/* The same in a process that dies. */
static struct told work_and_die(unsigned from, long at)
{
    int fds[2], status = 0;
    struct told told = {from, 0}, got;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        (void)work(from, at, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    while (read(fds[0], &got, sizeof got) == sizeof got) {
        told = got;
    }
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    hit = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(hit || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return told;
}

/* ---- the audit ---- */
static unsigned audit(unsigned acked)
{
    cis_store *s = store_open();
    unsigned n = workload_audit_store(s, acked);
    cis_store_close(s);
    workload_audit_rows(cluster, url);
    return n;
}

static void at_whatever_moment_something_dies_steps_are_whole_or_absent(void **state)
{
    (void)state;
    unsigned seed = test_seed(), next = 0;
    int died[5] = {0}, all = 0, progressed = 0;
    url = pgcluster_store(cluster);
    struct told begun = work(0, -1, -1); /* begins with a new store */
    long many = begun.moments;
    next = audit(begun.steps);
    assert_true(many > 100);
    for (int round = 0; all < kills && round < 3 * kills; round++) {
        if (round % ROUNDS_PER_STORE == ROUNDS_PER_STORE - 1) {
            pgcluster_drop(cluster, url);
            url = pgcluster_store(cluster);
            next = 0;
        }
        unsigned before = next;
        how = kinds[(unsigned)all % KINDS]; /* the same until it hits */
        long at = (long)((unsigned)rand_r(&seed) % (unsigned)many);
        struct told told = how == CLIENT ? work_and_die(before, at) : work(before, at, -1);
        next = audit(told.steps);
        assert_true(next <= told.steps + (how == CLIENT));
        died[how] += hit;
        all += hit;
        progressed += next > before;
    }
    print_message("%d kills among %ld moments, %d made progress:", all, many, progressed);
    for (int i = 0; i < 5; i++) {
        print_message(" %d %s%s", died[i], names[i], i < 4 ? "," : "\n");
        assert_true(died[i] > 0);
    }
    assert_int_equal(all, kills);
    assert_true(progressed > kills / 4);
    pgcluster_drop(cluster, url);
}

static bool count_tenant(void *self, const struct cis_tenant *tenant)
{
    (void)tenant;
    (*(int *)self)++;
    return true;
}

/* A command that only looks, of many tenants. */
static void look(long at)
{
    int n = 0;
    moments = 0;
    hit = false;
    at_moment = at;
    cis_store *s = store_open();
    assert_ok(cis_store_tenant_list(s, count_tenant, &n, NULL, err));
    assert_int_equal(n, 3);
    at_moment = -1;
    cis_store_close(s);
}

static void a_store_is_opened_and_listed_whenever_its_connection_ends(void **state)
{
    (void)state;
    static const struct cis_str tenants[] = {{"one", 3}, {"two", 3}, {"three", 5}};
    url = pgcluster_store(cluster);
    cis_store *s = store_open();
    for (size_t i = 0; i < sizeof tenants / sizeof *tenants; i++) {
        assert_ok(cis_store_tenant_create(s, tenants[i], 0, 0, NULL, err));
    }
    cis_store_close(s);
    look(-1);
    long all = moments, hits = 0;
    for (long at = 0; at < all; at++) {
        how = at % 2 == 0 ? BACKEND : ANSWER;
        look(at);
        hits += hit;
    }
    assert_true(hits > 10); /* an answer may come in fewer pieces, which are moments */
    pgcluster_drop(cluster, url);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        kills = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_is_opened_and_listed_whenever_its_connection_ends),
        cmocka_unit_test(at_whatever_moment_something_dies_steps_are_whole_or_absent),
    };
    cluster = pgcluster_start(settings);
    int failed = cmocka_run_group_tests_name("store kill, PostgreSQL", tests, NULL, NULL);
    pgcluster_stop(cluster);
    return failed;
}
