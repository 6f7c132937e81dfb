/* A folder of the host is filled by random operations; then a union over it goes on, is closed and
 * opened again, and stays what the model says; what is below is never changed. */
#include <fcntl.h>
#include "vfs/backend_layered.h"
#include "vfs/hostdir/hostdir.h"
#include "vfs/random.h"

static struct random_args args;

static bool steps(struct random_run *run, uint64_t until)
{
    bool same = true;
    while (same && run->done < until) {
        same = random_step(run);
        if (same && run->done % 2500 == 0) {
            same = random_compare(run);
        }
    }
    return same && random_compare(run);
}

static void other_replace(struct random_run *run, subject *other)
{
    other->loose_atime = true;
    run->others[0] = other;
    subject_close_slots(run->model);
}

static bool round_of(uint64_t seed, uint64_t ops)
{
    const struct contract_backend *backend = &backend_union;
    void *place = backend->begin();
    char path[4200];
    cis_vfs *vfs = NULL;
    struct random_run run;
    random_begin(&run, seed, model_new());
    assert_ok(cis_hostdir_open(backend_union_lower(place, path, sizeof path), NULL, &vfs, err));
    random_add(&run, subject_vfs("lower", vfs));
    bool same = steps(&run, ops / 4);
    subject *before = model_copy(run.model);
    run.others[0]->ops->free(run.others[0]);
    cis_vfs_close(vfs);
    for (int part = 0; same && part < 3; part++) {
        random_note(&run, "the union is opened");
        vfs = backend->open(place, false);
        other_replace(&run, subject_vfs("union", vfs));
        same = steps(&run, run.done + ops / 4);
        if (part < 2 && same) {
            if (backend->settle != NULL) {
                backend->settle(place, vfs);
            }
            run.others[0]->ops->free(run.others[0]);
            cis_vfs_close(vfs);
        }
    }
    random_end(&run);
    cis_vfs_close(vfs);
    struct random_run below;
    random_begin(&below, seed, before);
    assert_ok(cis_hostdir_open(path, NULL, &vfs, err));
    random_add(&below, subject_vfs("lower afterwards", vfs));
    same = random_compare(&below) && same;
    random_end(&below);
    cis_vfs_close(vfs);
    backend->end(place);
    return same;
}

static void a_union_is_as_the_model_and_leaves_the_lower_alone(void **state)
{
    (void)state;
    for (uint64_t done = 0; done < args.ops; done += 10000) {
        if (!round_of(args.seed + done, 10000)) {
            fail_msg("in the round with --seed %llu --ops 10000",
                     (unsigned long long)(args.seed + done));
        }
    }
}

int main(int argc, char **argv)
{
    args = random_arguments(argc, argv, 20000);
    umask(0);
    stores_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_union_is_as_the_model_and_leaves_the_lower_alone),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stores_stop();
    return failed;
}
