/* Memory and processes of everything below one process, the folders in memory among it; a thread
 * counts as one, as for the kernel's own limits. A limit of a process is not one of all of them,
 * and root has none: this is the same on every machine, without a cgroup of our own. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include "base/mem.h"
#include "exec/internal.h"

/* What the kernel holds beside: of a file in memory, however empty; of a pipe for each of its two
 * ends once the user has many of them (two pages in all). */
#define INODE_BYTES 1024u
#define END_BYTES 4096u

enum whose { UNKNOWN, OURS, OTHERS };

struct seen {
    pid_t pid, parent;
    uint64_t pages;
    uint32_t threads;
    enum whose whose;
};

/* "PID (NAME) STATE PPID …": the name may hold blanks and parentheses. Field 20 is how
 * many threads it has, 24 the resident set. */
static bool read_one(const char *name, struct seen *out)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%.20s/stat", name);
    FILE *f = fopen(path, "re");
    size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f != NULL) {
        fclose(f);
    }
    text[n] = 0;
    char *at = strrchr(text, ')');
    if (at == NULL) {
        return false;
    }
    int parent = 0;
    unsigned threads = 0;
    unsigned long long pages = 0;
    /* 3 state, 4 ppid, … 20 threads, … 24 rss */
    if (sscanf(at + 1,
               " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u %*d %*u "
               "%*u %llu",
               &parent, &threads, &pages) != 3) {
        return false;
    }
    *out = (struct seen){(pid_t)strtol(name, NULL, 10), parent, pages, threads, UNKNOWN};
    return true;
}

static bool read_all(struct seen **out, size_t *out_n)
{
    size_t n = 0, cap = 0;
    struct seen *all = NULL;
    DIR *proc = opendir("/proc");
    bool good = proc != NULL;
    for (struct dirent *d; good && (d = readdir(proc)) != NULL;) {
        if (!isdigit((unsigned char)d->d_name[0])) {
            continue;
        }
        if (n == cap) {
            size_t more = cis_cap_next(cap, 256, CIS_MEM_MAX);
            struct seen *grown = more > cap ? cis_realloc_array(all, more, sizeof *all) : NULL;
            good = grown != NULL;
            all = good ? grown : all;
            cap = good ? more : cap;
        }
        n += good && read_one(d->d_name, &all[n]);
    }
    if (proc != NULL) {
        closedir(proc);
    }
    *out = all;
    *out_n = n;
    return good;
}

static int by_pid(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static struct seen *parent_of(struct seen *all, size_t n, const struct seen *one)
{
    struct seen key = {.pid = one->parent};
    struct seen *up = bsearch(&key, all, n, sizeof *all, by_pid);
    return up != one ? up : NULL;
}

/* Up from one to the first whose answer is known, and down again with it: all together it is linear
 * but for the searches. A list that changed while it was read may have a circle: n steps end it. */
static enum whose check(struct seen *all, size_t n, struct seen *one, pid_t top)
{
    enum whose answer = OTHERS;
    struct seen *at = one;
    for (size_t steps = 0; at != NULL && steps < n; steps++, at = parent_of(all, n, at)) {
        if (at->whose != UNKNOWN || at->parent == top) {
            answer = at->parent == top ? OURS : at->whose;
            break;
        }
    }
    at = one;
    for (size_t steps = 0; at != NULL && at->whose == UNKNOWN && steps < n; steps++) {
        at->whose = answer;
        at = at->parent == top ? NULL : parent_of(all, n, at);
    }
    return answer;
}

/* Descriptors that a process has open; before Linux 6.2 nobody tells. */
static uint64_t open_files(pid_t pid)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    return stat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

static uint64_t in_memory(int scratch_fd)
{
    struct statfs st;
    if (scratch_fd < 0 || fstatfs(scratch_fd, &st) != 0) {
        return 0;
    }
    return (st.f_blocks - st.f_bfree) * (uint64_t)st.f_bsize +
           (st.f_files - st.f_ffree) * (uint64_t)INODE_BYTES;
}

static void count(struct exec_usage *usage, uint64_t memory, uint64_t scratch, uint32_t processes)
{
    usage->memory_bytes = memory + scratch;
    usage->scratch_bytes = scratch;
    usage->processes = processes;
    usage->memory_peak =
        usage->memory_bytes > usage->memory_peak ? usage->memory_bytes : usage->memory_peak;
    usage->scratch_peak = scratch > usage->scratch_peak ? scratch : usage->scratch_peak;
    usage->processes_peak = processes > usage->processes_peak ? processes : usage->processes_peak;
}

bool cis_exec_look(const struct exec_sandbox *s, struct exec_usage *usage)
{
    struct seen *all = NULL;
    size_t n = 0;
    uint64_t memory = 0, page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint32_t processes = 0;
    bool good = read_all(&all, &n);
    if (good && n != 0) {
        qsort(all, n, sizeof *all, by_pid);
    }
    for (size_t i = 0; good && i < n; i++) {
        if (check(all, n, &all[i], s->pid) == OURS) {
            memory += all[i].pages * page + open_files(all[i].pid) * END_BYTES;
            processes += all[i].threads != 0 ? all[i].threads : 1; /* a dead one has none */
        }
    }
    cis_free(all);
    if (good) {
        count(usage, memory, in_memory(s->scratch_fd), processes);
    }
    return good;
}
