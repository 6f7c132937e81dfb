/* What happens to a mount: its lease is taken, its server is killed, its layers are switched, its
 * quota is full. Through the kernel, as programs meet it; on SQLite and on a private PostgreSQL
 * server. */
#include "system/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "mounted.h"
#include "waits.h"
#include "base/file.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

#define T CIS_STR("default")

struct place {
    struct sys *sys; /* of world */
    struct world *world;
    char *dir;
    cis_store *store; /* the same that the mount uses, from outside */
};

static void cis_ok(struct place *p, const char *verb, const char *option, const char *value)
{
    const char *argv[8] = {CIS_PROGRAM, "fs", verb, p->dir, option, value, NULL};
    int code = sys_exec(p->sys, argv);
    if (code != 0) {
        fail_msg("cis fs %s: exit %d: %s", verb, code, sys_err(p->sys));
    }
}

static void store_open(struct place *p)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/store", p->sys->home);
    if (p->world->url != NULL) {
        assert_ok(cis_store_postgres_open(p->world->url, NULL, &p->store, NULL, err));
    } else {
        assert_ok(cis_store_sqlite_open(path, &p->store, err));
    }
}

static int place_setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    void *world;
    (void)setup(&world);
    p->world = world;
    p->sys = &p->world->sys;
    p->dir = test_dir_new();
    *state = p;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *p = *state;
    void *world = p->world;
    servers_end(&p->sys->servers); /* the test failed: nothing may stay mounted */
    rmdir(p->dir);
    free(p->dir);
    if (p->store != NULL) {
        cis_store_close(p->store);
    }
    int failed = teardown(&world);
    free(p);
    return failed;
}

static const char *in(const struct place *p, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", p->dir, name);
    return path;
}

static int at_close; /* errno of the last put's close(2); 0 */

/* 0 or errno; of close(2) when all before it went well. */
static int put(const struct place *p, const char *name, const char *text)
{
    at_close = 0;
    int fd = open(in(p, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return errno;
    }
    int no = write(fd, text, strlen(text)) < 0 ? errno : 0;
    at_close = close(fd) != 0 ? errno : 0;
    return no != 0 ? no : at_close;
}

static void assert_text(const struct place *p, const char *name, const char *expected)
{
    char text[4096];
    int fd = open(in(p, name), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail_msg("%s: %s", name, strerror(errno));
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = 0;
    close(fd);
    assert_string_equal(text, expected);
}

static bool text_has(const struct place *p, const char *name, const char *part)
{
    char text[8192] = "";
    int fd = open(in(p, name), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    return strstr(text, part) != NULL;
}

static pid_t server(const struct place *p)
{
    char text[512] = "";
    int fd = open(in(p, ".tarbox/mount"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    json_t *json = json_loads(text, 0, NULL);
    pid_t pid = (pid_t)json_integer_value(json_object_get(json, "pid"));
    json_decref(json);
    assert_true(pid > 1);
    return pid;
}

static struct cis_fs_ref ref_of(struct place *p)
{
    struct cis_fs_ref ref;
    assert_ok(cis_store_ref_get(p->store, T, CIS_STR("main"), &ref, NULL, err));
    return ref;
}

struct found {
    char name[CIS_FS_REF_MAX + 1];
};

static bool find_lost(void *self, const struct cis_fs_ref *ref)
{
    struct found *found = self;
    if (strstr(ref->name, "@lost-") != NULL) {
        memcpy(found->name, ref->name, sizeof found->name);
    }
    return true;
}

static void a_mount_that_lost_its_lease_saves_a_fork_and_only_reads(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    cis_ok(p, "mount", NULL, NULL);
    assert_int_equal(put(p, "before", "committed"), 0);
    cis_ok(p, "umount", NULL, NULL);
    cis_ok(p, "mount", NULL, NULL);
    store_open(p);
    struct cis_fs_ref ref = ref_of(p);
    uint64_t fence;
    assert_true(ref.fence != 0);
    /* Given back in its name, and taken by another. */
    assert_ok(cis_store_lease(
        p->store, T, &(struct cis_fs_lease_request){CIS_STR("main"), ref.holder, ref.fence, 0},
        &fence, NULL, err));
    assert_ok(cis_store_lease(p->store, T,
                              &(struct cis_fs_lease_request){CIS_STR("main"), "thief", 0, 600000},
                              &fence, NULL, err));
    assert_int_equal(put(p, "after", "not committed"), 0);
    int fd = open(in(p, "after"), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    (void)fsync(fd); /* fails, or the keeper was first */
    assert_comes(text_has(p, ".tarbox/last_error", "read-only"));
    assert_true(text_has(p, ".tarbox/last_error", "read-only from now on"));
    assert_int_equal(put(p, "more", "x"), EROFS);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, EROFS);
    close(fd);
    assert_text(p, "before", "committed");
    struct found found = {""};
    assert_ok(cis_store_ref_list(p->store, T, find_lost, &found, NULL, err));
    assert_string_not_equal(found.name, "");
    assert_string_equal(ref_of(p).holder, "thief"); /* and is not given back by us */
    cis_ok(p, "umount", NULL, NULL);
    assert_string_equal(ref_of(p).holder, "thief");
    cis_ok(p, "mount", "--branch", found.name);
    assert_text(p, "after", "not committed");
    assert_text(p, "before", "committed");
    cis_ok(p, "umount", NULL, NULL);
}

/* Every name that the mount could take now is a branch of somebody's, and for a minute the first
 * one of each second. */
static void names_are_taken(struct place *p, const struct cis_fs_ref *ref)
{
    enum { SECONDS = 60, ALL = 6, NAMES = 8 };
    static char names[SECONDS + ALL * NAMES][64];
    struct cis_str list[SECONDS + ALL * NAMES];
    size_t n = 0;
    long now = (long)time(NULL);
    for (int s = 0; s < SECONDS; s++) {
        for (int i = 1; i <= (s < ALL ? NAMES : 1); i++, n++) {
            snprintf(names[n], sizeof names[n], i == 1 ? "main@lost-%ld" : "main@lost-%ld-%d",
                     now + s, i);
            list[n] = cis_str_of(names[n]);
        }
    }
    assert_ok(cis_store_fork(p->store, T, ref->head, list, n, NULL, err));
}

static bool find_second(void *self, const struct cis_fs_ref *ref)
{
    size_t len = strlen(ref->name);
    if (ref->files == 1 && len > 2 && strcmp(ref->name + len - 2, "-2") == 0) {
        (void)find_lost(self, ref);
    }
    return true;
}

/* Two that lost theirs in one second have one name; what stands in the way of saving may end. */
static void what_a_mount_accepted_is_saved_as_soon_as_it_can_be(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    cis_ok(p, "mount", NULL, NULL);
    store_open(p);
    struct cis_fs_ref ref = ref_of(p);
    uint64_t fence;
    assert_ok(cis_store_lease(
        p->store, T, &(struct cis_fs_lease_request){CIS_STR("main"), ref.holder, ref.fence, 0},
        &fence, NULL, err));
    assert_ok(cis_store_lease(p->store, T,
                              &(struct cis_fs_lease_request){CIS_STR("main"), "thief", 0, 600000},
                              &fence, NULL, err));
    names_are_taken(p, &ref);
    assert_int_equal(put(p, "after", "not committed"), 0);
    assert_comes(text_has(p, ".tarbox/last_error", "not saved yet"));
    assert_true(text_has(p, ".tarbox/last_error", "not saved yet"));
    struct found found = {""};
    for (int i = 0; i < 300 && found.name[0] == 0; i++) {
        nanosleep(&(struct timespec){0, 100000000}, NULL);
        assert_ok(cis_store_ref_list(p->store, T, find_second, &found, NULL, err));
    }
    assert_string_not_equal(found.name, "");
    cis_ok(p, "umount", NULL, NULL);
    assert_int_equal(cis(p->sys, "fs", "cat", "/after", "--branch", found.name), 0);
    assert_string_equal(sys_out(p->sys), "not committed");
}

static void a_lease_that_ran_out_unnoticed_is_taken_again(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    cis_ok(p, "mount", NULL, NULL);
    store_open(p);
    struct cis_fs_ref ref = ref_of(p);
    uint64_t fence;
    assert_int_equal(put(p, "f", "written while it was held"), 0);
    /* As after a long sleep: given a millisecond in its name, it runs out, and nobody takes it. */
    assert_ok(cis_store_lease(
        p->store, T, &(struct cis_fs_lease_request){CIS_STR("main"), ref.holder, ref.fence, 1},
        &fence, NULL, err));
    assert_comes(ref_of(p).files != 0);
    assert_int_equal(ref_of(p).files, 1); /* committed by the keeper */
    assert_true(ref_of(p).fence == ref.fence);
    assert_int_equal(put(p, "g", "and it goes on"), 0);
    assert_false(text_has(p, ".tarbox/last_error", "read-only"));
    cis_ok(p, "umount", NULL, NULL);
    assert_int_equal(ref_of(p).files, 2);
}

static void a_killed_server_leaves_what_was_synced(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    cis_ok(p, "mount", NULL, NULL);
    int fd = open(in(p, "synced"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "safe", 4), 4);
    assert_int_equal(fsync(fd), 0);
    close(fd);
    assert_int_equal(kill(server(p), SIGKILL), 0);
    struct stat st;
    assert_comes(put(p, "late", "x") == ENOTCONN);
    assert_int_equal(put(p, "late", "x"), ENOTCONN);
    cis_ok(p, "umount", NULL, NULL);
    assert_int_equal(stat(p->dir, &st), 0);
    cis_ok(p, "mount", "--read-only", NULL);
    assert_text(p, "synced", "safe");
    cis_ok(p, "umount", NULL, NULL);
}

static void dies(struct place *p)
{
    int process = (int)syscall(SYS_pidfd_open, server(p), 0);
    struct pollfd end = {.fd = process, .events = POLLIN};
    assert_int_equal(syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0), 0);
    assert_int_equal(poll(&end, 1, WAITS_MS), 1);
    close(process);
}

/* Half a minute is what it would take to run out. */
static void a_lease_of_a_process_that_ended_is_taken_at_once(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    cis_ok(p, "mount", NULL, NULL);
    assert_int_equal(put(p, "f", "one"), 0);
    dies(p);
    assert_int_equal(cis(p->sys, "fs", "mkdir", "/made"), 0); /* nobody unmounted it yet */
    cis_ok(p, "umount", NULL, NULL);
    cis_ok(p, "mount", NULL, NULL);
    assert_int_equal(put(p, "f", "two"), 0);
    dies(p);
    cis_ok(p, "umount", NULL, NULL);
    cis_ok(p, "mount", NULL, NULL);
    assert_int_equal(put(p, "made/f", "three"), 0);
    /* One that is stopped is not dead. */
    pid_t stopped = server(p);
    char *other = test_dir_new();
    assert_int_equal(kill(stopped, SIGSTOP), 0);
    int code = cis(p->sys, "fs", "mount", other);
    int write = cis(p->sys, "fs", "mkdir", "/other");
    assert_int_equal(kill(stopped, SIGCONT), 0);
    rmdir(other);
    free(other);
    assert_int_equal(code, 8);
    assert_int_equal(write, 8);
    assert_text(p, "made/f", "three");
    cis_ok(p, "umount", NULL, NULL);
}

/* Shell and terminal say so both: neither is the second signal that ends a process at once. */
static void a_mount_in_the_foreground_ends_in_order_with_its_terminal(void **state)
{
    struct place *p = *state;
    char tarbox[600];
    struct stat st;
    int status = -1;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    assert_int_equal(cis(p->sys, "fs", "mkdir", "/d"), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        setenv("CIS_HOME", p->sys->home, 1);
        putenv(p->world->env);
        execl(CIS_PROGRAM, CIS_PROGRAM, "fs", "mount", "-f", p->dir, NULL);
        _exit(127);
    }
    snprintf(tarbox, sizeof tarbox, "%s/.tarbox/mount", p->dir);
    assert_comes(stat(tarbox, &st) == 0);
    assert_int_equal(put(p, "d/f", "kept"), 0);
    assert_int_equal(kill(pid, SIGHUP), 0);
    (void)kill(pid, SIGHUP);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(stat(p->dir, &st), 0); /* the folder, not a mount that nobody serves */
    assert_int_equal(stat(tarbox, &st), -1);
    store_open(p);
    assert_int_equal(ref_of(p).fence, 0);
    assert_int_equal(cis(p->sys, "fs", "cat", "/d/f"), 0);
    assert_string_equal(sys_out(p->sys), "kept");
}

static void a_server_in_the_background_holds_nothing_of_its_caller(void **state)
{
    struct place *p = *state;
    char command[1024], path[64], cwd[600] = "";
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    char *folder = test_dir_new();
    snprintf(command, sizeof command, "cd %s && exec 9<%s 8>%s/log && exec %s fs mount %s", folder,
             folder, folder, CIS_PROGRAM, p->dir);
    if (sys_exec(p->sys, (const char *const[]){"/bin/sh", "-c", command, NULL}) != 0) {
        fail_msg("%s", sys_err(p->sys));
    }
    servers_note(&p->sys->servers, p->dir);
    pid_t pid = server(p);
    snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
    assert_true(readlink(path, cwd, sizeof cwd - 1) > 0);
    assert_string_equal(cwd, "/");
    for (int fd = 0; fd < 64; fd++) {
        char what[600] = "";
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
        (void)!readlink(path, what, sizeof what - 1);
        assert_null(strstr(what, folder));
    }
    assert_int_equal(put(p, "f", "x"), 0);
    cis_ok(p, "umount", NULL, NULL);
    struct cis_error failed;
    assert_int_equal(cis_file_remove_tree(folder, &failed), CIS_OK);
    free(folder);
}

/* What a mapping changed is nowhere but in the kernel until somebody asks for it. The mapping keeps
 * the mount busy, too. */
static void a_mount_that_is_told_to_end_keeps_what_mappings_changed(void **state)
{
    struct place *p = *state;
    const size_t len = 3u << 20;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    for (int i = 0; i < 2; i++) {
        static const int signals[] = {SIGTERM, SIGINT};
        cis_ok(p, "mount", NULL, NULL);
        int fd = open(in(p, "mapped"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(ftruncate(fd, (off_t)len), 0);
        char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(map != MAP_FAILED);
        close(fd);
        pid_t pid = server(p);
        int process = (int)syscall(SYS_pidfd_open, pid, 0);
        memset(map, 'a' + i, len);
        assert_int_equal(kill(pid, signals[i]), 0);
        struct pollfd end = {.fd = process, .events = POLLIN};
        assert_int_equal(poll(&end, 1, WAITS_MS), 1);
        close(process);
        munmap(map, len);
        cis_ok(p, "mount", NULL, NULL);
        fd = open(in(p, "mapped"), O_RDONLY | O_CLOEXEC);
        char *have = calloc(1, len + 1);
        assert_int_equal(read(fd, have, len + 1), (ssize_t)len);
        for (size_t at = 0; at < len; at += 1000) {
            assert_int_equal(have[at], 'a' + i);
        }
        free(have);
        close(fd);
        cis_ok(p, "umount", NULL, NULL);
    }
}

/* Writes numbered files, each synced, until the mount is gone; what was synced last is in *acked.
 */
static void write_until_it_ends(const struct place *p, int round, volatile int *acked)
{
    for (int i = 1;; i++) {
        char name[64], text[64];
        snprintf(name, sizeof name, "r%d-%d", round, i);
        int n = snprintf(text, sizeof text, "round %d file %d", round, i);
        int fd = open(in(p, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, text, (size_t)n) != n || fsync(fd) != 0) {
            _exit(0);
        }
        close(fd);
        *acked = i;
        if (i % 3 == 0) { /* and something that is not synced */
            (void)put(p, "unsynced", text);
        }
    }
}

static int kill_rounds = 6;

static void no_killed_server_loses_what_was_synced(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    unsigned seed = test_seed();
    volatile int *acked =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(acked != MAP_FAILED);
    for (int round = 0; round < kill_rounds; round++) {
        cis_ok(p, "mount", NULL, NULL);
        pid_t target = server(p);
        *acked = 0;
        pid_t writer = fork();
        if (writer == 0) {
            write_until_it_ends(p, round, acked);
        }
        struct timespec wait = {.tv_nsec = 1000000 * (20 + rand_r(&seed) % 400)};
        nanosleep(&wait, NULL);
        assert_int_equal(kill(target, SIGKILL), 0);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        cis_ok(p, "umount", NULL, NULL);
        cis_ok(p, "mount", "--read-only", NULL);
        for (int i = 1; i <= *acked; i++) {
            char name[64], text[64];
            snprintf(name, sizeof name, "r%d-%d", round, i);
            snprintf(text, sizeof text, "round %d file %d", round, i);
            assert_text(p, name, text);
        }
        cis_ok(p, "umount", NULL, NULL);
        if (p->store == NULL) {
            store_open(p);
        }
        struct cis_fs_ref ref = ref_of(p); /* the dead one's lease, given back for it */
        uint64_t fence;
        assert_ok(cis_store_lease(
            p->store, T, &(struct cis_fs_lease_request){CIS_STR("main"), ref.holder, ref.fence, 0},
            &fence, NULL, err));
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(65536);
    assert_ok(cis_store_check(p->store, T, &faults, NULL, err));
    assert_string_equal(cis_buf_cstr(&faults), "");
    munmap((void *)(uintptr_t)acked, 4096);
}

static void a_switch_is_seen_by_everyone_at_once(void **state)
{
    struct place *p = *state;
    struct stat st;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    cis_ok(p, "mount", NULL, NULL);
    assert_int_equal(mkdir(in(p, "dir"), 0755), 0);
    assert_int_equal(mkdir(in(p, "dir/sub"), 0755), 0);
    assert_int_equal(put(p, "dir/sub/file", "one"), 0);
    assert_int_equal(put(p, "gone", "x"), 0);
    assert_int_equal(put(p, ".tarbox/layers/new", "first"), 0);
    assert_int_equal(put(p, "dir/sub/file", "number two"), 0);
    assert_int_equal(unlink(in(p, "gone")), 0);
    assert_int_equal(mkdir(in(p, "extra"), 0755), 0);
    assert_int_equal(put(p, "dir/sub/later", "y"), 0);
    assert_text(p, "dir/sub/file", "number two"); /* the kernel has it */
    assert_int_equal(stat(in(p, "gone"), &st), -1);
    assert_true(text_has(p, ".tarbox/layers/diff", "\"change\":\"M\",\"path\":\"dir/sub/file\""));
    assert_true(text_has(p, ".tarbox/layers/diff", "\"change\":\"D\",\"path\":\"gone\""));
    assert_true(text_has(p, ".tarbox/layers/diff", "\"change\":\"A\",\"path\":\"dir/sub/later\""));
    int old = open(in(p, "dir/sub/file"), O_RDWR | O_CLOEXEC),
        inside = open(in(p, "dir/sub"), O_RDONLY);
    assert_int_equal(put(p, ".tarbox/layers/switch", "{\"layer\":\"first\"}\n"), 0);
    assert_text(p, "dir/sub/file", "one");
    assert_text(p, "gone", "x");
    assert_int_equal(stat(in(p, "extra"), &st), -1);
    assert_int_equal(stat(in(p, "dir/sub/later"), &st), -1);
    assert_int_equal(stat(in(p, "dir/sub/file"), &st), 0);
    assert_int_equal(st.st_size, 3);
    char text[16] = "";
    assert_int_equal(pread(old, text, sizeof text - 1, 0), 10); /* what was open stays */
    assert_string_equal(text, "number two");
    assert_int_equal(pwrite(old, "z", 1, 0), -1);
    assert_int_equal(errno, EROFS);
    assert_int_equal(fstatat(inside, "later", &st, 0), 0);
    close(old);
    close(inside);
    assert_int_equal(put(p, "dir/sub/file", "three"), 0);
    assert_text(p, ".tarbox/snapshots/first/dir/sub/file", "one");
    assert_int_equal(put(p, ".tarbox/snapshots/first/gone", "no"), EROFS);
    cis_ok(p, "umount", NULL, NULL);
    cis_ok(p, "mount", NULL, NULL);
    assert_text(p, "dir/sub/file", "three");
    cis_ok(p, "umount", NULL, NULL);
    cis_ok(p, "mount", "--snapshot", "first");
    assert_text(p, "dir/sub/file", "one");
    assert_int_equal(put(p, "new", "x"), EROFS);
    cis_ok(p, "umount", NULL, NULL);
}

static void a_full_quota_is_told_to_who_writes(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    store_open(p);
    assert_ok(cis_store_tenant_create(p->store, T, 0, 0, NULL, err));
    struct cis_tenant quota = {.quota_files = 3, .quota_bytes = 100000};
    assert_ok(cis_store_tenant_quota(p->store, T, &quota, NULL, err));
    cis_ok(p, "mount", NULL, NULL);
    struct statvfs vfs;
    assert_int_equal(statvfs(p->dir, &vfs), 0);
    assert_true(vfs.f_ffree == 3 && vfs.f_bavail * vfs.f_frsize <= 100000 &&
                vfs.f_bavail * vfs.f_frsize > 99000);
    char *big = calloc(1, 100001);
    memset(big, 'b', 100000);
    assert_int_equal(put(p, "a", big), 0);
    assert_int_equal(put(p, "b", "x"), EDQUOT);
    assert_int_equal(truncate(in(p, "a"), 10), 0);
    assert_int_equal(put(p, "b", "x"), 0);
    assert_int_equal(put(p, "c", "x"), 0);
    assert_int_equal(put(p, "d", "x"), EDQUOT);
    assert_int_equal(unlink(in(p, "b")), 0);
    assert_int_equal(put(p, "d", "x"), 0);
    free(big);
    cis_ok(p, "umount", NULL, NULL);
    struct cis_fs_ref ref = ref_of(p);
    assert_true(ref.files == 3 && ref.bytes == 12);
}

/* Noise that nothing packs, the same for the same number. */
static void noise(uint8_t *out, size_t len, unsigned n)
{
    uint64_t x = n * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(x >> 56);
    }
}

#define NOISE ((size_t)200 << 10)

/* One more file of noise, or a folder; 0 or errno. */
static int use_up(const struct place *p, unsigned n)
{
    static uint8_t data[NOISE];
    char name[32];
    snprintf(name, sizeof name, "%s-%u", n % 2 == 0 ? "file" : "dir", n);
    if (n % 2 != 0) {
        return mkdir(in(p, name), 0755) == 0 ? 0 : errno;
    }
    noise(data, sizeof data, n);
    int fd = open(in(p, name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        return errno;
    }
    ssize_t len = write(fd, data, sizeof data);
    int no = len == (ssize_t)sizeof data ? 0 : len < 0 ? errno : ENOSPC;
    return close(fd) != 0 ? errno : no;
}

static void assert_used_up(const struct place *p, unsigned n)
{
    static uint8_t data[NOISE], have[NOISE];
    char name[32];
    struct stat st;
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s-%u", i % 2 == 0 ? "file" : "dir", i);
        assert_int_equal(stat(in(p, name), &st), 0);
        if (i % 2 == 0) {
            noise(data, sizeof data, i);
            int fd = open(in(p, name), O_RDONLY | O_CLOEXEC);
            assert_int_equal(read(fd, have, sizeof have), (ssize_t)sizeof have);
            assert_memory_equal(have, data, sizeof data);
            close(fd);
        }
    }
}

/* Mounts of one tenant, until each is refused; nobody syncs, and all are told to end at once. */
static void what_mounts_accepted_near_the_stored_cap_outlives_their_end(void **state)
{
    enum { MOUNTS = 3 };
    static const char *const refs[MOUNTS] = {"main", "second", "third"};
    struct place *p = *state, places[MOUNTS];
    struct cis_tenant row;
    unsigned made[MOUNTS] = {0};
    struct pollfd ends[MOUNTS];
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    store_open(p);
    assert_ok(cis_store_tenant_create(p->store, T, 0, 0, NULL, err));
    const struct cis_str names[2] = {CIS_STR("second"), CIS_STR("third")};
    assert_ok(cis_store_fork(p->store, T, ref_of(p).head, names, 2, NULL, err));
    struct cis_tenant quota = {.quota_stored = 3u << 20};
    assert_ok(cis_store_tenant_quota(p->store, T, &quota, NULL, err));
    for (int i = 0; i < MOUNTS; i++) {
        places[i] = (struct place){.sys = p->sys, .dir = i == 0 ? p->dir : test_dir_new()};
        cis_ok(&places[i], "mount", "--branch", refs[i]);
    }
    for (int left = MOUNTS, no[MOUNTS] = {0}, k = 0; left != 0; k++) {
        int i = k % MOUNTS;
        if (no[i] == 0) {
            no[i] = use_up(&places[i], made[i]);
            assert_true(no[i] == 0 || no[i] == ENOSPC);
            made[i] += no[i] == 0;
            left -= no[i] != 0;
        }
    }
    for (int i = 0; i < MOUNTS; i++) {
        pid_t pid = server(&places[i]);
        ends[i] = (struct pollfd){.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
        assert_int_equal(kill(pid, SIGTERM), 0);
    }
    for (int i = 0; i < MOUNTS; i++) {
        assert_int_equal(poll(&ends[i], 1, WAITS_MS), 1);
        close(ends[i].fd);
    }
    assert_ok(cis_store_tenant_get(p->store, T, &row, NULL, err));
    assert_true(row.stored > quota.quota_stored / 2);
    assert_true(row.stored <= quota.quota_stored / 2 * 3 + (512u << 10) + MOUNTS * (128u << 10));
    for (int i = 0; i < MOUNTS; i++) {
        cis_ok(&places[i], "mount", "--branch", refs[i]);
        assert_used_up(&places[i], made[i]);
        cis_ok(&places[i], "umount", NULL, NULL);
        if (i != 0) {
            rmdir(places[i].dir);
            free(places[i].dir);
        }
    }
}

#define MAPPED ((size_t)8 << 20)

/* A file of holes whose mapping is full of noise; the mapping. */
static uint8_t *map_noise(const struct place *p, const char *name, int *out_fd)
{
    *out_fd = open(in(p, name), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(*out_fd, (off_t)MAPPED), 0);
    uint8_t *map = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, *out_fd, 0);
    assert_true(map != MAP_FAILED);
    noise(map, MAPPED, 7);
    return map;
}

/* Each page of it is as it was written, or a hole; so many are as written. */
static size_t pages_kept(const struct place *p, const char *name)
{
    static uint8_t have[MAPPED], want[MAPPED], hole[4096];
    size_t kept = 0;
    noise(want, MAPPED, 7);
    int fd = open(in(p, name), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, have, MAPPED), (ssize_t)MAPPED);
    close(fd);
    for (size_t at = 0; at < MAPPED; at += sizeof hole) {
        bool same = memcmp(have + at, want + at, sizeof hole) == 0;
        assert_true(same || memcmp(have + at, hole, sizeof hole) == 0);
        kept += same;
    }
    return kept;
}

/* A store to a mapping asks nobody. Where its pages do not fit, who syncs or closes is told; what
 * other files had accepted is there. */
static void a_mapping_above_the_stored_cap_is_told_to_who_syncs_or_closes(void **state)
{
    struct place *p = *state;
    int fd;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    store_open(p);
    assert_ok(cis_store_tenant_create(p->store, T, 0, 0, NULL, err));
    struct cis_tenant quota = {.quota_stored = 6u << 20};
    assert_ok(cis_store_tenant_quota(p->store, T, &quota, NULL, err));
    cis_ok(p, "mount", NULL, NULL);
    assert_int_equal(use_up(p, 0), 0);
    uint8_t *map = map_noise(p, "synced", &fd);
    errno = 0;
    assert_int_equal(msync(map, MAPPED, MS_SYNC), -1);
    assert_int_equal(errno, ENOSPC);
    munmap(map, MAPPED);
    close(fd);
    assert_int_equal(unlink(in(p, "synced")), 0);
    map = map_noise(p, "fsynced", &fd);
    munmap(map, MAPPED);
    assert_int_equal(fsync(fd), -1);
    assert_int_equal(errno, ENOSPC);
    close(fd);
    assert_int_equal(unlink(in(p, "fsynced")), 0);
    map = map_noise(p, "closed", &fd);
    munmap(map, MAPPED);
    assert_int_equal(close(fd), -1);
    assert_int_equal(errno, ENOSPC);
    cis_ok(p, "umount", NULL, NULL);
    cis_ok(p, "mount", NULL, NULL);
    assert_used_up(p, 1);
    assert_true(pages_kept(p, "closed") < MAPPED / 4096);
    cis_ok(p, "umount", NULL, NULL);
}

/* So many pages of noise are mapped, with room for about 1 MiB. Either they are there, or msync
 * said so. */
static bool maps(struct place *p, unsigned n)
{
    static uint8_t want[2u << 20], have[2u << 20];
    size_t len = (size_t)n * 4096;
    struct cis_tenant row;
    char name[32];
    assert_ok(cis_store_tenant_get(p->store, T, &row, NULL, err));
    struct cis_tenant quota = {.quota_stored = row.stored + (2u << 20)};
    assert_ok(cis_store_tenant_quota(p->store, T, &quota, NULL, err));
    cis_ok(p, "mount", NULL, NULL);
    snprintf(name, sizeof name, "pages-%u", n);
    int fd = open(in(p, name), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    uint8_t *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    noise(want, len, n);
    memcpy(map, want, len);
    bool fits = msync(map, len, MS_SYNC) == 0;
    assert_true(fits || errno == ENOSPC);
    munmap(map, len);
    close(fd);
    cis_ok(p, "umount", NULL, NULL);
    cis_ok(p, "mount", NULL, NULL);
    fd = open(in(p, name), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, have, len), (ssize_t)len);
    close(fd);
    assert_int_equal(memcmp(have, want, len) == 0, fits);
    cis_ok(p, "umount", NULL, NULL);
    return fits;
}

/* The kernel asks for many pages at once, and does not look at how many were taken. */
static void the_last_page_that_does_not_fit_is_told(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    store_open(p);
    assert_ok(cis_store_tenant_create(p->store, T, 0, 0, NULL, err));
    unsigned low = 1, high = 512;
    assert_true(maps(p, low));
    assert_false(maps(p, high));
    while (high - low > 1) {
        unsigned mid = (low + high) / 2;
        *(maps(p, mid) ? &low : &high) = mid;
    }
}

/* The end asks for the pages, and nobody is left to be told of those that do not fit: a program
 * that did not sync. What was accepted before, and what of the pages fits, is committed. */
static void a_mount_that_ends_below_a_mapping_above_the_cap_keeps_what_it_accepted(void **state)
{
    struct place *p = *state;
    int fd;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    store_open(p);
    assert_ok(cis_store_tenant_create(p->store, T, 0, 0, NULL, err));
    struct cis_tenant quota = {.quota_stored = 6u << 20};
    assert_ok(cis_store_tenant_quota(p->store, T, &quota, NULL, err));
    cis_ok(p, "mount", NULL, NULL);
    assert_int_equal(use_up(p, 0), 0);
    uint8_t *map = map_noise(p, "mapped", &fd);
    pid_t pid = server(p);
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_int_equal(kill(pid, SIGTERM), 0);
    struct pollfd end = {.fd = process, .events = POLLIN};
    assert_int_equal(poll(&end, 1, WAITS_MS), 1);
    close(process);
    assert_int_equal(msync(map, MAPPED, MS_SYNC), -1); /* who asks is told, also now */
    munmap(map, MAPPED);
    close(fd);
    cis_ok(p, "mount", NULL, NULL);
    assert_used_up(p, 1);
    size_t kept = pages_kept(p, "mapped");
    assert_true(kept > 0 && kept < MAPPED / 4096);
    cis_ok(p, "umount", NULL, NULL);
}

/* A folder of its own disk, of so many MiB. */
static bool small_disk(const char *path, const char *options)
{
    if (geteuid() != 0) {
        printf("a small disk needs root\n");
        return false;
    }
    (void)mkdir(path, 0700);
    unsigned long flags = options[0] == '+' ? MS_REMOUNT : 0;
    if (mount("disk", path, "tmpfs", flags, options + (flags != 0)) != 0) {
        printf("no small disk here: %s\n", strerror(errno));
        return false;
    }
    return true;
}

/* What fits no more, 4 MiB at a time. 0 or errno; of close(2) when that was the first to say it. */
static int fill_disk(const struct place *p)
{
    char *noise = malloc(4u << 20);
    int no = 0;
    for (int i = 0; no == 0 && i < 64; i++) {
        assert_int_equal(getrandom(noise, 4u << 20, 0), 4 << 20);
        char name[32];
        snprintf(name, sizeof name, "noise-%d", i);
        int fd = open(in(p, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        no = fd < 0 || write(fd, noise, 4u << 20) < 0 || fsync(fd) != 0 ? errno : 0;
        no = fd >= 0 && close(fd) != 0 && no == 0 ? errno : no;
    }
    free(noise);
    return no;
}

/* The place of the store becomes a small disk: the folder; or the whole database moves to one. */
static bool store_on_small_disk(const struct place *p, const char *path)
{
    char options[64], sql[700];
    struct stat st;
    if (cluster == NULL) {
        return small_disk(path, "size=24m,mode=700");
    }
    assert_int_equal(stat(pgcluster_dir(cluster), &st), 0);
    assert_int_equal(chmod(p->sys->home, 0755), 0);
    snprintf(options, sizeof options, "size=40m,mode=700,uid=%u", (unsigned)st.st_uid);
    if (!small_disk(path, options)) {
        return false;
    }
    snprintf(sql, sizeof sql, "CREATE TABLESPACE small LOCATION '%s'", path);
    pgcluster_run(cluster, "postgres", sql);
    const char *db = strstr(p->world->url, "@/") + 2;
    snprintf(sql, sizeof sql, "ALTER DATABASE \"%.*s\" SET TABLESPACE small", (int)strcspn(db, "?"),
             db);
    pgcluster_run(cluster, "postgres", sql);
    return true;
}

static void small_disk_gone(struct place *p, const char *path)
{
    char sql[400];
    if (cluster != NULL) {
        const char *db = strstr(p->world->url, "@/") + 2;
        snprintf(sql, sizeof sql, "ALTER DATABASE \"%.*s\" SET TABLESPACE pg_default",
                 (int)strcspn(db, "?"), db);
        pgcluster_run(cluster, "postgres", sql);
        pgcluster_run(cluster, "postgres", "DROP TABLESPACE small");
    }
    assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static void a_full_disk_is_told_to_who_writes_and_closes(void **state)
{
    struct place *p = *state;
    char data[600];
    snprintf(data, sizeof data, "%s/store", p->sys->home);
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    if (!store_on_small_disk(p, data)) {
        not_tested("namespace", "no file system of one's own can be mounted");
    }
    cis_ok(p, "mount", NULL, NULL);
    int full = fill_disk(p);
    int no = 0, closing = 0;
    for (int i = 0; i < 20 && closing == 0; i++) { /* small ones, that nobody syncs */
        char name[32], text[4000];
        memset(text, 'a' + i, sizeof text - 1);
        text[sizeof text - 1] = 0;
        snprintf(name, sizeof name, "small-%d", i);
        no = put(p, name, text);
        closing = at_close;
    }
    bool listed = text_has(p, ".tarbox/last_error", "ENOSPC");
    bool grown = small_disk(data, "+size=256m");
    int later = put(p, "later", "fits");
    bool well = !text_has(p, ".tarbox/last_error", "not committed yet");
    cis_ok(p, "umount", NULL, NULL);
    cis_ok(p, "mount", "--read-only", NULL);
    assert_text(p, "later", "fits");
    cis_ok(p, "umount", NULL, NULL);
    small_disk_gone(p, data);
    assert_int_equal(full, ENOSPC);
    assert_int_equal(no, ENOSPC);
    assert_int_equal(closing, ENOSPC); /* what write(2) had taken */
    assert_int_equal(later, 0);
    assert_true(listed && grown && well);
}

static void snapshots_are_mounted_beside_the_branch(void **state)
{
    struct place *p = *state;
    if (!mounted_possible()) {
        not_tested("fuse", "no file system can be mounted");
    }
    struct place other = {.sys = p->sys, .dir = test_dir_new()};
    cis_ok(p, "mount", NULL, NULL);
    assert_int_equal(put(p, "f", "one"), 0);
    assert_int_equal(put(p, ".tarbox/layers/new", "one"), 0);
    cis_ok(&other, "mount", "--snapshot", "one");
    for (int i = 0; i < 20; i++) {
        char text[16];
        snprintf(text, sizeof text, "now %d", i);
        assert_int_equal(put(p, "f", text), 0);
        assert_text(p, "f", text);
        assert_text(&other, "f", "one");
    }
    cis_ok(&other, "umount", NULL, NULL);
    cis_ok(p, "umount", NULL, NULL);
    rmdir(other.dir);
    free(other.dir);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        kill_rounds = (int)strtol(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)
        ROW(a_mount_that_lost_its_lease_saves_a_fork_and_only_reads),
        ROW(what_a_mount_accepted_is_saved_as_soon_as_it_can_be),
        ROW(a_lease_that_ran_out_unnoticed_is_taken_again),
        ROW(a_mount_that_is_told_to_end_keeps_what_mappings_changed),
        ROW(a_killed_server_leaves_what_was_synced),
        ROW(a_lease_of_a_process_that_ended_is_taken_at_once),
        ROW(a_mount_in_the_foreground_ends_in_order_with_its_terminal),
        ROW(a_server_in_the_background_holds_nothing_of_its_caller),
        ROW(no_killed_server_loses_what_was_synced),
        ROW(a_switch_is_seen_by_everyone_at_once),
        ROW(a_full_quota_is_told_to_who_writes),
        ROW(what_mounts_accepted_near_the_stored_cap_outlives_their_end),
        ROW(a_mapping_above_the_stored_cap_is_told_to_who_syncs_or_closes),
        ROW(the_last_page_that_does_not_fit_is_told),
        ROW(a_mount_that_ends_below_a_mapping_above_the_cap_keeps_what_it_accepted),
        ROW(a_full_disk_is_told_to_who_writes_and_closes),
        ROW(snapshots_are_mounted_beside_the_branch),
#undef ROW
    };
    return STORED_MAIN("mount_ends", tests);
}
