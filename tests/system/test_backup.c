/* `cis store backup` and `cis store restore` as a user has them: what they refuse, what a kill or a
 * full disk leaves behind, how much memory they take. CIS_KILL_ROUNDS: kills. */
#include "stored.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/crypto.h"

#define SMALL (3u << 20)
#define LARGE (96u << 20)

static void put(struct sys *s, const char *name, size_t len)
{
    uint8_t *bytes = malloc(len);
    char target[64];
    cis_random_bytes(bytes, len);
    const char *path = sys_file(s, name, bytes, len);
    snprintf(target, sizeof target, "/%s", name);
    assert_exit(s, 0, cis(s, "fs", "put", path, target));
    free(bytes);
}

static const char *in_home(const struct sys *s, const char *name, char out[700])
{
    snprintf(out, 700, "%s/%s", s->home, name);
    return out;
}

static bool there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Files in the folder whose name begins so. */
static unsigned count(const char *dir, const char *begin, bool remove)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (strncmp(e->d_name, begin, strlen(begin)) == 0) {
            char path[1200];
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            n++;
            if (remove) {
                assert_ok(cis_file_remove_tree(path, err));
            }
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

/* Where to restore: "--store" of a folder, or of a new database. Its commands' store is then that
 * one. */
static void elsewhere(struct world *w, const char *name, char out[600])
{
    if (cluster == NULL) {
        snprintf(out, 600, "sqlite:%s/%s", w->sys.home, name);
        return;
    }
    static unsigned n;
    char db[64], sql[128];
    snprintf(db, sizeof db, "elsewhere%u", n++);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s", db);
    pgcluster_run(cluster, "postgres", sql);
    char *url = pgcluster_url(cluster, "postgres", db);
    snprintf(out, 600, "%s", url);
    free(url);
}

static void a_backup_is_restored_elsewhere(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    char dest[700], store[600], got[700], original[700];
    put(s, "noise", SMALL);
    assert_exit(s, 0, cis(s, "memory", "set", "k", "a value", "--skill", "a"));
    assert_exit(s, 0, cis(s, "fs", "snapshot", "before"));
    assert_exit(s, 0, cis(s, "fs", "rm", "/noise"));
    assert_exit(s, 0, cis(s, "tenant", "create", "second"));
    in_home(s, "backup", dest);
    assert_exit(s, 0, cis(s, "store", "backup", dest, "--json"));
    assert_contains(sys_out(s), "\"tenants\":2,");
    assert_contains(sys_out(s), "\"verified\":true");
    struct stat st;
    assert_int_equal(stat(dest, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(count(s->home, "backup.tmp", false), 0);
    elsewhere(w, "other", store);
    assert_exit(s, 0, cis(s, "store", "restore", dest, "--store", store));
    assert_contains(sys_out(s), "2 tenants");
    assert_exit(s, 0, cis(s, "fs", "fsck", "--data", "--store", store));
    assert_exit(s, 0, cis(s, "memory", "get", "k", "--skill", "a", "--store", store));
    assert_string_equal(sys_out(s), "a value");
    in_home(s, "got", got);
    in_home(s, "noise", original);
    assert_exit(s, 0, cis(s, "fs", "get", "--at", "before", "/noise", got, "--store", store));
    assert_int_equal(sys_exec(s, (const char *const[]){"/usr/bin/cmp", got, original, NULL}), 0);
    /* A second time it holds tenants. */
    assert_exit(s, 4, cis(s, "store", "restore", dest, "--store", store));
    assert_contains(sys_err(s), "holds tenants");
}

static void what_would_be_lost_is_refused(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    char dest[700], inside[700], link[700];
    assert_exit(s, 0, cis(s, "memory", "set", "k", "v", "--skill", "a"));
    in_home(s, "backup", dest);
    assert_exit(s, 2, cis(s, "store", "backup"));
    assert_exit(s, 0, cis(s, "store", "backup", dest));
    assert_exit(s, 4, cis(s, "store", "backup", dest));
    assert_contains(sys_err(s), "exists already");
    assert_exit(s, 0, cis(s, "store", "backup", "--replace", dest));
    assert_exit(s, 2, cis(s, "store", "backup", "--replace", s->home));
    assert_exit(s, 3, cis(s, "store", "restore", in_home(s, "nothing", inside)));
    assert_exit(s, 2, cis(s, "store", "restore", s->home));
    const char *other = sys_file(s, "other", "not a backup at all, and not long either", 40);
    char store[600];
    elsewhere(w, "new", store);
    assert_exit(s, 3, cis(s, "store", "restore", other, "--store", store));
    assert_contains(sys_err(s), "not a backup");
    if (cluster != NULL) {
        assert_exit(s, 4, cis(s, "store", "restore", dest)); /* a user who may only use a store */
        return;
    }
    assert_exit(s, 2, cis(s, "store", "backup", in_home(s, "store/backup", inside)));
    assert_contains(sys_err(s), "within the store's folder");
    char folder[700];
    assert_int_equal(symlink(in_home(s, "store", folder), in_home(s, "link", link)), 0);
    assert_exit(s, 2, cis(s, "store", "backup", in_home(s, "link/backup", inside)));
    assert_exit(s, 3, cis(s, "store", "backup", dest, "--store", "sqlite:/nowhere/at/all"));
}

/* ---- ends that nobody chose ---- */
static pid_t start(struct sys *s, const char *const *argv)
{
    char home[4200];
    snprintf(home, sizeof home, "CIS_HOME=%s", s->home);
    const char *asan = getenv("ASAN_OPTIONS");
    char asan_env[1024];
    snprintf(asan_env, sizeof asan_env, "ASAN_OPTIONS=%s", asan != NULL ? asan : "");
    const char *envp[] = {"PATH=/usr/bin:/bin", home, s->env[0], asan_env, NULL};
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
        _exit(99);
    }
    return pid;
}

/* The signal after so long; how it ended. */
static int ended(pid_t pid, int sig, unsigned after_us, struct rusage *out)
{
    int status;
    struct rusage use;
    if (sig != 0) {
        usleep(after_us);
        kill(pid, sig);
    }
    assert_int_equal(wait4(pid, &status, 0, &use), pid);
    if (out != NULL) {
        *out = use;
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static unsigned random_us(unsigned below)
{
    uint32_t n;
    cis_random_bytes(&n, sizeof n);
    return n % below;
}

static uint64_t took_us(struct sys *s, const char *dest)
{
    uint64_t before = cis_clock_mono_ns();
    assert_exit(s, 0, cis(s, "store", "backup", "--replace", dest));
    return (cis_clock_mono_ns() - before) / 1000;
}

static int rounds(void)
{
    const char *text = getenv("CIS_KILL_ROUNDS");
    return text != NULL ? (int)strtol(text, NULL, 10) : 12;
}

static void a_killed_backup_leaves_the_store_and_no_backup(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    char dest[700], spare[700];
    put(s, "noise", SMALL);
    in_home(s, "backup", dest);
    unsigned us = (unsigned)took_us(s, in_home(s, "spare", spare)) * 5 / 4;
    for (int i = 0; i < rounds(); i++) {
        const char *const argv[] = {CIS_PROGRAM, "store", "backup", dest, NULL};
        int code = ended(start(s, argv), SIGKILL, random_us(us), NULL);
        if (there(dest)) { /* then it is whole, whether its program could say so or not */
            char store[600];
            elsewhere(w, "whole", store);
            assert_exit(s, 0, cis(s, "store", "restore", dest, "--store", store));
            (void)count(s->home, "whole", true);
            assert_int_equal(unlink(dest), 0);
        } else {
            assert_int_equal(code, 128 + SIGKILL);
        }
        (void)count(s->home, "backup.tmp", true);
    }
    assert_exit(s, 0, cis(s, "fs", "fsck", "--data"));
    assert_exit(s, 0, cis(s, "fs", "gc", "--keep-runs", "1")); /* nothing is held */
    put(s, "more", 100000);
    assert_exit(s, 0, cis(s, "store", "backup", dest));
}

static void an_interrupted_backup_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    char dest[700], spare[700];
    int interrupted = 0;
    put(s, "noise", 8 * SMALL);
    in_home(s, "backup", dest);
    unsigned us = (unsigned)took_us(s, in_home(s, "spare", spare));
    for (int i = 0; i < 10; i++) {
        const char *const argv[] = {CIS_PROGRAM, "store", "backup", dest, NULL};
        int code = ended(start(s, argv), SIGINT, us / 4 + random_us(us / 2), NULL);
        interrupted += code == 130;
        assert_true(code == 130 || code == 0 || code == 128 + SIGINT); /* before it listened */
        assert_int_equal(there(dest), code == 0);
        assert_int_equal(count(s->home, "backup.tmp", false), 0);
        (void)unlink(dest);
    }
    assert_true(interrupted > 0);
    assert_exit(s, 0, cis(s, "fs", "fsck", "--data"));
}

/* What is kept on the server's disk for removing is no part of a backup, and stays. */
static void assert_reserve(const char *store)
{
    char db[64];
    const char *name = strstr(store, "@/") + 2;
    snprintf(db, sizeof db, "%.*s", (int)strcspn(name, "?"), name);
    PGconn *admin = pgcluster_connect(cluster, "postgres", db);
    PGresult *res = PQexec(admin, "SELECT pg_relation_size('cis.reserve')");
    assert_int_equal(PQntuples(res), 1);
    assert_string_equal(PQgetvalue(res, 0, 0), "16777216");
    PQclear(res);
    PQfinish(admin);
}

/* All of it, or nothing, and then it can be done again. */
static void killed_on_the_server(struct world *w, const char *dest, unsigned us)
{
    struct sys *s = &w->sys;
    for (int i = 0; i < rounds(); i++) {
        char store[600];
        elsewhere(w, "", store);
        const char *const argv[] = {CIS_PROGRAM, "store", "restore", dest, "--store", store, NULL};
        (void)ended(start(s, argv), SIGKILL, random_us(us), NULL);
        int code = cis(s, "store", "restore", dest, "--store", store);
        if (code != 0) {
            assert_int_equal(code, 4);
            assert_contains(sys_err(s), "holds tenants");
        }
        assert_exit(s, 0, cis(s, "fs", "fsck", "--data", "--store", store));
        assert_contains(sys_out(s), " 1 files");
        const char *const again[] = {CIS_PROGRAM, "store",   "restore", "--replace",
                                     dest,        "--store", store,     NULL};
        (void)ended(start(s, again), SIGKILL, random_us(us), NULL);
        assert_exit(s, 0, cis(s, "fs", "fsck", "--data", "--store", store));
        assert_contains(sys_out(s), " 1 files");
        assert_exit(s, 0, cis(s, "store", "restore", "--replace", dest, "--store", store));
        assert_exit(s, 0, cis(s, "fs", "fsck", "--data", "--store", store));
        assert_reserve(store);
    }
}

static void a_killed_restore_leaves_the_old_store_or_the_new(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    char dest[700], store[700];
    put(s, "noise", SMALL);
    in_home(s, "backup", dest);
    unsigned us = (unsigned)took_us(s, dest) * 3;
    if (cluster != NULL) {
        killed_on_the_server(w, dest, us);
        return;
    }
    assert_exit(s, 0, cis(s, "memory", "set", "k", "newer", "--skill", "a"));
    for (int i = 0; i < rounds(); i++) {
        const char *const argv[] = {CIS_PROGRAM, "store", "restore", "--replace", dest, NULL};
        (void)ended(start(s, argv), SIGKILL, random_us(us), NULL);
        assert_exit(s, 0, cis(s, "fs", "fsck", "--data"));
        assert_contains(sys_out(s), " 1 files");
        assert_exit(s, 0, cis(s, "store", "check"));
        int old = cis(s, "memory", "get", "k", "--skill", "a");
        assert_true(old == 0 || old == 3);
        in_home(s, "store", store);
        (void)count(store, "restore.tmp", true);
        (void)count(store, "before-restore", true);
        assert_exit(s, 0, cis(s, "memory", "set", "k", "newer", "--skill", "a"));
    }
    assert_exit(s, 0, cis(s, "store", "restore", "--replace", dest));
    assert_exit(s, 3, cis(s, "memory", "get", "k", "--skill", "a"));
}

static void a_full_disk_says_so(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    char place[700], dest[800];
    put(s, "noise", SMALL);
    in_home(s, "small", place);
    assert_int_equal(mkdir(place, 0700), 0);
    snprintf(dest, sizeof dest, "%s/backup", place);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("none", place, "tmpfs", 0, "size=1m,mode=700") != 0) {
            _exit(77);
        }
        bool good = cis(s, "store", "backup", dest) == 7 &&
                    strstr(sys_err(s), "the disk is full") != NULL && count(place, "b", false) == 0;
        _exit(good ? 0 : 1);
    }
    int code = ended(pid, 0, 0, NULL);
    if (code == 77) {
        not_tested("namespace", "no file system of one's own can be mounted");
    }
    assert_int_equal(code, 0);
    assert_exit(s, 0, cis(s, "fs", "fsck", "--data"));
}

static void a_damaged_store_is_told_and_has_no_backup(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    char dest[700], chunks[700];
    uint8_t byte;
    if (cluster != NULL) {
        skip(); /* tests/history */
    }
    put(s, "noise", SMALL);
    int fd = open(in_home(s, "store/tenants/default.chunks", chunks), O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, 100000), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 100000), 1);
    close(fd);
    in_home(s, "backup", dest);
    assert_exit(s, 7, cis(s, "store", "backup", dest));
    assert_contains(sys_err(s), "damaged: tenant default: chunk 2");
    assert_contains(sys_err(s), "no whole backup");
    assert_false(there(dest));
    assert_int_equal(count(s->home, "backup", false), 0);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_COUNTS false
#else
#define MEMORY_COUNTS true
#endif

static void a_large_store_takes_little_memory(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    char dest[700], store[600];
    struct rusage use;
    put(s, "noise", LARGE);
    in_home(s, "backup", dest);
    elsewhere(w, "other", store);
    const char *const out[] = {CIS_PROGRAM, "store", "backup", dest, NULL};
    const char *const in[] = {CIS_PROGRAM, "store", "restore", dest, "--store", store, NULL};
    assert_int_equal(ended(start(s, out), 0, 0, &use), 0);
    print_message("backup: %ld KiB\n", use.ru_maxrss);
    assert_true(!MEMORY_COUNTS || use.ru_maxrss < 64 << 10);
    assert_int_equal(ended(start(s, in), 0, 0, &use), 0);
    print_message("restore: %ld KiB\n", use.ru_maxrss);
    assert_true(!MEMORY_COUNTS || use.ru_maxrss < 64 << 10);
    assert_exit(s, 0, cis(s, "fs", "fsck", "--store", store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_backup_is_restored_elsewhere),
        TEST(what_would_be_lost_is_refused),
        TEST(a_killed_backup_leaves_the_store_and_no_backup),
        TEST(an_interrupted_backup_leaves_nothing),
        TEST(a_killed_restore_leaves_the_old_store_or_the_new),
        TEST(a_full_disk_says_so),
        TEST(a_damaged_store_is_told_and_has_no_backup),
        TEST(a_large_store_takes_little_memory),
    };
    return STORED_MAIN("backup", tests);
}
