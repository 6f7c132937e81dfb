/* The write-ahead log stays short, whatever readers do and however short the life of a writer is.
 * Argument: processes that commit once and end (default 200). */
#include "harness.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/file.h"
#include "store/sqlite/internal.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "store/calls.h"

enum { READERS = 4, WRITES = 12000, VALUE = 8000 };
enum { BIG = 60000, LOG_MOST = 40 << 20, LOG_ALONE = 8 << 20 };
/* Of processes that commit HUGE each: all of it would be 60 MB of log. */
enum { HUGE = 1000000, LOG_KILLED = 20 << 20, LOG_BESIDE = 24 << 20 };
static int processes = 200;

struct crowd {
    cis_store *s;
    atomic_bool end;
};

static bool ignore(void *self, const struct cis_kv_entry *entry)
{
    (void)self;
    (void)entry;
    return true;
}

static bool ignore_inode(void *self, const struct cis_fs_inode *inode)
{
    (void)self;
    (void)inode;
    return true;
}

/* One read transaction after the other, by turns kept open between operations and not. */
static void *read_on(void *arg)
{
    struct crowd *c = arg;
    uint64_t root = CIS_FS_ROOT;
    while (!c->end) {
        struct cis_fs_ref ref;
        bool found;
        assert_ok(cis_store_ref_get(c->s, T, CIS_STR("main"), &ref, NULL, err));
        assert_ok(cis_store_inodes(c->s, T, &(struct cis_fs_inode_query){ref.head, &root, 1},
                                   ignore_inode, NULL, NULL, err));
        assert_ok(cis_store_kv_get(
            c->s, T,
            &(struct cis_kv_get_query){CIS_VIEW_HEAD, CIS_STR("a"), CIS_STR("k"), ignore, NULL},
            &found, NULL, err));
    }
    return NULL;
}

static void the_log_stays_short_while_readers_overlap(void **state)
{
    char *dir = test_dir_new(), path[600], *value = malloc(VALUE + 1);
    struct crowd c = {.s = NULL};
    pthread_t readers[READERS];
    int64_t longest = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/tenants/default.db-wal", dir);
    memset(value, 'v', VALUE);
    value[VALUE] = 0;
    assert_ok(cis_store_sqlite_open(dir, &c.s, err));
    struct cis_kv_op op = store_put("a", "k", value);
    assert_ok(store_apply(c.s, &op, 1, err));
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &c), 0);
    }
    uint64_t began = cis_clock_mono_ns();
    for (int i = 0; i < WRITES && cis_clock_mono_ns() - began < 8 * CIS_NS_PER_S; i++) {
        struct stat st;
        value[0] = (char)('a' + i % 20);
        assert_ok(store_apply(c.s, &op, 1, err));
        assert_int_equal(stat(path, &st), 0);
        longest = st.st_size > longest ? (int64_t)st.st_size : longest;
    }
    c.end = true;
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    print_message("%" PRId64 " KiB at most\n", longest / 1024);
    assert_in_range(longest, 1, LOG_MOST);
    cis_store_close(c.s);
    assert_ok(cis_file_remove_tree(dir, err));
    free(value);
    free(dir);
}

static void head_of(const char *log, char out[32])
{
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, out, 32, 0), 32);
    close(fd);
}

/* To cut it would cost as many syncs again. */
static void a_long_log_is_begun_anew_and_not_cut_by_a_process_that_stays(void **state)
{
    (void)state;
    enum { COMMITS_MOST = 20000, KEPT = 16 << 20 }; /* journal_size_limit */
    char *dir = test_dir_new(), path[600], log[610], before[32], now[32];
    static char value[BIG];
    cis_store *s = NULL;
    struct sql_conn *reader = NULL;
    struct stat st = {0};
    snprintf(path, sizeof path, "%s/tenants/default.db", dir);
    snprintf(log, sizeof log, "%s-wal", path);
    memset(value, 'v', sizeof value - 1);
    struct cis_kv_op op = store_put("a", "k", value);
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    assert_ok(store_apply(s, &op, 1, err));
    assert_ok(cis_sql_tenant_file_open(path, &reader, err));
    assert_ok(cis_sql_exec(reader, "BEGIN; SELECT count(*) FROM sqlite_schema", "reading", err));
    for (int i = 0; st.st_size <= 13 << 20; i++) {
        assert_true(i < COMMITS_MOST);
        value[0] = (char)('a' + i % 20);
        assert_ok(store_apply(s, &op, 1, err));
        assert_int_equal(stat(log, &st), 0);
    }
    cis_sql_conn_close(reader);
    int64_t size = st.st_size;
    head_of(log, before);
    memcpy(now, before, sizeof now);
    for (int i = 0; memcmp(before, now, sizeof now) == 0; i++) {
        assert_true(i < COMMITS_MOST);
        value[0] = (char)('a' + i % 20);
        assert_ok(store_apply(s, &op, 1, err));
        assert_int_equal(stat(log, &st), 0);
        assert_true(st.st_size >= (size < KEPT ? size : KEPT));
        size = st.st_size;
        head_of(log, now);
    }
    assert_in_range(size, 1, LOG_MOST);
    cis_store_close(s);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

/* ---- a process for each commit ---- */

enum { WITH_READER = 1, WITH_KILLS = 2 };

/* Every third value is large; with a reader or kills each is larger, so that few processes
 * reach the bound when the log is not cut. */
static size_t value_len(int i, unsigned how)
{
    return how != 0 ? HUGE - 1 : i % 3 == 0 ? BIG - 1 : 10;
}

static void one_commit(const char *dir, int i, unsigned how, int fd)
{
    static char value[HUGE];
    char key[32];
    cis_store *s = NULL;
    snprintf(key, sizeof key, "k%d", i);
    memset(value, 'a' + i % 26, value_len(i, how));
    struct cis_kv_op op = store_put("a", key, value);
    if (cis_store_sqlite_open(dir, &s, NULL) != CIS_OK || store_apply(s, &op, 1, NULL) != CIS_OK ||
        write(fd, &i, sizeof i) != (ssize_t)sizeof i) {
        _exit(1);
    }
    cis_store_close(s);
    _exit(0);
}

static pid_t reader_process(const char *dir)
{
    pid_t self = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct crowd c = {.s = NULL};
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it reads for ever, also when the test fails */
        if (getppid() != self) {
            _exit(1);
        }
        if (cis_store_sqlite_open(dir, &c.s, NULL) == CIS_OK) {
            (void)read_on(&c);
        }
        _exit(1);
    }
    return pid;
}

static void end_process(pid_t pid, bool *out_killed)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *out_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(*out_killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

/* Every commit that was answered is there, and the log was short all the time. */
static void by_processes(int n, unsigned how)
{
    char *dir = test_dir_new(), path[600];
    int64_t most = how == 0 ? LOG_ALONE : how == WITH_KILLS ? LOG_KILLED : LOG_BESIDE;
    int64_t longest = 0;
    int killed = 0, fds[2], told;
    unsigned seed = test_seed();
    bool *answered = calloc((size_t)n, sizeof *answered), was_killed;
    pid_t reader = 0;
    snprintf(path, sizeof path, "%s/tenants/default.db-wal", dir);
    for (int i = 0; i < n; i++) {
        struct stat st;
        fflush(NULL);
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            one_commit(dir, i, how, fds[1]);
        }
        close(fds[1]);
        if (i != 0 && (how & WITH_KILLS) != 0 && i % 2 == 0) {
            usleep((useconds_t)rand_r(&seed) % 40000u); /* not a wait: the moment of death */
            kill(pid, SIGKILL);
        }
        answered[i] = read(fds[0], &told, sizeof told) == (ssize_t)sizeof told;
        close(fds[0]);
        end_process(pid, &was_killed);
        killed += was_killed;
        assert_true(answered[i] || was_killed);
        longest = stat(path, &st) == 0 && st.st_size > longest ? (int64_t)st.st_size : longest;
        if (longest > most) {
            fail_msg("after %d processes the log has %" PRId64 " KiB", i + 1, longest / 1024);
        }
        if (i == 0 && (how & WITH_READER) != 0) {
            reader = reader_process(dir);
        }
    }
    if (reader != 0) {
        kill(reader, SIGKILL);
        end_process(reader, &was_killed);
    }
    print_message("%" PRId64 " KiB at most, %d of %d killed\n", longest / 1024, killed, n);
    cis_store *s = NULL;
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    for (int i = 0; i < n; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%d", i);
        char *value = store_get(s, "a", key);
        assert_true(value != NULL || !answered[i]);
        assert_true(value == NULL || strlen(value) == value_len(i, how));
        free(value);
    }
    cis_store_close(s);
    assert_ok(cis_file_remove_tree(dir, err));
    free(answered);
    free(dir);
}

static void the_log_stays_short_when_each_commit_has_a_process_of_its_own(void **state)
{
    (void)state;
    by_processes(processes, 0);
}

static void the_log_stays_short_when_a_reader_is_beside_such_processes(void **state)
{
    (void)state;
    by_processes(processes * 3 / 10, WITH_READER);
}

static void the_log_stays_short_when_such_processes_are_killed(void **state)
{
    (void)state;
    by_processes(processes / 2, WITH_KILLS);
}

/* It is opened for one commit at a time, also by a process that lives long. */
static void the_log_of_the_catalogue_stays_short(void **state)
{
    (void)state;
    char *dir = test_dir_new(), path[600], name[CIS_TENANT_MAX + 1];
    struct sql_store at = {.dir = dir};
    int64_t longest = 0;
    snprintf(path, sizeof path, "%s/catalogue.db-wal", dir);
    for (int i = 0; i < 800; i++) {
        struct stat st;
        snprintf(name, sizeof name, "tenant-with-a-long-name-%d", i * 7919 % 800);
        assert_ok(cis_sql_catalogue_enter(&at, name, NULL, err));
        longest = stat(path, &st) == 0 && st.st_size > longest ? (int64_t)st.st_size : longest;
    }
    print_message("%" PRId64 " KiB at most\n", longest / 1024);
    assert_in_range(longest, 1, 5 << 20);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

/* Its log is long then, and no commit waits for it to become shorter. */
static void a_reader_of_the_catalogue_holds_no_commit_up(void **state)
{
    (void)state;
    enum { FRAMES = 1600, COMMITS = 20, WAIT_MS = 300 };
    char *dir = test_dir_new(), path[600], name[CIS_TENANT_MAX + 1];
    struct sql_store at = {.dir = dir};
    struct sql_conn *reader = NULL;
    struct stat st = {0};
    snprintf(path, sizeof path, "%s/catalogue.db-wal", dir);
    assert_ok(cis_sql_catalogue_enter(&at, "first", NULL, err));
    assert_ok(cis_sql_catalogue_open(&at, NULL, &reader, err));
    assert_ok(cis_sql_exec(reader, "BEGIN; SELECT count(*) FROM sqlite_schema", "reading", err));
    for (int i = 0; st.st_size < FRAMES * 8216; i++) {
        assert_true(i < 2 * FRAMES);
        snprintf(name, sizeof name, "tenant-%d", i * 7919 % 10000);
        assert_ok(cis_sql_catalogue_enter(&at, name, NULL, err));
        assert_int_equal(stat(path, &st), 0);
    }
    uint64_t began = cis_clock_mono_ns();
    for (int i = 0; i < COMMITS; i++) {
        snprintf(name, sizeof name, "late-%d", i);
        assert_ok(cis_sql_catalogue_enter(&at, name, NULL, err));
    }
    uint64_t took_ms = (cis_clock_mono_ns() - began) / CIS_NS_PER_MS;
    print_message("%d commits in %" PRIu64 " ms\n", COMMITS, took_ms);
    assert_true(took_ms < (uint64_t)COMMITS * WAIT_MS / 2);
    cis_sql_conn_close(reader);
    assert_ok(cis_sql_catalogue_enter(&at, "last", NULL, err));
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 0, 1 << 20);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        processes = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_stays_short_when_each_commit_has_a_process_of_its_own),
        cmocka_unit_test(the_log_stays_short_when_a_reader_is_beside_such_processes),
        cmocka_unit_test(the_log_stays_short_when_such_processes_are_killed),
        cmocka_unit_test(the_log_of_the_catalogue_stays_short),
        cmocka_unit_test(a_reader_of_the_catalogue_holds_no_commit_up),
        cmocka_unit_test(the_log_stays_short_while_readers_overlap),
        cmocka_unit_test(a_long_log_is_begun_anew_and_not_cut_by_a_process_that_stays),
    };
    return cmocka_run_group_tests_name("store/sqlite log", tests, NULL, NULL);
}
