/* The native stack under a guest. The engine checks the guest's own stack against its limit, not
 * against what the calling thread really has: a call on a small thread stack would kill the
 * process. So the room is measured before each call, and a call that does not fit runs on a thread
 * with a stack of its own. */
#include "engine/guest_in.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#define NEEDED (CIS_ENGINE_STACK_BYTES + CIS_ENGINE_STACK_MARGIN)
/* Sanitizers make the host's frames several times larger. */
#define THREAD_STACK (NEEDED * 2 + (1ull << 20))

#define FIRST_STACK (64ul << 20) /* more is not believed */
#define PAGE 4096u

static __thread uintptr_t stack_low; /* of this thread; 0: not asked yet */

/* The first thread's stack ends where its rlimit says, and so far nothing else is mapped below it:
 * the kernel leaves 128 MiB at least. Asking for it (pthread_getattr_np) would read and parse the
 * process's whole map. The name the kernel ran is the last thing on that stack. 0: not known. */
static uintptr_t low_of_first_thread(void)
{
    const char *name = (const char *)getauxval(AT_EXECFN);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), top = (uintptr_t)name;
    struct rlimit limit;
    if (name == NULL || gettid() != getpid() || here >= top || top - here > FIRST_STACK ||
        getrlimit(RLIMIT_STACK, &limit) != 0) {
        return 0;
    }
    top += strlen(name) + 1 + 2 * PAGE; /* never less than where it ends */
    return top - (limit.rlim_cur < FIRST_STACK ? (uintptr_t)limit.rlim_cur : FIRST_STACK);
}

static uintptr_t low(void)
{
    if (stack_low == 0) {
        stack_low = low_of_first_thread();
    }
    if (stack_low == 0) {
        pthread_attr_t attr;
        void *base = NULL;
        size_t size = 0;
        if (pthread_getattr_np(pthread_self(), &attr) != 0) {
            return UINTPTR_MAX; /* unknown: never enough */
        }
        pthread_attr_getstack(&attr, &base, &size);
        pthread_attr_destroy(&attr);
        stack_low = (uintptr_t)base;
    }
    return stack_low;
}

static uint64_t room(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), end = low();
    return here > end ? here - end : 0;
}

struct job {
    void (*fn)(void *arg);
    void *arg;
};

static void *thread_main(void *p)
{
    struct job *job = p;
    job->fn(job->arg);
    return NULL;
}

cis_code cis_stack_run(bool nested, void (*fn)(void *arg), void *arg, struct cis_error *err)
{
    uint64_t have = room();
    /* A nested call shares the guest stack measured at the outer one; the margin must be left. */
    if (have >= (nested ? CIS_ENGINE_STACK_MARGIN / 2 : NEEDED)) {
        fn(arg);
        return CIS_OK;
    }
    if (nested) {
        return cis_fail(err, CIS_E_TRAP,
                        "stack overflow: a host function's call into the guest has "
                        "only %llu bytes of native stack left",
                        (unsigned long long)have);
    }
    struct job job = {fn, arg};
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    int sys = pthread_create(&thread, &attr, thread_main, &job);
    pthread_attr_destroy(&attr);
    if (sys != 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, sys,
                            "%llu bytes of native stack left, a guest needs %llu, and no thread",
                            (unsigned long long)have, (unsigned long long)NEEDED);
    }
    pthread_join(thread, NULL);
    return CIS_OK;
}
