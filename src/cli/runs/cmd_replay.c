/* `cis replay`: a recorded run once more, compared with what it was. */
#include "cli/runs/recording.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/config.h"
#include "run/replay.h"

#define MEMORY_DEFAULT (4ull << 30)

struct job {
    struct cis_cli *cli;
    cis_app *app;
    cis_recording *recording;
    struct cis_buf module; /* --wasm */
    struct cis_replay_request request;
    struct cis_recording_outcome outcome;
    uint64_t bytes[3]; /* shown on streams 1 and 2 */
};

static void job_done(struct job *j)
{
    cis_recording_free(j->recording);
    cis_buf_done(&j->module);
    cis_app_close(j->app);
}

/* As the run wrote it, at once: both streams may end in one terminal. A skill's result is made safe
 * for it, as `cis skill run` does. */
static cis_code show(void *self, unsigned stream, const void *data, size_t len,
                     struct cis_error *err)
{
    struct job *j = self;
    j->bytes[stream] += len;
    if (j->cli->json) {
        return CIS_OK;
    }
    if (stream == 1 && !cis_recording_head(j->recording)->program && isatty(STDOUT_FILENO)) {
        cis_cli_foreign(data, len);
        return fflush(stdout) == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, errno, "stdout");
    }
    int sys = cis_fd_write_all(stream == 1 ? STDOUT_FILENO : STDERR_FILENO, data, len);
    return sys == 0 || stream == 2 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, sys, "stdout");
}

static cis_code prepare(struct job *j, struct cis_error *err)
{
    struct cis_replay_request *r = &j->request;
    struct cis_cli *cli = j->cli;
    uint64_t time_ns = CIS_NEVER;
    r->memory_max = MEMORY_DEFAULT;
    if (!cis_cli_size(cli, "memory", &r->memory_max) || !cis_cli_duration(cli, "time", &time_ns)) {
        return cis_fail(err, CIS_E_USAGE, "%s", ""); /* told already */
    }
    CIS_TRY(cis_recording_open(cli->args[0], &j->recording, err));
    const char *wasm = cis_cli_value(cli, "wasm");
    if (wasm != NULL) {
        CIS_TRY(cis_cli_read(wasm, &j->module, err));
        r->module = cis_buf_bytes(&j->module);
        r->module_name = wasm;
    }
    CIS_TRY(cis_app_open(cli, &j->app, err));
    CIS_TRY(cis_app_engine(j->app, CIS_APP_RUN_SLOTS, &r->engine, err));
    r->host_max = cis_app_config(j->app)->host_bytes;
    r->recording = j->recording;
    r->stop = (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), time_ns), cli->cancel};
    r->show = show;
    r->show_self = j;
    r->trace = cis_cli_has(cli, "trace") ? cis_cli_trace_line : NULL;
    return CIS_OK;
}

static int exit_code(const struct job *j)
{
    const struct cis_recording_outcome *o = &j->outcome;
    if (!cis_recording_head(j->recording)->program) {
        return cis_code_skill_exit(o->code);
    }
    bool own = o->exited && (o->code == CIS_OK || o->code == CIS_E_FAILED);
    return own ? o->exit_code & 0xff : cis_code_run_exit(o->code);
}

static void print_json(const struct job *j, int exit)
{
    const struct cis_recording_head *head = cis_recording_head(j->recording);
    uint8_t digest[CIS_SHA256_BYTES];
    char hex[2 * CIS_SHA256_BYTES + 1];
    cis_sha256(head->module, digest);
    cis_hex(digest, sizeof digest, hex);
    cis_cli_object(
        CIS_JSON(CIS_J("calls", cis_recording_calls(j->recording)),
                 CIS_J("code", cis_code_name(j->outcome.code)), CIS_J_INT("exit_code", exit),
                 CIS_J("message", j->outcome.message), CIS_J("stdout_bytes", j->bytes[1]),
                 CIS_J("stderr_bytes", j->bytes[2]), CIS_J_OPEN("module"),
                 CIS_J("name", head->name), CIS_J("sha256", hex), CIS_J("bytes", head->module.len),
                 CIS_J_CLOSE, CIS_J("engine", head->engine),
                 CIS_J("about", head->about))); /* a text of the recording, whatever it says */
}

/* How the run ended, told as it was told then. */
static int tell(const struct job *j)
{
    const struct cis_recording_outcome *o = &j->outcome;
    int exit = exit_code(j);
    if (j->cli->json) {
        print_json(j, exit);
    }
    if (o->code != CIS_OK && !(o->code == CIS_E_FAILED && o->exited)) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
        cis_buf_printf(&line, "cis replay: recorded end: ");
        cis_cli_printable_line(&line, cis_str_of(o->message));
        cis_buf_byte(&line, '\n');
        cis_fd_write_all(STDERR_FILENO, line.ptr, line.len);
    }
    return exit;
}

static int run(struct cis_cli *cli)
{
    struct cis_error err = {0};
    struct job *j CIS_CLEANUP(cis_freep) = cis_zalloc(sizeof *j);
    if (j == NULL) {
        cis_fail(&err, CIS_E_NOMEM, "out of memory");
        return cis_cli_fail(cli, &err);
    }
    j->cli = cli;
    j->module = CIS_BUF_INIT(256u << 20);
    cis_code code = prepare(j, &err);
    if (code == CIS_OK) {
        code = cis_run_replay(&j->request, &j->outcome, &err);
    }
    int exit = cis_code_run_exit(code);
    if (code == CIS_OK) {
        exit = tell(j);
    } else if (code != CIS_E_USAGE || err.msg[0] != 0) {
        cis_cli_fail(cli, &err);
    }
    job_done(j);
    return exit;
}

static const struct cis_cli_option options[] = {{"wasm", 0, "MODULE", false, NULL},
                                                {"trace", 0, "WHAT", false, "host"},
                                                {"memory", 0, "SIZE", false, NULL},
                                                {"time", 0, "TIME", false, NULL},
                                                {0}};

const struct cis_cli_command cis_cmd_replay = {.name = "replay",
                                               .options = options,
                                               .min_args = 1,
                                               .max_args = 1,
                                               .run_exits = true,
                                               .run = run};
