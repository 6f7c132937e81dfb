/* The sandbox seen from outside: started, its mount taken over, its end heard. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "exec/internal.h"

#define STATUS_MAX 4096
#define START_NS (30 * CIS_NS_PER_S)
#define REAP_NS (10 * CIS_NS_PER_S)
#define REAP_NAP_NS 50000 /* at first: the kernel takes about a millisecond */

/* ---- the first process ---- */

static cis_code spawn(const char *const *argv, const int fds[ENTER_FDS], pid_t *out,
                      struct cis_error *err)
{
    static const char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    for (int i = 0; i < ENTER_FDS; i++) {
        posix_spawn_file_actions_adddup2(&files, fds[i], i);
    }
    posix_spawn_file_actions_addclosefrom_np(&files, ENTER_FDS);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(out, argv[0], &files, &attr, (char **)(uintptr_t)argv,
                         (char **)(uintptr_t)envp);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return rc == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_INTERNAL, rc, "%s", argv[0]);
}

/* The mount's descriptor, or why there is none. */
static cis_code receive(struct exec_sandbox *s, const struct cis_stop *stop, struct cis_error *err)
{
    char text[256];
    int fds[EXEC_HANDED];
    struct iovec data = {text, sizeof text - 1};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int) * EXEC_HANDED)];
    } control;
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.room};
    CIS_TRY(cis_stop_wait(stop, s->talk_fd, POLLIN, "starting the sandbox", err));
    ssize_t n = recvmsg(s->talk_fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fds)) {
        memcpy(fds, CMSG_DATA(c), sizeof fds);
        s->fuse_fd = fds[EXEC_HANDED_FUSE];
        s->scratch_fd = fds[EXEC_HANDED_SCRATCH];
    }
    if (n > 0 && text[0] == 'F' && s->fuse_fd >= 0) {
        return CIS_OK;
    }
    text[n > 0 ? n : 0] = 0;
    return n > 1 && text[0] == 'E'
               ? cis_fail(err, CIS_E_UNSUPPORTED, "this system does not give a sandbox: %s",
                          text + 1)
               : cis_fail(err, CIS_E_INTERNAL, "the sandbox ended before it was ready");
}

/* What the program has open is open here, too, of all its processes together. What the limit was,
 * which each of them gets. */
static rlim_t raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return 0;
    }
    struct rlimit most = {files.rlim_max, files.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &most);
    return files.rlim_cur;
}

static cis_code numbers(struct exec_args *a, const struct cis_exec_options *o,
                        char text[ENTER_DOOR][24], struct cis_error *err)
{
    uint64_t cpu_s = o->cpu_ns / CIS_NS_PER_S + (o->cpu_ns % CIS_NS_PER_S != 0);
    snprintf(text[0], 24, "%" PRIu64, o->memory_bytes);
    snprintf(text[1], 24, "%" PRIu64, cpu_s);
    snprintf(text[2], 24, "%" PRIu32, o->processes);
    snprintf(text[3], 24, "%" PRIu64, (uint64_t)raise_files());
    snprintf(text[4], 24, "%" PRIu64, cis_exec_scratch(o->memory_bytes));
    cis_exec_args_add(a, o->program);
    cis_exec_args_add(a, "__enter");
    for (int i = 0; i < ENTER_DOOR; i++) {
        cis_exec_args_add(a, text[i]);
    }
    return a->failed ? cis_fail(err, CIS_E_NOMEM, "out of memory") : CIS_OK;
}

static cis_code start(const struct cis_exec_options *o, const struct exec_args *args,
                      int fds[ENTER_FDS], struct exec_sandbox *s, struct cis_error *err)
{
    CIS_CLEANUP(cis_exec_args_done) struct exec_args whole = {0};
    char text[ENTER_DOOR][24];
    CIS_TRY(numbers(&whole, o, text, err));
    cis_exec_args_add(&whole, s->group_door != NULL ? s->group_door : "");
    cis_exec_args_add(&whole, o->place);
    cis_exec_args_add(&whole, EXEC_BWRAP);
    cis_exec_args_add(&whole, "--args");
    _Static_assert(ENTER_VIEW_FD == 6, "as it is told here");
    cis_exec_args_add(&whole, "6");
    cis_exec_args_add(&whole, "--");
    for (size_t i = args->command; i < args->n; i++) {
        cis_exec_args_add(&whole, args->items[i]);
    }
    CIS_TRY(whole.failed ? cis_fail(err, CIS_E_NOMEM, "out of memory") : CIS_OK);
    CIS_TRY(spawn(whole.items, fds, &s->pid, err));
    if (s->group_door == NULL) {
        cis_exec_group_join(s, o); /* while it makes its mounts */
    }
    s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    return s->pidfd >= 0 ? CIS_OK : cis_fail_sys(err, CIS_E_LIMIT, errno, "pidfd");
}

/* Above the numbers that they are to have: dup2 would take one that another still needs. */
static int lift(int fd)
{
    int high = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 10) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return high;
}

cis_code cis_exec_start(const struct cis_exec_options *o, const struct exec_args *args,
                        const int std[3], struct exec_sandbox *s, struct cis_error *err)
{
    int talk[2] = {-1, -1}, status[2] = {-1, -1}, filter = -1, view = -1;
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), START_NS), o->cancel};
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        return cis_fail_sys(err, CIS_E_INTERNAL, errno, "prctl");
    }
    CIS_TRY(cis_exec_filter(o->memory_bytes != 0, &filter, err));
    filter = lift(filter);
    cis_code code = cis_exec_args_file(args, &view, err);
    view = lift(view);
    bool made = filter >= 0 && view >= 0 &&
                socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk) == 0 &&
                pipe2(status, O_CLOEXEC) == 0;
    talk[1] = lift(talk[1]);
    status[1] = lift(status[1]);
    s->talk_fd = talk[0];
    s->status_fd = status[0];
    s->status = CIS_BUF_INIT(STATUS_MAX);
    int fds[ENTER_FDS] = {std[0], std[1], std[2], talk[1], filter, status[1], view};
    if (code == CIS_OK) {
        code = made && talk[1] >= 0 && status[1] >= 0
                   ? start(o, args, fds, s, err)
                   : cis_fail_sys(err, CIS_E_LIMIT, errno, "descriptors");
    }
    for (int i = ENTER_TALK_FD; i < ENTER_FDS; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    if (s->status_fd >= 0) {
        (void)fcntl(s->status_fd, F_SETFL, O_NONBLOCK);
    }
    return code == CIS_OK ? receive(s, &stop, err) : code;
}

cis_code cis_exec_go(struct exec_sandbox *s, struct cis_error *err)
{
    bool told = send(s->talk_fd, "G", 1, MSG_NOSIGNAL) == 1;
    return told ? CIS_OK : cis_fail_sys(err, CIS_E_INTERNAL, errno, "the sandbox");
}

/* ---- its end ---- */

bool cis_exec_hear(struct exec_sandbox *s)
{
    for (;;) {
        uint8_t *at = cis_buf_reserve(&s->status, 512);
        ssize_t n = at != NULL ? read(s->status_fd, at, 512) : 0;
        if (n <= 0) {
            return n < 0;
        }
        s->status.len += (size_t)n;
    }
}

void cis_exec_kill(struct exec_sandbox *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL); /* what is inside dies with it */
    }
}

/* A JSON object a line: one when the program's process is there, one with its exit code. */
static bool find_number(struct exec_sandbox *s, const char *name, json_int_t *out)
{
    struct cis_str rest = cis_buf_view(&s->status), line;
    bool found = false;
    while (rest.len != 0) {
        cis_str_split(&rest, '\n', &line);
        json_t *json = json_loadb(line.ptr, line.len, 0, NULL);
        json_t *number = json_object_get(json, name);
        if (json_is_integer(number)) {
            *out = json_integer_value(number);
            found = true;
        }
        json_decref(json);
    }
    return found;
}

/* What was inside became ours when its parents died: once all of it is gone nothing can write any
 * more, and nobody else has to reap it. The kernel is killing them already. */
static void reap_all(void)
{
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), REAP_NS);
    struct timespec nap = {.tv_nsec = REAP_NAP_NS};
    while (cis_clock_mono_ns() < until) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno == ECHILD) {
            return;
        }
        if (pid == 0) {
            (void)nanosleep(&nap, NULL);
            nap.tv_nsec = nap.tv_nsec < (long)CIS_NS_PER_MS ? 2 * nap.tv_nsec : nap.tv_nsec;
        }
    }
}

cis_code cis_exec_reap(struct exec_sandbox *s, int *out_exit, struct cis_error *err)
{
    int status = 0;
    json_int_t number = 0;
    pid_t pid;
    do {
        pid = waitpid(s->pid, &status, 0);
    } while (pid < 0 && errno == EINTR);
    s->pid = 0;
    if (s->scratch_fd >= 0) { /* else all that is in memory stays while the files are kept */
        close(s->scratch_fd);
        s->scratch_fd = -1;
    }
    reap_all();
    (void)cis_exec_hear(s);
    if (find_number(s, "exit-code", &number)) {
        *out_exit = (int)(number & 0xff);
        return CIS_OK;
    }
    if (find_number(s, "child-pid", &number) && WIFSIGNALED(status)) {
        return cis_fail(err, CIS_E_CANCELLED, "the sandbox was ended by signal %d",
                        WTERMSIG(status));
    }
    char told[256];
    ssize_t n = recv(s->talk_fd, told, sizeof told - 1, MSG_DONTWAIT);
    told[n > 0 ? n : 0] = 0;
    if (n > 1) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "%s", told + 1);
    }
    return find_number(s, "child-pid", &number)
               ? cis_fail(err, CIS_E_NOTFOUND,
                          "the program cannot be started: bubblewrap says above why")
               : cis_fail(err, CIS_E_UNSUPPORTED,
                          "this system does not give a sandbox: bubblewrap says above why");
}

void cis_exec_sandbox_done(struct exec_sandbox *s)
{
    int *fds[] = {&s->pidfd, &s->talk_fd, &s->status_fd, &s->fuse_fd, &s->scratch_fd};
    struct cis_error err;
    int exit;
    if (s->pid > 0) {
        cis_exec_kill(s);
        (void)cis_exec_reap(s, &exit, &err);
    }
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]);
            *fds[i] = -1;
        }
    }
    cis_exec_group_remove(s);
    cis_buf_done(&s->status);
}
