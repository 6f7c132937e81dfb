/* `cis exec`: a native program on a folder or a branch, with the undo of a run. */
#include "exec/exec.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/runs/program.h"
#include "config/config.h"

#define PROCESSES 512u /* at once, when nothing else is said */
#define STORED_BYTES ((uint64_t)16 << 30)
#define SHOWN_MAX 64u

struct job {
    struct cis_cli *cli;
    cis_app *app;
    struct cis_program_env given; /* mounts and --env */
    struct cis_run_mount mount;
    char *folder; /* real path; NULL: a branch */
    char *inside; /* where it is for the program */
    char *cwd, *place;
    const char **env;
    char *shown[SHOWN_MAX + 1];
    struct cis_exec_options o;
};

static void job_done(struct job *j)
{
    cis_program_env_done(&j->given);
    for (size_t i = 0; i < SHOWN_MAX; i++) {
        cis_free(j->shown[i]);
    }
    cis_free(j->folder);
    cis_free(j->inside);
    cis_free(j->cwd);
    cis_free(j->place);
    cis_free(j->env);
    cis_app_close(j->app);
}

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "out of memory");
}

/* Does the path show what a program must not see, the store with its keys? A folder shows what lies
 * in it; a file must not lie there. */
static cis_code check_shown(struct job *j, const char *path, bool folder, struct cis_error *err)
{
    cis_store *store;
    CIS_TRY(cis_app_store(j->app, &store, err));
    const char *const kept[] = {cis_app_data_dir(j->app), cis_app_config_dir(j->app),
                                cis_app_cache_dir(j->app), store->folder};
    CIS_CLEANUP(cis_freep) char *above = cis_strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
    if (above == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        bool there = false;
        struct stat st;
        if (kept[i] != NULL && stat(kept[i], &st) == 0) {
            CIS_TRY(folder ? cis_folders_meet(path, kept[i], &there, err)
                           : cis_folder_within(above, kept[i], &there, err));
        }
        if (there) {
            return cis_fail(err, CIS_E_DENIED, "%.120s: the store and its keys are there", path);
        }
    }
    return CIS_OK;
}

/* ---- the folder ---- */

/* Places that the sandbox fills itself. */
static cis_code check_guest(const char *path, struct cis_error *err)
{
    static const char *const taken[] = {"/", "/proc", "/dev", "/usr", "/etc", "/bin", "/lib"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        size_t n = strlen(taken[i]);
        bool within = i == 1 || i == 2 ? strncmp(path, taken[i], n) == 0 && path[n] == '/' : false;
        if (strcmp(path, taken[i]) == 0 || within) {
            return cis_fail(err, CIS_E_USAGE,
                            "%.120s: the program and its libraries stand there; give a folder "
                            "below, or HOST::/GUEST:cow",
                            path);
        }
    }
    return CIS_OK;
}

/* Where the program begins: here, when here is within the folder. */
static cis_code take_cwd(struct job *j, struct cis_error *err)
{
    char here[PATH_MAX];
    size_t n = strlen(j->folder);
    if (getcwd(here, sizeof here) == NULL || strncmp(here, j->folder, n) != 0 || here[n] != '/') {
        return CIS_OK;
    }
    j->cwd = cis_path_join(j->inside, here + n + 1);
    j->o.cwd = j->cwd;
    return j->cwd != NULL ? CIS_OK : no_memory(err);
}

static cis_code take_folder(struct job *j, struct cis_error *err)
{
    struct cis_run_mount *m = &j->mount;
    if (m->mode != CIS_MOUNT_COW) {
        return cis_fail(err, CIS_E_USAGE,
                        "--dir %.100s: only %.100s:cow, so that what the program does can be "
                        "undone; --ro shows a folder to it",
                        m->host, m->host);
    }
    char path[PATH_MAX];
    if (realpath(m->host, path) == NULL) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "--dir %.100s",
                            m->host);
    }
    j->folder = cis_strdup(path);
    j->inside = cis_strdup(m->guest_path[0] == '/' ? m->guest_path : path);
    if (j->inside == NULL || j->folder == NULL) {
        return no_memory(err);
    }
    m->host = j->folder;
    m->guest_path = j->inside;
    CIS_TRY(check_guest(j->inside, err));
    CIS_TRY(check_shown(j, j->folder, true, err));
    return take_cwd(j, err);
}

static cis_code take_mount(struct job *j, struct cis_error *err)
{
    struct cis_program_env *w = &j->given;
    w->own_paths = true;
    CIS_TRY(cis_program_mounts(w, j->cli, err));
    if (w->nmounts > 1) {
        return cis_fail(err, CIS_E_USAGE, "one --dir or one --workspace; --ro shows other folders");
    }
    if (w->nmounts == 0) {
        w->mounts[w->nmounts++] =
            (struct cis_run_mount){.guest_path = ".", .host = ".", .mode = CIS_MOUNT_COW};
    }
    if (w->mounts[0].host == NULL) {
        cis_store *store;
        CIS_TRY(cis_app_store(j->app, &store, err));
        struct cis_stop stop = cis_app_stop(j->app);
        struct cis_history h = {store, cis_str_of(j->cli->tenant), &stop, 0};
        CIS_TRY(cis_linked_resolve(w, &h, err));
    }
    j->mount = w->mounts[0];
    if (j->mount.host != NULL) {
        return take_folder(j, err);
    }
    j->inside = j->mount.guest_path[0] == '/' ? cis_strdup(j->mount.guest_path)
                                              : cis_path_join("", j->mount.guest_path);
    j->mount.guest_path = j->inside;
    if (j->inside == NULL) {
        return no_memory(err);
    }
    return j->mount.mode == CIS_MOUNT_RW
               ? check_guest(j->inside, err)
               : cis_fail(err, CIS_E_USAGE, "--workspace: a branch, not a state of one");
}

/* A folder in which mounts of first processes stand, each in its own namespace: nobody else can
 * move it, and it stays empty here. */
static cis_code take_place(struct job *j, struct cis_error *err)
{
    j->place = cis_path_join(cis_app_data_dir(j->app), "exec");
    j->o.place = j->place;
    return j->place != NULL ? cis_file_mkdirs(j->place, 0700, err) : no_memory(err);
}

/* ---- what else it sees ---- */

static cis_code take_shown(struct job *j, struct cis_error *err)
{
    const char *path;
    for (int i = 0; (path = cis_cli_nth(j->cli, "ro", i)) != NULL; i++) {
        if ((unsigned)i == SHOWN_MAX) {
            return cis_fail(err, CIS_E_USAGE, "more than %u times --ro", SHOWN_MAX);
        }
        char real[PATH_MAX];
        struct stat st;
        if (realpath(path, real) == NULL || stat(real, &st) != 0) {
            return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno,
                                "--ro %.100s", path);
        }
        if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
            return cis_fail(err, CIS_E_USAGE, "--ro %.100s: neither a folder nor a file", path);
        }
        CIS_TRY(check_shown(j, real, S_ISDIR(st.st_mode), err));
        j->shown[i] = cis_strdup(real);
        CIS_TRY(j->shown[i] != NULL ? CIS_OK : no_memory(err));
    }
    j->o.shown = (const char *const *)j->shown;
    return CIS_OK;
}

/* What programs need to show text and times as here, and nothing else: an environment is full of
 * keys. */
static cis_code take_env(struct job *j, struct cis_error *err)
{
    static const char *const passed[] = {
        "TERM=",     "COLORTERM=", "LANG=",       "LANGUAGE=",   "LC_ALL=",
        "LC_CTYPE=", "LC_TIME=",   "LC_NUMERIC=", "LC_COLLATE=", "LC_MESSAGES=",
        "TZ=",       "USER=",      "LOGNAME=",    "NO_COLOR="};
    static const char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    extern char **environ;
    size_t n = 0, given = 0, known = sizeof passed / sizeof *passed;
    CIS_TRY(cis_program_env(&j->given, j->cli, j->cli->args, false, err));
    CIS_TRY(cis_program_env_check(&j->given, cis_app_config(j->app)->ai_api_key_env, err));
    while (j->given.env[given] != NULL) {
        given++;
    }
    j->env = cis_calloc(cis_size_add(given, cis_size_add(known, 2)), sizeof *j->env);
    if (j->env == NULL) {
        return no_memory(err);
    }
    j->env[n++] = path;
    for (size_t i = 0; i < known; i++) {
        for (char **e = environ; *e != NULL; e++) {
            if (strncmp(*e, passed[i], strlen(passed[i])) == 0) {
                j->env[n++] = *e;
                break;
            }
        }
    }
    for (size_t i = 0; i < given; i++) {
        j->env[n++] = j->given.env[i];
    }
    j->o.env = j->env;
    return CIS_OK;
}

/* ---- limits ---- */

static cis_code take_limits(struct job *j, struct cis_error *err)
{
    struct cis_exec_options *o = &j->o;
    uint64_t processes = PROCESSES;
    const char *tx = cis_cli_value(j->cli, "tx");
    o->time_ns = CIS_NEVER;
    o->stored_bytes = STORED_BYTES;
    if (!cis_cli_duration(j->cli, "time", &o->time_ns) ||
        !cis_cli_duration(j->cli, "cpu", &o->cpu_ns) ||
        !cis_cli_size(j->cli, "memory", &o->memory_bytes) ||
        !cis_cli_size(j->cli, "stored", &o->stored_bytes) ||
        !cis_cli_number(j->cli, "processes", &processes)) {
        return cis_fail(err, CIS_E_USAGE, "%s", ""); /* told already */
    }
    bool zero = (cis_cli_has(j->cli, "time") && o->time_ns == 0) ||
                (cis_cli_has(j->cli, "memory") && o->memory_bytes == 0) ||
                (cis_cli_has(j->cli, "cpu") && o->cpu_ns == 0) || o->stored_bytes == 0 ||
                processes == 0;
    if (zero || processes > UINT32_MAX) {
        return cis_fail(err, CIS_E_USAGE,
                        "--time, --cpu, --memory, --stored and --processes must not be 0, and "
                        "--processes is at most %u",
                        UINT32_MAX);
    }
    o->processes = (uint32_t)processes;
    if (!cis_program_tx(tx != NULL ? tx : "always", &o->tx)) {
        return cis_fail(err, CIS_E_USAGE,
                        "--tx %.60s: not one of always, commit-on-success, discard", tx);
    }
    return CIS_OK;
}

static cis_code prepare(struct job *j, struct cis_error *err)
{
    struct cis_exec_options *o = &j->o;
    const char *report = cis_cli_value(j->cli, "report");
    CIS_TRY(cis_app_open(j->cli, &j->app, err));
    if (report != NULL) { /* before anything runs: a run that is repeated does its work twice */
        CIS_TRY(cis_file_can_put(report, err));
    }
    CIS_TRY(take_limits(j, err));
    CIS_TRY(take_mount(j, err));
    CIS_TRY(take_env(j, err));
    CIS_TRY(take_shown(j, err));
    CIS_TRY(take_place(j, err));
    CIS_TRY(cis_app_fs_cache(j->app, &o->fs_cache, err));
    o->tenant = j->cli->tenant;
    o->mount = &j->mount;
    o->argv = j->cli->args;
    o->program = j->cli->program;
    o->net = cis_cli_has(j->cli, "net");
    o->host_bytes = cis_app_config(j->app)->host_bytes;
    o->cancel = j->cli->cancel;
    return CIS_OK;
}

/* ---- what is told afterwards ---- */

static int finish(const struct job *j, const struct cis_exec_outcome *out)
{
    struct cis_program_end end = {.id = out->id,
                                  .branch = out->branch,
                                  .dropped = out->dropped_changes,
                                  .folder = j->folder != NULL};
    int exit = out->exited && (out->code == CIS_OK || out->code == CIS_E_FAILED)
                   ? out->exit_code
                   : cis_code_run_exit(out->code);
    if (out->code != CIS_OK && !(out->code == CIS_E_FAILED && out->exited)) {
        cis_cli_say(j->cli, NULL, "%s", out->error.msg);
    }
    if (out->full) {
        cis_cli_say(j->cli, NULL,
                    "the program was told that there is no room: what it stores is at most %llu "
                    "bytes (--stored)",
                    (unsigned long long)j->o.stored_bytes);
    }
    if (out->special != 0 && j->folder != NULL && out->branch[0] != 0) {
        cis_cli_say(
            j->cli, NULL,
            "fifos, sockets and devices that it left: %llu; `cis runs apply` leaves them out",
            (unsigned long long)out->special);
    }
    if (j->cli->json) {
        cis_cli_out(out->report.ptr, out->report.len);
        cis_cli_printf("\n");
    }
    return cis_program_end(j->cli, &end, cis_buf_bytes(&out->report), exit);
}

static int run(struct cis_cli *cli)
{
    CIS_CLEANUP(job_done) struct job j = {.cli = cli, .given = CIS_PROGRAM_WORLD_INIT};
    struct cis_exec_outcome out = {.code = CIS_OK};
    struct cis_error err = {0};
    cis_code code = prepare(&j, &err);
    if (code == CIS_OK) {
        code = cis_exec_run(&j.o, &out, &err);
    }
    int exit = cis_code_run_exit(code);
    if (code == CIS_OK) {
        exit = finish(&j, &out);
    } else if (code != CIS_E_USAGE || err.msg[0] != 0) {
        cis_cli_fail(cli, &err);
    }
    cis_exec_outcome_done(&out);
    return exit;
}

static const struct cis_cli_option options[] = {{"dir", 0, "HOST[::GUEST]:cow", false, NULL},
                                                {"workspace", 'w', "GUEST[=BRANCH]", false, NULL},
                                                {"ro", 0, "PATH", true, NULL},
                                                {"net", 0, NULL, false, NULL},
                                                {"env", 0, "NAME[=VALUE]", true, NULL},
                                                {"tx", 0, "WHEN", false, NULL},
                                                {"time", 0, "TIME", false, NULL},
                                                {"cpu", 0, "TIME", false, NULL},
                                                {"memory", 0, "SIZE", false, NULL},
                                                {"processes", 0, "N", false, NULL},
                                                {"stored", 0, "SIZE", false, NULL},
                                                {"report", 0, "FILE", false, NULL},
                                                {0}};

const struct cis_cli_command cis_cmd_exec = {.name = "exec",
                                             .options = options,
                                             .min_args = 1,
                                             .max_args = -1,
                                             .foreign = true,
                                             .alone = "w/workspace=main",
                                             .run = run};
