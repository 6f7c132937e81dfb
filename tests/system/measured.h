/* A program by itself: what it used, and signals to it by how much it has worked. Tests check by
 * processor time and by the peak of resident memory, which a busy machine does not change. */
#ifndef CIS_TESTS_MEASURED_H
#define CIS_TESTS_MEASURED_H

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "system.h"

/* An argument; one of the last four stays. */
static inline const char *text(unsigned n)
{
    static char texts[4][16];
    static unsigned turn;
    char *to = texts[turn++ % 4];
    snprintf(to, 16, "%u", n);
    return to;
}

struct measured {
    int code;    /* as sys_exec's */
    bool killed; /* by a signal, with no word about it */
    uint64_t cpu_ms, peak_kib;
    uint64_t late_ms; /* processor time after the signal */
};

/* out: its standard output; -1: nowhere. */
static inline pid_t measured_start_to(struct sys *s, const char *const *argv, int out)
{
    char home[4200], asan_env[1024];
    const char *asan = getenv("ASAN_OPTIONS");
    snprintf(home, sizeof home, "CIS_HOME=%s", s->home);
    snprintf(asan_env, sizeof asan_env, "ASAN_OPTIONS=%s", asan != NULL ? asan : "");
    const char *envp[] = {"PATH=/usr/bin:/bin", home, s->env[0], asan_env, NULL};
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++) {
            dup2(fd == 1 && out >= 0 ? out : null, fd);
        }
        execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
        _exit(99);
    }
    return pid;
}

static inline pid_t measured_start(struct sys *s, const char *const *argv)
{
    return measured_start_to(s, argv, -1);
}

/* What it has used by now; false: it has ended. */
static inline bool measured_now(pid_t pid, uint64_t *out_ms)
{
    char path[64], text[1024];
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f != NULL) {
        fclose(f);
    }
    text[n] = '\0';
    const char *rest = strrchr(text, ')'); /* the name before it may hold anything */
    if (rest == NULL || rest[2] == 'Z' ||
        sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) !=
            2) {
        return false;
    }
    *out_ms = (uint64_t)(user + kernel) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
    return true;
}

/* With a signal (0: none) once it has used so much processor time. */
static inline struct measured measured_run(struct sys *s, int sig, uint64_t after_ms,
                                           const char *const *argv)
{
    struct measured m = {0};
    struct rusage use;
    uint64_t at = 0;
    int status = 0;
    pid_t pid = measured_start(s, argv);
    if (sig != 0) {
        bool there = measured_now(pid, &at);
        for (; there && at < after_ms; there = measured_now(pid, &at)) {
            usleep(2000);
        }
        kill(pid, sig);
    }
    assert_int_equal(wait4(pid, &status, 0, &use), pid);
    m.killed = WIFSIGNALED(status);
    m.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    m.cpu_ms = (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000 +
               (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000;
    m.late_ms = m.cpu_ms > at ? m.cpu_ms - at : 0;
    m.peak_kib = (uint64_t)use.ru_maxrss;
    return m;
}
#define measured(s, sig, after_ms, ...)                                                            \
    measured_run((s), (sig), (after_ms), (const char *const[]){CIS_PROGRAM, __VA_ARGS__, NULL})

#endif
