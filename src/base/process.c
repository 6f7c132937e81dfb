#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/herd.h"
#include "base/mem.h"

#define LOOK_MS 50 /* how often a child's processor time is looked at */
#define BLOCK_BYTES 65536u
#define PIPE_BYTES (1 << 20) /* for a child that is given more than an ordinary pipe holds */

void cis_process_result_done(struct cis_process_result *result)
{
    cis_buf_done(&result->output);
    cis_buf_done(&result->errors);
}

struct pipes {
    int in[2], out[2], errs[2],
        report[2]; /* report: the child's errno before exec, close-on-exec */
};

static void shut(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void pipes_done(struct pipes *p)
{
    int *all = p->in;
    for (size_t i = 0; i < sizeof *p / sizeof(int); i++) {
        shut(&all[i]);
    }
}

/* None of them is 0, 1 or 2, though these may be closed in an embedder's process: the child could
 * not put one in the place of another. */
static int pipe_make(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return errno;
    }
    for (int i = 0; i < 2; i++) {
        if (ends[i] > 2) {
            continue;
        }
        int higher = fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
        if (higher < 0) {
            return errno;
        }
        close(ends[i]);
        ends[i] = higher;
    }
    return 0;
}

/* Fewer turns for many bytes. A system that does not allow it leaves the pipe as it is. */
static void pipes_widen(const struct pipes *p, const struct cis_process_options *o)
{
    for (size_t i = 0; i < o->ninput; i++) {
        if (o->input[i].len > PIPE_BYTES) {
            fcntl(p->in[1], F_SETPIPE_SZ, PIPE_BYTES);
            fcntl(p->out[0], F_SETPIPE_SZ, PIPE_BYTES);
            return;
        }
    }
}

static char *find_program(const char *name)
{
    if (strchr(name, '/') != NULL) {
        return cis_strdup(name);
    }
    const char *path = getenv("PATH");
    struct cis_str rest = cis_str_of(path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"), dir;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, ':', &dir);
        if (dir.len == 0 || dir.ptr[0] != '/') {
            continue; /* a relative entry would run a file of the current folder */
        }
        CIS_CLEANUP(cis_freep) char *folder = cis_strndup(dir.ptr, dir.len);
        char *full = folder != NULL ? cis_path_join(folder, name) : NULL;
        if (full != NULL && access(full, X_OK) == 0) {
            return full;
        }
        cis_free(full);
    }
    return NULL;
}

bool cis_process_exists(const char *program)
{
    CIS_CLEANUP(cis_freep) char *path = find_program(program);
    return path != NULL && access(path, X_OK) == 0;
}

/* At most that; a lower one that the user has stays. 0 or errno. */
static int limit(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit r;
    if (getrlimit((__rlimit_resource_t)what, &r) != 0) {
        return errno;
    }
    r.rlim_max = r.rlim_max < hard ? r.rlim_max : hard;
    r.rlim_cur = r.rlim_cur < soft ? r.rlim_cur : soft;
    r.rlim_cur = r.rlim_cur < r.rlim_max ? r.rlim_cur : r.rlim_max;
    return setrlimit((__rlimit_resource_t)what, &r) != 0 ? errno : 0;
}

/* Where nothing of the child lies in the way of the numbers that they get. 0 or errno. */
static int hand_over(const struct cis_process_options *o, int *report)
{
    int first = 3 + (int)o->nfds, away[CIS_PROCESS_FDS];
    int moved = fcntl(*report, F_DUPFD_CLOEXEC, first);
    if (moved < 0) {
        return errno; /* told by the one that there is */
    }
    *report = moved;
    for (size_t i = 0; i < o->nfds; i++) {
        if ((away[i] = fcntl(o->fds[i], F_DUPFD_CLOEXEC, first)) < 0) {
            return errno;
        }
    }
    for (size_t i = 0; i < o->nfds; i++) {
        if (dup2(away[i], 3 + (int)i) < 0) {
            return errno;
        }
    }
    return 0;
}

/* Runs between fork and exec: only async-signal-safe calls. */
static _Noreturn void child(const struct cis_process_options *o, const char *program,
                            struct pipes *p, pid_t parent, pid_t group)
{
    static const char *const no_env[] = {NULL};
    int sys = setpgid(0, group) == 0 ? 0 : errno; /* the keeper's group, or its own */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!o->setuid) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    if (getppid() != parent) {
        _exit(127);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < 32; s++) {
        signal(s, SIG_DFL);
    }
    if (dup2(p->in[0], 0) < 0 || dup2(p->out[1], 1) < 0 || dup2(p->errs[1], 2) < 0) {
        sys = errno;
    }
    if (sys == 0 && o->nfds != 0) {
        sys = hand_over(o, &p->report[1]);
    }
    struct rlimit core = {1, 1}; /* zero is none of files, one byte none of a pipe either */
    if (setrlimit(RLIMIT_CORE, &core) != 0) {
        core = (struct rlimit){0, 0};
        setrlimit(RLIMIT_CORE, &core);
    }
    if (sys == 0 && o->memory_bytes != 0) {
        sys = limit(RLIMIT_AS, o->memory_bytes, o->memory_bytes);
    }
    if (sys == 0 && o->cpu_ns != 0) {
        rlim_t seconds = o->cpu_ns / CIS_NS_PER_S + 1;
        sys = limit(RLIMIT_CPU, seconds, seconds + 1);
    }
    if (sys == 0 && o->file_bytes != 0) {
        sys = limit(RLIMIT_FSIZE, o->file_bytes, o->file_bytes);
    }
    if (sys == 0 && o->cwd != NULL && chdir(o->cwd) != 0) {
        sys = errno;
    }
    if (sys == 0 && o->herd) {
        sys = cis_herd_stay();
    }
    /* Nothing but 0–2, what is handed over and the report pipe crosses: files opened without
     * O_CLOEXEC elsewhere in an embedder's process must not reach the child. */
    syscall(SYS_close_range, 3u + (unsigned)o->nfds, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
    if (sys == 0) {
        const char *const *env = o->envp != NULL ? o->envp : no_env;
        execve(program, (char *const *)(uintptr_t)o->argv, (char *const *)(uintptr_t)env);
        sys = errno;
    }
    ssize_t unused = write(p->report[1], &sys, sizeof sys);
    (void)unused;
    _exit(127);
}

/* Has the child used up its processor time? *inout_ms: when to look again, at the latest. */
static cis_code check_cpu(const struct cis_process_options *o, pid_t pid, int *inout_ms,
                          struct cis_error *err)
{
    struct timespec used;
    clockid_t clock;
    if (o->cpu_ns == 0 || clock_getcpuclockid(pid, &clock) != 0 ||
        clock_gettime(clock, &used) != 0) {
        return CIS_OK; /* it has ended, which will be noticed */
    }
    uint64_t ns = (uint64_t)used.tv_sec * CIS_NS_PER_S + (uint64_t)used.tv_nsec;
    if (ns >= o->cpu_ns) {
        return cis_fail(err, CIS_E_BUDGET, "%s: its limit of processor time is reached",
                        o->argv[0]);
    }
    *inout_ms = *inout_ms < 0 || *inout_ms > LOOK_MS ? LOOK_MS : *inout_ms;
    return CIS_OK;
}

/* What a child has written; at its end, or when it cannot be read, the pipe is closed. */
static size_t receive(int *fd, char *block)
{
    ssize_t n = read(*fd, block, BLOCK_BYTES);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
        shut(fd);
    }
    return n > 0 ? (size_t)n : 0;
}

struct sent {
    size_t part, bytes; /* of the part */
};

/* A child that reads only part of its input is no failure. */
static void send_input(const struct cis_process_options *o, int *fd, struct sent *at)
{
    while (at->part < o->ninput && at->bytes == o->input[at->part].len) {
        *at = (struct sent){at->part + 1, 0};
    }
    if (at->part == o->ninput) {
        shut(fd);
        return;
    }
    const struct cis_bytes *part = &o->input[at->part];
    ssize_t n = write(*fd, part->ptr + at->bytes, part->len - at->bytes);
    if (n > 0) {
        at->bytes += (size_t)n;
    } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
        shut(fd);
    }
}

static cis_code pump_with(const struct cis_process_options *o, pid_t pid, struct pipes *p,
                          char *block, struct cis_process_result *r, struct cis_error *err)
{
    struct sent sent = {0};
    int bell = cis_cancel_fd(o->stop.cancel);
    while (p->out[0] >= 0 || p->errs[0] >= 0) {
        CIS_TRY(cis_stop_check(&o->stop, o->argv[0], err));
        struct pollfd fds[4] = {{.fd = p->out[0], .events = POLLIN},
                                {.fd = p->errs[0], .events = POLLIN},
                                {.fd = p->in[1], .events = POLLOUT},
                                {.fd = bell, .events = POLLIN}};
        int ms = cis_clock_poll_ms(o->stop.deadline_ns);
        if (bell < 0 && o->stop.cancel != NULL && (ms < 0 || ms > 20)) {
            ms = 20;
        }
        CIS_TRY(check_cpu(o, pid, &ms, err));
        if (poll(fds, 4, ms) < 0 && errno != EINTR) {
            return cis_fail_sys(err, CIS_E_IO, errno, "%s: cannot wait for it (poll)", o->argv[0]);
        }
        if (fds[0].revents != 0) {
            cis_buf_add(&r->output, block, receive(&p->out[0], block));
            CIS_TRY(cis_buf_check(&r->output, "output of the command", err));
        }
        if (fds[1].revents != 0) {
            size_t n = receive(&p->errs[0], block), room = r->errors.max - r->errors.len;
            cis_buf_add(&r->errors, block, n < room ? n : room);
        }
        if (fds[2].revents != 0) {
            send_input(o, &p->in[1], &sent);
        }
    }
    return CIS_OK;
}

static cis_code pump(const struct cis_process_options *o, pid_t pid, struct pipes *p,
                     struct cis_process_result *r, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *block = cis_alloc(BLOCK_BYTES);
    return block != NULL ? pump_with(o, pid, p, block, r, err)
                         : cis_fail(err, CIS_E_NOMEM, "%s: out of memory", o->argv[0]);
}

static void wait_for(pid_t pid, int *out_status)
{
    while (waitpid(pid, out_status, 0) < 0 && errno == EINTR) {
    }
}

/* Waits for the exit until the stop condition; pidfd, so that no other child is ever reaped. */
static cis_code reap(const struct cis_process_options *o, pid_t pid, pid_t group, int *status,
                     struct cis_error *err)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0u);
    cis_code code = CIS_OK;
    if (fd >= 0) {
        code = cis_stop_wait(&o->stop, fd, POLLIN, o->argv[0], err);
        close(fd);
    }
    if (code != CIS_OK) {
        kill(-group, SIGKILL);
        kill(pid, SIGKILL);
    }
    wait_for(pid, status);
    return code;
}

/* 0: there is none. */
static void keeper_end(pid_t keeper)
{
    int status;
    if (keeper != 0) {
        kill(keeper, SIGKILL);
        wait_for(keeper, &status);
    }
}

cis_code cis_process_run(const struct cis_process_options *o, struct cis_process_result *out_result,
                         struct cis_error *err)
{
    if (o->nfds > CIS_PROCESS_FDS) {
        return cis_fail(err, CIS_E_USAGE, "%s: more than %d descriptors", o->argv[0],
                        CIS_PROCESS_FDS);
    }
    CIS_CLEANUP(cis_freep) char *program = find_program(o->argv[0]);
    if (program == NULL) {
        return cis_fail(err, CIS_E_NOTFOUND, "%s: no such program in PATH", o->argv[0]);
    }
    CIS_CLEANUP(pipes_done) struct pipes p = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    int(*const all[])[2] = {&p.in, &p.out, &p.errs, &p.report};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int failed = pipe_make(*all[i]);
        if (failed != 0) {
            return cis_fail_sys(err, CIS_E_IO, failed, "%s: cannot make a pipe", o->argv[0]);
        }
    }
    fcntl(p.in[1], F_SETFL, O_NONBLOCK);
    pipes_widen(&p, o);
    /* SIGPIPE of a child that does not read its input must not end the host. */
    sigset_t pipe_set, old;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    pid_t parent = getpid(), keeper = 0;
    int kept = o->herd ? cis_herd_keeper(&keeper) : 0;
    pid_t pid = kept == 0 ? fork() : -1;
    if (pid == 0) {
        child(o, program, &p, parent, keeper);
    }
    if (pid < 0) {
        int sys = kept != 0 ? kept : errno;
        keeper_end(keeper);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return cis_fail_sys(err, CIS_E_IO, sys, "%s: cannot start a process (fork)", o->argv[0]);
    }
    pid_t group = keeper != 0 ? keeper : pid;
    setpgid(pid, group);
    shut(&p.in[0]);
    shut(&p.out[1]);
    shut(&p.errs[1]);
    shut(&p.report[1]);
    int sys = 0, status = 0;
    ssize_t told;
    while ((told = read(p.report[0], &sys, sizeof sys)) < 0 && errno == EINTR) {
    }
    struct cis_process_result r = {CIS_BUF_INIT(o->output_max), CIS_BUF_INIT(o->errors_max), 0, 0};
    cis_code code = CIS_OK;
    if (told == (ssize_t)sizeof sys) {
        code = cis_fail_sys(err, CIS_E_IO, sys, "%s: cannot start", o->argv[0]);
    } else {
        code = pump(o, pid, &p, &r, err);
    }
    if (code != CIS_OK) {
        kill(-group, SIGKILL);
        kill(pid, SIGKILL);
        wait_for(pid, &status);
    } else {
        code = reap(o, pid, group, &status, err);
        kill(-group, SIGKILL); /* what the child left behind in its group */
    }
    keeper_end(keeper);
    struct timespec zero = {0, 0};
    while (sigtimedwait(&pipe_set, NULL, &zero) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code != CIS_OK) {
        cis_process_result_done(&r);
        return code;
    }
    r.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    r.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    *out_result = r;
    return CIS_OK;
}
