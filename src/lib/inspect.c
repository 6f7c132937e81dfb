/* What can be said of a module without compiling it. */
#include "lib/lib.h"

#include <inttypes.h>
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

cis_code cis_inspect_json(const struct cis_image_info *info, const char *name,
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
    cis_buf_byte(out, '}');
    return cis_buf_check(out, "inspect", err);
}
