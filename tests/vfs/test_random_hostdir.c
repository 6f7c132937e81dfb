/* hostdir and Linux itself against the model: any sequence of operations gives the same results,
 * errno by errno and byte by byte. Masked: sizes of folders, blocks, inode numbers, times that
 * nobody set. --seed N --ops N repeats. */
#include <fcntl.h>
#include "harness.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/random.h"

static struct random_args args;
static bool have_chroot;

static void subfolder(const char *base, const char *name, char *out, size_t cap)
{
    snprintf(out, cap, "%s/%s", base, name);
    assert_int_equal(mkdir(out, 0755), 0);
}

static void random_operations_are_as_on_linux_and_in_the_model(void **state)
{
    (void)state;
    char *base = test_dir_new(), own[4200], real[4200];
    subfolder(base, "own", own, sizeof own);
    subfolder(base, "real", real, sizeof real);
    cis_vfs *vfs = NULL;
    assert_ok(cis_hostdir_open(own, NULL, &vfs, err));
    struct random_run run;
    random_begin(&run, args.seed, model_new());
    random_add(&run, subject_vfs("hostdir", vfs));
    if (have_chroot) {
        random_add(&run, subject_linux(real));
    }
    bool same = true;
    while (same && run.done < args.ops) {
        same = random_step(&run);
        if (same && run.done % 2500 == 0) {
            same = random_compare(&run);
        }
    }
    same = same && random_compare(&run);
    random_end(&run);
    cis_vfs_close(vfs);
    remove_deep(base);
    free(base);
    assert_true(same);
}

int main(int argc, char **argv)
{
    args = random_arguments(argc, argv, 20000);
    have_chroot = op_chroot_prepare();
    if (!have_chroot) {
        note_not_tested("chroot", "random operations", "Linux itself was not compared");
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_are_as_on_linux_and_in_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
