/* What a program can make the host hold and do, and what it is told at the end of it. */
#include "wasi/special.h"

#include <dirent.h>
#include <fcntl.h>

static void a_gibibyte_of_output_costs_the_host_no_memory(void **state)
{
    (void)state;
    static const enum cis_stream_kind kinds[] = {CIS_STREAM_CLOSED, CIS_STREAM_NULL,
                                                 CIS_STREAM_KEEP, CIS_STREAM_FD};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    for (size_t i = 0; i < 4; i++) {
        struct cis_host_stream std[3] = {{.kind = CIS_STREAM_CLOSED},
                                         {.kind = kinds[i], .fd = null},
                                         {.kind = CIS_STREAM_CLOSED}};
        if (kinds[i] == CIS_STREAM_KEEP) {
            std[1].kept = CIS_BUF_INIT(1u << 20);
        }
        suite_image("stdio", false);
        long before = suite_resident_kib();
        struct suite_result r;
        special_run("stdio", (const char *const[]){i == 0 ? "flood-closed" : "flood", NULL}, std,
                    &r);
        /* Adapters have no error for a stream that is closed. */
        assert_int_equal(r.outcome.exit_code, i == 0 && suite_adapter() != NULL);
        assert_true(suite_resident_kib() - before < 65536);
        if (kinds[i] == CIS_STREAM_KEEP) {
            assert_int_equal(r.outcome.std[1].kept.len, 1u << 20);
            assert_int_equal(r.outcome.std[1].dropped, (1u << 30) - (1u << 20));
        }
        suite_done(&r);
    }
    close(null);
}

static void a_million_moves_of_a_descriptor_cost_the_host_no_memory(void **state)
{
    (void)state;
    struct place place;
    struct suite_result r;
    place_begin(&place, suite_backend());
    struct cis_run_mount mount = place_main(&place);
    struct suite_how how = {.file = "fds",
                            .args = {"a_million_moves_need_no_more_than_one"},
                            .mounts = &mount,
                            .nmounts = 1};
    suite_run(&place, &how, &r); /* once, so that what is made at the first use is there */
    suite_done(&r);
    long before = suite_resident_kib();
    suite_run(&place, &how, &r);
    assert_true(suite_resident_kib() - before < 32768);
    suite_check(suite_backend(), "fds", r.text, NULL);
    suite_done(&r);
    place_end(&place);
}

static int open_here(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

static void what_a_guest_left_open_is_closed_with_it(void **state)
{
    (void)state;
    struct place place;
    struct suite_result r;
    place_begin(&place, suite_backend());
    struct cis_run_mount mount = place_main(&place);
    struct suite_how how = {
        .file = "fds", .args = {"nothing_needs_to_be_closed"}, .mounts = &mount, .nmounts = 1};
    int before = 0;
    for (int i = 0; i < 3; i++) {
        suite_run(&place, &how, &r);
        if (suite_adapter() == NULL) { /* they hold 128 descriptors, some cases need more */
            suite_check(suite_backend(), "fds", r.text, NULL);
        }
        suite_done(&r);
        before = i == 0 ? open_here() : before; /* connections of a store stay */
        how.args[0] =
            i == 0 ? "a_descriptor_moves_onto_another" : "the_table_of_descriptors_has_an_end";
    }
    assert_true(open_here() <= before + 8);
    place_end(&place);
}

static void the_cap_of_descriptors_is_the_runs(void **state)
{
    (void)state;
    struct place place;
    struct suite_result r;
    place_begin(&place, suite_backend());
    struct cis_run_mount mount = place_main(&place);
    struct suite_how how = {.file = "fds",
                            .args = {"the_table_of_descriptors_has_an_end"},
                            .mounts = &mount,
                            .nmounts = 1,
                            .files_max = 20};
    suite_run(&place, &how, &r);
    if (suite_adapter() == NULL) {
        suite_check(suite_backend(), "fds", r.text, NULL);
    } else { /* error-code has no case for it: insufficient-memory */
        assert_non_null(strstr(r.text, "no: got ENOMEM, wanted EMFILE"));
    }
    suite_done(&r);
    if (suite_adapter() != NULL) {
        place_end(&place);
        return;
    }
    how.files_max = 8; /* fewer than the case needs */
    suite_run(&place, &how, &r);
    assert_non_null(strstr(r.text, "n >= 10"));
    suite_done(&r);
    place_end(&place);
}

static void full_up(bool stored, const char *only)
{
    struct place place;
    struct suite_result r;
    place_begin(&place, suite_backend());
    const char *no = place_limit(&place, 8u << 20, stored);
    if (no != NULL) {
        struct cis_run_mount mount = place_main(&place);
        /* Adapters have no fd_allocate, and output-stream.write does not tell how much of what
         * failed was written. */
        static const char *const adapted[] = {
            "CASES=-what_does_not_fit_is_not_allocated,what_needs_no_room_still_works", NULL};
        struct suite_how how = {.file = "space",
                                .args = {no, only},
                                .mounts = &mount,
                                .nmounts = 1,
                                .env = suite_adapter() != NULL ? adapted : NULL};
        suite_run(&place, &how, &r);
        suite_check(suite_backend(), stored ? "space stored" : "space", r.text, NULL);
        suite_done(&r);
    }
    place_end(&place);
    if (no == NULL) {
        not_tested("namespace", "no file system of one's own can be mounted");
    }
}

static void a_guest_that_fills_its_mount_is_told_exactly(void **state)
{
    (void)state;
    full_up(false, NULL);
}

static void a_guest_that_fills_what_may_be_stored_is_told_exactly(void **state)
{
    (void)state;
    if (suite_backend() == HOSTDIR || suite_adapter() != NULL) {
        skip(); /* nothing is stored; components are not told how much of what failed was written */
    }
    full_up(true, "a_full_mount_refuses_and_keeps_what_fitted");
}

static void a_million_subscriptions_are_paid_for(void **state)
{
    (void)state;
    struct suite_how how = {.file = "flood", .fuel = 50000000};
    struct suite_result r;
    suite_run(NULL, &how, &r);
    assert_int_equal(r.outcome.exit_code, 0);
    suite_done(&r);
    how.fuel = 18000000; /* enough to write them down, not to have them read three times */
    suite_run(NULL, &how, &r);
    assert_int_equal(r.outcome.code, CIS_E_FUEL);
    suite_done(&r);
}

#define T(f) cmocka_unit_test(f)
const struct CMUnitTest *special_limits(size_t *out_n)
{
    static const struct CMUnitTest tests[] = {
        T(a_gibibyte_of_output_costs_the_host_no_memory),
        T(a_million_moves_of_a_descriptor_cost_the_host_no_memory),
        T(what_a_guest_left_open_is_closed_with_it),
        T(the_cap_of_descriptors_is_the_runs),
        T(a_guest_that_fills_its_mount_is_told_exactly),
        T(a_guest_that_fills_what_may_be_stored_is_told_exactly),
        T(a_million_subscriptions_are_paid_for),
    };
    *out_n = sizeof tests / sizeof *tests;
    return tests;
}
