/* The native stack under a guest. The engine checks the guest's own stack against its limit, not
 * against the stack that the calling thread is really on: too little room there would end the
 * process, and below a coroutine's stack lies somebody's memory. So the room is measured before
 * each call, between both bounds of the stack. Where it is too small, or on a stack that nobody
 * knows, the call runs on a stack of our own: on the same thread, so that thread-local variables,
 * recursive locks and an interpreter's lock are those of the caller in everything it calls. */
#include "engine/instance/stack.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>
#include "engine/code/code.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZE_ADDRESS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZE_ADDRESS
#endif
#if defined(SANITIZE_ADDRESS)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#define NEEDED (CIS_ENGINE_STACK_BYTES + CIS_ENGINE_STACK_MARGIN)
/* Sanitizers make the host's frames several times larger. */
#define OWN_STACK (NEEDED * 2 + (1ull << 20))

#define FIRST_STACK (64ul << 20) /* more is not believed */
#define PAGE 4096u

static __thread struct cis_stack native; /* of this thread; low 0: not asked yet */
static __thread struct cis_stack named;  /* what it says that it is on */

/* A call on a stack of our own. */
struct jump {
    ucontext_t from, to;
    void (*fn)(void *arg);
    void *arg;
    struct cis_stack on;
    struct jump *next;
#if defined(SANITIZE_ADDRESS)
    void *fake;
    const void *from_low;
    size_t from_size;
#endif
#if defined(__SANITIZE_THREAD__)
    void *from_fiber, *to_fiber;
#endif
};

static __thread struct jump *jumps; /* of this thread, not ended; the last one first */

/* ---- bounds ---- */

static bool within(const struct cis_stack *stack, uintptr_t here)
{
    return here > stack->low && here < stack->high;
}

/* The first thread's stack ends where its rlimit says, and so far nothing else is mapped below it:
 * the kernel leaves 128 MiB at least. Asking for it (pthread_getattr_np) would read and parse the
 * process's whole map. The name the kernel ran is the last thing on that stack. */
static bool of_first_thread(struct cis_stack *out)
{
    const char *name = (const char *)getauxval(AT_EXECFN);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), top = (uintptr_t)name;
    struct rlimit limit;
    if (name == NULL || gettid() != getpid() || here >= top || top - here > FIRST_STACK ||
        getrlimit(RLIMIT_STACK, &limit) != 0) {
        return false;
    }
    top += strlen(name) + 1 + 2 * PAGE; /* never less than where it ends */
    uintptr_t size = limit.rlim_cur < FIRST_STACK ? (uintptr_t)limit.rlim_cur : FIRST_STACK;
    *out = (struct cis_stack){top - size, top};
    return within(out, here);
}

static const struct cis_stack *of_thread(void)
{
    if (native.low == 0 && !of_first_thread(&native)) {
        pthread_attr_t attr;
        void *base = NULL;
        size_t size = 0;
        native = (struct cis_stack){UINTPTR_MAX, 0}; /* unknown: nothing lies within */
        if (pthread_getattr_np(pthread_self(), &attr) == 0) {
            pthread_attr_getstack(&attr, &base, &size);
            pthread_attr_destroy(&attr);
            native = (struct cis_stack){(uintptr_t)base, (uintptr_t)base + size};
        }
    }
    return &native;
}

void cis_stack_name(const void *low, size_t size)
{
    uintptr_t at = (uintptr_t)low;
    named = low != NULL && size <= UINTPTR_MAX - at ? (struct cis_stack){at, at + size}
                                                    : (struct cis_stack){0, 0};
}

/* The stack this frame is on; low and high are 0 when nobody knows it. A name counts only while it
 * is true: one that was not taken back does no harm elsewhere. */
static struct cis_stack here_on(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (within(&named, here)) {
        return named;
    }
    for (const struct jump *j = jumps; j != NULL; j = j->next) {
        if (within(&j->on, here)) {
            return j->on;
        }
    }
    return within(of_thread(), here) ? native : (struct cis_stack){0, 0};
}

static uint64_t room_of(const struct cis_stack *stack)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return within(stack, here) ? here - stack->low : 0;
}

/* ---- a stack of our own ---- */

static void leave(struct jump *jump)
{
#if defined(SANITIZE_ADDRESS)
    __sanitizer_start_switch_fiber(&jump->fake, (void *)jump->on.low, jump->on.high - jump->on.low);
#endif
#if defined(__SANITIZE_THREAD__)
    jump->from_fiber = __tsan_get_current_fiber();
    jump->to_fiber = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(jump->to_fiber, 0);
#endif
    (void)jump;
}

static void left(struct jump *jump)
{
#if defined(SANITIZE_ADDRESS)
    __sanitizer_finish_switch_fiber(NULL, &jump->from_low, &jump->from_size);
#endif
    (void)jump;
}

static void return_from(struct jump *jump)
{
#if defined(SANITIZE_ADDRESS)
    __sanitizer_start_switch_fiber(NULL, jump->from_low, jump->from_size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(jump->from_fiber, 0);
#endif
    (void)jump;
}

static void returned(struct jump *jump)
{
#if defined(SANITIZE_ADDRESS)
    __sanitizer_finish_switch_fiber(jump->fake, NULL, NULL);
    __asan_unpoison_memory_region((void *)jump->on.low, jump->on.high - jump->on.low);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(jump->to_fiber);
#endif
    (void)jump;
}

static void arrive(void)
{
    struct jump *jump = jumps; /* makecontext passes no pointers */
    left(jump);
    jump->fn(jump->arg);
    return_from(jump);
    swapcontext(&jump->to, &jump->from);
}

static cis_code run_on_own(void (*fn)(void *arg), void *arg, uint64_t have, struct cis_stack *out,
                           struct cis_error *err)
{
    size_t size = OWN_STACK + PAGE;
    uint8_t *low = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    struct jump jump = {.fn = fn, .arg = arg};
    if (low == MAP_FAILED || mprotect(low + PAGE, OWN_STACK, PROT_READ | PROT_WRITE) != 0 ||
        getcontext(&jump.to) != 0) {
        cis_fail_sys(err, CIS_E_NOMEM, errno,
                     "only %llu bytes of native stack are left, a guest needs %llu, and there is "
                     "no memory for another stack",
                     (unsigned long long)have, (unsigned long long)NEEDED);
        if (low != MAP_FAILED) {
            munmap(low, size);
        }
        return CIS_E_NOMEM;
    }
    jump.on = (struct cis_stack){(uintptr_t)low + PAGE, (uintptr_t)low + size};
    jump.to.uc_stack.ss_sp = low + PAGE;
    jump.to.uc_stack.ss_size = OWN_STACK;
    makecontext(&jump.to, arrive, 0);
    *out = jump.on;
    jump.next = jumps;
    jumps = &jump;
    leave(&jump);
    swapcontext(&jump.from, &jump.to);
    returned(&jump);
    struct jump **at = &jumps;
    while (*at != &jump) { /* coroutines do not end in the order they began */
        at = &(*at)->next;
    }
    *at = jump.next;
    munmap(low, size);
    return CIS_OK;
}

/* ---- calls ---- */

cis_code cis_stack_run(struct cis_stack *stack, bool nested, void (*fn)(void *arg), void *arg,
                       struct cis_error *err)
{
    if (!nested) {
        *stack = here_on();
        uint64_t have = room_of(stack);
        if (have < NEEDED) {
            return run_on_own(fn, arg, have, stack, err);
        }
        fn(arg);
        return CIS_OK;
    }
    /* A nested call shares the guest stack measured at the outer one: it has to be on the same
     * native stack, and the margin must be left. */
    uint64_t have = room_of(stack);
    if (have < CIS_ENGINE_STACK_MARGIN / 2) {
        return cis_fail(err, CIS_E_TRAP,
                        "stack overflow: a host function's call into the guest has "
                        "only %llu bytes of native stack left",
                        (unsigned long long)have);
    }
    fn(arg);
    return CIS_OK;
}
