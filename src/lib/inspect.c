/* What can be said of a module without compiling it. */
#include "lib/lib.h"

#include <inttypes.h>
#include <jansson.h>
#include "base/mem.h"
#include "policy/grant.h"

/* Of a component the kind says all; its imports have no module. */
static void externs(const struct cis_extern *list, size_t n, bool component, bool imports,
                    struct cis_buf *out)
{
    static const char *const kinds[] = {"func", "memory", "table", "global", "tag", "other"};
    for (size_t i = 0; i < n; i++) {
        cis_buf_text(out, i != 0 ? ",{" : "{");
        if (imports && !component) {
            cis_buf_text(out, "\"module\":");
            cis_buf_json(out, list[i].module);
            cis_buf_byte(out, ',');
        }
        cis_buf_text(out, "\"name\":");
        cis_buf_json(out, list[i].name);
        cis_buf_printf(
            out, ",\"kind\":\"%s\",\"type\":", component ? list[i].type : kinds[list[i].kind]);
        cis_buf_json(out, cis_str_of(list[i].type));
        cis_buf_byte(out, '}');
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
    if (text != NULL) {
        cis_buf_text(out, ",\"composed\":");
        cis_buf_text(out, text);
    }
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
    cis_buf_text(out, "{\"schema\":1,\"name\":");
    cis_buf_json(out, cis_str_of(name));
    cis_buf_printf(out, ",\"layer\":\"%s\",\"sha256\":\"%s\",\"features\":[",
                   info->component ? "component" : "module", info->sha256_hex);
    const char *comma = "";
    static const struct {
        unsigned bit;
        const char *name;
    } features[] = {{CIS_FEATURE_MEMORY64, "memory64"},
                    {CIS_FEATURE_EXCEPTIONS, "exceptions"},
                    {CIS_FEATURE_THREADS, "threads"}};
    for (size_t i = 0; i < 3; i++) {
        if ((info->features & features[i].bit) != 0) {
            cis_buf_printf(out, "%s\"%s\"", comma, features[i].name);
            comma = ",";
        }
    }
    cis_buf_printf(out,
                   "],\"memories\":%" PRIu64 ",\"min_memory_bytes\":%" PRIu64 ",\"tables\":%" PRIu64
                   ",\"functions\":%" PRIu64 ",\"imports\":[",
                   info->memories, info->min_memory_bytes, info->tables, info->functions);
    externs(info->imports, info->nimports, info->component, true, out);
    cis_buf_text(out, "],\"exports\":[");
    externs(info->exports, info->nexports, info->component, false, out);
    cis_buf_text(out, "],\"abis\":[");
    for (size_t i = 0; i < plan.nabis; i++) {
        cis_buf_printf(out, "%s\"%s\"", i != 0 ? "," : "", plan.abis[i]);
    }
    cis_buf_text(out, "],\"entry\":");
    if (plan.entry.len != 0) {
        cis_buf_json(out, plan.entry);
        cis_buf_printf(out, ",\"entry_kind\":\"%s\",\"entry_type\":\"%s\"",
                       plan.kind != NULL ? plan.kind : "",
                       plan.entry_type != NULL ? plan.entry_type : "");
    } else {
        cis_buf_text(out, "null");
    }
    cis_buf_printf(out, ",\"allocator\":\"%s\",\"needs\":[",
                   plan.allocator != NULL ? plan.allocator : "");
    comma = "";
    for (unsigned g = 1; g < CIS_GRANT_COUNT; g++) {
        if ((plan.grants & CIS_GRANT_BIT(g)) != 0) {
            cis_buf_printf(out, "%s\"%s\"", comma, cis_grant_name((enum cis_grant)g));
            comma = ",";
        }
    }
    cis_buf_printf(out, "],\"runs\":%s", code == CIS_OK ? "true" : "false");
    if (code != CIS_OK) {
        cis_buf_text(out, ",\"why_not\":");
        cis_buf_json(out, cis_str_of(why.msg));
    }
    if (info->component) {
        composed(info, options, out);
    }
    cis_buf_byte(out, '}');
    return cis_buf_check(out, "inspect", err);
}
