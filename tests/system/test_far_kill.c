/* `cis runs apply` and `cis runs undo` of folders that no path reaches, killed at each call that
 * changes something (the host's folder or the store), or at a random moment: nothing that was there
 * is lost, and the command again ends as one that nobody killed. The same tests run on SQLite and
 * on a private PostgreSQL server. CIS_FAR_KILLS: about how many kills each; CIS_FAR_AT: those at
 * this change alone. */
#include "stored.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CROWD CIS_GUESTS_DIR "/crowd.wasm"
#define ok(s, ...) assert_exit((s), 0, cis((s), __VA_ARGS__))
#define LEVELS "17" /* of 255 bytes: paths of the last two are too long */

static unsigned long kills = 3, only;

/* ---- a process that is killed at its n-th change ---- */

/* Calls that change names, contents or attributes, and what is sent to a server. */
static const unsigned changing[] = {SYS_mkdirat,   SYS_renameat,  SYS_renameat2, SYS_unlinkat,
                                    SYS_linkat,    SYS_symlinkat, SYS_fchmod,    SYS_fchmodat,
                                    SYS_utimensat, SYS_fchownat,  SYS_ftruncate, SYS_pwrite64,
                                    SYS_pwritev,   SYS_pwritev2,  SYS_sendto};
#define NCHANGING (sizeof changing / sizeof *changing)

/* The calls stop the process; all others are as fast as ever. */
static int stop_at_changes(void)
{
    struct sock_filter steps[NCHANGING + 3] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (size_t i = 0; i < NCHANGING; i++) {
        steps[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, changing[i],
                                                    (uint8_t)(NCHANGING - i), 0);
    }
    steps[NCHANGING + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    steps[NCHANGING + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program = {NCHANGING + 3, steps};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0
               ? 0
               : -1;
}

static void become(const struct sys *s, const char *const *argv, bool traced)
{
    char home[4200];
    snprintf(home, sizeof home, "CIS_HOME=%s", s->home);
    const char *envp[] = {"PATH=/usr/bin:/bin",          home, "LC_ALL=C.UTF-8", s->env[0],
                          "ASAN_OPTIONS=detect_leaks=0", NULL};
    int nowhere = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) {
        dup2(nowhere, fd);
    }
    if (setpgid(0, 0) == 0 && (!traced || (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 &&
                                           raise(SIGSTOP) == 0 && stop_at_changes() == 0))) {
        execve(CIS_PROGRAM, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
    }
    _exit(99);
}

struct ended {
    unsigned long changes; /* it began, the one that it was killed at included */
    bool killed;
    int code;
};

static bool ptrace_is_had(struct sys *s, pid_t pid)
{
    int status;
    (void)s;
    return waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) &&
           ptrace(PTRACE_SETOPTIONS, pid, NULL,
                  PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE |
                      PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK) == 0 &&
           ptrace(PTRACE_CONT, pid, NULL, NULL) == 0;
}

/* at: 0, and it is let go on to its end. */
static struct ended run_killed(struct sys *s, const char *const *argv, unsigned long at)
{
    struct ended out = {0, false, -1};
    int status;
    pid_t pid = fork(), who;
    if (pid == 0) {
        become(s, argv, true);
    }
    if (!ptrace_is_had(s, pid)) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        not_tested("ptrace", "a process of one's own cannot be traced");
    }
    while ((who = waitpid(-pid, &status, __WALL)) > 0) { /* all its threads */
        if (!WIFSTOPPED(status)) {
            if (who == pid) {
                out.killed = WIFSIGNALED(status);
                out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            }
            continue;
        }
        int sig = WSTOPSIG(status), event = status >> 16;
        if (event == PTRACE_EVENT_SECCOMP && ++out.changes == at) {
            kill(pid, SIGKILL);
        }
        sig = event != 0 || sig == SIGSTOP || sig == SIGTRAP ? 0 : sig;
        (void)ptrace(PTRACE_CONT, who, NULL, sig);
    }
    return out;
}

/* At a moment. */
static struct ended run_killed_after(struct sys *s, const char *const *argv, unsigned us)
{
    struct ended out = {0, false, -1};
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        become(s, argv, false);
    }
    usleep(us);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    out.killed = WIFSIGNALED(status);
    out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return out;
}

/* ---- the folder ---- */

struct place {
    char folder[4200], mount[4300];
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Depth, name, mode and content of all in it, in order. */
static void tell(int fd, unsigned depth, struct cis_buf *out)
{
    char *names[64], text[100];
    size_t n = 0;
    const struct dirent *e;
    DIR *list = fdopendir(fd);
    assert_non_null(list);
    while ((e = readdir(list)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            assert_true(n < 64);
            names[n++] = strdup(e->d_name);
        }
    }
    if (n > 1) {
        qsort(names, n, sizeof *names, by_text);
    }
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        assert_int_equal(fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
        int in = openat(fd, names[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        assert_true(in >= 0);
        ssize_t got = S_ISDIR(st.st_mode) ? 0 : read(in, text, sizeof text - 1);
        text[got > 0 ? got : 0] = 0;
        cis_buf_printf(out, "%u %.20s %o %s\n", depth, names[i], st.st_mode, text);
        if (S_ISDIR(st.st_mode)) {
            tell(in, depth + 1, out);
        } else {
            close(in);
        }
        free(names[i]);
    }
    closedir(list);
}

static char *told(const struct place *p)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    int fd = open(p->folder, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    tell(fd, 0, &text);
    return strdup(cis_buf_cstr(&text));
}

static void put_file(int in, const char *name, const char *text)
{
    int fd = openat(in, name, O_WRONLY | O_CREAT | O_EXCL, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static struct place begin(struct sys *s, const char *name)
{
    struct place p;
    snprintf(p.folder, sizeof p.folder, "%s/%s", s->home, name);
    snprintf(p.mount, sizeof p.mount, "%s::/w:cow=%s", p.folder, name);
    assert_int_equal(mkdir(p.folder, 0755), 0);
    int at = open(p.folder, O_RDONLY | O_DIRECTORY);
    put_file(at, "mine", "of the user");
    close(at);
    return p;
}

/* What an earlier run made there. */
static void fill(struct sys *s, const struct place *p)
{
    ok(s, "run", "--dir", p->mount, CROWD, "far", "/w", LEVELS, "3");
    ok(s, "runs", "apply", "last");
}

static void remove_tree(int in, const char *name)
{
    int fd = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        DIR *list = fdopendir(fd);
        const struct dirent *e;
        while ((e = readdir(list)) != NULL) {
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
                remove_tree(fd, e->d_name);
            }
        }
        closedir(list);
    }
    assert_int_equal(unlinkat(in, name, fd >= 0 ? AT_REMOVEDIR : 0), 0);
}

/* ---- kills ---- */

struct kind {
    const char *name, *verb, *levels, *files;
    bool filled;
};
static const struct kind kinds[] = {
    {"make", "far", LEVELS, "3", false},
    {"replace", "changed", LEVELS, "0", true},
    {"clear", "cleared", "10", "0", true},
};

/* Of one kill. */
struct round {
    struct sys *s;
    const struct kind *kind;
    struct place p;
    char *before, *after; /* as it is told; after: NULL as long as it is not known */
    char id[27], label[100];
};

static void assert_tree(const struct round *r, const char *want, const char *when)
{
    char *have = told(&r->p);
    if (strcmp(have, want) != 0) {
        fail_msg("%s, %s:\n%s\nnot\n%s", r->label, when, have, want);
    }
    free(have);
}

static const char *const *apply_words(const struct round *r)
{
    static const char *words[] = {CIS_PROGRAM, "runs", "apply", NULL, NULL};
    words[3] = r->id;
    return words;
}

static const char *const *undo_words(const struct round *r)
{
    static const char *words[] = {CIS_PROGRAM, "runs", "undo", NULL, NULL};
    words[3] = r->id;
    return words;
}

static void round_begin(struct round *r, struct sys *s, const struct kind *kind, const char *label)
{
    static unsigned number;
    char name[40];
    char *after = r->after;
    snprintf(name, sizeof name, "f%u", number++);
    *r = (struct round){.s = s, .kind = kind, .after = after};
    snprintf(r->label, sizeof r->label, "%s %s", kind->name, label);
    r->p = begin(s, name);
    if (kind->filled) {
        fill(s, &r->p);
    }
    r->before = told(&r->p);
    ok(s, "run", "--dir", r->p.mount, CROWD, kind->verb, "/w", kind->levels, kind->files);
    ok(s, "runs", "list", "--limit", "1", "--json");
    const char *at = strstr(sys_out(s), "\"id\":\"");
    assert_non_null(at);
    snprintf(r->id, sizeof r->id, "%s", at + 6);
}

static void round_end(struct round *r)
{
    assert_tree(r, r->before, "at the end");
    free(r->before);
    remove_tree(AT_FDCWD, r->p.folder);
}

/* Paths are long. */
static const char *end_of(const char *text)
{
    size_t len = strlen(text);
    return text + (len > 400 ? len - 400 : 0);
}

static void apply_again(struct round *r)
{
    if (sys_exec(r->s, apply_words(r)) != 0) {
        fail_msg("%s: apply again: %s", r->label, end_of(sys_err(r->s)));
    }
    assert_tree(r, r->after, "applied again");
}

static void undo_again(struct round *r, bool may_be_done)
{
    int code = sys_exec(r->s, undo_words(r));
    if (code != 0 &&
        !(may_be_done && code == 2 && strstr(sys_err(r->s), "already undone") != NULL)) {
        fail_msg("%s: undo: %s", r->label, end_of(sys_err(r->s)));
    }
}

static bool chosen(unsigned long at)
{
    return only == 0 || at == only;
}

/* Nobody kills these: what comes, and how many changes that takes. */
static void uninterrupted(struct round *r, struct sys *s, const struct kind *kind,
                          unsigned long *out_apply, unsigned long *out_undo)
{
    round_begin(r, s, kind, "without a kill");
    struct ended e = run_killed(s, apply_words(r), 0);
    assert_int_equal(e.code, 0);
    *out_apply = e.changes;
    r->after = told(&r->p);
    assert_string_not_equal(r->after, r->before);
    e = run_killed(s, undo_words(r), 0);
    assert_int_equal(e.code, 0);
    *out_undo = e.changes;
    round_end(r);
}

/* The apply is killed, and either made again or taken back. */
static void killed_apply(struct sys *s, const struct kind *kind, char **after, unsigned long at,
                         unsigned us, bool again)
{
    struct round r = {.after = *after};
    char label[60];
    snprintf(label, sizeof label, "apply killed at %lu, %u us, %s", at, us,
             again ? "made again" : "taken back");
    round_begin(&r, s, kind, label);
    struct ended e =
        at != 0 ? run_killed(s, apply_words(&r), at) : run_killed_after(s, apply_words(&r), us);
    assert_true(e.killed || e.code == 0);
    if (again) {
        apply_again(&r);
    }
    undo_again(&r, false);
    round_end(&r);
}

static void killed_undo(struct sys *s, const struct kind *kind, char **after, unsigned long at,
                        unsigned us)
{
    struct round r = {.after = *after};
    char label[60];
    snprintf(label, sizeof label, "undo killed at %lu, %u us", at, us);
    round_begin(&r, s, kind, label);
    assert_exit(s, 0, sys_exec(s, apply_words(&r)));
    assert_tree(&r, r.after, "applied");
    struct ended e =
        at != 0 ? run_killed(s, undo_words(&r), at) : run_killed_after(s, undo_words(&r), us);
    assert_true(e.killed || e.code == 0);
    undo_again(&r, true);
    round_end(&r);
}

static void kind_is_killed(struct sys *s, const struct kind *kind, unsigned *seed)
{
    struct round r = {0};
    unsigned long applies, undos;
    uninterrupted(&r, s, kind, &applies, &undos);
    char *after = r.after;
    unsigned long step = (applies + undos) / kills + 1, done = 0;
    for (unsigned long at = 1 + (unsigned)rand_r(seed) % step; at <= applies; at += step, done++) {
        for (int again = 0; again < 2 && chosen(at); again++) {
            killed_apply(s, kind, &after, at, 0, again != 0);
        }
    }
    for (unsigned long at = 1 + (unsigned)rand_r(seed) % step; at <= undos; at += step, done++) {
        if (chosen(at)) {
            killed_undo(s, kind, &after, at, 0);
        }
    }
    for (unsigned long i = 0; i < kills / 4 && only == 0; i++, done++) {
        unsigned us = (unsigned)rand_r(seed) % 200000;
        if (i % 2 == 0) {
            killed_apply(s, kind, &after, 0, us, i % 4 == 0);
        } else {
            killed_undo(s, kind, &after, 0, us);
        }
    }
    print_message("%s: %lu kills, of %lu changes of an apply and %lu of an undo\n", kind->name,
                  done, applies, undos);
    free(after);
    ok(s, "fs", "fsck");
}

static void folders_that_a_killed_apply_makes_are_made_or_taken_back(void **state)
{
    unsigned seed = test_seed();
    kind_is_killed(*state, &kinds[0], &seed);
}

static void folders_that_a_killed_apply_replaces_are_replaced_or_brought_back(void **state)
{
    unsigned seed = test_seed();
    kind_is_killed(*state, &kinds[1], &seed);
}

static void folders_that_a_killed_apply_removes_are_removed_or_brought_back(void **state)
{
    unsigned seed = test_seed();
    kind_is_killed(*state, &kinds[2], &seed);
}

int main(void)
{
    const char *given = getenv("CIS_FAR_KILLS"), *at = getenv("CIS_FAR_AT");
    kills = given != NULL ? strtoul(given, NULL, 10) : kills;
    only = at != NULL ? strtoul(at, NULL, 10) : 0;
    const struct CMUnitTest tests[] = {
        TEST(folders_that_a_killed_apply_makes_are_made_or_taken_back),
        TEST(folders_that_a_killed_apply_replaces_are_replaced_or_brought_back),
        TEST(folders_that_a_killed_apply_removes_are_removed_or_brought_back),
    };
    return STORED_MAIN("far_kill", tests);
}
