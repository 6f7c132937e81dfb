/* Whose memory an installed name has. At first it is the namespace of that name. A skill that shall
 * not inherit what another publisher's skill kept there begins a namespace of its own, NAME@ID; the
 * one before stays. The answer is a setting in a namespace that no skill can write. */
#include "skill/registry.h"

#include <stdio.h>
#include "base/crypto.h"
#include "base/mem.h"
#include "store/calls.h"

#define OWNER_MAX (CIS_STORE_NAME_MAX + 1u)
#define KEY "memory"

static bool owner_of(struct cis_str name, char *out)
{
    return (size_t)snprintf(out, OWNER_MAX, "memory:%.*s", (int)name.len, name.ptr) < OWNER_MAX;
}

struct reading {
    char *ns;
    cis_code code;
    struct cis_error *err;
};

static bool take(void *self, const struct cis_kv_entry *e)
{
    struct reading *r = self;
    if (!cis_str_is(e->key, KEY) || e->value.len == 0 || e->value.len > CIS_STORE_NAME_MAX) {
        return true;
    }
    r->ns = cis_strndup((const char *)e->value.ptr, e->value.len);
    if (r->ns == NULL) {
        r->code = cis_fail(r->err, CIS_E_NOMEM, "memory: out of memory");
    }
    return false;
}

cis_code cis_skill_memory(cis_store *store, struct cis_str tenant, struct cis_str name,
                          char **out_ns, const struct cis_stop *stop, struct cis_error *err)
{
    char owner[OWNER_MAX];
    struct reading r = {NULL, CIS_OK, err};
    if (owner_of(name, owner)) {
        struct cis_error why = {0};
        cis_code code =
            cis_store_config_list(store, tenant, cis_str_of(owner), take, &r, stop, &why);
        if (code != CIS_OK && code != CIS_E_NOTFOUND) {
            cis_free(r.ns);
            return cis_fail(err, code, "%s", why.msg);
        }
        CIS_TRY(r.code);
    }
    *out_ns = r.ns != NULL ? r.ns : cis_strndup(name.ptr, name.len);
    return *out_ns != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "memory: out of memory");
}

cis_code cis_skill_memory_renewal(struct cis_str name, struct cis_memory_renewal *out,
                                  struct cis_error *err)
{
    char id[27];
    cis_id_new(id);
    if (!owner_of(name, out->owner) ||
        (size_t)snprintf(out->ns, sizeof out->ns, "%.*s@%s", (int)name.len, name.ptr, id) >=
            sizeof out->ns) {
        return cis_fail(err, CIS_E_USAGE, "%.*s: the name is too long for a memory of its own",
                        (int)(name.len > 64 ? 64 : name.len), name.ptr);
    }
    out->op = (struct cis_kv_op){.ns = cis_str_of(out->owner),
                                 .key = CIS_STR(KEY),
                                 .value = cis_bytes_of(out->ns, strlen(out->ns)),
                                 .is_public = -1};
    return CIS_OK;
}
