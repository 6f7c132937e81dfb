/* A control group for the run, where this process may make one (root; a delegated group). It holds
 * what a bomb of processes starts in the quarter of a second between two looks, and it is the only
 * limit of processes that root has. Without one the other limits stand alone.
 *
 * To move a process takes the kernel 10 ms: it waits for every processor. A thread that goes by
 * itself waits for nobody, and the first process has one thread; only the older hierarchies take
 * threads. Either way nothing of the program begins before its process was seen in the group. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "exec/internal.h"

#define NAME "cis-exec-"
#define ATTEMPTS 5

static bool put(const char *folder, const char *name, const char *text)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(folder, name);
    int fd = path != NULL ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        close(fd);
    }
    return done;
}

/* Where groups of this process with a limit of processes are: of the one hierarchy, or of the one
 * that has this limit. "N:CONTROLLERS:PATH" a line; the one hierarchy has no controllers. */
static bool find_base(char *out, size_t size)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    if (cis_file_read("/proc/self/cgroup", &text, NULL) != CIS_OK) {
        return false;
    }
    struct cis_str rest = cis_buf_view(&text), line, number, controllers;
    while (rest.len != 0) {
        cis_str_split(&rest, '\n', &line);
        bool good = cis_str_split(&line, ':', &number) && cis_str_split(&line, ':', &controllers);
        const char *mount = !good                             ? NULL
                            : cis_str_is(controllers, "pids") ? "/sys/fs/cgroup/pids"
                            : controllers.len == 0            ? "/sys/fs/cgroup"
                                                              : NULL;
        struct stat st;
        int n =
            mount != NULL ? snprintf(out, size, "%s" CIS_STR_FMT, mount, CIS_STR_ARG(line)) : -1;
        char probe[4200];
        if (n > 0 && (size_t)n < size) {
            snprintf(probe, sizeof probe, "%s/cgroup.procs", out);
            if (stat(probe, &st) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Of runs that were killed: what is empty goes, what is not stays. */
static void sweep(const char *base)
{
    DIR *dir = opendir(base);
    for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
        if (strncmp(d->d_name, NAME, sizeof NAME - 1) == 0) {
            (void)unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* Limited, and empty. */
static bool make_once(const char *group, const struct cis_exec_options *o)
{
    char text[24];
    if (mkdir(group, 0755) != 0) {
        return false;
    }
    snprintf(text, sizeof text, "%" PRIu32, o->processes);
    if (!put(group, "pids.max", text)) { /* the one hierarchy has to be asked for it */
        (void)put(group, "../cgroup.subtree_control", "+pids +memory");
    }
    bool limited = put(group, "pids.max", text);
    snprintf(text, sizeof text, "%" PRIu64, o->memory_bytes);
    if (o->memory_bytes != 0) {
        (void)put(group, "memory.max", text);
        (void)put(group, "memory.swap.max", "0");
    }
    if (!limited) {
        (void)rmdir(group);
    }
    return limited;
}

static void forget(struct exec_sandbox *s)
{
    cis_free(cis_take(&s->group));
    cis_free(cis_take(&s->group_door));
}

void cis_exec_group_make(struct exec_sandbox *s, const struct cis_exec_options *o, const char *id)
{
    char base[4096], name[64];
    if (o->processes == 0 || !find_base(base, sizeof base)) {
        return;
    }
    sweep(base);
    snprintf(name, sizeof name, NAME "%s", id);
    s->group = cis_path_join(base, name);
    bool made = false;
    for (int i = 0; s->group != NULL && !made && i < ATTEMPTS; i++) {
        made = make_once(s->group, o);
    }
    if (!made) {
        forget(s);
        return;
    }
    s->group_door = cis_path_join(s->group, "tasks");
    if (s->group_door != NULL && access(s->group_door, W_OK) != 0) {
        cis_free(cis_take(&s->group_door));
    }
}

bool cis_exec_group_enter(const char *door)
{
    int fd = open(door, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, "0", 1) == 1;
    if (fd >= 0) {
        close(fd);
    }
    return done;
}

static bool is_in(const struct exec_sandbox *s)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(s->group, "cgroup.procs");
    if (path == NULL || cis_file_read(path, &text, NULL) != CIS_OK) {
        return false;
    }
    char pid[24];
    snprintf(pid, sizeof pid, "%d", (int)s->pid);
    struct cis_str rest = cis_buf_view(&text), line;
    while (rest.len != 0) {
        cis_str_split(&rest, '\n', &line);
        if (cis_str_is(line, pid)) {
            return true;
        }
    }
    return false;
}

/* Another run's sweep takes a group that nobody is in yet. */
void cis_exec_group_join(struct exec_sandbox *s, const struct cis_exec_options *o)
{
    char pid[24];
    snprintf(pid, sizeof pid, "%d", (int)s->pid);
    for (int i = 0; s->group != NULL && i < ATTEMPTS; i++) {
        if (is_in(s) || put(s->group, "cgroup.procs", pid)) {
            return;
        }
        (void)make_once(s->group, o);
    }
    if (s->group != NULL) {
        (void)rmdir(s->group);
        forget(s);
    }
}

void cis_exec_group_remove(struct exec_sandbox *s)
{
    if (s->group != NULL) {
        (void)rmdir(s->group);
        forget(s);
    }
}
