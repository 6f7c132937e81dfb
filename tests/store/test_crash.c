/* SIGKILL at any moment: children commit runs that each write a file, several keys and a record, a
 * few threads each, so that commits join; they are killed at random moments, and afterwards every
 * run is wholly there or not at all, and every run that was acknowledged is there. Argument: the
 * number of kills (default 12). */
#include "harness.h"
#include "waits.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "store/calls.h"

#define KEYS 5
#define CHILDREN 2
#define THREADS 3

static int kills = 12;

struct acknowledged {
    char id[26];
};

struct committer {
    cis_store *s;
    int fd;
};

/* A run with a file of its own name and some keys. */
static cis_code commit_run(cis_store *s, uint64_t ino, const struct cis_run_row *run)
{
    struct cis_fs_ref ref;
    struct cis_kv_op ops[KEYS + 1];
    char keys[KEYS][40];
    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof keys[i], "%s/%d", run->id, i);
        ops[i] = store_put("a", keys[i], "a value of some length, searchable");
    }
    ops[KEYS] = store_put("a", "latest", run->id);
    CIS_TRY(cis_store_ref_get(s, T, CIS_STR("main"), &ref, NULL, NULL));
    struct cis_fs_time t = {run->started_ms / 1000, 0};
    struct cis_fs_dirent dirent = {
        .parent = 1, .ino = ino, .mode = S_IFREG, .name = cis_str_of(run->id)};
    struct cis_fs_change change = {.kind = CIS_FS_PUT,
                                   .is_new = true,
                                   .inode = {.ino = ino,
                                             .mode = S_IFREG | 0600,
                                             .nlink = 1,
                                             .size = 26,
                                             .atime = t,
                                             .mtime = t,
                                             .ctime = t,
                                             .btime = t,
                                             .is_inline = true,
                                             .data = cis_bytes_of(run->id, 26)}};
    struct cis_fs_delta delta = {.ino = 1, .mtime = t, .ctime = t};
    struct cis_fs_commit fs = {.base = ref.head,
                               .dirents = &dirent,
                               .ndirents = 1,
                               .changes = &change,
                               .nchanges = 1,
                               .deltas = &delta,
                               .ndeltas = 1,
                               .files = 1,
                               .bytes = 26};
    struct cis_store_commit c = {.run = run, .fs = &fs, .kv = ops, .nkv = KEYS + 1};
    return cis_store_commit(s, T, &c, NULL, NULL);
}

/* Commits until killed; writes each id to the pipe once its commit has returned. */
static void *commit_runs(void *arg)
{
    const struct committer *c = arg;
    for (;;) {
        struct cis_run_row run;
        uint64_t ino;
        store_run_row(&run, "a", "ok");
        if (cis_store_reserve_inodes(c->s, T, 1, &ino, NULL, NULL) != CIS_OK ||
            commit_run(c->s, ino, &run) != CIS_OK || write(c->fd, run.id, 26) != 26) {
            _exit(1);
        }
    }
    return NULL;
}

static void commit_for_ever(const char *dir, int fd)
{
    struct committer c = {NULL, fd};
    if (cis_store_sqlite_open(dir, &c.s, NULL) != CIS_OK) {
        _exit(1);
    }
    for (int i = 1; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, commit_runs, &c) != 0) {
            _exit(1);
        }
    }
    (void)commit_runs(&c);
}

struct audit {
    cis_store *store;
    struct cis_map keys; /* run id → count as a pointer */
    size_t runs;
    uint64_t bytes, entries;
    bool latest_known;
};

static bool count_key(void *self, const struct cis_kv_entry *e)
{
    struct audit *a = self;
    a->bytes += e->key.len + e->value.len;
    a->entries++;
    if (e->key.len > 26) {
        struct cis_str id = {e->key.ptr, 26};
        uintptr_t n = (uintptr_t)cis_map_get(&a->keys, id) + 1;
        assert_ok(cis_map_set(&a->keys, id, (void *)n, NULL, err));
    }
    return true;
}

static bool check_run(void *self, const struct cis_run_row *row)
{
    struct audit *a = self;
    assert_int_equal((uintptr_t)cis_map_get(&a->keys, cis_str_of(row->id)), KEYS);
    a->runs++;
    return true;
}

static void audit(const char *dir, int fd, size_t *out_runs)
{
    struct audit a = {.keys = CIS_MAP_INIT};
    assert_ok(cis_store_sqlite_open(dir, &a.store, err));
    const struct cis_store_ops *ops = a.store->ops;
    assert_ok(ops->kv_list(a.store, T, &(struct cis_kv_query){.ns = CIS_STR("a")}, count_key, &a,
                           NULL, err));
    assert_ok(ops->run_list(a.store, T, &(struct cis_run_query){(struct cis_str){NULL, 0}, 0},
                            check_run, &a, NULL, err));
    assert_int_equal(a.runs, a.keys.live); /* no key without its run */
    uint64_t bytes, entries;
    assert_ok(ops->kv_usage(a.store, T, CIS_VIEW_HEAD, &bytes, &entries, NULL, err));
    assert_int_equal(bytes, a.bytes);
    assert_int_equal(entries, a.entries);
    struct cis_fs_ref ref = {.files = 0};
    if (a.runs != 0) { /* else perhaps there is no tenant */
        assert_ok(cis_store_ref_get(a.store, T, CIS_STR("main"), &ref, NULL, err));
    }
    assert_int_equal(ref.files, a.runs);
    assert_int_equal(ref.bytes, a.runs * 26);
    assert_int_equal(ref.head.epoch, a.runs);
    struct acknowledged one;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 0) > 0 && read(fd, one.id, sizeof one.id) == (ssize_t)sizeof one.id) {
        assert_non_null(cis_map_get(&a.keys, (struct cis_str){one.id, 26}));
    }
    *out_runs = a.runs;
    cis_map_done(&a.keys, NULL);
    ops->close(a.store);
}

/* Ends the children after a random time that begins with the first acknowledged run. */
static void kill_round(const char *dir, int round, unsigned *seed, size_t *out_runs)
{
    int fds[2];
    pid_t pids[CHILDREN];
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            close(fds[0]);
            commit_for_ever(dir, fds[1]);
        }
    }
    close(fds[1]);
    if (round % 3 != 0) { /* every third round dies while opening or migrating */
        struct pollfd p = {.fd = fds[0], .events = POLLIN};
        assert_int_equal(poll(&p, 1, WAITS_MS), 1);
    }
    usleep((useconds_t)rand_r(seed) % 20000u); /* not a wait: the moment of death */
    for (int i = 0; i < CHILDREN; i++) {
        kill(pids[i], SIGKILL);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    audit(dir, fds[0], out_runs);
    close(fds[0]);
}

static void a_killed_run_is_wholly_there_or_not_at_all(void **state)
{
    (void)state;
    char *dir = test_dir_new();
    size_t runs = 0, most = 0;
    unsigned seed = test_seed();
    for (int round = 0; round < kills; round++) {
        if (round % 25 == 24) { /* begin anew: the first steps of a store die as well */
            assert_ok(cis_file_remove_tree(dir, err));
        }
        kill_round(dir, round, &seed, &runs);
        most = runs > most ? runs : most;
    }
    print_message("%zu runs at most in one store\n", most);
    assert_true(most > 0);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        kills = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_run_is_wholly_there_or_not_at_all),
    };
    return cmocka_run_group_tests_name("store crash", tests, NULL, NULL);
}
