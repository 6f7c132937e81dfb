/* What a program is allowed beside its mounts: --allow, --net, --http. */
#include "cli/runs/program.h"

/* Grants that a program has a use for; what is left to say it otherwise is named. */
static const char *useless(const struct cis_grants *one)
{
    static const struct {
        enum cis_grant grant;
        const char *why;
    } table[] = {{CIS_GRANT_MEMORY_READ, "programs have no memory namespace"},
                 {CIS_GRANT_MEMORY_WRITE, "programs have no memory namespace"},
                 {CIS_GRANT_AI, "programs make no AI calls"},
                 {CIS_GRANT_FS_READ, "files are mounted with --dir or -w"},
                 {CIS_GRANT_FS_WRITE, "files are mounted with --dir or -w"},
                 {CIS_GRANT_ENV, "variables are given with --env"},
                 {CIS_GRANT_COMMAND, "nothing starts processes"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (cis_grants_has(one, table[i].grant)) {
            return table[i].why;
        }
    }
    return NULL;
}

static cis_code add(struct cis_grants *to, const char *prefix, const char *text,
                    struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf grant = CIS_BUF_INIT(16384);
    CIS_CLEANUP(cis_grants_done) struct cis_grants one = CIS_GRANTS_INIT;
    cis_buf_text(&grant, prefix);
    cis_buf_text(&grant, text);
    CIS_TRY(cis_buf_check(&grant, "grant", err));
    CIS_TRY(cis_grants_add(&one, cis_buf_view(&grant), err));
    const char *why = useless(&one);
    if (why != NULL) {
        return cis_fail(err, CIS_E_USAGE, "--allow %.60s: %s", cis_buf_cstr(&grant), why);
    }
    return cis_grants_add(to, cis_buf_view(&grant), err);
}

cis_code cis_program_grants(const struct cis_cli *cli, struct cis_grants *out,
                            struct cis_error *err)
{
    static const char *const options[] = {"allow", "net", "http"};
    static const char *const prefixes[] = {"", "net=", "http="};
    for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
        const char *text;
        for (int i = 0; (text = cis_cli_nth(cli, options[o], i)) != NULL; i++) {
            CIS_TRY(add(out, prefixes[o], text, err));
        }
    }
    return CIS_OK;
}
