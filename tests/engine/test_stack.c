/* Guests called on stacks that the system did not make: coroutines, and stacks that are too small.
 */
#include "guests.h"

#include <sys/mman.h>
#include <ucontext.h>
#include "engine/code/engine.h"
#include "engine/instance/stack.h"

#define KIB 1024u
#define CANARY 0x5a
#define SMALL_STACK (256 * KIB)
#define LARGE_STACK (4096 * KIB)
#define BELOW (1024 * KIB) /* of the embedder's memory, below the coroutine's stack */
#define THREAD_STACK (1024 * KIB)

/* ---- what a host call sees ---- */

static __thread int local;

struct seen {
    pthread_mutex_t lock; /* recursive; held by the caller */
    pthread_t thread;
    int local;
    bool locked;
    uintptr_t frame;
    cis_engine_instance *guest;
    cis_code nested;
    char message[CIS_ERROR_MSG_MAX];
};

static cis_code h_see(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    struct seen *s = cis_engine_instance_host(g);
    (void)io;
    (void)err;
    s->thread = pthread_self();
    s->local = local;
    s->locked = pthread_mutex_trylock(&s->lock) == 0;
    s->frame = (uintptr_t)__builtin_frame_address(0);
    if (s->locked) {
        pthread_mutex_unlock(&s->lock);
    }
    return CIS_OK;
}

static ucontext_t outside, inside;
static struct seen *elsewhere;

static void call_from_elsewhere(void)
{
    union cis_slot io[1] = {{0}};
    struct cis_error err = {0};
    elsewhere->nested = cis_engine_instance_call(elsewhere->guest, CIS_STR("fine"), ":", io, &err);
    memcpy(elsewhere->message, err.msg, sizeof err.msg);
    swapcontext(&inside, &outside);
}

/* Goes to a coroutine, and calls the guest again from there. */
static cis_code h_away(cis_engine_instance *g, union cis_slot *io, struct cis_error *err)
{
    struct seen *s = cis_engine_instance_host(g);
    uint8_t *stack =
        mmap(NULL, LARGE_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)io;
    s->guest = g;
    elsewhere = s;
    assert_int_equal(getcontext(&inside), 0);
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = LARGE_STACK;
    makecontext(&inside, call_from_elsewhere, 0);
    swapcontext(&outside, &inside);
    munmap(stack, LARGE_STACK);
    return s->nested == CIS_OK ? CIS_OK : cis_fail(err, s->nested, "%s", s->message);
}

static const struct cis_hostfn rows[] = {
    {"s", "see", ":", 0, 1, false, 0, h_see, "", ""},
    {"s", "away", ":", 0, 1, false, 0, h_away, "", ""},
};

static const struct cis_hostfn *find_row(void *self, const struct cis_extern *import)
{
    (void)self;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (cis_str_is(import->name, rows[i].name)) {
            return &rows[i];
        }
    }
    return NULL;
}

static const char WAT[] = "(module (import \"s\" \"see\" (func $see))"
                          " (import \"s\" \"away\" (func $away))"
                          " (func (export \"fine\"))"
                          " (func (export \"see\") (call $see))"
                          " (func (export \"away\") (call $away))"
                          " (func $deep (export \"deep\") (call $see) (call $deep)))";

struct fixture {
    cis_engine *engine;
    cis_linked *program;
    struct seen seen;
    const char *what;
    bool named;
    cis_code code;
    struct cis_error error;
    uint8_t *canary;
    uint8_t *stack;
    size_t stack_size;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    pthread_mutexattr_t recursive;
    cis_engine_module *image;
    f->engine = engine_with(16, 2);
    image = image_with(f->engine, WAT, false);
    assert_ok(cis_linked_new(image, find_row, NULL, &f->program, err));
    cis_engine_module_unref(image);
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&f->seen.lock, &recursive);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_linked_unref(f->program);
    assert_idle(f->engine);
    cis_engine_close(f->engine);
    free(f);
    return 0;
}

static void call(struct fixture *f)
{
    struct cis_engine_instance_options o = options_for(NULL);
    cis_engine_instance *guest = NULL;
    union cis_slot io[1] = {{0}};
    o.host = &f->seen;
    f->code = cis_engine_instance_new(f->engine, f->program, &o, &guest, &f->error);
    if (f->code == CIS_OK) {
        f->code = cis_engine_instance_call(guest, cis_str_of(f->what), ":", io, &f->error);
    }
    cis_engine_instance_free(guest);
}

/* ---- on a coroutine ---- */

static struct fixture *entered;
static ucontext_t caller, coroutine;

static void on_coroutine(void)
{
    struct fixture *f = entered;
    if (f->named) {
        cis_stack_name(f->stack, f->stack_size);
    }
    call(f);
    cis_stack_name(NULL, 0);
    swapcontext(&coroutine, &caller);
}

static void *thread_main(void *arg)
{
    struct fixture *f = arg;
    local = 42;
    entered = f;
    pthread_mutex_lock(&f->seen.lock);
    assert_int_equal(getcontext(&coroutine), 0);
    coroutine.uc_stack.ss_sp = f->stack;
    coroutine.uc_stack.ss_size = f->stack_size;
    makecontext(&coroutine, on_coroutine, 0);
    swapcontext(&caller, &coroutine);
    pthread_mutex_unlock(&f->seen.lock);
    return NULL;
}

/* One mapping, upwards: the thread's stack, memory of the embedder, the coroutine's stack. */
static void run_above_the_thread(struct fixture *f, const char *what, size_t stack_size, bool named)
{
    size_t size = THREAD_STACK + BELOW + stack_size;
    uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attr;
    pthread_t thread;
    assert_ptr_not_equal(map, MAP_FAILED);
    f->canary = map + THREAD_STACK;
    f->stack = f->canary + BELOW;
    f->stack_size = stack_size;
    f->what = what;
    f->named = named;
    memset(f->canary, CANARY, BELOW);
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstack(&attr, map, THREAD_STACK), 0);
    assert_int_equal(pthread_create(&thread, &attr, thread_main, f), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    for (size_t i = 0; i < BELOW; i++) {
        if (f->canary[i] != CANARY) {
            fail_msg("%zu bytes below the coroutine's stack were written", BELOW - i);
        }
    }
    assert_true(pthread_equal(f->seen.thread, thread));
    assert_int_equal(f->seen.local, 42);
    assert_true(f->seen.locked);
    munmap(map, size);
}

static bool seen_on(const struct fixture *f)
{
    uintptr_t low = (uintptr_t)f->stack;
    return f->seen.frame > low && f->seen.frame < low + f->stack_size;
}

static void recursion_on_a_coroutine_leaves_the_memory_below_it_alone(void **state)
{
    struct fixture *f = *state;
    run_above_the_thread(f, "deep", SMALL_STACK, false);
    assert_int_equal(f->code, CIS_E_TRAP);
    assert_non_null(strstr(f->error.msg, "stack overflow"));
    assert_false(seen_on(f));
}

static void recursion_on_a_named_stack_that_is_too_small_does_too(void **state)
{
    struct fixture *f = *state;
    run_above_the_thread(f, "deep", SMALL_STACK, true);
    assert_int_equal(f->code, CIS_E_TRAP);
    assert_non_null(strstr(f->error.msg, "stack overflow"));
    assert_false(seen_on(f));
}

static void a_named_stack_with_room_is_the_one_that_is_used(void **state)
{
    struct fixture *f = *state;
    run_above_the_thread(f, "see", LARGE_STACK, true);
    assert_int_equal(f->code, CIS_OK);
    assert_true(seen_on(f));
    run_above_the_thread(f, "deep", LARGE_STACK, true);
    assert_int_equal(f->code, CIS_E_TRAP);
    assert_true(seen_on(f));
}

static void a_large_stack_that_nobody_named_is_not_used(void **state)
{
    struct fixture *f = *state;
    run_above_the_thread(f, "see", LARGE_STACK, false);
    assert_int_equal(f->code, CIS_OK);
    assert_false(seen_on(f));
}

static void a_name_for_another_stack_does_no_harm(void **state)
{
    struct fixture *f = *state;
    char array[64];
    f->what = "deep";
    cis_stack_name(array, UINTPTR_MAX - (uintptr_t)array);
    cis_stack_name(array, SIZE_MAX); /* beyond the end of memory: no name */
    call(f);
    assert_int_equal(f->code, CIS_E_TRAP);
    cis_stack_name((const void *)64, 4096);
    call(f);
    cis_stack_name(NULL, 0);
    assert_int_equal(f->code, CIS_E_TRAP);
}

/* ---- on threads ---- */

static void *small_thread(void *arg)
{
    struct fixture *f = arg;
    local = 7;
    pthread_mutex_lock(&f->seen.lock);
    call(f);
    pthread_mutex_unlock(&f->seen.lock);
    return NULL;
}

static void host_calls_come_on_the_callers_thread_however_small_its_stack(void **state)
{
    struct fixture *f = *state;
    const size_t sizes[] = {128 * KIB, 256 * KIB, 700 * KIB, 8192 * KIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pthread_attr_t attr;
        pthread_t thread;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, sizes[i]);
        f->what = "see";
        memset(&f->seen.thread, 0, sizeof f->seen.thread);
        f->seen.local = 0;
        assert_int_equal(pthread_create(&thread, &attr, small_thread, f), 0);
        pthread_join(thread, NULL);
        pthread_attr_destroy(&attr);
        assert_int_equal(f->code, CIS_OK);
        assert_true(pthread_equal(f->seen.thread, thread));
        assert_int_equal(f->seen.local, 7);
        assert_true(f->seen.locked);
    }
}

static void a_call_back_into_the_guest_from_another_stack_is_a_trap(void **state)
{
    struct fixture *f = *state;
    f->what = "away";
    call(f);
    assert_int_equal(f->code, CIS_E_TRAP);
    assert_int_equal(f->seen.nested, CIS_E_TRAP);
    assert_non_null(strstr(f->error.msg, "stack"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_named_stack_with_room_is_the_one_that_is_used),
        T(a_large_stack_that_nobody_named_is_not_used),
        T(a_name_for_another_stack_does_no_harm),
        T(host_calls_come_on_the_callers_thread_however_small_its_stack),
        T(recursion_on_a_coroutine_leaves_the_memory_below_it_alone),
        T(recursion_on_a_named_stack_that_is_too_small_does_too),
        T(a_call_back_into_the_guest_from_another_stack_is_a_trap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
