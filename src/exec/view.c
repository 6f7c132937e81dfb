/* What a native program sees of the machine, as arguments for bubblewrap. What is not named here is
 * not there: the home folders, the store with its keys, sockets of other programs, their processes.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "exec/internal.h"

#define SCRATCH_BYTES ((uint64_t)2 << 30) /* when --memory does not say */

void cis_exec_args_add(struct exec_args *a, const char *text)
{
    if (a->failed) {
        return;
    }
    if (a->n + 1 >= a->cap) {
        size_t cap = cis_cap_next(a->cap, 64, CIS_MEM_MAX);
        const char **more =
            cap > a->cap ? cis_realloc_array((void *)a->items, cap, sizeof *more) : NULL;
        a->failed = more == NULL;
        if (a->failed) {
            return;
        }
        a->items = more;
        a->cap = cap;
    }
    a->items[a->n++] = text;
    a->items[a->n] = NULL;
}

void cis_exec_args_done(struct exec_args *a)
{
    for (size_t i = 0; i < a->ntexts; i++) {
        cis_free(a->texts[i]);
    }
    cis_free(a->texts);
    cis_free((void *)a->items);
    *a = (struct exec_args){0};
}

cis_code cis_exec_args_file(const struct exec_args *a, int *out_fd, struct cis_error *err)
{
    int fd = memfd_create("cis-exec-view", MFD_CLOEXEC);
    int rc = fd < 0 ? errno : 0;
    for (size_t i = 0; i < a->command && rc == 0; i++) {
        rc = cis_fd_write_all(fd, a->items[i], strlen(a->items[i]) + 1);
    }
    rc = rc == 0 && lseek(fd, 0, SEEK_SET) != 0 ? errno : rc;
    if (rc != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return cis_fail_sys(err, CIS_E_INTERNAL, rc, "the arguments of the sandbox");
    }
    *out_fd = fd;
    return CIS_OK;
}

static void add2(struct exec_args *a, const char *first, const char *second)
{
    cis_exec_args_add(a, first);
    cis_exec_args_add(a, second);
}

static void add3(struct exec_args *a, const char *first, const char *second, const char *third)
{
    add2(a, first, second);
    cis_exec_args_add(a, third);
}

const char *cis_exec_args_own(struct exec_args *a, char *text)
{
    char **more =
        text != NULL ? cis_realloc_array(a->texts, cis_size_add(a->ntexts, 1), sizeof *more) : NULL;
    if (more == NULL) {
        cis_free(text);
        a->failed = true;
        return "";
    }
    a->texts = more;
    a->texts[a->ntexts++] = text;
    return text;
}

/* Programs, libraries and their settings. A link stays one: /bin is usually a link to usr/bin. */
static void add_system(struct exec_args *a)
{
    static const char *const folders[] = {"/usr",   "/bin",   "/sbin",   "/lib", "/etc",
                                          "/lib32", "/lib64", "/libx32", "/opt"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct stat st;
        char target[PATH_MAX];
        if (lstat(folders[i], &st) != 0) {
            continue;
        }
        ssize_t n = S_ISLNK(st.st_mode) ? readlink(folders[i], target, sizeof target - 1) : -1;
        if (n > 0) {
            add3(a, "--symlink", cis_exec_args_own(a, cis_strndup(target, (size_t)n)), folders[i]);
        } else if (S_ISDIR(st.st_mode)) {
            add3(a, "--ro-bind", folders[i], folders[i]);
        }
    }
}

uint64_t cis_exec_scratch(uint64_t memory_bytes)
{
    return memory_bytes != 0 ? memory_bytes / 2 : SCRATCH_BYTES;
}

/* A folder that the first process made below its place. */
static void add_made(struct exec_args *a, const char *place, const char *name, const char *inside)
{
    add3(a, "--bind", cis_exec_args_own(a, cis_path_join(place, name)), inside);
}

static void add_scratch(struct exec_args *a, const char *place)
{
    add2(a, "--proc", "/proc");
    cis_exec_hide_kernel(a);
    /* Who is root outside is its owner inside, too, and could set the kernel by /proc/sys. */
    add2(a, "--remount-ro", "/proc");
    add2(a, "--dev", "/dev");
    add_made(a, place, EXEC_SHM, "/dev/shm");
    add2(a, "--remount-ro", "/dev");
    add_made(a, place, EXEC_TMP, "/tmp");
    add_made(a, place, EXEC_VAR_TMP, "/var/tmp");
    add_made(a, place, EXEC_RUN, "/run");
}

/* Names are asked of whom /etc/resolv.conf names, which is often a link to /run. */
static void add_resolver(struct exec_args *a)
{
    char path[PATH_MAX];
    if (realpath("/etc/resolv.conf", path) != NULL && strncmp(path, "/run/", 5) == 0) {
        add3(a, "--ro-bind", cis_exec_args_own(a, cis_strdup(path)),
             cis_exec_args_own(a, cis_strdup(path)));
    }
}

static void add_environment(struct exec_args *a, const char *const *env)
{
    cis_exec_args_add(a, "--clearenv");
    for (size_t i = 0; env[i] != NULL; i++) {
        struct cis_str value = cis_str_of(env[i]), name;
        if (cis_str_split(&value, '=', &name) && name.len != 0) {
            const char *n = cis_exec_args_own(a, cis_strndup(name.ptr, name.len));
            add3(a, "--setenv", n, cis_exec_args_own(a, cis_strndup(value.ptr, value.len)));
        }
    }
    add3(a, "--setenv", "HOME", EXEC_HOME);
}

static void add_walls(struct exec_args *a, bool net, bool terminal)
{
    static const char *const walls[] = {
        "--unshare-user", "--disable-userns",     "--unshare-pid",    "--unshare-ipc",
        "--unshare-uts",  "--unshare-cgroup-try", "--die-with-parent"};
    for (size_t i = 0; i < sizeof walls / sizeof *walls; i++) {
        cis_exec_args_add(a, walls[i]);
    }
    if (!net) {
        cis_exec_args_add(a, "--unshare-net");
    }
    if (!terminal) { /* else the program makes its own session, on a terminal of its own */
        cis_exec_args_add(a, "--new-session");
    }
    add2(a, "--cap-drop", "ALL");
}

cis_code cis_exec_view(const struct cis_exec_options *o, bool terminal, struct exec_args *out,
                       struct cis_error *err)
{
    struct exec_args *a = out;
    const char *files = o->mount->guest_path;
    add_walls(a, o->net, terminal);
    add_system(a);
    add_scratch(a, o->place);
    if (o->net) {
        add_resolver(a);
    }
    for (size_t i = 0; o->shown != NULL && o->shown[i] != NULL; i++) {
        add3(a, "--ro-bind", o->shown[i], o->shown[i]);
    }
    add_made(a, o->place, EXEC_FILES, files);
    add2(a, "--remount-ro", "/");
    add_environment(a, o->env);
    add2(a, "--chdir", o->cwd != NULL ? o->cwd : files);
    add2(a, "--seccomp", "4");
    add2(a, "--json-status-fd", "5");
    a->command = a->n;
    if (terminal) {
        add3(a, "/usr/bin/setsid", "--ctty", "--wait");
        cis_exec_args_add(a, "--");
    }
    for (size_t i = 0; o->argv[i] != NULL; i++) {
        cis_exec_args_add(a, o->argv[i]);
    }
    return a->failed ? cis_fail(err, CIS_E_NOMEM, "out of memory") : CIS_OK;
}
