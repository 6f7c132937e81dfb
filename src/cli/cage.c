/* A list of the system calls that compiling needs; every other one fails with EPERM. Written with
 * libseccomp, which knows their numbers on each processor. */
#include "cli/cage.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Memory, threads, time, and the descriptors that are open already. */
static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(sync_file_range), /* of a file that it was handed */
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(membarrier),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrandom),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

static int allow_some(scmp_filter_ctx f)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof allowed / sizeof *allowed; i++) {
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    /* Memory that can be executed is for programs; this one makes code and runs none of it. */
    const int maps[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, maps[i], 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
    /* Threads, but no processes. What clone3 is told lies in memory, where no filter sees it: the C
     * library takes clone when it is told that there is no clone3. */
    if (rc == 0) {
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    }
    if (rc == 0) {
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    }
    /* abort() and the names of threads; limits are read, not set. */
    if (rc == 0) {
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    }
    if (rc == 0) {
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                              SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    }
    if (rc == 0) {
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
    }
    return rc;
}

/* No rule allows any. */
bool cis_cage_files(void)
{
    struct landlock_ruleset_attr attr = {
        .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1, /* all of the first version */
    };
    long set = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0u);
    if (set < 0) {
        return false;
    }
    long rc = syscall(SYS_landlock_restrict_self, (int)set, 0u);
    close((int)set);
    return rc == 0;
}

cis_code cis_cage_enter(struct cis_error *err)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)allow_some;
    (void)err;
    return CIS_OK; /* a sanitizer's own calls are on no such list, and it looks into /proc */
#else
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return cis_fail_sys(err, CIS_E_UNSUPPORTED, errno, "compiler: cannot give up privileges");
    }
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (f == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "compiler: out of memory for its list of system calls");
    }
    int rc = allow_some(f);
    /* After the library was loaded, which is a file. A kernel without it has the first lock alone.
     */
    (void)cis_cage_files();
    if (rc == 0) {
        rc = seccomp_load(f);
    }
    seccomp_release(f);
    if (rc != 0) {
        return cis_fail_sys(err, CIS_E_UNSUPPORTED, -rc,
                            "compiler: the kernel does not take a list of system calls (seccomp)");
    }
    return CIS_OK;
#endif
}
