/* What gc holds for later merges: the bases of branches, by pins that do not lapse. */
#include "fixture.h"

#include <inttypes.h>
#include <unistd.h>
#include "base/clock.h"
#include "history/graph.h"
#include "history/maintain.h"
#include "store/calls.h"

#define MADE_MERGED "conflict/01KAJ2Q5V8Z3YH6D7RJ0A1B2C3"
#define MADE_OTHER "conflict/01KAJ2Q5V8Z3YH6D7RJ0A1B2C4"

static cis_code hold(struct fx *fx, struct cis_error *err)
{
    struct numbers needed = {0};
    cis_code code = cis_graph_hold(&fx->h, false, &needed, err);
    cis_numbers_done(&needed);
    return code;
}

struct held {
    struct {
        struct cis_fs_pin at[64];
        size_t n;
    } pins;
};

static bool take_lasting(void *self, const struct cis_fs_pin *pin)
{
    struct held *held = self;
    if (pin->until_ms == INT64_MAX) {
        assert_in_range(held->pins.n, 0, 63);
        held->pins.at[held->pins.n++] = *pin;
    }
    return true;
}

static struct held held_now(struct fx *fx)
{
    struct held held = {0};
    assert_ok(cis_store_pins(fx->store, fx->h.tenant, take_lasting, &held, NULL, err));
    return held;
}

/* As a program did that did not know of them. */
static void forget(struct fx *fx)
{
    struct held held = held_now(fx);
    uint64_t id;
    for (size_t i = 0; i < held.pins.n; i++) {
        assert_ok(
            cis_store_pin(fx->store, fx->h.tenant,
                          &(struct cis_fs_pin_request){held.pins.at[i].view, held.pins.at[i].id, 0},
                          &id, NULL, err));
    }
}

static void merge(struct fx *fx, const char *into, const char *from)
{
    struct cis_history_done done;
    struct cis_history_commit how = {.ref = cis_str_of(into), .note = "merge"};
    assert_ok(cis_history_merge(&fx->h, fx_head(fx, from), &how, &done, err));
}

static void the_base_of_a_branch_that_was_merged_is_held_whoever_made_it(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), MADE_MERGED);
    fx_fork(fx, fx_head(fx, "main"), MADE_OTHER);
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, MADE_MERGED, "made", "1");
    fx_text(fx, MADE_OTHER, "other", "1");
    fx_text(fx, "side", "side", "1");
    struct cis_view made = fx_head(fx, MADE_MERGED), side = fx_head(fx, "side");
    merge(fx, "main", MADE_MERGED);
    merge(fx, "main", "side");
    for (int i = 0; i < 2; i++) { /* those of the merges themselves, then those of gc */
        struct held held = held_now(fx);
        bool has_made = false, has_side = false;
        for (size_t k = 0; k < held.pins.n; k++) {
            struct cis_view at = held.pins.at[k].view;
            has_made = has_made || (at.branch == made.branch && at.epoch == made.epoch);
            has_side = has_side || (at.branch == side.branch && at.epoch == side.epoch);
        }
        assert_true(has_made);
        assert_true(has_side);
        assert_int_equal(held.pins.n, 2);
        forget(fx);
        assert_ok(hold(fx, err));
    }
}

/* The conflict branch of somebody who brings another branch in there. */
static void the_base_of_a_branch_that_took_a_merge_is_held_whoever_made_it(void **state)
{
    struct fx *fx = *state;
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), MADE_MERGED);
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, MADE_MERGED, "made", "1");
    fx_text(fx, "side", "side", "1");
    struct cis_view side = fx_head(fx, "side");
    merge(fx, MADE_MERGED, "side");
    forget(fx);
    assert_ok(hold(fx, err));
    struct held held = held_now(fx);
    assert_int_equal(held.pins.n, 1);
    assert_int_equal(held.pins.at[0].view.branch, side.branch);
    assert_int_equal(held.pins.at[0].view.epoch, side.epoch);
}

/* ---- a store that cannot pin ---- */
static const struct cis_store_fs_ops *store_ops;
static cis_code refuse_with;

static cis_code refuse(cis_store *store, struct cis_str tenant,
                       const struct cis_fs_pin_request *request, uint64_t *out_id,
                       const struct cis_stop *stop, struct cis_error *err)
{
    return request->ttl_ms == CIS_FS_PIN_LASTING
               ? cis_fail(err, refuse_with, "no pin")
               : store_ops->pin(store, tenant, request, out_id, stop, err);
}

static cis_code gc_where_pins_fail(struct fx *fx, cis_code with, struct cis_error *err)
{
    struct cis_retention keep = {.runs = 0, .grace_ms = 1};
    struct cis_gc_counts out;
    store_ops = fx->store->fs;
    struct cis_store_fs_ops ops = *store_ops;
    ops.pin = refuse;
    refuse_with = with;
    fx->store->fs = &ops;
    cis_code code = cis_history_gc(&fx->h, &keep, &out, err);
    fx->store->fs = store_ops;
    return code;
}

/* main has merged side, nothing holds that, and both went on. */
static void plant(struct fx *fx)
{
    fx_text(fx, "main", "f", "0");
    fx_fork(fx, fx_head(fx, "main"), "side");
    fx_text(fx, "side", "secret", "1");
    merge(fx, "main", "side");
    forget(fx);
    fx_remove(fx, "main", "secret");
    fx_text(fx, "side", "secret", "2");
    fx_text(fx, "side", "secret", "1");
    fx_text(fx, "side", "later", "1");
}

static void gc_ends_where_a_base_cannot_be_held(void **state)
{
    struct fx *fx = *state;
    plant(fx);
    usleep(3000);
    assert_fails(CIS_E_STORE, "no pin", gc_where_pins_fail(fx, CIS_E_STORE, err));
    assert_ok(hold(fx, err)); /* the base is still there */
    assert_int_equal(held_now(fx).pins.n, 1);
}

static void a_base_that_is_gone_ends_no_gc(void **state)
{
    struct fx *fx = *state;
    plant(fx);
    usleep(3000);
    assert_ok(gc_where_pins_fail(fx, CIS_E_EXPIRED, err));
    assert_ok(gc_where_pins_fail(fx, CIS_E_NOTFOUND, err));
}

/* ---- many branches ---- */
#define MANY 4000

static void gc_looks_at_thousands_of_branches_in_no_time(void **state)
{
    struct fx *fx = *state;
    struct cis_str *names = calloc(MANY, sizeof *names);
    char(*text)[48] = calloc(MANY, sizeof *text);
    fx_text(fx, "main", "f", "0");
    for (size_t i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], i % 2 == 0 ? "b%zu" : "conflict/01KAJ2ABCDEFGHJKM%09zu",
                 i);
        names[i] = cis_str_of(text[i]);
    }
    assert_ok(cis_store_fork(fx->store, fx->h.tenant, fx_head(fx, "main"), names, MANY, NULL, err));
    fx_text(fx, "b0", "g", "1");
    merge(fx, "main", "b0");
    uint64_t began = cis_clock_thread_cpu_ns();
    assert_ok(hold(fx, err));
    uint64_t took = cis_clock_thread_cpu_ns() - began;
    print_message("%d branches: %" PRIu64 " ms\n", MANY, took / 1000000);
    assert_true(took < 400ull * 1000000);
    free(text);
    free(names);
}

static int run(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_base_of_a_branch_that_was_merged_is_held_whoever_made_it),
        TEST(the_base_of_a_branch_that_took_a_merge_is_held_whoever_made_it),
        TEST(gc_ends_where_a_base_cannot_be_held),
        TEST(a_base_that_is_gone_ends_no_gc),
        TEST(gc_looks_at_thousands_of_branches_in_no_time),
    };
    return cmocka_run_group_tests_name("history_hold", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
