/* Values of component calls, building. Text is checked before the engine gets it: it takes UTF-8
 * and Unicode scalar values for granted. What is built is charged to the run before it is built. */
#include "engine/component/component_in.h"

/* What one byte of a built value costs while a call lasts: our value and the engine's copy. */
#define TEXT_COST 2u
#define ITEM_COST 80u

typedef wasmtime_component_val_t val_t;

static val_t *inout(cis_val *val)
{
    return (val_t *)val;
}

cis_code cis_val_charge(cis_engine_instance *instance, uint64_t bytes, struct cis_error *err)
{
    CIS_TRY(cis_budget_charge(instance->budget, bytes, "values of a call", err));
    instance->values_bytes += bytes;
    return CIS_OK;
}

/* An empty value of this kind in place of what was there. */
static val_t *fresh(cis_val *out, wasmtime_component_valkind_t kind)
{
    val_t *v = inout(out);
    wasmtime_component_val_delete(v);
    memset(v, 0, sizeof *v);
    v->kind = kind;
    return v;
}

static val_t *boxed(void)
{
    val_t none = {.kind = WASMTIME_COMPONENT_BOOL};
    return wasmtime_component_val_new(&none);
}

cis_code cis_val_set_text(cis_engine_instance *instance, cis_val *out, struct cis_str text,
                          struct cis_error *err)
{
    if (!cis_utf8_valid(text.ptr, text.len)) {
        return cis_fail(err, CIS_E_INVALID, "text is not UTF-8");
    }
    CIS_TRY(cis_val_charge(instance, TEXT_COST * (uint64_t)text.len, err));
    wasm_name_new(&fresh(out, WASMTIME_COMPONENT_STRING)->of.string, text.len, text.ptr);
    return CIS_OK;
}

cis_code cis_val_set_list(cis_engine_instance *instance, cis_val *out, size_t n,
                          struct cis_error *err)
{
    CIS_TRY(cis_val_charge(instance, ITEM_COST * (uint64_t)n, err));
    wasmtime_component_vallist_new_uninit(&fresh(out, WASMTIME_COMPONENT_LIST)->of.list, n);
    return CIS_OK;
}

cis_code cis_val_set_bytes(cis_engine_instance *instance, cis_val *out, struct cis_bytes bytes,
                           struct cis_error *err)
{
    CIS_TRY(cis_val_set_list(instance, out, bytes.len, err));
    val_t *items = inout(out)->of.list.data;
    for (size_t i = 0; i < bytes.len; i++) {
        items[i].kind = WASMTIME_COMPONENT_U8;
        items[i].of.u8 = bytes.ptr[i];
    }
    return CIS_OK;
}

/* ---- numbers ---- */

void cis_val_set_number(cis_val *out, uint8_t kind, uint64_t n)
{
    val_t *v = fresh(out, kind);
    switch (kind) {
    case WASMTIME_COMPONENT_BOOL:
        v->of.boolean = n != 0;
        break;
    case WASMTIME_COMPONENT_S8:
    case WASMTIME_COMPONENT_U8:
        v->of.u8 = (uint8_t)n;
        break;
    case WASMTIME_COMPONENT_S16:
    case WASMTIME_COMPONENT_U16:
        v->of.u16 = (uint16_t)n;
        break;
    case WASMTIME_COMPONENT_S32:
    case WASMTIME_COMPONENT_U32:
        v->of.u32 = (uint32_t)n;
        break;
    default:
        v->of.u64 = n;
        break;
    }
}

void cis_val_set_bool(cis_val *out, bool on)
{
    fresh(out, WASMTIME_COMPONENT_BOOL)->of.boolean = on;
}

void cis_val_set_u8(cis_val *out, uint8_t n)
{
    fresh(out, WASMTIME_COMPONENT_U8)->of.u8 = n;
}

void cis_val_set_u16(cis_val *out, uint16_t n)
{
    fresh(out, WASMTIME_COMPONENT_U16)->of.u16 = n;
}

void cis_val_set_u32(cis_val *out, uint32_t n)
{
    fresh(out, WASMTIME_COMPONENT_U32)->of.u32 = n;
}

void cis_val_set_u64(cis_val *out, uint64_t n)
{
    fresh(out, WASMTIME_COMPONENT_U64)->of.u64 = n;
}

void cis_val_set_s8(cis_val *out, int8_t n)
{
    fresh(out, WASMTIME_COMPONENT_S8)->of.s8 = n;
}

void cis_val_set_s16(cis_val *out, int16_t n)
{
    fresh(out, WASMTIME_COMPONENT_S16)->of.s16 = n;
}

void cis_val_set_s32(cis_val *out, int32_t n)
{
    fresh(out, WASMTIME_COMPONENT_S32)->of.s32 = n;
}

void cis_val_set_s64(cis_val *out, int64_t n)
{
    fresh(out, WASMTIME_COMPONENT_S64)->of.s64 = n;
}

void cis_val_set_f32(cis_val *out, float n)
{
    fresh(out, WASMTIME_COMPONENT_F32)->of.f32 = n;
}

void cis_val_set_f64(cis_val *out, double n)
{
    fresh(out, WASMTIME_COMPONENT_F64)->of.f64 = n;
}

cis_code cis_val_set_char(cis_val *out, uint32_t c, struct cis_error *err)
{
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) {
        return cis_fail(err, CIS_E_INVALID, "%08x is not a Unicode scalar value", (unsigned)c);
    }
    fresh(out, WASMTIME_COMPONENT_CHAR)->of.character = c;
    return CIS_OK;
}

/* ---- cases and flags ---- */

static void set_name(wasm_name_t *out, struct cis_str name)
{
    wasm_name_new(out, name.len, name.ptr);
}

void cis_val_set_enum(cis_val *out, struct cis_str name)
{
    set_name(&fresh(out, WASMTIME_COMPONENT_ENUM)->of.enumeration, name);
}

cis_code cis_val_set_flags(cis_engine_instance *instance, cis_val *out, const struct cis_str *names,
                           size_t n, struct cis_error *err)
{
    CIS_TRY(cis_val_charge(instance, ITEM_COST * (uint64_t)n, err));
    wasmtime_component_valflags_t *f = &fresh(out, WASMTIME_COMPONENT_FLAGS)->of.flags;
    wasmtime_component_valflags_new_uninit(f, n);
    for (size_t i = 0; i < n; i++) {
        set_name(&f->data[i], names[i]);
    }
    return CIS_OK;
}

/* ---- what holds others ---- */

void cis_val_set_none(cis_val *out)
{
    fresh(out, WASMTIME_COMPONENT_OPTION)->of.option = NULL;
}

cis_val *cis_val_set_some(cis_val *out)
{
    return (cis_val *)(fresh(out, WASMTIME_COMPONENT_OPTION)->of.option = boxed());
}

void cis_val_set_result(cis_val *out, bool is_ok, cis_val **out_inner)
{
    val_t *v = fresh(out, WASMTIME_COMPONENT_RESULT);
    v->of.result.is_ok = is_ok;
    if (out_inner != NULL) {
        v->of.result.val = boxed();
        *out_inner = (cis_val *)v->of.result.val;
    }
}

void cis_val_set_variant(cis_val *out, const char *name, cis_val **out_inner)
{
    cis_val_set_case(out, cis_str_of(name), out_inner);
}

void cis_val_set_case(cis_val *out, struct cis_str name, cis_val **out_inner)
{
    val_t *v = fresh(out, WASMTIME_COMPONENT_VARIANT);
    set_name(&v->of.variant.discriminant, name);
    if (out_inner != NULL) {
        v->of.variant.val = boxed();
        *out_inner = (cis_val *)v->of.variant.val;
    }
}

void cis_val_name_field(cis_val *record, size_t i, struct cis_str name)
{
    wasm_name_t *at = &inout(record)->of.record.data[i].name;
    wasm_name_delete(at);
    set_name(at, name);
}

void cis_val_set_fields(cis_val *out, size_t n)
{
    wasmtime_component_valrecord_new_uninit(&fresh(out, WASMTIME_COMPONENT_RECORD)->of.record, n);
}

void cis_val_set_record(cis_val *out, const char *const *names, size_t n)
{
    cis_val_set_fields(out, n);
    for (size_t i = 0; i < n; i++) {
        cis_val_name_field(out, i, cis_str_of(names[i]));
    }
}

void cis_val_set_tuple(cis_val *out, size_t n)
{
    wasmtime_component_valtuple_new_uninit(&fresh(out, WASMTIME_COMPONENT_TUPLE)->of.tuple, n);
}

/* ---- resources ---- */

static cis_code failed(wasmtime_error_t *e, const char *what, struct cis_error *err)
{
    return cis_engine_fail(err, CIS_E_LIMIT, what, e, NULL);
}

cis_code cis_val_set_own(cis_engine_instance *instance, cis_val *out, uint32_t kind, uint32_t rep,
                         struct cis_error *err)
{
    wasmtime_component_resource_host_t *host =
        wasmtime_component_resource_host_new(true, rep, kind);
    wasmtime_component_resource_any_t *any = NULL;
    wasmtime_error_t *e = wasmtime_component_resource_host_to_any(instance->context, host, &any);
    wasmtime_component_resource_host_delete(host);
    if (e != NULL) {
        return failed(e, "a resource cannot be handed out", err);
    }
    fresh(out, WASMTIME_COMPONENT_RESOURCE)->of.resource = any;
    if (CIS_HOOKED(instance, own)) {
        instance->hooks->own(instance, any, kind, rep);
    }
    return CIS_OK;
}

cis_code cis_val_take_resource(cis_engine_instance *instance, cis_val *val, uint32_t *out_kind,
                               bool *out_owned, struct cis_error *err)
{
    wasmtime_component_resource_host_t *host = NULL;
    wasmtime_error_t *e =
        wasmtime_component_resource_any_to_host(instance->context, inout(val)->of.resource, &host);
    if (e != NULL) {
        return failed(e, "a resource cannot be taken", err);
    }
    *out_kind = wasmtime_component_resource_host_type(host);
    *out_owned = wasmtime_component_resource_host_owned(host);
    fresh(val, WASMTIME_COMPONENT_U32)->of.u32 = wasmtime_component_resource_host_rep(host);
    wasmtime_component_resource_host_delete(host);
    return CIS_OK;
}

cis_code cis_val_drop_resource(cis_engine_instance *instance, cis_val *val, struct cis_error *err)
{
    wasmtime_error_t *e =
        wasmtime_component_resource_any_drop(instance->context, inout(val)->of.resource);
    fresh(val, WASMTIME_COMPONENT_BOOL);
    return e == NULL ? CIS_OK : failed(e, "a resource cannot be dropped", err);
}

cis_code cis_val_each_resource(cis_engine_instance *instance, const struct cis_bound_iface *bound,
                               cis_val *val, cis_val_act *act, struct cis_error *err)
{
    val_t *v = inout(val);
    cis_val *inner = cis_val_inner_mut(val);
    if (v->kind == WASMTIME_COMPONENT_RESOURCE) {
        return act(instance, bound, val, err);
    }
    if (inner != NULL) {
        return cis_val_each_resource(instance, bound, inner, act, err);
    }
    size_t n = v->kind == WASMTIME_COMPONENT_FLAGS ? 0 : cis_val_len(val);
    if (v->kind == WASMTIME_COMPONENT_LIST && n != 0 &&
        cis_val_kind_of(cis_val_item(val, 0)) == WASMTIME_COMPONENT_U8) {
        return CIS_OK; /* bytes hold nothing */
    }
    for (size_t i = 0; i < n; i++) {
        CIS_TRY(cis_val_each_resource(instance, bound, cis_val_item(val, i), act, err));
    }
    return CIS_OK;
}
