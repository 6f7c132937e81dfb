/* Recording, as the command line asks for it. */
#include "cli/runs/tape.h"

#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"

unsigned cis_cli_record_features(const struct cis_cli *cli)
{
    return cis_cli_has(cli, "record") ? CIS_FEATURE_CANONICAL_NAN : 0u;
}

/* For people who find the file: which command made it, and when. Not its environment. */
static void about(const struct cis_cli *cli, const cis_image *image, struct cis_buf *out)
{
    char when[32];
    cis_clock_iso(cis_clock_wall_ms(), when);
    cis_buf_printf(out, "{\"cis\":\"%s\",\"command\":\"%s\",\"arguments\":[", CIS_VERSION,
                   cli->command->name);
    for (int i = 0; i < cli->nargs; i++) {
        cis_buf_text(out, i != 0 ? "," : "");
        cis_buf_json(out, cis_str_of(cli->args[i]));
    }
    cis_buf_printf(out, "],\"module\":\"%s\",\"started\":\"%s\"}",
                   cis_image_info(image)->sha256_hex, when);
}

cis_code cis_cli_record(cis_app *app, const struct cis_cli *cli, const cis_image *image,
                        struct cis_tape_source *source, cis_tape **out_tape, struct cis_error *err)
{
    const char *path = cis_cli_value(cli, "record");
    *out_tape = NULL;
    if (path == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_TAPE_ABOUT_MAX);
    about(cli, image, &text);
    CIS_TRY(cis_buf_check(&text, "--record", err));
    source->about = cis_buf_view(&text);
    if (!cis_cli_size(cli, "record-max", &source->bytes_max)) {
        return cis_fail(err, CIS_E_USAGE, "%s", ""); /* told already */
    }
    if (source->bytes_max == 0 && cis_cli_value(cli, "record-max") != NULL) {
        return cis_fail(err, CIS_E_USAGE,
                        "--record-max: 0 bytes hold no run; leave it out for the default of 1GiB");
    }
    CIS_TRY(cis_tape_record(path, source, out_tape, err));
    cis_app_record(app, *out_tape);
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
