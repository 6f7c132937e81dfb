/* A native program's run from its beginning to its end. */
#include "exec/exec.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/process.h"
#include "exec/internal.h"
#include "fuse/fuse.h"
#include "run/report.h"
#include "store/calls.h"

#define REPORT_MAX ((size_t)8 << 20)
#define LOOK_NS (30 * CIS_NS_PER_S)   /* for saying what was changed */
#define COMMIT_NS (60 * CIS_NS_PER_S) /* for keeping it */
#define WATCH_NS (250 * CIS_NS_PER_MS)
#define UNMOUNT_NS (20 * CIS_NS_PER_S)
#define KEEP_MS                                                                                    \
    1000u /* how long the kernel trusts what it knows of a folder that others change               \
           */

struct job {
    const struct cis_exec_options *o;
    struct cis_exec_outcome *out;
    struct cis_budget budget;
    cis_run_files *files;
    struct exec_sandbox sandbox;
    struct exec_terminal terminal;
    struct exec_usage usage;
    cis_fuse *fuse;
    pthread_t server;
    bool serving;
    int served; /* an eventfd, readable when the server has ended */
    struct cis_stop stop;
    int64_t started_ms;
    uint64_t started_ns;
};

static struct cis_stop stop_after(uint64_t ns)
{
    return (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), ns), NULL};
}

/* ---- the files ---- */

static cis_code open_files(struct job *j, struct cis_error *err)
{
    const struct cis_exec_options *o = j->o;
    char name[CIS_EXEC_NAME_MAX];
    cis_exec_name(o, name);
    struct cis_run_files_options f = {.fs_cache = o->fs_cache,
                                      .store = cis_fs_cache_store(o->fs_cache),
                                      .tenant = o->tenant,
                                      .run_id = j->out->id,
                                      .note = name,
                                      .mounts = o->mount,
                                      .nmounts = 1,
                                      .budget = &j->budget,
                                      .stored_max = o->stored_bytes,
                                      .stop = &j->stop};
    return cis_run_files_open(&f, &j->files, err);
}

static void *serve(void *arg)
{
    struct job *j = arg;
    struct cis_error err;
    (void)cis_fuse_run(j->fuse, &err); /* it ends with the sandbox */
    (void)eventfd_write(j->served, 1);
    return NULL;
}

static cis_code serve_files(struct job *j, struct cis_error *err)
{
    struct cis_fuse_options f = CIS_FUSE_OPTIONS_INIT;
    f.exclusive = j->o->mount->host == NULL; /* a branch as the run saw it first */
    f.keep_ms = KEEP_MS;
    f.mounted_fd = j->sandbox.fuse_fd;
    cis_code code =
        cis_fuse_mount(cis_run_files_vfs(j->files, 0), j->o->mount->guest_path, &f, &j->fuse, err);
    j->sandbox.fuse_fd = -1;
    CIS_TRY(code);
    j->served = eventfd(0, EFD_CLOEXEC);
    if (j->served < 0) {
        return cis_fail_sys(err, CIS_E_LIMIT, errno, "an eventfd");
    }
    int rc = pthread_create(&j->server, NULL, serve, j);
    j->serving = rc == 0;
    return rc == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_LIMIT, rc, "a thread");
}

/* Waits for it. pthread_clockjoin_np would do, but the thread sanitizer does not know it. */
static bool server_ends(const struct job *j)
{
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), UNMOUNT_NS);
    struct pollfd p = {.fd = j->served, .events = POLLIN};
    int rc;
    do {
        rc = poll(&p, 1, cis_clock_poll_ms(until));
    } while (rc < 0 && errno == EINTR);
    return rc > 0;
}

/* After the sandbox: the kernel ends the mount with its namespace, what was written last comes
 * before that. */
static void end_serving(struct job *j)
{
    if (j->serving) {
        if (!server_ends(j)) {
            cis_fuse_stop(j->fuse);
        }
        pthread_join(j->server, NULL);
        j->serving = false;
    }
    if (j->served >= 0) {
        close(j->served);
        j->served = -1;
    }
    cis_fuse_free(j->fuse);
    j->fuse = NULL;
}

/* ---- while it runs ---- */

static cis_code check_usage(struct job *j, struct cis_error *err)
{
    const struct cis_exec_options *o = j->o;
    if (!cis_exec_look(&j->sandbox, &j->usage)) {
        return CIS_OK; /* the next look will tell */
    }
    if (o->memory_bytes != 0 && j->usage.memory_bytes > o->memory_bytes) {
        return cis_fail(err, CIS_E_MEMORY,
                        "memory limit reached: its processes hold %" PRIu64 " bytes, %" PRIu64
                        " of them as files in memory, of %" PRIu64 " (--memory)",
                        j->usage.memory_bytes, j->usage.scratch_bytes, o->memory_bytes);
    }
    if (o->processes != 0 && j->usage.processes > o->processes) {
        return cis_fail(err, CIS_E_LIMIT,
                        "limit of processes reached: %" PRIu32 ", at most %" PRIu32
                        " at once (--processes)",
                        j->usage.processes, o->processes);
    }
    return CIS_OK;
}

/* Until the sandbox has ended, or must. */
static cis_code attend(struct job *j, struct cis_error *err)
{
    uint64_t look_ns = cis_clock_after(cis_clock_mono_ns(), WATCH_NS);
    bool talks = j->terminal.used, heard = false;
    for (;;) {
        struct pollfd fds[2 + EXEC_TERMINAL_FDS + 1] = {
            {.fd = j->sandbox.pidfd, .events = POLLIN},
            {.fd = heard ? -1 : j->sandbox.status_fd, .events = POLLIN}};
        cis_exec_terminal_poll(&j->terminal, fds + 2);
        size_t n = talks ? 2 + EXEC_TERMINAL_FDS : 2, ready = 0;
        CIS_TRY(cis_stop_wait_many(&j->stop, fds, n, look_ns, "exec", &ready, err));
        if (talks) {
            talks = cis_exec_terminal_relay(&j->terminal, fds + 2);
        }
        if (fds[1].revents != 0 && !cis_exec_hear(&j->sandbox)) {
            heard = true; /* a pipe without a writer is ready for ever: this would spin */
        }
        if (fds[0].revents != 0) {
            return CIS_OK;
        }
        if (cis_clock_mono_ns() >= look_ns) {
            CIS_TRY(check_usage(j, err));
            look_ns = cis_clock_after(cis_clock_mono_ns(), WATCH_NS);
        }
    }
}

static void check_exit(struct job *j, cis_code code)
{
    struct cis_exec_outcome *out = j->out;
    struct cis_error why;
    cis_code ended = cis_exec_reap(&j->sandbox, &out->exit_code, &why);
    if (code != CIS_OK) {
        out->code = code;
        if (code == CIS_E_DEADLINE) {
            cis_fail(&out->error, code, "time limit of %" PRIu64 " ms reached (--time)",
                     (uint64_t)(j->o->time_ns / CIS_NS_PER_MS));
        }
        return;
    }
    out->exited = ended == CIS_OK;
    if (ended != CIS_OK) {
        out->code = cis_fail(&out->error, ended, "%s", why.msg);
    } else if (out->exit_code != 0) {
        out->code = cis_fail(&out->error, CIS_E_FAILED, "exited with code %d", out->exit_code);
    }
}

/* CIS_OK: there is an outcome. */
static cis_code run_program(struct job *j, struct cis_error *err)
{
    const struct cis_exec_options *o = j->o;
    CIS_CLEANUP(cis_exec_args_done) struct exec_args args = {0};
    int std[3] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    CIS_TRY(cis_exec_terminal_open(&j->terminal, err));
    for (int i = 0; i < 3 && j->terminal.used; i++) {
        std[i] = i < 2 || isatty(STDERR_FILENO) ? j->terminal.program : std[i];
    }
    CIS_TRY(cis_exec_view(o, j->terminal.used, &args, err));
    cis_exec_group_make(&j->sandbox, o, j->out->id);
    CIS_TRY(cis_exec_start(o, &args, std, &j->sandbox, err));
    cis_exec_group_join(&j->sandbox, o);
    CIS_TRY(serve_files(j, err));
    cis_exec_terminal_began(&j->terminal);
    CIS_TRY(cis_exec_go(&j->sandbox, err));
    cis_code code = attend(j, &j->out->error);
    if (code != CIS_OK) {
        cis_exec_kill(&j->sandbox);
    }
    check_exit(j, code);
    cis_exec_terminal_drain(&j->terminal);
    return CIS_OK;
}

/* ---- what it changed ---- */

static void report(struct job *j, const struct cis_file_changes *changes, enum cis_run_keeping how,
                   int64_t ended_ms)
{
    bool any = changes->unknown ||
               changes->added + changes->modified + changes->removed + changes->renamed != 0;
    struct exec_record r = {.o = j->o,
                            .outcome = j->out,
                            .files = j->files,
                            .changes = changes,
                            .usage = &j->usage,
                            .budget = &j->budget,
                            .started_ms = j->started_ms,
                            .ended_ms = ended_ms,
                            .wall_ns = cis_clock_mono_ns() - j->started_ns,
                            .committed = how == CIS_KEEP && any};
    cis_exec_report(&r, &j->out->report);
}

static cis_code write_once(struct job *j, const struct cis_file_changes *changes,
                           enum cis_run_keeping how, int64_t ended_ms, struct cis_error *err)
{
    struct cis_exec_outcome *out = j->out;
    char name[CIS_EXEC_NAME_MAX];
    cis_exec_name(j->o, name);
    report(j, changes, how, ended_ms);
    CIS_TRY(cis_buf_check(&out->report, "report", err));
    struct cis_run_row row = {.skill = cis_str_of(name),
                              .status = cis_str_of(cis_run_status(out->code)),
                              .exit_code =
                                  out->exited ? out->exit_code : cis_code_run_exit(out->code),
                              .started_ms = j->started_ms,
                              .ended_ms = ended_ms,
                              .report = cis_buf_view(&out->report)};
    memcpy(row.id, out->id, sizeof row.id);
    struct cis_store_commit with = {.run = &row, .note = name};
    struct cis_stop stop = stop_after(COMMIT_NS);
    return cis_run_files_write(j->files, how, cis_fs_cache_store(j->o->fs_cache),
                               cis_str_of(j->o->tenant), &with, &stop, err);
}

static void write_all(struct job *j, const struct cis_file_changes *changes,
                      enum cis_run_keeping how)
{
    int64_t ended_ms = cis_clock_wall_ms();
    for (bool last = false;;) {
        struct cis_error why;
        cis_code code = write_once(j, changes, how, ended_ms, &why);
        if (code == CIS_OK) {
            break;
        }
        if (how == CIS_KEEP || j->out->code == CIS_OK) {
            j->out->code = code;
            j->out->error = why;
        }
        if (last) {
            break;
        }
        how = cis_run_files_next(j->files, how, code);
        last = how == CIS_KEEP_NOTHING;
    }
    size_t n = 0;
    const struct cis_run_mounted *m = cis_run_files_mounted(j->files, &n);
    if (n == 1 && m->committed) {
        j->out->commit = m->after;
        snprintf(j->out->branch, sizeof j->out->branch, "%s",
                 m->fork != NULL ? m->fork : m->branch);
    }
    report(j, changes, how, ended_ms); /* with what is known only now */
}

static void keep(struct job *j)
{
    const struct cis_exec_options *o = j->o;
    bool good = j->out->code == CIS_OK || o->tx == CIS_TX_ALWAYS;
    bool keeps = o->tx != CIS_TX_DISCARD && good;
    CIS_CLEANUP(cis_file_changes_done) struct cis_file_changes changes = {0};
    struct cis_stop look = stop_after(LOOK_NS);
    cis_file_changes_collect(j->files, &look, &changes);
    j->out->special = changes.special;
    bool changed = cis_run_files_dirty(j->files);
    j->out->stored = cis_run_files_stored(j->files, &j->out->full);
    if (!keeps) {
        cis_run_files_plan_nothing(j->files);
        cis_run_files_discard(j->files);
    }
    write_all(j, &changes, keeps ? CIS_KEEP : CIS_KEEP_NOTHING);
    j->out->dropped_changes = changed && j->out->branch[0] == 0 && o->tx != CIS_TX_DISCARD;
}

/* ---- all of it ---- */

static cis_code check_machine(struct cis_error *err)
{
    if (!cis_process_exists(EXEC_BWRAP)) {
        return cis_fail(err, CIS_E_UNSUPPORTED,
                        "bwrap is not installed (Debian's package is bubblewrap)");
    }
    if (access("/dev/fuse", R_OK | W_OK) != 0) {
        return cis_fail_sys(err, CIS_E_UNSUPPORTED, errno, "/dev/fuse");
    }
    return CIS_OK;
}

/* From a folder that it has open a program goes wherever it likes. */
static cis_code check_given(struct cis_error *err)
{
    for (int fd = 0; fd < 3; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
            return cis_fail(err, CIS_E_USAGE,
                            "descriptor %d is a folder of the machine: a program would get out "
                            "through it; give a file, or --ro",
                            fd);
        }
    }
    return CIS_OK;
}

cis_code cis_exec_ready(const char *program, const char *place, struct cis_error *err)
{
    const struct cis_exec_options o = {.program = program, .place = place};
    const int std[3] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    CIS_CLEANUP(cis_exec_args_done) struct exec_args args = {0};
    CIS_CLEANUP(cis_exec_sandbox_done) struct exec_sandbox sandbox = EXEC_SANDBOX_INIT;
    CIS_TRY(check_machine(err));
    cis_exec_args_add(&args, "true"); /* never comes so far */
    return cis_exec_start(&o, &args, std, &sandbox, err);
}

static void job_done(struct job *j)
{
    cis_exec_sandbox_done(&j->sandbox);
    end_serving(j);
    cis_exec_terminal_close(&j->terminal);
    cis_run_files_close(j->files);
}

void cis_exec_outcome_done(struct cis_exec_outcome *outcome)
{
    cis_buf_done(&outcome->report);
}

cis_code cis_exec_run(const struct cis_exec_options *o, struct cis_exec_outcome *out,
                      struct cis_error *err)
{
    CIS_CLEANUP(job_done)
    struct job j = {.o = o,
                    .out = out,
                    .budget = {.limit = o->host_bytes},
                    .sandbox = EXEC_SANDBOX_INIT,
                    .served = -1,
                    .terminal = EXEC_TERMINAL_INIT,
                    .started_ms = cis_clock_wall_ms(),
                    .started_ns = cis_clock_mono_ns()};
    *out = (struct cis_exec_outcome){.report = CIS_BUF_INIT(REPORT_MAX)};
    j.stop = (struct cis_stop){
        o->time_ns == CIS_NEVER ? CIS_NEVER : cis_clock_after(j.started_ns, o->time_ns), o->cancel};
    cis_id_new(out->id);
    CIS_TRY(check_given(err));
    CIS_TRY(check_machine(err));
    CIS_TRY(open_files(&j, err));
    CIS_TRY(run_program(&j, err));
    end_serving(&j);
    cis_exec_terminal_close(&j.terminal);
    keep(&j);
    return CIS_OK;
}
