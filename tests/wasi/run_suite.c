/* The suite on one backend, which the argument names: sqlite, postgres, hostdir or cow. A second
 * argument is a pattern of names, for one guest alone; a third how many rounds of operations by
 * chance there are, with seeds of their own when that is more than usual. */
#include "base/clock.h"
#include "vfs/ops.h"
#include "wasi/suite.h"
#include "wasi/special.h"

enum {
    OLD = 1,      /* built for wasi_unstable, too */
    LINUX = 2,    /* Linux says what is right: the same program natively, the same output */
    NOTHING = 4,  /* no mount */
    THREE = 8,    /* /w, /x, /ro */
    FIXED = 16,   /* filled by one run, read-only in the next */
    SECRET = 32,  /* the first argument is a file outside */
    SETTLED = 64, /* filled before: by Linux where the mount is a folder, else by a run */
};

static const struct row {
    const char *name; /* a sentence */
    const char *file;
    unsigned flags;
    const char *input;
} rows[] = {
    {"files_are_written_read_cut_and_kept_while_open", "files", LINUX, NULL},
    {"renaming_moves_replaces_and_refuses", "rename", LINUX, NULL},
    {"links_are_made_read_and_removed", "links", LINUX, NULL},
    {"paths_of_every_length_and_byte", "paths", LINUX, NULL},
    {"times_are_exact", "times", LINUX, NULL},
    {"directories_are_listed_whole", "dirs", LINUX, NULL},
    {"every_operation_on_every_ending_of_a_path", "slashes", LINUX, NULL},
    {"every_operation_on_what_was_there_before", "slashes", LINUX | SETTLED, NULL},
    {"descriptors_and_rights", "fds", OLD, NULL},
    {"attributes_flags_offsets_and_space", "attributes", OLD, NULL},
    {"listings_to_the_byte", "listing", OLD, NULL},
    {"nothing_leads_out_of_a_mount", "escapes", OLD | SECRET, NULL},
    {"waiting_for_clocks_and_descriptors", "polls", OLD, "input"},
    {"hostile_numbers_and_pointers", "hostile", OLD, NULL},
    {"the_control_folder_is_hidden", "hidden", 0, NULL},
    {"without_a_mount_nothing_is_reached", "nothing", OLD | NOTHING, NULL},
    {"a_read_only_mount_is_not_changed", "readonly", FIXED, NULL},
    {"between_mounts_nothing_moves", "crossing", THREE, NULL},
};
#define ROWS (sizeof rows / sizeof *rows)

static enum backend backend;
static const char *adapter;
enum backend suite_backend(void)
{
    return backend;
}

/* The guest ended by itself, and with which code. */
static void ended(const char *file, const struct suite_result *r, bool checked)
{
    if (r->outcome.code != CIS_OK && r->outcome.code != CIS_E_FAILED) {
        fail_msg("%s: %s (%s)\n%s", file, r->outcome.error.msg, cis_code_name(r->outcome.code),
                 r->text);
    }
    if (!checked) {
        assert_int_equal(r->outcome.exit_code, 0);
    }
}

/* The tree as a run of its own finds it, so that it is what was committed, beside the one that
 * Linux has in this folder. */
static void trees_are_the_same(const char *after, const struct place *place, const char *folder)
{
    struct cis_run_mount mount = place_main(place);
    struct suite_how how = {.file = "tree", .mounts = &mount, .nmounts = 1, .read_only = true};
    struct suite_result tree;
    char name[64];
    suite_run(place, &how, &tree);
    ended("tree", &tree, false);
    char *wanted = suite_linux("tree", (const char *const[]){NULL}, NULL, folder);
    snprintf(name, sizeof name, "tree after %s", after);
    suite_check(backend, name, tree.text, wanted);
    free(wanted);
    suite_done(&tree);
}

/* The same on Linux, and what is there afterwards. */
static void beside_linux(const struct row *row, const struct suite_how *how,
                         const struct place *place, const struct suite_result *result)
{
    char *folder = test_dir_new();
    const char *what = NULL;
    if (row->flags & SETTLED) {
        free(suite_linux(how->file, (const char *const[]){"fill", NULL}, how->env, folder));
        what = "check";
    }
    char *wanted = suite_linux(how->file, (const char *const[]){what, NULL}, how->env, folder);
    suite_check(backend, how->file, result->text, wanted);
    free(wanted);
    trees_are_the_same(how->file, place, folder);
    remove_deep(folder);
    free(folder);
}

static void settle(const struct row *row, const struct place *place, struct suite_how *how)
{
    struct suite_result result;
    bool by_linux = (row->flags & SETTLED) != 0 && (backend == HOSTDIR || backend == COW);
    how->args[0] = "fill";
    if (by_linux) {
        free(suite_linux(how->file, (const char *const[]){"fill", NULL}, NULL, place->folder));
    } else {
        suite_run(place, how, &result);
        ended(how->file, &result, false);
        suite_done(&result);
    }
    how->args[0] = "check";
    how->read_only = (row->flags & FIXED) != 0;
}

/* Another end, a crash for a failure or a time-out for either, is no expected one. */
static void ended_as_adapted(const char *file, const struct suite_result *r,
                             const struct adapted *only)
{
    char line[128];
    bool failed = only->code == CIS_E_FAILED;
    snprintf(line, sizeof line, "not ok %s: ", only->name);
    if (r->outcome.code != only->code || r->outcome.exit_code != (failed ? 1 : 0) ||
        (failed && strncmp(r->text, line, strlen(line)) != 0) ||
        strstr(failed ? r->text : r->outcome.error.msg, only->says) == NULL) {
        fail_msg(
            "%s: %s of adapted.def ends as %s, exit code %d, \"%s\": \"%s\"; not as %s: \"%s\"",
            file, only->name, cis_code_name(r->outcome.code), r->outcome.exit_code,
            r->outcome.error.msg, r->text, cis_code_name(only->code), only->says);
    }
}

/* only: one case that fails. */
static void run_row(const struct row *row, const char *file, const char *const *env,
                    const struct adapted *only)
{
    struct place place;
    struct cis_run_mount mounts[3];
    struct suite_result result;
    place_begin(&place, backend);
    struct suite_how how = {
        .file = file, .mounts = mounts, .nmounts = 1, .input = row->input, .env = env};
    mounts[0] = place_main(&place);
    if (row->flags & NOTHING) {
        how.nmounts = 0;
    }
    if (row->flags & THREE) {
        place_three(&place, mounts);
        how.nmounts = 3;
    }
    if (row->flags & SECRET) {
        how.args[0] = place.secret;
    }
    if (row->flags & (FIXED | SETTLED)) {
        settle(row, &place, &how);
    }
    place_mark(&place);
    how.time_ns = only != NULL && only->code == CIS_E_DEADLINE ? 10 * CIS_NS_PER_S : 0;
    suite_run(&place, &how, &result);
    if (only != NULL) {
        ended_as_adapted(file, &result, only);
    } else {
        ended(file, &result, true);
        if (row->flags & LINUX) {
            beside_linux(row, &how, &place, &result);
        } else {
            suite_check(backend, file, result.text, NULL);
        }
    }
    suite_done(&result);
    place_untouched(&place);
    place_end(&place);
}

/* All cases but those that adapters cannot do; then each of these, which fails. */
static void as_component(const struct row *row)
{
    char list[1024] = "CASES=-", one[128];
    const struct adapted *one_of;
    for (size_t i = 0; (one_of = suite_adapted(backend, row->file, i)) != NULL; i++) {
        size_t at = strlen(list);
        assert_true(at + strlen(one_of->name) + 2 < sizeof list);
        snprintf(list + at, sizeof list - at, "%s%s", i != 0 ? "," : "", one_of->name);
    }
    const char *const others[] = {list, "ADAPTED=1", NULL}, *const alone[] = {one, "ADAPTED=1",
                                                                              NULL};
    run_row(row, row->file, others, NULL);
    for (size_t i = 0; (one_of = suite_adapted(backend, row->file, i)) != NULL; i++) {
        snprintf(one, sizeof one, "CASES=%s", one_of->name);
        run_row(row, row->file, alone, one_of);
    }
}

static void one_guest(void **state)
{
    const struct row *row = *state;
    if (suite_adapter() != NULL) {
        as_component(row); /* not the older module: adapters know the newer name alone */
        return;
    }
    run_row(row, row->file, NULL, NULL);
    if (row->flags & OLD) {
        char file[64];
        snprintf(file, sizeof file, "%s_old", row->file);
        run_row(row, file, NULL, NULL);
    }
}

/* Operations by chance, in several runs that each go on where the one before it ended. */
static unsigned rounds = 8;
static void operations_by_chance_do_what_linux_does(void **state)
{
    (void)state;
    struct place place;
    struct suite_result result;
    const char *const adapted[] = {"ADAPTED=1", NULL}, *const *env =
                                                           suite_adapter() != NULL ? adapted : NULL;
    unsigned first = rounds > 8 ? test_seed() % 1000000 : 1;
    for (unsigned i = 0; i < rounds; i++) {
        char seed[16], *folder = test_dir_new();
        place_begin(&place, backend);
        place_mark(&place);
        for (unsigned run = 0; run < 4; run++) {
            snprintf(seed, sizeof seed, "%u", 10 * (first + i) + run);
            struct cis_run_mount mount = place_main(&place);
            struct suite_how how = {.file = "monkey",
                                    .args = {seed, "1500"},
                                    .mounts = &mount,
                                    .nmounts = 1,
                                    .env = env};
            suite_run(&place, &how, &result);
            ended("monkey", &result, false);
            char *wanted =
                suite_linux("monkey", (const char *const[]){seed, "1500", NULL}, env, folder);
            print_message("seed %s\r", seed);
            suite_check(backend, "monkey", result.text, wanted);
            free(wanted);
            suite_done(&result);
            trees_are_the_same("monkey", &place, folder);
        }
        place_untouched(&place);
        place_end(&place);
        remove_deep(folder);
        free(folder);
    }
}

static int begin(void **state)
{
    (void)state;
    places_start(backend);
    suite_start(adapter);
    return 0;
}

static int end(void **state)
{
    (void)state;
    suite_stop();
    places_stop();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest *(*const special[])(size_t *) = {special_programs, special_streams,
                                                             special_limits};
    struct CMUnitTest *tests = calloc(ROWS + 100, sizeof *tests);
    size_t ntests = ROWS;
    char name[64];
    snprintf(name, sizeof name, "wasi_suite_%s", argc > 1 ? argv[1] : "");
    for (backend = 0; argc > 1 && backend < BACKENDS; backend++) {
        size_t len = strlen(backend_names[backend]);
        if (strncmp(argv[1], backend_names[backend], len) == 0 &&
            (argv[1][len] == '\0' || argv[1][len] == '+')) {
            adapter = argv[1][len] == '+' ? argv[1] + len + 1 : NULL;
            break;
        }
    }
    if (argc < 2 || backend == BACKENDS || tests == NULL) {
        fprintf(stderr,
                "usage: wasi_suite sqlite|postgres|hostdir|cow[+VERSION] [PATTERN [ROUNDS]]\n");
        return 2;
    }
    for (size_t i = 0; i < ROWS; i++) {
        tests[i] = (struct CMUnitTest){.name = rows[i].name,
                                       .test_func = one_guest,
                                       .initial_state = (void *)(uintptr_t)&rows[i]};
    }
    tests[ntests++] = (struct CMUnitTest)cmocka_unit_test(operations_by_chance_do_what_linux_does);
    for (size_t i = 0; i < 3; i++) {
        size_t n = 0;
        const struct CMUnitTest *more = special[i](&n);
        memcpy(tests + ntests, more, n * sizeof *tests);
        ntests += n;
    }
    if (argc > 2) {
        cmocka_set_test_filter(argv[2]);
    }
    if (argc > 3) {
        rounds = (unsigned)strtoul(argv[3], NULL, 10);
    }
    int failed = _cmocka_run_group_tests(name, tests, ntests, begin, end);
    free(tests);
    return failed;
}
