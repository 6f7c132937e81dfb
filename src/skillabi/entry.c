/* The plan of a run: which tables a module uses and which export is its entry point. */
#include "skillabi/abi.h"

void cis_abi_type_text(const char *type, struct cis_buf *out)
{
    const char *sep = "(";
    bool results = false;
    if (*type == ':' || *type == 0) {
        cis_buf_text(out, "(");
    }
    for (const char *p = type; *p != 0; p++) {
        if (*p == ':') {
            cis_buf_text(out, ")");
            results = true;
            sep = " -> ";
            continue;
        }
        const char *name = *p == 'i'   ? "i32"
                           : *p == 'I' ? "i64"
                           : *p == 'f' ? "f32"
                           : *p == 'F' ? "f64"
                           : *p == 'v' ? "v128"
                                       : "ref";
        cis_buf_text(out, sep);
        cis_buf_text(out, name);
        sep = ", ";
    }
    if (!results) {
        cis_buf_text(out, ")");
    }
}

/* Probe order, and the types each entry point may have. */
static const struct {
    const char *name, *kind;
    const char *types[4];
} entries[] = {
    {"skill_on_event", "event", {"iiii:i", "iiii:"}},
    {"skill_handle_event", "handle-event", {"ii:i", "ii:"}},
    {"skill_execute", "text", {"ii:i", "ii:"}},
    {"execute", "execute", {"i:i"}},
    {"main", "main", {":i", "ii:i", ":"}}, /* C compilers export main(argc, argv) */
    {"_start", "command", {":"}},
    {"skill_init", "init", {":i", ":"}},
};
#define NENTRIES (sizeof entries / sizeof *entries)

static const char *const method_types[] = {"ii:i", "ii:", "i:i", "i:", ":i", ":"};

static bool one_of(const char *type, const char *const *types, size_t n)
{
    for (size_t i = 0; i < n && types[i] != NULL; i++) {
        if (strcmp(type, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const struct cis_extern *func(const struct cis_engine_module_info *info, struct cis_str name)
{
    const struct cis_extern *e = cis_info_export(info, name);
    return e != NULL && e->kind == CIS_EXTERN_FUNC ? e : NULL;
}

static bool has(const struct cis_engine_module_info *info, const char *name,
                const char *const *types, size_t n)
{
    const struct cis_extern *e = func(info, cis_str_of(name));
    return e != NULL && one_of(e->type, types, n);
}

void cis_abi_list_exports(const struct cis_engine_module_info *info, struct cis_buf *out)
{
    if (info->nexports == 0) {
        cis_buf_text(out, "; it exports nothing");
        return;
    }
    cis_buf_text(out, "; exports: ");
    for (size_t i = 0; i < info->nexports; i++) {
        struct cis_str name = info->exports[i].name;
        if (out->len + name.len + 16 > out->max) {
            cis_buf_printf(out, "… %zu more", info->nexports - i);
            return;
        }
        cis_buf_printf(out, "%s" CIS_STR_FMT, i != 0 ? ", " : "", CIS_STR_ARG(name));
    }
}

static cis_code no_entry(const struct cis_engine_module_info *info, const char *what,
                         struct cis_str name, const char *type, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_ERROR_MSG_MAX - 1);
    cis_buf_text(&text, what);
    if (name.len != 0) {
        cis_buf_printf(&text, " %.*s", name.len > 64 ? 64 : (int)name.len, name.ptr);
    }
    if (type != NULL) {
        cis_buf_text(&text, " of type ");
        cis_abi_type_text(type, &text);
        cis_buf_text(&text, " does not take text (--convention numbers)");
    } else {
        cis_abi_list_exports(info, &text);
    }
    return cis_fail(err, CIS_E_ENTRY, "%s", cis_buf_cstr(&text));
}

static void set_entry(struct cis_skillabi_plan *plan, const struct cis_extern *e, const char *kind)
{
    plan->entry = e->name;
    plan->entry_type = e->type;
    plan->kind = kind;
}

static bool is_text_name(struct cis_str name)
{
    if (cis_str_starts(name, CIS_STR("skill_"))) {
        return true;
    }
    for (size_t i = 0; i < NENTRIES; i++) {
        if (cis_str_is(name, entries[i].name)) {
            return true;
        }
    }
    return false;
}

static cis_code plan_method(const struct cis_engine_module_info *info,
                            const struct cis_skillabi_options *options,
                            struct cis_skillabi_plan *plan, struct cis_error *err)
{
    struct cis_str name = cis_str_of(options->method);
    const struct cis_extern *e = func(info, name);
    if (e == NULL) {
        return no_entry(info, "no exported function", name, NULL, err);
    }
    bool text = options->convention == CIS_CONVENTION_AUTO
                    ? is_text_name(name)
                    : options->convention == CIS_CONVENTION_TEXT;
    if (!text) {
        set_entry(plan, e, "numbers");
        return CIS_OK;
    }
    for (size_t i = 0; i < NENTRIES; i++) {
        if (cis_str_is(name, entries[i].name) && one_of(e->type, entries[i].types, 4)) {
            set_entry(plan, e, entries[i].kind);
            return CIS_OK;
        }
    }
    if (!one_of(e->type, method_types, sizeof method_types / sizeof *method_types)) {
        plan->entry = e->name;
        plan->entry_type = e->type;
        return no_entry(info, "export", name, e->type, err);
    }
    set_entry(plan, e, "method");
    return CIS_OK;
}

static cis_code plan_probe(const struct cis_engine_module_info *info,
                           const struct cis_skillabi_options *options,
                           struct cis_skillabi_plan *plan, struct cis_error *err)
{
    for (size_t i = 0; i < NENTRIES; i++) {
        const struct cis_extern *e = func(info, cis_str_of(entries[i].name));
        if (e != NULL && one_of(e->type, entries[i].types, 4)) {
            bool numbers = options != NULL && options->convention == CIS_CONVENTION_NUMBERS;
            set_entry(plan, e, numbers ? "numbers" : entries[i].kind);
            return CIS_OK;
        }
    }
    return no_entry(info, "no entry point", CIS_STR(""), NULL, err);
}

static void note_tables(const struct cis_abi_choice *choice,
                        const struct cis_engine_module_info *info, struct cis_skillabi_plan *plan)
{
    size_t n;
    const struct cis_hostfn_table *const *tables = cis_skillabi_tables(&n);
    uint32_t used = 0;
    for (size_t i = 0; i < info->nimports; i++) {
        const struct cis_hostfn_table *table;
        const struct cis_hostfn *row = cis_abi_row(choice, &info->imports[i], &table);
        if (row == NULL) {
            continue;
        }
        plan->grants |= row->grant != CIS_GRANT_NONE ? CIS_GRANT_BIT(row->grant) : 0;
        for (size_t t = 0; t < n; t++) {
            used |= tables[t] == table ? 1u << t : 0;
        }
    }
    for (size_t t = 0; t < n && plan->nabis < sizeof plan->abis / sizeof *plan->abis; t++) {
        if ((used & 1u << t) != 0) {
            plan->abis[plan->nabis++] = tables[t]->abi;
        }
    }
}

cis_code cis_skillabi_plan(const struct cis_engine_module_info *info,
                           const struct cis_skillabi_options *options,
                           struct cis_skillabi_plan *out, struct cis_error *err)
{
    static const char *const plain[] = {":i", ":"};
    struct cis_skillabi_plan plan = {.allocator = ""};
    if (info->component) {
        cis_code code = cis_abi_component_plan(info, options, &plan, err);
        *out = plan;
        return code;
    }
    plan.allocator = cis_abi_allocator(info);
    plan.has_init = has(info, "skill_init", plain, 2);
    plan.has_shutdown = has(info, "skill_shutdown", plain, 2);
    struct cis_abi_choice choice;
    struct cis_error entry_why = {0};
    cis_code code = cis_abi_choose(info, options, &choice, err);
    note_tables(&choice, info, &plan);
    cis_code entry = options != NULL && options->method != NULL
                         ? plan_method(info, options, &plan, &entry_why)
                         : plan_probe(info, options, &plan, &entry_why);
    *out = plan;
    CIS_TRY(code);
    CIS_TRY(cis_abi_imports_check(&choice, info, err));
    return entry == CIS_OK ? CIS_OK : cis_fail(err, entry, "%s", entry_why.msg);
}
