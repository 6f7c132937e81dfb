/* Waiting for several descriptors, a moment, the deadline and a cancellation at once. */
#include "harness.h"

#include <pthread.h>
#include <sys/resource.h>
#include "base/cancel.h"
#include "base/clock.h"
#include "base/crypto.h"

#define MS CIS_NS_PER_MS
#define LONG (60 * CIS_NS_PER_S)
#define LATER (8 * CIS_NS_PER_S)

struct fixture {
    int a[2], b[2];
    struct cis_stop stop;
    struct pollfd fds[3];
    size_t ready;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (pipe(f->a) != 0 || pipe(f->b) != 0) {
        return -1;
    }
    f->stop.deadline_ns = CIS_NEVER;
    f->fds[0] = (struct pollfd){.fd = f->a[0], .events = POLLIN};
    f->fds[1] = (struct pollfd){.fd = f->b[0], .events = POLLIN};
    f->ready = 99;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cis_cancel_unref(f->stop.cancel);
    for (int i = 0; i < 2; i++) {
        close(f->a[i]);
        close(f->b[i]);
    }
    free(f);
    return 0;
}

static cis_code wait_until(struct fixture *f, uint64_t until, struct cis_error *err)
{
    return cis_stop_wait_many(&f->stop, f->fds, 2, until, "test", &f->ready, err);
}

static void what_is_ready_is_told_and_counted(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write(f->b[1], "x", 1), 1);
    assert_ok(wait_until(f, CIS_NEVER, err));
    assert_int_equal(f->ready, 1);
    assert_int_equal(f->fds[0].revents, 0);
    assert_int_equal(f->fds[1].revents, POLLIN);
    close(f->a[1]);
    assert_ok(wait_until(f, CIS_NEVER, err));
    f->a[1] = dup(f->b[1]);
    assert_int_equal(f->ready, 2);
    assert_int_equal(f->fds[0].revents, POLLHUP);
}

static void a_moment_ends_the_wait_and_is_no_failure(void **state)
{
    struct fixture *f = *state;
    uint64_t until = cis_clock_mono_ns() + 5 * MS + 300000;
    f->stop.deadline_ns = until + LONG;
    assert_ok(wait_until(f, until, err));
    assert_int_equal(f->ready, 0);
    assert_true(cis_clock_mono_ns() >= until);
    assert_ok(wait_until(f, 0, err)); /* past */
    assert_int_equal(f->ready, 0);
    f->ready = 99;
    f->stop.deadline_ns = cis_clock_mono_ns() + 2 * MS;
    assert_fails(CIS_E_DEADLINE, "test: time limit", wait_until(f, f->stop.deadline_ns, err));
    assert_int_equal(f->ready, 99);
}

static void the_deadline_ends_it_before_the_moment_and_without_one(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        uint64_t start = cis_clock_mono_ns();
        f->stop.deadline_ns = start + 5 * MS;
        assert_fails(CIS_E_DEADLINE, "test: time limit",
                     wait_until(f, i == 0 ? start + LATER : CIS_NEVER, err));
        assert_in_range(cis_clock_mono_ns() - start, 5 * MS, LATER / 2);
    }
}

static void *fire(void *cancel)
{
    poll(NULL, 0, 20);
    cis_cancel_fire(cancel);
    return NULL;
}

static void a_cancellation_ends_it_and_counts_as_no_descriptor(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    assert_ok(cis_cancel_new(&f->stop.cancel, err));
    assert_int_equal(write(f->a[1], "x", 1), 1);
    assert_ok(wait_until(f, CIS_NEVER, err));
    assert_int_equal(f->ready, 1);
    char x;
    assert_int_equal(read(f->a[0], &x, 1), 1);
    pthread_create(&thread, NULL, fire, f->stop.cancel);
    assert_fails(CIS_E_CANCELLED, "test: cancelled", wait_until(f, CIS_NEVER, err));
    pthread_join(thread, NULL);
    assert_int_equal(write(f->a[1], "x", 1), 1);
    assert_fails(CIS_E_CANCELLED, "", wait_until(f, CIS_NEVER, err)); /* whatever is ready */
}

static void a_cancellation_is_seen_also_without_a_descriptor_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, none;
    pthread_t thread;
    assert_ok(cis_cancel_new(&f->stop.cancel, err));
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none); /* and poll(2) itself takes no more than three */
    pthread_create(&thread, NULL, fire, f->stop.cancel);
    uint64_t start = cis_clock_mono_ns();
    cis_code code = wait_until(f, CIS_NEVER, NULL);
    setrlimit(RLIMIT_NOFILE, &before);
    pthread_join(thread, NULL);
    assert_int_equal(code, CIS_E_CANCELLED);
    assert_in_range(cis_clock_mono_ns() - start, 20 * MS, LONG);
}

static void seeded_bytes_go_on_where_the_blocks_say(void **state)
{
    (void)state;
    uint8_t seed[CIS_SEED_BYTES] = {1, 2, 3}, all[640], part[64], other[64];
    uint64_t block = 0;
    assert_ok(cis_crypto_init(err));
    cis_random_seeded(seed, &block, all, sizeof all);
    assert_int_equal(block, 10);
    for (uint64_t i = 0; i < 10; i++) {
        block = i;
        cis_random_seeded(seed, &block, part, sizeof part);
        assert_memory_equal(part, all + 64 * i, 64);
        assert_int_equal(block, i + 1);
    }
    seed[31] = 1;
    block = 0;
    cis_random_seeded(seed, &block, other, sizeof other);
    assert_memory_not_equal(other, all, 64);
    cis_random_seeded(seed, &block, other, 0);
    assert_int_equal(block, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_ready_is_told_and_counted),
        T(a_moment_ends_the_wait_and_is_no_failure),
        T(the_deadline_ends_it_before_the_moment_and_without_one),
        T(a_cancellation_ends_it_and_counts_as_no_descriptor),
        T(a_cancellation_is_seen_also_without_a_descriptor_of_its_own),
        cmocka_unit_test(seeded_bytes_go_on_where_the_blocks_say),
    };
    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
