/* What installed skills declare, read into lists: tools, prompts, resources. */
#include "mcp/internal.h"

#include "base/mem.h"

struct names {
    char **at;
    size_t n, cap;
    bool full;
};

static void names_done(struct names *names)
{
    for (size_t i = 0; i < names->n; i++) {
        cis_free(names->at[i]);
    }
    cis_free(names->at);
}

static bool take_name(void *self, const struct cis_skill_row *row)
{
    struct names *names = self;
    char *name = cis_strndup(row->name.ptr, row->name.len);
    if (names->n == names->cap) {
        size_t cap = cis_cap_next(names->cap, 16, CIS_MEM_MAX);
        char **more = cis_realloc_array(names->at, cap, sizeof *more);
        names->at = more != NULL ? more : names->at;
        names->cap = more != NULL ? cap : names->cap;
    }
    names->full = name == NULL || names->n == names->cap;
    if (names->full) {
        cis_free(name);
        return false;
    }
    names->at[names->n++] = name;
    return true;
}

cis_code cis_mcp_skills_load(struct mcp_lists *l, struct cis_error *err)
{
    struct cis_mcp *m = l->mcp;
    CIS_CLEANUP(names_done) struct names names = {0};
    struct cis_str tenant = cis_str_of(m->o.tenant);
    bool network = false;
    CIS_TRY(cis_skill_list(&l->home, tenant, take_name, &names, err));
    if (names.full) {
        return cis_fail(err, CIS_E_NOMEM, "tools: out of memory");
    }
    for (size_t i = 0; i < names.n; i++) {
        CIS_CLEANUP(cis_skill_close) struct cis_installed skill = {0};
        struct cis_error why = {0};
        cis_code code = cis_skill_lookup(&l->home, tenant, cis_str_of(names.at[i]), &skill, &why);
        if (code == CIS_E_NOTFOUND) {
            continue; /* removed since it was listed */
        }
        if (code != CIS_OK && code != CIS_E_DAMAGED && code != CIS_E_INVALID && l->again) {
            return cis_fail(err, code, "%s: %s", names.at[i], why.msg); /* it may be good later */
        }
        if (code != CIS_OK) { /* one that cannot be opened does not take the others along */
            cis_mcp_left_out(m, names.at[i], "tools are", why.msg);
            continue;
        }
        network = network || cis_grants_has(cis_mcp_skill_may(m, &skill), CIS_GRANT_HTTP) ||
                  cis_grants_has(cis_mcp_skill_may(m, &skill), CIS_GRANT_AI);
        CIS_TRY(cis_mcp_tools_add(l, &skill, err));
        CIS_TRY(cis_mcp_prompts_add(l, &skill, err));
        CIS_TRY(cis_mcp_declared_add(l, &skill, err));
    }
    return l->runs_skills ? cis_mcp_base_take(m, network, &l->base, err) : CIS_OK;
}
