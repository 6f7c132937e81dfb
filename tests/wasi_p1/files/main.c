#include "wasi_p1/files/files.h"

#include <sys/stat.h>
#include "vfs/backend_layered.h"

static void no_function_of_files_lacks_a_test(void **state)
{
    (void)state;
    assert_all_called();
}

int main(void)
{
    static const struct CMUnitTest last[] = {cmocka_unit_test(no_function_of_files_lacks_a_test)};
    static const struct {
        const char *name;
        const struct CMUnitTest *tests;
        const size_t *n;
    } groups[] = {
#define G(name) {#name, name, &n##name}
        G(files_open),  G(files_table), G(files_data),    G(files_dirs),
        G(files_paths), G(files_times), G(files_hostile),
#undef G
    };
    umask(022);
    stores_start();
    guest_program_start();
    fx_files.backend = &CONTRACT_BACKEND;
    int failed = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        failed +=
            _cmocka_run_group_tests(groups[i].name, groups[i].tests, *groups[i].n, NULL, NULL);
    }
    failed += cmocka_run_group_tests_name("last", last, NULL, NULL);
    guest_program_stop();
    stores_stop();
    return failed != 0;
}
