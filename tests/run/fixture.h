/* A store, an engine and the guest `tool` (tests/guests/tool.c), for tests of the run room. The
 * engine is one a program; each test has a store of its own. */
#ifndef CIS_TESTS_RUN_FIXTURE_H
#define CIS_TESTS_RUN_FIXTURE_H

#include "harness.h"
#include <jansson.h>
#include "base/file.h"
#include "run/run.h"

struct fx {
    char *dir, *url;
    cis_store *store;
    cis_fs_cache *fs_cache;
    struct cis_run_outcome last;
    bool has_last;
};
extern cis_engine *fx_engine;
extern cis_engine_module *fx_tool;

int fx_setup(void **state);
int fx_teardown(void **state);
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
/* Starts the engine (and the server), runs the tests, stops all. */
int fx_run(int (*run)(void));

/* Words of a command line, "write /w/a text"; kept streams, no limits but a minute. What the test
 * changes is changed in the request before fx_go. */
struct job {
    struct cis_run_request request;
    struct cis_run_program program;
    char *words;
    const char *args[64];
    struct cis_run_mount mounts[8];
};
void job_init(struct job *job, struct fx *fx, const char *words);
struct cis_run_mount *job_mount(struct job *job, const char *guest, const char *host,
                                enum cis_mount_mode mode, const char *branch);
void job_done(struct job *job);
/* Runs it; the outcome is fx->last until the next. */
cis_code fx_go(struct fx *fx, struct job *job);
/* The same in one: on the workspace at /w. */
cis_code fx_tool_run(struct fx *fx, const char *words);

/* A file of a branch's head ("": the current one); NULL: not there. Free it. */
char *fx_read(struct fx *fx, const char *ref, const char *path);
void fx_is(struct fx *fx, const char *ref, const char *path, const char *text);
bool fx_has_ref(struct fx *fx, const char *ref);
/* A file of the test's folder. */
char *fx_path(struct fx *fx, const char *name);
void fx_put(struct fx *fx, const char *name, const char *text);
void fx_host_is(struct fx *fx, const char *name, const char *text);
/* The stored record of the last run. Free it with json_decref. */
json_t *fx_record(struct fx *fx);
uint64_t fx_commits(struct fx *fx, const char *ref);

#endif
