/* `cis fs mount DIR`, `cis fs umount DIR`. A mount that is not in the foreground is a process of
 * its own, started as the hidden command `__mount`, which answers through a pipe when it is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/fs/fs.h"
#include "cli/fs/mount.h"
#include "fuse/fuse.h"

#define READY_FD 3
#define UMOUNT_NS (60 * CIS_NS_PER_S)

/* ---- serving ---- */

struct serve {
    const struct cis_cli *cli;
    const char *dir;
    int ready_fd; /* -1: in the foreground */
};

static bool is_ready(void *self)
{
    struct serve *s = self;
    if (s->ready_fd >= 0) {
        /* Nothing is named from here on, and the caller's folder may go. */
        bool moved = chdir("/") == 0, told = write(s->ready_fd, "R", 1) == 1;
        close(s->ready_fd);
        s->ready_fd = -1;
        return told && moved;
    }
    if (s->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("mounted", s->dir), CIS_J_INT("pid", getpid())));
        fflush(stdout);
    }
    return true;
}

static cis_code serve(struct cis_cli *cli, struct serve *s, struct cis_error *err)
{
    struct cis_mount_options o = {.dir = s->dir,
                                  .branch = cis_cli_value(cli, "branch"),
                                  .snapshot = cis_cli_value(cli, "snapshot"),
                                  .from = cis_cli_value(cli, "from"),
                                  .read_only = cis_cli_has(cli, "read-only"),
                                  .allow_other = cis_cli_has(cli, "allow-other"),
                                  .ready = is_ready,
                                  .self = s};
    cis_app *app = NULL;
    if (o.from != NULL) {
        CIS_TRY(cis_fs_from(o.from, o.branch != NULL, o.snapshot != NULL, err));
    }
    CIS_TRY(cis_app_open(cli, &app, err));
    cis_code code = cis_mount_serve(app, cli, &o, err);
    cis_app_close(app);
    return code;
}

/* The daemon's side: "E", the code, a space, the message, when it does not come up. */
static int run_daemon(struct cis_cli *cli)
{
    struct serve s = {cli, cli->args[0], READY_FD};
    struct cis_error err = {0};
    cis_code code = serve(cli, &s, &err);
    if (code != CIS_OK && s.ready_fd >= 0) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1024);
        cis_buf_printf(&text, "E%d %s", (int)code, err.msg);
        (void)cis_fd_write_all(s.ready_fd, text.ptr, text.len);
    }
    return code == CIS_OK || code == CIS_E_CANCELLED ? 0 : cis_code_skill_exit(code);
}

static const struct cis_cli_option mount_options[] = {{"foreground", 'f', NULL, false, NULL},
                                                      {"branch", 'b', "NAME", false, NULL},
                                                      {"snapshot", 0, "NAME", false, NULL},
                                                      {"from", 0, "TENANT", false, NULL},
                                                      {"read-only", 'r', NULL, false, NULL},
                                                      {"allow-other", 0, NULL, false, NULL},
                                                      {0}};

const struct cis_cli_command cis_cmd_mount_daemon = {.name = "__mount",
                                                     .options = mount_options,
                                                     .min_args = 1,
                                                     .max_args = 1,
                                                     .hidden = true,
                                                     .run = run_daemon};

/* ---- mount ---- */

extern char **environ;

static cis_code spawn_daemon(const char *const *argv, int ready, pid_t *out_pid,
                             struct cis_error *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ready, READY_FD);
    posix_spawn_file_actions_addclosefrom_np(&files, READY_FD + 1);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    char *args[24];
    memcpy(args, argv, sizeof args); /* posix_spawn changes none of them */
    int rc = posix_spawn(out_pid, argv[0], &files, &attr, args, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return rc == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_INTERNAL, rc, "%s", argv[0]);
}

/* What the daemon says; the end of the pipe without a word: it died. */
static cis_code await(int fd, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf said = CIS_BUF_INIT(1024);
    CIS_TRY(cis_file_read_fd(fd, "mount", &said, err));
    struct cis_str text = cis_buf_view(&said), number;
    uint64_t code;
    if (cis_str_is(text, "R")) {
        return CIS_OK;
    }
    if (text.len < 2 || text.ptr[0] != 'E') {
        return cis_fail(err, CIS_E_INTERNAL, "the mount's process ended before it was ready");
    }
    text.ptr++;
    text.len--;
    cis_str_split(&text, ' ', &number);
    bool known = cis_str_u64(number, &code) && code != CIS_OK && code < CIS_E_COUNT_;
    return cis_fail(err, known ? (cis_code)code : CIS_E_INTERNAL, CIS_STR_FMT, CIS_STR_ARG(text));
}

static cis_code start_daemon(const struct cis_cli *cli, const char *dir, pid_t *out_pid,
                             struct cis_error *err)
{
    static const char *const passed[] = {"branch", "snapshot", "from", "tenant", "store"};
    const char *argv[24] = {cli->program, "__mount", dir};
    size_t n = 3;
    int pipes[2];
    static const char *const names[] = {"--branch", "--snapshot", "--from", "--tenant", "--store"};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        if (cis_cli_value(cli, passed[i]) != NULL) {
            argv[n++] = names[i];
            argv[n++] = cis_cli_value(cli, passed[i]);
        }
    }
    if (cli->home != NULL) {
        argv[n++] = "--home";
        argv[n++] = cli->home;
    }
    if (cis_cli_has(cli, "read-only")) {
        argv[n++] = "--read-only";
    }
    if (cis_cli_has(cli, "allow-other")) {
        argv[n++] = "--allow-other";
    }
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, errno, "mount: cannot make a pipe");
    }
    cis_code code = spawn_daemon(argv, pipes[1], out_pid, err);
    close(pipes[1]);
    if (code == CIS_OK) {
        code = await(pipes[0], err);
    }
    close(pipes[0]);
    return code;
}

static int run_mount(struct cis_cli *cli)
{
    struct cis_error err = {0};
    cis_code code;
    pid_t pid = 0;
    char dir[PATH_MAX];
    if (realpath(cli->args[0], dir) == NULL) {
        code = cis_fail_sys(&err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s",
                            cli->args[0]);
        return cis_cli_fail(cli, &err);
    }
    if (cis_cli_has(cli, "foreground")) {
        struct serve s = {cli, dir, -1};
        code = serve(cli, &s, &err);
    } else {
        code = start_daemon(cli, dir, &pid, &err);
        if (code == CIS_OK && cli->json) {
            cis_cli_object(CIS_JSON(CIS_J("mounted", dir), CIS_J_INT("pid", pid)));
        }
    }
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

const struct cis_cli_command cis_cmd_fs_mount = {
    .name = "fs mount", .options = mount_options, .min_args = 1, .max_args = 1, .run = run_mount};

/* ---- umount ---- */

/* Who serves it, by its control file; 0: this is no mount of ours. */
static pid_t server_of(const char *dir)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(dir, ".tarbox/mount");
    if (path == NULL || cis_file_read(path, &text, NULL) != CIS_OK) {
        return 0;
    }
    json_t *json = json_loadb((const char *)text.ptr, text.len, 0, NULL);
    json_int_t pid = json_integer_value(json_object_get(json, "pid"));
    json_decref(json);
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* Why the last commit failed, as the mount says it: a line, or "". */
static void why_of(const char *dir, char out[160])
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(dir, ".tarbox/last_error");
    if (path == NULL || cis_file_read(path, &text, NULL) != CIS_OK) {
        cis_buf_reset(&text);
    }
    struct cis_str rest = cis_buf_view(&text), line;
    cis_str_split(&rest, '\n', &line);
    snprintf(out, 160, "%.*s", (int)(line.len < 159 ? line.len : 159), line.ptr);
}

/* What was written is safe before the mount goes, and a failure of that is told. */
static cis_code sync_mount(const char *dir, struct cis_error *err)
{
    char why[160];
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    if (rc == 0 || rc == EROFS) {
        return CIS_OK;
    }
    why_of(dir, why);
    return cis_fail_sys(err, CIS_E_IO, rc, "%s: committing%s%s", dir, why[0] != 0 ? ": " : "", why);
}

/* Until the server has ended: then the lease is given back and another mount may come. */
static cis_code await_end(int server, const struct cis_cli *cli, struct cis_error *err)
{
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), UMOUNT_NS), cli->cancel};
    return server >= 0 ? cis_stop_wait(&stop, server, POLLIN, "waiting for the mount's end", err)
                       : CIS_OK;
}

/* Was the server killed? The mount is still there then, and answers nothing. */
static bool is_dead(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0 && errno == ENOTCONN;
}

static int run_umount(struct cis_cli *cli)
{
    struct cis_error err = {0};
    char dir[PATH_MAX];
    pid_t pid = realpath(cli->args[0], dir) != NULL ? server_of(dir) : 0;
    int server = -1; /* by descriptor: nobody may have to reap it */
    cis_code code = CIS_OK;
    bool dead = pid == 0 && is_dead(cli->args[0]);
    if (dead) {
        code = cis_fuse_unmount(cli->args[0], &err);
    } else if (pid == 0) {
        code = cis_fail(&err, CIS_E_NOTFOUND, "%s: not a mount of cis", cli->args[0]);
    }
    if (code == CIS_OK && !dead) {
        server = (int)syscall(SYS_pidfd_open, pid, 0);
        code = sync_mount(dir, &err);
    }
    if (code == CIS_OK && !dead) {
        code = cis_fuse_unmount(dir, &err);
    }
    if (code == CIS_OK) {
        code = await_end(server, cli, &err);
    }
    if (code == CIS_OK && cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_BOOL("unmounted", true)));
    }
    if (server >= 0) {
        close(server);
    }
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

const struct cis_cli_command cis_cmd_fs_umount = {
    .name = "fs umount", .min_args = 1, .max_args = 1, .run = run_umount};
