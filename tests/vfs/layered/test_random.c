/* The layered filesystem against the model: any sequence of operations, with commits, spills and
 * reopened views in between, gives the same results, errno by errno and byte by byte.
 * --seed N --ops N repeats. */
#include "fixture.h"
#include "vfs/random.h"

static struct random_args args;

static cis_vfs *open_view(struct fixture *f)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    o.tenant = TENANT;
    o.dirty_bytes = 512 * 1024; /* so that it spills */
    return view_open(f, &o);
}

static void random_operations_with_commits_are_as_in_the_model(void **state)
{
    (void)state;
    struct fixture f;
    struct cis_fs_cache_options small = CIS_FS_CACHE_OPTIONS_INIT;
    small.entries = small.inodes = 256;
    small.chunk_bytes = 1 << 20;
    fixture_open(&f, &small);
    cis_vfs *vfs = open_view(&f);
    struct random_run run;
    random_begin(&run, args.seed, model_new());
    random_add(&run, subject_vfs("layered", vfs));
    bool same = true;
    while (same && run.done < args.ops) {
        same = random_step(&run);
        if (same && run.done % 37 == 0 && random_next(&run) % 4 == 0) {
            random_note(&run, "commit");
            must_commit(vfs);
        }
        if (same && run.done % 2500 == 0) {
            same = random_compare(&run);
        }
    }
    same = same && random_compare(&run);
    random_end(&run);
    cis_vfs_close(vfs);
    fixture_close(&f);
    assert_true(same);
}

int main(int argc, char **argv)
{
    args = random_arguments(argc, argv, 20000);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_with_commits_are_as_in_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
