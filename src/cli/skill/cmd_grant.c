/* `cis skill grant|revoke|remove|new`. */
#include "cli/skill/skill.h"

#include <stdlib.h>
#include "skill/package.h"

static cis_code tell_grants(const struct cis_cli *cli, const struct cis_skill_home *home,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    CIS_TRY(cis_skill_lookup(home, cis_str_of(cli->tenant), cis_str_of(cli->args[0]), &s, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4u << 20);
    if (cli->json) {
        cis_grants_json(&s.granted, &text);
        cis_cli_object(CIS_JSON(CIS_J("name", s.name), CIS_J_RAW("granted", cis_buf_view(&text))));
    } else {
        cis_cli_grants_text(&s.grants, &text);
        cis_cli_line(stdout, "%s may: %s", s.name, cis_buf_cstr(&text));
    }
    return cis_buf_check(&text, "grants", err);
}

#define GRANTS_MAX 256

static cis_code change(struct cis_cli *cli, const struct cis_skill_home *home, bool add,
                       struct cis_error *err)
{
    struct cis_str texts[GRANTS_MAX], tenant = cis_str_of(cli->tenant);
    struct cis_str name = cis_str_of(cli->args[0]);
    size_t n = (size_t)cli->nargs - 1;
    if (n > GRANTS_MAX) {
        return cis_fail(err, CIS_E_USAGE, "more than %d grants", GRANTS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        texts[i] = cis_str_of(cli->args[i + 1]);
    }
    CIS_TRY(add ? cis_skill_grant(home, tenant, name, texts, n, err)
                : cis_skill_revoke(home, tenant, name, texts, n, err));
    return tell_grants(cli, home, err);
}

static cis_code grant(struct cis_cli *cli, const struct cis_skill_home *home, struct cis_error *err)
{
    return change(cli, home, true, err);
}

static cis_code revoke(struct cis_cli *cli, const struct cis_skill_home *home,
                       struct cis_error *err)
{
    return change(cli, home, false, err);
}

static cis_code remove_skill(struct cis_cli *cli, const struct cis_skill_home *home,
                             struct cis_error *err)
{
    CIS_TRY(cis_skill_remove(home, cis_str_of(cli->tenant), cis_str_of(cli->args[0]), err));
    if (cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("removed", cli->args[0])));
    } else {
        cis_cli_line(stdout, "removed %s (its memory stays: cis memory list --skill %s)",
                     cli->args[0], cli->args[0]);
    }
    return CIS_OK;
}

static int run_new(struct cis_cli *cli)
{
    const char *lang = cis_cli_value(cli, "lang"), *dir = cis_cli_value(cli, "dir");
    struct cis_error err = {0};
    if (lang == NULL) {
        return cis_cli_usage(cli, "--lang c, go, js, python, rust or wat is missing");
    }
    dir = dir != NULL ? dir : cli->args[0];
    cis_code code = cis_skill_new(dir, cis_str_of(cli->args[0]), lang, &err);
    if (code == CIS_OK && cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("name", cli->args[0]), CIS_J("dir", dir)));
    } else if (code == CIS_OK) {
        cis_cli_line(stdout, "made %s: cd %s && make run", dir, dir);
    }
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

static const struct cis_cli_option new_options[] = {
    {"lang", 'l', "LANG", false, "c|go|js|python|rust|wat"}, {"dir", 0, "DIR", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_skill_grant = {
    .name = "skill grant", .min_args = 2, .max_args = -1, .skill = grant};

const struct cis_cli_command cis_cmd_skill_revoke = {
    .name = "skill revoke", .min_args = 2, .max_args = -1, .skill = revoke};

const struct cis_cli_command cis_cmd_skill_remove = {
    .name = "skill remove", .min_args = 1, .max_args = 1, .skill = remove_skill};

const struct cis_cli_command cis_cmd_skill_new = {
    .name = "skill new", .options = new_options, .min_args = 1, .max_args = 1, .run = run_new};
