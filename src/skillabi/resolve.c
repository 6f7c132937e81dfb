/* Which row serves an import: by (module, name, type), never by name alone. Where two ABIs have the
 * same row of all three, the guest's other imports decide, or --abi does. */
#include "skillabi/abi.h"

#include "wasi/p1/p1.h"

static const struct cis_hostfn_table *const tables[] = {
    &cis_abi_env_packed, &cis_abi_env_buffer, &cis_abi_cis_direct,
    &cis_abi_cis_sdk,    &cis_abi_env_plain,  &cis_abi_cis_io,
    &cis_abi_agent,      &cis_wasi_p1_table,  &cis_wasi_unstable_table,
};
#define NTABLES (sizeof tables / sizeof *tables)

const struct cis_hostfn_table *const *cis_skillabi_tables(size_t *out_n)
{
    *out_n = NTABLES;
    return tables;
}

static bool is_wasi(struct cis_str module)
{
    return cis_str_starts(module, CIS_STR("wasi_"));
}

/* A guest with any env.host_* import that returns i64 is of env-packed, else of env-buffer. */
static bool looks_packed(const struct cis_engine_module_info *info)
{
    for (size_t i = 0; i < info->nimports; i++) {
        const struct cis_extern *e = &info->imports[i];
        if (e->kind == CIS_EXTERN_FUNC && cis_str_is(e->module, "env") &&
            cis_str_starts(e->name, CIS_STR("host_"))) {
            const char *colon = strchr(e->type, ':');
            if (colon != NULL && strcmp(colon, ":I") == 0) {
                return true;
            }
        }
    }
    return false;
}

cis_code cis_abi_choose(const struct cis_engine_module_info *info,
                        const struct cis_skillabi_options *options, struct cis_abi_choice *out,
                        struct cis_error *err)
{
    struct cis_abi_choice choice = {.no_wasi = options != NULL && options->no_wasi};
    const char *name = options != NULL ? options->abi : NULL;
    for (size_t i = 0; name != NULL && i < NTABLES; i++) {
        if (strcmp(tables[i]->abi, name) == 0) {
            choice.only = tables[i];
        }
    }
    choice.packed = choice.only != NULL ? choice.only == &cis_abi_env_packed : looks_packed(info);
    *out = choice;
    if (name != NULL && choice.only == NULL) {
        return cis_fail(err, CIS_E_USAGE,
                        "abi %s: unknown; one of env-packed, env-buffer, cis-direct, cis-sdk, "
                        "env-plain, cis-io, cis-agent",
                        name);
    }
    return CIS_OK;
}

static bool same_name(const struct cis_hostfn *row, const struct cis_extern *import)
{
    return cis_str_is(import->name, row->name) && cis_str_is(import->module, row->module);
}

/* The row of that name in one table; type NULL: any. */
static const struct cis_hostfn *find(const struct cis_hostfn_table *table,
                                     const struct cis_extern *import, const char *type)
{
    for (size_t i = 0; i < table->nrows; i++) {
        const struct cis_hostfn *row = &table->rows[i];
        if (same_name(row, import) && (type == NULL || strcmp(row->type, type) == 0)) {
            return row;
        }
    }
    return NULL;
}

const struct cis_hostfn *cis_abi_row(const struct cis_abi_choice *choice,
                                     const struct cis_extern *import,
                                     const struct cis_hostfn_table **out_table)
{
    if (import->kind != CIS_EXTERN_FUNC || (choice->no_wasi && is_wasi(import->module))) {
        return NULL;
    }
    const struct cis_hostfn_table *table = NULL;
    const struct cis_hostfn *row = NULL;
    if (choice->only != NULL && find(choice->only, import, NULL) != NULL) {
        table = choice->only; /* the name collides: its type is the only one */
        row = find(table, import, import->type);
    }
    for (size_t i = 0; table == NULL && i < NTABLES; i++) {
        if (tables[i] == &cis_abi_env_packed && !choice->packed &&
            find(&cis_abi_env_buffer, import, import->type) != NULL) {
            continue;
        }
        row = find(tables[i], import, import->type);
        table = row != NULL ? tables[i] : NULL;
    }
    if (row != NULL && out_table != NULL) {
        *out_table = table;
    }
    return row;
}

/* The memory that an import of env.memory asks for is the engine's to provide. */
static bool provided(const struct cis_abi_choice *choice, const struct cis_extern *import)
{
    if (import->kind == CIS_EXTERN_MEMORY) {
        return cis_str_is(import->module, "env") && cis_str_is(import->name, "memory");
    }
    return cis_abi_row(choice, import, NULL) != NULL;
}

static void other_types(const struct cis_extern *import, struct cis_buf *out)
{
    const char *sep = "; there is ";
    for (size_t i = 0; i < NTABLES; i++) {
        const struct cis_hostfn *row = find(tables[i], import, NULL);
        if (row != NULL) {
            cis_buf_text(out, sep);
            cis_abi_type_text(row->type, out);
            cis_buf_printf(out, " by %s", tables[i]->abi);
            sep = ", ";
        }
    }
}

cis_code cis_abi_imports_check(const struct cis_abi_choice *choice,
                               const struct cis_engine_module_info *info, struct cis_error *err)
{
    const struct cis_extern *first = NULL;
    size_t more = 0;
    for (size_t i = 0; i < info->nimports; i++) {
        if (!provided(choice, &info->imports[i])) {
            more += first != NULL ? 1 : 0;
            first = first != NULL ? first : &info->imports[i];
        }
    }
    if (first == NULL) {
        return CIS_OK;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf type = CIS_BUF_INIT(1024);
    CIS_CLEANUP(cis_buf_done) struct cis_buf notes = CIS_BUF_INIT(1024);
    if (first->kind == CIS_EXTERN_FUNC) {
        cis_abi_type_text(first->type, &type);
    } else {
        cis_buf_text(&type, first->type);
    }
    if (more != 0) {
        cis_buf_printf(&notes, " (and %zu more)", more);
    }
    if (choice->no_wasi && is_wasi(first->module)) {
        cis_buf_text(&notes, "; WASI is switched off");
    } else if (first->kind == CIS_EXTERN_FUNC) {
        other_types(first, &notes);
    }
    int module = first->module.len > 64 ? 64 : (int)first->module.len;
    int name = first->name.len > 64 ? 64 : (int)first->name.len;
    return cis_fail(err, CIS_E_IMPORT, "imports %.*s.%.*s of type %.60s, which no ABI provides%s",
                    module, first->module.ptr, name, first->name.ptr, cis_buf_cstr(&type),
                    cis_buf_cstr(&notes));
}

static const struct cis_hostfn *resolve(void *self, const struct cis_extern *import)
{
    return cis_abi_row(self, import, NULL);
}

cis_code cis_skillabi_link(cis_engine_module *module, const struct cis_skillabi_options *options,
                           const struct cis_stop *stop, cis_linked **out_program,
                           struct cis_error *err)
{
    const struct cis_engine_module_info *info = cis_engine_module_info(module);
    if (info->component) {
        return cis_abi_component_link(module, options, stop, out_program, err);
    }
    struct cis_abi_choice choice;
    CIS_TRY(cis_abi_choose(info, options, &choice, err));
    CIS_TRY(cis_abi_imports_check(&choice, info, err));
    return cis_linked_new(module, resolve, &choice, out_program, err);
}
