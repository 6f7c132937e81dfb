/* The servers of a test's mounts. One that a failed test leaves is ended when the test ends, and
 * before its mount goes: a file that is still open would keep both. Nothing here waits for a mount
 * without a limit, for its server may answer nobody. */
#ifndef CIS_TESTS_SERVERS_H
#define CIS_TESTS_SERVERS_H

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/process.h"

#define SERVERS_MAX 8
#define SERVERS_MS 10000

struct servers {
    struct {
        int fd; /* of the process; the slot is free: 0 */
        char dir[512];
    } at[SERVERS_MAX];
};

/* What a program says within ten seconds, else "". */
static inline void servers_ask(const char *const *argv, char *out, size_t size)
{
    static const char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
    struct cis_process_result said = {0};
    struct cis_process_options o = {
        .argv = argv,
        .envp = envp,
        .output_max = 65536,
        .errors_max = 65536,
        .stop = {.deadline_ns = cis_clock_after(cis_clock_mono_ns(), SERVERS_MS * CIS_NS_PER_MS)}};
    out[0] = 0;
    if (cis_process_run(&o, &said, NULL) == CIS_OK) {
        snprintf(out, size, "%s", cis_buf_cstr(&said.output));
        cis_process_result_done(&said);
    }
}

/* Who serves it by its control file; 0: nobody. */
static inline pid_t servers_pid(const char *dir)
{
    char path[600], text[4096];
    snprintf(path, sizeof path, "%s/.tarbox/mount", dir);
    servers_ask((const char *const[]){"cat", path, NULL}, text, sizeof text);
    const char *at = strstr(text, "\"pid\":");
    return at != NULL ? (pid_t)strtol(at + strlen("\"pid\":"), NULL, 10) : 0;
}

static inline bool servers_runs(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

/* Where to note a mount of this folder: in the place of one that ended, of the same if there is. */
static inline size_t servers_slot(const struct servers *s, const char *dir)
{
    size_t out = SERVERS_MAX;
    for (size_t i = SERVERS_MAX; i-- != 0;) {
        bool ended = s->at[i].fd != 0 && !servers_runs(s->at[i].fd);
        if (ended && strcmp(s->at[i].dir, dir) == 0) {
            return i;
        }
        out = ended || s->at[i].fd == 0 ? i : out;
    }
    return out;
}

/* Notes who serves a mount that was just made. */
static inline void servers_note(struct servers *s, const char *dir)
{
    pid_t pid = servers_pid(dir);
    int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    size_t i = servers_slot(s, dir);
    if (fd < 0) {
        return;
    }
    if (servers_pid(dir) != pid || i == SERVERS_MAX) { /* another's number by now, perhaps */
        close(fd);
        return;
    }
    if (s->at[i].fd != 0) {
        close(s->at[i].fd);
    }
    s->at[i].fd = fd;
    snprintf(s->at[i].dir, sizeof s->at[i].dir, "%s", dir);
}

/* Those that still run are ended, and then each mount. */
static inline void servers_end(struct servers *s)
{
    for (size_t i = 0; i < SERVERS_MAX; i++) {
        char said[256];
        struct pollfd p = {.fd = s->at[i].fd, .events = POLLIN};
        if (p.fd != 0) {
            (void)syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0);
            (void)poll(&p, 1, SERVERS_MS);
            close(p.fd);
            servers_ask((const char *const[]){"fusermount3", "-u", "-z", "-q", s->at[i].dir, NULL},
                        said, sizeof said);
        }
    }
    memset(s, 0, sizeof *s);
}

#endif
