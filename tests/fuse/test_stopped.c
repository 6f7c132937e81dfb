/* Processes that are stopped while they hold content that they stored ahead of a commit: a mount, a
 * run, put and import. The server drops their connections, their pins' time goes by, gc runs; then
 * they go on. What was accepted is whole, or it is told by the name of its file; nothing is lost
 * silently, and nothing beside that file. Whoever waits here has a limit: a descriptor of a mount
 * is held by a process of its own, because closing it asks a server that does not answer. */
#include "system/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "mounted.h"
#include "store/sqlite/integrity/pagesum.h"

#define TOOL CIS_GUESTS_DIR "/tool.wasm"
#define LIMIT_MS 120000
enum { MIB = 1 << 20, SMALL = 3000 };

/* ---- the database from outside ---- */
static void sqlite_run(const struct world *w, const char *sql)
{
    char path[4200];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/store/tenants/default.db", w->sys.home);
    assert_int_equal(cis_sql_pagesum_register(), SQLITE_OK);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, CIS_SQL_VFS), SQLITE_OK);
    sqlite3_busy_timeout(db, LIMIT_MS);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", sql, why);
    }
    sqlite3_close(db);
}

static void postgres_run(const struct world *w, const char *sql)
{
    const char *db = strstr(w->url, "@/") + 2;
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(db, "?"), db);
    pgcluster_run(cluster, name, sql);
}

enum forgets { TIME, PINS }; /* the pins' time goes by; somebody lost them */

/* While the process is stopped. Returns how many chunks gc removed. */
static long collect(struct world *w, enum forgets what)
{
    const char *schema = cluster != NULL ? "cis." : "";
    char sql[300];
    snprintf(sql, sizeof sql, "%s %spin %s; UPDATE %schunk SET stamp_ms = -1099511627776",
             what == PINS ? "DELETE FROM" : "UPDATE", schema,
             what == PINS ? "" : "SET until_ms = 1, since_ms = -1099511627777", schema);
    if (cluster != NULL) {
        postgres_run(w, "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
        postgres_run(w, sql);
    } else {
        sqlite_run(w, sql);
    }
    assert_exit(&w->sys, 0,
                cis(&w->sys, "fs", "gc", "--keep-runs", "1", "--keep-age", "1s", "--json"));
    const char *at = strstr(sys_out(&w->sys), "\"chunks\":");
    assert_non_null(at);
    return strtol(at + strlen("\"chunks\":"), NULL, 10);
}

/* ---- processes ---- */
static pid_t asleep; /* 0: nobody; what a test that fails leaves behind is ended */
static char *mounted;

static void sends(pid_t pid, int number)
{
    assert_int_equal(kill(pid, number), 0);
    asleep = number == SIGSTOP ? pid : number == SIGCONT ? 0 : asleep;
}

static int clean(void **state)
{
    struct world *w = *state;
    if (asleep != 0) {
        kill(asleep, SIGKILL);
        asleep = 0;
    }
    servers_end(&w->sys.servers);
    if (mounted != NULL) {
        rmdir(mounted);
        free(mounted);
        mounted = NULL;
    }
    return teardown(state);
}

/* Exit code, or 128 + signal. One that does not end within its limit is killed. */
static int ends(pid_t pid, const char *what)
{
    int status, process = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = {.fd = process, .events = POLLIN};
    bool ended = poll(&end, 1, LIMIT_MS) == 1;
    close(process);
    if (!ended) {
        kill(pid, SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!ended) {
        fail_msg("%s: hangs", what);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Of a process that is not a child. */
static void goes(pid_t pid, const char *what)
{
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = {.fd = process, .events = POLLIN};
    if (process >= 0 && poll(&end, 1, LIMIT_MS) != 1) {
        kill(pid, SIGKILL);
        fail_msg("%s: hangs", what);
    }
    close(process);
}

/* Within the limit, or the test fails by name. */
static void reads(int fd, void *out, size_t n, const char *what)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, LIMIT_MS) != 1) {
        fail_msg("%s: no answer", what);
    }
    assert_int_equal(read(fd, out, n), n);
}

static uint8_t block[MIB];

static void fill(size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t x = ((uint32_t)i + 1) * 2654435761u ^ seed * 2246822519u;
        block[i] = (uint8_t)((x ^ x >> 13) * 3266489917u >> 17);
    }
}

/* ---- who holds a file of a mount open ---- */
struct hand {
    pid_t pid;
    int to, from;
    char path[600];
};

static int writes(const char *path, size_t bytes, unsigned seed, int *fd)
{
    *fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    for (size_t at = 0; *fd >= 0 && at < bytes; at += MIB) {
        size_t n = bytes - at < MIB ? bytes - at : MIB;
        fill(n, seed + (unsigned)(at / MIB));
        if (write(*fd, block, n) != (ssize_t)n) {
            return errno;
        }
    }
    return *fd < 0 ? errno : 0;
}

static void hand_serve(const struct hand *h, int from, int to, size_t bytes, unsigned seed)
{
    int fd = -1;
    char verb;
    while (read(from, &verb, 1) == 1 && verb != 'q') {
        int no = verb == 'w'                                  ? writes(h->path, bytes, seed, &fd)
                 : (verb == 's' ? fsync(fd) : close(fd)) != 0 ? errno
                                                              : 0;
        if (write(to, &no, sizeof no) != sizeof no) {
            _exit(1);
        }
    }
    _exit(0);
}

static struct hand hand_new(const char *dir, const char *name, size_t bytes, unsigned seed)
{
    struct hand h;
    int to[2], from[2];
    snprintf(h.path, sizeof h.path, "%s/%s", dir, name);
    assert_int_equal(pipe2(to, O_CLOEXEC) | pipe2(from, O_CLOEXEC), 0);
    fflush(NULL);
    h.pid = fork();
    assert_true(h.pid >= 0);
    if (h.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(to[1]);
        close(from[0]);
        hand_serve(&h, to[0], from[1], bytes, seed);
    }
    close(to[0]);
    close(from[1]);
    h.to = to[1];
    h.from = from[0];
    return h;
}

/* 'w' opens and writes, 's' is fsync(2), 'c' is close(2). 0 or errno. */
static int hand_does(const struct hand *h, char verb)
{
    int no = -1;
    char what[700];
    snprintf(what, sizeof what, "%s: %c", h->path, verb);
    assert_int_equal(write(h->to, &verb, 1), 1);
    reads(h->from, &no, sizeof no, what);
    return no;
}

static void hand_done(struct hand *h)
{
    assert_int_equal(write(h->to, "q", 1), 1);
    close(h->to);
    close(h->from);
    assert_int_equal(ends(h->pid, h->path), 0);
}

/* ---- a mount ---- */
static void cis_fs(struct world *w, const char *verb, const char *dir)
{
    assert_exit(&w->sys, 0, cis(&w->sys, "fs", verb, dir));
}

static const char *text_of(const char *dir, const char *name)
{
    char path[600];
    static char said[4096];
    snprintf(path, sizeof path, "%s/.tarbox/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, said, sizeof said - 1) : 0;
    close(fd);
    said[n > 0 ? n : 0] = 0;
    return said;
}

static pid_t server_of(const char *dir)
{
    const char *at = strstr(text_of(dir, "mount"), "\"pid\":");
    assert_non_null(at);
    return (pid_t)strtol(at + strlen("\"pid\":"), NULL, 10);
}

static void small(const char *dir, const char *name)
{
    char path[600];
    int fd;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(writes(path, SMALL, 77, &fd), 0);
    close(fd);
}

/* How many bytes there are when all of them are what was written; -1: there is no such file. */
static long good(const char *dir, const char *name, size_t bytes, unsigned seed)
{
    char path[600];
    static uint8_t got[MIB];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    assert_int_equal(fstat(fd, &st), 0);
    assert_true((size_t)st.st_size <= bytes);
    for (size_t at = 0, have; at < (size_t)st.st_size; at += have) {
        size_t n = bytes - at < MIB ? bytes - at : MIB;
        have = 0;
        for (ssize_t k = 1; have < n && k > 0; have += k > 0 ? (size_t)k : 0) {
            k = read(fd, got + have, n - have);
            assert_true(k >= 0);
        }
        fill(n, seed + (unsigned)(at / MIB));
        if (have == 0 || memcmp(block, got, have) != 0) {
            fail_msg("%s: other content near byte %zu of %ld", path, at, (long)st.st_size);
        }
    }
    close(fd);
    return (long)st.st_size;
}

static void assert_fsck(struct world *w)
{
    assert_exit(&w->sys, 0, cis(&w->sys, "fs", "fsck", "--data"));
}

static bool begin(struct world *w, char **out_dir)
{
    w->sys.timeout_ns = LIMIT_MS * CIS_NS_PER_MS;
    *out_dir = mounted = test_dir_new();
    return mounted_possible();
}

/* What memory still knows, and more than that. */
static const size_t sizes[] = {18 * MIB, 48 * MIB};

static void a_mount_that_slept_past_its_pin_loses_nothing_silently(void **state)
{
    struct world *w = *state;
    struct sys *s = &w->sys;
    char *dir, path[600];
    int told = 0, kept = 0;
    long collected = 0;
    if (!begin(w, &dir)) {
        not_tested("fuse", "no file system can be mounted");
    }
    for (unsigned i = 0; i < 6 && (told == 0 || kept == 0 || i < 2); i++) {
        char name[16], other[16];
        size_t bytes = sizes[i % 2];
        snprintf(name, sizeof name, "big%u", i);
        snprintf(other, sizeof other, "small%u", i);
        cis_fs(w, "mount", dir);
        pid_t server = server_of(dir);
        struct hand h = hand_new(dir, name, bytes, 100 * i);
        small(dir, other);
        assert_int_equal(hand_does(&h, 'w'), 0);
        sends(server, SIGSTOP);
        collected += collect(w, TIME);
        sends(server, SIGCONT);
        int no = hand_does(&h, 's'), closed = hand_does(&h, 'c');
        hand_done(&h);
        if (no != 0) {
            assert_int_equal(no, EIO);
            assert_int_equal(closed, EIO);
            assert_contains(text_of(dir, "last_error"), name);
            assert_true(cis(s, "fs", "umount", dir) != 0);
            assert_contains(sys_err(s), name);
            snprintf(path, sizeof path, "%s/%s", dir, name);
            assert_int_equal(unlink(path), 0);
            told++;
        }
        cis_fs(w, "umount", dir);
        cis_fs(w, "mount", dir); /* nothing is cached */
        assert_int_equal(good(dir, other, SMALL, 77), SMALL);
        if (no == 0) {
            assert_int_equal(good(dir, name, bytes, 100 * i), bytes);
            kept++;
        }
        cis_fs(w, "umount", dir);
        assert_fsck(w);
        if (cluster == NULL && i == 1) {
            break;
        }
    }
    print_message("%d files whole, %d named, %ld chunks collected\n", kept, told, collected);
    assert_true(kept > 0 &&
                (cluster == NULL ? told == 0 && collected == 0 : collected > 0 && told > 0));
}

/* Nobody is there to remove the lost file, and nobody hears of it but the log. */
static void a_mount_that_is_told_to_end_leaves_a_lost_file_out_alone(void **state)
{
    struct world *w = *state;
    char *dir;
    int lost = 0;
    if (!begin(w, &dir)) {
        not_tested("fuse", "no file system can be mounted");
    }
    for (unsigned i = 0; i < 6 && lost == 0; i++) { /* a commit may come in between */
        char name[16], other[16];
        size_t bytes = sizes[1];
        snprintf(name, sizeof name, "big%u", i);
        snprintf(other, sizeof other, "small%u", i);
        cis_fs(w, "mount", dir);
        pid_t server = server_of(dir);
        struct hand h = hand_new(dir, name, bytes, 100 * i);
        assert_int_equal(hand_does(&h, 'w'), 0);
        small(dir, other);
        sends(server, SIGSTOP);
        long collected = collect(w, PINS);
        sends(server, SIGTERM);
        sends(server, SIGCONT);
        (void)hand_does(&h, 'c');
        hand_done(&h);
        goes(server, "a mount that was told to end");
        cis_fs(w, "mount", dir);
        long size = good(dir, name, bytes, 100 * i);
        assert_int_equal(good(dir, other, SMALL, 77), SMALL);
        cis_fs(w, "umount", dir);
        assert_fsck(w);
        if (size != (long)bytes) {
            assert_true(collected > 0);
            assert_exit(&w->sys, 0, cis(&w->sys, "fs", "log", "--limit", "3"));
            assert_contains(sys_out(&w->sys), "left out");
            assert_contains(sys_out(&w->sys), name);
            lost++;
        }
    }
    assert_int_equal(lost, 1);
}

/* A newer program brings the store forward under a mount that runs. */
static void a_mount_commits_no_more_when_the_store_is_brought_forward(void **state)
{
    struct world *w = *state;
    char *dir;
    if (!begin(w, &dir)) {
        not_tested("fuse", "no file system can be mounted");
    }
    cis_fs(w, "mount", dir);
    asleep = server_of(dir); /* killed afterwards: it cannot end in order */
    struct hand before = hand_new(dir, "before", SMALL, 1),
                after = hand_new(dir, "after", SMALL, 2);
    assert_int_equal(hand_does(&before, 'w'), 0);
    assert_int_equal(hand_does(&before, 's'), 0);
    if (cluster != NULL) {
        postgres_run(w, "UPDATE cis.schema SET version = 99");
    } else {
        sqlite_run(w, "PRAGMA user_version = 99");
    }
    assert_int_equal(hand_does(&after, 'w'), 0);
    assert_int_equal(hand_does(&after, 's'), EIO);
    assert_int_equal(hand_does(&after, 'c'), EIO);
    assert_contains(text_of(dir, "last_error"), cluster != NULL ? "writes version" : "version 99");
    assert_contains(text_of(dir, "last_error"),
                    cluster != NULL ? "use the cis that did it" : "use the newer cis");
    assert_int_equal(hand_does(&before, 'c'), EIO);
    hand_done(&before);
    hand_done(&after);
}

/* ---- programs with standard input ---- */
struct program {
    pid_t pid;
    int in, out;
    char said[600]; /* the file with its stderr */
};

static struct program start(struct world *w, const char *const *argv)
{
    struct program p;
    int in[2], out[2];
    char home[4200], asan_env[1024];
    const char *asan = getenv("ASAN_OPTIONS");
    snprintf(p.said, sizeof p.said, "%s/said", w->sys.home);
    snprintf(home, sizeof home, "CIS_HOME=%s", w->sys.home);
    snprintf(asan_env, sizeof asan_env, "ASAN_OPTIONS=%s", asan != NULL ? asan : "");
    const char *envp[] = {"PATH=/usr/bin:/bin", home, w->env, asan_env, NULL};
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    fflush(NULL);
    p.pid = fork();
    assert_true(p.pid >= 0);
    if (p.pid == 0) {
        int said = open(p.said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(said, 2);
        execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
        _exit(99);
    }
    close(in[0]);
    close(out[1]);
    p.in = in[1];
    p.out = out[0];
    return p;
}

/* Ends its input. The exit code; what it said is in sys_err's place. */
static int finish(struct program *p, const char *what, char out_said[2000])
{
    close(p->in);
    int code = ends(p->pid, what);
    close(p->out);
    int fd = open(p->said, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out_said, 1999) : 0;
    close(fd);
    out_said[n > 0 ? n : 0] = 0;
    return code;
}

/* All of it is in the pipe or beyond; false: nobody reads any more. */
static bool feeds_reader(int fd, const void *data, size_t n, const char *what)
{
    const char *at = data;
    while (n > 0) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        if (poll(&ready, 1, LIMIT_MS) != 1) {
            fail_msg("%s: reads nothing", what);
        }
        ssize_t k = write(fd, at, n < 4096 ? n : 4096);
        if (k < 0 && errno == EPIPE) {
            return false;
        }
        assert_true(k > 0);
        at += k;
        n -= (size_t)k;
    }
    return true;
}

static void feeds(int fd, const void *data, size_t n, const char *what)
{
    assert_true(feeds_reader(fd, data, n, what));
}

/* A header of tar: what follows is this file. */
static void feeds_header(int fd, const char *name, size_t bytes)
{
    uint8_t head[512] = {0};
    unsigned sum = 8 * ' ';
    char field[13];
    memcpy(head, name, strlen(name));
    for (size_t at = 100; at < 124; at += 8) { /* mode, owner, group */
        memcpy(head + at, at == 100 ? "0000644" : "0000000", 7);
    }
    snprintf(field, sizeof field, "%011zo", bytes);
    memcpy(head + 124, field, 11);
    memcpy(head + 136, "00000000000", 11);
    head[156] = '0';
    memcpy(head + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof head; i++) {
        sum += head[i];
    }
    snprintf(field, sizeof field, "%06o", sum);
    memcpy(head + 148, field, 7);
    head[155] = ' ';
    feeds(fd, head, sizeof head, "import");
}

struct feeding {
    const char *what, *name;
    bool tar;
    size_t bytes;
    unsigned seed;
    const char *argv[9];
};

/* Gives the program its input, and most of that has to be in the store when it is stopped. Returns
 * its exit code. */
static int fed(struct world *w, const struct feeding *f, long *out_collected, char said[2000])
{
    struct program p = start(w, f->argv);
    uint8_t zeros[10240] = {0};
    if (f->tar) {
        feeds_header(p.in, f->name, f->bytes);
    }
    for (size_t at = 0; at < f->bytes; at += MIB) {
        if (at == f->bytes - 2 * MIB) {
            sends(p.pid, SIGSTOP);
            *out_collected = collect(w, TIME);
            sends(p.pid, SIGCONT);
        }
        fill(MIB, f->seed + (unsigned)(at / MIB));
        feeds(p.in, block, MIB, f->what);
    }
    if (f->tar) {
        feeds(p.in, zeros, sizeof zeros, f->what);
    }
    return finish(&p, f->what, said);
}

/* Whole, or refused with its name; and what was there before is. Returns whether it is whole. */
static bool keeps_all_or_says(struct world *w, const struct feeding *f)
{
    struct sys *s = &w->sys;
    char said[2000], path[32];
    long collected = 0;
    int code = fed(w, f, &collected, said);
    snprintf(path, sizeof path, "/%s", f->name);
    print_message("%s: exit %d, %ld chunks collected. %s\n", f->what, code, collected, said);
    assert_true(cluster != NULL ? collected > 0 : collected == 0 && code == 0);
    int have = cis(s, "fs", "cat", path);
    if (code == 0) {
        assert_int_equal(have, 0);
        assert_int_equal(s->last.output.len, f->bytes);
        for (size_t at = 0; at < f->bytes; at += MIB) {
            fill(MIB, f->seed + (unsigned)(at / MIB));
            assert_memory_equal(s->last.output.ptr + at, block, MIB);
        }
    } else {
        assert_true(have != 0);
        assert_contains(said, f->name);
    }
    assert_exit(s, 0, cis(s, "fs", "cat", "/before"));
    assert_string_equal(sys_out(s), "text");
    assert_fsck(w);
    return code == 0;
}

static void begin_with_a_file(struct world *w)
{
    w->sys.timeout_ns = LIMIT_MS * CIS_NS_PER_MS;
    assert_exit(&w->sys, 0, cis(&w->sys, "run", "-w", TOOL, "write", "/workspace/before", "text"));
}

static void a_run_that_slept_past_its_pin_keeps_all_or_says_what_is_lost(void **state)
{
    struct world *w = *state;
    struct feeding f = {
        .what = "a run of little", .name = "little", .bytes = sizes[0], .seed = 1000};
    const char *const little[] = {CIS_PROGRAM,         "run", "-w", TOOL, "keep",
                                  "/workspace/little", NULL};
    const char *const much[] = {CIS_PROGRAM, "run", "-w", TOOL, "keep", "/workspace/much", NULL};
    begin_with_a_file(w);
    memcpy(f.argv, little, sizeof little);
    assert_true(keeps_all_or_says(w, &f)); /* memory knows it */
    f = (struct feeding){.what = "a run of much", .name = "much", .bytes = sizes[1], .seed = 2000};
    memcpy(f.argv, much, sizeof much);
    assert_int_equal(keeps_all_or_says(w, &f), cluster == NULL);
}

static void what_is_put_or_imported_meanwhile_is_whole_or_refused(void **state)
{
    struct world *w = *state;
    struct feeding put = {.what = "put",
                          .name = "put",
                          .bytes = sizes[1],
                          .seed = 3000,
                          .argv = {CIS_PROGRAM, "fs", "put", "-", "/put"}};
    struct feeding import = {.what = "import",
                             .name = "imported",
                             .tar = true,
                             .bytes = sizes[1],
                             .seed = 4000,
                             .argv = {CIS_PROGRAM, "fs", "import", "-"}};
    begin_with_a_file(w);
    assert_int_equal(keeps_all_or_says(w, &put), cluster == NULL);
    assert_int_equal(keeps_all_or_says(w, &import), cluster == NULL);
}

/* ---- a newer program brings the store forward meanwhile ---- */
static int sqlite_version(const struct world *w)
{
    char path[4200];
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    snprintf(path, sizeof path, "%s/store/tenants/default.db", w->sys.home);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, CIS_SQL_VFS), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int version = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(db);
    return version;
}

/* by: of versions; negative: back again. */
static void store_moves(const struct world *w, int by)
{
    char sql[100];
    if (cluster != NULL) {
        snprintf(sql, sizeof sql, "UPDATE cis.schema SET version = version + %d", by);
        postgres_run(w, sql);
        return;
    }
    static int first;
    if (by > 0) {
        first = sqlite_version(w);
    }
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", by > 0 ? first + by : first);
    sqlite_run(w, sql);
}

/* Nothing of it is written, and that is said with both versions; what was there is as it was. */
static void refuses_by_version(struct world *w, const struct feeding *f)
{
    struct sys *s = &w->sys;
    char said[2000], path[32];
    assert_exit(s, 0, cis(s, "fs", "log"));
    char *log = strdup(sys_out(s));
    struct program p = start(w, f->argv);
    if (f->tar) {
        feeds_header(p.in, f->name, f->bytes);
    }
    bool reads = true;
    for (size_t at = 0; at < f->bytes && reads; at += MIB) {
        if (at == f->bytes - 2 * MIB) {
            store_moves(w, 90);
        }
        fill(MIB, f->seed + (unsigned)(at / MIB));
        reads = feeds_reader(p.in, block, MIB, f->what);
    }
    if (f->tar && reads) {
        uint8_t zeros[10240] = {0};
        (void)feeds_reader(p.in, zeros, sizeof zeros, f->what);
    }
    int code = finish(&p, f->what, said);
    store_moves(w, -90);
    print_message("%s: exit %d. %s\n", f->what, code, said);
    assert_true(code != 0);
    assert_contains(said, cluster != NULL ? "writes version" : "version");
    assert_contains(said, cluster != NULL ? "use the cis that did it" : "use the newer cis");
    snprintf(path, sizeof path, "/%s", f->name);
    assert_true(cis(s, "fs", "cat", path) != 0);
    assert_exit(s, 0, cis(s, "fs", "log"));
    assert_string_equal(sys_out(s), log);
    free(log);
    assert_exit(s, 0, cis(s, "fs", "cat", "/before"));
    assert_string_equal(sys_out(s), "text");
    assert_fsck(w);
}

static void what_runs_beside_a_newer_program_writes_nothing_and_says_why(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"little", "much"};
    begin_with_a_file(w);
    for (unsigned i = 0; i < 2; i++) { /* in memory; stored ahead of the commit */
        char path[40];
        snprintf(path, sizeof path, "/workspace/%s", names[i]);
        struct feeding run = {.what = "a run",
                              .name = names[i],
                              .bytes = sizes[i],
                              .seed = 5000,
                              .argv = {CIS_PROGRAM, "run", "-w", TOOL, "keep", path}};
        refuses_by_version(w, &run);
    }
    struct feeding put = {.what = "put",
                          .name = "put",
                          .bytes = sizes[1],
                          .seed = 6000,
                          .argv = {CIS_PROGRAM, "fs", "put", "-", "/put"}};
    struct feeding import = {.what = "import",
                             .name = "imported",
                             .tar = true,
                             .bytes = sizes[1],
                             .seed = 7000,
                             .argv = {CIS_PROGRAM, "fs", "import", "-"}};
    refuses_by_version(w, &put);
    refuses_by_version(w, &import);
}

int main(void)
{
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    const struct CMUnitTest tests[] = {
#define AWAKE(name) cmocka_unit_test_setup_teardown(name, setup, clean)
        AWAKE(a_mount_commits_no_more_when_the_store_is_brought_forward),
        AWAKE(a_mount_that_slept_past_its_pin_loses_nothing_silently),
        AWAKE(a_mount_that_is_told_to_end_leaves_a_lost_file_out_alone),
        AWAKE(a_run_that_slept_past_its_pin_keeps_all_or_says_what_is_lost),
        AWAKE(what_is_put_or_imported_meanwhile_is_whole_or_refused),
        AWAKE(what_runs_beside_a_newer_program_writes_nothing_and_says_why),
    };
    return STORED_MAIN("stopped", tests);
}
