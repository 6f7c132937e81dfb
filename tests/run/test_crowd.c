/* Many runs at once: on one workspace, and each on a tenant of its own. */
#include "fixture.h"

#include <pthread.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/calls.h"

#define CROWD 64
#define TURNS 3

struct one {
    struct fx *fx;
    int number;
    bool own_tenant;
    uint64_t conflicts;
    cis_code code;
    char why[300];
};

static cis_code run_once(struct one *o, const char *words)
{
    struct job job;
    struct cis_run_outcome outcome;
    char tenant[32];
    snprintf(tenant, sizeof tenant, "t%d", o->number);
    job_init(&job, o->fx, words);
    job_mount(&job, "/w", NULL, CIS_MOUNT_RW, NULL);
    job.request.tenant = o->own_tenant ? tenant : "t";
    struct cis_error err = {0};
    cis_code code = cis_run_execute(&job.request, &outcome, &err);
    if (code == CIS_OK) {
        code = outcome.code;
        snprintf(o->why, sizeof o->why, "%s", outcome.error.msg);
        cis_run_outcome_done(&outcome);
    } else {
        snprintf(o->why, sizeof o->why, "%s", err.msg);
    }
    job_done(&job);
    return code;
}

/* Names of its own in one folder, a folder of its own; then a file that all of them write to. */
static void *work(void *arg)
{
    struct one *o = arg;
    char words[200];
    for (int turn = 0; turn < TURNS && o->code == CIS_OK; turn++) {
        snprintf(words, sizeof words,
                 "write /w/all/f%d turn%d , mkdir /w/d%d-%d , fill /w/d%d-%d/big 100000", o->number,
                 turn, o->number, turn, o->number, turn);
        o->code = run_once(o, words);
    }
    snprintf(words, sizeof words, "write /w/same n%d , sleep 5", o->number);
    cis_code code = o->code == CIS_OK ? run_once(o, words) : o->code;
    o->conflicts = code == CIS_E_CONFLICT;
    o->code = code == CIS_E_CONFLICT ? CIS_OK : code;
    return NULL;
}

static void crowd(struct fx *fx, bool own_tenant, struct one *all)
{
    pthread_t threads[CROWD];
    for (int i = 0; i < CROWD; i++) {
        all[i] = (struct one){.fx = fx, .number = i, .own_tenant = own_tenant};
        assert_int_equal(run_once(&all[i], "mkdir /w/all") == CIS_OK || (!own_tenant && i > 0), 1);
    }
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, &all[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < CROWD; i++) {
        if (all[i].code != CIS_OK) {
            fail_msg("run %d: %s: %s", i, cis_code_name(all[i].code), all[i].why);
        }
    }
}

static void sixty_four_runs_on_one_workspace_all_commit_what_is_their_own(void **state)
{
    struct fx *fx = *state;
    struct one all[CROWD];
    crowd(fx, false, all);
    uint64_t conflicts = 0;
    for (int i = 0; i < CROWD; i++) {
        char path[64], text[64];
        snprintf(path, sizeof path, "/all/f%d", i);
        snprintf(text, sizeof text, "turn%d", TURNS - 1);
        fx_is(fx, "", path, text);
        for (int turn = 0; turn < TURNS; turn++) {
            snprintf(path, sizeof path, "/d%d-%d/big", i, turn);
            char *big = fx_read(fx, "", path);
            assert_non_null(big);
            free(big);
        }
        conflicts += all[i].conflicts;
    }
    char *same = fx_read(fx, "", "/same");
    assert_non_null(same); /* the first one's */
    free(same);
    /* Each commit that there is is one of a run that said so: the folder, the turns, and those that
     * were not in conflict over the one file. */
    assert_int_equal(fx_commits(fx, "main"), 1 + CROWD * TURNS + CROWD - conflicts);
}

static void sixty_four_tenants_do_not_meet(void **state)
{
    struct fx *fx = *state;
    struct one all[CROWD];
    crowd(fx, true, all);
    for (int i = 0; i < CROWD; i++) {
        struct cis_fs_ref ref;
        char tenant[32];
        snprintf(tenant, sizeof tenant, "t%d", i);
        assert_int_equal(all[i].conflicts, 0);
        assert_ok(
            cis_store_ref_get(fx->store, cis_str_of(tenant), CIS_STR("main"), &ref, NULL, err));
        assert_int_equal(ref.head.epoch, 1 + TURNS + 1);
        assert_int_equal(ref.files, 1 + 1 + 2 * TURNS + 1);
        assert_int_equal(ref.bytes, 5 + 100000 * TURNS + strlen("n0") + (i > 9));
    }
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        T(sixty_four_runs_on_one_workspace_all_commit_what_is_their_own),
        T(sixty_four_tenants_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return fx_run(all_tests);
}
