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

cis_code cis_skill_memory_renew(cis_store *store, struct cis_str tenant, struct cis_str name,
                                const struct cis_stop *stop, struct cis_error *err)
{
    char owner[OWNER_MAX], id[27], ns[CIS_STORE_NAME_MAX + 1];
    cis_id_new(id);
    if (!owner_of(name, owner) ||
        (size_t)snprintf(ns, sizeof ns, "%.*s@%s", (int)name.len, name.ptr, id) >= sizeof ns) {
        return cis_fail(err, CIS_E_USAGE, "%.64s: the name is too long for a memory of its own",
                        name.ptr);
    }
    struct cis_kv_op op = {.ns = cis_str_of(owner),
                           .key = CIS_STR(KEY),
                           .value = cis_bytes_of(ns, strlen(ns)),
                           .is_public = -1};
    return cis_store_config_apply(store, tenant, &op, 1, stop, err);
}
