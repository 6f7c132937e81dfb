/* Recording, as the command line asks for it. */
#include "cli/runs/recording.h"

#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"

unsigned cis_cli_record_features(const struct cis_cli *cli)
{
    return cis_cli_has(cli, "record") ? CIS_FEATURE_CANONICAL_NAN : 0u;
}

/* For people who find the file: which command made it, and when. Not its environment. */
static void about(const struct cis_cli *cli, const cis_engine_module *module, struct cis_buf *out)
{
    char when[32];
    cis_clock_iso(cis_clock_wall_ms(), when);
    cis_json_write(out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("cis", CIS_VERSION),
                                 CIS_J("command", cli->command->name), CIS_J_LIST("arguments")));
    for (int i = 0; i < cli->nargs; i++) {
        cis_json_write(out, CIS_JSON(CIS_J(NULL, cli->args[i])));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END,
                                 CIS_J("module", cis_engine_module_info(module)->sha256_hex),
                                 CIS_J("started", when), CIS_J_CLOSE));
}

cis_code cis_cli_record(cis_app *app, const struct cis_cli *cli, const cis_engine_module *module,
                        struct cis_recording_source *source, cis_recording **out_recording,
                        struct cis_error *err)
{
    const char *path = cis_cli_value(cli, "record");
    *out_recording = NULL;
    if (path == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_RECORDING_ABOUT_MAX);
    about(cli, module, &text);
    CIS_TRY(cis_buf_check(&text, "--record", err));
    source->about = cis_buf_view(&text);
    if (!cis_cli_size(cli, "record-max", &source->bytes_max)) {
        return cis_fail(err, CIS_E_USAGE, "%s", ""); /* told already */
    }
    if (source->bytes_max == 0 && cis_cli_value(cli, "record-max") != NULL) {
        return cis_fail(err, CIS_E_USAGE,
                        "--record-max: must be more than 0; without it the limit is 1GiB");
    }
    CIS_TRY(cis_recording_record(path, source, out_recording, err));
    cis_app_record(app, *out_recording);
    return CIS_OK;
}

void cis_cli_trace_line(void *self, const char *line)
{
    (void)self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    cis_buf_text(&text, "host  ");
    cis_cli_printable_line(&text, cis_str_of(line));
    cis_buf_byte(&text, '\n');
    cis_fd_write_all(STDERR_FILENO, text.ptr, text.len);
}
