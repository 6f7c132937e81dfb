/* What can be said of a module without compiling it. */
#include "lib/lib.h"

#include <inttypes.h>
#include <jansson.h>
#include "base/json_write.h"
#include "base/mem.h"
#include "policy/grant.h"

/* Of a component the kind says all; its imports have no module. */
static void externs(const struct cis_extern *list, size_t n, bool component, bool imports,
                    struct cis_buf *out)
{
    static const char *const kinds[] = {"func", "memory", "table", "global", "tag", "other"};
    for (size_t i = 0; i < n; i++) {
        cis_json_object(out,
                        CIS_JSON(CIS_J_IF(imports && !component, CIS_J("module", list[i].module)),
                                 CIS_J("name", list[i].name),
                                 CIS_J("kind", component ? list[i].type : kinds[list[i].kind]),
                                 CIS_J("type", list[i].type)));
    }
}

/* The grants that a part's imports may ask for, as those of the whole are found. */
static json_t *part_needs(const json_t *part, const struct cis_skillabi_options *options)
{
    const json_t *imports = json_object_get(part, "imports"), *item;
    size_t i, n = json_array_size(imports);
    struct cis_extern *list = cis_calloc(cis_size_add(n, 1), sizeof *list);
    struct cis_engine_module_info info = {.component = true, .imports = list, .json = "{}"};
    struct cis_skillabi_plan plan = {0};
    struct cis_error why = {0};
    json_t *needs = json_array();
    json_array_foreach(imports, i, item)
    {
        const json_t *name = json_object_get(item, "import");
        if (list != NULL && json_is_string(name)) {
            list[info.nimports++] =
                (struct cis_extern){.name = {json_string_value(name), json_string_length(name)},
                                    .kind = CIS_EXTERN_OTHER,
                                    .type = "instance"};
        }
    }
    (void)cis_skillabi_plan(&info, options, &plan, &why);
    for (unsigned g = 1; g < CIS_GRANT_COUNT; g++) {
        if ((plan.grants & CIS_GRANT_BIT(g)) != 0) {
            json_array_append_new(needs, json_string(cis_grant_name((enum cis_grant)g)));
        }
    }
    cis_free(list);
    return needs;
}

/* Of a component made of others: its parts, who gives what to whom, and what each asks for. There
 * is one set of grants for all of them: the sandbox is around the whole. */
static void composed(const struct cis_engine_module_info *info,
                     const struct cis_skillabi_options *options, struct cis_buf *out)
{
    json_t *root = json_loads(info->json, JSON_ALLOW_NUL, NULL), *part;
    json_t *all = json_object_get(root, "composed");
    size_t i;
    json_array_foreach(json_object_get(all, "parts"), i, part)
    {
        json_object_set_new(part, "needs", part_needs(part, options));
    }
    json_object_set_new(all, "grants", json_string("shared"));
    char *text = all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;
    cis_json_write(out, CIS_JSON(CIS_J_IF(text != NULL, CIS_J_RAW("composed", cis_str_of(text)))));
    cis_free(text);
    json_decref(root);
}

cis_code cis_inspect_json(const struct cis_engine_module_info *info, const char *name,
                          const struct cis_skillabi_options *options, struct cis_buf *out,
                          struct cis_error *err)
{
    struct cis_skillabi_plan plan = {0};
    struct cis_error why = {0};
    cis_code code = cis_skillabi_plan(info, options, &plan, &why);
    cis_json_write(out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u), CIS_J("name", name),
                                 CIS_J("layer", info->component ? "component" : "module"),
                                 CIS_J("sha256", info->sha256_hex), CIS_J_LIST("features")));
    static const struct {
        unsigned bit;
        const char *name;
    } features[] = {{CIS_FEATURE_MEMORY64, "memory64"},
                    {CIS_FEATURE_EXCEPTIONS, "exceptions"},
                    {CIS_FEATURE_THREADS, "threads"}};
    for (size_t i = 0; i < 3; i++) {
        bool has = (info->features & features[i].bit) != 0;
        cis_json_write(out, CIS_JSON(CIS_J_IF(has, CIS_J(NULL, features[i].name))));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END, CIS_J("memories", info->memories),
                                 CIS_J("min_memory_bytes", info->min_memory_bytes),
                                 CIS_J("tables", info->tables), CIS_J("functions", info->functions),
                                 CIS_J_LIST("imports")));
    externs(info->imports, info->nimports, info->component, true, out);
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END, CIS_J_LIST("exports")));
    externs(info->exports, info->nexports, info->component, false, out);
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END, CIS_J_LIST("abis")));
    for (size_t i = 0; i < plan.nabis; i++) {
        cis_json_write(out, CIS_JSON(CIS_J(NULL, plan.abis[i])));
    }
    bool entry = plan.entry.len != 0;
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END,
                                 entry ? CIS_J("entry", plan.entry) : CIS_J_NULL("entry"),
                                 CIS_J_IF(entry, CIS_J("entry_kind", plan.kind)),
                                 CIS_J_IF(entry, CIS_J("entry_type", plan.entry_type)),
                                 CIS_J("allocator", plan.allocator), CIS_J_LIST("needs")));
    for (unsigned g = 1; g < CIS_GRANT_COUNT; g++) {
        bool needs = (plan.grants & CIS_GRANT_BIT(g)) != 0;
        cis_json_write(out,
                       CIS_JSON(CIS_J_IF(needs, CIS_J(NULL, cis_grant_name((enum cis_grant)g)))));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END, CIS_J_BOOL("runs", code == CIS_OK),
                                 CIS_J_IF(code != CIS_OK, CIS_J("why_not", why.msg))));
    if (info->component) {
        composed(info, options, out);
    }
    cis_buf_byte(out, '}');
    return cis_buf_check(out, "inspect", err);
}
