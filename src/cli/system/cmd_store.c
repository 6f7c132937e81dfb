/* `cis store init|check|migrate|repair`: where data is kept, made ready, looked at, brought
 * forward, mended. */
#include "cli/app.h"

#include "base/clock.h"
#include "cli/store.h"
#include "config/config.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/repair/repair.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

struct store_cmd {
    struct cis_cli *cli;
    cis_app *app;
    const char *url; /* NULL: the embedded store */
    struct cis_stop stop;
    unsigned n, bad;
};

typedef cis_code store_verb(struct store_cmd *cmd, struct cis_error *err);

static int with_store(struct cis_cli *cli, store_verb *verb)
{
    struct cis_error err = {0};
    struct store_cmd cmd = {.cli = cli, .stop = {CIS_NEVER, cli->cancel}};
    cis_code code = cis_app_open(cli, &cmd.app, &err);
    if (code == CIS_OK) {
        const char *store = cis_app_config(cmd.app)->store;
        cmd.url = cis_store_postgres_is_url(cis_str_of(store)) ? store : NULL;
        code = verb(&cmd, &err);
    }
    cis_app_close(cmd.app);
    if (code != CIS_OK) {
        return cis_cli_fail(cli, &err);
    }
    return cmd.bad == 0 ? 0 : cis_code_skill_exit(CIS_E_STORE);
}

static void told(const struct store_cmd *cmd, int from, int to)
{
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_INT("from", from), CIS_J_INT("version", to)));
    } else if (from == to) {
        cis_cli_printf("schema version %d\n", to);
    } else {
        cis_cli_printf("schema version %d, before %d\n", to, from);
    }
}

/* ---- the embedded store: made and brought forward by being opened ---- */
/* For what is not to make it. */
static cis_code must_exist(const struct store_cmd *cmd, struct cis_error *err)
{
    return cis_cli_store_find(cis_app_config(cmd->app)->store, err);
}

static bool open_tenant(void *self, const struct cis_tenant *tenant)
{
    struct store_cmd *cmd = self;
    (void)tenant; /* reading its row brought its file forward */
    cmd->n++;
    return true;
}

static cis_code open_embedded(struct store_cmd *cmd, struct cis_error *err)
{
    cis_store *store;
    CIS_TRY(cis_app_store(cmd->app, &store, err));
    CIS_TRY(cis_store_tenant_list(store, open_tenant, cmd, &cmd->stop, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(8192);
    CIS_TRY(cis_store_describe(store, &text, err));
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("store", cis_buf_view(&text)), CIS_J("tenants", cmd->n)));
    } else {
        cis_cli_printf("%s, %u tenants\n", cis_buf_cstr(&text), cmd->n);
    }
    return CIS_OK;
}

/* ---- init, migrate ---- */
static cis_code init_verb(struct store_cmd *cmd, struct cis_error *err)
{
    const char *login = cis_cli_value(cmd->cli, "login");
    int version;
    if (cmd->url == NULL) {
        return login == NULL
                   ? open_embedded(cmd, err)
                   : cis_fail(err, CIS_E_USAGE, "--login can be used only with PostgreSQL");
    }
    CIS_TRY(cis_pg_admin_init(cmd->url, login, &version, &cmd->stop, err));
    told(cmd, version, version);
    return CIS_OK;
}

static cis_code migrate_verb(struct store_cmd *cmd, struct cis_error *err)
{
    int from, to;
    CIS_TRY(must_exist(cmd, err));
    if (cmd->url == NULL) {
        return open_embedded(cmd, err);
    }
    CIS_TRY(cis_pg_admin_migrate(cmd->url, &from, &to, &cmd->stop, err));
    told(cmd, from, to);
    return CIS_OK;
}

/* ---- check ---- */
static void finding(void *self, bool bad, const char *what, const char *text)
{
    struct store_cmd *cmd = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    cmd->bad += bad;
    if (cmd->cli->json) {
        cis_cli_item(CIS_JSON(CIS_J("check", what), CIS_J("status", bad ? "bad" : "ok"),
                              CIS_J("value", text)));
    } else {
        cis_buf_printf(&line, "%-4s %-18s ", bad ? "bad" : "ok", what);
        cis_cli_printable_line(&line, cis_str_of(text));
        cis_buf_byte(&line, '\n');
    }
    cis_cli_out(line.ptr, line.len);
}

struct names {
    struct cis_buf text; /* one after the other, each with its NUL */
};

static bool note_name(void *self, const struct cis_tenant *tenant)
{
    struct names *names = self;
    cis_buf_add(&names->text, tenant->name, strlen(tenant->name) + 1);
    return true;
}

static cis_code check_tenants(struct store_cmd *cmd, struct cis_error *err)
{
    cis_store *store;
    CIS_TRY(cis_app_store(cmd->app, &store, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf where = CIS_BUF_INIT(8192);
    CIS_TRY(cis_store_describe(store, &where, err));
    finding(cmd, false, "store", cis_buf_cstr(&where));
    struct names names = {CIS_BUF_INIT(64u << 20)};
    struct cis_error why = {0};
    cis_code code = cis_store_tenant_list(store, note_name, &names, &cmd->stop, &why);
    if (code == CIS_E_DAMAGED) { /* one that cannot even be read does not hide the others */
        finding(cmd, true, "tenants", why.msg);
        code = CIS_OK;
    } else if (code != CIS_OK) {
        *err = why;
    }
    code = code == CIS_OK ? cis_buf_check(&names.text, "tenants", err) : code;
    for (size_t at = 0; code == CIS_OK && at < names.text.len;) {
        const char *name = (const char *)names.text.ptr + at;
        CIS_CLEANUP(cis_buf_done) struct cis_buf faults = CIS_BUF_INIT(1u << 20);
        code = cis_store_check(store, cis_str_of(name), &faults, &cmd->stop, err);
        if (code == CIS_OK) {
            finding(cmd, faults.len != 0, name,
                    faults.len != 0 ? cis_buf_cstr(&faults) : "every page is whole");
        }
        at += strlen(name) + 1;
    }
    cis_buf_done(&names.text);
    return code;
}

static cis_code check_verb(struct store_cmd *cmd, struct cis_error *err)
{
    CIS_TRY(must_exist(cmd, err));
    cis_cli_list(cmd->cli, "checks");
    cis_code code = CIS_OK;
    if (cmd->url != NULL) {
        code = cis_pg_admin_check(cmd->url, finding, cmd, &cmd->stop, err);
    }
    if (code == CIS_OK && cmd->bad == 0) {
        code = check_tenants(cmd, err);
    }
    if (cmd->cli->json) { /* an error is told as a finding, so that the object is whole */
        if (code != CIS_OK) {
            finding(cmd, true, "error", err->msg);
        }
        cis_cli_list_end(CIS_JSON(CIS_J("bad", cmd->bad)));
        return CIS_OK;
    }
    return code;
}

/* ---- repair ---- */
static cis_code repair_one(struct store_cmd *cmd, const char *dir, const char *tenant,
                           struct cis_error *err)
{
    struct cis_store_repair how = {
        .size = sizeof how, .tenant = tenant, .accept_loss = cis_cli_has(cmd->cli, "accept-loss")};
    return cis_store_sqlite_repair(dir, &how, finding, cmd, err);
}

static cis_code repair_verb(struct store_cmd *cmd, struct cis_error *err)
{
    const char *store = cis_app_config(cmd->app)->store;
    CIS_TRY(must_exist(cmd, err));
    if (cmd->url != NULL) {
        return cis_fail(err, CIS_E_USAGE,
                        "cis store repair works on SQLite stores; repair a PostgreSQL server with "
                        "its own tools");
    }
    cis_cli_list(cmd->cli, "checks");
    const char *dir = store + strlen("sqlite:");
    cis_code code = repair_one(cmd, dir, NULL, err);
    if (code == CIS_OK) {
        code = repair_one(cmd, dir, cmd->cli->tenant, err);
    }
    cis_cli_list_end(CIS_JSON(CIS_J("bad", cmd->bad)));
    return code;
}

static int run_repair(struct cis_cli *cli)
{
    return with_store(cli, repair_verb);
}

static int run_init(struct cis_cli *cli)
{
    return with_store(cli, init_verb);
}

static int run_check(struct cis_cli *cli)
{
    return with_store(cli, check_verb);
}

static int run_migrate(struct cis_cli *cli)
{
    return with_store(cli, migrate_verb);
}

static const struct cis_cli_option init_options[] = {{"login", 0, "ROLE", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_store_init = {
    .name = "store init", .options = init_options, .run = run_init};

const struct cis_cli_command cis_cmd_store_check = {.name = "store check", .run = run_check};

const struct cis_cli_command cis_cmd_store_migrate = {.name = "store migrate", .run = run_migrate};

static const struct cis_cli_option repair_options[] = {{"accept-loss", 0, NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_store_repair = {
    .name = "store repair", .options = repair_options, .run = run_repair};
