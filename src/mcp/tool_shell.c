/* The tool shell: a script, by an interpreter that is a guest as any other, on the served tree. One
 * run; what the script changed is kept whatever its exit code is. */
#include "mcp/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#define MODULE_MAX ((size_t)256 << 20)
#define OUTPUT_MAX ((size_t)256 << 10) /* of each of its two streams */

struct job {
    struct mcp_call *call;
    struct cis_buf file;
    const char *words[6];
    struct cis_run_program program;
    struct cis_run_mount mount;
    struct cis_run_request request;
    struct cis_grants none;
    cis_engine_module *module;
    struct cis_run_outcome outcome;
};

static void job_done(struct job *j)
{
    cis_run_outcome_done(&j->outcome);
    cis_engine_module_unref(j->module);
    cis_grants_done(&j->none);
    cis_buf_done(&j->file);
}

static cis_code read_module(void *self, int fd, struct cis_bytes *out, struct cis_error *err)
{
    struct job *j = self;
    CIS_TRY(cis_file_read_fd(fd, "shell", &j->file, err));
    *out = cis_buf_bytes(&j->file);
    return CIS_OK;
}

static cis_code load(struct job *j, struct cis_error *err)
{
    struct cis_mcp *m = j->call->mcp;
    struct cis_engine_module_options o = {.name = "shell",
                                          .fuel = j->request.limits.fuel != 0,
                                          .memory_limit = j->request.limits.memory_bytes,
                                          .stop = {CIS_NEVER, j->call->cancel}};
    struct cis_mcp_base base;
    CIS_TRY(cis_mcp_base_take(m, false, &base, err));
    j->request.engine = base.engine;
    o.features = base.features;
    int fd = open(m->o.shell, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_NOTFOUND, errno, "shell: %.160s", m->o.shell);
    }
    cis_code code =
        cis_engine_module_load_file(j->request.engine, fd, &o, read_module, j, &j->module, err);
    close(fd);
    j->request.module = j->module;
    return code;
}

static void take_program(struct job *j, const char *command)
{
    struct cis_run_program *p = &j->program;
    const struct cis_mcp_options *o = &j->call->mcp->o;
    /* See shell/src/main.rs. */
    const char *const words[] = {"shell", "/", "", "bash", command, NULL};
    memcpy(j->words, words, sizeof words);
    p->args = j->words;
    p->no_wasi = o->no_wasi;
    p->std[0] = (struct cis_host_stream){.kind = CIS_STREAM_NULL};
    for (int i = 1; i <= 2; i++) {
        p->std[i] =
            (struct cis_host_stream){.kind = CIS_STREAM_KEEP, .kept = CIS_BUF_INIT(OUTPUT_MAX)};
    }
}

static void take_request(struct job *j)
{
    const struct cis_mcp *m = j->call->mcp;
    const struct cis_mcp_options *o = &m->o;
    struct cis_run_request *r = &j->request;
    struct cis_skill_limits limits = cis_skill_limits_meet(&o->most, &o->usual);
    j->mount = (struct cis_run_mount){
        .guest_path = "/", .host = o->folder, .exact = true, .branch = m->branch};
    j->mount.mode = o->folder != NULL ? CIS_MOUNT_COW : CIS_MOUNT_RW;
    r->limits.memory_bytes = limits.memory_bytes;
    r->limits.fuel = limits.fuel;
    r->limits.host_bytes = o->host_bytes;
    r->time_ns = limits.time_ns;
    r->handles_max = o->handles_max;
    r->grants = &j->none;
    r->store = cis_fs_cache_store(o->fs_cache);
    r->fs_cache = o->fs_cache;
    r->mounts = &j->mount;
    r->nmounts = 1;
    r->tenant = o->tenant;
    r->skill = "mcp:shell";
    r->cancel = j->call->cancel;
    r->no_clock = o->no_clock;
    r->no_random = o->no_random;
    r->program = &j->program;
    r->tx = CIS_TX_ALWAYS;
}

/* ---- what came of it ---- */

static void add_stream(const struct cis_host_stream *s, struct cis_buf *text)
{
    cis_buf_str(text, cis_buf_view(&s->kept));
    if (s->dropped != 0) {
        cis_buf_printf(text, "\n(and %llu bytes more)\n", (unsigned long long)s->dropped);
    }
}

static cis_code give(const struct job *j, struct mcp_result *out, struct cis_error *err)
{
    const struct cis_run_outcome *o = &j->outcome;
    bool ended = o->exited && (o->code == CIS_OK || o->code == CIS_E_FAILED);
    if (!ended) {
        return cis_fail(err, o->code, "run %s: %.180s", o->id, o->error.msg);
    }
    add_stream(&o->std[1], &out->text);
    add_stream(&o->std[2], &out->text);
    out->failed = o->exit_code != 0;
    if (out->failed) {
        cis_buf_printf(&out->text, "%sexit code %d",
                       out->text.len != 0 && out->text.ptr[out->text.len - 1] != '\n' ? "\n" : "",
                       o->exit_code & 0xff);
    }
    return CIS_OK;
}

static void note(struct job *j, const char *command, struct mcp_result *out)
{
    struct mcp_run run = {.shell = true};
    struct cis_error line;
    cis_fail(&line, CIS_OK, "shell %.100s", command); /* takes control characters out */
    size_t n = cis_utf8_floor(line.msg, strlen(line.msg), sizeof run.what - 1);
    memcpy(run.what, line.msg, n);
    cis_mcp_outcome_note(j->call, &j->outcome, &run, out);
}

cis_code cis_mcp_shell(struct mcp_call *call, const struct mcp_tool *tool, const json_t *arguments,
                       struct mcp_result *out, struct cis_error *err)
{
    struct cis_str command = cis_mcp_field(arguments, "command");
    struct job *j CIS_CLEANUP(cis_freep) = cis_zalloc(sizeof *j);
    (void)tool;
    if (j == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    if (memchr(command.ptr, 0, command.len) != NULL) {
        return cis_fail(err, CIS_E_USAGE, "command: has a zero byte");
    }
    j->call = call;
    j->file = CIS_BUF_INIT(MODULE_MAX);
    take_program(j, command.ptr);
    take_request(j);
    cis_code code = load(j, err);
    code = code == CIS_OK ? cis_run_execute(&j->request, &j->outcome, err) : code;
    if (code == CIS_OK) {
        note(j, command.ptr, out);
        code = give(j, out, err);
    }
    job_done(j);
    return code;
}
