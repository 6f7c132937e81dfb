/* Who may do what after an install (plan), and the install itself (commit). Grants bind to the name
 * and to who signed it; unsigned, to the very module. Whatever is new needs an answer of its own.
 */
#include "skill/package.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"
#include "skill/inherit.h"
#include "skill/place.h"
#include "skill/tree.h"
#include "store/calls.h"

void cis_install_plan_done(struct cis_install_plan *plan)
{
    cis_free(plan->installed_version);
    cis_grants_done(&plan->granted);
    cis_texts_free(plan->undecided, plan->nundecided);
    *plan = CIS_INSTALL_PLAN_INIT;
}

static bool empty(const struct cis_grants *set)
{
    return set->bits == 0 && !set->network && set->nhttp == 0 && set->nnet == 0 && set->nenv == 0;
}

/* into ∪= a ∩ b; *out_any: there was something. */
static cis_code merge_common(struct cis_grants *into, const struct cis_grants *a,
                             const struct cis_grants *b, bool *out_any, struct cis_error *err)
{
    CIS_CLEANUP(cis_grants_done) struct cis_grants common = CIS_GRANTS_INIT;
    CIS_TRY(cis_grants_intersect(a, b, &common, err));
    *out_any = !empty(&common);
    return into != NULL ? cis_grants_merge(into, &common, err) : CIS_OK;
}

struct deciding {
    const struct cis_package *package;
    const struct cis_install_answers *answers;
    struct cis_grants allow, deny; /* the answers as sets */
    struct cis_installed old;      /* when installed */
    bool fresh;
};

static void deciding_done(struct deciding *d)
{
    cis_grants_done(&d->allow);
    cis_grants_done(&d->deny);
    cis_skill_close(&d->old);
}

/* An answer about something that was not asked is a mistake, told as one. */
static cis_code read_answers(struct deciding *d, struct cis_error *err)
{
    const struct cis_install_answers *a = d->answers;
    const struct cis_manifest *m = &d->package->manifest;
    for (size_t i = 0; i < a->nallow; i++) {
        CIS_CLEANUP(cis_grants_done) struct cis_grants one = CIS_GRANTS_INIT;
        CIS_TRY(cis_grants_add(&one, a->allow[i], err));
        bool any = m->bare;
        if (!any) {
            CIS_TRY(merge_common(NULL, &m->asked, &one, &any, err));
        }
        if (!any || cis_grants_has(&one, CIS_GRANT_COMMAND)) {
            return cis_fail(err, CIS_E_USAGE, "--allow %.*s: %s does not ask for it",
                            (int)a->allow[i].len, a->allow[i].ptr, d->package->name);
        }
        CIS_TRY(cis_grants_merge(&d->allow, &one, err));
    }
    for (size_t i = 0; i < a->ndeny; i++) {
        CIS_CLEANUP(cis_grants_done) struct cis_grants one = CIS_GRANTS_INIT;
        CIS_TRY(cis_grants_add(&one, a->deny[i], err));
        char **texts = NULL;
        size_t n = 0;
        CIS_TRY(cis_grant_texts(&m->asked, &texts, &n, err));
        bool any = false;
        cis_code code = CIS_OK;
        for (size_t k = 0; code == CIS_OK && k < n; k++) {
            struct cis_grants item = CIS_GRANTS_INIT;
            code = cis_grants_add(&item, cis_str_of(texts[k]), err);
            any = any || cis_grants_cover(&one, &item);
            cis_grants_done(&item);
        }
        cis_texts_free(texts, n);
        CIS_TRY(code);
        if (!any) {
            return cis_fail(err, CIS_E_USAGE, "--deny %.*s: %s asks for nothing that it covers",
                            (int)a->deny[i].len, a->deny[i].ptr, d->package->name);
        }
        CIS_TRY(cis_grants_merge(&d->deny, &one, err));
    }
    return CIS_OK;
}

static cis_code add_undecided(struct cis_install_plan *plan, const char *text,
                              struct cis_error *err)
{
    char **grown =
        cis_realloc_array(plan->undecided, cis_size_add(plan->nundecided, 1), sizeof *grown);
    if (grown == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "install: out of memory");
    }
    plan->undecided = grown;
    grown[plan->nundecided] = cis_strdup(text);
    if (grown[plan->nundecided] == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "install: out of memory");
    }
    plan->nundecided++;
    return CIS_OK;
}

static cis_code decide(struct deciding *d, struct cis_install_plan *plan, const char *text,
                       struct cis_error *err)
{
    CIS_CLEANUP(cis_grants_done) struct cis_grants item = CIS_GRANTS_INIT;
    CIS_TRY(cis_grants_add(&item, cis_str_of(text), err));
    if (cis_grants_cover(&d->deny, &item)) {
        return cis_grants_remove(&plan->granted, cis_str_of(text), err);
    }
    bool allowed = false;
    CIS_TRY(merge_common(&plan->granted, &d->allow, &item, &allowed, err));
    if (allowed) {
        return CIS_OK;
    }
    if (plan->same_identity && cis_grants_cover(&d->old.manifest.asked, &item)) {
        return CIS_OK; /* as it was answered then */
    }
    if (d->fresh && d->answers->yes) {
        return cis_grants_merge(&plan->granted, &item, err);
    }
    return add_undecided(plan, text, err);
}

static cis_code compare_installed(struct deciding *d, struct cis_install_plan *plan,
                                  struct cis_error *err)
{
    const struct cis_package *p = d->package;
    if (d->fresh) {
        return CIS_OK;
    }
    plan->installed_version = cis_strdup(d->old.manifest.version);
    if (plan->installed_version == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "install: out of memory");
    }
    memcpy(plan->installed_digest, d->old.digest, sizeof plan->installed_digest);
    memcpy(plan->installed_stamp, d->old.stamp, sizeof plan->installed_stamp);
    const char *signer = p->signature == CIS_PACKAGE_TRUSTED ? p->key : "";
    plan->same_identity = strcmp(signer, d->old.signer) == 0 &&
                          (signer[0] != 0 || strcmp(p->sha256, d->old.sha256) == 0);
    if (!plan->same_identity) {
        return CIS_OK;
    }
    return p->manifest.bare && d->old.manifest.bare
               ? cis_grants_merge(&plan->granted, &d->old.granted, err)
               : cis_grants_intersect(&d->old.granted, &p->manifest.asked, &plan->granted, err);
}

/* Who made this is not known to have made what has the name now, or had it. */
static cis_code compare_makers(const struct cis_skill_home *home, struct cis_str tenant,
                               const struct deciding *d, struct cis_install_plan *plan,
                               struct cis_error *err)
{
    struct cis_inheritance *in = &plan->inheritance;
    const struct cis_package *p = d->package;
    if (!d->fresh && !d->answers->downgrade &&
        cis_version_older(p->manifest.version, d->old.manifest.version)) {
        return cis_fail(
            err, CIS_E_DENIED,
            "%.64s: %.40s is installed and this is %.40s: --downgrade installs the older one",
            p->name, d->old.manifest.version, p->manifest.version);
    }
    if (!d->fresh && plan->same_identity) {
        return CIS_OK;
    }
    if (!d->fresh) {
        memcpy(in->signer, d->old.signer, sizeof in->signer);
    }
    CIS_TRY(cis_inheritance_look(home, tenant, cis_str_of(p->name), in, err));
    in->asked = in->settings != 0 || in->keys != 0 || in->signer[0] != 0;
    in->answer = d->answers->inherit;
    return CIS_OK;
}

cis_code cis_install_plan_make(const struct cis_skill_home *home, struct cis_str tenant,
                               const struct cis_package *package,
                               const struct cis_install_answers *answers,
                               struct cis_install_plan *out, struct cis_error *err)
{
    if (home->policy == CIS_SIGNATURE_REQUIRE && package->signature != CIS_PACKAGE_TRUSTED) {
        return cis_fail(err, CIS_E_SIGNATURE,
                        package->key[0] != 0
                            ? "%s: signed by a key that is not trusted: cis skill trust %s"
                            : "%s: not signed, and the configuration requires it%s",
                        package->name, package->key);
    }
    CIS_CLEANUP(cis_install_plan_done) struct cis_install_plan plan = CIS_INSTALL_PLAN_INIT;
    CIS_CLEANUP(deciding_done) struct deciding d = {.package = package, .answers = answers};
    struct cis_error why = {0};
    cis_code code = cis_row_read(home, tenant, cis_str_of(package->name), &d.old, &why);
    if (code != CIS_OK && code != CIS_E_NOTFOUND) {
        return cis_fail(err, code, "%s", why.msg);
    }
    d.fresh = code == CIS_E_NOTFOUND;
    CIS_TRY(read_answers(&d, err));
    CIS_TRY(compare_installed(&d, &plan, err));
    CIS_TRY(compare_makers(home, tenant, &d, &plan, err));
    if (package->manifest.bare) { /* asks for nothing; what the user names is what it gets */
        CIS_TRY(cis_grants_merge(&plan.granted, &d.allow, err));
    }
    char **texts = NULL;
    size_t n = 0;
    CIS_TRY(cis_grant_texts(&package->manifest.asked, &texts, &n, err));
    code = CIS_OK;
    for (size_t i = 0; code == CIS_OK && i < n; i++) {
        code = decide(&d, &plan, texts[i], err);
    }
    cis_texts_free(texts, n);
    CIS_TRY(code);
    *out = plan;
    plan = CIS_INSTALL_PLAN_INIT;
    return CIS_OK;
}

cis_code cis_install_plan_grant(struct cis_install_plan *plan, struct cis_error *err)
{
    for (size_t i = 0; i < plan->nundecided; i++) {
        CIS_TRY(cis_grants_add(&plan->granted, cis_str_of(plan->undecided[i]), err));
    }
    cis_texts_free(plan->undecided, plan->nundecided);
    plan->undecided = NULL;
    plan->nundecided = 0;
    return CIS_OK;
}

cis_code cis_install_plan_check(const struct cis_install_plan *plan,
                                const struct cis_package *package, struct cis_error *err)
{
    CIS_TRY(cis_inheritance_check(&plan->inheritance, package->name, err));
    if (plan->nundecided == 0) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf list = CIS_BUF_INIT(1u << 20);
    for (size_t i = 0; i < plan->nundecided; i++) {
        if (list.len > 80) { /* the message is one line; the plan holds all of them */
            cis_buf_printf(&list, " and %zu more", plan->nundecided - i);
            break;
        }
        cis_buf_printf(&list, " %.60s", plan->undecided[i]);
    }
    return cis_fail(err, CIS_E_DENIED, "%.64s: asks for%s: answer %s", package->name,
                    cis_buf_cstr(&list),
                    plan->installed_version != NULL
                        ? "each with --allow or --deny (--yes never widens an installed skill)"
                        : "with --yes, or each with --allow or --deny");
}

/* ---- commit ---- */

static bool inherits(const struct cis_install_plan *plan)
{
    return !plan->same_identity &&
           (!plan->inheritance.asked || plan->inheritance.answer != CIS_INHERIT_NO);
}

/* What nobody was asked about is not handed on. */
static cis_code inherits_as_planned(const struct cis_skill_home *home, struct cis_str tenant,
                                    const struct cis_package *p,
                                    const struct cis_install_plan *plan, struct cis_error *err)
{
    const struct cis_inheritance *planned = &plan->inheritance;
    struct cis_inheritance now = {0};
    if (!inherits(plan)) {
        return CIS_OK;
    }
    CIS_TRY(cis_inheritance_look(home, tenant, cis_str_of(p->name), &now, err));
    return now.settings == planned->settings && (now.keys == 0 || planned->keys != 0)
               ? CIS_OK
               : cis_fail(err, CIS_E_CONFLICT,
                          "%s: its settings or its memory were changed just now: install again",
                          p->name);
}

static cis_code still_as_planned(const struct cis_skill_home *home, struct cis_str tenant,
                                 const struct cis_package *p, const struct cis_install_plan *plan,
                                 char **out_old, struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed now = {0};
    struct cis_error why = {0};
    cis_code code = cis_row_read(home, tenant, cis_str_of(p->name), &now, &why);
    if (code != CIS_OK && code != CIS_E_NOTFOUND) {
        return cis_fail(err, code, "%s", why.msg);
    }
    if (strcmp(code == CIS_OK ? now.digest : "", plan->installed_digest) != 0) {
        return cis_fail(err, CIS_E_CONFLICT,
                        "%s: was installed or removed by someone else just now", p->name);
    }
    if (strcmp(now.stamp, plan->installed_stamp) != 0) {
        return cis_fail(
            err, CIS_E_CONFLICT,
            "%s: its grants were changed just now: look at them (cis skill info %s), then "
            "install again",
            p->name, p->name);
    }
    CIS_TRY(inherits_as_planned(home, tenant, p, plan, err));
    if (code == CIS_OK) {
        *out_old = cis_place_version(cis_str_of(now.manifest.version), cis_str_of(now.digest));
        if (*out_old == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", p->name);
        }
    }
    return CIS_OK;
}

/* ---- names of tools and prompts ---- */

struct collision {
    const struct cis_package *package;
    const char *kind; /* NULL: none */
    char skill[CIS_SKILL_NAME_MAX + 1], name[CIS_TOOL_NAME_MAX + 1];
};

static void collides(struct collision *c, struct cis_str skill, const char *kind, const char *name)
{
    c->kind = kind;
    snprintf(c->skill, sizeof c->skill, "%.*s", CIS_STR_ARG(skill));
    snprintf(c->name, sizeof c->name, "%s", name);
}

static bool has_prompt(const struct cis_manifest *m, const char *name)
{
    for (size_t i = 0; i < m->nprompts; i++) {
        if (strcmp(m->prompts[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool see_names(void *self, const struct cis_skill_row *row)
{
    struct collision *c = self;
    CIS_CLEANUP(cis_manifest_done) struct cis_manifest m = CIS_MANIFEST_INIT;
    if (cis_str_is(row->name, c->package->name) ||
        cis_manifest_parse_row(row->manifest, &m, NULL) != CIS_OK) {
        return true;
    }
    const struct cis_manifest *own = &c->package->manifest;
    for (size_t i = 0; i < own->ntools && c->kind == NULL; i++) {
        if (cis_manifest_has_tool(&m, own->tools[i].name)) {
            collides(c, row->name, "tool", own->tools[i].name);
        }
    }
    for (size_t i = 0; i < own->nprompts && c->kind == NULL; i++) {
        if (has_prompt(&m, own->prompts[i].name)) {
            collides(c, row->name, "prompt", own->prompts[i].name);
        }
    }
    return c->kind == NULL;
}

/* A name is one skill's: another one's description could not say whose it is. */
static cis_code check_names(const struct cis_skill_home *home, struct cis_str tenant,
                            const struct cis_package *p, struct cis_error *err)
{
    struct collision c = {.package = p};
    if (p->manifest.ntools == 0 && p->manifest.nprompts == 0) {
        return CIS_OK;
    }
    CIS_TRY(cis_skill_list(home, tenant, see_names, &c, err));
    return c.kind == NULL
               ? CIS_OK
               : cis_fail(err, CIS_E_EXISTS,
                          "%.64s: its %s %.64s has the same name as a %s of skill %.64s; remove "
                          "that skill, or have the %s renamed",
                          p->name, c.kind, c.name, c.kind, c.skill, c.kind);
}

static cis_code put_row(const struct cis_skill_home *home, struct cis_str tenant,
                        const struct cis_package *p, const struct cis_install_plan *plan,
                        struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf grants = CIS_BUF_INIT(4u << 20);
    cis_grants_json(&plan->granted, &grants);
    CIS_TRY(cis_buf_check(&grants, p->name, err));
    struct cis_skill_row row = {
        .name = cis_str_of(p->name),
        .version = cis_str_of(p->manifest.version),
        .source = cis_str_of(p->source),
        .sha256 = cis_str_of(p->sha256),
        .manifest = cis_str_of(p->manifest.json),
        .grants = cis_buf_view(&grants),
        .signer = cis_str_of(p->signature == CIS_PACKAGE_TRUSTED ? p->key : ""),
        .digest = cis_str_of(p->digest),
        .installed_ms = cis_clock_wall_ms(),
    };
    struct cis_skill_change change = {.name = row.name,
                                      .was = plan->installed_stamp,
                                      .had =
                                          inherits(plan) ? (int64_t)plan->inheritance.settings : -1,
                                      .row = &row};
    struct cis_memory_renewal memory;
    if (plan->inheritance.asked && plan->inheritance.answer == CIS_INHERIT_NO) {
        CIS_TRY(cis_skill_memory_renewal(row.name, &memory, err));
        change.clear = true;
        change.config = &memory.op;
        change.nconfig = 1;
    }
    struct cis_error why = {0};
    cis_code code = cis_store_skill_change(home->store, tenant, &change, &home->stop, &why);
    return code == CIS_OK ? CIS_OK
                          : cis_fail(err, code, "%s%s", why.msg,
                                     code == CIS_E_CONFLICT ? "; install it again" : "");
}

cis_code cis_package_commit(const struct cis_skill_home *home, struct cis_str tenant,
                            struct cis_package *p, const struct cis_install_plan *plan,
                            struct cis_error *err)
{
    CIS_TRY(cis_install_plan_check(plan, p, err));
    struct cis_str name = cis_str_of(p->name);
    CIS_CLEANUP(cis_freep)
    char *version = cis_place_version(cis_str_of(p->manifest.version), cis_str_of(p->digest));
    if (version == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", p->name);
    }
    CIS_CLEANUP(cis_place_done) struct cis_place place = CIS_PLACE_INIT;
    CIS_TRY(cis_place_lock(home, tenant, &place, err));
    CIS_CLEANUP(cis_freep) char *old = NULL; /* the version's folder before */
    CIS_TRY(still_as_planned(home, tenant, p, plan, &old, err));
    CIS_TRY(check_names(home, tenant, p, err));
    cis_place_sweep(&place, home, tenant);
    CIS_CLEANUP(cis_close_fd) int skill = -1;
    CIS_TRY(cis_place_skill(&place, name, true, &skill, err));
    CIS_TRY(cis_place_move_in(p, skill, version, err));
    bool replaces = old != NULL && strcmp(old, version) != 0;
    if (replaces) {
        CIS_TRY(cis_place_mark_version(skill, old, err));
    }
    CIS_TRY(put_row(home, tenant, p, plan, err)); /* from here on it is installed */
    cis_place_unmark(p->root);
    if (replaces) {
        cis_place_retire(&place, skill, old);
    }
    return CIS_OK;
}
