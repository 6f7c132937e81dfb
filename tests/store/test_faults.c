/* The disk that loses power, fails, or is full. Argument: the number of power losses and of
 * failures (default 30 each). */
#include "harness.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include "base/file.h"
#include "store/sqlite/sqlite.h"
#include "shim_vfs.h"
#include "workload.h"
#include "store/calls.h"

static int many = 30;

static int by_event(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

/* Steps are recorded once; the power goes at random moments of the record. */
static void lose_power(bool fold)
{
    char *dir = test_dir_new(), *after = test_dir_new();
    unsigned seed = test_seed(), steps = 40;
    cis_store *s = NULL;
    shim_record();
    assert_ok(cis_store_sqlite_open(dir, &s, err));
    for (unsigned i = 0; i < steps; i++) {
        assert_ok(workload_step(s, i, err));
        shim_mark();
        if (fold && i % 2 == 1) {
            cis_store_close(s);
            assert_ok(workload_fold(dir, i % 3 != 0, err));
            assert_ok(cis_store_sqlite_open(dir, &s, err));
        }
    }
    cis_store_close(s);
    size_t *moments = calloc((size_t)many, sizeof *moments), n = shim_events();
    for (int i = 0; i < many; i++) {
        moments[i] = (size_t)rand_r(&seed) % (n + 1);
    }
    qsort(moments, (size_t)many, sizeof *moments, by_event);
    unsigned kept = 0, more = 0;
    shim_rewind();
    for (int i = 0; i < many; i++) {
        unsigned acked = shim_power_loss(moments[i], &seed, dir, after);
        kept = workload_audit(after, acked);
        assert_true(kept <= acked + 1);
        more += kept > acked;
        /* And it goes on from there. */
        assert_ok(cis_store_sqlite_open(after, &s, err));
        assert_ok(workload_step(s, kept, err));
        cis_store_close(s);
        assert_int_equal(workload_audit(after, kept + 1), kept + 1);
    }
    print_message("%d losses of power among %zu operations; %u kept a step not yet told\n", many, n,
                  more);
    assert_true(kept > steps / 2);
    free(moments);
    assert_ok(cis_file_remove_tree(dir, err));
    assert_ok(cis_file_remove_tree(after, err));
    free(dir);
    free(after);
}

static void what_was_acknowledged_survives_the_loss_of_power_and_the_rest_is_whole(void **state)
{
    (void)state;
    lose_power(false);
}

static void and_so_while_one_log_takes_the_place_of_another(void **state)
{
    (void)state;
    lose_power(true);
}

struct faults {
    char *dir;
    unsigned done; /* steps that are there */
    int refused, unknown;
};

/* A few steps with a fault among their writes; the answer is compared with what is there. */
static void fault_round(struct faults *f, long at, int code, unsigned how, bool reopened)
{
    bool lasting = (how & SHIM_LASTING) != 0;
    cis_store *s = NULL;
    struct cis_error why = {0};
    assert_ok(cis_store_sqlite_open(f->dir, &s, err));
    if (!reopened) {
        assert_ok(workload_step(s, f->done++, err)); /* connections and statements are there */
    }
    shim_fail(at, code, how);
    cis_code got = CIS_OK;
    unsigned told = f->done;
    for (int i = 0; got == CIS_OK && i < 4; i++) {
        got = workload_step(s, told, &why);
        told += got == CIS_OK;
    }
    bool hit = shim_failed() != 0;
    shim_fail(-1, 0, 0);
    if (got != CIS_OK && (!hit || (got != CIS_E_STORE && got != CIS_E_DAMAGED))) {
        fail_msg("operation %ld: %s: %s", at, cis_code_name(got), why.msg);
    }
    bool unknown = got != CIS_OK && strstr(why.msg, "not known") != NULL;
    if (!lasting && unknown) {
        fail_msg("operation %ld failed once: %s", at, why.msg);
    }
    if (at % 2 == 0) { /* the same store goes on, or another process finds what is there */
        cis_code next = workload_step(s, told, &why);
        if (next != CIS_OK) {
            fail_msg("after operation %ld: %s", at, why.msg);
        }
        told++;
        unknown = false;
    }
    cis_store_close(s);
    f->done = workload_audit(f->dir, told);
    assert_true(f->done == told || (unknown && f->done == told + 1));
    f->refused += got != CIS_OK;
    f->unknown += unknown;
}

static void every_failed_operation_is_answered_with_the_truth(void **state)
{
    (void)state;
    struct faults f = {.dir = test_dir_new()};
    unsigned seed = test_seed();
    for (int i = 0; i < many; i++) {
        if (i % 50 == 0) {
            assert_ok(cis_file_remove_tree(f.dir, err));
            assert_int_equal(mkdir(f.dir, 0700), 0);
            f.done = 0;
            fault_round(&f, 1000000, SQLITE_IOERR, 0, true);
        }
        static const struct {
            int code;
            unsigned how, range;
        } kinds[] = {{SQLITE_IOERR_WRITE, 0, 60},
                     {SQLITE_FULL, 0, 60},
                     {SQLITE_IOERR_FSYNC, SHIM_SYNCS, 4},
                     {SQLITE_IOERR_READ, SHIM_READS, 80}};
        unsigned kind = (unsigned)i % 4, lasting = i % 3 == 0 && kind != 3 ? SHIM_LASTING : 0;
        fault_round(&f, (long)((unsigned)rand_r(&seed) % kinds[kind].range), kinds[kind].code,
                    kinds[kind].how | lasting, i % 5 == 0);
    }
    print_message("%d of %d refused, %d of those with an outcome that is not known\n", f.refused,
                  many, f.unknown);
    assert_true(f.refused > many / 2);
    assert_ok(cis_file_remove_tree(f.dir, err));
    free(f.dir);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        many = (int)strtol(argv[1], NULL, 10);
    }
    shim_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_operation_is_answered_with_the_truth),
        cmocka_unit_test(what_was_acknowledged_survives_the_loss_of_power_and_the_rest_is_whole),
        cmocka_unit_test(and_so_while_one_log_takes_the_place_of_another),
    };
    return cmocka_run_group_tests_name("store faults", tests, NULL, NULL);
}
