/* What a package would inherit by taking a name: counted, put into words, answered. */
#include "skill/inherit.h"

#include <inttypes.h>
#include <stdio.h>
#include "base/mem.h"
#include "store/calls.h"

static bool count_setting(void *self, const struct cis_kv_entry *e)
{
    struct cis_inheritance *in = self;
    size_t at = strlen(in->names), n = e->key.len < 60 ? e->key.len : 60;
    if (at + n + sizeof ", " < sizeof in->names) {
        snprintf(in->names + at, sizeof in->names - at, "%s%.*s", at > 0 ? ", " : "", (int)n,
                 e->key.ptr);
    }
    in->settings++;
    return true;
}

static bool count_key(void *self, const struct cis_kv_entry *e)
{
    (void)e;
    ((struct cis_inheritance *)self)->keys++;
    return true;
}

/* No tenant, no such skill: there is nothing. */
static cis_code unless_absent(cis_code code, const struct cis_error *why, struct cis_error *err)
{
    return code == CIS_OK || code == CIS_E_NOTFOUND ? CIS_OK : cis_fail(err, code, "%s", why->msg);
}

cis_code cis_inheritance_look(const struct cis_skill_home *home, struct cis_str tenant,
                              struct cis_str name, struct cis_inheritance *out,
                              struct cis_error *err)
{
    const struct cis_store_ops *ops = home->store->ops;
    CIS_CLEANUP(cis_freep) char *ns = NULL;
    struct cis_error why = {0};
    CIS_TRY(unless_absent(
        ops->config_list(home->store, tenant, name, count_setting, out, &home->stop, &why), &why,
        err));
    CIS_TRY(cis_skill_memory(home->store, tenant, name, &ns, &home->stop, err));
    struct cis_kv_query query = {.ns = cis_str_of(ns)};
    return unless_absent(
        ops->kv_list(home->store, tenant, &query, count_key, out, &home->stop, &why), &why, err);
}

void cis_inheritance_text(const struct cis_inheritance *in, struct cis_buf *out)
{
    if (in->settings > 0) {
        cis_buf_printf(out, "%" PRIu64 " setting%s (%s)", in->settings,
                       in->settings == 1 ? "" : "s", in->names);
    }
    if (in->keys > 0) {
        cis_buf_printf(out, "%s%" PRIu64 " key%s of memory", in->settings > 0 ? " and " : "",
                       in->keys, in->keys == 1 ? "" : "s");
    }
    if (in->settings == 0 && in->keys == 0) {
        cis_buf_text(out, "its name");
    }
}

cis_code cis_inheritance_check(const struct cis_inheritance *in, const char *name,
                               struct cis_error *err)
{
    if (!in->asked || in->answer != CIS_INHERIT_ASK) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1024);
    cis_inheritance_text(in, &text);
    return cis_fail(err, CIS_E_DENIED,
                    "%.60s: it has another signer than the installed version and would inherit "
                    "%.60s%s; give --inherit yes or --inherit no",
                    name, cis_buf_cstr(&text), text.len > 60 ? "..." : "");
}
