/* System calls that a native program does not get: those that reach past the sandbox, and those of
 * the kernel's parts that are attacked most. Everything else is allowed: programs of any kind run.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "exec/internal.h"

static const int refused[] = {
    /* keys of the user's session */
    SCMP_SYS(add_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(request_key),
    /* requests that no filter sees */
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    /* mounts and namespaces */
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(open_tree),
    SCMP_SYS(move_mount),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(open_by_handle_at),
    /* the kernel itself */
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd),
    SCMP_SYS(syslog),
    SCMP_SYS(vhangup),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
};

/* Families of sockets are listed: a new one is none of a program's until it is looked at. Virtual
 * machines talk to their host by one that no network namespace holds back. */
static int sockets(scmp_filter_ctx f, int call)
{
    static const int allowed[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    int rc = 0;
    for (int family = 0; rc == 0 && family <= AF_NETLINK; family++) {
        bool is = false;
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
            is |= allowed[i] == family;
        }
        if (!is) {
            rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)family));
        }
    }
    return rc != 0 ? rc
                   : seccomp_rule_add(f, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, 1,
                                      SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
}

/* Typing into somebody's terminal, keeping others from it, putting another driver under it: it may
 * be the user's. The kernel looks at 32 bits of the request. */
static int terminals(scmp_filter_ctx f)
{
    static const unsigned requests[] = {TIOCSTI, TIOCLINUX, TIOCEXCL, TIOCSETD};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof requests / sizeof *requests; i++) {
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, requests[i]));
    }
    return rc;
}

/* What clone3 is told lies in memory, where no filter sees it: the C library takes clone when it is
 * told that there is no clone3. */
static int namespaces(scmp_filter_ctx f)
{
    int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return rc != 0 ? rc
                   : seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                      SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
}

/* Whoever owns a file may lease it, also one that is shown to be read: everybody else on the
 * machine who opens it then waits, up to a minute and as often as it pleases. */
static int leases(scmp_filter_ctx f)
{
    return seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(fcntl), 1,
                            SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)F_SETLEASE));
}

/* A program that takes its limit of core files from one back to zero would be handed to the
 * machine's own reader of cores again: see cis_exec_enter. It is told that it did. */
static int cores(scmp_filter_ctx f)
{
    int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(0), SCMP_SYS(setrlimit), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)RLIMIT_CORE));
    return rc != 0 ? rc
                   : seccomp_rule_add(
                         f, SCMP_ACT_ERRNO(0), SCMP_SYS(prlimit64), 2,
                         SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)RLIMIT_CORE),
                         SCMP_A2(SCMP_CMP_NE, 0));
}

/* Memory that is in no process and in no folder: nobody could count it. Programs that are told that
 * there is none take files in /dev/shm, which has a size. */
static int memory(scmp_filter_ctx f)
{
    static const int calls[] = {SCMP_SYS(memfd_create), SCMP_SYS(memfd_secret), SCMP_SYS(shmget)};
    int rc = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls && rc == 0; i++) {
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), calls[i], 0);
        rc = rc == -EDOM ? 0 : rc;
    }
    return rc;
}

static int all(scmp_filter_ctx f, bool counted)
{
    /* Programs of another word size ask by other numbers: they get none. */
    int rc = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    for (size_t i = 0; rc == 0 && i < sizeof refused / sizeof *refused; i++) {
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
        rc = rc == -EDOM ? 0 : rc; /* this processor has no such call */
    }
    rc = rc == 0 ? sockets(f, SCMP_SYS(socket)) : rc;
    rc = rc == 0 ? sockets(f, SCMP_SYS(socketpair)) : rc;
    rc = rc == 0 ? leases(f) : rc;
    rc = rc == 0 ? cores(f) : rc;
    rc = rc == 0 && counted ? memory(f) : rc;
    rc = rc == 0 ? terminals(f) : rc;
    return rc == 0 ? namespaces(f) : rc;
}

cis_code cis_exec_filter(bool counted, int *out_fd, struct cis_error *err)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    int fd = memfd_create("cis-exec-filter", MFD_CLOEXEC);
    int rc = f == NULL ? -ENOMEM : fd < 0 ? -errno : all(f, counted);
    rc = rc == 0 ? seccomp_export_bpf(f, fd) : rc;
    rc = rc == 0 && lseek(fd, 0, SEEK_SET) != 0 ? -errno : rc;
    if (f != NULL) {
        seccomp_release(f);
    }
    if (rc != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return cis_fail_sys(err, CIS_E_INTERNAL, -rc, "the filter of system calls");
    }
    *out_fd = fd;
    return CIS_OK;
}
