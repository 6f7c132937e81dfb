/* Leases and pins beside a wall clock of ours that jumps: linked with --wrap=cis_clock_wall_ms. On
 * SQLite and on a private PostgreSQL server, whose own clock goes on. */
#include "harness.h"

#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#ifdef FS_POSTGRES
#include "tools/pgcluster.h"
#include "store/postgres/postgres.h"
#else
#include "store/sqlite/sqlite.h"
#endif
#include "contract.h"
#include "tree.h"
#include "store/calls.h"

#define DAY ((int64_t)86400 * 1000)

int64_t __real_cis_clock_wall_ms(void);
int64_t __wrap_cis_clock_wall_ms(void);
static int64_t jump_ms;

int64_t __wrap_cis_clock_wall_ms(void)
{
    return __real_cis_clock_wall_ms() + jump_ms;
}

#ifdef FS_POSTGRES
static struct pgcluster *cluster;

static char *place_new(void)
{
    return pgcluster_store(cluster);
}

static cis_store *open_at(const char *url)
{
    cis_store *s = NULL;
    assert_ok(cis_store_postgres_open(url, NULL, &s, NULL, err));
    return s;
}

static void place_free(char *url)
{
    pgcluster_drop(cluster, url);
}
#else
static char *place_new(void)
{
    return test_dir_new();
}

static cis_store *open_at(const char *dir)
{
    cis_store *s = NULL;
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    return s;
}

static void place_free(char *dir)
{
    assert_ok(cis_file_remove_tree(dir, err));
    free(dir);
}
#endif

static bool count(void *self, const struct cis_fs_pin *pin)
{
    (void)pin;
    ++*(int *)self;
    return true;
}

static void a_clock_that_jumps_lets_no_pin_lapse_and_keeps_no_lease(void **state)
{
    (void)state;
    char *place = place_new();
    cis_store *s = open_at(place), *other;
    uint64_t pin = 0, fence = 0;
    int pins = 0;
    assert_ok(cis_store_tenant_create(s, T, 0, 0, NULL, err));
    struct cis_view head = tree_head(s, "main");
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){head, 0, 60000}, &pin, NULL, err));
    jump_ms = DAY;
    other = open_at(place); /* another program, begun after the jump */
    assert_ok(cis_store_pins(other, T, count, &pins, NULL, err));
    assert_int_equal(pins, 1);
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){head, pin, 60000}, &pin, NULL, err));
    /* A lease that is taken while the clock is a day ahead … */
    assert_ok(cis_store_lease(other, T,
                              &(struct cis_fs_lease_request){CIS_STR("main"), "a mount", 0, 100},
                              &fence, NULL, err));
    jump_ms = 0; /* … and put right */
    assert_fails(CIS_E_CONFLICT, "in use by a mount",
                 cis_store_lease(s, T,
                                 &(struct cis_fs_lease_request){CIS_STR("main"), "me", 0, 100},
                                 NULL, NULL, err));
    usleep(150000);
    assert_ok(cis_store_lease(s, T, &(struct cis_fs_lease_request){CIS_STR("main"), "me", 0, 100},
                              NULL, NULL, err));
    jump_ms = -DAY;
    pins = 0;
    assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){head, 0, 1}, NULL, NULL, err));
    usleep(20000);
    assert_ok(cis_store_pins(s, T, count, &pins, NULL, err));
    assert_int_equal(pins, 1); /* the short one lapsed all the same */
    jump_ms = 0;
    cis_store_close(other);
    cis_store_close(s);
    place_free(place);
}

struct held {
    struct cis_view view;
    bool is;
};

static bool find(void *self, const struct cis_fs_hold *hold)
{
    struct held *h = self;
    h->is |= hold->by == CIS_FS_BY_PIN && hold->view.branch == h->view.branch &&
             hold->view.epoch == h->view.epoch;
    return true;
}

static bool oldest(void *self, const struct cis_fs_pin *pin)
{
    int64_t *since = self;
    *since = pin->since_ms < *since ? pin->since_ms : *since;
    return true;
}

struct stamps {
    int64_t lowest, highest;
    uint64_t id;
};

static bool stamp(void *self, const struct cis_fs_chunk_info *info)
{
    struct stamps *s = self;
    s->id = info->id;
    s->lowest = info->stamp_ms < s->lowest ? info->stamp_ms : s->lowest;
    s->highest = info->stamp_ms > s->highest ? info->stamp_ms : s->highest;
    return true;
}

/* What gc asks: which states are held, whether a squash may go over one, which chunks are older
 * than all who may still name them. */
static void gc_sees_what_is_held_whatever_the_clock_says(void **state)
{
    (void)state;
    static const int64_t jumps[] = {DAY, -DAY, 365 * DAY, 0};
    char *place = place_new();
    cis_store *s = open_at(place);
    assert_ok(cis_store_tenant_create(s, T, 0, 0, NULL, err));
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        jump_ms = 0;
        uint64_t pin = 0, ids[1];
        struct held held = {.view = tree_head(s, "main")};
        assert_ok(cis_store_pin(s, T, &(struct cis_fs_pin_request){held.view, 0, 60000}, &pin, NULL,
                                err));
        struct tree *t = tree_new(s, "main");
        tree_file(t, CIS_FS_ROOT, (char[]){'a' + (char)i, 0}, "text");
        (void)tree_commit(t);
        jump_ms = jumps[i];
        assert_ok(cis_store_holds(s, T, find, &held, NULL, err));
        assert_true(held.is);
        struct cis_fs_key key = {.table = CIS_FS_INODES,
                                 .branch = held.view.branch,
                                 .ino = CIS_FS_ROOT,
                                 .epoch = held.view.epoch,
                                 .until = held.view.epoch + 1};
        assert_fails(CIS_E_CONFLICT, "",
                     cis_store_squash(s, T,
                                      &(struct cis_fs_squash_request){held.view.branch, 0, &key, 1},
                                      NULL, err));
        /* Stored by whoever has the pin, for a commit to come. */
        uint8_t text[5000] = {(uint8_t)i, 1};
        struct packed packed = packed_new(s, text, sizeof text);
        assert_ok(cis_store_chunk_put(s, T, &(struct cis_fs_put_request){&packed.chunk, 1, false},
                                      ids, NULL, err));
        free(packed.bytes);
        jump_ms = 0;
        int64_t since = INT64_MAX, now = 0;
        struct stamps seen = {INT64_MAX, 0, 0};
        assert_ok(cis_store_pins(s, T, oldest, &since, NULL, err));
        assert_ok(cis_store_clock(s, NULL, &now, NULL, err));
        assert_ok(cis_store_chunk_list(s, T, &(struct cis_fs_chunk_query){ids[0] - 1, 1}, stamp,
                                       &seen, NULL, err));
        assert_int_equal(seen.id, ids[0]);
        assert_in_range(seen.lowest, since, now);
        assert_ok(
            cis_store_pin(s, T, &(struct cis_fs_pin_request){held.view, pin, 0}, NULL, NULL, err));
    }
    cis_store_close(s);
    place_free(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_jumps_lets_no_pin_lapse_and_keeps_no_lease),
        cmocka_unit_test(gc_sees_what_is_held_whatever_the_clock_says),
    };
#ifdef FS_POSTGRES
    cluster = pgcluster_start(NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pgcluster_stop(cluster);
    return failed;
#else
    return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
