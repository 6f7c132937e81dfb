/* Imports of a component that nobody provides and that are left to trap, or to a recording:
 * functions of any type, and resources, which are all of one kind, unless they are another name for
 * one that is provided. */
#include "base/mem.h"
#include "engine/component/component_in.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define RESOURCES_MAX 1000u /* of one component: each new one is compared with all */

static cis_code never_called(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                             struct cis_error *err)
{
    (void)instance, (void)args, (void)result;
    return cis_fail(err, CIS_E_INTERNAL, "an import that nobody provides has no handler");
}

const struct cis_ifacefn cis_ifacefn_missing = {.interface = "",
                                                .name = "",
                                                .type = "func()",
                                                .handler = never_called,
                                                .params = "",
                                                .doc = "an import that nobody provides"};
const struct cis_iface_resource cis_resource_unknown = {
    .package = "", .name = "", .kind = CIS_KIND_UNKNOWN};

cis_code cis_missing_row(struct cis_str interface, struct cis_str name, struct cis_str type,
                         struct cis_ifacefn **out, struct cis_error *err)
{
    const struct cis_str texts[] = {interface, name, type};
    struct cis_ifacefn *row = NULL;
    size_t size = sizeof *row;
    for (size_t i = 0; i < COUNT(texts); i++) {
        size = cis_size_add(size, cis_size_add(texts[i].len, 1));
    }
    row = cis_zalloc(size);
    if (row == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "link: out of memory");
    }
    char *at = (char *)(row + 1);
    const char *copies[COUNT(texts)];
    for (size_t i = 0; i < COUNT(texts); i++) {
        copies[i] = at;
        memcpy(at, texts[i].ptr, texts[i].len);
        at += texts[i].len + 1;
    }
    *row = cis_ifacefn_missing;
    row->interface = copies[0];
    row->name = copies[1];
    row->type = copies[2];
    *out = row;
    return CIS_OK;
}

cis_code cis_missing_name(struct cis_str interface, struct cis_str name, char **out,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    cis_buf_str(&text, interface);
    if (interface.len != 0) {
        cis_buf_byte(&text, '.');
    }
    cis_buf_str(&text, name);
    CIS_TRY(cis_buf_check(&text, "name of an import", err));
    *out = cis_strndup(cis_buf_cstr(&text), text.len);
    return *out != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "link: out of memory");
}

wasmtime_error_t *cis_missing_trampoline(void *env, wasmtime_context_t *context,
                                         const wasmtime_component_func_type_t *type,
                                         wasmtime_component_val_t *args, size_t nargs,
                                         wasmtime_component_val_t *results, size_t nresults)
{
    (void)type, (void)args, (void)nargs, (void)results, (void)nresults;
    const struct cis_bound_iface *bound = env;
    cis_engine_instance *instance = wasmtime_context_get_data(context);
    cis_engine_instance_ended(instance, CIS_E_TRAP, NULL, 0, 0, "called %s, which nothing provides",
                              bound->missing);
    if (CIS_HOOKED(instance, missing)) {
        instance->hooks->missing(instance, bound);
    }
    return wasmtime_error_new(instance->end.error.msg);
}

/* ---- resources ---- */

cis_code cis_missing_note(struct cis_missing *m, const wasmtime_component_resource_type_t *type,
                          const struct cis_iface_resource *resource, struct cis_error *err)
{
    if (m->n == RESOURCES_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "imports more than %u resources", RESOURCES_MAX);
    }
    if (m->n == m->cap) {
        size_t cap = cis_cap_next(m->cap, 16, CIS_MEM_MAX);
        struct cis_missing_resource *more = cis_realloc_array(m->at, cap, sizeof *more);
        if (more == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "link: out of memory");
        }
        m->at = more;
        m->cap = cap;
    }
    m->at[m->n++] =
        (struct cis_missing_resource){wasmtime_component_resource_type_clone(type), resource};
    return CIS_OK;
}

const struct cis_iface_resource *cis_missing_find(const struct cis_missing *m,
                                                  const wasmtime_component_resource_type_t *type)
{
    for (size_t i = 0; i < m->n; i++) {
        if (wasmtime_component_resource_type_equal(m->at[i].type, type)) {
            return m->at[i].resource;
        }
    }
    return NULL;
}

void cis_missing_done(struct cis_missing *m)
{
    for (size_t i = 0; i < m->n; i++) {
        wasmtime_component_resource_type_delete(m->at[i].type);
    }
    cis_free(m->at);
    *m = (struct cis_missing){0};
}
