/* The first process inside. It makes a user and a mount namespace, where the machine is read-only,
 * mounts the files there, hands the mount's descriptor to whoever serves it, sets limits, and
 * becomes bubblewrap. One thread, no memory of its own: the kernel refuses a user namespace to a
 * process with several threads. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "exec/internal.h"

/* Says why and ends: the other side tells it. */
static int refuse(const char *what, int rc)
{
    char text[256];
    int n = snprintf(text, sizeof text, "E%s: %s", what, strerrordesc_np(rc));
    ssize_t told = write(ENTER_TALK_FD, text, (size_t)(n < (int)sizeof text ? n : 255));
    return told < 0 ? 126 : 125;
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int rc = errno;
    if (fd >= 0) {
        close(fd);
    }
    errno = rc;
    return done;
}

/* The same user inside as outside. Root gets every number, so that owners stay what they are. */
static bool map_ids(uid_t uid, gid_t gid)
{
    char users[64], groups[64];
    if (uid == 0 && write_file("/proc/self/uid_map", "0 0 4294967295") &&
        write_file("/proc/self/gid_map", "0 0 4294967295")) {
        return true;
    }
    snprintf(users, sizeof users, "%u %u 1", uid, uid);
    snprintf(groups, sizeof groups, "%u %u 1", gid, gid);
    return write_file("/proc/self/uid_map", users) && write_file("/proc/self/setgroups", "deny") &&
           write_file("/proc/self/gid_map", groups);
}

/* A terminal of the user among the first descriptors is his, with its permissions: whoever has it
 * from a mount that can be written makes it everybody's. Where there is no such name here it stays.
 */
static void reopen_terminals(void)
{
    char name[64];
    for (int i = 0; i < 3; i++) {
        int flags = fcntl(i, F_GETFL);
        int fd = flags >= 0 && ttyname_r(i, name, sizeof name) == 0
                     ? open(name, (flags & O_ACCMODE) | O_NOCTTY | O_CLOEXEC)
                     : -1;
        if (fd >= 0) {
            (void)dup2(fd, i);
            close(fd);
        }
    }
}

static bool hand_over(const int fds[EXEC_HANDED])
{
    char what = 'F';
    struct iovec data = {&what, 1};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int) * EXEC_HANDED)];
    } control = {0};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * EXEC_HANDED);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * EXEC_HANDED);
    return sendmsg(ENTER_TALK_FD, &message, 0) == 1;
}

/* Of a limit of zero a machine's own reader of cores hears all the same (core_pattern with a pipe);
 * a core of one byte is none, and nobody is asked. */
#define NO_CORE 1u

/* A limit above what this process has stays what it is. */
static bool limit(int which, uint64_t most)
{
    struct rlimit now;
    if (most == 0) {
        return true;
    }
    if (getrlimit(which, &now) != 0) {
        return false;
    }
    rlim_t value = now.rlim_max != RLIM_INFINITY && now.rlim_max < most ? now.rlim_max : most;
    return setrlimit(which, &(struct rlimit){value, value}) == 0;
}

/* As it was before this program raised its own. */
static bool limit_files(uint64_t files)
{
    struct rlimit now;
    if (files == 0 || getrlimit(RLIMIT_NOFILE, &now) != 0) {
        return files == 0;
    }
    now.rlim_cur = files < now.rlim_max ? files : now.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &now) == 0;
}

static bool limit_all(char **argv)
{
    return limit_files(strtoull(argv[ENTER_FILES], NULL, 10)) &&
           limit(RLIMIT_CPU, strtoull(argv[ENTER_CPU_S], NULL, 10)) && limit(RLIMIT_CORE, NO_CORE);
}

/* Unix sockets without a name in the filesystem belong to the network, which --net shares: those of
 * programs outside are none of the program's. Linux before 6.12 does not know it. */
static void scope_sockets(void)
{
    const struct {
        uint64_t files, net, scoped;
    } rules = {.scoped = 3}; /* abstract sockets, signals */
    long set = syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0u);
    if (set >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
        (void)syscall(SYS_landlock_restrict_self, (int)set, 0u);
    }
    if (set >= 0) {
        close((int)set);
    }
}

int cis_exec_enter(int argc, char **argv)
{
    uid_t uid = getuid();
    gid_t gid = getgid();
    int fds[EXEC_HANDED] = {-1, -1};
    char go;
    if (argc <= ENTER_ARGS || fcntl(ENTER_TALK_FD, F_GETFD) < 0) {
        fprintf(stderr, "cis __enter: is started by cis exec alone\n");
        return 2;
    }
    /* Whoever waits for us may be gone already. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_DUMPABLE, 1) != 0) {
        return refuse("prctl", errno);
    }
    if (!limit_all(argv)) {
        return refuse("setting limits", errno);
    }
    if (argv[ENTER_DOOR][0] != 0) {
        (void)cis_exec_group_enter(argv[ENTER_DOOR]); /* else it is moved */
    }
    /* When the machine has no memory left, what is inside ends before the user's other programs. */
    (void)write_file("/proc/self/oom_score_adj", "500");
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        return refuse("user namespaces (see sysctl kernel.unprivileged_userns_clone and "
                      "user.max_user_namespaces)",
                      errno);
    }
    if (!map_ids(uid, gid)) {
        return refuse("mapping users", errno);
    }
    /* In the namespace: before it the user's other processes would count, too. */
    if (!limit(RLIMIT_NPROC, strtoull(argv[ENTER_PROCESSES], NULL, 10))) {
        return refuse("setting limits", errno);
    }
    const char *failed = cis_exec_mounts_close(ENTER_VIEW_FD);
    if (failed == NULL) {
        reopen_terminals();
        failed =
            cis_exec_mounts_make(argv[ENTER_PLACE], strtoull(argv[ENTER_SCRATCH], NULL, 10), fds);
    }
    if (failed != NULL) {
        return refuse(failed, errno);
    }
    if (!hand_over(fds)) {
        return refuse("handing over the mount", errno);
    }
    close(fds[EXEC_HANDED_FUSE]);
    close(fds[EXEC_HANDED_SCRATCH]);
    if (read(ENTER_TALK_FD, &go, 1) != 1) {
        return 125; /* nobody serves */
    }
    if (fcntl(ENTER_TALK_FD, F_SETFD, FD_CLOEXEC) != 0) {
        return refuse("descriptors", errno); /* the program would have it */
    }
    scope_sockets();
    /* Last: what came before needs some of it. */
    if (!limit(RLIMIT_DATA, strtoull(argv[ENTER_MEMORY], NULL, 10))) {
        return refuse("setting limits", errno);
    }
    execvp(argv[ENTER_ARGS], argv + ENTER_ARGS);
    return refuse(EXEC_BWRAP, errno);
}
