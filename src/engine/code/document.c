/* Components as documents; see document.h. */
#include "engine/code/document.h"

#include "base/clock.h"
#include "engine/code/child.h"

static cis_code take(wasmtime_error_t *error, struct cis_glue_text *text, const char *name,
                     struct cis_buf *out, struct cis_error *err)
{
    if (error != NULL) {
        return cis_engine_fail(err, CIS_E_INVALID, name, error, NULL);
    }
    cis_buf_add(out, text->ptr, text->len);
    cis_glue_text_free(text);
    return cis_buf_check(out, name, err);
}

/* ---- the work itself, in the child or here ---- */

/* The encoder takes a module for valid, and does not live through all that is not. out_start: it
 * has an export _start. */
static cis_code check_module(struct cis_bytes binary, const char *name, bool *out_start,
                             struct cis_error *err)
{
    const struct cis_engine_module_options o = {
        .name = name, .features = CIS_FEATURE_MEMORY64 | CIS_FEATURE_EXCEPTIONS};
    struct cis_engine_module_info *info = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(64u << 20);
    uint8_t digest[CIS_SHA256_BYTES] = {0};
    CIS_TRY(cis_scan_json(binary, &o, &json, err));
    CIS_TRY(cis_info_from_json(cis_buf_view(&json), digest, &info, err));
    bool component = info->component;
    *out_start = cis_info_export(info, CIS_STR("_start")) != NULL;
    cis_engine_module_info_free(info);
    return component ? cis_fail(err, CIS_E_INVALID, "%s: is a component already", name) : CIS_OK;
}

cis_code cis_child_component(struct cis_bytes adapter, struct cis_bytes module, const char *name,
                             struct cis_buf *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf converted = CIS_BUF_INIT(CIS_MODULE_MAX);
    CIS_TRY(cis_module_binary(module, name, &converted, err));
    struct cis_bytes binary = converted.len != 0 ? cis_buf_bytes(&converted) : module;
    struct cis_glue_text text = {0};
    bool starts, any;
    CIS_TRY(check_module(binary, name, &starts, err));
    if (adapter.len >= 4 && memcmp(adapter.ptr, "\0asm", 4) == 0) {
        CIS_TRY(check_module(adapter, "adapter", &any, err));
    }
    return take(
        cis_glue_component_new(binary.ptr, binary.len, adapter.ptr, adapter.len, !starts, &text),
        &text, name, out, err);
}

cis_code cis_child_wit(struct cis_bytes wasm, const char *name, struct cis_buf *out,
                       struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf converted = CIS_BUF_INIT(CIS_MODULE_MAX);
    CIS_TRY(cis_module_binary(wasm, name, &converted, err));
    struct cis_bytes binary = converted.len != 0 ? cis_buf_bytes(&converted) : wasm;
    if (binary.len >= 8 && memcmp(binary.ptr, "\0asm", 4) == 0 && binary.ptr[6] == 0) {
        return cis_fail(err, CIS_E_INVALID, "%s: is a core module, which has no interfaces", name);
    }
    struct cis_glue_text text = {0};
    return take(cis_glue_wit(binary.ptr, binary.len, &text), &text, name, out, err);
}

/* ---- where it is done ---- */

static cis_code in_child(enum cis_child_job job, struct cis_bytes first, struct cis_bytes second,
                         const char *doing, const struct cis_engine_module_options *o,
                         struct cis_buf *out, struct cis_error *err)
{
    const struct cis_child_limits limits = {
        .program = o->compiler, .memory_bytes = o->compile_memory, .ns = o->compile_ns};
    const struct cis_bytes input[] = {first, second};
    const struct cis_child_work work = {
        .job = job,
        .input = input,
        .ninput = 2,
        .name = o->name,
        .doing = doing,
        .slot_bytes = first.len,
        .stop = {o->stop.deadline_ns != 0 ? o->stop.deadline_ns : CIS_NEVER, o->stop.cancel}};
    uint64_t unused;
    return cis_child_run(&limits, &work, &unused, out, err);
}

static cis_code sizes(struct cis_bytes wasm, struct cis_bytes adapter, const char *name,
                      struct cis_error *err)
{
    if (wasm.len > CIS_MODULE_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%s: larger than %u bytes", name, CIS_MODULE_MAX);
    }
    return adapter.len <= CIS_ADAPTER_MAX
               ? CIS_OK
               : cis_fail(err, CIS_E_LIMIT, "adapter: larger than %u bytes", CIS_ADAPTER_MAX);
}

cis_code cis_component_make(struct cis_bytes module, struct cis_bytes adapter,
                            const struct cis_engine_module_options *options, struct cis_buf *out,
                            struct cis_error *err)
{
    struct cis_engine_module_options o = *options;
    o.name = o.name != NULL ? o.name : "module";
    CIS_TRY(sizes(module, adapter, o.name, err));
    return o.compiler == NULL ? cis_child_component(adapter, module, o.name, out, err)
                              : in_child(CIS_CHILD_COMPONENT, adapter, module,
                                         "making a component of", &o, out, err);
}

cis_code cis_component_wit(struct cis_bytes wasm, const struct cis_engine_module_options *options,
                           struct cis_buf *out, struct cis_error *err)
{
    struct cis_engine_module_options o = *options;
    o.name = o.name != NULL ? o.name : "component";
    CIS_TRY(sizes(wasm, (struct cis_bytes){0}, o.name, err));
    return o.compiler == NULL
               ? cis_child_wit(wasm, o.name, out, err)
               : in_child(CIS_CHILD_WIT, (struct cis_bytes){0}, wasm, "reading", &o, out, err);
}
