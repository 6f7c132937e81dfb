/* A process that forks while it uses libcis: in the child nothing hangs and nothing is changed. */
#include "harness.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include "base/file.h"
#include "cis/cis.h"
#include "system/guests.h"

/* A child that hangs is ended by its alarm, which is a failure. */
#define CHILD_SECONDS 60

static const char LOOP[] =
    "(module (memory (export \"memory\") 1)"
    " (func (export \"main\") (result i32) (loop $l (br $l)) (i32.const 0)))";

struct place {
    char *dir;
    cis_runtime *runtime;
    cis_module *module;
    cis_instance *instance;
    cis_skills *skills;
    cis_tenant *tenant;
    cis_workspace *workspace;
    cis_wasi_config *run;
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    p->dir = test_dir_new();
    config.data_dir = p->dir;
    config.compile_in_process = true;
    config.pool_slots = 16;
    assert_ok(cis_runtime_new(&config, &p->runtime, err));
    assert_ok(cis_module_load(p->runtime, GUEST_ECHO, strlen(GUEST_ECHO), "echo", &p->module, err));
    assert_ok(cis_instance_new(p->runtime, p->module, NULL, &p->instance, err));
    assert_ok(cis_skills_new(p->runtime, &p->skills, err));
    assert_ok(cis_skills_load_wasm(p->skills, "echo", GUEST_ECHO, strlen(GUEST_ECHO), NULL, err));
    assert_ok(cis_tenant_open(p->runtime, NULL, &p->tenant, err));
    assert_ok(cis_workspace_open(p->tenant, NULL, &p->workspace, err));
    assert_ok(cis_workspace_write(p->workspace, "/kept", 0, "before", 6, false, err));
    assert_ok(cis_wasi_config_new(p->runtime, &p->run, err));
    *state = p;
    return 0;
}

static void free_all(struct place *p)
{
    cis_wasi_config_free(p->run);
    cis_workspace_close(p->workspace);
    cis_tenant_close(p->tenant);
    cis_skills_free(p->skills);
    cis_instance_free(p->instance);
    cis_module_unref(p->module);
    cis_runtime_free(p->runtime);
}

static int teardown(void **state)
{
    struct place *p = *state;
    struct cis_error err;
    free_all(p);
    int failed = cis_file_remove_tree(p->dir, &err) != CIS_OK;
    free(p->dir);
    free(p);
    return failed;
}

static bool refused(cis_code code, const struct cis_error *err)
{
    if (code != CIS_E_USAGE || strstr(err->msg, "fork") == NULL) {
        fprintf(stderr, "not refused: %s (%s)\n", err->msg, cis_code_name(code));
        return false;
    }
    return true;
}

/* Every kind of object that the parent made: refused, and freed without a change. */
static bool all_refused(struct place *p)
{
    struct cis_error e = {0};
    cis_module *module = NULL;
    cis_instance *instance = NULL;
    cis_result *result = NULL;
    cis_skills *skills = NULL;
    cis_tenant *tenant = NULL;
    cis_workspace *workspace = NULL;
    cis_component *component = NULL;
    cis_wasi_host *host = NULL;
    char *out = NULL, byte;
    size_t n = 0;
    bool fine =
        refused(cis_module_load(p->runtime, LOOP, strlen(LOOP), "m", &module, &e), &e) &&
        refused(cis_instance_new(p->runtime, p->module, NULL, &instance, &e), &e) &&
        refused(cis_instance_call(p->instance, "main", NULL, 0, NULL, &n, &e), &e) &&
        refused(cis_run(p->runtime, p->module, "1", 1, NULL, &result, &e), &e) &&
        refused(cis_execute_wasm(p->runtime, LOOP, strlen(LOOP), "1", 1, &out, &n, &e), &e) &&
        refused(cis_skills_new(p->runtime, &skills, &e), &e) &&
        refused(cis_skills_call(p->skills, "echo", NULL, "1", 1, NULL, &result, &e), &e) &&
        refused(cis_skills_remove(p->skills, "echo", &e), &e) &&
        refused(cis_tenant_open(p->runtime, NULL, &tenant, &e), &e) &&
        refused(cis_workspace_open(p->tenant, NULL, &workspace, &e), &e) &&
        refused(cis_workspace_read(p->workspace, "/kept", 0, &byte, 1, &n, &e), &e) &&
        refused(cis_workspace_write(p->workspace, "/kept", 0, "x", 1, false, &e), &e) &&
        refused(cis_workspace_commit(p->workspace, NULL, NULL, &e), &e) &&
        refused(cis_tenant_snapshot(p->tenant, NULL, "s", NULL, &e), &e) &&
        refused(cis_component_open(p->run, p->module, &component, &e), &e) &&
        refused(cis_wasi_run(p->run, p->module, &result, &e), &e) &&
        refused(cis_wasi_host_new(p->runtime, NULL, NULL, &host, &e), &e);
    cis_workspace_discard(p->workspace);
    free_all(p);
    return fine && strcmp(cis_module_inspect(p->module), "{}") == 0;
}

/* A runtime of the child's own: compiles, runs, ends what does not end, and goes. */
static bool lives_alone(void)
{
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    struct cis_run_options o = CIS_RUN_OPTIONS_INIT;
    struct cis_error e = {0};
    cis_runtime *r = NULL;
    cis_module *m = NULL;
    cis_result *result = NULL;
    config.compile_in_process = true;
    config.pool_slots = 4;
    o.time_ms = 300;
    if (cis_runtime_new(&config, &r, &e) != CIS_OK ||
        cis_module_load(r, LOOP, strlen(LOOP), "loop", &m, &e) != CIS_OK ||
        cis_run(r, m, "1", 1, &o, &result, &e) != CIS_OK) {
        fprintf(stderr, "the child's own: %s\n", e.msg);
        return false;
    }
    bool ended = cis_result_code(result) == CIS_E_DEADLINE;
    cis_result_free(result);
    cis_module_unref(m);
    cis_runtime_free(r);
    return ended;
}

/* Waits for the child; its exit code, or 128 and the signal. */
static int child_end(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void child_of_fork_is_refused_what_its_parent_made(void **state)
{
    struct place *p = *state;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        _exit(all_refused(p) ? 0 : 1);
    }
    assert_int_equal(child_end(child), 0);
    /* The parent is as it was. */
    char text[6];
    size_t n = 0, len;
    cis_result *result = NULL;
    assert_ok(cis_workspace_read(p->workspace, "/kept", 0, text, sizeof text, &n, err));
    assert_memory_equal(text, "before", 6);
    assert_ok(cis_workspace_commit(p->workspace, NULL, NULL, err));
    assert_ok(cis_run(p->runtime, p->module, "17", 2, NULL, &result, err));
    assert_string_equal(cis_result_output(result, &len), "17");
    cis_result_free(result);
}

/* Whether a thread of this process other than the caller runs at this moment. */
static bool another_runs(void)
{
    DIR *tasks = opendir("/proc/self/task");
    bool runs = false;
    assert_non_null(tasks);
    for (struct dirent *d; (d = readdir(tasks)) != NULL;) {
        char path[300], stat[512] = "";
        uint64_t id;
        if (!cis_str_u64(cis_str_of(d->d_name), &id) || id == (uint64_t)gettid()) {
            continue;
        }
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", d->d_name);
        FILE *f = fopen(path, "r");
        size_t n = f != NULL ? fread(stat, 1, sizeof stat - 1, f) : 0;
        stat[n] = '\0';
        if (f != NULL) {
            fclose(f);
        }
        const char *end = strrchr(stat, ')');
        runs = runs || (end != NULL && strncmp(end, ") S", 3) != 0);
    }
    closedir(tasks);
    return runs;
}

/* The C library makes malloc usable in a child of fork; the allocator of the address sanitizer
 * (GCC 12) does not: a thread that is in it at the fork leaves it locked. The child below
 * allocates, so it is made while the runtime's threads, which have just started, sleep. */
static void wait_until_the_others_sleep(void)
{
    for (int calm = 0, tries = 0; calm < 3 && tries < 5000; tries++) {
        calm = another_runs() ? 0 : calm + 1;
        usleep(1000);
    }
}

static void child_of_fork_has_a_runtime_of_its_own_with_time_limits(void **state)
{
    (void)state;
    wait_until_the_others_sleep();
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        _exit(lives_alone() ? 0 : 1);
    }
    assert_int_equal(child_end(child), 0);
}

static atomic_bool stop;

static void *runs_all_the_time(void *arg)
{
    struct place *p = arg;
    while (!atomic_load(&stop)) {
        cis_result *result = NULL;
        assert_ok(cis_run(p->runtime, p->module, "1", 1, NULL, &result, err));
        cis_result_free(result);
    }
    return NULL;
}

/* Locks are held in the child by threads that are not there: it must not ask for one. */
static void fork_beside_running_threads_hangs_nobody(void **state)
{
    struct place *p = *state;
    pthread_t threads[2];
    atomic_store(&stop, false);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, runs_all_the_time, p), 0);
    }
    for (int i = 0; i < 20; i++) {
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(CHILD_SECONDS);
            _exit(all_refused(p) ? 0 : 1);
        }
        assert_int_equal(child_end(child), 0);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(child_of_fork_is_refused_what_its_parent_made),
        TEST(child_of_fork_has_a_runtime_of_its_own_with_time_limits),
        TEST(fork_beside_running_threads_hangs_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
