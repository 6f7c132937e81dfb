/* `cis config show`: every setting, its value and where it came from. */
#include "cli/app.h"

#include "config/config.h"

struct show {
    bool json;
    unsigned n;
};

static void setting(void *self, const char *name, const char *value, const char *origin)
{
    struct show *s = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(4u << 20);
    if (s->json) {
        cis_buf_text(&line, s->n++ != 0 ? ",{\"name\":" : "{\"name\":");
        cis_buf_json(&line, cis_str_of(name));
        cis_buf_text(&line, ",\"value\":");
        cis_buf_json(&line, cis_str_of(value));
        cis_buf_text(&line, ",\"origin\":");
        cis_buf_json(&line, cis_str_of(origin));
        cis_buf_byte(&line, '}');
    } else {
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
        cis_cli_printable(&text, cis_str_of(value));
        cis_buf_printf(&line, "%-28s %s%s(%s)\n", name, cis_buf_cstr(&text),
                       text.len != 0 ? "  " : "", origin);
    }
    cis_cli_out(line.ptr, line.len);
}

static int run(struct cis_cli *cli)
{
    struct cis_error err = {0};
    cis_app *app = NULL;
    if (cis_app_open(cli, &app, &err) != CIS_OK) {
        return cis_cli_fail(cli, &err);
    }
    struct show s = {.json = cli->json};
    if (s.json) {
        cis_cli_list("{\"schema\":1,\"settings\":[");
    }
    cis_config_each(cis_app_config(app), &s, setting);
    if (s.json) {
        cis_cli_list_end("]}\n");
    }
    cis_app_close(app);
    return 0;
}

const struct cis_cli_command cis_cmd_config_show = {.name = "config show", .run = run};
