/* `cis config show`: every setting, its value and where it came from. */
#include "cli/app.h"

#include "config/config.h"

static void setting(void *self, const char *name, const char *value, const char *origin)
{
    const struct cis_cli *cli = self;
    if (cli->json) {
        cis_cli_item(CIS_JSON(CIS_J("name", name), CIS_J("value", value), CIS_J("origin", origin)));
        return;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    cis_cli_printable(&text, cis_str_of(value));
    cis_cli_printf("%-28s %s%s(%s)\n", name, cis_buf_cstr(&text), text.len != 0 ? "  " : "",
                   origin);
}

static int run(struct cis_cli *cli)
{
    struct cis_error err = {0};
    cis_app *app = NULL;
    if (cis_app_open(cli, &app, &err) != CIS_OK) {
        return cis_cli_fail(cli, &err);
    }
    cis_cli_list(cli, "settings");
    cis_config_each(cis_app_config(app), cli, setting);
    cis_cli_list_end(NULL);
    cis_app_close(app);
    return 0;
}

const struct cis_cli_command cis_cmd_config_show = {.name = "config show", .run = run};
