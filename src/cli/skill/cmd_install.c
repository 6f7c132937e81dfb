/* `cis skill install`: what it asks for is shown, and granted only by an answer of the user. */
#include "cli/skill/skill.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/mem.h"
#include "skill/package.h"

static const char *signature_word(enum cis_package_signature signature)
{
    static const char *const words[] = {"none", "unknown", "trusted"};
    return words[signature];
}

/* A key seen for the first time: the user may trust it here; the manifest's word is not enough. */
static cis_code ask_about_key(struct cis_cli *cli, const struct cis_skill_home *home,
                              struct cis_package *p, struct cis_error *err)
{
    if (p->signature != CIS_PACKAGE_UNKNOWN) {
        return CIS_OK;
    }
    char question[256];
    snprintf(question, sizeof question,
             "%.100s is signed by %s, which you do not trust yet. Trust this key?", p->name,
             p->key);
    if (!cli->json && cis_cli_confirm(question)) {
        CIS_TRY(cis_keyring_trust(home->config_dir, p->manifest.key, cis_str_of(""), err));
        return cis_package_trust_again(home, p, err);
    }
    cis_cli_line(stderr,
                 "warning: signed by %s, which is not trusted: counts as unsigned (cis skill trust "
                 "%s)",
                 p->key, p->key);
    return CIS_OK;
}

static void show_requests(const struct cis_package *p, const struct cis_install_plan *plan)
{
    if (plan->installed_version == NULL) {
        cis_cli_line(stderr, "%s %s asks for:", p->name, p->manifest.version);
    } else if (plan->same_identity) {
        cis_cli_line(stderr, "%s %s (installed: %s) asks for more than before:", p->name,
                     p->manifest.version, plan->installed_version);
    } else {
        cis_cli_line(stderr, "%s %s (installed: %s) comes from %s and asks for:", p->name,
                     p->manifest.version, plan->installed_version,
                     p->signature == CIS_PACKAGE_TRUSTED ? "another signer"
                                                         : "an unsigned, different module");
    }
    for (size_t i = 0; i < plan->nundecided; i++) {
        cis_cli_line(stderr, "  %-32s %s", plan->undecided[i],
                     cis_cli_grant_words(plan->undecided[i]));
    }
}

/* {"schema":1,"error":…,"asks":[…]}: a program gets the whole list as well. */
static void refuse_json(const struct cis_install_plan *plan, const struct cis_error *why)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf asks = CIS_BUF_INIT(4u << 20);
    for (size_t i = 0; i < plan->nundecided; i++) {
        cis_json_write(&asks, CIS_JSON(CIS_J(NULL, plan->undecided[i])));
    }
    cis_cli_object(CIS_JSON(CIS_J_OPEN("error"), CIS_J("code", cis_code_name(why->code)),
                            CIS_J("message", why->msg), CIS_J_CLOSE, CIS_J_LIST("asks"),
                            CIS_J_RAW(NULL, cis_buf_view(&asks)), CIS_J_LIST_END));
}

/* A name brings settings, secrets too, and memory along: not to whoever takes it. */
static cis_code ask_about_inheritance(struct cis_cli *cli, const struct cis_package *p,
                                      struct cis_install_plan *plan, struct cis_error *err)
{
    struct cis_inheritance *in = &plan->inheritance;
    if (!in->asked || in->answer != CIS_INHERIT_ASK || cli->json) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf what = CIS_BUF_INIT(1024), ask = CIS_BUF_INIT(4096);
    cis_inheritance_text(in, &what);
    if (plan->installed_version == NULL) {
        cis_buf_printf(&ask, "A skill called %.64s was here before.", p->name);
    } else {
        cis_buf_printf(&ask, "%.64s %.40s is installed (%s%s); this one is %s%s.", p->name,
                       plan->installed_version, in->signer[0] != 0 ? "signed by " : "unsigned",
                       in->signer, p->signature == CIS_PACKAGE_TRUSTED ? "signed by " : "unsigned",
                       p->signature == CIS_PACKAGE_TRUSTED ? p->key : "");
    }
    cis_buf_printf(&ask, " It would inherit %s. Let it?", cis_buf_cstr(&what));
    CIS_TRY(cis_buf_check(&ask, "question", err));
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) {
        in->answer = cis_cli_confirm(cis_buf_cstr(&ask)) ? CIS_INHERIT_YES : CIS_INHERIT_NO;
    }
    return CIS_OK;
}

static cis_code decide(struct cis_cli *cli, struct cis_install_plan *plan,
                       const struct cis_package *p, struct cis_error *err)
{
    if (plan->nundecided == 0) {
        return CIS_OK;
    }
    show_requests(p, plan);
    if (!cli->json && cis_cli_confirm("Grant all of these?")) {
        return cis_install_plan_grant(plan, err);
    }
    struct cis_error why = {0};
    cis_code code = cis_install_plan_check(plan, p, &why);
    cis_cli_line(stderr, "cis %s: %s", cli->command->name, why.msg);
    if (cli->json) {
        refuse_json(plan, &why);
    }
    return code; /* told already: err stays empty */
}

static void report_json(const struct cis_package *p, const struct cis_install_plan *plan)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf asked = CIS_BUF_INIT(4u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf granted = CIS_BUF_INIT(4u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf warnings = CIS_BUF_INIT(4u << 20);
    for (size_t i = 0; i < p->manifest.nwarnings; i++) {
        cis_json_write(&warnings, CIS_JSON(CIS_J(NULL, p->manifest.warnings[i])));
    }
    cis_grants_json(&p->manifest.asked, &asked);
    cis_grants_json(&plan->granted, &granted);
    cis_cli_object(CIS_JSON(
        CIS_J("name", p->name), CIS_J("version", p->manifest.version), CIS_J("sha256", p->sha256),
        CIS_J("digest", p->digest), CIS_J("signature", signature_word(p->signature)),
        CIS_J("key", p->key), CIS_J("files", p->nfiles), CIS_J("bytes", p->bytes),
        CIS_J_RAW("asked", cis_buf_view(&asked)), CIS_J_RAW("granted", cis_buf_view(&granted)),
        CIS_J_LIST("warnings"), CIS_J_RAW(NULL, cis_buf_view(&warnings)), CIS_J_LIST_END,
        plan->installed_version != NULL ? CIS_J("replaced", plan->installed_version)
                                        : CIS_J_NULL("replaced")));
}

static cis_code report(struct cis_cli *cli, const struct cis_skill_home *home,
                       const struct cis_package *p, const struct cis_install_plan *plan,
                       struct cis_error *err)
{
    CIS_CLEANUP(cis_keyring_done) struct cis_keyring ring = CIS_KEYRING_INIT;
    CIS_TRY(cis_keyring_load(home->config_dir, &ring, err));
    if (cli->json) {
        report_json(p, plan);
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf granted = CIS_BUF_INIT(1u << 20);
    cis_cli_grants_text(&plan->granted, &granted);
    const char *label = cis_cli_key_label(&ring, p->key);
    cis_cli_line(stdout, "installed %s %s (%s%s%s)", p->name, p->manifest.version,
                 p->signature == CIS_PACKAGE_TRUSTED ? "signed by " : "unsigned",
                 p->signature == CIS_PACKAGE_TRUSTED ? (label[0] != 0 ? label : p->key) : "",
                 plan->installed_version != NULL ? ", replaced the one before" : "");
    cis_cli_line(stdout, "granted: %s", cis_buf_cstr(&granted));
    return CIS_OK;
}

static size_t values(const struct cis_cli *cli, const char *option, struct cis_str *out, size_t max)
{
    size_t n = 0;
    const char *text;
    while (n < max && (text = cis_cli_nth(cli, option, (int)n)) != NULL) {
        out[n++] = cis_str_of(text);
    }
    return n;
}

static cis_code install(struct cis_cli *cli, const struct cis_skill_home *home,
                        struct cis_error *err)
{
    struct cis_str allow[256], deny[256], tenant = cis_str_of(cli->tenant);
    struct cis_install_answers answers = {.allow = allow,
                                          .deny = deny,
                                          .yes = cis_cli_has(cli, "yes"),
                                          .downgrade = cis_cli_has(cli, "downgrade")};
    const char *inherit = cis_cli_value(cli, "inherit");
    if (inherit != NULL) {
        answers.inherit = strcmp(inherit, "yes") == 0 ? CIS_INHERIT_YES : CIS_INHERIT_NO;
    }
    answers.nallow = values(cli, "allow", allow, 256);
    answers.ndeny = values(cli, "deny", deny, 256);
    CIS_CLEANUP(cis_package_done) struct cis_package p = CIS_PACKAGE_INIT;
    CIS_TRY(cis_cli_stage(cli, home, cis_str_of(cis_cli_value(cli, "name")), &p, err));
    for (size_t i = 0; i < p.manifest.nwarnings; i++) {
        cis_cli_line(stderr, "warning: %s", p.manifest.warnings[i]);
    }
    CIS_TRY(ask_about_key(cli, home, &p, err));
    CIS_CLEANUP(cis_install_plan_done) struct cis_install_plan plan = CIS_INSTALL_PLAN_INIT;
    CIS_TRY(cis_install_plan_make(home, tenant, &p, &answers, &plan, err));
    CIS_TRY(ask_about_inheritance(cli, &p, &plan, err));
    CIS_TRY(decide(cli, &plan, &p, err));
    CIS_TRY(cis_package_commit(home, tenant, &p, &plan, err));
    return report(cli, home, &p, &plan, err);
}

static const struct cis_cli_option options[] = {{"yes", 'y', NULL, false, NULL},
                                                {"allow", 0, "GRANT", true, NULL},
                                                {"deny", 0, "GRANT", true, NULL},
                                                {"name", 0, "NAME", false, NULL},
                                                {"inherit", 0, "ANSWER", false, "yes|no"},
                                                {"downgrade", 0, NULL, false, NULL},
                                                CIS_CLI_COMPILE_OPTIONS,
                                                {0}};

const struct cis_cli_command cis_cmd_skill_install = {
    .name = "skill install", .options = options, .min_args = 1, .max_args = 1, .skill = install};
