/* Guests that wait in a pipe, a sleep, a poll or an accept, through the engine: they hold no CPU
 * slot meanwhile, so that one slot is enough for any number of them, and each ends with its run. */
#include "harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "base/le.h"
#include "host/host.h"
#include "wasi/p1/p1.h"

#define MANY 64

static cis_engine *engine;
static cis_linked *program;

static const char WAT[] =
    "(module\n"
    " (import \"wasi_snapshot_preview1\" \"fd_read\" (func $r (param i32 i32 i32 i32) (result "
    "i32)))\n"
    " (import \"wasi_snapshot_preview1\" \"fd_write\" (func $w (param i32 i32 i32 i32) (result "
    "i32)))\n"
    " (import \"wasi_snapshot_preview1\" \"poll_oneoff\" (func $p (param i32 i32 i32 i32) (result "
    "i32)))\n"
    " (import \"wasi_snapshot_preview1\" \"sock_accept\" (func $a (param i32 i32 i32) (result "
    "i32)))\n"
    " (memory (export \"memory\") 1)\n"
    " (data (i32.const 0) \"\\00\\10\\00\\00\\00\\80\\00\\00\")\n" /* 32 KiB at 4096 */
    " (func (export \"read\") (result i32)"
    "   (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)))\n"
    " (func (export \"write\") (result i32)"
    "   (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))\n"
    " (func (export \"sleep\") (result i32)"
    "   (i32.store (i32.const 1040) (i32.const 1))" /* the monotonic clock */
    "   (i64.store (i32.const 1048) (i64.const 3600000000000))"
    "   (call $p (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 64)))\n"
    " (func (export \"poll\") (result i32)"
    "   (i32.store8 (i32.const 1032) (i32.const 1))" /* stdin */
    "   (call $p (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 64)))\n"
    " (func (export \"accept\") (result i32)"
    "   (call $a (i32.const 3) (i32.const 0) (i32.const 64)))\n"
    " (func (export \"work\") (result i32)"
    "   (local $i i32) (loop $again (local.set $i (i32.add (local.get $i) (i32.const 1)))"
    "     (br_if $again (i32.lt_u (local.get $i) (i32.const 1000000)))) (local.get $i)))\n";

static const struct cis_hostfn *resolve(void *self, const struct cis_extern *import)
{
    const struct cis_hostfn_table *table = &cis_wasi_p1_table;
    (void)self;
    for (size_t i = 0; i < table->nrows; i++) {
        if (cis_str_is(import->name, table->rows[i].name)) {
            return &table->rows[i];
        }
    }
    return NULL;
}

/* Where they all wait: an empty pipe, a full one, a listener that nobody calls. */
static int empty[2], full[2], listener;

struct waiter {
    const char *what;
    pthread_t thread;
    struct cis_stop stop;
    atomic_bool started;
    struct cis_host host;
    cis_code code;
    int result;
    uint64_t ended_ns, cpu_ns;
};

static cis_engine_instance *open_guest(struct waiter *w)
{
    w->host = (struct cis_host){.call = {.stop = &w->stop},
                                .budget = {.limit = 8u << 20},
                                .output = CIS_BUF_INIT(1u << 20),
                                .errors = CIS_BUF_INIT(CIS_LOG_LINE_MAX),
                                .log = CIS_BUF_INIT(1u << 20)};
    struct cis_wasi_env *world = &w->host.wasi_env;
    world->std[0] = (struct cis_host_stream){.kind = CIS_STREAM_FD, .fd = empty[0]};
    world->std[1] = (struct cis_host_stream){.kind = CIS_STREAM_FD, .fd = full[1]};
    world->listeners = &listener;
    world->nlisteners = 1;
    struct cis_engine_instance_options o = {
        .limits = {.memory_bytes = 1u << 20, .host_bytes = 8u << 20},
        .stop = w->stop,
        .grants = cis_host_guest_grants(&w->host),
        .host = &w->host};
    cis_engine_instance *guest = NULL;
    assert_ok(cis_engine_instance_new(engine, program, &o, &guest, err));
    return guest;
}

static void *wait_main(void *arg)
{
    struct waiter *w = arg;
    struct cis_engine_instance_usage usage;
    union cis_slot io[1] = {{.i32 = 0}};
    cis_engine_instance *guest = open_guest(w);
    atomic_store(&w->started, true);
    w->code = cis_engine_instance_call(guest, cis_str_of(w->what), ":i", io, NULL);
    w->ended_ns = cis_clock_mono_ns();
    w->result = io[0].i32;
    cis_engine_instance_usage(guest, &usage);
    w->cpu_ns = usage.cpu_ns;
    cis_engine_instance_free(guest);
    cis_wasi_p1_end(&w->host);
    cis_buf_done(&w->host.output);
    cis_buf_done(&w->host.errors);
    cis_buf_done(&w->host.log);
    return NULL;
}

static void start(struct waiter *w, const char *what, cis_cancel *cancel, uint64_t deadline_ns)
{
    *w = (struct waiter){.what = what, .stop = {deadline_ns, cancel}};
    assert_int_equal(pthread_create(&w->thread, NULL, wait_main, w), 0);
}

static const char *const WAITS[] = {"read", "write", "sleep", "poll", "accept"};
#define KINDS (sizeof WAITS / sizeof *WAITS)

static struct waiter waiters[MANY];

static void sixty_four_that_wait_leave_the_one_slot_to_one_that_works(void **state)
{
    (void)state;
    cis_cancel *cancel = NULL;
    assert_ok(cis_cancel_new(&cancel, err));
    for (int i = 0; i < MANY; i++) {
        start(&waiters[i], WAITS[(size_t)i % KINDS], cancel, CIS_NEVER);
    }
    for (int i = 0; i < MANY; i++) {
        while (!atomic_load(&waiters[i].started)) {
            sched_yield();
        }
    }
    for (int i = 0; i < 20; i++) { /* would wait for ever if one of them held the slot */
        struct waiter worker;
        start(&worker, "work", NULL, cis_clock_mono_ns() + 60 * CIS_NS_PER_S);
        pthread_join(worker.thread, NULL);
        assert_int_equal(worker.code, CIS_OK);
        assert_int_equal(worker.result, 1000000);
    }
    uint64_t fired = cis_clock_mono_ns();
    cis_cancel_fire(cancel);
    for (int i = 0; i < MANY; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].code, CIS_E_CANCELLED);
        assert_in_range(waiters[i].ended_ns - fired, 0, 10 * CIS_NS_PER_S);
    }
    cis_cancel_unref(cancel);
}

static void each_wait_ends_at_its_deadline_and_costs_no_cpu(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        uint64_t deadline = cis_clock_mono_ns() + 200 * CIS_NS_PER_MS;
        start(&waiters[i], WAITS[i], NULL, deadline);
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].code, CIS_E_DEADLINE);
        assert_in_range(waiters[i].ended_ns, deadline, deadline + 10 * CIS_NS_PER_S);
        assert_in_range(waiters[i].cpu_ns, 0, 100 * CIS_NS_PER_MS);
    }
}

static int group_setup(void **state)
{
    (void)state;
    struct cis_engine_options o = {.pool_slots = 80, .cpu_slots = 1, .compile_in_process = true};
    struct cis_engine_module_options io = {.name = "guest", .stop = {.deadline_ns = CIS_NEVER}};
    cis_engine_module *image = NULL;
    assert_ok(cis_engine_open(&o, &engine, err));
    assert_ok(cis_engine_module_load(engine, cis_bytes_of(WAT, sizeof WAT - 1), &io, &image, err));
    assert_ok(cis_linked_new(image, resolve, NULL, &program, err));
    cis_engine_module_unref(image);
    assert_int_equal(pipe2(empty, O_CLOEXEC), 0);
    assert_int_equal(pipe2(full, O_CLOEXEC | O_NONBLOCK), 0);
    char zeros[4096] = {0};
    while (write(full[1], zeros, sizeof zeros) > 0) {
    }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 4), 0);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    cis_linked_unref(program);
    cis_engine_close(engine);
    const int all[] = {empty[0], empty[1], full[0], full[1], listener};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        close(all[i]);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixty_four_that_wait_leave_the_one_slot_to_one_that_works),
        cmocka_unit_test(each_wait_ends_at_its_deadline_and_costs_no_cpu),
    };
    return cmocka_run_group_tests_name("wasi_slots", tests, group_setup, group_teardown);
}
