/* Components of WASI 0.2 without an adapter in between: every function of every interface that is
 * served, on a workspace and on a folder of the host; how runs end that ask for what they may not;
 * and that no function was left out. The argument names the backend. */
#include "wasi/suite.h"

#include <dirent.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/code/document.h"
#include "wasi/p2/p2.h"

static enum backend backend;
static cis_engine *engine;
static cis_engine_module *image;
static char called[1 << 16]; /* names of functions, each between two spaces */

static void note(void *self, const char *line)
{
    (void)self;
    const char *from = strstr(line, "wasi:"), *to = from != NULL ? strchr(from, '(') : NULL;
    char name[160];
    if (to != NULL) {
        snprintf(name, sizeof name, " %.*s ", (int)(to - from), from);
        size_t at = strlen(called);
        if (strstr(called, name) == NULL && at + strlen(name) < sizeof called) {
            snprintf(called + at, sizeof called - at, "%s", name);
        }
    }
}

struct job {
    const char *args[4];
    uint64_t host_bytes, memory_bytes, time_ns;
    bool traced;
    struct cis_run_outcome outcome;
    char *text;
};

static void run(struct place *place, const struct cis_run_mount *mounts, size_t nmounts,
                struct job *job)
{
    static const char *const env[] = {"GIVEN=a=\xc3\xa9", NULL};
    const char *args[6] = {"p2", job->args[0], job->args[1], NULL};
    struct cis_run_program program = {
        .args = args,
        .env = env,
        .wasi = CIS_WASI_ALL,
        .std = {{.kind = CIS_STREAM_BYTES, .bytes = cis_bytes_of("0123456789abcdef", 16)},
                {.kind = CIS_STREAM_KEEP, .kept = CIS_BUF_INIT(1u << 20)},
                {.kind = CIS_STREAM_KEEP, .kept = CIS_BUF_INIT(1u << 20)}}};
    struct cis_run_request request = {
        .engine = engine,
        .module = image,
        .store = place->store,
        .skill = "p2",
        .limits = {.memory_bytes = 64u << 20,
                   .host_bytes = job->host_bytes != 0 ? job->host_bytes : 64u << 20},
        .time_ns = 300 * 1000000000ull,
        .fs_cache = place->fs_cache,
        .mounts = mounts,
        .nmounts = nmounts,
        .program = &program,
        .trace = job->traced ? note : NULL,
    };
    assert_ok(cis_run_execute(&request, &job->outcome, err));
    job->text = strdup(cis_buf_cstr(&job->outcome.std[1].kept));
}

static void done(struct job *job)
{
    cis_buf_done(&job->outcome.std[1].kept);
    cis_buf_done(&job->outcome.std[2].kept);
    job->outcome.std[1].kind = job->outcome.std[2].kind = CIS_STREAM_NULL;
    cis_run_outcome_done(&job->outcome);
    free(job->text);
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

/* ---- tests ---- */

/* The million handles are not traced: a line of each would be all that is measured. */
static void every_function_does_what_its_interface_says(void **state)
{
    (void)state;
    struct place place;
    struct cis_run_mount mounts[3];
    struct job job = {.traced = true};
    place_begin(&place, backend);
    place_three(&place, mounts);
    place_mark(&place);
    run(&place, mounts, 3, &job);
    if (job.outcome.code != CIS_OK && job.outcome.code != CIS_E_FAILED) {
        fail_msg("%s\n%s", job.outcome.error.msg, job.text);
    }
    suite_check(backend, "p2", job.text, NULL);
    assert_int_equal(job.outcome.std[2].kept.len, 12);
    assert_memory_equal(job.outcome.std[2].kept.ptr, "err:\0\0\0\0\0end", 12);
    done(&job);
    place_untouched(&place);
    place_end(&place);
}

static void a_million_handles_need_no_more_than_one(void **state)
{
    (void)state;
    struct place place;
    place_begin(&place, backend);
    struct cis_run_mount mount = place_main(&place);
    struct job job = {.args = {"a_million_handles_come_and_go"}, .host_bytes = 4u << 20};
    run(&place, &mount, 1, &job); /* once, so that what is made at the first use is there */
    done(&job);
    long before = suite_resident_kib();
    run(&place, &mount, 1, &job);
    assert_string_equal(job.text, "ok a_million_handles_come_and_go\n");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they keep what was freed */
    assert_true(suite_resident_kib() - before < 16384);
#else
    (void)before;
#endif
    done(&job);
    place_end(&place);
}

static void a_run_ends_as_it_asked_for_and_by_what_is_not_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        cis_code code;
        int exit;
        const char *msg;
    } ends[] = {
        {"exit-ok", CIS_OK, 0, NULL},
        {"exit-err", CIS_E_FAILED, 1, NULL},
        {"exit-42", CIS_E_FAILED, 42, NULL},
        {"flush-too-much", CIS_E_TRAP, 0, "4097 bytes where 4096 were permitted"},
        {"zeroes-too-many", CIS_E_TRAP, 0, "4097 bytes where 4096 were permitted"},
        {"unpromised", CIS_E_TRAP, 0, "1 bytes where 0 were permitted"},
        {"poll-nothing", CIS_E_TRAP, 0, "empty list"},
        {"hold", CIS_E_LIMIT, 0, "limit \"handles\" reached: 2049 of 2048"},
        {"child-in", CIS_E_TRAP, 0, "finished input-stream before 1"},
        {"child-out", CIS_E_TRAP, 0, "finished output-stream before 2"},
        {"hold-files", CIS_OK, 0, NULL},
        {"random-too-much", CIS_E_BUDGET, 0, "random-bytes"},
        {"wrong-handle", CIS_E_TRAP, 0, "handle"},
        {"wrong-kind", CIS_E_TRAP, 0, "handle"},
        {"twice", CIS_E_TRAP, 0, "handle"},
        {"pointer-outside", CIS_E_TRAP, 0, NULL},
        {"answer-outside", CIS_E_TRAP, 0, NULL},
        {"list-without-end", CIS_E_TRAP, 0, NULL},
        {"not-utf8", CIS_E_TRAP, 0, "utf-8"},
        {"wrong-case", CIS_E_TRAP, 0, NULL},
        {"wrong-variant", CIS_E_TRAP, 0, NULL},
    };
    struct place place;
    place_begin(&place, backend);
    struct cis_run_mount mount = place_main(&place);
    int before = 0, wrong = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct job job = {.args = {"end", ends[i].what}, .traced = i < 3, .host_bytes = 8u << 20};
        run(&place, &mount, 1, &job);
        const struct cis_run_outcome *o = &job.outcome;
        if (o->code != ends[i].code || (o->exited && o->exit_code != ends[i].exit) ||
            job.text[0] != '\0' ||
            (ends[i].msg != NULL && strcasestr(o->error.msg, ends[i].msg) == NULL)) {
            print_error("%s: %s %d \"%s\" %s\n", ends[i].what, cis_code_name(o->code), o->exit_code,
                        o->error.msg, job.text);
            wrong++;
        }
        done(&job);
        before = i == 0 ? open_here() : before;
    }
    assert_int_equal(wrong, 0);
    assert_true(open_here() <= before + 8); /* connections of a store stay */
    place_end(&place);
}

/* By what was called while it was traced: nothing can be forgotten in a list. */
static void no_row_lacks_a_test(void **state)
{
    (void)state;
    size_t ntables = 0, missing = 0;
    const struct cis_iface_table *const *tables = cis_wasi_p2_tables(&ntables);
    for (size_t t = 0; t < ntables; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_ifacefn *row = &tables[t]->rows[i];
            char name[160];
            snprintf(name, sizeof name, " %s.%s ", row->interface, row->name);
            bool elsewhere = strncmp(row->interface, "wasi:sockets/", 13) == 0 ||
                             strncmp(row->interface, "wasi:http/", 10) == 0;
            if (!elsewhere && strstr(called, name) == NULL) {
                print_error("%s has no test\n", name);
                missing++;
            }
        }
    }
    assert_int_equal(missing, 0);
}

static int begin(void **state)
{
    (void)state;
    CIS_CLEANUP(cis_buf_done) struct cis_buf wasm = CIS_BUF_INIT(8u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf made = CIS_BUF_INIT(8u << 20);
    struct cis_engine_options o = {.pool_slots = 4, .compile_in_process = true};
    struct cis_engine_module_options image_options = {.name = "p2",
                                                      .stop = {.deadline_ns = CIS_NEVER}};
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    places_start(backend);
    assert_ok(cis_engine_open(&o, &engine, err));
    assert_ok(cis_file_read(CIS_GUESTS_DIR "/wasi_p2.wasm", &wasm, err));
    assert_ok(cis_component_make(cis_buf_bytes(&wasm), (struct cis_bytes){0}, &image_options, &made,
                                 err));
    assert_ok(cis_engine_module_load(engine, cis_buf_bytes(&made), &image_options, &image, err));
    return 0;
}

static int end(void **state)
{
    (void)state;
    cis_engine_module_unref(image);
    cis_engine_close(engine);
    places_stop();
    return 0;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_does_what_its_interface_says),
        cmocka_unit_test(a_million_handles_need_no_more_than_one),
        cmocka_unit_test(a_run_ends_as_it_asked_for_and_by_what_is_not_allowed),
        cmocka_unit_test(no_row_lacks_a_test),
    };
    for (backend = 0; argc > 1 && backend < BACKENDS; backend++) {
        if (strcmp(argv[1], backend_names[backend]) == 0) {
            return cmocka_run_group_tests_name("wasi_p2", tests, begin, end);
        }
    }
    fprintf(stderr, "usage: wasi_p2 sqlite|postgres|hostdir|cow\n");
    return 2;
}
