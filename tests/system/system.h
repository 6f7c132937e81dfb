/* System tests drive the program as a user does: arguments in, exit code, stdout and stderr out.
 * Each test gets its own CIS_HOME. */
#ifndef CIS_TESTS_SYSTEM_H
#define CIS_TESTS_SYSTEM_H

#include "harness.h"

#include <sys/resource.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "system/servers.h"

struct sys {
    char *home;             /* CIS_HOME of the test */
    struct cis_bytes input; /* stdin of the next run */
    const char *env[16];    /* more "K=V", NULL-terminated */
    uint64_t timeout_ns;    /* 0: ten minutes */
    struct cis_process_result last;
    bool has_last;
    char path[4096];
    struct servers servers; /* of the mounts that were made */
};

static inline void sys_forget(struct sys *s)
{
    if (s->has_last) {
        cis_process_result_done(&s->last);
        s->has_last = false;
    }
}

static inline int sys_setup(void **state)
{
    struct sys *s = calloc(1, sizeof *s);
    s->home = test_dir_new();
    *state = s;
    return 0;
}

/* Its home and all in it go; 0: they did. For worlds that begin with a struct sys. */
static inline int sys_end(struct sys *s)
{
    struct cis_error err;
    sys_forget(s);
    servers_end(&s->servers);
    int failed = cis_file_remove_tree(s->home, &err) != CIS_OK;
    free(s->home);
    return failed;
}

static inline int sys_teardown(void **state)
{
    struct sys *s = *state;
    int failed = sys_end(s);
    free(s);
    return failed;
}

/* A mount that `cis fs mount … DIR` made; no value of an option is a path. */
static inline void sys_note_mount(struct sys *s, const char *const *argv)
{
    bool mounts = argv[1] != NULL && argv[2] != NULL && strcmp(argv[1], "fs") == 0 &&
                  strcmp(argv[2], "mount") == 0;
    for (size_t i = 3; mounts && argv[i] != NULL; i++) {
        if (argv[i][0] == '/') {
            servers_note(&s->servers, argv[i]);
        }
    }
}

/* Runs any program; the result is in s->last until the next run. Returns the exit code, or 128 +
 * signal. */
static inline int sys_exec(struct sys *s, const char *const *argv)
{
    char home[4200];
    snprintf(home, sizeof home, "CIS_HOME=%s", s->home);
    const char *envp[32] = {"PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin", home,
                            "LC_ALL=C.UTF-8"};
    int n = 3;
    const char *asan = getenv("ASAN_OPTIONS"), *tsan = getenv("TSAN_OPTIONS");
    char asan_env[1024], tsan_env[1024];
    if (asan != NULL) {
        snprintf(asan_env, sizeof asan_env, "ASAN_OPTIONS=%s", asan);
        envp[n++] = asan_env;
    }
    if (tsan != NULL) {
        snprintf(tsan_env, sizeof tsan_env, "TSAN_OPTIONS=%s", tsan);
        envp[n++] = tsan_env;
    }
    for (int i = 0; s->env[i] != NULL; i++) {
        envp[n++] = s->env[i];
    }
    envp[n] = NULL;
    sys_forget(s);
    struct cis_process_options o = {.argv = argv,
                                    .envp = envp,
                                    .input = &s->input,
                                    .ninput = 1,
                                    .output_max = 1u << 30,
                                    .errors_max = 64u << 20};
    o.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(),
                                         s->timeout_ns != 0 ? s->timeout_ns : 600 * CIS_NS_PER_S);
    struct cis_error err = {0};
    if (cis_process_run(&o, &s->last, &err) != CIS_OK) {
        fail_msg("%s: %s", argv[0], err.msg);
    }
    s->has_last = true;
    if (s->last.signal == 0 && s->last.exit_code == 0) {
        sys_note_mount(s, argv);
    }
    return s->last.signal != 0 ? 128 + s->last.signal : s->last.exit_code;
}

/* cis(s, "skill", "run", …): the program under test. */
#define cis(s, ...) sys_exec((s), (const char *const[]){CIS_PROGRAM, __VA_ARGS__, NULL})

static inline const char *sys_out(const struct sys *s)
{
    return cis_buf_cstr(&s->last.output);
}

static inline const char *sys_err(const struct sys *s)
{
    return cis_buf_cstr(&s->last.errors);
}

#define assert_exit(s, expected, call)                                                             \
    do {                                                                                           \
        int exit_ = (call);                                                                        \
        if (exit_ != (expected)) {                                                                 \
            fail_msg("%s: exit %d, not %d\nstdout: %.2000s\nstderr: %.2000s", #call, exit_,        \
                     (expected), sys_out(s), sys_err(s));                                          \
        }                                                                                          \
    } while (0)

/* The newest run waited until its limit, and ended within ten times as long. By its own record:
 * what a process needs to start and to compile is not the run's. */
static inline void sys_waited(struct sys *s, uint64_t limit_ms)
{
    static const char name[] = "\"wall_us\":";
    assert_exit(s, 0, cis(s, "runs", "show", "last", "--json"));
    const char *at = strstr(sys_out(s), name);
    assert_non_null(at);
    assert_in_range(strtoull(at + strlen(name), NULL, 10), limit_ms * 1000, limit_ms * 10000);
}

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (strstr((text), (part)) == NULL) {                                                      \
            fail_msg("\"%.3000s\" lacks \"%s\"", (text), (part));                                  \
        }                                                                                          \
    } while (0)

#define assert_lacks(text, part)                                                                   \
    do {                                                                                           \
        if (strstr((text), (part)) != NULL) {                                                      \
            fail_msg("\"%.3000s\" has \"%s\"", (text), (part));                                    \
        }                                                                                          \
    } while (0)

/* A file in the test's folder; the path is valid until the next call. */
static inline const char *sys_file(struct sys *s, const char *name, const void *data, size_t len)
{
    snprintf(s->path, sizeof s->path, "%s/%s", s->home, name);
    assert_ok(cis_file_write(s->path, cis_bytes_of(data, len), 0600, err));
    return s->path;
}

static inline char *sys_wat(struct sys *s, const char *name, const char *text)
{
    return strdup(sys_file(s, name, text, strlen(text)));
}

/* What is said of time and memory holds without a sanitizer alone. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURED false
#else
#define MEASURED true
#endif

/* Of the commands that have ended: a busy machine makes them wait, not work. */
static inline uint64_t sys_processor_ms(void)
{
    struct rusage use;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &use), 0);
    return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000 +
           (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000;
}

#endif
