/* The filter of system calls by itself: what it answers, without a call being made. The kernel
 * refuses some of them too, to a program without rights; here each row is the filter's. */
#include "exec/internal.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <termios.h>

#define REFUSED(rc) (SECCOMP_RET_ERRNO | (rc))
#define HIGH 0xffffffff00000000u /* bits that the kernel does not look at */

struct program {
    struct sock_filter at[4096];
    size_t n;
};

static void load(struct program *p, bool counted)
{
    int fd = -1;
    assert_ok(cis_exec_filter(counted, &fd, err));
    ssize_t n = read(fd, p->at, sizeof p->at);
    close(fd);
    assert_true(n > 0 && (size_t)n < sizeof p->at && (size_t)n % sizeof p->at[0] == 0);
    p->n = (size_t)n / sizeof p->at[0];
}

static bool jumps(const struct sock_filter *f, uint32_t a)
{
    switch (BPF_OP(f->code)) {
    case BPF_JEQ:
        return a == f->k;
    case BPF_JGT:
        return a > f->k;
    case BPF_JGE:
        return a >= f->k;
    case BPF_JSET:
        return (a & f->k) != 0;
    default:
        fail_msg("a jump of kind %x", f->code);
        return false;
    }
}

/* As the kernel runs it. */
static uint32_t answer(const struct program *p, const struct seccomp_data *data)
{
    uint32_t a = 0;
    for (size_t at = 0; at < p->n; at++) {
        const struct sock_filter *f = &p->at[at];
        switch (BPF_CLASS(f->code)) {
        case BPF_LD:
            assert_int_equal(f->code, BPF_LD | BPF_W | BPF_ABS);
            assert_true(f->k <= sizeof *data - sizeof a);
            memcpy(&a, (const char *)data + f->k, sizeof a);
            break;
        case BPF_ALU:
            assert_int_equal(f->code, BPF_ALU | BPF_AND | BPF_K);
            a &= f->k;
            break;
        case BPF_JMP:
            at += BPF_OP(f->code) == BPF_JA ? f->k : jumps(f, a) ? f->jt : f->jf;
            break;
        case BPF_RET:
            return f->k;
        default:
            fail_msg("an instruction of kind %x", f->code);
        }
    }
    fail_msg("the filter has no end");
    return 0;
}

static uint32_t asked(const struct program *p, int call, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct seccomp_data data = {.nr = call, .arch = seccomp_arch_native(), .args = {a0, a1, a2}};
    return answer(p, &data);
}

#define assert_answer(expected, p, ...)                                                            \
    do {                                                                                           \
        uint32_t got_ = asked((p), __VA_ARGS__);                                                   \
        if (got_ != (expected)) {                                                                  \
            fail_msg("%s: %x, not %x", #__VA_ARGS__, got_, (unsigned)(expected));                  \
        }                                                                                          \
    } while (0)

static void what_programs_need_is_allowed(void **state)
{
    struct program p;
    (void)state;
    load(&p, true);
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(read), 0, 0, 0);
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(ptrace), 0, 0, 0);
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(execve), 0, 0, 0);
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(clone), CLONE_VM | CLONE_THREAD, 0, 0);
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(ioctl), 0, TCGETS, 0);
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(fcntl), 0, F_GETFL, 0);
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(prlimit64), 0, RLIMIT_CORE, 0); /* asks */
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(prlimit64), 0, RLIMIT_NOFILE, 1);
    for (int i = 0; i < 2; i++) {
        int call = i == 0 ? SCMP_SYS(socket) : SCMP_SYS(socketpair);
        assert_answer(SECCOMP_RET_ALLOW, &p, call, AF_UNIX, 0, 0);
        assert_answer(SECCOMP_RET_ALLOW, &p, call, AF_INET, 0, 0);
        assert_answer(SECCOMP_RET_ALLOW, &p, call, AF_INET6, 0, 0);
        assert_answer(SECCOMP_RET_ALLOW, &p, call, AF_NETLINK, 0, 0);
    }
    load(&p, false);
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(memfd_create), 0, 0, 0);
    assert_answer(SECCOMP_RET_ALLOW, &p, SCMP_SYS(shmget), 0, 0, 0);
}

static void what_reaches_past_the_sandbox_is_refused_by_the_filter_itself(void **state)
{
    static const int calls[] = {SCMP_SYS(add_key),
                                SCMP_SYS(keyctl),
                                SCMP_SYS(request_key),
                                SCMP_SYS(io_uring_setup),
                                SCMP_SYS(io_uring_enter),
                                SCMP_SYS(io_uring_register),
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
                                SCMP_SYS(ioperm)};
    struct program p;
    (void)state;
    load(&p, false);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i] >= 0) { /* else this processor has none */
            assert_answer(REFUSED(EPERM), &p, calls[i], 0, 0, 0);
        }
    }
    assert_answer(REFUSED(ENOSYS), &p, SCMP_SYS(clone3), 0, 0, 0);
    assert_answer(REFUSED(EPERM), &p, SCMP_SYS(clone), CLONE_NEWUSER | SIGCHLD, 0, 0);
    assert_answer(REFUSED(EPERM), &p, SCMP_SYS(clone), HIGH | CLONE_NEWUSER, 0, 0);
    load(&p, true);
    assert_answer(REFUSED(ENOSYS), &p, SCMP_SYS(memfd_create), 0, 0, 0);
    assert_answer(REFUSED(ENOSYS), &p, SCMP_SYS(memfd_secret), 0, 0, 0);
    assert_answer(REFUSED(ENOSYS), &p, SCMP_SYS(shmget), 0, 0, 0);
}

static void requests_are_refused_whatever_their_high_bits(void **state)
{
    static const unsigned terminal[] = {TIOCSTI, TIOCLINUX, TIOCEXCL, TIOCSETD};
    static const uint64_t high[] = {0, HIGH};
    struct program p;
    (void)state;
    load(&p, false);
    for (size_t h = 0; h < 2; h++) {
        for (size_t i = 0; i < sizeof terminal / sizeof *terminal; i++) {
            assert_answer(REFUSED(EPERM), &p, SCMP_SYS(ioctl), 0, high[h] | terminal[i], 0);
        }
        assert_answer(REFUSED(EACCES), &p, SCMP_SYS(fcntl), 0, high[h] | F_SETLEASE, 0);
        assert_answer(REFUSED(0), &p, SCMP_SYS(setrlimit), high[h] | RLIMIT_CORE, 0, 0);
        assert_answer(REFUSED(0), &p, SCMP_SYS(prlimit64), 0, high[h] | RLIMIT_CORE, 1);
    }
}

static void families_of_sockets_that_are_not_listed_are_refused(void **state)
{
    struct program p;
    (void)state;
    load(&p, false);
    for (unsigned family = 0; family < 64; family++) {
        bool listed =
            family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
        if (!listed) {
            assert_answer(REFUSED(EAFNOSUPPORT), &p, SCMP_SYS(socket), family, 0, 0);
            assert_answer(REFUSED(EAFNOSUPPORT), &p, SCMP_SYS(socketpair), family, 0, 0);
            assert_answer(REFUSED(EAFNOSUPPORT), &p, SCMP_SYS(socket), HIGH | family, 0, 0);
        }
    }
}

static void programs_of_another_word_size_get_no_call(void **state)
{
    struct program p;
    (void)state;
    load(&p, false);
    struct seccomp_data data = {.nr = 3, .arch = AUDIT_ARCH_I386};
    assert_int_equal(answer(&p, &data), REFUSED(ENOSYS));
#ifdef __x86_64__
    data = (struct seccomp_data){.nr = 0x40000000, .arch = AUDIT_ARCH_X86_64}; /* x32 */
    assert_int_not_equal(answer(&p, &data), SECCOMP_RET_ALLOW);
#endif
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_programs_need_is_allowed),
        cmocka_unit_test(what_reaches_past_the_sandbox_is_refused_by_the_filter_itself),
        cmocka_unit_test(requests_are_refused_whatever_their_high_bits),
        cmocka_unit_test(families_of_sockets_that_are_not_listed_are_refused),
        cmocka_unit_test(programs_of_another_word_size_get_no_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
