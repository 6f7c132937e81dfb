/* Leases and pins beside a wall clock that jumps: linked with --wrap=cis_clock_wall_ms. */
#include "harness.h"

#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "store/sqlite/sqlite.h"
#include "contract.h"
#include "tree.h"

#define DAY ((int64_t)86400 * 1000)

int64_t __real_cis_clock_wall_ms(void);
int64_t __wrap_cis_clock_wall_ms(void);
static int64_t jump_ms;

int64_t __wrap_cis_clock_wall_ms(void)
{
    return __real_cis_clock_wall_ms() + jump_ms;
}

static cis_store *open_at(const char *dir)
{
    cis_store *s = NULL;
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    return s;
}

static bool count(void *self, const struct cis_fs_pin *pin)
{
    (void)pin;
    ++*(int *)self;
    return true;
}

static void a_clock_that_jumps_lets_no_pin_lapse_and_keeps_no_lease(void **state)
{
    (void)state;
    char *dir = test_dir_new();
    cis_store *s = open_at(dir), *other;
    uint64_t pin = 0, fence = 0;
    int pins = 0;
    assert_ok(s->fs->tenant_create(s, T, 0, 0, NULL, err));
    struct cis_view head = tree_head(s, "main");
    assert_ok(s->fs->pin(s, T, head, 0, 60000, &pin, NULL, err));
    jump_ms = DAY;
    other = open_at(dir); /* another program, begun after the jump */
    assert_ok(other->fs->pins(other, T, count, &pins, NULL, err));
    assert_int_equal(pins, 1);
    assert_ok(s->fs->pin(s, T, head, pin, 60000, &pin, NULL, err));
    /* A lease that is taken while the clock is a day ahead … */
    assert_ok(other->fs->lease(other, T, CIS_STR("main"), "a mount", 0, 100, &fence, NULL, err));
    jump_ms = 0; /* … and put right */
    assert_fails(CIS_E_CONFLICT, "in use by a mount",
                 s->fs->lease(s, T, CIS_STR("main"), "me", 0, 100, NULL, NULL, err));
    usleep(150000);
    assert_ok(s->fs->lease(s, T, CIS_STR("main"), "me", 0, 100, NULL, NULL, err));
    jump_ms = -DAY;
    pins = 0;
    assert_ok(s->fs->pin(s, T, head, 0, 1, NULL, NULL, err));
    usleep(20000);
    assert_ok(s->fs->pins(s, T, count, &pins, NULL, err));
    assert_int_equal(pins, 1); /* the short one lapsed all the same */
    jump_ms = 0;
    other->ops->close(other);
    s->ops->close(s);
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_jumps_lets_no_pin_lapse_and_keeps_no_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
