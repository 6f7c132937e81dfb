#include "base/herd.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A program of the machine's other word size asks by other numbers; those of x32 are the same with
 * a bit more. An unknown machine's programs run without a filter for foreign numbers. */
#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#define OTHER_ARCH AUDIT_ARCH_I386
#define OTHER_SETSID 66u
#define OTHER_SETPGID 57u
#define NUMBER_BITS 0xbfffffffu
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#define OTHER_ARCH AUDIT_ARCH_ARM
#define OTHER_SETSID 66u
#define OTHER_SETPGID 57u
#define NUMBER_BITS 0xffffffffu
#endif

#define LOAD(field)                                                                                \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define IF_IS(value, then, otherwise)                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), (then), (otherwise))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))

int cis_herd_stay(void)
{
    struct sock_filter steps[] = {
#if defined(OWN_ARCH)
        LOAD(arch),
        IF_IS(OWN_ARCH, 5, 0),
        IF_IS(OTHER_ARCH, 0, 8), /* another one: its numbers are not known, none is let through */
        LOAD(nr),
        IF_IS(OTHER_SETSID, 5, 0),
        IF_IS(OTHER_SETPGID, 4, 0),
        ANSWER(SECCOMP_RET_ALLOW),
        LOAD(nr),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, NUMBER_BITS),
        IF_IS(SYS_setsid, 0, 3),
        ANSWER(SECCOMP_RET_ERRNO | 0),
        ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
        ANSWER(SECCOMP_RET_ALLOW),
        IF_IS(SYS_setpgid, 0, 1),
        ANSWER(SECCOMP_RET_ERRNO | 0),
        ANSWER(SECCOMP_RET_ALLOW),
#else
        LOAD(nr),
        IF_IS(SYS_setsid, 1, 0),
        IF_IS(SYS_setpgid, 0, 1),
        ANSWER(SECCOMP_RET_ERRNO | 0),
        ANSWER(SECCOMP_RET_ALLOW),
#endif
    };
    struct sock_fprog filter = {.len = sizeof steps / sizeof *steps, .filter = steps};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0 ? 0 : errno;
}

/* The signal says that the parent may be gone: anybody could send it. */
static _Noreturn void keep(pid_t parent)
{
    sigset_t all, gone;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&gone);
    sigaddset(&gone, SIGHUP);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGHUP);
    /* Ends of the pipes of this child and of others: they would never be closed here. */
    syscall(SYS_close_range, 0u, ~0u, 0u);
    while (getppid() == parent) {
        sigwaitinfo(&gone, NULL);
    }
    kill(0, SIGKILL);
    _exit(0);
}

int cis_herd_keeper(pid_t *out)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        keep(parent);
    }
    if (pid < 0) {
        return errno;
    }
    setpgid(pid, pid); /* whoever is first: the group is there from now on */
    *out = pid;
    return 0;
}
