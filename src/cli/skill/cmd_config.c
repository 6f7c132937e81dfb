/* `cis skill config`. */
#include "cli/skill/skill.h"

static cis_code list(const struct cis_cli *cli, const struct cis_installed *s)
{
    if (cli->json) {
        cis_cli_list_after(CIS_JSON(CIS_J("name", s->name)), "config");
    }
    for (size_t i = 0; i < s->nconfig; i++) {
        const struct cis_skill_value *v = &s->config[i];
        if (cli->json) {
            cis_cli_item(CIS_JSON(CIS_J("key", v->key), CIS_J("value", v->value),
                                  CIS_J("from", v->from_default ? "default" : "set")));
        } else {
            cis_cli_line(stdout, "%s = %s%s", v->key, v->value,
                         v->from_default ? "  (default)" : "");
        }
    }
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static cis_code get(const struct cis_cli *cli, const struct cis_installed *s, const char *key,
                    struct cis_error *err)
{
    for (size_t i = 0; i < s->nconfig; i++) {
        const struct cis_skill_value *v = &s->config[i];
        if (!cis_str_is(cis_str_of(key), v->key)) {
            continue;
        }
        if (cli->json) {
            cis_cli_object(CIS_JSON(CIS_J("key", v->key), CIS_J("value", v->value),
                                    CIS_J("from", v->from_default ? "default" : "set")));
            return CIS_OK;
        }
        cis_cli_foreign(v->value, strlen(v->value)); /* as it is: for scripts */
        cis_cli_out("\n", 1);
        return CIS_OK;
    }
    return cis_fail(err, CIS_E_NOTFOUND, "%s: no value for %.80s", s->name, key);
}

static cis_code config(struct cis_cli *cli, const struct cis_skill_home *home,
                       struct cis_error *err)
{
    struct cis_str verb = cis_str_of(cli->args[1]), tenant = cis_str_of(cli->tenant);
    struct cis_str name = cis_str_of(cli->args[0]);
    bool set = cis_str_is(verb, "set"), unset = cis_str_is(verb, "unset");
    int wanted = cis_str_is(verb, "list") ? 2 : cis_str_is(verb, "get") || unset ? 3 : set ? 4 : 0;
    if (wanted != cli->nargs) {
        cis_cli_usage(
            cli, wanted == 0 ? "%s: not get, set, list or unset" : "%s: wrong number of arguments",
            cli->args[1]);
        return CIS_E_USAGE; /* told already: err stays empty */
    }
    if (set || unset) {
        struct cis_str value = set ? cis_str_of(cli->args[3]) : (struct cis_str){NULL, 0};
        CIS_TRY(cis_skill_config_set(home, tenant, name, cis_str_of(cli->args[2]), value, err));
        if (cli->json) {
            cis_cli_object(CIS_JSON(CIS_J("name", cli->args[0]), CIS_J("key", cli->args[2]),
                                    set ? CIS_J("value", cli->args[3]) : CIS_J_NULL("value")));
        }
        return CIS_OK;
    }
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    CIS_TRY(cis_skill_lookup(home, tenant, name, &s, err));
    return wanted == 2 ? list(cli, &s) : get(cli, &s, cli->args[2], err);
}

const struct cis_cli_command cis_cmd_skill_config = {
    .name = "skill config", .min_args = 2, .max_args = 4, .skill = config};
