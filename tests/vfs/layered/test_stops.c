/* A store that does not answer: who is told to end does, and who closes a view goes on. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "base/clock.h"
#include "vfs/layered/view.h"

static struct {
    const struct cis_store_fs_ops *real;
    struct cis_store_fs_ops fs;
    atomic_int asked, for_ever; /* pins asked for; without an end */
    atomic_bool silent;
} slow;

/* Answers when who asks is told to end. */
static cis_code pin_slow(cis_store *store, struct cis_str tenant,
                         const struct cis_fs_pin_request *request, uint64_t *out_id,
                         const struct cis_stop *stop, struct cis_error *err)
{
    atomic_fetch_add(&slow.asked, 1);
    if (!atomic_load(&slow.silent)) {
        return slow.real->pin(store, tenant, request, out_id, stop, err);
    }
    if (stop == NULL || (stop->cancel == NULL && stop->deadline_ns == CIS_NEVER)) {
        atomic_fetch_add(&slow.for_ever, 1);
        return CIS_E_STORE;
    }
    return cis_stop_wait(stop, -1, 0, "pin", err);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open(f, NULL);
    slow.real = f->store->fs;
    slow.fs = *slow.real;
    slow.fs.pin = pin_slow;
    f->store->fs = &slow.fs;
    atomic_store(&slow.asked, 0);
    atomic_store(&slow.for_ever, 0);
    atomic_store(&slow.silent, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->store->fs = slow.real;
    fixture_close(f);
    free(f);
    return 0;
}

static uint64_t ms_since(uint64_t from)
{
    return (cis_clock_mono_ns() - from) / 1000000;
}

static void nap(void)
{
    struct timespec t = {0, 2000000};
    nanosleep(&t, NULL);
}

/* As if the keeper's time had come. */
static void keeper_looks(struct fixture *f)
{
    pthread_mutex_lock(&f->fs_cache->lock);
    pthread_cond_broadcast(&f->fs_cache->keep);
    pthread_mutex_unlock(&f->fs_cache->lock);
}

static bool count_pin(void *self, const struct cis_fs_pin *pin)
{
    *(int *)self += pin->view.epoch != 0;
    return true;
}

static int pins(struct fixture *f)
{
    int n = 0;
    assert_ok(slow.real->pins(f->store, TENANT, count_pin, &n, NULL, err));
    return n;
}

static cis_vfs *pinned_view(struct fixture *f)
{
    cis_vfs *v = view_main(f);
    assert_ok(cis_lay_pin(lay_of(v), cis_layered_view(v), NULL, err));
    return v;
}

static void begin(struct fixture *f)
{
    cis_vfs *v = view_main(f);
    must_write(v, 1, "a", "x", 1);
    must_commit(v);
    cis_vfs_close(v);
}

static void closing_a_view_does_not_wait_for_what_the_keeper_asks(void **state)
{
    struct fixture *f = *state;
    begin(f);
    cis_vfs *v = pinned_view(f);
    atomic_fetch_sub(&lay_of(v)->pinned_ns, 10ull * 60 * CIS_NS_PER_S); /* due */
    int before = atomic_load(&slow.asked);
    atomic_store(&slow.silent, true);
    while (atomic_load(&slow.asked) == before) {
        keeper_looks(f);
        nap();
    }
    atomic_store(&lay_of(v)->pin, 0); /* the view's own question is not what is measured */
    uint64_t from = cis_clock_mono_ns();
    cis_vfs_close(v);
    assert_true(ms_since(from) < 2000);
    assert_int_equal(atomic_load(&slow.for_ever), 0);
}

static void pins_of_closed_views_are_told_when_the_store_answers_again(void **state)
{
    struct fixture *f = *state;
    enum { VIEWS = 5 };
    cis_vfs *v[VIEWS];
    begin(f);
    for (int i = 0; i < VIEWS; i++) {
        v[i] = pinned_view(f);
    }
    assert_int_equal(pins(f), VIEWS);
    atomic_store(&slow.silent, true);
    uint64_t from = cis_clock_mono_ns();
    for (int i = 0; i < VIEWS; i++) {
        cis_vfs_close(v[i]);
    }
    assert_true(ms_since(from) < 9000); /* once, not for each */
    assert_int_equal(atomic_load(&slow.for_ever), 0);
    assert_int_equal(pins(f), VIEWS);
    atomic_store(&slow.silent, false);
    for (int i = 0; i < 5000 && pins(f) != 0; i++) {
        keeper_looks(f);
        nap();
    }
    assert_int_equal(pins(f), 0);
}

static int never_there(struct lay_op *op, void *arg)
{
    int *left = arg;
    if (--*left == 0) {
        return EIO; /* it was not told to end */
    }
    return cis_lay_need(op, LAY_NEED_INODE, CIS_FS_ROOT, 0);
}

static void an_operation_that_misses_something_again_and_again_ends_when_it_is_told_to(void **state)
{
    struct fixture *f = *state;
    struct cis_error why = {0};
    begin(f);
    cis_vfs *v = view_main(f);
    struct cis_stop stop = {CIS_NEVER, NULL};
    struct cis_vfs_call call = {.stop = &stop, .err = &why};
    int left = 20;
    assert_int_equal(cis_lay_do(lay_of(v), &call, true, never_there, &left), EIO);
    stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), 20000000);
    left = 10000000;
    assert_int_equal(cis_lay_do(lay_of(v), &call, true, never_there, &left), EINTR);
    assert_int_equal(why.code, CIS_E_DEADLINE);
    cis_vfs_close(v);
}

struct asking {
    struct lay_view *v;
    struct cis_stop stop;
    cis_code code;
};

static void *ask(void *arg)
{
    struct asking *a = arg;
    a->code = cis_lay_pin(a->v, a->v->at, &a->stop, NULL);
    return NULL;
}

/* Another one holds the lock, and waits for the store. */
static void who_waits_for_another_question_ends_when_it_is_told_to(void **state)
{
    struct fixture *f = *state;
    begin(f);
    cis_vfs *v = view_main(f);
    struct asking first = {.v = lay_of(v), .stop = {CIS_NEVER, NULL}};
    struct asking second = first;
    pthread_t thread;
    assert_ok(cis_cancel_new(&first.stop.cancel, err));
    atomic_store(&slow.silent, true);
    assert_int_equal(pthread_create(&thread, NULL, ask, &first), 0);
    while (atomic_load(&slow.asked) == 0) {
        nap();
    }
    uint64_t from = cis_clock_mono_ns();
    second.stop.deadline_ns = cis_clock_after(from, 100000000);
    ask(&second);
    assert_int_equal(second.code, CIS_E_DEADLINE);
    assert_true(ms_since(from) < 5000);
    cis_cancel_fire(first.stop.cancel);
    pthread_join(thread, NULL);
    assert_int_equal(first.code, CIS_E_CANCELLED);
    cis_cancel_unref(first.stop.cancel);
    atomic_store(&slow.silent, false);
    cis_vfs_close(v);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(closing_a_view_does_not_wait_for_what_the_keeper_asks),
        TEST(pins_of_closed_views_are_told_when_the_store_answers_again),
        TEST(an_operation_that_misses_something_again_and_again_ends_when_it_is_told_to),
        TEST(who_waits_for_another_question_ends_when_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
