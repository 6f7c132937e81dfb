/* The contract of the versioned filesystem: its groups of tests. */
#include "harness.h"

#include "tree.h"
#include "store/calls.h"

static const struct store_backend *backend;

static int setup(void **state)
{
    struct fs_fixture *f = calloc(1, sizeof *f);
    f->backend = backend;
    f->place = backend->place_new();
    f->s = backend->open(f->place);
    assert_ok(cis_store_tenant_create(f->s, T, 1000, 1001, NULL, err));
    *state = f;
    return 0;
}

/* Whatever a test did: what is stored was counted. */
static void assert_counted(cis_store *s)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
    cis_code code = cis_store_check(s, T, &faults, NULL, NULL);
    const char *at = code == CIS_OK ? strstr(cis_buf_cstr(&faults), "stored bytes") : NULL;
    if (at != NULL) {
        fail_msg("%s", at);
    }
}

static int teardown(void **state)
{
    struct fs_fixture *f = *state;
    assert_counted(f->s);
    cis_store_close(f->s);
    f->backend->place_free(f->place);
    free(f);
    return 0;
}

cis_store *fs_reopen(void **state)
{
    struct fs_fixture *f = *state;
    cis_store_close(f->s);
    f->s = f->backend->open(f->place);
    return f->s;
}

int store_fs_contract_run(const struct store_backend *which, int argc, char **argv)
{
    static const struct fs_test *const groups[] = {
        fs_tests_read,   fs_tests_chunk, fs_tests_branch, fs_tests_keep,  fs_tests_publish,
        fs_tests_reflog, fs_tests_race,  fs_tests_model,  fs_tests_stored};
    static struct CMUnitTest tests[128];
    size_t n = 0;
    backend = which;
    if (argc > 2) {
        fs_random_steps = (unsigned)strtoul(argv[2], NULL, 10);
    }
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        for (const struct fs_test *test = groups[g]; test->name != NULL; test++) {
            if (argc < 2 || strstr(test->name, argv[1]) != NULL) {
                assert_true(n < sizeof tests / sizeof *tests);
                tests[n++] = (struct CMUnitTest){test->name, test->run, setup, teardown, NULL};
            }
        }
    }
    return _cmocka_run_group_tests(which->name, tests, n, NULL, NULL);
}
